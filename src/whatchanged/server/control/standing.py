"""How far rules are in force: which machines should hold them, and which said that they do.

A machine that asks for its configuration with the ETag of what it would be given holds that. It is kept in memory, as
the machines ask again within a minute; a server of several processes knows of those that ask this one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import select

from whatchanged.rules import LINUX, WINDOWS
from whatchanged.server.control import schema
from whatchanged.server.control.database import Database
from whatchanged.server.control.rule_reading import reread
from whatchanged.wire.configuration import Configuration

__all__ = ["Standing", "Standings"]

_EXTENSIONS = {"linux": LINUX, "windows": WINDOWS}


class Standing(msgspec.Struct):
    """How far one rule is in force."""

    machines: int = 0
    """Active machines that it is associated with and has settings for."""
    confirmed: int = 0
    """Those of them that hold it as it is now."""


class Standings:
    """What machines said of the rules that they hold. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[str, Mapping[str, str]] = {}
        self._lock = threading.Lock()

    def confirm(self, machine_id: str, configurations: Iterable[Configuration]) -> None:
        """Note that a machine holds this."""
        held = {one.configuration_id: one.etag for one in configurations}
        with self._lock:
            self._held[machine_id] = held

    def of_rules(self, groups: frozenset[str] | None) -> dict[str, Standing]:
        """Return how far each rule is in force on the machines of `groups` (None: all), by the key of the rule."""
        links, machines, table = schema.associations, schema.machines, schema.rules
        query = select(machines.c.id, machines.c.machine_group, machines.c.os_type).where(machines.c.status == "active")
        if groups is not None:
            query = query.where(machines.c.machine_group.in_(groups))
        with self._database.read() as connection:
            rules = {row.key: row for row in connection.execute(select(table))}
            known = connection.execute(query).all()
            by_machine: dict[str, set[str]] = {}
            for link in connection.execute(select(links.c.rule, links.c.machine_id, links.c.machine_group)):
                by_machine.setdefault(link.machine_id or f"group {link.machine_group}", set()).add(link.rule)
        extensions = {key: reread(row.document).extensions for key, row in rules.items()}
        with self._lock:
            held = {machine_id: self._held[machine_id] for machine_id, *_ in known if machine_id in self._held}
        standings = {key: Standing() for key in rules}
        for machine_id, group, os_type in known:
            for key in by_machine.get(machine_id, set()) | by_machine.get(f"group {group}", set()):
                if _EXTENSIONS.get(os_type.lower()) in extensions[key]:
                    standings[key].machines += 1
                    etag = held.get(machine_id, {}).get(rules[key].immutable_id)
                    standings[key].confirmed += etag == rules[key].etag
        return standings
