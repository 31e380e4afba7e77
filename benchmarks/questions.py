"""What a question in KQL costs: until it is SQL, and until its answer is there, beside SQL written by hand."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fleet import fill
from benchmarks.pairs import NOW, PAIRS, Pair
from benchmarks.table import Measure
from whatchanged.kql.compile import compile_query
from whatchanged.kql.sql import Statement
from whatchanged.kql.syntax.moments import datetime_ticks
from whatchanged.kql.types import Schema
from whatchanged.server.query import FUNCTIONS, View
from whatchanged.server.query.questions import MOST_ROWS, schema
from whatchanged.server.storage import Storage, open_storage

__all__ = ["answers", "compilation"]

_QUERIES = Path(__file__).parent.parent / "tests/e2e/queries.kql"


def compilation(rounds: int) -> list[Measure]:
    """Return the median and the 99th of a hundred, over the queries that people run; each `rounds` times and once
    before."""
    tables = schema(View(), FUNCTIONS)
    queries = _QUERIES.read_text(encoding="utf-8").split("\n----\n")
    took: list[float] = []
    for number in range(rounds + 1):
        for query in queries:
            began = time.perf_counter()
            compile_query(query, tables, ask=_kinds)
            if number:
                took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return [
        Measure("KQL to SQL, median / 3 ms", statistics.median(took), 3.0, "ms", goal=1.0),
        Measure("KQL to SQL, p99 / 20 ms", took[int(len(took) * 0.99) - 1], 20.0, "ms", goal=1.0),
    ]


def _kinds(_statement: Statement) -> Sequence[Sequence[Any]]:
    """Answer what `pivot` asks for before it has columns."""
    return [["Files"], ["Software"]]


def answers(rows: int, rounds: int) -> list[Measure]:
    """Return the best times of the commonest queries beside those of SQL written by hand, over so many rows.

    From the text of the query to the text of its rows, by the same handle of the engine, in turn. Beside the time it
    took, the processors' time is compared: the engine works in this process, and what else the machine does counts
    less. A pair whose results differ ends the benchmark.
    """
    measures: list[Measure] = []
    work: list[float] = []
    tables = schema(View(), FUNCTIONS)
    with tempfile.TemporaryDirectory() as folder, open_storage(folder + "/db") as storage:
        began = time.perf_counter()
        fill(storage, rows)
        print(f"{rows:,} rows made in {time.perf_counter() - began:.0f} s", flush=True)
        for pair in PAIRS:
            ours, peer = _raced(storage, tables, pair, rounds)
            measures.append(Measure(f"{pair.name}, KQL / SQL", ours.elapsed, peer.elapsed, "ms"))
            work.append(ours.work / peer.work)
            print(f"{pair.name}: {measures[-1].ratio:.2f}, of the processors' time {work[-1]:.2f}", flush=True)
    median = statistics.median(measure.ratio for measure in measures)
    name = f"KQL / SQL over {rows:,} rows, median of the ratios"
    measures.append(Measure(name, median, 1.0, "", goal=1.1))
    measures.append(Measure("the same of the processors' time", statistics.median(work), 1.0, "", goal=1.1))
    return measures


@dataclass(slots=True)
class _Best:
    """The least milliseconds that a question took, and that the processors worked for it."""

    elapsed: float = math.inf
    work: float = math.inf


def _raced(storage: Storage, tables: Schema, pair: Pair, rounds: int) -> tuple[_Best, _Best]:
    """Return the best of both sides; a first round is not counted."""
    kql, sql = _Best(), _Best()
    contests: list[tuple[_Best, Callable[[], bytes]]] = [
        (kql, lambda: _asked(storage, tables, pair.kql)),
        (sql, lambda: storage.ask(pair.sql.strip(), {}, "0")),
    ]
    _check(pair, *(ask() for _, ask in contests))
    for number in range(rounds):
        for best, ask in contests if number % 2 == 0 else reversed(contests):
            _forget(storage)
            began, worked = time.perf_counter(), time.process_time()
            ask()
            best.work = min(best.work, (time.process_time() - worked) * 1000)
            best.elapsed = min(best.elapsed, (time.perf_counter() - began) * 1000)
    return kql, sql


def _asked(storage: Storage, tables: Schema, text: str) -> bytes:
    statement = compile_query(text, tables, now=datetime_ticks(NOW), most=MOST_ROWS + 1).statement
    return storage.ask(statement.sql, statement.parameters, "0")


def _forget(storage: Storage) -> None:
    """Let every question be the first of its kind: the engine remembers which rows a condition let through."""
    with storage.writes_held() as client:
        client.command("SYSTEM DROP QUERY CONDITION CACHE")


def _check(pair: Pair, kql: bytes, sql: bytes) -> None:
    ours, theirs = kql.splitlines(), sql.splitlines()
    if not pair.ordered:
        ours.sort()
        theirs.sort()
    if ours != theirs or not ours:
        raise ValueError(f"{pair.name}: the answers differ, or are empty: {len(ours)} and {len(theirs)} rows")
