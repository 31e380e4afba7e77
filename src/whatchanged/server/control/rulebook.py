"""Rules and associations: the ARM documents as people wrote them, and which machine or group each is for."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import Intake
from whatchanged.server.control import schema
from whatchanged.server.control.audit import names_of, note
from whatchanged.server.control.conditions import Condition
from whatchanged.server.control.database import Database
from whatchanged.server.control.groups import ensure_group
from whatchanged.server.control.refusals import bad_request, conflict, not_found
from whatchanged.server.control.rule_reading import read, reread

__all__ = ["AssignedRule", "Rulebook", "associate", "known_rule", "rules_of"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.() -]{0,200}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
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

    def put(
        self,
        actor: str,
        name: str,
        document: bytes,
        condition: Condition = Condition(),  # noqa: B008 - immutable
    ) -> tuple[dict[str, Any], bool]:
        """Create or replace a rule; returns it and whether it is new. Raises RuleError if it cannot be read."""
        _check_name(name)
        text = read(document).text
        etag = hashlib.sha256(text.encode()).hexdigest()[:32]
        now, key, table = now_ns(), name.lower(), schema.rules
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)  # nobody comes between the condition and the change
            before = connection.execute(select(table).where(table.c.key == key)).one_or_none()
            condition.check(None if before is None else before.etag, "rule", name)
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
            authors = _authors(connection)
        return {**_described(row, authors), "document": msgspec.json.decode(row.document)}, before is None

    def get(self, name: str) -> dict[str, Any]:
        """Return a rule with its document."""
        with self._database.read() as connection:
            row, authors = known_rule(connection, name), _authors(connection)
        return {**_described(row, authors), "document": msgspec.json.decode(row.document)}

    def document(self, name: str) -> str:
        """Return a rule's document as it is kept."""
        with self._database.read() as connection:
            return str(known_rule(connection, name).document)

    def list_all(self, *, documents: bool = True) -> list[dict[str, Any]]:
        """Return every rule, by name; with `documents` also what they say."""
        with self._database.read() as connection:
            rows = connection.execute(select(schema.rules).order_by(schema.rules.c.key)).all()
            authors = _authors(connection)
        return [
            {**_described(row, authors), **({"document": msgspec.json.decode(row.document)} if documents else {})}
            for row in rows
        ]

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Return what the rule was and is, the newest first: when, by whom; at most the last 100."""
        table = schema.rule_history
        with self._database.read() as connection:
            rule = known_rule(connection, name)
            # A rule that was removed and made anew begins anew.
            mine = select(table.c.id, table.c.etag, table.c.at, table.c.actor).where(
                table.c.key == rule.key, table.c.immutable_id == rule.immutable_id
            )
            rows = connection.execute(mine.order_by(table.c.id.desc())).all()
            names = names_of(connection, {row.actor for row in rows})
        return [_version(row, names) for row in rows]

    def version(self, name: str, number: str) -> dict[str, Any]:
        """Return one version, by its id, with its document."""
        table = schema.rule_history
        with self._database.read() as connection:
            rule = known_rule(connection, name)
            row = connection.execute(
                select(table).where(
                    table.c.key == rule.key,
                    table.c.immutable_id == rule.immutable_id,
                    table.c.id == (int(number) if _NUMBER.fullmatch(number) else 0),
                )
            ).one_or_none()
            if row is None:
                raise not_found("Version", number)
            names = names_of(connection, {row.actor})
        return {**_version(row, names), "document": msgspec.json.decode(row.document)}

    def remove(self, actor: str, name: str, condition: Condition = Condition()) -> None:  # noqa: B008 - immutable
        """Remove a rule; refuses while it is associated."""
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)
            row = known_rule(connection, name)
            condition.check(row.etag, "rule", name)
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
        return () if document is None else reread(document).intakes

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


def _described(row: Row[Any], authors: Mapping[str, str]) -> dict[str, Any]:
    reading = reread(row.document)
    return {
        "name": row.name,
        "description": reading.description,
        "immutableId": row.immutable_id,
        "etag": row.etag,
        "createdAt": time_text(row.created_at),
        "updatedAt": time_text(row.updated_at),
        "updatedBy": authors.get(row.immutable_id, ""),
        "sources": reading.sources,
        "problems": reading.problems,
    }


def _version(row: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {"id": row.id, "etag": row.etag, "at": time_text(row.at), "by": names[row.actor]}


def _authors(connection: Connection) -> dict[str, str]:
    """Return who changed each rule last, by its immutable id."""
    table = schema.rule_history
    newest = select(func.max(table.c.id)).group_by(table.c.immutable_id)
    rows = connection.execute(select(table.c.immutable_id, table.c.actor).where(table.c.id.in_(newest))).all()
    names = names_of(connection, {row.actor for row in rows})
    return {row.immutable_id: names[row.actor] for row in rows}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise bad_request("a name is 1 to 200 letters, digits, spaces and -_.()", "name")


def _remember(connection: Connection, key: str, immutable_id: str, etag: str, text: str, actor: str) -> None:
    table = schema.rule_history
    connection.execute(
        insert(table).values(key=key, immutable_id=immutable_id, etag=etag, document=text, at=now_ns(), actor=actor)
    )
    kept = select(table.c.id).where(table.c.key == key).order_by(table.c.id.desc()).offset(_HISTORY).limit(1)
    oldest = connection.execute(kept).scalar_one_or_none()
    if oldest is not None:
        connection.execute(delete(table).where(table.c.key == key, table.c.id <= oldest))
