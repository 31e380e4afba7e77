"""Rules and associations: the ARM documents as people wrote them, and which machine or group each is for."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from whatchanged import rules as rule_documents
from whatchanged.errors import RuleError
from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import Intake
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.groups import ensure_group
from whatchanged.server.control.refusals import bad_request, conflict, not_found

__all__ = ["AssignedRule", "Rulebook", "associate", "known_rule", "rules_of"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.() -]{0,200}", re.ASCII)
_HISTORY = 100


class AssignedRule(msgspec.Struct, frozen=True):
    """A rule as a machine gets it."""

    name: str
    immutable_id: str
    etag: str
    document: str


class Rulebook:
    """Rules, their history, and associations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, actor: str, name: str, document: bytes) -> tuple[dict[str, Any], bool]:
        """Create or replace a rule; returns it and whether it is new. Raises RuleError if it cannot be read."""
        _check_name(name)
        text, problems = _read_document(document)
        etag = hashlib.sha256(text.encode()).hexdigest()[:32]
        now, key, table = now_ns(), name.lower(), schema.rules
        with self._database.write() as connection:
            before = connection.execute(select(table).where(table.c.key == key)).one_or_none()
            if before is None:
                immutable_id = f"dcr-{secrets.token_hex(16)}"
                connection.execute(
                    insert(table).values(
                        key=key,
                        name=name,
                        immutable_id=immutable_id,
                        etag=etag,
                        document=text,
                        created_at=now,
                        updated_at=now,
                    )
                )
            else:
                immutable_id = before.immutable_id
            if before is not None and before.etag != etag:
                connection.execute(
                    update(table).where(table.c.key == key).values(etag=etag, document=text, updated_at=now)
                )
            if before is None or before.etag != etag:
                _remember(connection, key, immutable_id, etag, text, actor)
                note(connection, actor, "rule.put", name, etag=etag)
            row = connection.execute(select(table).where(table.c.key == key)).one()
        return {**_described(row), "problems": problems}, before is None

    def get(self, name: str) -> dict[str, Any]:
        """Return a rule with its document."""
        with self._database.read() as connection:
            row = known_rule(connection, name)
        return {**_described(row), "problems": _read_document(row.document.encode())[1]}

    def list_all(self) -> list[dict[str, Any]]:
        """Return every rule, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(schema.rules).order_by(schema.rules.c.key)).all()
        return [_described(row) for row in rows]

    def remove(self, actor: str, name: str) -> None:
        """Remove a rule; refuses while it is associated."""
        with self._database.write() as connection:
            row = known_rule(connection, name)
            used = select(func.count()).select_from(schema.associations).where(schema.associations.c.rule == row.key)
            if connection.execute(used).scalar_one():
                raise conflict("the rule is associated; remove its associations first", name)
            if _has_tokens(connection, row.immutable_id):
                raise conflict("tokens of senders are for this rule; remove them first", name)
            connection.execute(delete(schema.rules).where(schema.rules.c.key == row.key))
            note(connection, actor, "rule.remove", row.name)

    def associate(
        self, actor: str, name: str, rule: str, *, machine_id: str | None = None, group: str | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Give a rule to one machine or to a group; returns the association and whether it is new."""
        with self._database.write() as connection:
            created = associate(connection, actor, name, rule, machine_id=machine_id, group=group)
            row = connection.execute(_associations().where(schema.associations.c.key == name.lower())).one()
        return _association(row), created

    def associations(self) -> list[dict[str, Any]]:
        """Return every association, by name."""
        with self._database.read() as connection:
            rows = connection.execute(_associations().order_by(schema.associations.c.key)).all()
        return [_association(row) for row in rows]

    def association(self, name: str) -> dict[str, Any]:
        """Return one association."""
        with self._database.read() as connection:
            row = connection.execute(_associations().where(schema.associations.c.key == name.lower())).one_or_none()
        if row is None:
            raise not_found("Association", name)
        return _association(row)

    def dissociate(self, actor: str, name: str) -> None:
        """Remove an association."""
        table = schema.associations
        with self._database.write() as connection:
            if not connection.execute(delete(table).where(table.c.key == name.lower())).rowcount:
                raise not_found("Association", name)
            note(connection, actor, "association.remove", name)

    def intakes_of(self, immutable_id: str) -> tuple[Intake, ...]:
        """Return the streams that a rule takes from senders; none if there is no such rule."""
        table = schema.rules
        query = select(table.c.document).where(table.c.immutable_id == immutable_id)
        with self._database.read() as connection:
            document = connection.execute(query).scalar_one_or_none()
        return () if document is None else _intakes(document)

    def exists(self, immutable_id: str) -> bool:
        """Say whether there is a rule with this immutable id."""
        query = select(schema.rules.c.key).where(schema.rules.c.immutable_id == immutable_id)
        with self._database.read() as connection:
            return connection.execute(query).one_or_none() is not None

    def assigned(self, machine_id: str, group: str) -> list[AssignedRule]:
        """Return the rules of a machine and of its group, each once, by name."""
        links, table = schema.associations, schema.rules
        query = (
            select(table.c.name, table.c.immutable_id, table.c.etag, table.c.document)
            .where(
                table.c.key.in_(
                    select(links.c.rule).where((links.c.machine_id == machine_id) | (links.c.machine_group == group))
                )
            )
            .order_by(table.c.key)
        )
        with self._database.read() as connection:
            return [AssignedRule(*row) for row in connection.execute(query)]


def _has_tokens(connection: Connection, immutable_id: str) -> bool:
    tokens, senders = schema.tokens, schema.senders
    query = select(tokens.c.id).join(senders, senders.c.id == tokens.c.sender).where(senders.c.rule_id == immutable_id)
    return connection.execute(query.limit(1)).one_or_none() is not None


def rules_of(connection: Connection, machines: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names of the rules of machines, which are given as id and group, by id."""
    links, table = schema.associations, schema.rules
    ids, groups = {machine_id for machine_id, _ in machines}, {group for _, group in machines}
    rows = connection.execute(
        select(links.c.machine_id, links.c.machine_group, table.c.name)
        .join(table, table.c.key == links.c.rule)
        .where(links.c.machine_id.in_(ids) | links.c.machine_group.in_(groups))
        .order_by(table.c.key)
    ).all()
    found: dict[str | None, list[str]] = {}
    for row in rows:
        found.setdefault(row.machine_id or row.machine_group, []).append(row.name)
    return {
        machine_id: list(dict.fromkeys([*found.get(machine_id, ()), *found.get(group, ())]))
        for machine_id, group in machines
    }


@functools.lru_cache(maxsize=64)
def _intakes(document: str) -> tuple[Intake, ...]:
    return tuple(intake for rule in rule_documents.read(document) for intake in rule.intakes)


def known_rule(connection: Connection, name: str) -> Row[Any]:
    """Return the row of a rule; refuses one that is not there."""
    row = connection.execute(select(schema.rules).where(schema.rules.c.key == name.lower())).one_or_none()
    if row is None:
        raise not_found("Rule", name)
    return row


def associate(
    connection: Connection,
    actor: str,
    name: str,
    rule: str,
    *,
    machine_id: str | None = None,
    group: str | None = None,
) -> bool:
    """Write an association in the caller's transaction; returns whether it is new."""
    _check_name(name)
    if (machine_id is None) == (group is None):
        raise bad_request("an association names either a machine or a group", "machine")
    values = {
        "name": name,
        "rule": known_rule(connection, rule).key,
        "machine_id": machine_id,
        "machine_group": None if group is None else ensure_group(connection, group),
    }
    table, key = schema.associations, name.lower()
    replaced = connection.execute(update(table).where(table.c.key == key).values(values)).rowcount
    if not replaced:
        connection.execute(insert(table).values(key=key, **values))
    note(connection, actor, "association.put", name, rule=rule, machine=machine_id, group=group)
    return not replaced


def _associations() -> Any:
    table = schema.associations
    return select(table, schema.rules.c.name.label("rule_name")).join(schema.rules, schema.rules.c.key == table.c.rule)


def _association(row: Row[Any]) -> dict[str, Any]:
    return {"name": row.name, "rule": row.rule_name, "machine": row.machine_id, "group": row.machine_group}


def _described(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "immutableId": row.immutable_id,
        "etag": row.etag,
        "createdAt": time_text(row.created_at),
        "updatedAt": time_text(row.updated_at),
        "document": msgspec.json.decode(row.document),
    }


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise bad_request("a name is 1 to 200 letters, digits, spaces and -_.()", "name")


def _read_document(document: bytes) -> tuple[str, list[dict[str, str]]]:
    """Return the document's text and what is wrong with it; raises RuleError if nothing in it can be read."""
    found = rule_documents.read(document)
    if len(found) > 1:
        raise bad_request(f"the document holds {len(found)} rules; put each under its own name", "properties")
    problems = [
        {"place": problem.place, "message": problem.message, "severity": str(problem.severity)}
        for rule in found
        for problem in rule.problems
    ]
    text = document.decode("utf-8-sig")
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The reader of rules is more lenient (1e999, halves of surrogates); what is kept must come out again.
        raise RuleError(f"is no JSON: {error}") from error
    return text, problems


def _remember(connection: Connection, key: str, immutable_id: str, etag: str, text: str, actor: str) -> None:
    table = schema.rule_history
    connection.execute(
        insert(table).values(key=key, immutable_id=immutable_id, etag=etag, document=text, at=now_ns(), actor=actor)
    )
    kept = select(table.c.id).where(table.c.key == key).order_by(table.c.id.desc()).offset(_HISTORY).limit(1)
    oldest = connection.execute(kept).scalar_one_or_none()
    if oldest is not None:
        connection.execute(delete(table).where(table.c.key == key, table.c.id <= oldest))
