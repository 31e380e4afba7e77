"""Whatever is asked: no crash, no hang, and no text of a query in the SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlError, KqlSemanticError
from whatchanged.kql.functions import AGGREGATES, SCALARS, WINDOWS
from whatchanged.kql.types import Field, Schema, Table, Type

SCHEMA = Schema(
    {
        "T": Table(
            "T",
            (
                Field("Name", Type.STRING, nullable=False),
                Field("When", Type.DATETIME),
                Field("Size", Type.LONG),
                Field("Bag", Type.DYNAMIC),
            ),
            "T_source",
        )
    }
)
HOSTILE = [
    "'; DROP TABLE ConfigurationChange; --",
    "\\'; SELECT 1",
    "`) FROM system.users --",
    "{p9:String}",
    "{0} {1}",
    "}} {{ {",
    "*/ UNION ALL SELECT 1 /*",
    "\x00\n\t\\",
    "file('/etc/passwd')",
]
# What may stand in SQL besides names of ours: nothing that a query wrote outside of a quoted name.
_QUOTED = re.compile(r"`(?:[^`\\]|\\.)*`")


def escaped(text: str) -> str:
    """Return a text as it is written between quotes."""
    return text.translate({0: "\\0", 9: "\\t", 10: "\\n", 39: "\\'", 92: "\\\\"})


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_a_bound_value(text: str) -> None:
    literal = f"'{escaped(text)}'"
    compiled = compile_query(f"T | where Name == {literal} or Name has {literal} | extend x = {literal}", SCHEMA)
    assert text in compiled.statement.parameters.values()
    assert text not in compiled.statement.sql


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_quoted_or_left_out(text: str) -> None:
    name = escaped(text)
    compiled = compile_query(f"T | extend ['{name}'] = 1 | summarize ['b{name}'] = count() by ['{name}']", SCHEMA)
    bare = _QUOTED.sub("", compiled.statement.sql)
    assert text not in bare
    assert [name for name, _ in compiled.columns] == [text, f"b{text}"]


@pytest.mark.parametrize(
    "query",
    [
        "system.tables | take 1",
        "['system.one']",
        "T_source",
        "InventoryRecord",
        "table('system.one')",
        "externaldata(x:string)['https://example.org']",
        "cluster('x').database('y').T",
        "database('system').one",
        "union system*",
        "T | where file('/etc/passwd') == 1",
        "T | evaluate sql_request('x', 'y')",
        "T | evaluate python(typeof(*), 'x')",
        "print url('http://example.org')",
        "T | project c1",
        "T | project p0",
    ],
)
def test_nothing_else_is_reached(query: str) -> None:
    with pytest.raises(KqlError):
        compile_query(query, SCHEMA)


def test_a_function_that_calls_itself_ends() -> None:
    with pytest.raises(KqlSemanticError):
        compile_query("let f = (x:long) { f(x) }; print f(1)", SCHEMA)


def test_tables_that_stand_for_each_other_end() -> None:
    text = "let t0 = T;" + "".join(f"let t{n} = union t{n - 1}, t{n - 1};" for n in range(1, 30)) + "t29 | count"
    with pytest.raises(KqlError):
        compile_query(text, SCHEMA)


# Queries of few words that stand for very much, or are very deep: refused at once, whoever else is served meanwhile.
GROWING: dict[str, str] = {
    "values": "let a0 = toscalar(T | count);"
    + "".join(f"let a{n} = a{n - 1} + a{n - 1};" for n in range(1, 40))
    + "print a39",
    "texts": "let a0 = strcat(tostring(now()), 'x');"
    + "".join(f"let a{n} = strcat(a{n - 1}, a{n - 1});" for n in range(1, 40))
    + "print a39",
    "calls": "let f = (x:long) { x + x }; T | extend y = " + "f(" * 30 + "Size" + ")" * 30,
    "functions": "let f0 = (x:long) { x + 1 };"
    + "".join(f"let f{n} = (x:long) {{ f{n - 1}(x) + f{n - 1}(x) }};" for n in range(1, 30))
    + "T | extend y = f29(Size)",
    "queries within values": "let a0 = toscalar(T | count);"
    + "".join(f"let a{n} = toscalar(T | where Size > a{n - 1} + a{n - 1} | count);" for n in range(1, 40))
    + "print a39",
    "rows with a name": "T" + "".join(f" | as r{n} | union r{n}, r{n}" for n in range(40)) + " | count",
    "rows as arguments": "let f = (r:(*)) { r | union r, r }; " + "f(" * 40 + "T" + ")" * 40,
    "cells": "let t = datatable(a:long)[" + "1," * 40_000 + "1]; union " + ",".join(["t"] * 900),
    "columns": "let t = T | extend " + ",".join(f"a{n}={n}" for n in range(300)) + "; union " + ",".join(["t"] * 1500),
    "steps": "T" + " | take 1" * 10_000,
    "filters": "T" + " | where Size > 1" * 10_000,
    "a long chain": "let a0 = toscalar(T | count);"
    + "".join(f"let a{n} = a{n - 1} + 1;" for n in range(1, 5_000))
    + "print a4999",
    "names that are nearly the same": "let ['{}'] = 1; print ['{}']".format(
        "".join(chr(0x4E00 + n % 150) for n in range(400_000)),
        "".join(chr(0x4E00 + n * 7 % 150) for n in range(400_000)),
    ),
}


BOUNDED = {
    "conditions": "T | extend a0 = Size > 1"
    + "".join(f" | extend a{n} = a{n - 1} and a{n - 1} or a{n - 1}" for n in range(1, 40))
    + " | where a39 | where a39",
    "groups within groups": "T" + " | top-nested 2 of Size by max(Size)" * 60,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BOUNDED)
def test_what_does_not_grow_is_answered(name: str) -> None:
    assert len(compile_query(BOUNDED[name], SCHEMA).statement.sql) < 1_000_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", GROWING)
def test_what_grows_without_a_bound_is_refused(name: str) -> None:
    with pytest.raises(KqlError) as caught:
        compile_query(GROWING[name], SCHEMA)
    assert 0 <= caught.value.span.start <= caught.value.span.end <= len(GROWING[name])


_NEST = [f"{name}({{0}})" for name in sorted(SCALARS)] + [
    f"{name}({', '.join(['{0}'] * count)})" for name in sorted(SCALARS) for count in (2, 3)
]


_ARGUMENTS = [
    "Size",
    "Name",
    "When",
    "Bag",
    "1",
    "'['",
    "1d",
    "dynamic([1])",
    "dynamic({'a':1})",
    "guid(null)",
    "long(null)",
    "''",
]


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize(
    ("way", "names"),
    [
        ("T | extend x = {}", SCALARS),
        ("T | summarize x = {}", AGGREGATES),
        ("T | sort by When | extend x = {}", WINDOWS),
    ],
)
def test_functions_take_their_arguments_or_refuse_them(way: str, names: Iterable[str], count: int) -> None:
    for name in sorted(names):
        for shift in range(len(_ARGUMENTS)):
            given = [_ARGUMENTS[(shift * (n + 1) + n) % len(_ARGUMENTS)] for n in range(count)]
            _compile(way.format(f"{name}({', '.join(given)})"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("column", ["Size", "Name", "When", "Bag"])
def test_functions_within_themselves_do_not_grow_without_a_bound(column: str) -> None:
    """Each argument of a function may stand in its SQL several times, and in that of the next call again."""
    for way in _NEST:
        text = column
        for _ in range(40):
            first = way.replace("{0}", "{1}", 1).replace("{0}", column)
            text = first.replace("{1}", text)
        _compile(f"T | extend x = {text}")


def test_what_people_write_is_not_refused_for_its_size() -> None:
    many = ", ".join(f"'host-{number}'" for number in range(5_000))
    compile_query(f"T | where Name in~ ({many}) and not(Name has_any ({many}))", SCHEMA)
    columns = ", ".join(f"a{number} = Size + {number}" for number in range(500))
    compile_query(f"T | extend {columns} | extend {columns} | summarize sum(a499)", SCHEMA)
    compile_query("let t = T | where Size > 1; union " + ", ".join(["t"] * 300) + " | count", SCHEMA)
    compile_query("T" + " | extend Size = Size + 1 | where Size > 2" * 40, SCHEMA)


WORDS = st.sampled_from(
    [
        "T",
        "|",
        "where",
        "extend",
        "project",
        "summarize",
        "by",
        "count()",
        "join",
        "on",
        "kind=inner",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "==",
        "!=",
        "<",
        ">",
        "+",
        "-",
        "*",
        "/",
        "%",
        "and",
        "or",
        "not",
        "in",
        "has",
        "contains",
        "Name",
        "When",
        "Size",
        "Bag",
        "Bag.a",
        "Bag['x']",
        "'text'",
        "1",
        "2.5",
        "1d",
        "ago(1h)",
        "bin(When,1h)",
        "arg_max(When,*)",
        "make_list(Name)",
        "toscalar(",
        "let",
        "x",
        "=",
        ";",
        "datatable(a:long)[1,2]",
        "range",
        "print",
        "union",
        "sort",
        "top",
        "take",
        "distinct",
        "mv-expand",
        "parse",
        "with",
        "*",
        "iff(",
        "case(",
        "tostring(",
        "strcat(",
        "dcount(Name)",
        "percentile(Size,95)",
        "render",
        "timechart",
        "null",
        "dynamic([1])",
        "prev(",
        "serialize",
    ]
)


@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_a_soup_of_words_is_answered_or_refused(text: str) -> None:
    _compile(text)


@given(st.lists(WORDS, max_size=12).map(lambda words: "T | " + " ".join(words)))
def test_a_soup_behind_a_table_is_answered_or_refused(text: str) -> None:
    _compile(text)


@given(st.text(max_size=60))
def test_any_text_is_answered_or_refused(text: str) -> None:
    _compile(text)


def _compile(text: str) -> None:
    refused: KqlError | None = None
    try:
        compile_query(text, SCHEMA)
    except KqlError as error:
        refused = error
    if refused is not None:
        assert 0 <= refused.span.start <= refused.span.end <= len(text)
        assert refused.explain(text)
