"""Operators of texts on the engine: of constants and of columns, which the compiler answers differently."""

from __future__ import annotations

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.types import Field, Schema, Table, Type

# datatypes-string-operators: a term is a run of letters and digits; "hasprefix: RHS is a term prefix in LHS"; …
CASES = [
    ("North America", "has", "america", True),
    ("North America", "has", "amer", False),
    ("North America", "has_cs", "america", False),
    ("a_term here", "has", "term", True),
    ("file.exe", "has", ".exe", True),
    ("file.exe", "has", ".ex", False),
    ("C:\\\\Windows\\\\x", "has", "windows", True),
    ("Straße", "has", "stra", False),
    # what stands beside a term decides, whatever alphabet it is of
    ("–term–", "has", "TERM", True),
    ("überterm x", "has", "term", False),
    ("xürterm, term", "has", "term", True),
    ("termé x", "has", "term", False),
    ("термterm", "has_cs", "term", False),
    ("«term»", "has_cs", "term", True),
    ("«Term»", "has_cs", "term", False),
    ("a_term-b", "has_cs", "term", True),
    ("terms term2", "has", "term", False),
    ("abc", "has", "", True),
    ("a (b) c", "has", "(b)", True),
    ("North America", "hasprefix", "ame", True),
    ("North America", "hasprefix", "mer", False),
    ("North America", "hasprefix_cs", "ame", False),
    ("North America", "hassuffix", "ICA", True),
    ("North America", "hassuffix", "Amer", False),
    ("North America", "hassuffix_cs", "ICA", False),
    ("FabriKam", "contains", "BRik", True),
    ("FabriKam", "contains_cs", "BRik", False),
    ("100%", "contains", "%", True),
    ("ÄPFEL", "contains", "äpf", True),
    ("Fabrikam", "startswith", "fab", True),
    ("Fabrikam", "startswith_cs", "fab", False),
    ("Fabrikam", "endswith", "KAM", True),
    ("Fabrikam", "endswith_cs", "KAM", False),
    ("Fabrikam", "matches regex", "b.*k", True),
    ("Fabrikam", "matches regex", "B.*k", False),
    ("aBc", "=~", "AbC", True),
    ("aBc", "==", "AbC", False),
]


@pytest.mark.parametrize(("left", "operator", "right", "expected"), CASES)
def test_operator(engine: Engine, left: str, operator: str, right: str, expected: bool) -> None:
    negation = {"=~": "!~", "==": "!=", "matches regex": ""}.get(operator, f"!{operator}")
    constant = f'constant = l {operator} "{right}", column = l {operator} r'
    negated = f', negated = l {negation} "{right}", negated_column = l {negation} r' if negation else ""
    query = f'datatable(l: string, r: string)["{left}", "{right}"] | project {constant}{negated}'
    wanted = [expected, expected, not expected, not expected][: 4 if negation else 2]
    assert [bool(value) for value in engine.rows(compile_query(query, Schema({})))[0]] == wanted


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("t has_any ('south', 'north')", True),
        ("t has_any (dynamic(['south', 'AMERICA']))", True),
        ("t has_any (a)", True),
        ("t has_all (a)", False),
        ("t has_all ('south', 'north')", True),
        ("t has_any ((print x = 'amer'))", False),
        ("t has_all ((datatable(x: string)['south', 'and']))", True),
        ("t in (a)", False),
        ("'south' in (a)", True),
        ("'SOUTH' in~ (a)", True),
        ("'SOUTH' !in~ (a)", False),
        ("tostring(a[0]) in (a[0])", True),
        ("t in ('x', 'North and South America')", True),
        ("t in~ ('north and south america')", True),
        ("t !in~ ('north and south america')", False),
        ("t in ((print x = 'North and South America'))", True),
    ],
)  # fmt: skip
def test_several(engine: Engine, condition: str, expected: bool) -> None:
    query = f"print t = 'North and South America', a = dynamic(['south', 'east']) | project v = {condition}"
    assert [[bool(row[0])] for row in engine.rows(compile_query(query, Schema({})))] == [[expected]]


@pytest.mark.parametrize(("text", "expected"), [("«term»", True), ("éterm", False), ("a term", True), ("terms", False)])
def test_a_term_of_a_constant_and_of_a_dictionary(engine: Engine, text: str, expected: bool) -> None:
    stored = f"(SELECT toLowCardinality('{text}') AS t FROM numbers(2))"  # noqa: S608 - a text of ours
    schema = Schema({"T": Table("T", (Field("t", Type.STRING, nullable=False),), stored)})
    rows = engine.rows(compile_query(f"T | project t has 'Term', '{text}' has 'Term'", schema))
    assert [[bool(value) for value in row] for row in rows] == [[expected, expected]] * 2
    assert len(engine.rows(compile_query("T | where t has 'Term'", schema))) == 2 * expected
