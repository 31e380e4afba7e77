"""Functions that look at other rows, on the engine, beside the manual's own examples."""

from __future__ import annotations

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.types import Schema

_ROWS = """
datatable(g:string, a:long, t:datetime) [
    "a", 3, datetime(2024-01-01 00:00), "a", 1, datetime(2024-01-01 00:04),
    "b", 2, datetime(2024-01-01 00:08), "b", long(null), datetime(2024-01-01 00:12)
] | serialize
"""


def _at(minute: int) -> str:
    return f"2024-01-01T00:{minute:02}:00.0000000Z"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("row_number()", [1, 2, 3, 4]),
        ("row_number(0, g != prev(g))", [0, 1, 0, 1]),
        ("row_number(7, false)", [7, 8, 9, 10]),
        ("prev(a)", [None, 3, 1, 2]),
        ("prev(a, 2, -1)", [-1, -1, 3, 1]),
        ("prev(g)", ["", "a", "a", "b"]),
        ("next(g, 1, 'z')", ["a", "b", "b", "z"]),
        ("next(a)", [1, 2, None, None]),
        ("next(a) - a", [-2, 1, None, None]),
        ("row_cumsum(int(1))", [1, 2, 3, 4]),
        ("row_cumsum(a, g != prev(g))", [3, 4, 2, 2]),
        ("row_rank_dense(g)", [1, 1, 2, 2]),
        ("row_rank_min(g)", [1, 1, 3, 3]),
        ("row_rank_dense(a, g != prev(g))", [1, 2, 1, 2]),
        # row-window-session: at or beyond a distance a session begins
        ("row_window_session(t, 8m, 5m)", [_at(0), _at(0), _at(8), _at(8)]),
        ("row_window_session(t, 1h, 4m)", [_at(0), _at(4), _at(8), _at(12)]),
        ("row_window_session(t, 1h, 5m, g != prev(g))", [_at(0), _at(0), _at(8), _at(8)]),
        ("row_window_session(t, 9m, 1h)", [_at(0), _at(0), _at(0), _at(12)]),
    ],
)
def test_neighbours(engine: Engine, expression: str, expected: list[object]) -> None:
    rows = engine.rows(compile_query(f"{_ROWS} v = {expression} | project v", Schema({})))
    assert [row[0] for row in rows] == expected


def test_rows_that_are_alike_in_the_order_stand_in_one_order_to_all(engine: Engine) -> None:
    query = """
        range x from 1 to 1000 step 1 | sort by x % 3 asc
        | extend n = row_number(), before = prev(x), sum = row_cumsum(1, x % 3 != prev(x % 3))
        | extend again = row_number(), same = prev(x)
        | where n != again or before != same
    """
    assert engine.rows(compile_query(query, Schema({}))) == []


def test_a_filter_may_look_at_the_row_before(engine: Engine) -> None:
    query = "datatable(a:long) [1, 1, 2, 2, 1] | serialize | where a != prev(a) | project a, row_number()"
    assert engine.rows(compile_query(query, Schema({}))) == [[1, 1], [2, 2], [1, 3]]


def test_an_order_is_needed() -> None:
    with pytest.raises(KqlSemanticError, match="need an order"):
        compile_query("datatable(a:long) [1] | extend prev(a)", Schema({}))
