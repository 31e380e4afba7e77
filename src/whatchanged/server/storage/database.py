"""The telemetry database: open, migrate, insert, query, retain, purge.

One engine, through clickhouse-connect: chDB inside this process for a path, a ClickHouse server for a DSN. All
calls block; callers bring threads. Settings stick to a client's handle, so there is one writing handle behind a
lock and a pool of reading handles whose limits are set first and `readonly = 1` last (it blocks file(), url(),
inserts and any later setting).
"""

from __future__ import annotations

import importlib
import os
import queue
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from whatchanged.errors import LimitExceeded, OperationError, RecordError, StateError, StorageFull
from whatchanged.server.storage.inventory import retention_statements, superseded_sql
from whatchanged.server.storage.schema import DATA_TABLES, MIGRATIONS, Migration

__all__ = ["Row", "Storage", "load_engine", "open_storage"]

Row = dict[str, Any]

_READ_LIMITS: dict[str, Any] = {
    "max_execution_time": 30,
    "max_memory_usage": 2 * 1024**3,
    "max_result_rows": 100_000,
    "max_result_bytes": 256 * 1024**2,
    "result_overflow_mode": "throw",
    "max_threads": 2,
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
}
_QUESTION_LIMITS: dict[str, Any] = {
    **_READ_LIMITS,
    "max_execution_time": 600,
    "max_temporary_data_on_disk_size_for_query": 4 * 1024**3,
    # Or the condition of a query moves before that which cuts a table to what its asker may see: what it says of rows
    # that are not his, by an error, he would hear.
    "query_plan_merge_filters": 0,
    "max_result_rows": 0,  # the statement itself has a LIMIT
    "max_result_bytes": 512 * 1024**2,
    "max_ast_elements": 200_000,
    "max_expanded_ast_elements": 2_000_000,
    "output_format_json_escape_forward_slashes": 0,
    "output_format_json_quote_denormals": 1,
    # Every block of a result counts for the answer; none is needed to be wider than what people ask.
    "max_query_size": 4 * 1024**2,
}
"""Bounds of a question in KQL, whatever its asker allows himself."""
_WRITE_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    # One block, in order: an insert of one stream must become one part.
    "input_format_parallel_parsing": 0,
    "input_format_skip_unknown_fields": 0,
    "date_time_input_format": "best_effort",
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "mutations_sync": 2,
}
# TIMEOUT_EXCEEDED, TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES, QUERY_WAS_CANCELLED
_LIMIT_CODES = ("Code: 159.", "Code: 158.", "Code: 241.", "Code: 396.", "Code: 307.", "Code: 394.")
_TROUBLE = re.compile(r"Code: (?:33|40|49|74|75|76|79|86|209|210|225|228|236|239|242|243|246|252|279|999|1000|1001)\.")
"""What is wrong with the engine, its disk or its network, and not with the question."""
_NO_PATTERN = "Code: 427."
"""CANNOT_COMPILE_REGEXP: all expressions come from patterns that people write, such as `[z-a]`."""
_NEEDED_SPACE = 32 * 1024**2
"""Bytes: a group commit, its merge, and the control plane's journal beside it."""
_decode_rows = msgspec.json.Decoder(dict[str, Any]).decode_lines


def load_engine(dsn_or_path: str) -> None:
    """Load what `open_storage` needs for a folder; nothing for a DSN. Whoever gives up root does this before.

    The engine's library reads /proc/self/auxv as it is loaded. After a change of account that file is still root's
    (proc(5), PR_SET_DUMPABLE in prctl(2)); the library then looks for its contents beyond the end of the environment,
    which has long moved to the heap, and may end the process there.
    """
    if _is_folder(dsn_or_path):
        importlib.import_module("chdb")


def _is_folder(dsn_or_path: str) -> bool:
    return "://" not in dsn_or_path


def open_storage(
    dsn_or_path: str | os.PathLike[str], *, readers: int = 4, askers: int = 4, question_memory: int = 2 * 1024**3
) -> Storage:
    """Open (and create or migrate) the telemetry database at a folder, or at `clickhouse://…` or `https://…`.

    `askers`: how many questions in KQL run at once, each with `question_memory` bytes at most. A process can have one
    folder open. Raises StateError.
    """
    return Storage(os.fspath(dsn_or_path), readers=readers, askers=askers, question_memory=question_memory)


def _connect(target: str, settings: Mapping[str, Any]) -> Client:
    if _is_folder(target):
        return clickhouse_connect.get_client(interface="chdb", path=target, settings=dict(settings))
    return clickhouse_connect.get_client(dsn=target, settings=dict(settings), autogenerate_session_id=True)


def _reader(target: str, limits: Mapping[str, Any]) -> Client:
    client = _connect(target, limits)
    client.command("SET readonly = 1")
    return client


class _Handles:
    """Handles of one kind, each for one thread at a time."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        """`connect` opens one."""
        self._connect = connect
        self._free: queue.SimpleQueue[Client | None] = queue.SimpleQueue()

    def open(self, count: int) -> None:
        """Open so many."""
        for _ in range(count):
            self._free.put(self._connect())

    def take(self) -> Client:
        """Wait for a free one; one that was dropped is opened anew. Raises StateError."""
        client = self._free.get()
        if client is not None:
            return client
        try:
            return self._connect()
        except (ClickHouseError, RuntimeError) as error:
            self._free.put(None)
            raise StateError(f"the telemetry database is not reached: {_first_line(error)}") from error

    def give(self, client: Client) -> None:
        """Give one back."""
        self._free.put(client)

    def drop(self, client: Client) -> None:
        """Close one, for another to take its place."""
        try:
            client.close()
        finally:
            self._free.put(None)

    def close(self, count: int) -> None:
        """Wait for so many, and close them."""
        for _ in range(count):
            client = self._free.get()
            if client is not None:
                client.close()


class Storage:
    """The open database. Safe to use from several threads."""

    def __init__(
        self,
        target: str,
        *,
        readers: int = 4,
        askers: int = 4,
        question_memory: int = 2 * 1024**3,
        steps: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        """As `open_storage`; `steps` are the migrations to run, in order."""
        self._target = target
        self._embedded = _is_folder(target)
        self._write_lock = threading.RLock()
        self._closed = False
        self._readers = _Handles(partial(_reader, target, _READ_LIMITS))
        self._reader_count = readers
        self._asker_count = askers
        self._askers = _Handles(partial(_reader, target, {**_QUESTION_LIMITS, "max_memory_usage": question_memory}))
        # Ending a question must not wait for a write: it has a handle of its own, and only ever ends questions.
        self._cancellers = _Handles(partial(_connect, target, {"max_execution_time": 30}))
        if self._embedded:
            os.makedirs(target, mode=0o700, exist_ok=True)
            # A killed backup leaves its links here, and they would keep the disk space of everything dropped since.
            shutil.rmtree(os.path.join(target, "shadow"), ignore_errors=True)
        try:
            with self._scratch():
                self._writer = _connect(target, _WRITE_SETTINGS)
            self._cancellers.open(1)
            self._migrate(steps)
            self._readers.open(readers)
            self._askers.open(askers)
        except (ClickHouseError, RuntimeError) as error:  # RuntimeError: the embedded engine itself
            raise StateError(f"cannot open the telemetry database {_shown(target)}: {_first_line(error)}") from error

    @property
    def embedded(self) -> bool:
        """Whether the engine runs inside this process."""
        return self._embedded

    @property
    def path(self) -> str:
        """Return the folder of the embedded engine; StateError for a server."""
        if not self._embedded:
            raise StateError("the telemetry database is a ClickHouse server", hint="use BACKUP DATABASE on that server")
        return self._target

    @property
    def readers(self) -> int:
        """Number of reading handles: how many queries can run at once."""
        return self._reader_count

    @property
    def askers(self) -> int:
        """How many questions in KQL can run at once."""
        return self._asker_count

    def insert(self, table: str, lines: bytes) -> None:
        """Insert rows of one table (JSON, one object a line) as one atomic part; returns when it is on disk.

        Raises StorageFull if the engine did not take them.
        """
        if table not in DATA_TABLES:
            raise StateError(f"no table of records: {table!r}")
        with self._write_lock:
            try:
                self._writer.raw_insert(table, insert_block=lines, fmt="JSONEachRow")
            except (ClickHouseError, OSError) as error:
                raise StorageFull(f"the telemetry database did not take the rows: {_first_line(error)}") from error

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Return the rows of a SELECT; values only through `{name:Type}` parameters. Read-only and bounded.

        Times are text in ISO 8601 with `Z`. Raises LimitExceeded when a bound was hit, RecordError for
        a pattern that is none, else StateError.
        """
        with self._borrow(self._readers) as client:
            try:
                body = client.raw_query(sql, parameters=dict(parameters or {}), fmt="JSONEachRow")
            except ClickHouseError as error:
                raise _query_error(error) from error
        return _decode_rows(body)

    def ask(self, sql: str, parameters: Mapping[str, Any], mark: str) -> bytes:
        """Return the rows of a SELECT that KQL became, a JSON array a line; read-only, bounded by wide limits.

        `mark` (hex digits) is what `cancel` knows it by. Raises LimitExceeded when a bound was hit or it was cancelled,
        RecordError for what only the data show to be wrong (a pattern that is none, a number out of range), StateError
        when the engine itself is in trouble.
        """
        with self._borrow(self._askers) as client:
            try:
                return client.raw_query(_marked(sql, mark), parameters=dict(parameters), fmt="JSONCompactEachRow")
            except ClickHouseError as error:
                found = _query_error(error)
                if isinstance(found, StateError) and not _TROUBLE.search(_first_line(error)):
                    found = RecordError(_first_line(error))
                raise found from error

    def cancel(self, mark: str) -> None:
        """End the question of a mark, if it still runs."""
        # Composed in the engine: this statement must not bear the mark itself.
        marked = "position(query, concat('1 AS ', {mark:String})) > 0"
        with self._borrow(self._cancellers) as client:
            try:
                client.command(f"KILL QUERY WHERE {marked} ASYNC", parameters={"mark": _mark_name(mark)})
            except ClickHouseError as error:
                raise _query_error(error) from error

    def trouble(self) -> str:
        """Return why the engine does not answer or cannot take rows; empty: it does and can."""
        try:
            free = int(self.query("SELECT min(unreserved_space) AS free FROM system.disks")[0]["free"])
        except OperationError as error:
            return error.message
        return "" if free >= _NEEDED_SPACE else f"the disk is full: {free} bytes are left"

    def retain(self, days: Mapping[str, int], *, now: datetime | None = None) -> dict[str, int]:
        """Drop what is older than `days` per logical table; return what was dropped, per table.

        ConfigurationChange, Heartbeat and TrackingHealth lose whole days; of ConfigurationData only rows that
        were superseded before the cutoff go: retention never drops current state. Watermarks are kept first.
        """
        moment = now or datetime.now(UTC)
        self.save_watermarks()
        dropped: dict[str, int] = {}
        for name, keep in days.items():
            if keep < 1:
                raise StateError(f"retention of {name} must be at least one day")
            if name != "ConfigurationData" and name not in DATA_TABLES:
                raise StateError(f"no table {name!r}")
        failed: list[OperationError] = []
        for name, keep in days.items():
            cutoff = moment - timedelta(days=keep)
            drop = self._retain_inventory if name == "ConfigurationData" else partial(self._drop_partitions, name)
            try:
                dropped[name] = drop(cutoff)
            except OperationError as error:  # keeps no other table from its turn
                failed.append(error)
        if failed:
            raise failed[0]
        return dropped

    def held(self, name: str, *, beyond_days: int | None = None, now: datetime | None = None) -> tuple[int, str | None]:
        """Return how many rows a logical table has, and the day of the oldest; `beyond_days`: of what `retain` drops.

        Of ConfigurationData versions of items are counted; what else goes with them is bookkeeping.
        """
        cutoff = None if beyond_days is None else (now or datetime.now(UTC)) - timedelta(days=beyond_days)
        if name == "ConfigurationData":
            condition = "_Record IN ('Item', 'Tombstone')" if cutoff is None else superseded_sql()
            [row] = self.query(
                "SELECT count() AS rows, toString(toDate(min(IngestedAt))) AS oldest "  # noqa: S608
                f"FROM InventoryRecord WHERE {condition}",
                {} if cutoff is None else {"cutoff": _cutoff_text(cutoff)},
            )
            rows = int(row["rows"])
            return rows, row["oldest"] if rows else None
        if name not in DATA_TABLES:
            raise StateError(f"no table {name!r}")
        limit = None if cutoff is None else int(cutoff.strftime("%Y%m%d"))
        days = {day: rows for day, rows in self._partitions(name).items() if limit is None or day < limit}
        first = str(min(days, default=""))
        return sum(days.values()), f"{first[:4]}-{first[4:6]}-{first[6:]}" if first else None

    def purge(self, machine_id: str) -> None:
        """Remove everything of one machine."""
        for table in (*DATA_TABLES, "Watermark"):
            self._command(
                f"ALTER TABLE {table} DELETE WHERE SourceComputerId = {{machine:String}}", {"machine": machine_id}
            )

    def watermarks(self) -> list[Row]:
        """Return `machine`, `stream`, `epoch`, `last`, `order` of everything numbered that was ever stored.

        A gap record of the server counts as stored: what is said to be lost is not said again.
        """
        return self._write_query(f"{_watermark_sql()} FORMAT JSONEachRow")

    def save_watermarks(self) -> None:
        """Write the watermarks down, so that they outlive the rows they come from."""
        self._command(
            f"INSERT INTO Watermark SELECT machine, stream, epoch, last, `order` FROM ({_watermark_sql()})",  # noqa: S608
            None,
        )
        self._command("OPTIMIZE TABLE Watermark FINAL", None)

    @contextmanager
    def writes_held(self) -> Iterator[Client]:
        """Hold every write, for a consistent look at several tables; for this package only."""
        with self._write_lock:
            yield self._writer

    def close(self) -> None:
        """Close every handle; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._readers.close(self._reader_count)
        self._askers.close(self._asker_count)
        self._cancellers.close(1)
        with self._write_lock:
            self._writer.close()

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _scratch(self) -> Iterator[None]:
        """Let the embedded engine make its folder for temporary data beside ours while the block runs.

        It looks for TMPDIR once, at its start. That of whoever started us may be closed to our account, and what a
        killed engine leaves there nobody would clear away.
        """
        if not self._embedded:
            yield
            return
        folder = f"{self._target.rstrip('/')}.tmp"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before

    @contextmanager
    def _borrow(self, handles: _Handles) -> Iterator[Client]:
        if self._closed:
            raise StateError("the telemetry database is closed")
        client = handles.take()
        try:
            yield client
        except BaseException:
            if self._embedded:
                # What a query has written until it failed, the engine gives to the next one of the same handle.
                handles.drop(client)
            else:
                handles.give(client)
            raise
        handles.give(client)

    def _migrate(self, steps: Sequence[Migration]) -> None:
        self._writer.command(
            "CREATE TABLE IF NOT EXISTS Migration (Name String, AppliedAt DateTime64(7, 'UTC') DEFAULT now64(7)) "
            "ENGINE = MergeTree ORDER BY Name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        )
        done = {row["Name"] for row in self._write_query("SELECT Name FROM Migration FORMAT JSONEachRow")}
        if unknown := done - {step.name for step in steps}:
            raise StateError(f"the telemetry database was made by a newer version (it has {sorted(unknown)})")
        for step in steps:
            if step.name not in done:
                for statement in step.statements:
                    self._writer.command(statement)
                self._writer.command(
                    "INSERT INTO Migration (Name) SELECT {name:String}", parameters={"name": step.name}
                )

    def _command(self, sql: str, parameters: Mapping[str, Any] | None) -> None:
        with self._write_lock:
            try:
                self._writer.command(sql, parameters=dict(parameters or {}))
            except ClickHouseError as error:
                raise StateError(f"the telemetry database refused a statement: {_first_line(error)}") from error

    def _write_query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        with self._write_lock:
            try:
                return _decode_rows(self._writer.raw_query(sql, parameters=dict(parameters or {})))
            except ClickHouseError as error:
                raise _query_error(error) from error

    def _partitions(self, table: str) -> dict[int, int]:
        """Return the rows of a table by day, as `YYYYMMDD`."""
        # system.parts names a partition by its value; it is all digits here (toYYYYMMDD).
        found = self._write_query(
            "SELECT partition, sum(rows) AS rows FROM system.parts WHERE active AND database = currentDatabase() "
            "AND table = {table:String} GROUP BY partition FORMAT JSONEachRow",
            {"table": table},
        )
        return {int(part["partition"]): int(part["rows"]) for part in found}

    def _drop_partitions(self, table: str, cutoff: datetime) -> int:
        limit, dropped = int(cutoff.strftime("%Y%m%d")), 0
        for day, rows in self._partitions(table).items():
            if day < limit:
                self._command(f"ALTER TABLE {table} DROP PARTITION {day}", None)
                dropped += rows
        return dropped

    def _retain_inventory(self, cutoff: datetime) -> int:
        before = self._inventory_rows()
        for statement in retention_statements():
            self._command(statement, {"cutoff": _cutoff_text(cutoff)})
        return before - self._inventory_rows()

    def _inventory_rows(self) -> int:
        return int(self._write_query("SELECT count() AS n FROM InventoryRecord FORMAT JSONEachRow")[0]["n"])


def _cutoff_text(cutoff: datetime) -> str:
    return cutoff.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") + "0"


def _watermark_sql() -> str:
    parts = [
        f"SELECT SourceComputerId AS machine, _Stream AS stream, _Epoch AS epoch, max(_Sequence) AS last, "  # noqa: S608
        f"{'max(_EpochOrder)' if table == 'InventoryRecord' else 'toUInt32(0)'} AS ordinal "
        f"FROM {table} WHERE _Sequence > 0 AND _Epoch != '' GROUP BY machine, stream, epoch"
        for table in DATA_TABLES
    ]
    parts.append(
        "SELECT SourceComputerId AS machine, Stream AS stream, Epoch AS epoch, toUInt64(max(LastSequence)) AS last, "
        "toUInt32(0) AS ordinal FROM TrackingHealth WHERE Component = 'Server' AND Reason = 'Gap' AND _Sequence = 0 "
        "AND LastSequence IS NOT NULL GROUP BY machine, stream, epoch"
    )
    parts.append(
        "SELECT SourceComputerId AS machine, Stream AS stream, Epoch AS epoch, max(Last) AS last, "
        "max(EpochOrder) AS ordinal FROM Watermark GROUP BY machine, stream, epoch"
    )
    union = " UNION ALL ".join(parts)
    return (
        "SELECT toString(machine) AS machine, toString(stream) AS stream, toString(epoch) AS epoch, "  # noqa: S608
        f"max(last) AS last, max(ordinal) AS `order` FROM ({union}) GROUP BY machine, stream, epoch"
    )


def _mark_name(mark: str) -> str:
    """Return a mark as a name that cannot be anything else; raises ValueError."""
    return f"mark_{int(mark, 16):032x}"


def _marked(sql: str, mark: str) -> str:
    """Return a SELECT that bears a mark: as a name that it defines, for comments do not outlast bound parameters."""
    rest = f", {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f" {sql}"
    return f"WITH 1 AS {_mark_name(mark)}{rest}"


def _query_error(error: ClickHouseError) -> OperationError:
    message = _first_line(error)
    if _NO_PATTERN in message:
        return RecordError("not a pattern")
    if any(code in message for code in _LIMIT_CODES):
        return LimitExceeded(f"the query is too large: {message}", hint="narrow the time range or the filter")
    return StateError(f"the telemetry database refused a query: {message}")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:500] if str(error) else type(error).__name__


def _shown(target: str) -> str:
    """Return the target without a password."""
    scheme, separator, rest = target.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else target
