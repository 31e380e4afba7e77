"""Arithmetic and functions of numbers on the engine, beside the manual's own examples."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.types import Schema, Type


def _value(engine: Engine, expression: str) -> tuple[Any, Type]:
    compiled = compile_query(f"print v = {expression}", Schema({}))
    rows = engine.rows(compiled)
    assert len(rows) == 1
    return rows[0][0], compiled.columns[0][1]


@pytest.mark.parametrize(
    ("expression", "expected", "type_"),
    [
        # numerical-operators: whole numbers make a long, division cuts, a modulo is never negative
        ("int(7) / int(2)", 3, Type.LONG),
        ("-7 / 2", -3, Type.LONG),
        ("-7 % 3", 2, Type.LONG),
        ("7 % -3", 1, Type.LONG),
        ("1 / 0", None, Type.LONG),
        ("5 % 0", None, Type.LONG),
        ("7.5 % -2", 1.5, Type.REAL),
        ("-7.5 % 2.0", 0.5, Type.REAL),
        ("1.0 / 0", "inf", Type.REAL),
        ("decimal(-7.5) % 2", 0.5, Type.DECIMAL),
        ("decimal(1) + 1.5", 2.5, Type.DECIMAL),
        ("9223372036854775807 + 1", -9223372036854775808, Type.LONG),
        ("-int(5)", -5, Type.INT),
        # datetime-timespan-arithmetic
        ("1d / 5h", 4.8, Type.REAL),
        ("1s / 3", 3_333_333, Type.TIMESPAN),
        ("2.5 * 1s", 25_000_000, Type.TIMESPAN),
        ("-1s % 300ms", 2_000_000, Type.TIMESPAN),
        ("datetime(2020-01-01 00:00:01) % 1d", 10_000_000, Type.TIMESPAN),
        ("datetime(2020-01-02) - datetime(2020-01-01)", 864_000_000_000, Type.TIMESPAN),
        ("1s + datetime(2020-01-01)", "2020-01-01T00:00:01.0000000Z", Type.DATETIME),
        ("datetime(9999-12-31) + 1d", None, Type.DATETIME),
        ("dynamic(1) + 1", 2, Type.LONG),
        ("dynamic(1.5) + 1.0", 2.5, Type.REAL),
        # one page each
        ("abs(int(-5))", 5, Type.LONG),
        ("abs(decimal(-2))", 2, Type.DECIMAL),
        ("abs(-5s)", 50_000_000, Type.TIMESPAN),
        ("round(25, -1)", 20, Type.LONG),
        ("ceiling(-1.5)", -1, Type.REAL),
        ("sign(-2)", -1, Type.REAL),
        ("sqrt(-1.0)", None, Type.REAL),
        ("log(-1)", None, Type.REAL),
        ("log2(8)", 3, Type.REAL),
        ("log10(1000)", 3, Type.REAL),
        ("exp(0)", 1, Type.REAL),
        ("exp2(3)", 8, Type.REAL),
        ("exp10(2)", 100, Type.REAL),
        ("acos(2)", None, Type.REAL),
        ("acos(1)", 0, Type.REAL),
        ("tan(0)", 0, Type.REAL),
        ("pi() > 3.14159", True, Type.BOOL),
        ("binary_and(12, 10)", 8, Type.LONG),
        ("binary_or(12, 10)", 14, Type.LONG),
        ("binary_shift_right(-8, 1)", -4, Type.LONG),
        ("binary_shift_left(1, 65)", 2, Type.LONG),
        ("binary_shift_left(1, -1)", None, Type.LONG),
        ("bitset_count_ones(-1)", 64, Type.LONG),
        ("isnan(real(null))", None, Type.BOOL),
        ("rand() < 1", True, Type.BOOL),
        ("rand(10) <= 9", True, Type.BOOL),
        ("rand() == rand()", False, Type.BOOL),
    ],
)
def test_number(engine: Engine, expression: str, expected: object, type_: Type) -> None:
    assert _value(engine, expression) == (expected, type_)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # logical-operators: null counts as false, and two nulls are neither equal nor different
        ("bool(null) == true", False),
        ("bool(null) != true", True),
        ("bool(null) == bool(null)", False),
        ("bool(null) != bool(null)", False),
        ("bool(null) and true", False),
        ("bool(null) or false", False),
        ("long(null) > 1 or true", True),
        ("not(long(null) > 1 and true)", True),
    ],
)
def test_condition(engine: Engine, expression: str, expected: bool) -> None:
    assert bool(_value(engine, expression)[0]) is expected


def test_a_filter_takes_null_as_false(engine: Engine) -> None:
    query = """
        datatable(a:long, b:bool) [1, true, 2, bool(null), long(null), false]
        | where a > 0 and (b or a == 2) | project a
    """
    assert engine.rows(compile_query(query, Schema({}))) == [[1], [2]]


def test_what_is_computed_of_a_column_stands_beside_it() -> None:
    """Functions that give their column the name of an argument, as the service names it."""
    query = "print a = -1 | project a, abs(a), abs(a)"
    assert [name for name, _ in compile_query(query, Schema({})).columns] == ["a", "a1", "a2"]
