"""Expressions: precedence as the vendor's parser has it, names, calls, literals."""

import pytest

from unit.kql.syntax.outline import outline
from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax import parse, tree


def expression(text: str) -> tree.Expression:
    (answer,) = parse(f"T | where {text}").answers
    assert isinstance(answer, tree.Pipeline)
    (where,) = answer.operators
    assert isinstance(where, tree.Where)
    return where.predicate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a or b and c", "(a or (b and c))"),
        ("a and b or c", "((a and b) or c)"),
        ("a == 1 and b != 2", "((a == 1) and (b != 2))"),
        ("a <> 1", "(a != 1)"),
        ("a < 1 == b", "((a < 1) == b)"),
        ("a == b < c", "(a == (b < c))"),
        ("a < b + c", "(a < (b + c))"),
        ("a + b * c - d / e % f", "((a + (b * c)) - ((d / e) % f))"),
        ("a - b - c", "((a - b) - c)"),
        ("(a + b) * c", "((a + b) * c)"),
        ("-a + +b", "((-a) + (+b))"),
        ("-a.b", "(-a.b)"),
        ("a-b", "(a - b)"),
        ('a + b has "x"', '(a + (b has "x"))'),
        ('a has "x" == true', '((a has "x") == bool(true))'),
        ('a matches  regex "x"', '(a matches regex "x")'),
        ('a notcontains "x" or b containscs "y"', '((a !contains "x") or (b contains_cs "y"))'),
        ('a !has_cs "x"', '(a !has_cs "x")'),
        ('* has "x"', '(* has "x")'),
        ('* == "x"', '(* == "x")'),
        ("a in (1, 2)", "(a in (1, 2))"),
        ('a !in~ ("x")', '(a !in~ ("x"))'),
        ("a in (U | project b)", "(a in ((U | Project(columns=[b]))))"),
        ('a has_any ("x", b) and c has_all (d)', '((a has_any ("x", b)) and (c has_all (d)))'),
        ("a between (1 .. 2)", "(a between (1 .. 2))"),
        ("a !between (1.5..2)", "(a !between (real(1.5) .. 2))"),
        ("a between (b + 1 .. c)", "(a between ((b + 1) .. c))"),
        ("not(a)", "not(a)"),
        ("f()", "f()"),
        ("f(*, a = 1, (b, c) = 2)", "f(*, a = 1, (b, c) = 2)"),
        ("f (1)", "f(1)"),
        ("['f g'](1)", '["f g"](1)'),
        ("a.b.c", "a.b.c"),
        ("a.['b c'].d", 'a.["b c"].d'),
        ('a["b"][0].c', 'a["b"][0].c'),
        ('a.["b"]', 'a.["b"]'.replace('["b"]', "b")),
        ("a.[0]", "a[0]"),
        ("f(1).g(2)", "f(1).g(2)"),
        ("['odd name']", '["odd name"]'),
        ('["odd" " name"]', '["odd name"]'),
        ("$left.a == $right.b", "($left.a == $right.b)"),
        ("count > 1 and kind == id", "((count > 1) and (kind == id))"),
        ("toscalar(U | count) > 1", "(toscalar((U | Count())) > 1)"),
        ("extract(a, 1, b, typeof(long)) == 1", "(extract(a, 1, b, typeof(long)) == 1)"),
        ("dynamic([1]) == a", "(dynamic([1]) == a)"),
        ("1abc == 2", "(1abc == 2)"),
    ],
)
def test_an_expression_becomes_a_tree(text: str, expected: str) -> None:
    assert outline(expression(text)) == expected


def test_long_conditions_are_shallow() -> None:
    text = " or ".join(f"a == {number}" for number in range(4000))
    node, height = expression(text), 0
    while isinstance(node, tree.Binary):
        node, height = node.left, height + 1
    assert height < 16
    assert outline(expression("a or b or c or d")) == "((a or b) or (c or d))"


@pytest.mark.parametrize(
    "text",
    ["a == b == c", "a < b < c", 'a has "x" has "y"', "--a", "a b", "a ==", "== a", "a and", "f(1,)", "f(,)", "a in ()",
     "a in b", "a between (1, 2)", "a[", "a.", "(a", "a)", "[1]", "a = = b", "a ? b", "by == 1", "order by"],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(KqlSyntaxError):
        expression(text)


def test_a_call_knows_its_name() -> None:
    call = expression("abs (1)")
    assert isinstance(call, tree.Call)
    assert (call.name_span.start, call.name_span.end) == (10, 13)
    assert (call.span.start, call.span.end) == (10, 17)
