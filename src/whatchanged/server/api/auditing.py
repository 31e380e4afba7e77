"""The interface of people, where it reads the audit log."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import QueryParameter

from whatchanged.server.api.access import Access, AnyRequest
from whatchanged.server.api.context import context_of
from whatchanged.server.api.moments import moment
from whatchanged.server.api.shapes import answers
from whatchanged.server.control.audit import AuditFilter
from whatchanged.server.control.refusals import bad_request

__all__ = ["HANDLERS"]


class AuditEntry(msgspec.Struct):
    """An entry of the audit log."""

    id: int
    time: str
    actor: str
    """`token:<id>`, `account:<name>`, `machine:<id>`, `enrollment:<id>`, `address:<address>` or `server`."""
    action: str
    target: str
    detail: dict[str, Any]


class AuditEntries(msgspec.Struct, rename="camel"):
    """Entries of the audit log."""

    value: list[AuditEntry]
    next_cursor: str | msgspec.UnsetType = msgspec.UNSET


@get("/api/v1/audit", opt={"access": Access.OWNER}, responses=answers(AuditEntries))
async def list_audit(
    request: AnyRequest,
    limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 100,
    actor: Annotated[str, QueryParameter(max_length=128)] = "",
    action: Annotated[str, QueryParameter(max_length=64)] = "",
    target: Annotated[str, QueryParameter(max_length=512)] = "",
    start: Annotated[str, QueryParameter(name="from", max_length=64)] = "",
    end: Annotated[str, QueryParameter(name="to", max_length=64)] = "",
    cursor: Annotated[str | None, QueryParameter(max_length=20)] = None,
) -> dict[str, Any]:
    """Return entries of the audit log, the newest first; `action` is how it begins, `actor` and `target` a part."""
    context = context_of(request)
    wanted = AuditFilter(
        actor=actor,
        action=action,
        target=target,
        start=moment(start, "from") if start else None,
        end=moment(end, "to") if end else None,
    )
    found = await context.call(context.control.audit.latest, limit, wanted, _id(cursor))
    return {"value": found, "nextCursor": str(found[-1]["id"])} if len(found) == limit else {"value": found}


def _id(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and int(cursor) < 2**63):
        raise bad_request("the cursor is none of an earlier answer", "cursor")
    return int(cursor)


HANDLERS = (list_audit,)
