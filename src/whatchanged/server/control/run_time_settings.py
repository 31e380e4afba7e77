"""Settings that people change while the server runs: how long the tables keep their rows (docs/adr/0034)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select

from whatchanged.records import tables
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.refusals import bad_request

__all__ = ["LONGEST_DAYS", "RETAINED", "RunTimeSettings"]

RETAINED = (
    tables.CONFIGURATION_CHANGE.name,
    tables.CONFIGURATION_DATA.name,
    tables.TRACKING_HEALTH.name,
    tables.HEARTBEAT.name,
)
"""Tables with a retention of their own."""
LONGEST_DAYS = 36_500
_PREFIX = "retention."


class RunTimeSettings:
    """What is set while the server runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def retention(self) -> dict[str, dict[str, Any]]:
        """Return `days`, `updatedAt` and `updatedBy` by table; a table that is not named keeps everything."""
        table = schema.settings
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.name.startswith(_PREFIX))).all()
        return {
            row.name.removeprefix(_PREFIX): {
                "days": msgspec.json.decode(row.value, type=int),
                "updatedAt": time_text(row.updated_at),
                "updatedBy": row.updated_by,
            }
            for row in rows
        }

    def set_retention(self, actor: str, days: Mapping[str, int | None]) -> None:
        """Keep the rows of the named tables for so many days; None: for good. The others stay as they are."""
        table = schema.settings
        for name, keep in days.items():
            if name not in RETAINED:
                raise bad_request(f"there is no table {name!r}; there are {', '.join(RETAINED)}", "days")
            if keep is not None and not 1 <= keep <= LONGEST_DAYS:
                raise bad_request(f"a retention is 1 to {LONGEST_DAYS} days", name)
        with self._database.write() as connection:
            for name, keep in days.items():
                key = _PREFIX + name
                connection.execute(delete(table).where(table.c.name == key))
                if keep is not None:
                    values = {"name": key, "value": str(keep), "updated_at": now_ns(), "updated_by": actor}
                    connection.execute(insert(table).values(values))
                note(connection, actor, "settings.retention", name, days=keep)
