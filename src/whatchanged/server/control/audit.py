"""The audit log: every change of the control plane, written in the transaction that makes the change."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.database import Database

__all__ = ["AuditLog", "names_of", "note"]


def note(connection: Connection, actor: str, action: str, target: str, **detail: object) -> None:
    """Add an entry; `actor` is `token:<id>`, `account:<name>`, `machine:<id>`, `enrollment:<id>` or `server`."""
    connection.execute(
        insert(schema.audit).values(
            at=now_ns(),
            actor=actor,
            action=action,
            target=target[:512],
            detail=msgspec.json.encode(detail).decode(),
        )
    )


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

    def latest(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest entries first."""
        with self._database.read() as connection:
            query = select(schema.audit).order_by(schema.audit.c.id.desc()).limit(limit)
            rows = connection.execute(query).all()
        return [
            {
                "time": time_text(row.at),
                "actor": row.actor,
                "action": row.action,
                "target": row.target,
                "detail": msgspec.json.decode(row.detail),
            }
            for row in rows
        ]
