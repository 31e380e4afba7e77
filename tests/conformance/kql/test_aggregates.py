"""Aggregates on the engine, beside the manual's own examples: types, nulls, names, groups without rows."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.types import Schema

_ROWS = """
let T = datatable(k:string, x:int, y:long, z:real, s:string, t:datetime, b:bool, d:dynamic, p:timespan, m:decimal) [
    "a", 1, 10, 1.5, "q", datetime(2020-01-01), true, dynamic([1, 2]), 1h, decimal(1.5),
    "a", int(null), 20, real(null), "", datetime(null), bool(null), dynamic(null), time(null), decimal(null),
    "b", 3, 30, 3.5, "z", datetime(2020-01-03), false, dynamic({"a": 1, "b": [2]}), 3h, decimal(2.5),
    "a", 4, 40, 2.5, "q", datetime(2020-01-02), true, dynamic([2, 3]), 2h, decimal(7)
];
T |
"""
_HOUR = 36_000_000_000


def _answer(engine: Engine, query: str) -> tuple[list[str], list[list[Any]]]:
    compiled = compile_query(_ROWS + query, Schema({}))
    return [name for name, _ in compiled.columns], engine.rows(compiled)


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("count()", 4),
        ("count(x)", 4),  # rows, not values (the page of summarize)
        ("countif(x > 1)", 2),
        ("dcount(s)", 3),
        ("dcount(x, 2)", 3),
        ("dcountif(s, b)", 1),
        ("count_distinct(x)", 3),
        ("count_distinctif(x, b)", 2),
        ("sum(x)", 8),
        ("sum(z)", 7.5),
        ("sum(m)", 11),
        ("sum(p)", 6 * _HOUR),
        ("sumif(y, b)", 50),
        ("avg(x)", 8 / 3),
        ("avg(p)", 2 * _HOUR),
        ("avg(t)", "2020-01-02T00:00:00.0000000Z"),
        ("avg(m)", pytest.approx(11 / 3)),
        ("avgif(t, b)", "2020-01-01T12:00:00.0000000Z"),
        ("min(x)", 1),
        ("max(t)", "2020-01-03T00:00:00.0000000Z"),
        ("min(p)", _HOUR),
        ("max(m)", 7),
        ("max(s)", "z"),
        ("min(b)", False),
        ("minif(s, b)", "q"),
        ("maxif(t, x > 100)", None),
        ("stdev(y)", pytest.approx(12.909944487358056)),
        ("stdevp(y)", pytest.approx(11.180339887498949)),
        ("stdevif(y, k == 'b')", 0),  # of one value
        ("variance(y)", pytest.approx(166.66666666666666)),
        ("variancep(y)", 125),
        ("varianceif(y, b)", 450),
        ("variancepif(y, b)", 225),
        ("covariance(x, y)", pytest.approx(70 / 3)),
        ("covariancepif(x, y, b)", pytest.approx(22.5)),
        # nearest rank: the smallest value that so many percent do not exceed; of 0 the smallest
        ("percentile(y, 0)", 10),
        ("percentile(y, 25)", 10),
        ("percentile(y, 26)", 20),
        ("percentile(y, 50)", 20),
        ("percentile(y, 100)", 40),
        ("percentile(x, 50)", 3),
        ("percentile(t, 50)", "2020-01-02T00:00:00.0000000Z"),
        ("percentilew(x, y, 50)", 3),
        ("percentiles_array(y, 25, 75)", "[10,30]"),
        ("percentiles_array(y, dynamic([25, 75]))", "[10,30]"),
        ("percentilesw_array(y, x, 50)", "[30]"),
        ("make_list(x)", "[1,3,4]"),
        ("make_list(y, 2)", "[10,20]"),
        ("make_list_if(s, b)", '["q","q"]'),
        ("make_list_with_nulls(x)", "[1,null,3,4]"),
        ("make_set(s)", '["q","","z"]'),
        ("make_set(y, 1)", "[10]"),
        ("make_set(d)", '[1,2,{"a":1,"b":[2]},3]'),  # elements of arrays (the page of make_set)
        ("make_set_if(x, b)", "[1,4]"),
        ("make_bag(d)", '{"a":1,"b":[2]}'),
        ("make_bag_if(d, b)", "{}"),
        ("take_any(x)", 1),
        ("take_anyif(s, y > 25)", "z"),
        ("any(z)", 1.5),
        ("binary_all_and(y)", 0),
        ("binary_all_or(y)", 62),
        ("binary_all_xor(x)", 6),
        ("sum(z) / count()", 1.875),
    ],
)
def test_the_value_of_an_aggregate(engine: Engine, aggregate: str, expected: Any) -> None:
    _, rows = _answer(engine, f"summarize v = {aggregate}")
    assert rows == [[expected]]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("count()", 0),
        ("dcount(x)", 0),
        ("sum(x)", 0),
        ("sum(p)", 0),
        ("avg(x)", "nan"),
        ("avg(t)", None),
        ("avg(p)", None),
        ("min(x)", None),
        ("max(s)", ""),
        ("stdev(x)", 0),
        ("variance(x)", 0),
        ("percentile(x, 50)", None),
        ("percentilew(x, y, 50)", None),
        ("take_any(x)", None),
        ("make_list(x)", "[]"),
        ("make_set(x)", "[]"),
        ("make_bag(d)", "{}"),
        ("binary_all_or(x)", None),
    ],
)
def test_the_value_of_no_rows(engine: Engine, aggregate: str, expected: Any) -> None:
    """The page of summarize: default values of aggregates."""
    _, rows = _answer(engine, f"where y > 1000 | summarize v = {aggregate}")
    assert rows == [[expected]]


def test_no_rows_and_groups_give_no_row(engine: Engine) -> None:
    _, rows = _answer(engine, "where y > 1000 | summarize count() by k")
    assert rows == []


@pytest.mark.parametrize(
    ("aggregates", "names"),
    [
        # as Kusto.Language names them
        ("arg_max(t, x, x), arg_max(t, x + 1, z * 2)", ["t", "x", "x1", "t1", "max_t_arg1", "max_t_arg2"]),
        ("argmax(x, s), (a, c) = arg_max(x, s)", ["max_x", "max_x_s", "a", "c"]),
        ("any(s), any(x, s), take_any(s)", ["any_s", "any_x", "any_s1", "s"]),
        ("z = take_any(x, s), take_anyif(s, b)", ["z", "s", "s1"]),
        ("(p, q) = percentiles(y, 5, 50), f = percentiles(y, 1, 2)", ["p", "q", "f", "percentile_y_2"]),
        ("percentiles(y, 5, 50.5), percentile(x + 1, 5)", ["percentile_y_5", "percentile_y_50_5", "percentile__5"]),
        ("max(x) + 1, a = 1, sum(x)", ["Column1", "a", "sum_x"]),
        ("make_list(s), make_list_with_nulls(s), make_bag(d), sum(x + 1)", ["list_s", "list_s1", "bag_d", "sum_"]),
    ],
)
def test_names_of_aggregates(engine: Engine, aggregates: str, names: list[str]) -> None:
    given, _ = _answer(engine, f"summarize {aggregates}")
    assert given == names


def test_the_row_of_the_largest_value_keeps_its_nulls(engine: Engine) -> None:
    """The page of arg_max: a group in which every value is null gives a row too."""
    names, rows = _answer(engine, "where y == 20 or k == 'b' | summarize arg_max(x, y, s) by k | sort by k asc")
    assert names == ["k", "x", "y", "s"]
    assert rows == [["a", None, 20, ""], ["b", 3, 30, "z"]]


def test_all_columns_of_the_row_of_the_smallest_value(engine: Engine) -> None:
    names, rows = _answer(engine, "project k, x, s, b | summarize arg_min(x, *) by k | sort by k asc")
    assert names == ["k", "x", "s", "b"]
    assert rows == [["a", 1, "q", True], ["b", 3, "z", False]]


def test_a_list_is_in_the_order_of_the_rows(engine: Engine) -> None:
    _, rows = _answer(engine, "sort by y desc | summarize make_list(y), make_set(k)")
    assert rows == [["[40,30,20,10]", '["a","b"]']]


@pytest.mark.parametrize(
    "aggregate", ["sum(d)", "avg(d)", "min(d)", "sum(b)", "stdev(s)", "sum(t)", "percentile(y, 101)"]
)
def test_types_that_are_not_taken(aggregate: str) -> None:
    """Kusto.Language: a value must be summable, or have an order."""
    with pytest.raises(KqlSemanticError):
        compile_query(f"{_ROWS} summarize {aggregate}", Schema({}))


@pytest.mark.parametrize(
    "operator", ["summarize count() by d", "distinct d", "sort by d", "top-nested of d by count()"]
)
def test_dynamic_values_make_no_groups_and_no_order(operator: str) -> None:
    """Kusto.Language: the value of type 'dynamic' is not allowed in this context."""
    with pytest.raises(KqlSemanticError):
        compile_query(f"{_ROWS} {operator}", Schema({}))


@pytest.mark.parametrize("aggregate", ["hll(x)", "tdigest(x)", "buildschema(d)", "count(b)"])
def test_aggregates_that_are_refused(aggregate: str) -> None:
    with pytest.raises(KqlUnsupported):
        compile_query(f"{_ROWS} summarize {aggregate}", Schema({}))
