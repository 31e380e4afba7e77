"""Failed sign-ins in the audit log, so that guessing is seen, and so that who guesses does not fill the disk.

What one address tries of one name within an hour is one entry that counts. An hour has 200 entries of this kind at
most; what else fails then is counted in one more, that names nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
from sqlalchemy import update

from whatchanged.logs import printable
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database

__all__ = ["ACTION", "FailedSignIns"]

ACTION = "signIn.failed"
_WINDOW = 3600.0
_MOST = 200
_OTHERS = ("*", "*")
_LONGEST_NAME = 128


class _Entry(msgspec.Struct):
    id: int
    count: int = 1


class FailedSignIns:
    """Writes failures down. Thread-safe; every process of a server counts for itself."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def note(self, name: str, address: str, by: str) -> None:
        """Count a failure; `name` is what was given as one (empty: none was), `by` what was tried (`password`)."""
        with self._lock:
            if self._clock() - self._began >= _WINDOW:
                self._began = self._clock()
                self._entries.clear()
            # Not a name: anything that somebody typed or sent.
            key = (printable(name[:_LONGEST_NAME])[:_LONGEST_NAME], address[:64])
            if key not in self._entries and len(self._entries) >= _MOST:
                key, by = _OTHERS, "others"
            self._write(key, by)

    def _write(self, key: tuple[str, str], by: str) -> None:
        name, address = key
        known = self._entries.get(key)
        with self._database.write() as connection:
            if known is None:
                entry_id = note(connection, f"address:{address}", ACTION, name, by=by, count=1)
                self._entries[key] = _Entry(entry_id)
                return
            detail = {"by": by, "count": known.count + 1, "last": time_text(now_ns())}
            table = schema.audit
            text = msgspec.json.encode(detail).decode()
            connection.execute(update(table).where(table.c.id == known.id).values(detail=text))
        known.count += 1
