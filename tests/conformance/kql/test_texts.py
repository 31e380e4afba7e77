"""Functions of texts on the engine, beside the manual's own examples: what its pages say in words."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlError, KqlUnsupported
from whatchanged.kql.types import Schema


def _value(engine: Engine, expression: str) -> Any:
    """Return the value of an expression."""
    rows = engine.rows(compile_query(f"print v = {expression}", Schema({})))
    assert len(rows) == 1
    return rows[0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # regex: "Any character except new line (includes new line with s flag)"
        (r"'a\nb' matches regex 'a.b'", False),
        (r"'a\nb' matches regex '(?s)a.b'", True),
        (r"extract('(.+)', 1, 'a\nb')", "a"),
        (r"replace_regex('a\nb', 'a.b', 'x')", "a\nb"),
        # regex: "\w Word character (\p{Alphabetic} + \p{M} + \d + \p{Pc})", "\d Digit (\p{Nd})"
        (r"extract(@'^(\w+)', 1, 'Édouard 1')", "Édouard"),
        (r"'٣' matches regex @'^\d$'", True),
        (r"'a\u00a0b' matches regex @'a\sb'", True),
        (r"'x-1' matches regex @'^[\w-]+$'", True),
        # extract: group 0 is the match; nothing found is empty
        (r"extract('b(.)', 0, 'abcd')", "bc"),
        (r"extract('x(.)', 1, 'abcd')", ""),
        (r"extract(@'(\d+)', 1, 'a12', typeof(long)) + 1", 13),
        # extract_all: "If there's no match: null"
        (r"isnull(extract_all(@'(\d)', 'abc'))", True),
        (r"extract_all(@'(?P<first>\w)(\w)', dynamic(['first']), 'abcd')", '["a","c"]'),
        (r"extract_all(@'([\da-f]{2})', '82b8')", '["82","b8"]'),
        (r"extract_all(@'(\w)(\w+)(\w)', dynamic([1,3]), 'fa7-4bd1')", '[["f","7"],["4","1"]]'),
        # trim: "all leading and trailing matches"; trim_start, trim_end: the match
        ("trim('a', 'aabaa')", "b"),
        ("trim_start('a', 'aab')", "ab"),
        ("trim_end('a', 'baa')", "ba"),
        # substring: a negative start counts from the end
        ("substring('héllo', -2)", "lo"),
        ("substring('abc', 7)", ""),
        # strrep: more than 1024 times is 1024 times
        ("strlen(strrep('ab', 5000))", 2048),
        ("strcat('a', 1, true, 1.5, 2h)", "a1True1.502:00:00"),
        ("strcat_array(dynamic(['a', 1, true]), '-')", "a-1-true"),
        ("split('a_b', '_', 7)", "[]"),
        ("split('a/b', '/')", '["a","b"]'),
        ("replace_string('aXbX', 'X', '')", "ab"),
        ("replace(@'(\\w)-', @'\\1+', 'a-b')", "a+b"),
        ("translate('ab', 'x', 'abc')", "xxc"),
        ("countof('aXbx', '[xX]', 'regex')", 2),
        ("regex_quote('(so$me.Te^xt)')", "\\(so\\$me\\.Te\\^xt\\)"),
        ("has_any_index('the cat sat', dynamic(['at', 'CAT']))", 1),
        ("isascii('abc')", True),
        ("isascii('é')", False),
        ("isutf8('é')", True),
        ("to_utf8('aé€😀')", "[97,233,8364,128512]"),
        ("make_string(97, 233, 8364, 128512)", "aé€😀"),
        ("strcmp('a', 'b')", -1),
        ("indexof('aXaX', 'X', -1)", 3),
        ("indexof_regex('éaXbX', '[X]', 0, -1, 2)", 4),
    ],
)  # fmt: skip
def test_text(engine: Engine, expression: str, expected: object) -> None:
    assert _value(engine, expression) == expected


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("'a' matches regex '(?=a)'", KqlError),
        (r"'aa' matches regex @'(a)\1'", KqlError),
        ("'a' matches regex '[a&&b]'", KqlUnsupported),
        ("extract('(a)', 2, 'a')", KqlError),
        ("extract_all('a', 'a')", KqlError),
        ("split('a', '')", KqlUnsupported),
        ("parse_user_agent('a', 'browser')", KqlUnsupported),
    ],
)
def test_refused(expression: str, error: type[KqlError]) -> None:
    with pytest.raises(error):
        compile_query(f"print v = {expression}", Schema({}))


def test_calls_within_calls_stay_short(engine: Engine) -> None:
    """Each of these functions has its arguments in its SQL several times."""
    nested = "strcat('1.', tostring(toreal('0.5') / 3))"
    for _ in range(6):
        nested = f"tostring(todatetime({nested}))"
    assert len(compile_query(f"print {nested}", Schema({})).statement.sql) < 100_000
    value = "t"
    for _ in range(4):
        value = f"tostring(coalesce(parse_ipv4({value}), tolong({value})))"
    compiled = compile_query(f"datatable(t: string)['1.2.3.4'] | project v = {value}", Schema({}))
    assert len(compiled.statement.sql) < 20_000
    assert engine.rows(compiled) == [["16909060"]]
