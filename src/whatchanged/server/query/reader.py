"""The reading side: changes, inventory, health and the activity of machines.

Every value is a bound parameter; the only names that become SQL are columns of the table specification. Paging is
by key, never by offset: a cursor holds the place of the last row, so that rows which arrive meanwhile are neither
repeated nor push others out.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.health import ENDED_BY
from whatchanged.records.items import Kind
from whatchanged.records.tables import CONFIGURATION_CHANGE, CONFIGURATION_DATA, TRACKING_HEALTH
from whatchanged.server.query.engine_time import engine_time
from whatchanged.server.query.prevalence import Prevalence
from whatchanged.server.storage import END_OF_TIME, Row, Storage

__all__ = ["MAX_LIMIT", "ChangeFilter", "HealthFilter", "InventoryFilter", "Page", "Reader"]

MAX_LIMIT = 10_000
_MAX_VALUE = 32_768
_T = TypeVar("_T")


# As `health_now` of functions.kql has it.
_TROUBLED = """
WITH if(Reason = 'WatchLost' AND Kind = '', Reason,
  transform(Reason, {ended:Array(String)}, {by:Array(String)}, Reason)) AS subject
SELECT DISTINCT SourceComputerId AS machine FROM (
  SELECT SourceComputerId, argMax((Status, Reason), TimeGenerated) AS last FROM TrackingHealth
  WHERE TimeGenerated > now() - INTERVAL 7 DAY AND {seen} AND ({reason:String} = '' AND Reason != 'Silent'
    OR subject IN ({reason:String},
      transform({reason:String}, {ended:Array(String)}, {by:Array(String)}, {reason:String})))
  GROUP BY SourceComputerId, Component, Kind, subject, RuleName, Stream)
WHERE last.1 != 'Ok' AND ({reason:String} = '' OR last.2 = {reason:String}) LIMIT {most:UInt32}
"""


class ChangeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes; an empty field does not restrict. Times are ISO 8601, `start` inclusive, `end` exclusive."""

    machine: str = ""
    """Machine id, or host name (case ignored)."""
    machines: tuple[str, ...] | None = None
    """Machine ids the reader may see; None: all."""
    kind: str = ""
    category: str = ""
    path: str = ""
    """Item: a path or name and what stands below it, or with `*`, `?`, `[` a glob over the whole path or name."""
    start: str = ""
    end: str = ""


class HealthFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which health records."""

    machine: str = ""
    machines: tuple[str, ...] | None = None
    reason: str = ""
    status: str = ""
    component: str = ""
    kind: str = ""
    start: str = ""
    end: str = ""


class InventoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which items of the inventory."""

    machine: str = ""
    """Machine id, or host name (case ignored)."""
    machines: tuple[str, ...] | None = None
    kind: Kind | None = None
    name: str = ""
    """As `ChangeFilter.path`."""
    at: str = ""
    """The inventory as it was at this time."""


class Page(msgspec.Struct, frozen=True):
    """Rows (column name → value, empty ones left out) and where to go on; no cursor: that was all."""

    rows: list[Row]
    cursor: str | None = None


class _Query:
    """Conditions and their parameters, gathered."""

    def __init__(self) -> None:
        self.conditions: list[str] = ["1"]
        self.parameters: dict[str, Any] = {}

    def add(self, condition: str, **parameters: Any) -> None:
        self.conditions.append(condition)
        self.parameters |= parameters

    def equal(self, column: str, name: str, value: str) -> None:
        if value:
            self.add(f"{column} = {{{name}:String}}", **{name: _bounded(value, name)})

    @property
    def where(self) -> str:
        return " AND ".join(f"({condition})" for condition in self.conditions)


class Reader:
    """Reads the tables; its own threads, as many as the storage has reading handles."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._threads = ThreadPoolExecutor(storage.readers, thread_name_prefix="query")
        self.prevalence = Prevalence(storage, self._run)

    async def changes(self, wanted: ChangeFilter, *, limit: int = 100, cursor: str | None = None) -> Page:
        """Return changes, newest first. Raises RecordError for a bad filter, LimitExceeded when it is too much."""
        query = _Query()
        _times(query, wanted.start, wanted.end)
        _machine(query, wanted.machine, wanted.machines)
        query.equal("ConfigChangeType", "kind", wanted.kind)
        query.equal("ChangeCategory", "category", wanted.category)
        _item(query, wanted.path, _WAS)
        return await self._newest_first("ConfigurationChange", CONFIGURATION_CHANGE.names, query, limit, cursor)

    async def health(self, wanted: HealthFilter, *, limit: int = 100, cursor: str | None = None) -> Page:
        """Return health records, newest first."""
        query = _Query()
        _times(query, wanted.start, wanted.end)
        _machine(query, wanted.machine, wanted.machines)
        for column in ("Reason", "Status", "Component", "Kind"):
            query.equal(column, column.lower(), getattr(wanted, column.lower()))
        return await self._newest_first("TrackingHealth", TRACKING_HEALTH.names, query, limit, cursor)

    async def inventory(self, wanted: InventoryFilter, *, limit: int = 100, cursor: str | None = None) -> Page:
        """Return items ordered by machine, kind and key, now or as of `at`."""
        _check_limit(limit)
        query = _Query()
        _machine(query, wanted.machine, wanted.machines)
        _item(query, wanted.name)
        key = "(SourceComputerId, ConfigDataType, hex(_Key))"
        if cursor:
            machine, kind, item = _read_cursor(cursor, 3)
            query.add(
                f"{key} > ({{c_machine:String}}, {{c_kind:String}}, {{c_item:String}})",
                c_machine=machine,
                c_kind=kind,
                c_item=item,
            )
        names = _quoted(CONFIGURATION_DATA.names)
        parameters = {
            **query.parameters,
            "at": engine_time(wanted.at) if wanted.at else END_OF_TIME,
            # A machine id reaches the sorting key; a host name is only known to the rows.
            "only": wanted.machine.lower() if _is_id(wanted.machine) else "",
            "only_kind": wanted.kind.value if wanted.kind else "",
            "count": limit + 1,
        }
        sql = (
            f"SELECT {names}, hex(_Key) AS _Cursor FROM ConfigurationDataAt(at = {{at:String}}, "  # noqa: S608
            f"machine = {{only:String}}, kind = {{only_kind:String}}) WHERE {query.where} "
            f"ORDER BY SourceComputerId, ConfigDataType, hex(_Key) LIMIT {{count:UInt64}}"
        )
        rows = await self._run(lambda: self._storage.query(sql, parameters))
        return _page(rows, limit, lambda row: [row["SourceComputerId"], row["ConfigDataType"], row["_Cursor"]])

    async def troubled(self, reason: str, machines: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the ids of machines of which something, for this reason, was not well the last time it was spoken of.

        Of the last week; an empty reason is any but silence, which machines have as their state. At most `MAX_LIMIT`,
        of `machines` only (None: of all).
        """
        parameters: dict[str, Any] = {
            "reason": _bounded(reason, "trouble"),
            "most": MAX_LIMIT,
            "ended": [reason.value for reason in ENDED_BY],
            "by": [reason.value for reason in ENDED_BY.values()],
        }
        seen = "1"
        if machines is not None:
            parameters["seen"] = list(machines)
            seen = "SourceComputerId IN {seen:Array(String)}"
        sql = _TROUBLED.replace("{seen}", seen)
        rows = await self._run(lambda: self._storage.query(sql, parameters))
        return tuple(row["machine"] for row in rows)

    def close(self) -> None:
        """Wait for running queries and end the threads."""
        self._threads.shutdown()

    async def _newest_first(
        self, table: str, names: Sequence[str], query: _Query, limit: int, cursor: str | None
    ) -> Page:
        _check_limit(limit)
        # TrackingHealth rows that the server writes have no sequence: the digest of the row breaks the tie.
        tie = "ChangeId" if table == "ConfigurationChange" else _HEALTH_TIE
        if cursor:
            moment, place = _read_cursor(cursor, 2)
            # The plain bound on the time is what prunes; the pair decides.
            query.add("TimeGenerated <= toDateTime64({c_time:String}, 7, 'UTC')", c_time=engine_time(moment))
            query.add(
                f"(TimeGenerated, toString({tie})) < (toDateTime64({{c_time:String}}, 7, 'UTC'), {{c_tie:String}})",
                c_tie=place,
            )
        sql = (
            f"SELECT {_quoted(names)}, toString({tie}) AS _Cursor FROM {table} WHERE {query.where} "  # noqa: S608
            "ORDER BY TimeGenerated DESC, _Cursor DESC LIMIT {count:UInt64}"
        )
        parameters = {**query.parameters, "count": limit + 1}
        rows = await self._run(lambda: self._storage.query(sql, parameters))
        return _page(rows, limit, lambda row: [row["TimeGenerated"], row["_Cursor"]])

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


_HEALTH_TIE = (
    "concat(SourceComputerId, ':', _Epoch, ':', leftPad(toString(_Sequence), 20, '0'), ':', _Digest, ':', "
    "toString(IngestedAt), ':', hex(sipHash128(Reason, Stream, Epoch, "
    "ifNull(FirstSequence, 0), ifNull(LastSequence, 0), Detail)))"
)


def _times(query: _Query, start: str, end: str) -> None:
    if start:
        query.add("TimeGenerated >= toDateTime64({start:String}, 7, 'UTC')", start=engine_time(start))
    if end:
        query.add("TimeGenerated < toDateTime64({end:String}, 7, 'UTC')", end=engine_time(end))


def _machine(query: _Query, machine: str, allowed: tuple[str, ...] | None) -> None:
    if machine:
        column = "SourceComputerId" if _is_id(machine) else "lowerUTF8(Computer)"
        query.add(f"{column} = {{machine_is:String}}", machine_is=_bounded(machine.lower(), "machine"))
    if allowed is not None:
        query.add("SourceComputerId IN {allowed:Array(String)}", allowed=list(allowed))


def _is_id(machine: str) -> bool:
    return len(machine) == 36 and machine.count("-") == 4


_ITEM = "if(FileSystemPath != '', FileSystemPath, if(RegistryKey != '', RegistryKey, Name))"


_WAS = "PreviousFileSystemPath"
"""A file is found by the path that it had before a rename, too."""


def _item(query: _Query, pattern: str, *also: str) -> None:
    """Let through what `pattern` names; in the columns `also`, too."""
    if not pattern:
        return
    _bounded(pattern, "path")
    if any(sign in pattern for sign in "*?["):
        columns = (_ITEM, "Name", *also)
        query.add(" OR ".join(f"match({c}, {{item:String}})" for c in columns), item=_glob(pattern))
        return
    # Of a service or package the name people know may stand in any of these.
    names = " OR ".join(f"{c} = {{item:String}}" for c in (_ITEM, "Name", "SvcName", "SoftwareName", *also))
    below = " OR ".join(
        f"startsWith({c}, {{below_1:String}}) OR startsWith({c}, {{below_2:String}})" for c in (_ITEM, *also)
    )
    bare = pattern.rstrip("/\\") if len(pattern) > 1 else ""
    query.add(
        f"{names} OR {below}",
        item=pattern.rstrip("/\\") or pattern,
        below_1=bare + "/",
        below_2=bare + "\\",
    )


def _glob(pattern: str) -> str:
    """Return the glob as an RE2 expression: `*` and `**` anything, `?` one character, `[…]` as in a shell."""
    parts = ["(?s)^"]
    index = 0
    while index < len(pattern):
        sign = pattern[index]
        end = pattern.find("]", index + 2) if sign == "[" else -1
        if sign == "*":
            parts.append(".*")
        elif sign == "?":
            parts.append(".")
        elif end > 0:
            inside = pattern[index + 1 : end]
            negated = inside[0] in "!^"
            body = inside[1:] if negated else inside
            parts.append("[" + ("^" if negated else "") + "".join(_literal(c, within="-") for c in body) + "]")
            index = end
        else:
            parts.append(_literal(sign))
        index += 1
    return "".join(parts) + "$"


def _literal(sign: str, within: str = "") -> str:
    # RE2 takes \x{…} for any character; letters and digits need none, and a NUL cannot be written otherwise.
    return sign if sign.isalnum() or sign in within else f"\\x{{{ord(sign):x}}}"


def _bounded(value: str, name: str) -> str:
    if len(value) > _MAX_VALUE:
        raise RecordError(f"longer than {_MAX_VALUE} characters", place=name)
    return value


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise RecordError(f"must be 1 to {MAX_LIMIT}", place="limit")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _filled(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None and value != "" and name != "_Cursor"}


def _page(rows: list[Row], limit: int, place: Callable[[Row], list[str]]) -> Page:
    more = len(rows) > limit
    shown = rows[:limit]
    cursor = _write_cursor(place(shown[-1])) if more else None
    return Page([_filled(row) for row in shown], cursor)


def _write_cursor(parts: list[str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode("ascii").rstrip("=")


def _read_cursor(text: str, size: int) -> list[str]:
    try:
        raw = base64.urlsafe_b64decode(_bounded(text, "cursor") + "=" * (-len(text) % 4))
        parts = msgspec.json.decode(raw, type=list[str])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise RecordError("not a cursor of this list", place="cursor") from error
    if len(parts) != size:
        raise RecordError("not a cursor of this list", place="cursor")
    return parts
