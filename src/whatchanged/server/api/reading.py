"""The interface of people, where it reads: changes, inventory, health. Limited to the caller's machine groups."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from whatchanged.records.items import Kind
from whatchanged.server.api.access import Access, AnyRequest, visible_machines
from whatchanged.server.api.context import context_of
from whatchanged.server.api.shapes import Changes, Health, Inventory, InventoryGroups, answers
from whatchanged.server.control.refusals import not_found
from whatchanged.server.query import GROUPED, MAX_LIMIT, ChangeFilter, GroupFilter, HealthFilter, InventoryFilter, Page

__all__ = ["HANDLERS"]

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT)]
From = Annotated[str, QueryParameter(name="from")]
To = Annotated[str, QueryParameter(name="to")]
_KINDS: dict[str, Kind] = {
    "files": Kind.FILES,
    "software": Kind.SOFTWARE,
    "services": Kind.WINDOWS_SERVICES,
    "daemons": Kind.DAEMONS,
    "registry": Kind.REGISTRY,
}


@get("/api/v1/changes", opt={"access": Access.READER}, responses=answers(Changes))
async def changes(
    request: AnyRequest,
    machine: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    category: FromQuery[str] = "",
    path: FromQuery[str] = "",
    start: From = "",
    end: To = "",
    limit: Limit = 100,
    cursor: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """Return changes, newest first."""
    wanted = ChangeFilter(
        machine=machine,
        machines=await visible_machines(request),
        kind=kind,
        category=category,
        path=path,
        start=start,
        end=end,
    )
    return _listed(await context_of(request).reader.changes(wanted, limit=limit, cursor=cursor))


@get("/api/v1/inventory/{kind:str}", opt={"access": Access.READER}, responses=answers(Inventory))
async def inventory(
    request: AnyRequest,
    kind: FromPath[str],
    machine: FromQuery[str] = "",
    name: FromQuery[str] = "",
    at: FromQuery[str] = "",
    limit: Limit = 100,
    cursor: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """Return the items of one kind, now or as of `at`."""
    if kind.lower() not in _KINDS:
        raise not_found("InventoryKind", kind)
    wanted = InventoryFilter(
        machine=machine, machines=await visible_machines(request), kind=_KINDS[kind.lower()], name=name, at=at
    )
    return _listed(await context_of(request).reader.inventory(wanted, limit=limit, cursor=cursor))


Pairs = FromQuery[list[str] | None]


@get("/api/v1/inventory-groups/{kind:str}", opt={"access": Access.READER}, responses=answers(InventoryGroups))
async def inventory_groups(
    request: AnyRequest,
    kind: FromPath[str],
    text: FromQuery[str] = "",
    at: FromQuery[str] = "",
    only: Pairs = None,
    other_than: Annotated[list[str] | None, QueryParameter(name="otherThan")] = None,
    order: FromQuery[str] = "machines",
    descending: FromQuery[bool] = True,
    start: Annotated[int, QueryParameter(ge=0)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 200,
) -> dict[str, Any]:
    """Return names and versions of one kind, and on how many machines each is, now or as of `at`.

    `only` and `otherThan` are `field:value`, of the fields item, version, publisher, architecture, display, size and
    state. What arrives is counted within seconds, not at once.
    """
    found = _KINDS.get(kind.lower())
    if found not in GROUPED:
        raise not_found("InventoryKind", kind)
    context = context_of(request)
    wanted = GroupFilter(
        kind=found,
        at=at,
        machines=await visible_machines(request),
        text=text,
        only=_pairs(only),
        other_than=_pairs(other_than),
        order=order,
        descending=descending,
    )
    groups = await context.reader.prevalence.groups(wanted, context.arrivals.mark, start, limit)
    return {
        "value": [msgspec.to_builtins(group) for group in groups.value],
        "total": groups.total,
        "machines": groups.machines,
        "countedAt": groups.counted_at,
        "cut": groups.cut,
    }


def _pairs(given: list[str] | None) -> tuple[tuple[str, str], ...]:
    split = [text.partition(":") for text in given or ()]
    return tuple((field, value) for field, _, value in split)


@get("/api/v1/health", opt={"access": Access.READER}, responses=answers(Health))
async def health(
    request: AnyRequest,
    machine: FromQuery[str] = "",
    reason: FromQuery[str] = "",
    status: FromQuery[str] = "",
    component: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    start: From = "",
    end: To = "",
    limit: Limit = 100,
    cursor: FromQuery[str | None] = None,
) -> dict[str, Any]:
    """Return health records, newest first."""
    wanted = HealthFilter(
        machine=machine,
        machines=await visible_machines(request),
        reason=reason,
        status=status,
        component=component,
        kind=kind,
        start=start,
        end=end,
    )
    return _listed(await context_of(request).reader.health(wanted, limit=limit, cursor=cursor))


def _listed(page: Page) -> dict[str, Any]:
    return {"value": page.rows, "nextCursor": page.cursor} if page.cursor else {"value": page.rows}


HANDLERS = (changes, inventory, inventory_groups, health)
