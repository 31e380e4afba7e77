"""The audit log: every change of the control plane, written in the transaction that makes the change."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select

from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.database import Database

__all__ = ["AuditFilter", "AuditLog", "names_of", "note"]


def note(connection: Connection, actor: str, action: str, target: str, **detail: object) -> int:
    """Add an entry and return its id.

    `actor` is `token:<id>`, `account:<name>`, `machine:<id>`, `enrollment:<id>`, `address:<address>` or `server`.
    """
    entry = insert(schema.audit).values(
        at=now_ns(),
        actor=actor,
        action=action,
        target=target[:512],
        detail=msgspec.json.encode(detail).decode(),
    )
    key = connection.execute(entry).inserted_primary_key
    assert key is not None  # one row was inserted
    return int(key[0])


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; what is empty asks for nothing. Texts are compared without case."""

    actor: str = ""
    """In the actor."""
    action: str = ""
    """The beginning of the action: `account` or `account.create`."""
    target: str = ""
    """In the target."""
    start: int | None = None
    end: int | None = None
    """Nanoseconds since 1970; from `start`, before `end`."""


def names_of(connection: Connection, actors: Collection[str]) -> dict[str, str]:
    """Return the names of actors as people know them: an account's key, a token's name; else as the log has it."""
    ids = {actor.removeprefix("token:") for actor in actors if actor.startswith("token:")}
    tokens = schema.tokens
    rows = connection.execute(select(tokens.c.id, tokens.c.name).where(tokens.c.id.in_(ids))).all()
    known = {f"token:{row.id}": row.name for row in rows}
    return {actor: known.get(actor, actor.removeprefix("account:")) for actor in actors}


class AuditLog:
    """Reading the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(
        self, limit: int = 100, wanted: AuditFilter | None = None, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the newest entries first, at most `limit`; `before`: only those older than the entry of this id."""
        table = schema.audit
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.id < before)
        if wanted is not None:
            for column, text in ((table.c.actor, wanted.actor), (table.c.target, wanted.target)):
                if text:
                    query = query.where(column.icontains(text, autoescape=True))
            if wanted.action:
                query = query.where(table.c.action.istartswith(wanted.action, autoescape=True))
            if wanted.start is not None:
                query = query.where(table.c.at >= wanted.start)
            if wanted.end is not None:
                query = query.where(table.c.at < wanted.end)
        with self._database.read() as connection:
            return [_described(row) for row in connection.execute(query)]


def _described(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "time": time_text(row.at),
        "actor": row.actor,
        "action": row.action,
        "target": row.target,
        "detail": msgspec.json.decode(row.detail),
    }
