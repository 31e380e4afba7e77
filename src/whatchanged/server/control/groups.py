"""Machine groups: the resource groups of the ARM ids."""

from __future__ import annotations

import re

from sqlalchemy import Connection, insert, select

from whatchanged.records.times import now_ns
from whatchanged.server.control import schema
from whatchanged.server.control.refusals import bad_request

__all__ = ["ensure_group", "group_name"]

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.()-]{0,88}[a-z0-9_()-]|[a-z0-9_]", re.ASCII)


def group_name(name: str) -> str:
    """Return the group's name in lower case (ARM compares without case); refuses what is no name."""
    lower = name.lower()
    if not _NAME.fullmatch(lower):
        raise bad_request("a machine group is named with 1 to 90 letters, digits and -_.()", "machineGroup")
    return lower


def ensure_group(connection: Connection, name: str) -> str:
    """Make the group if there is none and return its name."""
    known = group_name(name)
    found = connection.execute(select(schema.groups.c.name).where(schema.groups.c.name == known)).one_or_none()
    if found is None:
        connection.execute(insert(schema.groups).values(name=known, created_at=now_ns()))
    return known
