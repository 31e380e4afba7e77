"""The interface of people, where it shows and sets how the server runs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from whatchanged.server.api.access import Access, AnyRequest, person_of
from whatchanged.server.api.context import Context, context_of
from whatchanged.server.api.shapes import answers
from whatchanged.server.control.refusals import conflict, not_found
from whatchanged.server.control.run_time_settings import LONGEST_DAYS, RETAINED
from whatchanged.server.settings_in_force import ShownSetting

__all__ = ["HANDLERS"]


class Held(msgspec.Struct):
    """Rows of a table."""

    rows: int
    oldest: str | None
    """Day on which the oldest of them came; null: there is none."""


class Retention(msgspec.Struct, rename="camel"):
    """How long a table keeps its rows."""

    table: str
    days: int | None
    """Null: for good."""
    source: str
    """`portal`, `default`, or what sets the setting of the server: then it cannot be changed here."""
    setting: str
    """Name of the setting that fixes it."""
    updated_at: str | None
    updated_by: str | None
    rows: int
    oldest: str | None


class SettingsShown(msgspec.Struct):
    """The settings."""

    retention: list[Retention]
    value: list[ShownSetting]


class NewRetention(msgspec.Struct):
    """Days by table; null: for good. What is not named stays as it is."""

    days: dict[str, Annotated[int, msgspec.Meta(ge=1, le=LONGEST_DAYS)] | None]


@get("/api/v1/settings", opt={"access": Access.OWNER}, responses=answers(SettingsShown))
async def show_settings(request: AnyRequest) -> SettingsShown:
    """Return the server's settings, without secrets, and how long each table keeps its rows."""
    return await _shown(context_of(request))


@get("/api/v1/settings/retention/{table:str}/removal", opt={"access": Access.OWNER}, responses=answers(Held))
async def show_removal(
    request: AnyRequest, table: FromPath[str], days: Annotated[int, QueryParameter(ge=1, le=LONGEST_DAYS)]
) -> Held:
    """Return what a retention of so many days would remove now."""
    context = context_of(request)
    if table not in RETAINED:
        raise not_found("Table", table)
    return Held(*await context.call(context.storage.held, table, beyond_days=days))


@put("/api/v1/settings/retention", opt={"access": Access.OWNER}, responses=answers(SettingsShown))
async def set_retention(request: AnyRequest, data: JSONBody[NewRetention]) -> SettingsShown:
    """Set how long tables keep their rows; what is older goes within an hour."""
    context = context_of(request)
    for table in data.days:
        if table in context.settings.fixed_retention:
            name = context.settings.retention_names.get(table, table)
            raise conflict(f"the retention of {table} is fixed by the server's setting {name}; change it there", table)
    await context.call(context.control.settings.set_retention, person_of(request).actor, data.days)
    return await _shown(context)


async def _shown(context: Context) -> SettingsShown:
    return SettingsShown(retention=await context.call(_retention, context), value=list(context.settings.shown))


def _retention(context: Context) -> list[Retention]:
    stored, fixed = context.control.settings.retention(), context.settings.fixed_retention
    sources = {setting.name: setting.source for setting in context.settings.shown}
    found = []
    for table in RETAINED:
        rows, oldest = context.storage.held(table)
        name = context.settings.retention_names.get(table, "")
        row: dict[str, Any] = stored.get(table, {})
        here = "portal" if row else "default"
        found.append(
            Retention(
                table=table,
                days=fixed.get(table, row.get("days")),
                source=sources.get(name, "settings") if table in fixed else here,
                setting=name,
                updated_at=row.get("updatedAt"),
                updated_by=row.get("updatedBy"),
                rows=rows,
                oldest=oldest,
            )
        )
    return found


HANDLERS = (show_settings, show_removal, set_retention)
