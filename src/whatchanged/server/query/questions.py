"""Questions in KQL: what a person may see becomes the schema, the query becomes SQL, the answer becomes typed rows.

Read-only and bounded: only the tables of the specification exist for a query, each cut to the machines and the time
that it may see; rows, bytes, time and memory are limited, and an answer that was cut says so.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from whatchanged.errors import LimitExceeded, OperationError
from whatchanged.kql import editor
from whatchanged.kql.compile import Compiled, compile_query
from whatchanged.kql.sql import Statement
from whatchanged.kql.sql.values import EPOCH_TICKS, time_text
from whatchanged.kql.types import Field, Schema, Table, Type
from whatchanged.records import columns, tables
from whatchanged.records.ddl import column_type
from whatchanged.records.times import now_ns
from whatchanged.server.query.check import Parameter, check
from whatchanged.server.query.turns import Limits, Turns
from whatchanged.server.storage import END_OF_TIME, Storage

__all__ = ["FUNCTIONS", "MOST_BYTES", "MOST_ROWS", "MOST_SECONDS", "Answer", "Questions", "Timeout", "View"]

MOST_ROWS = 500_000
MOST_BYTES = 100_000_000
MOST_SECONDS = 600.0
"""Limits of one answer; those of Log Analytics."""
_PAUSE = 0.2
"""Seconds between two attempts to end a question: one that comes before its statement reaches the engine finds none."""
_LOG = logging.getLogger(__name__)
_ALL = 2**63 - 1
_TICKS_A_DAY = 864_000_000_000
_NS_A_TICK = 100
FUNCTIONS = importlib.resources.files(__package__).joinpath("functions.kql").read_text(encoding="utf-8")
"""What every query may call: `functions.kql`."""
_decode = msgspec.json.Decoder(list[Any]).decode


class Timeout(LimitExceeded):
    """A question took longer than its asker wanted to wait."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a question may see."""

    machines: tuple[str, ...] | None = None
    """Machine ids; None: all."""
    resource: str = ""
    """Only what belongs to this resource, or lies below it; an ARM id."""
    window: tuple[int, int] | None = None
    """Begin and end of the time, in nanoseconds since 1970."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A table."""

    columns: tuple[tuple[str, Type], ...]
    rows: list[list[Any]]
    """Values as JSON has them; datetimes and timespans are text, dynamics are JSON text."""
    cut: str = ""
    """Why this is not everything; empty: it is."""
    chart: str = ""
    properties: Mapping[str, str] = {}
    seconds: float = 0.0
    size: int = 0
    """Bytes of its rows as JSON."""


class Questions:
    """Answers questions. Safe to be used from several tasks of one event loop."""

    def __init__(self, storage: Storage, functions: str = "", limits: Limits | None = None) -> None:
        """`functions`: what every query may call, as `let` statements."""
        limits = limits or Limits(at_once=storage.askers)
        self.turns = Turns(limits)
        self._storage = storage
        self._functions = functions
        self._threads = ThreadPoolExecutor(max_workers=limits.at_once, thread_name_prefix="question")
        self._running: set[_Question] = set()
        self._endings: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End what runs, and let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for question in list(self._running):
            question.unwanted.set()
            while not question.over.wait(_PAUSE):
                self._storage.cancel(question.mark)
        self._threads.shutdown(wait=True)

    def check(self, text: str) -> tuple[Parameter, ...]:
        """Return the parameters that a query declares; raises KqlError if it is none. Blocks."""
        return check(text, schema(View(), self._functions))

    def functions(self) -> list[editor.Declared]:
        """Return what every query may call beside what is built into the language."""
        return editor.declared(self._functions)

    def complete(self, text: str, offset: int) -> list[editor.Suggestion]:
        """Return what could stand at a place of a query that is being written. Blocks."""
        return editor.complete(text, offset, schema(View(), self._functions))

    def explain(self, text: str, offset: int) -> editor.Explanation | None:
        """Return what stands at a place of a query. Blocks."""
        return editor.explain(text, offset, schema(View(), self._functions))

    async def ask(
        self,
        text: str,
        view: View,
        *,
        asker: str = "",
        wait: float = MOST_SECONDS,
        most_bytes: int = MOST_BYTES,
        parameters: Mapping[str, str] | None = None,
    ) -> Answer:
        """Answer a question in the asker's turn, within `wait` seconds. If the task is cancelled, so is the query.

        Raises KqlError for a wrong one, Busy, Timeout, LimitExceeded.
        """
        began = time.monotonic()
        question = _Question(self._storage, self._functions, text, view, parameters, most_bytes)
        running = asyncio.ensure_future(self._in_turn(question, asker))
        try:
            answer = await asyncio.wait_for(asyncio.shield(running), min(wait, MOST_SECONDS))
        except (TimeoutError, asyncio.CancelledError) as error:
            self._abandon(question, running)
            if isinstance(error, TimeoutError):
                raise Timeout(
                    f"the query took longer than {wait:g} s", hint="narrow the time range or the filter"
                ) from error
            raise
        return msgspec.structs.replace(answer, seconds=time.monotonic() - began)

    async def _in_turn(self, question: _Question, asker: str) -> Answer:
        """Answer a question when it is its turn: that lasts until its thread has ended, whoever still wants to know."""
        async with self.turns.turn(asker):
            self._running.add(question)
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, question.answer)
            finally:
                self._running.discard(question)

    def _abandon(self, question: _Question, running: asyncio.Future[Answer]) -> None:
        question.unwanted.set()
        if question not in self._running:
            running.cancel()  # one that waits for its turn never gets it
            return
        ending = asyncio.ensure_future(self._end(question, running))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, question: _Question, running: asyncio.Future[Answer]) -> None:
        """End a question in the engine, however long it takes it to get there."""
        loop = asyncio.get_running_loop()
        while not running.done():
            try:
                await loop.run_in_executor(None, self._storage.cancel, question.mark)
            except OperationError as error:
                _LOG.warning("a query that nobody waits for could not be ended, will be tried again: %s", error)
            await asyncio.wait({running}, timeout=_PAUSE)
        if not running.cancelled():
            running.exception()  # it is of no interest to anybody, and asyncio wants to be told so


class _Question:
    """One question on its way through a thread."""

    def __init__(
        self,
        storage: Storage,
        functions: str,
        text: str,
        view: View,
        parameters: Mapping[str, str] | None,
        most_bytes: int,
    ) -> None:
        self.mark = secrets.token_hex(16)
        self.unwanted = threading.Event()
        """Set: its answer is of no use any more."""
        self.over = threading.Event()
        self._storage = storage
        self._functions = functions
        self._text = text
        self._view = view
        self._parameters = parameters
        self._most_bytes = most_bytes

    def answer(self) -> Answer:
        """Return the answer."""
        try:
            compiled = self._compiled()
            raw = self._ask(compiled.statement)
            rows, cut = _rows(raw, compiled, self._most_bytes)
        finally:
            self.over.set()
        return Answer(
            columns=compiled.columns,
            rows=rows,
            cut=cut,
            chart=compiled.chart,
            properties=compiled.properties,
            size=min(len(raw), self._most_bytes),
        )

    def _compiled(self) -> Compiled:
        def ask(statement: Statement) -> list[list[Any]]:  # what has its columns out of rows
            return [_decode(line) for line in self._ask(statement).splitlines()]

        until = None if self._view.window is None else _ticks(self._view.window[1])
        return compile_query(
            self._text,
            schema(self._view, self._functions),
            now=_ticks(now_ns()),
            parameters=self._parameters,
            until=until,
            most=MOST_ROWS + 1,
            ask=ask,
        )

    def _ask(self, statement: Statement) -> bytes:
        if self.unwanted.is_set():
            raise Timeout("nobody waits for this query any more")
        # Only what the statement names: with values and no place for any the driver takes every % for one.
        view = {k: v for k, v in _restrictions(self._view).items() if f"{{{k}:" in statement.sql}
        return self._storage.ask(statement.sql, {**statement.parameters, **view}, self.mark)


def _ticks(nanoseconds: int) -> int:
    return EPOCH_TICKS + nanoseconds // _NS_A_TICK


# What may be seen


def schema(view: View, functions: str = "") -> Schema:
    """Return the tables as a question may see them."""
    return Schema({table.name: _table(table, view) for table in tables.TABLES}, functions)


def _table(table: columns.Table, view: View) -> Table:
    fields = tuple(_field(column) for column in table.columns)
    conditions = _conditions(view)
    source = _restricted(table, table.name, conditions)
    if table is not tables.CONFIGURATION_DATA:
        return Table(table.name, fields, source, doc=table.meaning)
    inventory = "ConfigurationDataAt(at = {at}, machine = {SourceComputerId}, kind = {ConfigDataType})"
    as_of = _restricted(table, inventory, conditions)
    if view.machines is not None:
        source, as_of = _fenced(source), _fenced(as_of)
    parts = ("SourceComputerId", "ConfigDataType")
    return Table(table.name, fields, source, as_of, parts, END_OF_TIME, table.meaning)


def _fenced(source: str) -> str:
    """Return a source that no condition of a query gets into.

    The engine carries conditions down through joins, of which this table is made, and there asks them of rows that are
    cut away later: by an error its asker would hear of them. It never carries one through LIMIT. The other tables need
    no fence (the setting `query_plan_merge_filters` does it), and with one would not be read by their index.
    """
    return f"{source.removesuffix(')')} LIMIT {_ALL})"


def _restricted(table: columns.Table, source: str, conditions: Sequence[str]) -> str:
    if not conditions:
        return source
    # By name: what is computed of other columns is not in `*`.
    names = ", ".join(f"`{name}`" for name in table.names)
    return f"(SELECT {names} FROM {source} WHERE {' AND '.join(conditions)})"  # noqa: S608 - names of the specification


def _conditions(view: View) -> list[str]:
    found = []
    if view.machines is not None:
        found.append("SourceComputerId IN {view_machines:Array(String)}")
    if view.resource:
        found.append("startsWith(concat(lower(_ResourceId), '/'), {view_resource:String})")
    if view.window is not None:
        found.append(
            "TimeGenerated >= {view_start:DateTime64(7, 'UTC')} AND TimeGenerated < {view_end:DateTime64(7, 'UTC')}"
        )
    return found


def _restrictions(view: View) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if view.machines is not None:
        found["view_machines"] = list(view.machines)
    if view.resource:
        found["view_resource"] = view.resource.lower().rstrip("/") + "/"
    if view.window is not None:
        found["view_start"], found["view_end"] = (_moment(moment) for moment in view.window)
    return found


def _moment(nanoseconds: int) -> str:
    return min(time_text(max(_ticks(nanoseconds), 0)), END_OF_TIME)


def _field(column: columns.Column) -> Field:
    type_ = Type(column.type.value)
    if type_ is Type.DYNAMIC:
        return Field(column.name, type_, nullable=True, sql=f"nullIf(`{column.name}`, '')", doc=column.meaning)
    return Field(column.name, type_, nullable=column_type(column).startswith("Nullable"), doc=column.meaning)


# What comes out


def _rows(raw: bytes, compiled: Compiled, most_bytes: int) -> tuple[list[list[Any]], str]:
    """Return the rows of an answer as JSON has them, and why they are not all."""
    cut = ""
    if len(raw) > most_bytes:
        raw = raw[: raw.rfind(b"\n", 0, max(most_bytes, 0)) + 1]
        cut = f"the answer is larger than {MOST_BYTES} bytes"
    lines = raw.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) > MOST_ROWS:
        del lines[MOST_ROWS:]
        cut = f"the answer has more than {MOST_ROWS} rows"
    rows = [_decode(line) for line in lines]
    if not compiled.columns:
        return [[] for _ in rows], cut
    for at, (_, type_) in enumerate(compiled.columns):
        shape = _SHAPES.get(type_)
        if shape is not None:
            for row in rows:
                if row[at] is not None:
                    row[at] = shape(row[at])
    return rows, cut


def _timespan(ticks: int) -> str:
    """Return a timespan as .NET prints it: `[-][d.]hh:mm:ss[.fffffff]`."""
    sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
    days, rest = divmod(ticks, _TICKS_A_DAY)
    seconds, fraction = divmod(rest, 10_000_000)
    shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{sign}{f'{days}.' if days else ''}{shown}{f'.{fraction:07}' if fraction else ''}"


_NO_NUMBERS = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""What JSON has no number for: as the engine writes it, and as the service does."""


def _real(value: float | str) -> float | str:
    return _NO_NUMBERS[value] if isinstance(value, str) else value


_SHAPES: dict[Type, Any] = {
    Type.REAL: _real,
    Type.BOOL: bool,
    Type.TIMESPAN: _timespan,
    Type.DECIMAL: str,
}
