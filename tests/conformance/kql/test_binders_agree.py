"""Our binder and the vendor's say the same of thousands of queries: what is wrong, and which columns come out.

The queries are generated: every function there is with good arguments and with each kind of wrong one, every operator
over columns of every type. A difference is wanted, and has its reason here, or it is a defect.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pytest

from conformance.kql.calls import COLUMNS, calls
from conformance.kql.examples import examples
from conformance.kql.templates import operators, values
from conformance.kql.vendor import Meaning, functions, meanings
from whatchanged.kql.binder import bind
from whatchanged.kql.compile import ticks_of
from whatchanged.kql.errors import KqlError, KqlUnsupported
from whatchanged.kql.functions import AGGREGATES, SCALARS, WINDOWS
from whatchanged.kql.syntax import parse
from whatchanged.kql.types import Field, Schema, Table, Type
from whatchanged.server.query.questions import View, schema

pytestmark = [pytest.mark.vendor, pytest.mark.timeout(900)]  # some 5 ms a query, and more on a busy machine

LEAST_AGREEMENT = 0.99
EACH = 6
"""One query of so many is asked: the vendor's binder takes some milliseconds for each."""
SEVERAL = {"arg_max", "arg_min", "argmax", "argmin", "percentiles", "percentilesw"}
"""Aggregates that are no entries of the table of functions."""

REFUSED = {
    r"does not go with|is not looked for among": "values of two types are not compared or reckoned "
    "with; the vendor's binder leaves that to the engine, which refuses too: use an explicit conversion",
    r"of f\(\) is a": "an argument of another type; the vendor's binder leaves it to the engine",
    r"has no negative|has no sign": "a sign before what is no number; the vendor's binder takes a datetime there",
    r"looks at other rows": "rows without an order; the vendor's binder does not look at the order",
    r"dynamic values are not joined on|not grouped by a dynamic|dynamic value has no order": "dynamics as keys; the "
    "vendor's binder leaves it to the engine in join, lookup, top, top-nested and top-hitters",
    r"regular expression": "what is wrong with a regular expression, which the vendor's binder does not read",
    r"is no format of": "what is wrong with a format, which the vendor's binder does not read",
    r"takes its size from": "bin_auto() without a size: the size is a setting",
    r"known beforehand": "assert() of something that is known only in a row",
    r"the number of rows|Failed to resolve scalar expression named '(int|long)_'": "rows are counted by a constant",
    r"^range\(\) takes": "range() of a datetime and a number",
    r"^(bin|floor|bin_at)\(\) does not take": "bins of a datetime by a datetime, of a timespan by numbers",
    r"the kind of command line": "the kind of a command line is checked, which the vendor's binder does not",
}
"""Part of our message → what we refuse by intent, and why the vendor's binder does not."""

STRICTER = {
    r"dynamic\(\[1, 2\]\)": "a constant array where a text is wanted; of some functions the vendor takes it",
    r"series_fill_const\(\w+_?\)": "series_fill_const() without the constant",
    r"hash(_xxhash64)?\(": "hash() of a bool, decimal or guid, whose bytes are not documented",
    r"pack_all\(": "pack_all() with something else than a bool",
    r"evaluate (bag_unpack|pivot)": "columns out of what is no bag",
    r"make-series count\(\) on timespan_": "a step of a number over timespans",
    r"datatable\(a: long\) \['a'\]": "a text as the long of a datatable",
    r"dynamic_\[dynamic": "a dynamic as an index",
    r"evaluate ipv4_lookup\(Samples, timespan_": "addresses that are no texts",
    r"Samples \| scan with": "scan of rows without an order, as other functions of neighbouring rows",
}
"""Part of the query → why we refuse what the vendor's binder takes."""

LAXER = {
    r"make_timespan\(": "a fraction of seconds, which the manual's page make-timespan-function shows",
    r"count\((?!\))": "count(x), which the manual's page summarize-operator shows",
    r"replace(_regex)?\(|trim(_start|_end)?\(|indexof(_regex)?\(|array_index_of\(": "an argument need not be constant",
    r"dynamic\(\[1, 2\]\)": "a constant array in place of any dynamic, or of a bag, is null",
    r"hash|toguid\(guid_\)|coalesce\(|dcount|toscalar\(|format_ipv4_mask\(string_\)": "well defined, and harmless",
    r"\bany\(\*": "any(*) as take_any(*)",
    r"project-reorder string_, s\*": "a pattern takes in a column that is named already",
    r"top-hitters 2 of string_ by timespan_": "timespans have a sum",
    r"(on|axis) int_|int_ step": "a series over ints, by a step that is a long",
    r"\$right\.\w+ == \$left\.": "the sides of a join condition in either order",
    r"prev\(": "the default of prev() need not be constant",
    r"render nothing": "a chart without a name of the vendor's is a table",
    r"search \w+: ": "search in a column that is no text",
    r"(timespan_|2h) [*/] dynamic|dynamic\S* \* (timespan_|2h)": "a timespan times a dynamic",
    r"between": "a bool between numbers, a dynamic between datetimes",
    r"tostring\(string_\), tostring\(string_\)": "two columns that get one name: the second has a number",
}
"""Part of the query → why we take what the vendor's binder refuses."""

OTHERWISE = {
    r"jaccard_index\(": "the vendor's table says dynamic; the manual prints a number",
    r"array_sort_(asc|desc)\(": "the vendor's binder names the column of a single array too by it",
    r"parse string_ with 'a=' ": "a column that parse overwrites: the vendor's binder lists it twice",
    r"union ": "columns of one name and several types, and kind=inner: the vendor's binder keeps all of the first",
    r"consume": "consume: the vendor's binder knows no columns",
    r"top-hitters 2 of string_ by int_": "a sum of ints is a long, as summarize says",
    r"dynamic\S* [-+*/%] |[-+*/%] dynamic|-dynamic": "arithmetic of dynamics gives a real",
    r"dynamic\(\[1, 2\]\)\[0\]": "the part of a constant has no name",
}
"""Part of the query → why we say other columns than the vendor's binder."""


KNOWN = [
    "Samples | scan with (step s1: real_ == 1;)",
    "Samples | evaluate ipv4_lookup(Samples, timespan_, string_)",
    "Samples | make-series count() on int_ step 1",
    "Samples | where guid_ == 1",
    "let f = (x: long) { x }; print f('a')",
    "Samples | project -datetime_",
    "Samples | extend row_number()",
    "Samples | top 3 by dynamic_",
    "Samples | project extractall('a', 'a')",
    "Samples | project format_timespan(timespan_, 'a')",
    "Samples | project bin_auto(2)",
    "Samples | project assert(bool_, 'a')",
    "Samples | take int_",
    "Samples | project range(long_, long_, datetime_)",
    "Samples | project bin(datetime_, datetime_)",
    "Samples | project parse_command_line(2, string_)",
    "Samples | project strlen(dynamic([1, 2]))",
    "Samples | project series_fill_const(dynamic_)",
    "Samples | project hash(guid_, long_)",
    "Samples | project pack_all(2)",
    "Samples | evaluate bag_unpack(int_)",
    "Samples | make-series count() on timespan_ step 1",
    "datatable(a: long) ['a']",
    "Samples | project dynamic_[dynamic_]",
    "Samples | project make_timespan(long_, long_, 2.5)",
    "Samples | summarize count(2)",
    "Samples | project trim(string_, string_)",
    "Samples | project dynamic([1, 2])['part']",
    "Samples | project toguid(guid_)",
    "Samples | summarize any(*, long_)",
    "Samples | project-reorder string_, s*",
    "Samples | top-hitters 2 of string_ by timespan_",
    "Samples | join (Samples) on $right.int_ == $left.int_",
    "Samples | serialize | extend next(int_, 1), prev(int_, 1, int_)",
    "Samples | render nothing",
    "Samples | search int_: 'a'",
    "Samples | project dynamic_ * 2h",
    "Samples | project true between (1 .. 2)",
    "Samples | project tostring(string_), tostring(string_)",
    "Samples | project jaccard_index(dynamic_, dynamic_)",
    "Samples | project array_sort_asc(dynamic_)",
    "Samples | parse string_ with 'a=' long_:long",
    "let f = view () { Samples }; union f*",
    "Samples | consume",
    "Samples | top-hitters 2 of string_ by int_",
    "Samples | project -dynamic_",
    "Samples | project dynamic([1, 2])[0]",
]
"""An example of each difference."""


class Verdict(NamedTuple):
    """What came of a query with both."""

    kind: str
    """same, refused (by intent), stricter, laxer, otherwise (other columns)."""
    query: str
    detail: str


def everything() -> Schema:
    """Return the schema that queries meet, and a table that has a column of each type."""
    samples = Table("Samples", tuple(Field(name, Type(type_)) for name, type_ in COLUMNS.items()), "Samples")
    return Schema({**schema(View()).tables, samples.name: samples})


def asked() -> list[str]:
    """Return the queries that are compared."""
    found = [*values(), *operators()]
    for kind, name, signatures in functions():
        if kind == "scalar" and (name in SCALARS or name in WINDOWS):
            ordered = " | serialize" if name in WINDOWS else ""
            found += [f"Samples{ordered} | project {call}" for call in calls(name, signatures)]
        elif kind == "aggregate" and (name in AGGREGATES or name in SEVERAL):
            found += [f"Samples | summarize {call}" for call in calls(name, signatures)]
    found = list(dict.fromkeys(found))
    return random.Random(0).sample(found, len(found) // EACH)


def compared(query: str, theirs: Meaning, known: Schema) -> Verdict:
    """Return what both say of a query."""
    try:
        relation = bind(parse(query), known, now=ticks_of(1_700_000_000)).relation
    except KqlError as error:
        if theirs.problems:
            return Verdict("same", query, "")
        by_intent = isinstance(error, KqlUnsupported) or any(re.search(part, error.message) for part in REFUSED)
        return Verdict("refused" if by_intent else "stricter", query, error.message)
    if theirs.problems:
        return Verdict("laxer", query, theirs.problems[0].message)
    ours = tuple((name, column.type.value) for name, column in relation.columns)
    same = ours == theirs.columns or (theirs.open and set(theirs.columns or ()) <= set(ours))
    return Verdict("columns" if same else "otherwise", query, f"ours {ours}, the vendor's {theirs.columns}")


def unexplained(verdicts: Sequence[Verdict], kind: str, reasons: Mapping[str, str]) -> list[Verdict]:
    """Return the differences of a kind that have no reason."""
    return [v for v in verdicts if v.kind == kind and not any(re.search(part, v.query) for part in reasons)]


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return on(asked())


def on(queries: Sequence[str]) -> list[Verdict]:
    """Return what comes of queries."""
    known = everything()
    tables = {table.name: {f.name: f.type.value for f in table.fields} for table in known.tables.values()}
    return [compared(query, their, known) for query, their in zip(queries, meanings(queries, tables), strict=True)]


def test_both_find_the_same_queries_wrong(
    verdicts: list[Verdict], record_property: Callable[[str, object], None]
) -> None:
    assert unexplained(verdicts, "stricter", STRICTER) == []
    assert unexplained(verdicts, "laxer", LAXER) == []
    counted = Counter(verdict.kind for verdict in verdicts)
    judged = len(verdicts) - counted["refused"]
    agreement = 1 - (counted["stricter"] + counted["laxer"]) / judged
    record_property("agreement", f"{agreement:.2%} of {judged} queries; {counted['refused']} are refused by intent")
    assert judged > 2500
    assert counted["refused"] < len(verdicts) / 10
    assert agreement >= LEAST_AGREEMENT


def test_both_say_the_same_columns(verdicts: list[Verdict], record_property: Callable[[str, object], None]) -> None:
    assert unexplained(verdicts, "otherwise", OTHERWISE) == []
    counted = Counter(verdict.kind for verdict in verdicts)
    valid = counted["columns"] + counted["otherwise"]
    agreement = counted["columns"] / valid
    record_property("columns", f"{agreement:.2%} of {valid} queries have the same columns")
    assert valid > 600
    assert agreement >= LEAST_AGREEMENT


def test_every_reason_is_one() -> None:
    verdicts = on(KNOWN)
    for kind, reasons in (("stricter", STRICTER), ("laxer", LAXER), ("otherwise", OTHERWISE)):
        differing = [verdict.query for verdict in verdicts if verdict.kind == kind]
        idle = [part for part in reasons if not any(re.search(part, query) for query in differing)]
        assert idle == [], kind
    refused = [verdict.detail for verdict in verdicts if verdict.kind == "refused"]
    assert [part for part in REFUSED if not any(re.search(part, message) for message in refused)] == []


MANUAL = {
    "bag-unpack-plugin: ignoredProperties": "the vendor's table wants a text there",
    "make-timespan-function: make_timespan": "a fraction of seconds",
    "summarize-operator: Default values of aggregates, empty input 2": "count(x)",
    "summarize-operator: Nulls in count": "count(x)",
    "union-operator: Using isfuzzy=true 2": "a pattern of views",
    "jaccard-index-function: jaccard_index": "the vendor's table says dynamic; the manual prints a number",
    "union-operator: Source columns types mismatch 2": "as the manual prints the columns",
    "scan-operator: Cumulative sum": "match_id only where with_match_id asks for it, as the manual prints it",
    "scan-operator: Cumulative sum on multiple columns with a reset condition": "the same",
    "scan-operator: Fill forward a column": "the same",
}
"""The manual's examples about which the vendor's binder and we differ: there the manual says what we do."""


def test_the_manuals_examples_mean_the_same() -> None:
    every = list(examples())
    found = [
        (example.name, compared(example.query, their, Schema({})))
        for example, their in zip(every, meanings([example.query for example in every], {}), strict=True)
    ]
    differing = {name: verdict for name, verdict in found if verdict.kind in ("stricter", "laxer", "otherwise")}
    assert differing.keys() == MANUAL.keys(), {n: v for n, v in differing.items() if n not in MANUAL}
    assert Counter(verdict.kind for _, verdict in found)["columns"] > 650
