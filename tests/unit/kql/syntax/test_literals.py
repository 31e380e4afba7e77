"""Literals: every form the language writes a value in."""

import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax import parse, tree
from whatchanged.kql.syntax.moments import TICKS_PER_DAY, datetime_text, datetime_ticks, span_text, span_ticks

DAY = TICKS_PER_DAY
HOUR = DAY // 24
SECOND = 10_000_000


def literal(text: str) -> tree.Literal:
    (answer,) = parse(f"print {text}").answers
    assert isinstance(answer, tree.Pipeline)
    assert isinstance(answer.source, tree.Print)
    (value,) = answer.source.columns
    assert isinstance(value, tree.Literal), value
    assert (value.span.start, value.span.end) == (6, 6 + len(text))
    return value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1", "long", 1), ("0x1F", "long", 31), ("-9223372036854775808", "long", -(1 << 63)),
        ("1.5", "real", 1.5), ("1e3", "real", 1000.0), ("1.", "real", 1.0), ("1.5E-3", "real", 0.0015),
        ("true", "bool", True), ("FALSE", "bool", False),
        ("1d", "timespan", DAY), ("1.5h", "timespan", 3 * HOUR // 2), ("15m", "timespan", HOUR // 4),
        ("3s", "timespan", 3 * SECOND), ("100ms", "timespan", SECOND // 10), ("10microsecond", "timespan", 100),
        ("10microseconds", "timespan", 100), ("1tick", "timespan", 1), ("250nanoseconds", "timespan", 2),
        ("1day", "timespan", DAY), ("2hours", "timespan", 2 * HOUR), ("2hrs", "timespan", 2 * HOUR),
        ("5minutes", "timespan", HOUR // 12), ("7seconds", "timespan", 7 * SECOND),
        ("8milliseconds", "timespan", 80_000),
        ("timespan(1.02:03:04.5)", "timespan", DAY + 2 * HOUR + 184 * SECOND + SECOND // 2),
        ("time(12:30)", "timespan", 25 * HOUR // 2), ("time(2d)", "timespan", 2 * DAY),
        ("time(2)", "timespan", 2 * DAY),
        ("time(0.12:34:56.7)", "timespan", 12 * HOUR + (34 * 60 + 56) * SECOND + 7_000_000),
        ("timespan(-1:00:00)", "timespan", -HOUR), ("time(15 seconds)", "timespan", 15 * SECOND),
        ("timespan(null)", "timespan", None), ("datetime(null)", "datetime", None), ("int(null)", "int", None),
        ("int(5)", "int", 5), ("int(-2147483648)", "int", -(1 << 31)), ("long( 0x10 )", "long", 16),
        ("real(2)", "real", 2.0), ("double(-1e-2)", "real", -0.01), ("real(+inf)", "real", math.inf),
        ("decimal(1.10)", "decimal", Decimal("1.10")), ("decimal(1e5)", "decimal", Decimal("1e5")),
        ("bool(1)", "bool", True), ("boolean(false)", "bool", False), ("bool(null)", "bool", None),
        ("guid(74be27de-1e4e-49d9-b579-fe0b331d3642)", "guid", UUID("74be27de-1e4e-49d9-b579-fe0b331d3642")),
        ("'a'", "string", "a"), ('"a"', "string", "a"), ("'a' \"b\"", "string", "ab"), ("'a\"b'", "string", 'a"b'),
        (r"'\n\t\\\'\"'", "string", "\n\t\\'\""), (r"'\u0041\x42\103\U00000044'", "string", "ABCD"),
        (r"'\ud83d\ude00'", "string", "\U0001f600"), ("@'C:\\x''y'", "string", "C:\\x'y"), ('@"a""b"', "string", 'a"b'),
        ("h'secret'", "string", "secret"), ('H@"x"', "string", "x"), ("```a\n'b'```", "string", "a\n'b'"),
        ("~~~a\n`b`~~~", "string", "a\n`b`"), ("''", "string", ""),
        ("dynamic(null)", "dynamic", None), ("dynamic(1)", "dynamic", 1), ("dynamic([])", "dynamic", []),
        ('dynamic({"a":{"b":[1,-2.5,true,null,"x"]}})', "dynamic", {"a": {"b": [1, -2.5, True, None, "x"]}}),
        ('dynamic({"a": datetime(2020-01-01)})', "dynamic", {"a": "2020-01-01T00:00:00.0000000Z"}),
        ("dynamic([1d, time(00:00:01.5), dynamic([2])])", "dynamic", ["1.00:00:00", "00:00:01.5000000", [2]]),
        ("dynamic([guid(74be27de-1e4e-49d9-b579-fe0b331d3642)])", "dynamic", ["74be27de-1e4e-49d9-b579-fe0b331d3642"]),
    ],
)  # fmt: skip
def test_a_literal_has_type_and_value(text: str, kind: str, value: Any) -> None:
    found = literal(text)
    assert (found.type, found.value) == (kind, value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-11-08", "2014-11-08T00:00:00.0000000Z"),
        ("2014-11", "2014-11-01T00:00:00.0000000Z"),
        ("2014", "2014-01-01T00:00:00.0000000Z"),
        ("2014-11-08 15:55", "2014-11-08T15:55:00.0000000Z"),
        ("2014-11-08 15:55:55", "2014-11-08T15:55:55.0000000Z"),
        ("2014-11-08 15:55:55.123456Z", "2014-11-08T15:55:55.1234560Z"),
        ("2014-05-25T08:20:03.123456", "2014-05-25T08:20:03.1234560Z"),
        ("2014-05-25T08:20", "2014-05-25T08:20:00.0000000Z"),
        ("2014-11-08T15:05:25 GMT", "2014-11-08T15:05:25.0000000Z"),
        ("2014-11-08T15:05:25+02:00", "2014-11-08T13:05:25.0000000Z"),
        ("2014-11-08 15:05:25-0130", "2014-11-08T16:35:25.0000000Z"),
        ("2014-11-08 03:05:25 PM", "2014-11-08T15:05:25.0000000Z"),
        ("2014-11-08 12:05 am", "2014-11-08T00:05:00.0000000Z"),
        ("Sat, 8 Nov 14 15:05:02 GMT", "2014-11-08T15:05:02.0000000Z"),
        ("Sat, 8 Nov 14 15:05", "2014-11-08T15:05:00.0000000Z"),
        ("8 Nov 14 15:05:02", "2014-11-08T15:05:02.0000000Z"),
        ("8 November 1998", "1998-11-08T00:00:00.0000000Z"),
        ("Saturday, 08-Nov-14 15:05:02 GMT", "2014-11-08T15:05:02.0000000Z"),
        ("08-Nov-14 15:05", "2014-11-08T15:05:00.0000000Z"),
        ("Nov 8, 2014 15:05", "2014-11-08T15:05:00.0000000Z"),
        ("12/31/2019", "2019-12-31T00:00:00.0000000Z"),
        ("12-02-2022", "2022-12-02T00:00:00.0000000Z"),
        ("2017 - 08 - 01", "2017-08-01T00:00:00.0000000Z"),
        ("2025, 6, 14", "2025-06-14T00:00:00.0000000Z"),
        ('"01-01-2022"', "2022-01-01T00:00:00.0000000Z"),
        ("9999-12-31 23:59:59.9999999", "9999-12-31T23:59:59.9999999Z"),
        ("0001-01-01", "0001-01-01T00:00:00.0000000Z"),
    ],
)
def test_dates_are_read_in_all_forms(text: str, expected: str) -> None:
    value = literal(f"datetime({text})").value
    assert isinstance(value, int)
    assert datetime_text(value) == expected
    assert literal(f"date({text})").value == value


@given(st.integers(0, 3_155_378_975_999_999_999))
def test_dates_are_read_as_they_are_printed(ticks: int) -> None:
    assert datetime_ticks(datetime_text(ticks)) == ticks


@given(st.integers(-(1 << 63) + 1, (1 << 63) - 1))
def test_durations_are_read_as_they_are_printed(ticks: int) -> None:
    assert span_ticks(span_text(ticks)) == ticks


@pytest.mark.parametrize(
    "text",
    ["datetime(soon)", "datetime(2020-13-01)", "datetime(2020-02-30)", "datetime(2020-01-01 25:00)",
     "datetime(0001-01-01T00:00+02:00)", "datetime(2020-01-01 13:00 PM)", "timespan(x)", "timespan(1:75)", "int(1.5)",
     "int(2147483648)", "long(9223372036854775808)", "9223372036854775808", "real(x)", "decimal(nan)", "bool(2)",
     "guid(1)", "99999999999d", "timespan(99999999)", "long(" + "9" * 5000 + ")", "9" * 5000, "dynamic({a:1})",
     "dynamic([1,])", "dynamic", "dynamic(a)", "'abc", '"abc', "'a\nb'", r"'\d'", r"'\u12'", r"'\U00110000'", "```a",
     "~~~a", "datetime(2020-01-01", "h", "74be27de-1e4e-49d9-b579-fe0b331d3642", "tRue"],
)  # fmt: skip
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises((KqlSyntaxError, AssertionError)):
        literal(text)
