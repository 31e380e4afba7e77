"""Operators that take values apart, on the engine, beside the manual's own examples: arrays, texts, series."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.types import Schema

_ARRAYS = "datatable(a:int, d:dynamic) [1, dynamic([1, 2, 3, 1]), 2, dynamic([5]), 3, dynamic([])] |"
_TIMES = """
datatable(t:datetime, k:string, v:long) [
    datetime(2020-01-01 05:00), "a", 1, datetime(2020-01-03), "a", 5,
    datetime(2020-01-02 12:00), "b", 7, datetime(2020-01-04), "b", 9
] |
"""


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        # mv-expand: a null gives a row, an empty array none; an element of another type is null (its page)
        (
            """datatable(a:int, d:dynamic)
            [1, dynamic([1, 2.5, "x", null]), 2, dynamic(null), 3, dynamic([]), 4, dynamic("s")]
            | mv-expand with_itemindex=i d, n = d to typeof(long), s = d to typeof(string)""",
            [
                [1, "1", 1, "1", 0],
                [1, "2.5", None, "2.5", 1],
                [1, '"x"', None, "x", 2],
                [1, None, None, "", 3],
                [2, None, None, "", 0],
                [4, '"s"', None, "s", 0],
            ],
        ),
        (f"{_ARRAYS} mv-expand d to typeof(long) limit 2", [[1, 1], [1, 2], [2, 5]]),
        ("print d = dynamic({'x': 1, 'y': [2]}) | mv-expand bagexpansion=array d", [['["x",1]'], ['["y",[2]]']]),
        # mv-apply: the subquery is asked of each row's rows
        (
            f"{_ARRAYS} mv-apply e = d to typeof(long) on (summarize s = sum(e), n = count())",
            [[1, "[1,2,3,1]", 7, 4], [2, "[5]", 5, 1]],
        ),
        (
            f"{_ARRAYS} mv-apply d to typeof(long) on (distinct d) | sort by a asc, d asc",
            [[1, 1], [1, 2], [1, 3], [2, 5]],
        ),
        (f"{_ARRAYS} mv-apply d to typeof(long) on (count)", [[1, 4], [2, 1]]),
        (
            f"{_ARRAYS} sort by a desc | mv-apply d to typeof(long) on "
            "(sort by d desc | extend n = row_number() | project d, n | take 2)",
            [[2, 5, 1], [1, 3, 1], [1, 2, 2]],
        ),
        # parse: all columns or none, unless it is relaxed
        ('print s = "a=1;b=x y" | parse s with "a=" a:long ";b=" b | project a, b', [[1, "x y"]]),
        ('print s = "a=1;b=x" | parse s with * "a=" a:long * "b=" b:long | project a, b', [[None, None]]),
        ('print s = "a=1;b=x" | parse kind=relaxed s with * "a=" a:long * "b=" b:long | project a, b', [[1, None]]),
        ('print s = "q 5.5" | parse s with "q " r:real | project r', [[5.5]]),
        ('print s = "A1b2" | parse kind=regex flags=i s with "a" x:long "(b|c)" y:long | project x, y', [[1, 2]]),
        ('print s = "zz" | parse-where s with "y" c', []),
        ('print s = "a.b" | parse s with x "." y | project x, y', [["a", "b"]]),
        # parse-kv: the first of a key; without the key null or empty
        (
            """print s = "a=1, b='x, a=7', a=2" | parse-kv s as (a:long, b:string, c:string, n:long)
            with (pair_delimiter=",", kv_delimiter="=", quote="'") | project-away s""",
            [[1, "x, a=7", "", None]],
        ),
        # make-series
        (
            f"{_TIMES} make-series sum(v), n = count() default=-1, avg(v) default=real(null) on t "
            "from datetime(2020-01-01) to datetime(2020-01-04) step 1d by k | project-away t | sort by k asc",
            [["a", "[1,0,5]", "[1,-1,1]", "[1.0,null,5.0]"], ["b", "[0,7,0]", "[-1,1,-1]", "[null,7.0,null]"]],
        ),
        # without from, bins as bin() has them, from the first that has data
        (
            f"{_TIMES} where k == 'a' | make-series sum(v) on t step 7d",
            [["[6]", '["2019-12-30T00:00:00.0000000Z"]']],
        ),
        ("range x from 1 to 10 step 2 | make-series count() on x from 0 to 12 step 3", [["[1,2,1,1]", "[0,3,6,9]"]]),
        (
            "range x from 0.5 to 5 step 1.0 | make-series max(x) on x step 1.5",
            [["[0.5,2.5,3.5,4.5]", "[0.0,1.5,3.0,4.5]"]],
        ),
        # order: nulls come first ascending and last descending, unless it is said
        ("datatable(v:long) [1, long(null), 3] | sort by v asc", [[None], [1], [3]]),
        ("datatable(v:long) [1, long(null), 3] | sort by v", [[3], [1], [None]]),
        ("datatable(v:long) [1, long(null), 3] | sort by v asc nulls last", [[1], [3], [None]]),
        ("datatable(v:long) [1, long(null), 3] | top 1 by v nulls first", [[None]]),
        ("datatable(v:long) [1, long(null), 3] | limit 2 | count", [[2]]),
    ],
)
def test_the_rows_of_an_operator(engine: Engine, query: str, rows: list[list[Any]]) -> None:
    assert engine.rows(compile_query(query, Schema({}))) == rows


@pytest.mark.parametrize(
    ("subquery", "names"),
    [
        # as Kusto.Language has them
        ("d on (summarize c = count())", ["x", "y", "c"]),
        ("d to typeof(long) on (take 1)", ["x", "y", "d"]),
        ("q = d on (project-away x)", ["d", "x", "y", "q"]),
        ("with_itemindex=i q = d on (project i)", ["d", "x", "y", "i"]),
        ("e = d on (summarize c = count() by x)", ["d", "x", "y", "c"]),
        ("e = d on (extend x = e)", ["d", "x", "y", "e"]),
        ("x = d on (project e = x)", ["d", "x", "y", "e"]),
    ],
)
def test_columns_of_mv_apply(engine: Engine, subquery: str, names: list[str]) -> None:
    query = f"datatable(d:dynamic, x:int, y:long) [dynamic([7]), 1, 2] | mv-apply {subquery}"
    compiled = compile_query(query, Schema({}))
    assert [name for name, _ in compiled.columns] == names
    assert len(engine.rows(compiled)) == 1


@pytest.mark.parametrize(
    "query",
    [
        "range x from 1 to 3 step 1 | make-series count() on x in range(1, 3, 1)",
        "range x from 1 to 3 step 1 | make-series count() on x to 3 step 1",
        f"{_ARRAYS} mv-apply d on (join kind=inner (print a = toint(1)) on a)",
        'print s = "x" | parse-kv s as (a:long) with (pair_delimiter=", ", kv_delimiter="=")',
    ],
)
def test_what_is_refused(query: str) -> None:
    with pytest.raises(KqlUnsupported):
        compile_query(query, Schema({}))


@pytest.mark.parametrize(
    "query",
    [
        "print a = 1 | mv-expand a",
        'print s = "x" | parse s with a *',
        "range x from 1 to 3 step 1 | make-series count() on x step 0",
    ],
)
def test_what_is_wrong(query: str) -> None:
    with pytest.raises(KqlSemanticError):
        compile_query(query, Schema({}))
