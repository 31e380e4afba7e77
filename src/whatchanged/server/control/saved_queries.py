"""Saved queries: text, description, category and tags under a name. That a text is a query is the caller's to check."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.conditions import Condition
from whatchanged.server.control.database import Database
from whatchanged.server.control.people import Person
from whatchanged.server.control.refusals import bad_request, conflict, not_found

__all__ = ["QueryContent", "SavedQueries"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.() -]{0,199}", re.ASCII)
_MOST = 10_000
_MOST_CHARACTERS = 100_000


class QueryContent(msgspec.Struct, frozen=True):
    """What somebody saves."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=_MOST_CHARACTERS)]
    description: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    category: Annotated[str, msgspec.Meta(max_length=100)] = ""
    tags: Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...], msgspec.Meta(max_length=20)] = ()  # fmt: skip # noqa: E501


class SavedQueries:
    """The queries that people saved."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        person: Person,
        name: str,
        content: QueryContent,
        parameters: Sequence[Mapping[str, Any]],
        condition: Condition = Condition(),  # noqa: B008 - immutable
        *,
        reserved: bool = False,
    ) -> tuple[dict[str, Any], bool]:
        """Create or replace a query; returns it and whether it is new. `reserved`: a built-in one has the name."""
        if not _NAME.fullmatch(name):
            raise bad_request("a name is 1 to 200 letters, digits, spaces and -_.()", "name")
        etag = hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]
        table, key = schema.saved_queries, name.lower()
        values = {
            "etag": etag,
            "query": content.query,
            "parameters": msgspec.json.encode(list(parameters)).decode(),
            "description": content.description,
            "category": content.category,
            "tags": msgspec.json.encode(content.tags).decode(),
        }
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)  # nobody comes between the condition and the change
            before = _row(connection, name)
            condition.check(None if before is None else before.etag, "query", name)
            by = {"updated_at": now_ns(), "updated_by": person.name}
            if before is None:
                if reserved:
                    raise conflict("a query of this name is built in; save it under another", name)
                _check_count(connection)
                created = {"created_at": by["updated_at"], "created_by": person.name}
                connection.execute(insert(table).values(key=key, name=name, **values, **by, **created))
            elif before.etag != etag:
                connection.execute(update(table).where(table.c.key == key).values(**values, **by))
            if before is None or before.etag != etag:
                note(connection, person.actor, "query.put", name, etag=etag)
            row = _row(connection, name)
        return _described(row), before is None

    def find(self, name: str) -> dict[str, Any] | None:
        """Return a query; None if there is none of the name."""
        with self._database.read() as connection:
            row = _row(connection, name)
        return None if row is None else _described(row)

    def list_all(self) -> list[dict[str, Any]]:
        """Return every query, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(schema.saved_queries).order_by(schema.saved_queries.c.key)).all()
        return [_described(row) for row in rows]

    def remove(self, person: Person, name: str, condition: Condition = Condition()) -> None:  # noqa: B008 - immutable
        """Remove a query."""
        table = schema.saved_queries
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)
            row = _row(connection, name)
            condition.check(None if row is None else row.etag, "query", name)
            if row is None:
                raise not_found("Query", name)
            connection.execute(delete(table).where(table.c.key == row.key))
            note(connection, person.actor, "query.remove", row.name)


def _row(connection: Connection, name: str) -> Any:
    table = schema.saved_queries
    return connection.execute(select(table).where(table.c.key == name.lower())).one_or_none()


def _check_count(connection: Connection) -> None:
    if connection.execute(select(func.count()).select_from(schema.saved_queries)).scalar_one() >= _MOST:
        raise bad_request(f"there are {_MOST} queries already")


def _described(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "query": row.query,
        "parameters": msgspec.json.decode(row.parameters),
        "description": row.description,
        "category": row.category,
        "tags": msgspec.json.decode(row.tags),
        "builtIn": False,
        "etag": row.etag,
        "createdAt": time_text(row.created_at),
        "createdBy": row.created_by,
        "updatedAt": time_text(row.updated_at),
        "updatedBy": row.updated_by,
    }
