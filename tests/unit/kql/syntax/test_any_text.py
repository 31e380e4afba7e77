"""Any text at all: a tree whose places lie in the text and in each other, or an error with a place; never more."""

import contextlib
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unit.kql.syntax.outline import nodes, outline
from whatchanged.kql.errors import KqlError, KqlSyntaxError, KqlUnsupported, Span
from whatchanged.kql.syntax import parse, tree
from whatchanged.kql.syntax.keywords import KEYWORDS, words
from whatchanged.kql.syntax.lexer import MAX_LENGTH, MAX_TOKENS

WORDS = sorted(
    KEYWORDS
    | words("T a b 1 1.5 1d 'x' \"y\" @'z' true datetime(2020-01-01) int(1) | ( ) [ ] { }")
    | words(", ; : . .. = == != <= + - * / % => @ ? // # !in~ hint.x")
    | {"matches regex", "\n"}
)

NOWHERE = Span(0, 0)


def problem(text: str) -> KqlError | None:
    try:
        query = parse(text)
    except (KqlSyntaxError, KqlUnsupported) as error:
        return error
    for node, above in nodes(query):
        assert 0 <= node.span.start <= node.span.end <= len(text)
        if above is not None:
            assert above.span.start <= node.span.start <= node.span.end <= above.span.end, (node, above)
    return None


def check(text: str) -> None:
    error = problem(text)
    if error is not None:
        assert 0 <= error.span.start <= error.span.end <= len(text)
        assert error.explain(text)


@given(st.text())
@example("'" + "\\" * 9)
@example("a\ud800b")
@example("print '\\ud800'")
def test_random_text(text: str) -> None:
    check(text)
    check(f"T | where {text}")


@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_random_words(text: str) -> None:
    check(text)
    check(f"T | {text}")
    check(f"T | where {text}")


@pytest.mark.parametrize("prefix", [f"T | {word} " for word in sorted(KEYWORDS)])
def test_words_behind_an_operator(prefix: str) -> None:
    for following in ("a", "by a", "a by b", "a of b by c", "on a", "(a) on b", "kind=x a", "a = b", "*", "with (a=1)"):
        check(prefix + following)


DEEP: list[Callable[[int], str]] = [
    lambda n: "print " + "(" * n + "1" + ")" * n,
    lambda n: "(" * n,
    lambda n: "print " + "f(" * n + "1" + ")" * n,
    lambda n: "print " + "f(a=" * n,
    lambda n: "print " + "1+(" * n + "1" + ")" * n,
    lambda n: "print " + "a or b and c == d < e + f * (" * n,
    lambda n: "print " + "a[" * n + "1" + "]" * n,
    lambda n: "print " + "a.[" * n,
    lambda n: "print " + "a in (" * n,
    lambda n: "print " + "a between (" * n,
    lambda n: "print " + "toscalar(" * n,
    lambda n: "print dynamic(" + "[" * n + "]" * n + ")",
    lambda n: "print dynamic(" + '{"a":' * n,
    lambda n: "print " + "dynamic(" * n,
    lambda n: "T" + " | join (U" * n + ") on a" * n,
    lambda n: "T | union " + "(T | union " * n,
    lambda n: "T | mv-apply a on (" * n,
    lambda n: "T" + " | fork (fork (" * n,
    lambda n: "T | " + "facet by a with " * n + "take 1",
    lambda n: "T | " + "partition by a { T | " * n,
    lambda n: "T | scan with (step s: " * n,
    lambda n: "let f = () { " * n + "1" + " };" * n,
    lambda n: "union " + "a[b[" * n,
    lambda n: "print " + "-(" * n,
    lambda n: "print " + "- " * n,
    lambda n: "declare pattern P = " + "(" * n,
    lambda n: "print " + "1+" * n + "1",
    lambda n: "print a" + ".b" * n,
    lambda n: "print a" + "[0]" * n,
    lambda n: "print f()" + ".f()" * n,
    lambda n: "T | invoke f()" + ".f()" * n,
    lambda n: "union a" + ".b" * n,
    lambda n: "T | facet by a" + ".b" * n,
]


@pytest.mark.parametrize("text", DEEP)
def test_depth_is_an_error_and_needs_few_frames(text: Callable[[int], str]) -> None:
    """Little of the stack is left to a parser that runs deep in a server."""
    frames, frame = 0, sys._getframe()
    while frame.f_back is not None:
        frames, frame = frames + 1, frame.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 700)
    try:
        for count in (50, 90, 150, 201, 3000):
            with contextlib.suppress(KqlSyntaxError):
                parse(text(count))
    finally:
        sys.setrecursionlimit(limit)
    with pytest.raises(KqlSyntaxError):
        parse(text(3000))


def test_what_people_nest_is_parsed() -> None:
    parse("print " + "iff(a, b, " * 60 + "c" + ")" * 60)
    parse("print " + "(" * 60 + "c" + ")" * 60)
    parse("print " + " + ".join(["a"] * 250))


@pytest.mark.parametrize(
    "unit",
    ["'", "\\", "'\\", "`", "~", "h'", "1", "1.1e", "1_", "matches ", "matches" + " " * 500, "int(", "//", "-", "(",
     "a.", "!in", "hint.", "['a']", "a or ", "a+", "f(", "dynamic([", "\ud800", "a | where b == 'c'; "],
)  # fmt: skip
def test_long_texts_of_any_sort_are_read_or_refused(unit: str) -> None:
    check("T | where " + unit * (MAX_LENGTH // 4 // len(unit)))


def test_a_long_query_is_refused() -> None:
    with pytest.raises(KqlSyntaxError, match="longer than 1,048,576 characters"):
        parse("T" + " " * MAX_LENGTH)
    with pytest.raises(KqlSyntaxError, match="more than 100,000 words"):
        parse("a " * (MAX_TOKENS + 1))
    parse("T" + " " * (MAX_LENGTH - 1))


# Expressions written out and read again


def literal(kind: str, value: object) -> tree.Literal:
    return tree.Literal(NOWHERE, kind, value)  # type: ignore[arg-type]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
WORD = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True).filter(
    lambda word: word not in KEYWORDS | {"true", "false"}
)
LEAVES = st.one_of(
    WORD.map(lambda word: tree.Name(NOWHERE, word)),
    st.text(min_size=1).map(lambda text: tree.Name(NOWHERE, text, quoted=True)),
    st.integers(0, (1 << 63) - 1).map(lambda value: literal("long", value)),
    st.integers(-(1 << 31), (1 << 31) - 1).map(lambda value: literal("int", value)),
    st.text().map(lambda value: literal("string", value)),
    st.integers(0, 3_155_378_975_999_999_999).map(lambda value: literal("datetime", value)),
    st.integers(-(1 << 60), 1 << 60).map(lambda value: literal("timespan", value)),
    st.uuids().map(lambda value: literal("guid", value)),
    st.booleans().map(lambda value: literal("bool", value)),
    st.floats(allow_nan=False).map(lambda value: literal("real", value)),
    st.sampled_from(["long", "datetime", "real", "dynamic"]).map(lambda kind: literal(kind, None)),
    JSON.map(lambda value: literal("dynamic", value)),
)
BINARY = sorted(
    words("or and == != < <= > >= + - * / % =~ !~ has !has_cs contains startswith !endswith_cs") | {"matches regex"}
)


def expressions(inner: st.SearchStrategy[tree.Expression]) -> st.SearchStrategy[tree.Expression]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    operators = st.sampled_from(BINARY)
    names = WORD.map(lambda word: tree.Name(NOWHERE, word))
    return st.one_of(
        st.builds(lambda o, a, b: tree.Binary(NOWHERE, o, a, b), operators, inner, inner),
        st.builds(lambda a: tree.Unary(NOWHERE, "-", a), inner.filter(lambda node: not isinstance(node, tree.Unary))),
        st.builds(lambda w, a: tree.Call(NOWHERE, w, a, NOWHERE), WORD, several),
        st.builds(lambda w, n, a: tree.Call(NOWHERE, w, (tree.Named(NOWHERE, (n,), a),), NOWHERE), WORD, names, inner),
        st.builds(lambda a, i: tree.Index(NOWHERE, a, i), names, inner),
        st.builds(lambda a, w: tree.Member(NOWHERE, a, w), names, WORD | st.text(min_size=1)),
        st.builds(lambda a, i: tree.Membership(NOWHERE, "!in~", a, i), inner, several),
        st.builds(lambda a, b, c, n: tree.Between(NOWHERE, a, b, c, n), inner, inner, inner, st.booleans()),
    )


@given(st.recursive(LEAVES, expressions, max_leaves=12))
def test_an_expression_is_read_as_it_is_written(node: tree.Expression) -> None:
    text = outline(node)
    (answer,) = parse(f"print x = {text}").answers
    assert isinstance(answer, tree.Pipeline)
    assert isinstance(answer.source, tree.Print)
    (named,) = answer.source.columns
    assert isinstance(named, tree.Named)
    assert outline(named.value) == text
