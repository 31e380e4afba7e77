"""Accounts of people: a name and a password, a role, and the machine groups they are limited to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from whatchanged.errors import CredentialError
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import passwords, schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.groups import group_name
from whatchanged.server.control.people import Person, Role
from whatchanged.server.control.refusals import Refusal, bad_request, conflict, not_found

__all__ = ["Accounts", "account_person"]

_NAME = re.compile(r"[\w][\w.@+-]{0,63}")
_SHORTEST = 12
_MOST = 10_000
_WRONG = "the name or the password is wrong"


class Accounts:
    """Local accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, name: str, password: str) -> Person:
        """Return whose name and password these are; raises CredentialError. Takes about a quarter of a second."""
        row = self._row(name)
        if row is None or len(password) > passwords.MOST_CHARACTERS:
            passwords.nobodys(password[: passwords.MOST_CHARACTERS])
            raise CredentialError(_WRONG)
        if not passwords.matches(password, row.password):
            raise CredentialError(_WRONG)
        return account_person(row)

    def create(
        self, actor: str, name: str, password: str, role: Role, groups: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Make an account and return it."""
        shown = unicodedata.normalize("NFC", name)
        if not _NAME.fullmatch(shown):
            raise bad_request("a name has 1 to 64 letters, digits and .@+-_ and begins with a letter or digit", "name")
        names = _limited(role, groups)
        what = _kept(password)
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)
            table = schema.accounts
            if connection.execute(select(table.c.key).where(table.c.key == _key(shown))).one_or_none():
                raise conflict(f"there is an account {shown!r} already", "name")
            if connection.execute(select(func.count()).select_from(table)).scalar_one() >= _MOST:
                raise bad_request(f"there are {_MOST} accounts already")
            values = {
                "key": _key(shown),
                "name": shown,
                "password": what,
                "role": role.label,
                "machine_groups": _kept_groups(names),
                "created_at": now_ns(),
                "created_by": actor,
            }
            connection.execute(insert(table).values(values))
            note(connection, actor, "account.create", shown, role=role.label, groups=names)
            row = _found(connection, shown)
        return _described(row)

    def set_password(self, actor: str, name: str, password: str) -> None:
        """Give an account another password; its sessions end."""
        what = _kept(password)
        table, key = schema.accounts, _key(name)
        with self._database.write() as connection:
            if not connection.execute(update(table).where(table.c.key == key).values(password=what)).rowcount:
                raise not_found("Account", name)
            for other in (schema.sessions, schema.sign_in_links):
                connection.execute(delete(other).where(other.c.account == key))
            note(connection, actor, "account.password", name)

    def change(self, actor: str, name: str, role: Role, groups: Iterable[str] | None) -> dict[str, Any]:
        """Give an account another role and other groups, which count from its next request; returns it."""
        names = _limited(role, groups)
        table, key = schema.accounts, _key(name)
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)
            former = _found(connection, name)
            if role is not Role.OWNER:
                _refuse_last_owner(connection, former)
            values = {"role": role.label, "machine_groups": _kept_groups(names)}
            connection.execute(update(table).where(table.c.key == key).values(values))
            note(connection, actor, "account.change", name, role=role.label, groups=names, formerRole=former.role)
            row = _found(connection, name)
        return _described(row)

    def end_sessions(self, actor: str, name: str) -> None:
        """End every session of an account; its sign-in links are void, too."""
        with self._database.write() as connection:
            _found(connection, name)
            for other in (schema.sessions, schema.sign_in_links):
                connection.execute(delete(other).where(other.c.account == _key(name)))
            note(connection, actor, "account.endSessions", name)

    def remove(self, actor: str, name: str) -> None:
        """Remove an account; its sessions end."""
        key = _key(name)
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)
            _refuse_last_owner(connection, _found(connection, name))
            for other in (schema.sessions, schema.sign_in_links):
                connection.execute(delete(other).where(other.c.account == key))
            connection.execute(delete(schema.accounts).where(schema.accounts.c.key == key))
            note(connection, actor, "account.remove", name)

    def list_all(self) -> list[dict[str, Any]]:
        """Return every account, without passwords."""
        accounts = schema.accounts
        with self._database.read() as connection:
            rows = connection.execute(select(accounts).order_by(accounts.c.key)).all()
        return [_described(row) for row in rows]

    def _row(self, name: str) -> Row[Any] | None:
        with self._database.read() as connection:
            return connection.execute(select(schema.accounts).where(schema.accounts.c.key == _key(name))).one_or_none()


def account_person(row: Row[Any]) -> Person:
    """Return the person whose row of `accounts` this is."""
    return Person(account=row.key, name=row.name, role=Role.of(row.role), groups=_groups(row))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name[:128]).lower()


def _groups(row: Row[Any]) -> frozenset[str] | None:
    return None if row.machine_groups is None else frozenset(msgspec.json.decode(row.machine_groups))


def _kept(password: str) -> str:
    if not _SHORTEST <= len(password) <= passwords.MOST_CHARACTERS:
        raise bad_request(f"a password has {_SHORTEST} to {passwords.MOST_CHARACTERS} characters", "password")
    return passwords.kept(password)


def _limited(role: Role, groups: Iterable[str] | None) -> list[str] | None:
    if role is Role.OWNER and groups is not None:
        raise bad_request("an Owner cannot be limited to machine groups", "machineGroups")
    return None if groups is None else sorted({group_name(group) for group in groups})


def _kept_groups(names: list[str] | None) -> str | None:
    return None if names is None else msgspec.json.encode(names).decode()


def _found(connection: Connection, name: str) -> Row[Any]:
    table = schema.accounts
    row = connection.execute(select(table).where(table.c.key == _key(name))).one_or_none()
    if row is None:
        raise not_found("Account", name)
    return row


def _refuse_last_owner(connection: Connection, row: Row[Any]) -> None:
    """Refuse what would leave nobody who may change accounts. The installation's own token is for emergencies."""
    table = schema.accounts
    others = select(func.count()).where(table.c.role == Role.OWNER.label, table.c.key != row.key)
    if row.role == Role.OWNER.label and not connection.execute(others).scalar_one():
        raise Refusal(
            409, "LastOwner", f"{row.name} is the last account with the role Owner", hint="make another one Owner first"
        )


def _described(row: Row[Any]) -> dict[str, Any]:
    groups = _groups(row)
    return {
        "name": row.name,
        "role": row.role,
        "machineGroups": None if groups is None else sorted(groups),
        "createdAt": time_text(row.created_at),
        "createdBy": row.created_by,
        "lastSignIn": None if row.signed_in_at is None else time_text(row.signed_in_at),
    }
