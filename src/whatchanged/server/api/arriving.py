"""Waiting for rows that arrive: what a page that is being looked at asks, over and over."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import FromQuery, QueryParameter

from whatchanged.server.api.access import Access, AnyRequest
from whatchanged.server.api.context import context_of

__all__ = ["HANDLERS"]


class Mark(msgspec.Struct):
    """Moves whenever rows were stored."""

    mark: str


@get("/api/v1/arrivals", opt={"access": Access.READER, "unasked": True})
async def arrivals(
    request: AnyRequest,
    known: FromQuery[str] = "",
    wait_seconds: Annotated[float, QueryParameter(name="waitSeconds", ge=0, le=30)] = 0,
) -> Mark:
    """Return the mark of what has arrived; held while it is the one that is known."""
    return Mark(await context_of(request).arrivals.wait(known, wait_seconds))


HANDLERS = (arrivals,)
