"""Sessions of browsers, and links that sign in once.

Both speak for an account or a token and end with it: who somebody is and what he may do is looked up anew at every
request, nothing of it stands in the session. Kept are hashes only, as of every secret here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from whatchanged.errors import CredentialError
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.accounts import account_person
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.people import Person, token_person
from whatchanged.server.control.refusals import not_found
from whatchanged.server.control.tokens import new_id, new_secret, same, secret_hash, split

__all__ = ["IDLE_SECONDS", "LINK_SECONDS", "LONGEST_SECONDS", "Opened", "Sessions", "id_of"]

IDLE_SECONDS = 3600
"""A session that asks for nothing ends after this; what a page asks for by itself does not count."""
LONGEST_SECONDS = 24 * 3600
LINK_SECONDS = 600
_SECOND = 10**9
_NOTED_NS = 60 * _SECOND
"""How exact the time of the last request is: writing it down at each one would be a transaction a request."""
_OVER = "the session is over"


class Opened(NamedTuple):
    """A session that was just opened."""

    secret: str
    """What the browser keeps: `wcs1.<id>.<secret>`."""
    person: Person


class Sessions:
    """Open, find, close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, person: Person, address: str = "") -> Opened:
        """Open a session of a person, who asks from `address`."""
        with self._database.write() as connection:
            return _opened(connection, person, address)

    def find(self, text: str, *, noting: bool = True) -> Person:
        """Return whom a session speaks for; raises CredentialError. `noting`: this is a sign of life."""
        session_id, secret = split(text, "wcs1", 2)
        table, now = schema.sessions, now_ns()
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.id == session_id)).one_or_none()
            if row is None or not same(secret, row.hash) or _is_over(row, now):
                raise CredentialError(_OVER)
            person = _person(connection, row)
        if noting and now - row.seen_at > _NOTED_NS:
            with self._database.write() as connection:
                connection.execute(update(table).where(table.c.id == session_id).values(seen_at=now))
        return person

    def close(self, text: str) -> None:
        """End a session."""
        session_id, secret = split(text, "wcs1", 2)
        table = schema.sessions
        with self._database.write() as connection:
            row = connection.execute(select(table).where(table.c.id == session_id)).one_or_none()
            if row is None or not same(secret, row.hash):
                return
            connection.execute(delete(table).where(table.c.id == session_id))
            note(connection, _actor(row), "session.close", session_id)

    def link(self, person: Person) -> str:
        """Return what signs a browser in as this person, once, within ten minutes: `wcl1.<id>.<secret>`."""
        link_id, secret = new_id(), new_secret()
        table, now = schema.sign_in_links, now_ns()
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.expires_at < now))
            connection.execute(
                insert(table).values(
                    id=link_id,
                    hash=secret_hash(secret),
                    **_subject(person),
                    expires_at=now + LINK_SECONDS * _SECOND,
                )
            )
            note(connection, person.actor, "signInLink.create", link_id)
        return f"wcl1.{link_id}.{secret}"

    def follow(self, text: str, address: str = "") -> Opened:
        """Open a session by a link, which is used up; raises CredentialError."""
        link_id, secret = split(text, "wcl1", 2)
        table = schema.sign_in_links
        with self._database.write() as connection:
            row = connection.execute(select(table).where(table.c.id == link_id)).one_or_none()
            if row is None or not same(secret, row.hash) or row.expires_at < now_ns():
                raise CredentialError("the sign-in link was used already, or is over its time")
            # The count holds also where two transactions run side by side (PostgreSQL, read committed).
            if connection.execute(delete(table).where(table.c.id == link_id)).rowcount != 1:
                raise CredentialError("the sign-in link was used already")
            return _opened(connection, _person(connection, row), address)

    def of(self, person: Person) -> list[dict[str, Any]]:
        """Return the open sessions of a person, the newest first."""
        table = schema.sessions
        with self._database.read() as connection:
            query = select(table).where(_is_of(person)).order_by(table.c.created_at.desc())
            rows, now = connection.execute(query).all(), now_ns()
        return [
            {
                "id": row.id,
                "address": row.address,
                "openedAt": time_text(row.created_at),
                "lastSeen": time_text(row.seen_at),
                "endsAt": time_text(row.expires_at),
            }
            for row in rows
            if not _is_over(row, now)
        ]

    def counts(self) -> dict[str, int]:
        """Return how many sessions are open, by key of the account."""
        table, now = schema.sessions, now_ns()
        query = (
            select(table.c.account, func.count())
            .where(table.c.account.is_not(None), table.c.expires_at > now)
            .where(table.c.seen_at > now - IDLE_SECONDS * _SECOND)
            .group_by(table.c.account)
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def end(self, person: Person, session_id: str) -> None:
        """End a session of this person."""
        table = schema.sessions
        with self._database.write() as connection:
            if not connection.execute(delete(table).where(table.c.id == session_id, _is_of(person))).rowcount:
                raise not_found("Session", session_id)
            note(connection, person.actor, "session.close", session_id)


def id_of(text: str) -> str:
    """Return the id of a session."""
    return split(text, "wcs1", 2)[0]


def _is_of(person: Person) -> ColumnElement[bool]:
    table = schema.sessions
    return table.c.account == person.account if person.account else table.c.token_id == person.token_id


def _opened(connection: Connection, person: Person, address: str) -> Opened:
    session_id, secret = new_id(), new_secret()
    table, now = schema.sessions, now_ns()
    connection.execute(delete(table).where(table.c.expires_at < now))
    connection.execute(
        insert(table).values(
            id=session_id,
            hash=secret_hash(secret),
            **_subject(person),
            created_at=now,
            seen_at=now,
            expires_at=now + LONGEST_SECONDS * _SECOND,
            address=address[:64],
        )
    )
    if person.account:
        accounts = schema.accounts
        connection.execute(update(accounts).where(accounts.c.key == person.account).values(signed_in_at=now))
    note(connection, person.actor, "session.open", session_id, address=address[:64])
    return Opened(f"wcs1.{session_id}.{secret}", person)


def _subject(person: Person) -> dict[str, str | None]:
    return {"account": person.account or None, "token_id": person.token_id or None}


def _actor(row: Row[Any]) -> str:
    return f"account:{row.account}" if row.account else f"token:{row.token_id}"


def _is_over(row: Row[Any], now: int) -> bool:
    return bool(now >= row.expires_at or now - row.seen_at >= IDLE_SECONDS * _SECOND)


def _person(connection: Connection, row: Row[Any]) -> Person:
    accounts, tokens = schema.accounts, schema.tokens
    if row.account is not None:
        found = connection.execute(select(accounts).where(accounts.c.key == row.account)).one_or_none()
        if found is not None:
            return account_person(found)
    else:
        found = connection.execute(select(tokens).where(tokens.c.id == row.token_id)).one_or_none()
        if found is not None:
            return token_person(found)
    raise CredentialError(_OVER)
