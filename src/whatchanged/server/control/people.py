"""People and programs: API tokens, their roles and the machine groups they are limited to."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select

from whatchanged.errors import CredentialError
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.groups import group_name
from whatchanged.server.control.last_use import LastUse
from whatchanged.server.control.refusals import bad_request, forbidden, not_found
from whatchanged.server.control.tokens import new_id, new_secret, person_token, same, secret_hash, split

__all__ = ["LOCAL_TOKEN_ID", "SENDER_ROLE", "NewToken", "People", "Person", "Role", "store_token", "token_person"]

LOCAL_TOKEN_ID = "local"  # noqa: S105 - the id, not the secret
SENDER_ROLE = "Sender"
"""Role of a token that sends records and may do nothing else (`control.senders`)."""
_MOST_TOKENS = 10_000


class Role(IntEnum):
    """Each role may do what the ones before it may."""

    READER = 1
    CONTRIBUTOR = 2
    OWNER = 3

    @property
    def label(self) -> str:
        """The role's name, such as `Reader`."""
        return self.name.capitalize()

    @classmethod
    def of(cls, label: str) -> Role:
        """Return the role named `label`; refuses other names."""
        for role in cls:
            if role.label.lower() == label.lower():
                return role
        raise bad_request("role is Reader, Contributor, Owner or Sender", "role")


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a token speaks for him, or he has an account."""

    token_id: str = ""
    account: str = ""
    """Key of his account; empty: it is a token that speaks."""
    name: str
    role: Role
    groups: frozenset[str] | None = None
    """Machine groups that may be seen and changed; None: all."""

    @property
    def actor(self) -> str:
        """Name in the audit log."""
        return f"account:{self.account}" if self.account else f"token:{self.token_id}"

    def may_see(self, group: str) -> bool:
        """Say whether machines of `group` are this person's business."""
        return self.groups is None or group in self.groups


class NewToken(msgspec.Struct, frozen=True):
    """A token that is about to be stored."""

    id: str
    secret: str
    name: str
    role: str
    groups: list[str] | None = None
    expires_at: int | None = None
    sender: str | None = None

    @classmethod
    def make(
        cls,
        name: str,
        role: str,
        *,
        groups: list[str] | None = None,
        expires_at: int | None = None,
        sender: str | None = None,
    ) -> NewToken:
        """Return one with a new id and secret."""
        return cls(new_id(), new_secret(), name, role, groups, expires_at, sender)

    @property
    def text(self) -> str:
        """What its holder gets."""
        return person_token(self.id, self.secret)


class People:
    """API tokens."""

    def __init__(self, database: Database, last_use: LastUse) -> None:
        self._database = database
        self._last_use = last_use

    def authenticate(self, token: str) -> Person:
        """Return whom the token speaks for; raises CredentialError."""
        token_id, secret = split(token, "wcp1", 2)
        with self._database.read() as connection:
            row = connection.execute(select(schema.tokens).where(schema.tokens.c.id == token_id)).one_or_none()
        if row is None or not same(secret, row.hash):
            raise CredentialError("the token is not known")
        person = token_person(row)
        self._last_use.note(token_id)
        return person

    def create(
        self, actor: str, name: str, role: Role, groups: Iterable[str] | None = None, expires_at: int | None = None
    ) -> tuple[str, str]:
        """Make a token and return (id, token); the token is shown this once."""
        if role is Role.OWNER and groups is not None:
            raise bad_request("an Owner cannot be limited to machine groups", "machineGroups")
        names = None if groups is None else sorted({group_name(group) for group in groups})
        token = NewToken.make(name, role.label, groups=names, expires_at=expires_at)
        with self._database.write() as connection:
            store_token(connection, actor, token)
            note(connection, actor, "token.create", token.id, name=name, role=role.label, groups=names)
        return token.id, token.text

    def ensure_local(self, token: str) -> None:
        """Make the installation's owner token (the one in `local.token`) valid."""
        token_id, secret = split(token, "wcp1", 2)
        if token_id != LOCAL_TOKEN_ID:
            raise CredentialError("local.token holds a token of another kind")
        with self._database.write() as connection:
            row = connection.execute(select(schema.tokens.c.hash).where(schema.tokens.c.id == token_id)).one_or_none()
            if row is not None and same(secret, row.hash):
                return
            _forget(connection, token_id)
            _insert(connection, "server", NewToken(token_id, secret, "owner of this installation", Role.OWNER.label))
            note(connection, "server", "token.local", token_id)

    def list_all(self) -> list[dict[str, Any]]:
        """Return every token, without secrets."""
        senders, rules = schema.senders, schema.rules
        query = select(schema.tokens, rules.c.name.label("rule")).select_from(
            schema.tokens.outerjoin(senders, senders.c.id == schema.tokens.c.sender).outerjoin(
                rules, rules.c.immutable_id == senders.c.rule_id
            )
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(schema.tokens.c.created_at)).all()
        return [
            {
                "id": row.id,
                "name": row.name,
                "role": row.role,
                "machineGroups": None if row.machine_groups is None else msgspec.json.decode(row.machine_groups),
                "createdAt": time_text(row.created_at),
                "createdBy": row.created_by,
                "expiresAt": None if row.expires_at is None else time_text(row.expires_at),
                "sender": row.sender,
                "rule": row.rule,
                "lastUsed": None if (used := self._last_use.of(row.id, row.used_at)) is None else time_text(used),
            }
            for row in rows
        ]

    def remove(self, actor: str, token_id: str) -> None:
        """Make a token invalid at once."""
        if token_id == LOCAL_TOKEN_ID:
            raise bad_request("remove local.token and start the server anew to change the installation's own token")
        with self._database.write() as connection:
            if not _forget(connection, token_id):
                raise not_found("Token", token_id)
            note(connection, actor, "token.remove", token_id)


def token_person(row: Row[Any]) -> Person:
    """Return whom the token of this row of `tokens` speaks for; raises CredentialError, Refusal."""
    if row.expires_at is not None and row.expires_at < now_ns():
        raise CredentialError("the token is over its time")
    if row.sender is not None:
        raise forbidden("the token sends records and may do nothing else")
    groups = None if row.machine_groups is None else frozenset(msgspec.json.decode(row.machine_groups))
    return Person(token_id=row.id, name=row.name, role=Role.of(row.role), groups=groups)


def _forget(connection: Connection, token_id: str) -> bool:
    """Remove a token with the sessions that speak for it; says whether there was one."""
    for table in (schema.sessions, schema.sign_in_links):
        connection.execute(delete(table).where(table.c.token_id == token_id))
    return bool(connection.execute(delete(schema.tokens).where(schema.tokens.c.id == token_id)).rowcount)


def store_token(connection: Connection, actor: str, token: NewToken) -> None:
    """Write a token in the caller's transaction; refuses one too many."""
    count = connection.execute(select(func.count()).select_from(schema.tokens)).scalar_one()
    if count >= _MOST_TOKENS:
        raise bad_request(f"there are {_MOST_TOKENS} tokens already")
    _insert(connection, actor, token)


def _insert(connection: Connection, actor: str, token: NewToken) -> None:
    connection.execute(
        insert(schema.tokens).values(
            id=token.id,
            name=token.name,
            hash=secret_hash(token.secret),
            role=token.role,
            machine_groups=None if token.groups is None else msgspec.json.encode(token.groups).decode(),
            created_at=now_ns(),
            created_by=actor,
            expires_at=token.expires_at,
            sender=token.sender,
        )
    )
