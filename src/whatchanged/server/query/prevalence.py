"""The inventory by what it is: every name and version once, and on how many machines.

To count two million items takes the engine the better part of a second, and a list of them is asked for page by page,
letter by letter. So a count is kept and answers all of that until rows have arrived; after that for ten times as long
as it took, and one that took long still answers while it is made anew. What is quickly counted is never old.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control.refusals import Refusal
from whatchanged.server.query.engine_time import engine_time
from whatchanged.server.storage import END_OF_TIME, Row, Storage

__all__ = ["GROUPED", "Group", "GroupFilter", "Groups", "Prevalence"]

_REST = 10
"""Times of its own duration that a count is good for, though rows have arrived."""
_LONG = 0.3
"""Seconds from which on nobody waits for a count that there is an older one of,"""
_UNTOLD = 60.0
"""Seconds that a count is good for where nothing is known to have arrived: another process may have stored rows."""
_STALE = 300.0
"""if it is not older than this."""
MOST = 50_000
"""Groups of one count. Where there are more, a text is looked for by the engine."""
_KEPT = 16
_MOST_AT_ONCE = 8
"""Counts that run or wait for a thread."""

# What makes one thing the same on two machines, and what is told of it: name, version, publisher, the rest.
GROUPED: dict[Kind, tuple[str, str, str, tuple[str, ...]]] = {
    Kind.SOFTWARE: ("SoftwareName", "CurrentVersion", "Publisher", ("Architecture",)),
    Kind.FILES: ("FileSystemPath", "FileContentChecksum", "", ("Size",)),
    Kind.DAEMONS: ("SvcName", "SvcRunlevels", "", ("SvcDisplayName", "SvcState")),
    Kind.WINDOWS_SERVICES: ("SvcName", "SvcStartupType", "", ("SvcDisplayName", "SvcState")),
}


class Group(msgspec.Struct, frozen=True):
    """One thing, and on how many machines it is."""

    name: str
    version: str
    publisher: str
    details: dict[str, Any]
    machines: int


class GroupFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which things; an empty field does not restrict."""

    kind: Kind
    at: str = ""
    """The inventory as it was at this time, ISO 8601."""
    machines: tuple[str, ...] | None = None
    """Machine ids that the asker may see; None: all."""
    text: str = ""
    """Part of name, version or publisher; case does not count."""
    only: tuple[tuple[str, str], ...] = ()
    """Fields (`item`, `version`, `publisher`, `architecture`, `display`, `size`, `state`) and their values; of one
    field any value counts."""
    other_than: tuple[tuple[str, str], ...] = ()
    order: str = "machines"
    """`item`, `version`, `publisher` or `machines`."""
    descending: bool = True


class Groups(msgspec.Struct, frozen=True):
    """Things that the filter lets through, from one on; how many there are; and on how many machines anything is."""

    value: list[Group]
    total: int
    machines: int
    counted_at: str
    cut: bool
    """There are more than were counted: the rarest are missing."""


class _Count(msgspec.Struct, frozen=True):
    groups: list[Group]
    machines: int
    cut: bool
    mark: str
    at: float
    took: float
    text: str


_Key = tuple[Kind, str, "tuple[str, ...] | None", str, tuple[tuple[str, str], ...]]
_DETAILS = {"Architecture": "architecture", "Size": "size", "SvcDisplayName": "display", "SvcState": "state"}
"""Columns of `GROUPED` that are told of a group → fields of a filter."""


def _detail(column: str) -> Callable[[Group], str]:
    return lambda group: str(group.details.get(column, ""))


_FIELDS: dict[str, Callable[[Group], str]] = {
    "item": lambda group: group.name,
    "version": lambda group: group.version,
    "publisher": lambda group: group.publisher,
    **{field: _detail(column) for column, field in _DETAILS.items()},
}
_ORDERS: dict[str, Callable[[Group], Any]] = {
    **{field: _FIELDS[field] for field in ("item", "version", "publisher")},
    "machines": lambda group: group.machines,
}


class Prevalence:
    """Counts, and keeps the counts. Belongs to one event loop."""

    def __init__(self, storage: Storage, run: Callable[[Callable[[], _Count]], Awaitable[_Count]]) -> None:
        """`run` does what blocks in a thread."""
        self._storage = storage
        self._run = run
        self._kept: OrderedDict[_Key, _Count] = OrderedDict()
        self._counting: dict[_Key, asyncio.Task[_Count]] = {}

    async def groups(self, wanted: GroupFilter, mark: str, start: int, limit: int) -> Groups:
        """Return at most `limit` groups from number `start` on. `mark` moves when rows arrive.

        Raises RecordError for a bad filter.
        """
        for field, _ in (*wanted.only, *wanted.other_than):
            if field not in _FIELDS:
                raise RecordError(f"nothing is grouped by {field!r}")
        if wanted.order not in _ORDERS:
            raise RecordError(f"no order {wanted.order!r}")
        count = await self._count(wanted, "", (), mark)
        if count.cut and (wanted.text or wanted.only):
            count = await self._count(wanted, wanted.text.lower(), tuple(sorted(wanted.only)), mark)
        found = await asyncio.to_thread(_ordered, count.groups, wanted)
        return Groups(found[start : start + limit], len(found), count.machines, count.text, count.cut)

    async def _count(self, wanted: GroupFilter, text: str, only: tuple[tuple[str, str], ...], mark: str) -> _Count:
        at = engine_time(wanted.at) if wanted.at else END_OF_TIME
        key: _Key = (wanted.kind, at, wanted.machines, text, only)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            age = time.monotonic() - known.at
            if age < _REST * known.took or (known.mark == mark and age < _UNTOLD):
                return known
            if known.took > _LONG and age < _STALE:
                self._begin(key, mark)
                return known
        return await asyncio.shield(self._begin(key, mark))

    def _begin(self, key: _Key, mark: str) -> asyncio.Task[_Count]:
        """Count, unless that is going on."""
        running = self._counting.get(key)
        if running is None:
            if len(self._counting) >= _MOST_AT_ONCE:
                raise Refusal(429, "TooManyRequests", "the inventory is counted for others; try again in a moment")
            running = asyncio.create_task(self._counted(key, mark))
            self._counting[key] = running
            running.add_done_callback(lambda task: self._ended(key, task))
        return running

    async def _counted(self, key: _Key, mark: str) -> _Count:
        return await self._run(lambda: self._ask(key, mark))

    def _ended(self, key: _Key, task: asyncio.Task[_Count]) -> None:
        del self._counting[key]
        # Who waits hears of what went wrong; where nobody does, the next one who asks tries again.
        if task.cancelled() or task.exception() is not None:
            return
        self._kept[key] = task.result()
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _ask(self, key: _Key, mark: str) -> _Count:
        kind, at, machines, text, only = key
        began, counted = time.monotonic(), time_text(now_ns())
        parameters: dict[str, Any] = {"kind": kind.value, "at": at, "text": text, "machine": "", "most": MOST + 1}
        seen = "1"
        if machines is not None:
            parameters["seen"] = list(machines)
            seen = "SourceComputerId IN {seen:Array(String)}"
        values: dict[str, list[str]] = {}
        for field, value in only:
            values.setdefault(field, []).append(value)
        parameters.update((f"only_{field}", wanted) for field, wanted in values.items())
        rows = self._storage.query(_groups_sql(kind, seen, list(values), searched=bool(text)), parameters)
        machines_sql = (
            "SELECT uniqExact(SourceComputerId) AS n FROM InventoryRecord "  # noqa: S608 - as below
            "WHERE _Record = 'Confirmation' AND ConfigDataType = {kind:String} "
            f"AND TimeGenerated <= toDateTime64({{at:String}}, 7, 'UTC') AND {seen}"
        )
        total = int(self._storage.query(machines_sql, parameters)[0]["n"])
        groups = [_group(kind, row) for row in rows[:MOST]]
        return _Count(groups, total, len(rows) > MOST, mark, began, time.monotonic() - began, counted)


def _groups_sql(kind: Kind, seen: str, only: Sequence[str], *, searched: bool) -> str:
    name, version, publisher, rest = GROUPED[kind]
    of = {"item": name, "version": version, "publisher": publisher, **{_DETAILS[column]: column for column in rest}}
    # What a kind does not have is empty.
    texts = {field: f"ifNull(toString({of[field]}), '')" if of.get(field) else "''" for field in only}
    found = "".join(f" AND {text} IN {{only_{field}:Array(String)}}" for field, text in texts.items())
    columns = ", ".join(column for column in (name, version, publisher, *rest) if column)
    text = " OR ".join(
        f"positionCaseInsensitiveUTF8({column}, {{text:String}}) > 0" for column in (name, version, publisher) if column
    )
    return f"""
SELECT {columns}, uniqExact(SourceComputerId) AS Machines
FROM ConfigurationDataAt(at = {{at:String}}, machine = {{machine:String}}, kind = {{kind:String}})
WHERE {seen}{found}{f" AND ({text})" if searched else ""}
GROUP BY {columns} ORDER BY Machines DESC, {name} LIMIT {{most:UInt32}}
"""  # noqa: S608 - names of this module; values are bound parameters


def _group(kind: Kind, row: Row) -> Group:
    name, version, publisher, rest = GROUPED[kind]
    details = {column: row[column] for column in rest if row.get(column) not in (None, "")}
    return Group(
        str(row.get(name) or ""),
        str(row.get(version) or ""),
        str(row.get(publisher) or "") if publisher else "",
        details,
        int(row["Machines"]),
    )


def _ordered(groups: Sequence[Group], wanted: GroupFilter) -> list[Group]:
    found = _filtered(groups, wanted)
    found.sort(key=lambda group: (group.name, group.version))
    found.sort(key=_ORDERS[wanted.order], reverse=wanted.descending)
    return found


def _filtered(groups: Sequence[Group], wanted: GroupFilter) -> list[Group]:
    found = list(groups)
    if wanted.text:
        text = wanted.text.lower()
        found = [
            group
            for group in found
            if text in group.name.lower() or text in group.version.lower() or text in group.publisher.lower()
        ]
    for pairs, wants in ((wanted.only, True), (wanted.other_than, False)):
        for field in {field for field, _ in pairs}:
            values = {value for name, value in pairs if name == field}
            of = _FIELDS[field]
            found = [group for group in found if (of(group) in values) is wants]
    return found
