"""Senders: programs that are no machines of ours and may send records to one rule; they may read nothing.

A sender is known by its rule and its name. Its tokens come and go (a new one for the same name and rule is the same
sender), its id stays: rows bear it, and repeated requests are recognised by it.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from whatchanged.errors import CredentialError
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.groups import ensure_group
from whatchanged.server.control.last_use import LastUse
from whatchanged.server.control.people import SENDER_ROLE, NewToken, store_token
from whatchanged.server.control.refusals import conflict, forbidden, not_found
from whatchanged.server.control.rulebook import known_rule
from whatchanged.server.control.tokens import same, split
from whatchanged.server.identity import SenderIdentity

__all__ = ["Senders"]


class _Known(NamedTuple):
    id: str
    group: str


class Senders:
    """Senders and their tokens."""

    def __init__(self, database: Database, workspace_id: str, last_use: LastUse) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._last_use = last_use

    def create_token(
        self, actor: str, name: str, rule: str, group: str = "default", expires_at: int | None = None
    ) -> tuple[str, str]:
        """Make a token for the sender `name` of a rule and return (id, token); the token is shown this once.

        Whoever may see the machines of `group` sees what it sends.
        """
        with self._database.write() as connection:
            rule_id = known_rule(connection, rule).immutable_id
            sender = _ensure(connection, name, rule_id, ensure_group(connection, group))
            token = NewToken.make(name, SENDER_ROLE, groups=[sender.group], expires_at=expires_at, sender=sender.id)
            store_token(connection, actor, token)
            note(connection, actor, "token.create", token.id, name=name, role=SENDER_ROLE, rule=rule, groups=[group])
        return token.id, token.text

    def list_all(self) -> list[dict[str, Any]]:
        """Return every sender, and how many tokens it has."""
        senders, rules, tokens = schema.senders, schema.rules, schema.tokens
        count = select(func.count()).where(tokens.c.sender == senders.c.id).scalar_subquery()
        query = select(senders, rules.c.name.label("rule"), count.label("tokens")).select_from(
            senders.outerjoin(rules, rules.c.immutable_id == senders.c.rule_id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(senders.c.created_at)).all()
        return [
            {
                "id": row.id,
                "name": row.name,
                "rule": row.rule,
                "machineGroup": row.machine_group,
                "createdAt": time_text(row.created_at),
                "tokens": row.tokens,
            }
            for row in rows
        ]

    def silence(self, actor: str, sender_id: str) -> None:
        """Make all tokens of a sender invalid; refuses one that is not there."""
        with self._database.write() as connection:
            if connection.execute(select(schema.senders.c.id).where(schema.senders.c.id == sender_id)).first() is None:
                raise not_found("Sender", sender_id)
            connection.execute(delete(schema.tokens).where(schema.tokens.c.sender == sender_id))
            note(connection, actor, "sender.silence", sender_id)

    def remove(self, actor: str, sender_id: str) -> None:
        """Forget a sender, whose data must be gone: without it nobody would know who may see that."""
        with self._database.write() as connection:
            connection.execute(delete(schema.senders).where(schema.senders.c.id == sender_id))
            note(connection, actor, "sender.remove", sender_id)

    def authenticate(self, token: str) -> SenderIdentity:
        """Return which sender the token speaks for; raises CredentialError, refuses tokens that ask."""
        token_id, secret = split(token, "wcp1", 2)
        tokens, senders, rules = schema.tokens, schema.senders, schema.rules
        query = (
            select(
                tokens.c.hash,
                tokens.c.role,
                tokens.c.expires_at,
                senders.c.id,
                senders.c.name,
                senders.c.machine_group,
                senders.c.rule_id,
                rules.c.name.label("rule_name"),
            )
            .select_from(
                tokens.outerjoin(senders, senders.c.id == tokens.c.sender).outerjoin(
                    rules, rules.c.immutable_id == senders.c.rule_id
                )
            )
            .where(tokens.c.id == token_id)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or not same(secret, row.hash):
            raise CredentialError("the token is not known")
        if row.expires_at is not None and row.expires_at < now_ns():
            raise CredentialError("the token is over its time")
        if row.id is None:
            raise forbidden(f"a token with the role {row.role} sends no records; that needs one with {SENDER_ROLE}")
        self._last_use.note(token_id)
        return SenderIdentity(
            machine_id=row.id,
            workspace_id=self._workspace_id,
            group=row.machine_group,
            name=row.name,
            rule_id=row.rule_id,
            rule_name=row.rule_name or "",
        )


def _ensure(connection: Connection, name: str, rule_id: str, group: str) -> _Known:
    """Make the sender if there is none; refuses another group: who may see its rows does not change by the way."""
    table = schema.senders
    found = connection.execute(
        select(table.c.id, table.c.machine_group).where(table.c.rule_id == rule_id, table.c.name == name)
    ).one_or_none()
    if found is not None:
        if found.machine_group != group:
            raise conflict(f"the sender {name!r} of this rule belongs to the group {found.machine_group!r}", name)
        return _Known(found.id, group)
    sender_id = str(uuid.uuid4())
    connection.execute(
        insert(table).values(id=sender_id, name=name, rule_id=rule_id, machine_group=group, created_at=now_ns())
    )
    return _Known(sender_id, group)
