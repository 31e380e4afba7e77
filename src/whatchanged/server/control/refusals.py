"""Why the control plane says no: an error with the status and code that the HTTP interface answers."""

from __future__ import annotations

from whatchanged.errors import OperationError

__all__ = ["Refusal", "bad_request", "conflict", "forbidden", "not_found", "precondition"]


class Refusal(OperationError):
    """A request was understood and is refused; `code` is the ARM error code."""

    def __init__(self, status: int, code: str, message: str, *, target: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.target = target


def not_found(what: str, name: str) -> Refusal:
    """Return the refusal for something that is not there (or that the caller may not see)."""
    return Refusal(404, f"{what}NotFound", f"there is no {what} {name!r}", target=name)


def forbidden(message: str, code: str = "AuthorizationFailed") -> Refusal:
    """Return the refusal for a caller who is known but may not."""
    return Refusal(403, code, message)


def bad_request(message: str, target: str = "", code: str = "InvalidRequest") -> Refusal:
    """Return the refusal for a request that makes no sense."""
    return Refusal(400, code, message, target=target)


def conflict(message: str, target: str = "") -> Refusal:
    """Return the refusal for a change that something else forbids now."""
    return Refusal(409, "Conflict", message, target=target)


def precondition(message: str, target: str = "") -> Refusal:
    """Return the refusal for a change whose If-Match or If-None-Match does not hold."""
    return Refusal(412, "PreconditionFailed", message, target=target)
