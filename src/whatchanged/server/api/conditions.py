"""If-Match and If-None-Match of a request (RFC 9110)."""

from __future__ import annotations

from whatchanged.server.api.access import AnyRequest
from whatchanged.server.control import Condition

__all__ = ["condition_of"]


def condition_of(request: AnyRequest) -> Condition:
    """Return what the request asks for."""
    match = request.headers.get("if-match")
    etags = (
        None if match is None else frozenset(part.strip().removeprefix("W/").strip('"') for part in match.split(","))
    )
    return Condition(etags, absent=request.headers.get("if-none-match", "").strip() == "*")
