"""SQL that reads datetimes, timespans and guids out of texts, in the forms that the language takes as literals."""

from __future__ import annotations

from whatchanged.kql.functions.moments import FIRST, LAST, moment
from whatchanged.kql.syntax.moments import DAYS, FORMS, MONTHS, NANOSECONDS, UNITS, WITH_UNIT

__all__ = ["DATETIME", "GUID", "TIMESPAN", "literal"]

_FIELDS = ("year", "month", "day", "name", "hours", "minutes", "seconds", "fraction", "half", "zone")


def literal(text: str) -> str:
    r"""Return a text of ours as SQL, within a template."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("{", "{{").replace("}", "}}") + "'"


def _list(items: list[str]) -> str:
    return "[" + ", ".join(items) + "]"


def _whole(pattern: str) -> str:
    return literal(rf"(?i)^\s*(?:{pattern})\s*$")


def _fields() -> str:
    """Return an SQL array of the fields of a datetime; without any if the text is none."""
    branches = []
    for form in FORMS:
        places = [form.groupindex.get(name) for name in _FIELDS]
        fields = _list([f"g[{place}]" if place else "''" for place in places])
        pattern = _whole(form.pattern)
        branches.append(f"match({{0}}, {pattern}), arrayMap(g -> {fields}, [extractGroups({{0}}, {pattern})])[1]")
    return f"multiIf({', '.join(branches)}, emptyArrayString())"


def _number(text: str, default: int = 0) -> str:
    return f"if({text} = '', {default}, toInt64OrZero({text}))"


_YEAR = "if(length(f[1]) = 2, toInt64OrZero(f[1]) + if(toInt64OrZero(f[1]) < 50, 2000, 1900), toInt64OrZero(f[1]))"
_MONTH = (
    f"if(f[4] = '', {_number('f[2]', 1)}, transform(lower(f[4]), {_list([literal(name) for name in MONTHS])}, "
    f"{_list([str(number) for number in MONTHS.values()])}, 0))"
)
_HOURS = (
    f"multiIf(f[9] = '', {_number('f[5]')}, toInt64OrZero(f[5]) BETWEEN 1 AND 12, "
    "toInt64OrZero(f[5]) % 12 + if(lower(f[9]) = 'pm', 12, 0), 99)"
)
_FRACTION = "toInt64OrZero(substring(rightPad(f[8], 7, '0'), 1, 7))"
_DIGITS = "replaceRegexpAll(f[10], '[^0-9]', '')"
_ZONE_HOURS = f"toInt64OrZero(if(length({_DIGITS}) > 2, substring({_DIGITS}, 1, length({_DIGITS}) - 2), {_DIGITS}))"
_ZONE_MINUTES = f"if(length({_DIGITS}) > 2, toInt64OrZero(right({_DIGITS}, 2)), 0)"
_NUMBERS = (
    f"[toInt64({_YEAR}), toInt64({_MONTH}), {_number('f[3]', 1)}, toInt64({_HOURS}), {_number('f[6]')}, "
    f"{_number('f[7]')}, {_FRACTION}, if(startsWith(f[10], '-'), -1, 1), {_ZONE_HOURS}, {_ZONE_MINUTES}]"
)
_LEAP = "((n[1] % 4 = 0 AND n[1] % 100 != 0) OR n[1] % 400 = 0)"
_LONGEST = f"multiIf(n[2] = 2, 28 + {_LEAP}, n[2] IN (4, 6, 9, 11), 30, 31)"
_VALID = (
    f"n[1] BETWEEN 1 AND 9999 AND n[2] BETWEEN 1 AND 12 AND n[3] BETWEEN 1 AND {_LONGEST} AND n[4] < 24 AND n[5] < 60 "
    "AND n[6] < 60 AND n[9] <= 14 AND n[10] < 60"
)
# Days since 1970 of a day of the Gregorian calendar, in years that begin in March.
_SHIFTED = "(n[1] - (n[2] <= 2))"
_DAYS = (
    f"({_SHIFTED} * 365 + intDiv({_SHIFTED}, 4) - intDiv({_SHIFTED}, 100) + intDiv({_SHIFTED}, 400) "
    "+ intDiv(153 * (n[2] + if(n[2] > 2, -3, 9)) + 2, 5) + n[3] - 1 - 719468)"
)
_TICKS = (
    f"({_DAYS} * 864000000000 + (n[4] * 3600 + n[5] * 60 + n[6] - n[8] * (n[9] * 60 + n[10]) * 60) * 10000000 + n[7])"
)
_KEPT = f"arrayMap(s -> if(s BETWEEN {FIRST} AND {LAST}, {moment('s')}, NULL), [{_TICKS}])[1]"
_MOMENT = f"arrayMap(n -> if({_VALID}, {_KEPT}, NULL), [{_NUMBERS}])[1]"
DATETIME = f"arrayMap(f -> if(empty(f), NULL, {_MOMENT}), [{_fields()}])[1]"
"""Of a text `{{0}}`; null if it says no datetime. No zone: UTC."""


def _seconds(hours: int) -> str:
    parts = [f"toInt64OrZero(g[{hours + place}])" for place in range(3)]
    return f"({parts[0]} * 3600 + {parts[1]} * 60 + {parts[2]})"


_TIME = r"([0-9]{1,2}):([0-9]{1,2})"
_CLOCKS = (
    rf"([+-]?)(?:([0-9]{{1,8}})\.)?{_TIME}(?::([0-9]{{1,2}})(?:\.([0-9]+))?)?",
    rf"([+-]?)([0-9]{{1,8}}):{_TIME}:([0-9]{{1,2}})(?:\.([0-9]+))?",
)
"""The clock of `syntax.moments`, without looking ahead, which the engine cannot."""
_SIGN = "if(g[1] = '-', -1, 1)"
_CLOCK = (
    f"if(toInt64OrZero(g[3]) > 23 OR toInt64OrZero(g[4]) > 59 OR toInt64OrZero(g[5]) > 59, NULL, {_SIGN} * "
    f"(toInt64OrZero(g[2]) * 864000000000 + {_seconds(3)} * 10000000 "
    "+ toInt64OrZero(substring(rightPad(g[6], 7, '0'), 1, 7))))"
)
_SIZES = {**{unit: ticks * 100 for unit, ticks in UNITS.items()}, **dict.fromkeys(sorted(NANOSECONDS), 1)}
_SIZE = (
    f"transform(lower(g[4]), {_list([literal(unit) for unit in _SIZES])}, "
    f"{_list([str(size) for size in _SIZES.values()])}, 0)"
)
_LENGTH = (
    f"if({_SIZE} = 0, NULL, accurateCastOrNull({_SIGN} * "
    f"intDiv(toInt256(concat(g[2], substring(g[3], 1, 15))) * {_SIZE}, "
    "100 * toInt256(concat('1', repeat('0', least(length(g[3]), 15))))), 'Int64'))"
)


def _span() -> str:
    with_unit, days = _whole(WITH_UNIT.pattern), _whole(DAYS.pattern)
    clocks = "".join(
        f"match({{0}}, {_whole(clock)}), arrayMap(g -> {_CLOCK}, [extractGroups({{0}}, {_whole(clock)})])[1], "
        for clock in _CLOCKS
    )
    return (
        f"multiIf(match({{0}}, {with_unit}), arrayMap(g -> {_LENGTH}, [extractGroups({{0}}, {with_unit})])[1], "
        f"{clocks}"
        f"match({{0}}, {days}), arrayMap(g -> {_SIGN} * toInt64OrZero(g[2]) * 864000000000, "
        f"[extractGroups({{0}}, {days})])[1], NULL)"
    )


TIMESPAN = _span()
"""Ticks of a text `{{0}}`; null if it says no timespan."""
_HEX = "replaceRegexpAll(trimBoth({0}), '^[{{(]|[)}}]$|-', '')"
GUID = f"toUUIDOrNull(if(length({_HEX}) = 32, {_HEX}, ''))"
"""With hyphens wherever, with brackets or without (the manual's page toguid-function)."""
