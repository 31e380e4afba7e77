"""Conversions on the engine: of values in rows, which it reads itself, and of constants, which we read."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.syntax.moments import datetime_ticks, span_ticks
from whatchanged.kql.types import Schema


def _rows(engine: Engine, query: str) -> list[Any]:
    return engine.rows(compile_query(query, Schema({})))


def _column(engine: Engine, texts: list[str], expression: str) -> list[Any]:
    """Return what an expression makes of each text `t` of a column."""
    quoted = ", ".join(f'{number}, "{text}"' for number, text in enumerate(texts))
    return [
        row[0]
        for row in _rows(engine, f"datatable(n: long, t: string)[{quoted}] | sort by n asc | project v = {expression}")
    ]


DATETIMES = [
    # the manual's page on the datetime type: ISO 8601, RFC 822, RFC 850
    "2014-05-25T08:20:03.123456Z", "2014-05-25T08:20:03.123456", "2014-05-25T08:20", "2014-11-08 15:55:55.123456Z",
    "2014-11-08 15:55:55", "2014-11-08 15:55", "2014-11-08", "2014-11-08T15:55:55+02:30", "2014-11-08T15:55:55-0800",
    "Sat, 8 Nov 14 15:05:02 GMT", "Sat, 8 Nov 14 15:05:02", "Sat, 8 Nov 14 15:05", "8 Nov 14 15:05:02 GMT",
    "Saturday, 08-Nov-14 15:05:02 GMT", "Saturday, 08-Nov-14 15:05 GMT", "08-Nov-14 15:05:02", "12-02-2022", "2015",
    "5/25/2014 11:20 PM", "0001-01-01", "9999-12-31 23:59:59.9999999", "1850-02-28", "2024-02-29", "20240501",
    # none
    "2023-02-29", "2024-13-01", "2024-01-32", "2024-01-01 24:00", "abc", "", "1700000000", "0000-01-01",
]  # fmt: skip
TIMESPANS = [
    "0.00:01:00", "1.02:03:04.5", "-1.00:00:00", "12:30", "01:02:03.0000001", "1:02:03:04", "2d", "1.5h", "-3 minutes",
    "10ms", "7micros", "250nanos", "1tick", "3", "24:00:00", "abc", "", "1x", "99999999999999999999d",
]  # fmt: skip


def _or_none(read: Any, text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return None


def test_datetimes_are_read_by_the_engine_as_by_us(engine: Engine) -> None:
    found = _column(engine, DATETIMES, "tolong(todatetime(t))")
    assert dict(zip(DATETIMES, found, strict=True)) == {text: _or_none(datetime_ticks, text) for text in DATETIMES}


def test_timespans_are_read_by_the_engine_as_by_us(engine: Engine) -> None:
    found = _column(engine, TIMESPANS, "tolong(totimespan(t))")
    assert dict(zip(TIMESPANS, found, strict=True)) == {text: _or_none(span_ticks, text) for text in TIMESPANS}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("toint('2147483648')", None),
        ("toint(2147483648)", None),
        ("tolong(-2.7)", -2),  # toint: "the result truncate to only the integer portion"
        ("tolong(dynamic(2.7))", 2),
        ("tolong(dynamic('12'))", 12),
        ("tolong('abc')", None),
        ("toreal('1e3')", 1000.0),
        ("tobool('TRUE')", True),
        ("tobool('x')", None),
        ("tolong(datetime(1970-01-01))", 621355968000000000),
        ("todatetime(621355968000000000) == datetime(1970-01-01)", True),
        ("tolong(1s)", 10000000),
        ("totimespan(10000000) == 1s", True),
        ("tostring(guid(74be27de-1e4e-49d9-b579-fe0b331d3642))", "74be27de-1e4e-49d9-b579-fe0b331d3642"),
        ("tostring(datetime(2017-10-15 12:00))", "2017-10-15T12:00:00.0000000Z"),
        ("tostring(-1.5h)", "-01:30:00"),
        ("tostring(1d + 1tick)", "1.00:00:00.0000001"),
        ("tostring(1.0)", "1.0"),
        ("tostring(123.45)", "123.45"),
        ("tostring(real(nan))", "NaN"),
        ("tostring(1e15)", "1E+15"),
        ("tostring(-1.5e300)", "-1.5E+300"),
        ("tostring(0.0001)", "0.0001"),
        ("tostring(0.000012)", "1.2E-05"),
        ("tostring(1.5e-10)", "1.5E-10"),
        ("tostring(decimal(1.50))", "1.5"),
        ("tostring(int(null))", ""),
        ("tostring(dynamic({'a': 1}))", '{"a":1}'),
        ("tostring(parse_json(' [1.0,  \"a b\" ] '))", '[1.0,"a b"]'),
        ("isnull(parse_json('null'))", True),
        ("gettype(parse_json('1.5'))", "real"),
        ("gettype(parse_json('true'))", "bool"),
        ("gettype(dynamic(null))", "null"),
        ("tohex(0)", "0"),
        ("tohex(-256)", "ffffffffffffff00"),
        ("tohex(toint(-256), 8)", "ffffff00"),
        ("tohex(256, 8)", "00000100"),
        ("toguid('{0123456789ab-cdef-0123-456789abcdef}')", "01234567-89ab-cdef-0123-456789abcdef"),
    ],
)  # fmt: skip
def test_conversion(engine: Engine, expression: str, expected: object) -> None:
    assert _rows(engine, f"print v = {expression}") == [[expected]]
