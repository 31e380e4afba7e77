"""When tokens were used last: kept in memory and written down now and then, as with the contacts of machines."""

from __future__ import annotations

import threading

from sqlalchemy import update

from whatchanged.errors import OperationError
from whatchanged.records.times import now_ns
from whatchanged.server.control import schema
from whatchanged.server.control.database import Database

__all__ = ["LastUse"]


class LastUse:
    """Notes uses. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}

    def note(self, token_id: str) -> None:
        """The token was used now. Only of tokens that exist, which bounds how many are kept."""
        with self._lock:
            self._used[token_id] = now_ns()

    def of(self, token_id: str, written: int | None) -> int | None:
        """Return the last use of a token, of which `written` stands in the database; None: never."""
        with self._lock:
            return self._used.get(token_id, written)

    def flush(self) -> None:
        """Write down what was noted."""
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return
        table = schema.tokens
        try:
            with self._database.write() as connection:
                for token_id, at in used.items():
                    connection.execute(update(table).where(table.c.id == token_id).values(used_at=at))
        except OperationError:
            with self._lock:
                self._used = used | self._used
            raise
