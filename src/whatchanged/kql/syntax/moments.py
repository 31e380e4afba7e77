"""Dates and durations as the language writes them, in ticks of 100 ns; a date counts from 0001-01-01. Pure."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

__all__ = [
    "DAYS", "FORMS", "MONTHS", "NANOSECONDS", "TICKS_PER_DAY", "UNITS", "WITH_UNIT",
    "datetime_text", "datetime_ticks", "span_text", "span_ticks",
]  # fmt: skip

TICKS_PER_SECOND: Final = 10_000_000
TICKS_PER_DAY: Final = 86_400 * TICKS_PER_SECOND
_LIMIT: Final = 1 << 63
_END_OF_TIME: Final = date.max.toordinal() * TICKS_PER_DAY

UNITS: Final[dict[str, int]] = {
    **dict.fromkeys(("d", "day", "days"), TICKS_PER_DAY),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * TICKS_PER_SECOND),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60 * TICKS_PER_SECOND),
    **dict.fromkeys(("s", "sec", "second", "seconds"), TICKS_PER_SECOND),
    **dict.fromkeys(("ms", "milli", "millis", "millisec", "millisecond", "milliseconds"), 10_000),
    **dict.fromkeys(("micro", "micros", "microsec", "microsecond", "microseconds"), 10),
    **dict.fromkeys(("tick", "ticks"), 1),
}  # fmt: skip
NANOSECONDS: Final = frozenset(["nano", "nanos", "nanosec", "nanosecond", "nanoseconds"])

WITH_UNIT = re.compile(r"([+-]?)([0-9]{1,20})(?:\.([0-9]+))?\s*([a-z]+)")
_CLOCK_SPAN = re.compile(
    r"([+-]?)(?:([0-9]{1,8})(?:\.|:(?=[0-9]+:[0-9]+:)))?"
    r"([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]+))?)?"
)
DAYS = re.compile(r"([+-]?)([0-9]{1,8})")


def span_ticks(text: str) -> int:
    """Return a duration: `2d`, `1.5 hours`, `1.02:03:04.5`, `12:30`, `3` (days).

    Raises: ValueError.
    """
    text = text.strip()
    if match := WITH_UNIT.fullmatch(text):
        sign, whole, fraction, unit = match.groups()
        size = _unit_ticks(whole, fraction or "", unit)
    elif match := _CLOCK_SPAN.fullmatch(text):
        sign, days, *clock = match.groups()
        size = int(days or 0) * TICKS_PER_DAY + _clock_ticks(*clock)
    elif match := DAYS.fullmatch(text):
        sign, size = match[1], int(match[2]) * TICKS_PER_DAY
    else:
        raise ValueError("a duration such as 2d, 1.5h or 1.00:00:00")
    if size >= _LIMIT:
        raise ValueError("a duration of at most 29,000 years")
    return -size if sign == "-" else size


def _unit_ticks(whole: str, fraction: str, unit: str) -> int:
    fraction = fraction[:15]
    scale = int("1".ljust(len(fraction) + 1, "0"))
    amount = int(whole + fraction)
    if unit in NANOSECONDS:
        return amount // (100 * scale)
    if unit not in UNITS:
        raise ValueError("a duration such as 2d, 1.5h or 1.00:00:00")
    return amount * UNITS[unit] // scale


def _clock_ticks(hours: str, minutes: str, seconds: str | None, fraction: str | None) -> int:
    """Return the time of a day."""
    whole = (int(hours), int(minutes), int(seconds or 0))
    if whole[0] > 23 or whole[1] > 59 or whole[2] > 59:
        raise ValueError("a time of day")
    ticks = int((fraction or "").ljust(7, "0")[:7])
    return (whole[0] * 3600 + whole[1] * 60 + whole[2]) * TICKS_PER_SECOND + ticks


_MONTH_NAMES: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
MONTHS: Final = {name: number for number, long in enumerate(_MONTH_NAMES, 1) for name in (long, long[:3])}
_WEEKDAY = r"(?:(?:mon|tue|tues|wed|wednes|thu|thur|thurs|fri|sat|satur|sun)(?:day)?,?\s+)?"
_TIME = (
    r"(?:(?P<hours>[0-9]{1,2}):(?P<minutes>[0-9]{1,2})(?::(?P<seconds>[0-9]{1,2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:\s*(?P<half>am|pm))?(?:\s*(?P<zone>z|gmt|utc|[+-][0-9]{1,2}(?::?[0-9]{2})?))?)"
)
FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?P<year>[0-9]{{4}})(?:\s*[-/,]\s*(?P<month>[0-9]{{1,2}})(?:\s*[-/,]\s*(?P<day>[0-9]{{1,2}})(?:(?:\s*t\s*|\s+){_TIME})?)?)?z?",
        rf"(?P<year>[0-9]{{4}})(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}})(?:(?:\s*t\s*|\s+){_TIME})?",
        rf"{_WEEKDAY}(?P<day>[0-9]{{1,2}})[\s-](?P<name>[a-z]{{3,9}})[\s-](?P<year>[0-9]{{4}}|[0-9]{{2}})(?:,?\s+{_TIME})?",
        rf"{_WEEKDAY}(?P<name>[a-z]{{3,9}})\s+(?P<day>[0-9]{{1,2}}),?\s+(?P<year>[0-9]{{4}})(?:,?\s+{_TIME})?",
        rf"(?P<month>[0-9]{{1,2}})[-/](?P<day>[0-9]{{1,2}})[-/](?P<year>[0-9]{{4}})(?:,?\s+{_TIME})?",
    )
)


def datetime_ticks(text: str) -> int:
    """Return a moment in any form that the language takes (ISO 8601, RFC 822, RFC 850, month/day/year); no zone: UTC.

    Raises: ValueError.
    """
    text = text.strip().strip("\"'")
    match = next((match for form in FORMS if (match := form.fullmatch(text))), None)
    try:
        ticks = _moment(match.groupdict()) if match else -1
    except ValueError:  # a month of 32 days
        ticks = -1
    if not 0 <= ticks < _END_OF_TIME:
        raise ValueError("a date such as 2024-05-01 or 2024-05-01T08:30:00Z")
    return ticks


def _moment(part: dict[str, str | None]) -> int:
    year = int(part["year"] or 0)
    if len(part["year"] or "") == 2:  # as .NET reads two digits
        year += 2000 if year < 50 else 1900
    month = MONTHS.get((part.get("name") or "").lower()) if part.get("name") else int(part["month"] or 1)
    if month is None:
        raise ValueError("a month")
    ticks = _day_ticks(year, month, int(part["day"] or 1))
    if part.get("hours") is None:
        return ticks
    hours = _hours(part["hours"] or "", part["half"])
    ticks += _clock_ticks(hours, part["minutes"] or "", part["seconds"], part["fraction"])
    return ticks - _offset_ticks(part["zone"] or "")


def _day_ticks(year: int, month: int, day: int) -> int:
    return (date(year, month, day).toordinal() - 1) * TICKS_PER_DAY


def _hours(hours: str, half: str | None) -> str:
    """Return hours of a day from those of a half day."""
    if half is None:
        return hours
    if not 1 <= int(hours) <= 12:
        raise ValueError("an hour from 1 to 12")
    return str(int(hours) % 12 + (12 if half.lower() == "pm" else 0))


def _offset_ticks(zone: str) -> int:
    if zone[:1] not in ("+", "-"):
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    if hours > 14 or minutes > 59:
        raise ValueError("an offset of at most 14 hours")
    size = (hours * 60 + minutes) * 60 * TICKS_PER_SECOND
    return -size if zone[0] == "-" else size


def datetime_text(ticks: int) -> str:
    """Return a moment as the language prints it: `2024-05-01T08:30:00.0000000Z`."""
    days, rest = divmod(ticks, TICKS_PER_DAY)
    return f"{date.fromordinal(days + 1).isoformat()}T{_clock_text(rest)}Z"


def span_text(ticks: int) -> str:
    """Return a duration as the language prints it: `1.02:03:04.5000000`."""
    days, rest = divmod(abs(ticks), TICKS_PER_DAY)
    sign = "-" if ticks < 0 else ""
    clock = _clock_text(rest)
    return f"{sign}{f'{days}.' if days else ''}{clock if rest % TICKS_PER_SECOND else clock[:8]}"


def _clock_text(ticks: int) -> str:
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}.{fraction:07}"
