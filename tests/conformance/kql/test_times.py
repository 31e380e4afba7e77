"""Functions of time on the engine, beside the manual's own examples: what its pages say in words, at all ends."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlError, KqlSemanticError, KqlUnsupported
from whatchanged.kql.types import Schema

_HOUR = 36_000_000_000
_DAY = 24 * _HOUR


def _value(engine: Engine, expression: str) -> Any:
    """Return the value of an expression: timespans in ticks."""
    rows = engine.rows(compile_query(f"print v = {expression}", Schema({}), now=638_000_000_000_000_000))
    assert len(rows) == 1
    return rows[0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # endofmonth, endofyear …: the last tick of the period, in every year that there is
        ("endofyear(datetime(9999-05-05))", "9999-12-31T23:59:59.9999999Z"),
        ("endofmonth(datetime(2024-02-10), 12)", "2025-02-28T23:59:59.9999999Z"),
        ("endofweek(datetime(2500-01-01))", "2500-01-02T23:59:59.9999999Z"),
        ("endofday(datetime(2020-01-01), -1)", "2019-12-31T23:59:59.9999999Z"),
        ("startofmonth(datetime(0001-05-05), -5)", None),
        ("startofweek(datetime(1850-05-08))", "1850-05-05T00:00:00.0000000Z"),
        ("startofyear(datetime(1700-06-06 05:05:05.1234567), 700)", "2400-01-01T00:00:00.0000000Z"),
        ("startofday(datetime(null))", None),
        # dayofweek: days since Sunday as a timespan
        ("dayofweek(datetime(2024-07-07))", 0),
        ("dayofweek(datetime(1850-07-06 12:00))", 6 * _DAY),
        # week_of_year: ISO 8601; the older weekofyear has the first Wednesday in its first week
        ("week_of_year(datetime(2021-01-01))", 53),
        ("week_of_year(datetime(2000-01-01))", 52),
        ("datetime_part('WEEK_OF_YEAR', datetime(0001-01-01))", 1),
        ("weekofyear(datetime(2020-01-01))", 1),
        ("hourofday(datetime(1850-07-06 05:00))", 5),
        ("getmonth(datetime(1850-07-06))", 7),
        ("monthofyear(datetime(1850-07-06))", 7),
        # datetime_add, datetime_diff: the last day of a shorter month; borders of periods are counted
        ("datetime_add('month', 1, datetime(2024-01-31))", "2024-02-29T00:00:00.0000000Z"),
        ("datetime_add('year', 1, datetime(9999-01-31))", None),
        ("datetime_add('day', -1, datetime(0001-01-01))", None),
        ("datetime_add('nanosecond', -150, datetime(2024-01-31))", "2024-01-30T23:59:59.9999999Z"),
        ("datetime_diff('week', datetime(2024-01-07), datetime(2024-01-06))", 1),
        ("datetime_diff('hour', datetime(1850-01-01 00:59), datetime(1850-01-01 01:00))", -1),
        # make_datetime, make_timespan: null unless successful
        ("make_datetime(2023, 2, 29)", None),
        ("make_datetime(2024, 2, 29, 5, 6)", "2024-02-29T05:06:00.0000000Z"),
        ("make_datetime(1850, 12, 31, 23, 59, 59.9999999)", "1850-12-31T23:59:59.9999999Z"),
        ("make_datetime(10000, 1, 1)", None),
        ("make_timespan(24, 0)", None),
        ("make_timespan(1, 2, 3.5)", _HOUR + 2 * 600_000_000 + 35_000_000),
        ("unixtime_seconds_todatetime(-62135596800)", "0001-01-01T00:00:00.0000000Z"),
        ("unixtime_seconds_todatetime(-62135596801)", None),
        ("unixtime_milliseconds_todatetime(1e20)", None),
        ("unixtime_nanoseconds_todatetime(1550000000123456789)", "2019-02-12T19:33:20.1234567Z"),
        # datetime_local_to_utc: a time that there is twice has the later offset
        (
            "datetime_local_to_utc(datetime(2022-10-30 02:30), 'Europe/Brussels')",
            "2022-10-30T01:30:00.0000000Z",
        ),
        ("datetime_local_to_utc(datetime(2022-07-01), 'Europe/Brussels')", "2022-06-30T22:00:00.0000000Z"),
        ("datetime_utc_to_local(datetime(2022-07-01), 'Asia/Kolkata')", "2022-07-01T05:30:00.0000000Z"),
        ("now(-1d) == ago(1d)", True),
        # bin: down to a multiple, weeks from 0001-01-01; null for a bin that is not above zero
        ("bin(-5, 2)", -6),
        ("bin(-4.5, 1)", -5),
        ("bin(decimal(5.5), 2)", 4),
        ("bin(-1s, 2s)", -20_000_000),
        ("bin(5, 0)", None),
        ("bin(5, -2)", None),
        ("bin(datetime(2024-07-03 12:00), 7d)", "2024-07-01T00:00:00.0000000Z"),
        ("bin(datetime(1850-07-03 12:34), 1h)", "1850-07-03T12:00:00.0000000Z"),
        ("bin_at(datetime(0001-01-01 01:00), 1d, datetime(2020-01-01 12:00))", None),
    ],
)
def test_time(engine: Engine, expression: str, expected: object) -> None:
    assert _value(engine, expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # format_datetime, format_timespan: the elements of their tables
        (
            "format_datetime(datetime(2009-06-15 13:45:30.05), 'y yy yyyy M MM d dd h hh H HH m mm s ss tt')",
            "9 09 2009 6 06 15 15 1 01 13 13 45 45 30 30 PM",
        ),
        ("format_datetime(datetime(2009-06-15 13:45:30.05), 'f ff fff fffffff [F] [FF] [FFFFFFF]')",
         "0 05 050 0500000 [] [05] [05]"),
        ("format_datetime(datetime(0900-06-05 00:05), 'y/yy/yyyy h tt')", "0/00/0900 12 AM"),
        ("format_datetime(datetime(null), 'yyyy')", ""),
        ("format_timespan(15d + 13h + 5m + 3s + 61ms, 'd dd ddd h hh H HH m mm s ss f ff FFFF')",
         "15 15 015 13 13 13 13 5 05 3 03 0 06 061"),
        ("format_timespan(1234d, 'dd')", "1234"),
        ("format_timespan(time(null), 'd')", ""),
    ],
)  # fmt: skip
def test_format(engine: Engine, expression: str, expected: str) -> None:
    assert _value(engine, expression) == expected


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("format_datetime(now(), 'MMM')", KqlSemanticError),
        ("format_datetime(now(), strcat('y', tostring(rand())))", KqlUnsupported),
        ("datetime_part('fortnight', now())", KqlSemanticError),
        ("bin(datetime(2020), 2)", KqlSemanticError),
        ("bin_auto(1)", KqlSemanticError),
        ("startofday(1)", KqlSemanticError),
    ],
)
def test_refused(expression: str, error: type[KqlError]) -> None:
    with pytest.raises(error):
        compile_query(f"print v = {expression}", Schema({}))
