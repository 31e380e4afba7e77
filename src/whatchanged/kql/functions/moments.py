"""SQL of points in time: the engine's calendar where it holds for all years, and ticks where it does not.

`DateTime64` counts whole years from 1 to 9999 rightly when taken apart and with `addMonths`; its functions that begin a
period do not (they end at 1900 and 2299), so that is done with ticks since 1970.
"""

from __future__ import annotations

__all__ = ["DAY", "FIRST", "LAST", "UNITS", "WEEK", "kept", "moment", "months_later", "ticks", "ticks_into"]

SECOND = 10_000_000
DAY = 864_000_000_000
WEEK = 7 * DAY
FIRST = -621_355_968_000_000_000
"""0001-01-01 in ticks since 1970."""
LAST = 2_534_023_007_999_999_999
"""The last tick of 9999."""
UNITS = {
    "week": WEEK,
    "day": DAY,
    "hour": 3600 * SECOND,
    "minute": 60 * SECOND,
    "second": SECOND,
    "millisecond": 10_000,
    "microsecond": 10,
}
"""Periods of one length, in ticks."""
_SUNDAY = 3 * DAY
"""1970-01-04, a Sunday, in ticks since 1970."""


def ticks(sql: str) -> str:
    """Return the ticks since 1970 of a datetime."""
    return f"reinterpret({sql}, 'Int64')"


def moment(sql: str) -> str:
    """Return the datetime of ticks since 1970 that are known to be one."""
    return f"reinterpret(toInt64({sql}), 'DateTime64(7, \\'UTC\\')')"


def kept(sql: str) -> str:
    """Return the datetime of ticks since 1970, or null where no datetime is that early or late."""
    return f"if({sql} BETWEEN {FIRST} AND {LAST}, {moment(sql)}, NULL)"


def ticks_into(period: int, sql: str) -> str:
    """Return how many ticks of a day or a week (from Sunday) are over at a datetime."""
    origin = f" - {_SUNDAY}" if period == WEEK else ""
    return f"positiveModulo({ticks(sql)}{origin}, {period})"


def months_later(sql: str, months: str) -> str:
    """Return a datetime some months later, on the last day of the month if it has no such day; null out of range."""
    reached = f"(toInt64(toYear({sql})) * 12 + toMonth({sql}) - 1 + {months})"
    return f"if({reached} BETWEEN 12 AND 119999, addMonths({sql}, {months}), NULL)"
