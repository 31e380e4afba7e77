"""Every error in one shape, ARM's: `{"error": {"code", "message", "target"?, "details"?}}`.

Retry-After stands only where asking again can help: Azure's client libraries repeat any request whose answer
carries it, also a final 400.
"""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from whatchanged.errors import (
    CredentialError,
    LimitExceeded,
    OperationError,
    RecordError,
    RuleError,
    SettingsError,
    StateError,
    StorageFull,
    WireError,
)
from whatchanged.logs import printable
from whatchanged.server.api.access import AnyRequest
from whatchanged.server.control import Refusal

__all__ = ["failure", "on_any", "on_http", "on_nesting", "on_ours"]

_LOG = logging.getLogger(__name__)
_CODES = {
    400: "InvalidRequest",
    401: "InvalidCredential",
    404: "PathNotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "RequestEntityTooLarge",
}
_KINDS: tuple[tuple[type[OperationError], int, str], ...] = (
    (CredentialError, 401, "InvalidCredential"),
    (RuleError, 400, "InvalidRule"),
    (RecordError, 400, "InvalidRecord"),
    (LimitExceeded, 413, "RequestEntityTooLarge"),
    (WireError, 400, "InvalidRequest"),
    (SettingsError, 400, "InvalidRequest"),
    (StorageFull, 503, "StorageFull"),
    (StateError, 503, "StorageUnavailable"),
)


def failure(
    status: int,
    code: str,
    message: str,
    *,
    target: str = "",
    details: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[dict[str, Any]]:
    """Return the answer for an error."""
    error: dict[str, Any] = {"code": code, "message": printable(message)}
    if target:
        error["target"] = printable(target)
    if details:
        error["details"] = details
    return Response({"error": error}, status_code=status, media_type="application/json", headers=headers or {})


def on_ours(request: AnyRequest, error: OperationError) -> Response[dict[str, Any]]:
    """Answer an error of ours."""
    message = f"{error.message}: {error.hint}" if error.hint else error.message
    if isinstance(error, Refusal):
        headers = {"Retry-After": _jitter(error.status)} if error.status in (429, 503) else {}
        return failure(error.status, error.code, message, target=error.target, headers=headers)
    found = next(((status, code) for kind, status, code in _KINDS if isinstance(error, kind)), None)
    if found is None:
        return on_any(request, error)
    status, code = found
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503:
        _LOG.error("%s: %s", code, message)
        headers["Retry-After"] = _jitter(status)
    return failure(status, code, message, target=getattr(error, "place", ""), headers=headers)


def on_http(_request: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """Answer an error of the framework: unknown paths, methods, malformed parameters and bodies."""
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.replace(" ", ""))
    message, details = error.detail or HTTPStatus(error.status_code).phrase, None
    if isinstance(error, ValidationException):
        # The framework's own message holds the URL with its query, which is nothing to repeat.
        message, details = "the request does not have the right shape", _details(error.extra)
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    return failure(error.status_code, code, message, details=details, headers=headers)


def on_nesting(_request: AnyRequest, _error: RecursionError) -> Response[dict[str, Any]]:
    """Answer a body that is nested deeper than anybody would write; nothing else here recurses."""
    return failure(400, "InvalidRequest", "the body is nested too deeply")


def on_any(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    """Answer a fault of ours: the log gets everything, the caller gets no inner details."""
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return failure(500, "InternalServerError", "the server failed; its log says why")


def _details(extra: Any) -> list[dict[str, str]] | None:
    if not isinstance(extra, list):
        return None
    return [
        {"code": "InvalidParameter", "message": str(item.get("message", "")), "target": str(item.get("key", ""))}
        for item in extra
        if isinstance(item, dict)
    ]


def _jitter(status: int) -> str:
    # So that a fleet which was refused together does not come back together. Too many at once is over in a moment.
    return str(1 + secrets.randbelow(5) if status == 429 else 10 + secrets.randbelow(50))
