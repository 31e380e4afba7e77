"""Machine groups: the resource groups of the ARM ids."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.database import Database
from whatchanged.server.control.refusals import bad_request, conflict, not_found

__all__ = ["Groups", "ensure_group", "group_name"]

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.()-]{0,88}[a-z0-9_()-]|[a-z0-9_]", re.ASCII)
_USERS = (
    ("machines", schema.machines),
    ("senders", schema.senders),
    ("enrolment tokens", schema.enrollment_tokens),
    ("associations", schema.associations),
)
"""What belongs to a group."""


class Groups:
    """The groups there are. One comes to be with the first that belongs to it, or is made here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_all(self, names: frozenset[str] | None = None) -> list[dict[str, Any]]:
        """Return the groups (of `names`), with how many machines, senders and enrolment tokens, and which rules."""
        table, associations, rules = schema.groups, schema.associations, schema.rules
        query = select(table).order_by(table.c.name)
        if names is not None:
            query = query.where(table.c.name.in_(names))
        named = (
            select(associations.c.machine_group, rules.c.name)
            .join(rules, rules.c.key == associations.c.rule)
            .where(associations.c.machine_group.is_not(None))
            .order_by(rules.c.name)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            machines, senders, tokens = (_counts(connection, used) for _, used in _USERS[:3])
            assigned: dict[str, list[str]] = {}
            for group, rule in connection.execute(named):
                if rule not in assigned.setdefault(group, []):
                    assigned[group].append(rule)
        return [
            {
                "name": row.name,
                "createdAt": time_text(row.created_at),
                "machines": machines.get(row.name, 0),
                "senders": senders.get(row.name, 0),
                "enrollmentTokens": tokens.get(row.name, 0),
                "rules": assigned.get(row.name, []),
            }
            for row in rows
        ]

    def create(self, actor: str, name: str) -> bool:
        """Make a group; says whether there was none."""
        with self._database.write() as connection:
            self._database.one_at_a_time(connection)
            known = group_name(name)
            if _exists(connection, known):
                return False
            ensure_group(connection, known)
            note(connection, actor, "machineGroup.create", known)
        return True

    def remove(self, actor: str, name: str) -> None:
        """Remove a group that nothing belongs to."""
        known = name.lower()
        table = schema.groups
        with self._database.write() as connection:
            if not _exists(connection, known):
                raise not_found("MachineGroup", name)
            for what, used in _USERS:
                query = select(func.count()).select_from(used).where(used.c.machine_group == known)
                count = connection.execute(query).scalar_one()
                if count:
                    raise conflict(f"the group is not empty: {what} that belong to it: {count}", known)
            connection.execute(delete(table).where(table.c.name == known))
            note(connection, actor, "machineGroup.remove", known)


def group_name(name: str) -> str:
    """Return the group's name in lower case (ARM compares without case); refuses what is no name."""
    lower = name.lower()
    if not _NAME.fullmatch(lower):
        raise bad_request("a machine group is named with 1 to 90 letters, digits and -_.()", "machineGroup")
    return lower


def ensure_group(connection: Connection, name: str) -> str:
    """Make the group if there is none and return its name."""
    known = group_name(name)
    if not _exists(connection, known):
        connection.execute(insert(schema.groups).values(name=known, created_at=now_ns()))
    return known


def _exists(connection: Connection, name: str) -> bool:
    found = connection.execute(select(schema.groups.c.name).where(schema.groups.c.name == name)).one_or_none()
    return found is not None


def _counts(connection: Connection, used: Any) -> dict[str, int]:
    query = select(used.c.machine_group, func.count()).group_by(used.c.machine_group)
    return {row[0]: row[1] for row in connection.execute(query)}
