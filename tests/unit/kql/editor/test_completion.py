"""What is suggested where: a `^` stands at the place."""

from __future__ import annotations

import pytest

from whatchanged.kql.compile import compile_query
from whatchanged.kql.editor import Suggestion, complete
from whatchanged.kql.editor.reference import OPERATORS, names
from whatchanged.kql.errors import KqlError
from whatchanged.kql.functions import AGGREGATES, SCALARS, WINDOWS
from whatchanged.kql.syntax import operators as parsed
from whatchanged.kql.types import Field, Schema, Table, Type

FILES = Table(
    "Files",
    (
        Field("Path", Type.STRING, doc="Where it is"),
        Field("Size", Type.LONG),
        Field("When", Type.DATETIME),
        Field("Bag", Type.DYNAMIC),
        Field("Hidden", Type.BOOL),
        Field("odd name", Type.STRING),
    ),
    "Files",
    doc="A row is a file",
)
MACHINES = Table(
    "Machines", (Field("Path", Type.STRING), Field("Size", Type.REAL), Field("Os", Type.STRING)), "Machines"
)
SCHEMA = Schema(
    {"Files": FILES, "Machines": MACHINES},
    "// Big files.\nlet big = (least: long) { Files | where Size > least };\nlet half = (x: long) { x / 2 };",
)


def at(text: str) -> list[Suggestion]:
    offset = text.index("^")
    return complete(text.replace("^", ""), offset, SCHEMA)


def labels(text: str, *kinds: str) -> list[str]:
    return [one.label for one in at(text) if not kinds or one.kind in kinds]


def put(text: str, label: str) -> str:
    [one] = [one for one in at(text) if one.label == label]
    whole = text.replace("^", "")
    return whole[: one.span.start] + one.insert + whole[one.span.end :]


TABLES = ["Files", "Machines"]
COLUMNS = ["Path", "Size", "When", "Bag", "Hidden", "odd name"]


@pytest.mark.parametrize(
    "text",
    ["^", "// files\n^", "let x = 5; ^", "let x = ^", "union ^", "union Files, ^", "Files | join (^", "Files | join ^",
     "Files | join kind=inner (^", "Files | lookup (^", "Files | where Path in (^", "print toscalar(^",
     "let f = () { ^", "let x = (^"],
)  # fmt: skip
def test_tables_where_a_query_begins(text: str) -> None:
    assert labels(text, "table") == TABLES
    assert "big" in labels(text, "function")
    assert "half" not in labels(text) or "let x = ^" in text or " in (" in text


@pytest.mark.parametrize(
    "text",
    ["Files | ^", "Files |^", "Files | where Size > 1 | ^", "Files | mv-apply Bag on (^", "Files | join (Machines | ^",
     "Files | fork (^", "Files | partition by Path (^"],
)  # fmt: skip
def test_operators_behind_a_pipe(text: str) -> None:
    assert {"where", "summarize", "order by", "project-away"} <= set(labels(text, "operator"))
    assert not labels(text, "column", "table", "function")


@pytest.mark.parametrize(
    "text",
    ["Files | where ^", "Files | extend x = ^", "Files | where Size > 1 and ^", "Files | where strlen(^",
     "Files | summarize count() by ^", "Files | order by ^", "Files | project Path, ^", "Files | project-away ^",
     "Files | where Size in (1, 2) and (^", "let f = (a: long) { Files | where ^", "Files | top 5 by ^",
     "Files | where Path in (Files | project ^", "let x = Files; x | where ^", "Files | whre Path | where ^",
     "Files | mv-expand ^", "Files | distinct ^", "Machines | where x == 5; Files | where ^"],
)  # fmt: skip
def test_columns_of_the_rows_that_come_there(text: str) -> None:
    assert labels(text, "column") == COLUMNS
    assert not labels(text, "table", "operator")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Files | project Path, n = Size | where ^", ["Path", "n"]),
        ("Files | extend n = Size | where ^", [*COLUMNS, "n"]),
        ("Files | summarize n = count(), max(Size) by Path | where ^", ["Path", "n", "max_Size"]),
        ("Files | project-away Size, When | where ^", ["Path", "Bag", "Hidden", "odd name"]),
        ("Files | join kind=inner (Machines) on Path | project ^", [*COLUMNS, "Path1", "Size1", "Os"]),
        ("Files | join (Machines | project ^) on Path", ["Path", "Size", "Os"]),
        ("Files | join (Machines) on ^", ["Path"]),
        ("big(5) | project Path | where ^", ["Path"]),
        ("print a = 1, b = 'x' | where ^", ["a", "b"]),
        ("datatable(a: long, b: string) [1, 'x'] | where ^", ["a", "b"]),
        ("Files | count | where ^", ["Count"]),
        ("Files | mv-apply b = Bag to typeof(string) on (where ^", [*COLUMNS, "b"]),
        ("let f = (T: (a: long)) { T | where ^", ["a"]),
        ("Nothing | where ^", []),
    ],
)
def test_columns_behind_operators_that_change_them(text: str, expected: list[str]) -> None:
    assert labels(text, "column") == expected


def test_aggregates_only_where_groups_are_made() -> None:
    assert {"count", "arg_max", "dcount", "percentiles"} <= set(labels("Files | summarize ^", "aggregate"))
    assert {"count", "sumif"} <= set(labels("Files | summarize x = ^", "aggregate"))
    assert "count" in labels("Files | make-series ^", "aggregate")
    assert not labels("Files | summarize count() by ^", "aggregate")
    assert not labels("Files | where ^", "aggregate")


def test_functions_of_other_rows_only_in_an_order() -> None:
    assert "prev" in labels("Files | order by Size asc | extend x = ^", "function")
    assert "prev" not in labels("Files | extend x = ^", "function")


@pytest.mark.parametrize(
    ("text", "there", "not_there"),
    [
        ("Files | where Path ^", {"has", "contains", "==", "in~", "matches regex"}, {"between", "<"}),
        ("Files | where Size ^", {"==", "<", "between", "in"}, {"has", "contains", "=~"}),
        ("Files | where When ^", {">", "between"}, {"has"}),
        ("Files | where Bag ^", {"has", "=="}, {"between"}),
        ("Files | where Hidden ^", {"and", "=="}, {"has", "<"}),
        ("Files | where Path == 'x' ^", {"and", "or"}, {"asc", "by"}),
        ("Files | where tostring(Size) ^", {"has", "between"}, {"by"}),
        ("Files | where Path !^", {"!has", "!contains", "!in"}, {"has"}),
        ("Files | where Path !con^", {"!contains", "!contains_cs"}, {"!has"}),
    ],
)
def test_what_goes_between_operands_follows_the_type(text: str, there: set[str], not_there: set[str]) -> None:
    found = set(labels(text))
    assert there <= found
    assert not not_there & found
    assert not labels(text, "column", "function")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Files | join kind=^", {"inner", "leftouter", "leftanti", "innerunique"}),
        ("Files | lookup kind=^", {"inner", "leftouter"}),
        ("Files | order by Size ^", {"asc", "desc", "nulls first"}),
        ("Files | order by Size asc ^", {"nulls first", "nulls last"}),
        ("Files | order by Size asc nulls ^", set()),
        ("Files | summarize count() ^", {"by"}),
        ("Files | top 5 ^", {"by"}),
        ("Files | join (Machines) ^", {"on"}),
        ("Files | join (Machines) on ^", {"$left", "$right"}),
        ("Files | join (Machines) on $left.^", {"Path", "Bag"}),
        ("Files | join (Machines) on $left.Path == $right.^", {"Os"}),
        ("Files | render ^", {"timechart", "table"}),
        ("Files | evaluate ^", {"pivot", "narrow", "bag_unpack"}),
        ("Files | mv-expand Bag to ^", {"typeof"}),
        ("Files | mv-expand Bag to typeof(^", {"string", "long"}),
        ("declare query_parameters(x: ^", {"string", "timespan"}),
        ("union withsource=T ^", set(TABLES)),
        ("Files | parse Path ^", {"with"}),
        ("^", {"let", "declare query_parameters", "union", "datatable"}),
        ("let x = 5; let y = Files | where Size > ^", {"x", "half", "tolong"}),
        ("declare query_parameters(most: long); Files | take ^", {"most"}),
        ("let f = (least: long) { Files | where Size > l^", {"least"}),
    ],
)
def test_words_and_values_in_their_places(text: str, expected: set[str]) -> None:
    assert expected <= set(labels(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Files | extend u = parse_url(Path) | where u.^", ["Scheme", "Host", "Port"]),
        ("Files | extend b = bag_pack('k', 1, 'odd key', 2) | project b.^", ["k", "odd key"]),
        ("let d = dynamic({'a': 1, 'b': {}}); print d.^", ["a", "b"]),
        ("Files | extend u = parse_path(Path) | extend v = u | where v.File^", ["Filename"]),
        ("Files | extend u = parse_url(Path) | extend u = Bag | where u.^", []),
        ("Files | where Bag.^", []),
    ],
)
def test_members_that_are_known(text: str, expected: list[str]) -> None:
    assert labels(text)[: len(expected) or None][:3] == expected


@pytest.mark.parametrize(
    "text",
    ["Files | where Path == '^'", "Files | where Path == 'a^", "Files // ^", "// ^", "Files | take 1^",
     "print datetime(^", "Files | where Path == @\"x^\"", "Files | project ['odd ^", "print 1.5^", "let ^",
     "Files | as ^"],
)  # fmt: skip
def test_nothing_where_nothing_of_the_language_stands(text: str) -> None:
    assert at(text) == []


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("Files | whe^", "where", "Files | where"),
        ("Files | wh^ere Size > 1", "extend", None),
        ("Files | wh^ere Size > 1", "where", "Files | where Size > 1"),
        ("Files | ^where Size > 1", "extend", "Files | extend Size > 1"),
        ("Files | project-a^", "project-away", "Files | project-away"),
        ("Files | project-a^way Size", "project-away", "Files | project-away Size"),
        ("Files | ord^ by Size", "order by", "Files | order by Size"),
        ("Files | where strl^", "strlen", "Files | where strlen("),
        ("Files | where strl^(Path) > 1", "strlen", "Files | where strlen(Path) > 1"),
        ("Files | where When > no^", "now", "Files | where When > now("),
        ("print p^", "pi", "print pi()"),
        ("Files | where odd^", "odd name", "Files | where ['odd name']"),
        ("Files | join ki^", "kind", "Files | join kind="),
        ("Files | join ki^=inner (Machines) on Path", "kind", "Files | join kind=inner (Machines) on Path"),
        ("Files | where Path !h^", "!has", "Files | where Path !has"),
        ("Files | where Path !i^~ ('x')", "!in~", "Files | where Path !in~ ('x')"),
        ("Files | where Path match^", "matches regex", "Files | where Path matches regex"),
        ("Files | where Path match^ regex 'x'", "matches regex", "Files | where Path matches regex 'x'"),
        ("Files | where siz^ > 5", "Size", "Files | where Size > 5"),
    ],
)
def test_what_is_put_in_takes_the_place_of_the_word(text: str, label: str, expected: str | None) -> None:
    if expected is None:
        assert label not in labels(text)
    else:
        assert put(text, label) == expected


def test_suggestions_say_what_they_are() -> None:
    found = {one.label: one for text in ("^", "Files | where ^") for one in at(text)}
    assert (found["Files"].detail, found["Files"].doc) == ("6 columns", "A row is a file")
    assert (found["Path"].detail, found["Path"].doc) == ("string", "Where it is")
    assert (found["big"].detail, found["big"].doc) == ("big(least: long)", "Big files.")
    assert found["strlen"].detail == "strlen(text): long"
    assert all(one.doc for one in found.values() if one.kind in ("operator", "aggregate") or one.label == "strlen")


# The reference is complete

REFUSED = {
    "buildschema", "dcount_hll", "geo_info_from_ip_address", "gzip_compress_to_base64_string",
    "gzip_decompress_from_base64_string", "hash_combine", "hash_many", "hll", "hll_if", "hll_merge", "merge_tdigest",
    "merge_tdigests", "parse_user_agent", "parse_xml", "passthrough", "punycode_domain_from_string",
    "punycode_domain_to_string", "punycode_from_string", "punycode_to_string", "tdigest", "tdigest_merge",
    "zlib_compress_to_base64_string", "zlib_decompress_from_base64_string",
}  # fmt: skip
"""Functions that the compiler knows in order to refuse them."""


def test_every_function_that_is_answered_has_its_line() -> None:
    assert set(SCALARS) - set(names("scalar")) <= REFUSED
    assert set(AGGREGATES) - set(names("aggregate")) <= REFUSED
    assert set(WINDOWS) == set(names("window"))
    known = {*SCALARS, *AGGREGATES, "arg_max", "arg_min", "percentiles", "percentilesw"}
    assert {*names("scalar"), *names("aggregate")} <= known - REFUSED


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.parametrize("arguments", ["Bag", "Path", "Bag, Hidden"])
def test_what_has_no_line_is_refused(name: str, arguments: str) -> None:
    head = "summarize" if name in AGGREGATES else "extend"
    with pytest.raises(KqlError):
        compile_query(f"Files | {head} x = {name}({arguments})", SCHEMA)


def test_every_operator_has_its_line() -> None:
    old = {"filter", "mvapply", "mvexpand"}  # other names of the same
    assert set(parsed._OPERATORS) - old - {"scan"} == set(OPERATORS)
