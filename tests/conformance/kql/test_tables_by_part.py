"""A table that is kept by the values of a field is asked only for the part that a query wants, and answers the same."""

from __future__ import annotations

import re

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.types import Field, Schema, Table, Type

# ruff: noqa: S608 - statements are composed of constants of this module
_ROWS = (
    "SELECT ['a', 'b', ''][number % 3 + 1] AS k, toDateTime64('2026-01-01 00:00:00', 7, 'UTC') + number AS "
    "TimeGenerated, toInt64(number) AS n FROM numbers(9)"
)
_SCHEMA = Schema(
    {
        "State": Table(
            "State",
            (Field("k", Type.STRING, nullable=False), Field("TimeGenerated", Type.DATETIME, nullable=False),
             Field("n", Type.LONG, nullable=False)),
            f"({_ROWS})",
            f"(SELECT * FROM ({_ROWS}) WHERE TimeGenerated <= toDateTime64({{at}}, 7, 'UTC') "
            "AND ({k} = '' OR k = {k}))",
            ("k",),
            "2299-12-31 00:00:00",
        ),
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "parts", "numbers"),
    [
        ("where k == 'a'", {"a"}, [0, 3, 6]),
        ("where 'b' == k | where n > 1", {"b"}, [4, 7]),
        ("where n > 1 and (k == 'b' and n < 7)", {"b"}, [4]),
        ("where k == 'a' and TimeGenerated < datetime(2026-01-01 00:00:05)", {"a"}, [0, 3]),
        ("where TimeGenerated < datetime(2026-01-01 00:00:02)", {""}, [0, 1]),
        ("where k == ''", {""}, [2, 5, 8]),
        ("where k == 'a' and k == 'b'", {"b"}, []),
        ("where k != 'a'", set(), [1, 2, 4, 5, 7, 8]),
        ("where k == 'a' or n == 1", set(), [0, 1, 3, 6]),
        ("where not(k == 'a') and n < 3", set(), [1, 2]),
        ("where k =~ 'A'", set(), [0, 3, 6]),
        ("extend k = 'a' | where k == 'a' and n < 2", set(), [0, 1]),
        ("where k == 'a' | union (State | where k == 'b') | where n < 2", {"a", "b"}, [0, 1]),
    ],
)
def test_a_part_of_a_table(engine: Engine, query: str, parts: set[str], numbers: list[int]) -> None:
    compiled = compile_query(f"State | {query} | project n | order by n asc", _SCHEMA)
    assert engine.rows(compiled) == [[number] for number in numbers]
    asked = re.findall(r"\(\{(p\d+):String\} = ''", compiled.statement.sql)
    assert {compiled.statement.parameters[name] for name in asked} == parts
