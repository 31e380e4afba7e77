"""`arg_max(x, *)` over wide rows of stored tables, which are looked for and not gathered: the same rows come out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.types import Field, Schema, Table, Type

# ruff: noqa: S608 - statements are composed of constants of this module
_NUMBERS = tuple(f"n{number}" for number in range(9))
_SOURCE = (
    "(SELECT ['a', 'b', ''][number % 3 + 1] AS k, toDateTime64('2026-01-01 00:00:00', 7, 'UTC') + number AS t, "
    "if(number < 6, toInt64(number), NULL) AS x, number / 2 AS r, toString(number) AS s, "
    + ", ".join(
        f"if(number % 4 = {at % 4}, NULL, toInt64(number * {at})) AS {name}" for at, name in enumerate(_NUMBERS)
    )
    + " FROM numbers(12))"
)
_FIELDS = (
    Field("k", Type.STRING, nullable=False),
    Field("t", Type.DATETIME, nullable=False),
    Field("x", Type.LONG),
    Field("r", Type.REAL, nullable=False),
    Field("s", Type.STRING, nullable=False),
    *(Field(name, Type.LONG) for name in _NUMBERS),
)
_SCHEMA = Schema(
    {
        "Events": Table("Events", _FIELDS, _SOURCE),
        "State": Table(
            "State", _FIELDS, _SOURCE, f"(SELECT * FROM {_SOURCE} WHERE t <= toDateTime64({{at}}, 7, 'UTC'))"
        ),
    }
)


def _sql(query: str) -> str:
    return compile_query(query, _SCHEMA).statement.sql


def _rows(engine: Engine, query: str) -> list[dict[str, Any]]:
    compiled = compile_query(query, _SCHEMA)
    rows = [dict(zip([name for name, _ in compiled.columns], row, strict=True)) for row in engine.rows(compiled)]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def _row(number: int) -> dict[str, Any]:
    """Return the row of the source of this number."""
    return {
        "k": ["a", "b", ""][number % 3],
        "t": f"2026-01-01T00:00:{number:02}.0000000Z",
        "x": number if number < 6 else None,
        "r": number / 2,
        "s": str(number),
        **{name: None if number % 4 == at % 4 else number * at for at, name in enumerate(_NUMBERS)},
    }


@pytest.mark.parametrize("table", ["Events", "State"])
@pytest.mark.parametrize(
    ("summary", "numbers"),
    [
        ("summarize arg_max(t, *) by k", (9, 10, 11)),
        ("summarize arg_min(t, *) by k", (0, 1, 2)),
        ("where t < datetime(2026-01-01 00:00:08) and s != '6' | summarize arg_max(t, *) by k", (3, 5, 7)),
        ("summarize arg_max(t, *) by k, s | where s in ('1', '7')", (1, 7)),
        # what is not equal to itself cannot be looked for
        ("summarize arg_max(x, *) by k", (3, 4, 5)),
        ("where r < 5 | summarize arg_max(r, *) by k", (7, 8, 9)),
        ("summarize arg_max(x, *) by k, s | where s == '9'", (9,)),
        ("where k in (Events | project k) | summarize arg_max(t, *) by k", (9, 10, 11)),
        ("summarize arg_max(t, *), count() by k | where count_ == 4 | project-away count_", (9, 10, 11)),
    ],
)
def test_the_row_is_whole(engine: Engine, table: str, summary: str, numbers: tuple[int, ...]) -> None:
    wanted = sorted((_row(number) for number in numbers), key=lambda row: json.dumps(row, sort_keys=True))
    assert _rows(engine, f"{table} | {summary}") == wanted


def test_equals_give_one_row(engine: Engine) -> None:
    [row] = _rows(engine, "Events | extend t = bin(t, 1h), all = 'x' | summarize arg_max(t, *) by all")
    number = int(row["s"])
    assert {**_row(number), "t": "2026-01-01T00:00:00.0000000Z", "all": "x"} == row


def test_what_is_different_every_time_is_made_once(engine: Engine) -> None:
    assert len(_rows(engine, "Events | extend u = new_guid() | summarize arg_max(t, *) by u")) == 12


def test_what_nobody_wants_is_not_made() -> None:
    sql = _sql("Events | summarize arg_max(t, *) by k | project k, s")
    assert sql.count("argMax") == 1
    assert "`n0`" not in sql


def test_only_stored_rows_are_looked_at_twice() -> None:
    assert "argMax" not in _sql("Events | summarize arg_max(t, *) by k")
    assert "argMax" in _sql("Events | where rand() < 0.5 | summarize arg_max(t, *) by k")
    assert "argMax" in _sql("Events | take 5 | summarize arg_max(t, *) by k")
    assert _sql("State | summarize arg_max(t, *) by k").count("numbers(12)") == 1
