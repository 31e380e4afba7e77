"""Functions of arrays, bags and series on the engine, beside the manual's own examples."""

from __future__ import annotations

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.types import Schema


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # array-slice: indices out of bounds are ignored; array-split: negative ones count from the end
        ("array_slice(dynamic([1, 2, 3]), -10, 10)", "[1,2,3]"),
        ("array_slice(dynamic([1, 2, 3]), 2, 1)", "[]"),
        ("array_slice(dynamic({}), 0, 1)", None),
        ("array_split(dynamic([1, 2, 3]), -1)", "[[1,2],[3]]"),
        ("array_split(dynamic([1, 2, 3]), dynamic([0, 9]))", "[[],[1,2,3],[]]"),
        ("array_rotate_left(dynamic([1, 2, 3]), -4)", "[3,1,2]"),
        ("array_rotate_right(dynamic([]), 1)", "[]"),
        ("array_shift_left(dynamic([1, 2, 3]), 7, 'x')", '["x","x","x"]'),
        ("array_shift_right(dynamic([1, 2, 3]), -1)", "[2,3,null]"),
        # array-index-of: null for an occurrence below 1 and a length below -1
        ("array_index_of(dynamic(['a/b\"é', 'x']), 'a/b\"é')", 0),
        ("array_index_of(dynamic([1]), 1, 0, -2)", None),
        ("array_index_of(dynamic([1]), 1, 0, 1, 0)", None),
        ("array_sum(dynamic([1, 'a']))", None),
        ("array_sum(dynamic([1.5, 2]))", 3.5),
        ("array_length(dynamic({}))", None),
        # array-sort-asc: numbers, then texts, then others; nulls last unless asked otherwise
        ("array_sort_asc(dynamic([3, null, 'b', 1.5, 'a', 10]))", '[1.5,3,10,"a","b",null]'),
        ("array_sort_desc(dynamic([3, null, 'b', 'a', 10]), false)", '[null,10,3,"b","a"]'),
        ("array_sort_asc(dynamic([1, 2]), dynamic([1]))[1]", None),
        # range: also backwards; nothing in the wrong direction
        ("range(5, 1)", "[]"),
        ("range(5, 1, -2)", "[5,3,1]"),
        ("range(1, 3, 0)", None),
        ("range(1s, 3s, 1s)", '["00:00:01","00:00:02","00:00:03"]'),
        ("range(datetime(2020-01-01), datetime(2020-01-01 01:00))",
         '["2020-01-01T00:00:00.0000000Z","2020-01-01T01:00:00.0000000Z"]'),
        ("repeat('a', 2)", '["a","a"]'),
        ("repeat(1, -1)", None),
        ("set_equals(dynamic([1, 2]), dynamic([2, 1, 1]))", True),
        ("set_equals(dynamic([1]), dynamic([2]))", False),
        ("set_has_element(dynamic([1]), '1')", False),
        ("set_intersect(dynamic([1, 2, 3]), dynamic([2, 3]), dynamic([3]))", "[3]"),
        # bags
        ("bag_zip(dynamic(['a', 'b', 1]), dynamic([1]))", '{"a":1,"b":null}'),
        ("bag_merge(dynamic({'a': 1}), dynamic({'a': 2, 'b': 3}))", '{"a":1,"b":3}'),
        ("bag_has_key(dynamic({'a': {'b': null}}), '$.a.b')", True),
        ("bag_has_key(dynamic({'a.b': 1}), 'a.b')", True),
        ("bag_set_key(dynamic({}), '$.x.y', dynamic([1]))", '{"x":{"y":[1]}}'),
        ("bag_remove_keys(dynamic({'a': 1}), dynamic([\"$['a']\"]))", "{}"),
        ("bag_keys(dynamic([1]))", None),
        ("treepath(dynamic([[1]]))", '["[0]","[0][0]"]'),
        # series: no number is null, division by zero follows that of reals
        ("series_add(dynamic([1, 2, 'a']), dynamic([1.5, 2]))", "[2.5,4,null]"),
        ("series_subtract(10, dynamic([1, 2]))", "[9,8]"),
        ("series_multiply(dynamic([2]), 2)", "[4]"),
        ("series_divide(dynamic([1, 0, -1]), 0)", '["Infinity","NaN","-Infinity"]'),
        ("series_pow(dynamic([2, 3]), 2)", "[4.0,9.0]"),
        ("series_abs(dynamic([-1, -1.5, null]))", "[1,1.5,null]"),
        ("series_product(dynamic([2, 3]))", 6),
        ("series_magnitude(dynamic([3, 4]))", 5),
        ("series_sum(dynamic([]))", None),
        ("series_sum(dynamic([1, 2.5]))", 3.5),
        ("series_less_equals(dynamic([1, 2]), 1)", "[true,false]"),
        ("series_fill_forward(dynamic([1, 0, 2]), 0)", "[1,1,2]"),
        ("series_pearson_correlation(dynamic([1, 2]), dynamic([1]))", None),
    ],
)  # fmt: skip
def test_dynamic(engine: Engine, expression: str, expected: object) -> None:
    assert engine.rows(compile_query(f"print v = {expression}", Schema({}))) == [[expected]]


def test_of_columns(engine: Engine) -> None:
    """Nothing of it needs constants."""
    query = """
        range x from 1 to 2 step 1 | extend a = range(1, x), s = tostring(x)
        | project c = array_concat(a, repeat(s, x)), i = array_iff(a, s, x), p = array_split(range(1, 3), x),
            l = array_slice(a, -x, -1), h = set_has_element(a, x), z = zip(a, a), o = array_index_of(a, x),
            b = bag_pack_columns(x, s), k = pack_all(true)
    """
    assert engine.rows(compile_query(query, Schema({}))) == [
        ['[1,"1"]', '["1"]', "[[1],[2,3]]", "[1]", True, "[[1,1]]", 0, '{"x":1,"s":"1"}', '{"x":1,"a":[1],"s":"1"}'],
        ['[1,2,"2","2"]', '["2","2"]', "[[1,2],[3]]", "[1,2]", True, "[[1,1],[2,2]]", 1, '{"x":2,"s":"2"}',
         '{"x":2,"a":[1,2],"s":"2"}'],
    ]  # fmt: skip


def test_several_columns_are_named_as_the_service_names_them() -> None:
    query = """
        print a = dynamic([2, 1]), b = dynamic(["x", "y"])
        | project x = array_sort_asc(a, b), (p, q) = array_sort_desc(a, b), array_sort_asc(a, b), series_stats(a)
    """
    names = [name for name, _ in compile_query(query, Schema({})).columns]
    assert names == [
        "x", "b_sorted", "p", "q", "a_sorted", "b_sorted1",
        *(f"series_stats_a_{name}" for name in ("min", "min_idx", "max", "max_idx", "avg", "stdev", "variance")),
    ]  # fmt: skip


def test_more_names_than_columns_are_refused() -> None:
    with pytest.raises(KqlSemanticError, match="gives fewer"):
        compile_query("print a = dynamic([1]) | extend (x, y) = array_sort_asc(a)", Schema({}))


def test_fit_of_a_line(engine: Engine) -> None:
    """The figures of series_fit_line()'s page, of which the manual prints three digits."""
    query = """
        print y = dynamic([2, 5, 6, 8, 11, 15, 17, 18, 25, 26, 30, 30])
        | project (r, s, v, rv, i, line) = series_fit_line(y), d = series_fit_line_dynamic(y)
        | project r, s, v, rv, i, tostring(line[0]), todouble(d.slope)
    """
    [[r, s, v, rv, i, first, slope]] = engine.rows(compile_query(query, Schema({})))
    assert [r, s, v, rv, i, float(first)] == pytest.approx([0.982, 2.730, 98.628, 1.686, -1.666, 1.064], abs=1e-3)
    assert slope == pytest.approx(s)


def test_a_statement_does_not_grow_with_every_level(engine: Engine) -> None:
    """A function writes its argument several times: within each other they must not multiply."""
    expression = "t"
    for _ in range(12):
        expression = f"datetime_add('month', 1, startofmonth({expression}))"
    rows = "range x from 0 to 1 step 1 | extend t = datetime(2020-05-05) + x * 1d"
    query = f"{rows} | summarize n = count() by v = {expression}"
    compiled = compile_query(query, Schema({}))
    assert len(compiled.statement.sql) < 30_000
    assert engine.rows(compiled) == [["2021-05-01T00:00:00.0000000Z", 2]]
