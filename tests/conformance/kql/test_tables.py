"""Operators over tables on the engine, beside the manual's own examples."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.errors import OperationError
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.types import Field, Schema, Table, Type

_SCHEMA = Schema(
    {
        "First": Table(
            "First",
            (Field("a", Type.LONG, nullable=False), Field("s", Type.STRING)),
            "(SELECT toInt64(number) AS a, concat('x', toString(number)) AS s FROM numbers(3))",
        ),
        "Second": Table(
            "Second",
            (Field("a", Type.INT), Field("z", Type.STRING)),
            "(SELECT toInt32(number) AS a, concat('x', toString(number), ' foo') AS z FROM numbers(2))",
        ),
    }
)
_KEYED = 'datatable(k:string, v:long) ["a", 1, "a", 2, "b", 3, "b", 4, "", 9] |'


def _answer(engine: Engine, query: str) -> tuple[list[str], list[list[Any]]]:
    compiled = compile_query(query, _SCHEMA)
    return [name for name, _ in compiled.columns], sorted(engine.rows(compiled), key=json.dumps)


@pytest.mark.parametrize(
    ("query", "names", "rows"),
    [
        # join: a side without a row is null, texts are empty
        (
            "First | join kind=fullouter (Second | extend a = tolong(a) + 1) on a",
            ["a", "s", "a1", "z"],
            [[0, "x0", None, ""], [1, "x1", 1, "x0 foo"], [2, "x2", 2, "x1 foo"]],
        ),
        ("First | join kind=leftanti (Second | extend a = tolong(a)) on a", ["a", "s"], [[2, "x2"]]),
        (
            "First | join kind=rightsemi (Second | where a == 1 | extend a = tolong(a)) on a",
            ["a", "z"],
            [[1, "x1 foo"]],
        ),
        (
            "First | join kind=leftouter hint.strategy=shuffle Second on $left.s == $right.z",
            ["a", "s", "a1", "z"],
            [[0, "x0", None, ""], [1, "x1", None, ""], [2, "x2", None, ""]],
        ),
        # a table with itself
        ("First | as X | where a > 1 | join kind=inner X on a, s", ["a", "s", "a1", "s1"], [[2, "x2", 2, "x2"]]),
        # null is joined with nothing
        ("print x = long(null) | join kind=inner (print x = long(null)) on x", ["x", "x1"], []),
        (
            "First | lookup (Second | extend a = tolong(a)) on a | where a > 0",
            ["a", "s", "z"],
            [[1, "x1", "x1 foo"], [2, "x2", ""]],
        ),
        (
            "First | lookup kind=inner (Second | extend a = tolong(a)) on a | where a > 0",
            ["a", "s", "z"],
            [[1, "x1", "x1 foo"]],
        ),
        # union
        (
            "First | where a == 1 | union (Second | where a == 1)",
            ["a_long", "a_int", "s", "z"],
            [[1, None, "x1", ""], [None, 1, "", "x1 foo"]],
        ),
        ("union kind=inner (print x = 1, y = 2), (print y = 3)", ["y"], [[2], [3]]),
        (
            "union withsource=From F*, (Second | where a == 1) | summarize count() by From",
            ["From", "count_"],
            [["First", 3], ["union_arg1", 1]],
        ),
        # search, find
        (
            'search "x1"',
            ["$table", "a_long", "a_int", "s", "z"],
            [["First", 1, None, "x1", ""], ["Second", None, 1, "", "x1 foo"]],
        ),
        ('search in (First, Second) a == 1 and "foo" | project z', ["z"], [["x1 foo"]]),
        ('First | search s:"x1" | project a', ["a"], [[1]]),
        ('First | search kind=case_sensitive "X1" | project a', ["a"], []),
        (
            "find in (First, Second) where a == 1 project s, z",
            ["source_", "s", "z"],
            [["First", "x1", ""], ["Second", "", "x1 foo"]],
        ),
        # rankings
        ("First | top-hitters 2 of s by a", ["s", "approximate_sum_a"], [["x1", 1], ["x2", 2]]),
        ("First | where a < 1 | top-hitters 2 of s", ["s", "approximate_count_s"], [["x0", 1]]),
        ("print x = 1 | sample-distinct 2 of x", ["x"], [[1]]),
        (
            f"{_KEYED} top-nested 2 of k by sum(v), top-nested 1 of v by q = max(v)",
            ["k", "aggregated_k", "v", "q"],
            [["", 9, 9, 9], ["b", 7, 4, 4]],
        ),
        (
            "datatable(k:string, v:long) ['a', 1, 'a', long(null)] | top-nested of k by count(), "
            "top-nested of v by count(), top-nested of w = v * 2 by count()",
            ["k", "aggregated_k", "v", "aggregated_v", "w", "aggregated_w"],
            [["a", 2, 1, 1, 2, 1], ["a", 2, None, 1, None, 1]],
        ),
        # partition
        (f"{_KEYED} partition by k (top 1 by v)", ["k", "v"], [["", 9], ["a", 2], ["b", 4]]),
        (
            f"{_KEYED} partition hint.strategy=native by k (summarize s = sum(v), n = count() | extend z = s * 2)",
            ["s", "n", "z"],
            [[3, 2, 6], [7, 2, 14], [9, 1, 18]],
        ),
        (
            f"{_KEYED} partition by k (sort by v desc | extend r = row_number() | where r == 1 | project v)",
            ["v"],
            [[2], [4], [9]],
        ),
        # schemas
        (
            "First | getschema",
            ["ColumnName", "ColumnOrdinal", "DataType", "ColumnType"],
            [["a", 0, "System.Int64", "long"], ["s", 1, "System.String", "string"]],
        ),
        ("First | where a == 1 | project-by-names 's', dynamic(['a', 'no'])", ["s", "a"], [["x1", 1]]),
        (
            "let f = (T:(a:long), p:real) { T | summarize percentiles(a, p) }; First | invoke f(50)",
            ["percentile_a_50"],
            [[1]],
        ),
        # plugins
        (
            "First | where a == 1 | evaluate narrow()",
            ["Row", "Column", "Value"],
            [[0, "a", "1"], [0, "s", "x1"]],
        ),
        (
            f"{_KEYED} where k != '' | extend e = v % 2 | evaluate pivot(k, sum(v), e) : (e:long, a:long, b:long)",
            ["e", "a", "b"],
            [[0, 2, 4], [1, 1, 3]],
        ),
        (
            """print i = 1, d = dynamic({"x": 2, "y": "q"})
            | evaluate bag_unpack(d, "p_") : (*, p_x:long, p_y:string)""",
            ["i", "p_x", "p_y"],
            [[1, 2, "q"]],
        ),
    ],
)
def test_the_rows_of_an_operator(engine: Engine, query: str, names: list[str], rows: list[list[Any]]) -> None:
    given_names, given = _answer(engine, query)
    assert given_names == names
    assert given == sorted(rows, key=json.dumps)


@pytest.mark.parametrize(
    "query",
    [
        "First | join Second on $left.a > $right.a",
        "First | evaluate pivot(s)",
        "First | evaluate autocluster()",
        "print d = parse_json('{}') | evaluate bag_unpack(d)",
        "First | fork (take 1) (take 2)",
        "First | facet by s",
        "First | reduce by s",
        "First | top-nested 1 of s with others = 'rest' by count()",
        "First | partition by s { Second }",
        "First | partition by s (join kind=inner First on a)",
        "find a == 1",
    ],
)
def test_what_is_refused(query: str) -> None:
    with pytest.raises(KqlUnsupported):
        compile_query(query, _SCHEMA)


@pytest.mark.parametrize(
    "query",
    [
        "First | join kind=inner Second on s",
        "First | join kind=inner Second on a",
        "First | join kind=inner Second on $left.a == $right.z",
        "First | join kind=sideways Second on a",
        "First | union Nowhere",
        "search nowhere == 1",
        "First | where a > 0 | evaluate pivot(s, sum(a)) : (a:string)",
    ],
)
def test_what_is_wrong(query: str) -> None:
    with pytest.raises(KqlSemanticError):
        compile_query(query, _SCHEMA)


@pytest.mark.parametrize(
    ("query", "names", "rows"),
    [
        (
            f"{_KEYED} where k != '' | extend e = v % 2 | evaluate pivot(k, sum(v), e)",
            ["e", "a", "b"],
            [[0, 2, 4], [1, 1, 3]],
        ),
        (
            "print d = dynamic([{'x': 1, 'y': 'q'}, {'x': 2.5, 'z': null}]) | mv-expand d | evaluate bag_unpack(d)",
            ["x", "y", "z"],
            [["1", "q", None], ["2.5", "", None]],
        ),
    ],
)
def test_columns_out_of_rows_are_asked_for(engine: Engine, query: str, names: list[str], rows: list[list[Any]]) -> None:
    compiled = compile_query(query, _SCHEMA, ask=engine.ask)
    assert [name for name, _ in compiled.columns] == names
    assert sorted(engine.rows(compiled), key=json.dumps) == sorted(rows, key=json.dumps)


def _sampled(engine: Engine, query: str, now: int = 0) -> list[Any]:
    return [row[0] for row in engine.rows(compile_query(query, _SCHEMA, now=now))]


_HUNDRED = "range x from 1 to 100 step 1 | extend s = iff(x % 2 == 0, '', 'a'), n = iff(x % 3 == 0, long(null), x)"


def test_a_sample_is_drawn_anew_by_every_question(engine: Engine) -> None:
    one, other = (sorted(_sampled(engine, f"{_HUNDRED} | sample 10", now)) for now in (1, 2))
    assert len(set(one)) == len(set(other)) == 10
    assert one != other
    assert {*one, *other} <= set(range(1, 101))


def test_a_sample_is_drawn_anew_wherever_it_is_named(engine: Engine) -> None:
    drawn = _sampled(engine, f"let S = {_HUNDRED} | sample 10; union S, S")
    assert len(drawn) == 20
    assert len(set(drawn)) > 10


def test_what_is_materialized_is_drawn_once(engine: Engine) -> None:
    drawn = _sampled(engine, f"let S = materialize({_HUNDRED} | sample 10); union S, S | summarize count() by x")
    assert len(drawn) == 10


def test_a_sample_of_fewer_rows_is_all_of_them(engine: Engine) -> None:
    assert sorted(_sampled(engine, "print x = long(null) | union (print x = 1) | sample 5"), key=str) == [1, None]


_NETWORKS = (
    "let N = datatable(net: string, k: string, n: long)['10.0.0.0/8', 'a', 1, '10.1.0.0/16', 'b', 2, 'odd', 'a', 3];"
)


@pytest.mark.parametrize(
    ("call", "names", "rows"),
    [
        # every network that an address is in; what is no address is in none
        (
            "ipv4_lookup(N, ip, net)",
            ["ip", "k", "net", "k1", "n"],
            [["10.1.2.3", "a", "10.0.0.0/8", "a", 1], ["10.1.2.3", "a", "10.1.0.0/16", "b", 2]],
        ),
        ("ipv4_lookup(N, ip, net, k)", ["ip", "k", "net", "n"], [["10.1.2.3", "a", "10.0.0.0/8", 1]]),
        (
            "ipv4_lookup(N, ip, net, k, return_unmatched = true)",
            ["ip", "k", "net", "n"],
            [["10.1.2.3", "a", "10.0.0.0/8", 1], ["no", "a", "", None]],
        ),
    ],
)
def test_addresses_are_looked_up(engine: Engine, call: str, names: list[str], rows: list[list[Any]]) -> None:
    table = "datatable(ip: string, k: string)['10.1.2.3', 'a', 'no', 'a']"
    assert _answer(engine, f"{_NETWORKS} {table} | evaluate {call}") == (names, rows)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("range x from 1 to 9 step 1 | evaluate rows_near(x == 5, 1)", [[4], [5], [6]]),
        ("range x from 1 to 9 step 1 | evaluate rows_near(x == 5, 0, 2)", [[5], [6], [7]]),
        ("range x from 1 to 9 step 1 | evaluate rows_near(x == 5, 2, 0)", [[3], [4], [5]]),
        ("print format_bytes(0), format_bytes(-2048), format_bytes(1023.9), format_bytes(long(null))",
         [["0 Bytes", "-2 KB", "1024 Bytes", ""]]),
        # scan: what is not assigned is the default; texts are empty, other columns of an empty state null
        ("range x from 1 to 3 step 1 | scan declare (n: long = 5, s: string) with (step a: true => n = a.n + x;)",
         [[1, 6, ""], [2, 8, ""], [3, 11, ""]]),
        ("range x from 1 to 4 step 1 | scan with (step a: isnull(a.x) or x > a.x + 1;)", [[1], [3]]),
        # a row may be the last of one sequence and the first of the next
        ("range x from 1 to 4 step 1 | scan with_match_id=id with (step a: x % 2 == 1; step b: true;)",
         [[1, 0], [2, 0], [3, 0], [3, 1], [4, 1]]),
        ("print a = 1 | serialize | scan with (step s: true;)", [[1]]),
        ("range x from 1 to 3 step 1 | where x > 5 | scan with (step s: true;)", []),
    ],
)  # fmt: skip
def test_rows_are_asked_for_their_neighbours(engine: Engine, query: str, rows: list[list[Any]]) -> None:
    assert _answer(engine, query)[1] == rows


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("print a = 1 | scan with (step s: true;)", "sort them before"),
        ("print a = 1 | serialize | scan with (step s: true => q = 1;)", "q is not declared"),
        ("print a = 1 | serialize | scan declare (a: long) with (step s: true;)", "already declared"),
        ("print a = 1 | serialize | scan declare (q: long) with (step s: true => q = 'x';)", "a long is expected"),
        ("print a = 1 | serialize | scan with (step s: true; step s: true;)", "two steps s"),
        ("print a = 1 | serialize | scan with (step s output=last: true;)", "all or none"),
        ("print a = 1 | evaluate rows_near(a == 1, 1)", "need an order"),
        ("print a = 1 | evaluate ipv4_lookup(First, a, s)", "addresses are texts"),
        ("First | evaluate ipv4_lookup(First, s)", "takes a table"),
        ("First | evaluate ipv4_lookup(First, s, s, other = true)", "takes columns, and return_unmatched"),
    ],
)
def test_what_is_wrong_with_them_is_told(text: str, part: str) -> None:
    with pytest.raises((KqlSemanticError, KqlUnsupported), match=part):
        compile_query(text, _SCHEMA)


def test_a_scan_is_bounded(engine: Engine) -> None:
    with pytest.raises(OperationError, match="2000 rows at most"):
        _answer(engine, "range x from 1 to 2001 step 1 | scan with (step s: true;)")
