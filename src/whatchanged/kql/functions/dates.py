"""Functions of points in time: their parts, the periods they lie in, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import convert, fits
from whatchanged.kql.functions.conversion import explicit
from whatchanged.kql.functions.moments import DAY, UNITS, WEEK, kept, moment, months_later, ticks, ticks_into
from whatchanged.kql.functions.operators import arithmetic
from whatchanged.kql.functions.signature import Bound, Entry, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "argument", "counted"]


def counted(call: tree.Call, least: int, most: int | None = None) -> None:
    """Check how many arguments a call has. Raises KqlSemanticError."""
    given, most = len(call.arguments), least if most is None else most
    if not least <= given <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise KqlSemanticError(f"{call.name}() takes {wanted} arguments, not {given}", call.span)


def argument(binder: Expressions, call: tree.Call, number: int, wanted: Type) -> Scalar:
    """Return an argument as a value of a type. Raises KqlSemanticError if it does not become one."""
    value = binder.bind(call.arguments[number])
    if fits(value, wanted) is None:
        raise KqlSemanticError(
            f"a {wanted.value} is expected here, not a {value.type.value}", call.arguments[number].span
        )
    return convert(value, wanted)


@special("now")
def _now(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 0, 1)
    now = Constant(binder.queries.now, Type.DATETIME)
    if not call.arguments:
        return now
    return arithmetic("+", now, argument(binder, call, 0, Type.TIMESPAN)) or now


@special("ago")
def _ago(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 1)
    now = Constant(binder.queries.now, Type.DATETIME)
    return arithmetic("-", now, argument(binder, call, 0, Type.TIMESPAN)) or now


# Periods


def _start_of_month(sql: str) -> str:
    return moment(f"{ticks(sql)} - {ticks_into(DAY, sql)} - (toDayOfMonth({sql}) - 1) * {DAY}")


def _start_of_year(sql: str) -> str:
    return moment(f"{ticks(sql)} - {ticks_into(DAY, sql)} - (toDayOfYear({sql}) - 1) * {DAY}")


def _regular(period: int, end: bool) -> Callable[[int], str]:
    def template(count: int) -> str:
        offset = "{1}" if count > 1 else "0"
        start = f"{ticks('{0}')} - {ticks_into(period, '{0}')} + {offset} * {period}"
        return kept(f"({start}{f' + {period - 1}' if end else ''})")

    return template


def _calendar(start: Callable[[str], str], months: int, end: bool) -> Callable[[int], str]:
    def template(count: int) -> str:
        offset = f"toInt64({{1}}) * {months}" if count > 1 else "0"
        begin = start("{0}")
        if not end:
            return begin if count == 1 else months_later(begin, offset)
        # The last tick of a period: the next begins behind it, except behind the year 9999.
        following = f"({offset} + {months})"
        last = f"(toYear({begin}) * 12 + toMonth({begin}) - 1 + {following} = 120000)"
        behind = kept(f"({ticks(months_later(begin, following))} - 1)")
        return f"if({last}, {moment('2534023007999999999')}, {behind})"

    return template


def _periods() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for edge in ("start", "end"):
        end = edge == "end"
        made = {
            "day": _regular(DAY, end),
            "week": _regular(WEEK, end),
            "month": _calendar(_start_of_month, 1, end),
            "year": _calendar(_start_of_year, 12, end),
        }
        for name, template in made.items():
            naming = "first" if (edge, name) == ("start", "day") else ""
            found.append(scalar(f"{edge}of{name}(datetime, long?) datetime", template, null=True, naming=naming))
    return tuple(found)


# Parts

_OF_SECOND = f"positiveModulo({ticks('{0}')}, 10000000)"
_WEDNESDAY = moment(f"{ticks('{0}')} - {ticks_into(WEEK, '{0}')} + {3 * DAY}")
# Weeks begin on Sunday, and the first is the one with a Wednesday of the year (datetime-part-function).
_OLD_WEEK = f"toInt32(intDiv(toDayOfYear({_WEDNESDAY}) - 1, 7) + 1)"
_PARTS = {
    "year": "toInt32(toYear({0}))",
    "quarter": "toInt32(toQuarter({0}))",
    "month": "toInt32(toMonth({0}))",
    "week_of_year": "toInt32(toISOWeek({0}))",
    "weekofyear": _OLD_WEEK,
    "day": "toInt32(toDayOfMonth({0}))",
    "dayofyear": "toInt32(toDayOfYear({0}))",
    "hour": "toInt32(toHour({0}))",
    "minute": "toInt32(toMinute({0}))",
    "second": "toInt32(toSecond({0}))",
    "millisecond": f"toInt32(intDiv({_OF_SECOND}, 10000))",
    "microsecond": f"toInt32(intDiv({_OF_SECOND}, 10))",
    "nanosecond": f"toInt32({_OF_SECOND} * 100)",
}
_ELAPSED = {
    "year": "toInt64(toYear({0})) - toInt64(toYear({1}))",
    "quarter": "(toYear({0}) * 4 + toInt64(toQuarter({0}))) - (toYear({1}) * 4 + toInt64(toQuarter({1})))",
    "month": "(toYear({0}) * 12 + toInt64(toMonth({0}))) - (toYear({1}) * 12 + toInt64(toMonth({1})))",
    "nanosecond": f"({ticks('{0}')} - {ticks('{1}')}) * 100",
}
"""How many borders of a period lie between."""


def _elapsed(period: str) -> str:
    if period in _ELAPSED:
        return f"toInt64({_ELAPSED[period]})"
    length = UNITS[period]

    def number(sql: str) -> str:
        into = ticks_into(length, sql) if length == WEEK else f"positiveModulo({ticks(sql)}, {length})"
        return f"({ticks(sql)} - {into})"

    return f"toInt64(intDiv({number('{0}')} - {number('{1}')}, {length}))"


def _period(binder: Expressions, call: tree.Call, known: Mapping[str, object]) -> str:
    """Return the period that the first argument names."""
    name = binder.text(call.arguments[0], "the period").lower()
    if name not in known:
        raise KqlSemanticError(
            f"there is no period {name!r}; there are {', '.join(sorted(known))}", call.arguments[0].span
        )
    return name


@special("datetime_part", "datepart")
def _datetime_part(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    template = _PARTS[_period(binder, call, _PARTS)]
    value = argument(binder, call, 1, Type.DATETIME)
    return Apply(template, (value,), Type.INT, value.nullable)


@special("datetime_diff")
def _datetime_diff(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 3)
    period = _period(binder, call, {**UNITS, **_ELAPSED})
    left, right = (argument(binder, call, number, Type.DATETIME) for number in (1, 2))
    return Apply(_elapsed(period), (left, right), Type.LONG, left.nullable or right.nullable)


_MONTHS = {"year": 12, "quarter": 3, "month": 1}


@special("datetime_add")
def _datetime_add(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 3)
    period = _period(binder, call, {**UNITS, **_MONTHS, "nanosecond": 0})
    amount, value = argument(binder, call, 1, Type.LONG), argument(binder, call, 2, Type.DATETIME)
    if period in _MONTHS:
        template = months_later("{0}", f"toInt64({{1}}) * {_MONTHS[period]}")
    else:
        span = "intDiv({1}, 100)" if period == "nanosecond" else f"{{1}} * {UNITS[period]}"
        template = kept(f"({ticks('{0}')} + {span})")
    return Apply(template, (value, amount), Type.DATETIME, nullable=True)


# Making

_DATE = f"addMonths({moment('-621355968000000000')}, (toInt64({{0}}) - 1) * 12 + toInt64({{1}}) - 1)"


def _date_template(count: int) -> str:
    hour, minute, second = ("{3}", "{4}", "{5}") if count == 6 else ("{3}", "{4}" if count > 4 else "0", "0")
    if count == 3:
        hour, minute, second = "0", "0", "0"
    day = moment(f"{ticks(_DATE)} + (toInt64({{2}}) - 1) * {DAY}")
    valid = (
        "toInt64({0}) BETWEEN 1 AND 9999 AND toInt64({1}) BETWEEN 1 AND 12 AND toInt64({2}) BETWEEN 1 AND 31 "
        f"AND toMonth({day}) = toInt64({{1}}) AND toInt64({hour}) BETWEEN 0 AND 23 "
        f"AND toInt64({minute}) BETWEEN 0 AND 59 AND {second} >= 0 AND {second} < 60"
    )
    clock = (
        f"toInt64({hour}) * 36000000000 + toInt64({minute}) * 600000000 + "
        f"toInt64(round(toFloat64({second}) * 10000000))"
    )
    return f"if({valid}, {moment(f'{ticks(day)} + {clock}')}, NULL)"


def _made(wanted: Type, least: int, most: int, template: Callable[[int], str]) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        if len(call.arguments) == 1:
            value = binder.bind(call.arguments[0])
            if (result := explicit(value, wanted)) is None:
                raise KqlUnsupported(f"{call.name}() of a {value.type.value} is not answered", call.span)
            return result
        counted(call, least, most)
        values = tuple(_number(binder, call, number) for number in range(len(call.arguments)))
        for value, part in zip(values[:-1], call.arguments, strict=False):
            if wanted is Type.TIMESPAN and value.type not in (Type.INT, Type.LONG):  # only seconds have a fraction
                raise KqlSemanticError(f"a whole number is expected here, not a {value.type.value}", part.span)
        return Apply(template(len(values)), values, wanted, nullable=True)

    return bind


def _number(binder: Expressions, call: tree.Call, number: int) -> Scalar:
    value = binder.bind(call.arguments[number])
    return value if value.type in NUMERIC else argument(binder, call, number, Type.REAL)


def _span_template(count: int) -> str:
    first = 1 if count == 4 else 0
    days = "toInt64({0})" if first else "0"
    hour, minute = f"toInt64({{{first}}})", f"toInt64({{{first + 1}}})"
    second = f"{{{first + 2}}}" if count > 2 else "0"
    valid = f"{hour} BETWEEN 0 AND 23 AND {minute} BETWEEN 0 AND 59 AND {second} >= 0 AND {second} < 60"
    return (
        f"if({valid}, {days} * {DAY} + {hour} * 36000000000 + {minute} * 600000000 + "
        f"toInt64(round(toFloat64({second}) * 10000000)), NULL)"
    )


def _from_unix(name: str, multiplier: int) -> tuple[Entry, ...]:
    """Return a function from a number of units since 1970; a nanosecond is a hundredth of a tick."""
    if multiplier:
        low, high = -(621_355_968_000_000_000 // multiplier), 2_534_023_007_999_999_999 // multiplier
        whole = f"{{0}} * {multiplier}"
        broken = f"toInt64(round({{0}} * {multiplier}))"
    else:
        low, high = -(1 << 63), (1 << 63) - 1
        whole, broken = "intDiv({0}, 100)", "toInt64(trunc({0} / 100))"
    # A real beyond the limits of whole numbers would be some other number there.
    reals = f"{{0}} >= {max(low, -9_223_372_036_854_774_784)} AND {{0}} <= {min(high, 9_223_372_036_854_774_784)}"
    return (
        scalar(f"{name}(long) datetime", f"if({{0}} BETWEEN {low} AND {high}, {moment(whole)}, NULL)", null=True),
        scalar(f"{name}(real) datetime", f"if({reals}, {moment(broken)}, NULL)", null=True),
        scalar(
            f"{name}(decimal) datetime",
            f"if({reals}, {moment(broken)}, NULL)".replace("{0}", "toFloat64({0})"),
            null=True,
        ),
    )


# Zones


def _zoned(local_to_utc: bool) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        counted(call, 2)
        value, zone = argument(binder, call, 0, Type.DATETIME), argument(binder, call, 1, Type.STRING)
        offset = _offset if isinstance(zone, Constant) else _offset_of_row
        template = _to_utc(offset) if local_to_utc else kept(f"({ticks('{0}')} + {offset('{0}')})")
        return Apply(template, (value, zone), Type.DATETIME, nullable=True)

    return bind


def _offset(sql: str) -> str:
    return f"timezoneOffset(toTimeZone({sql}, {{1}})) * {UNITS['second']}"


def _offset_of_row(sql: str) -> str:
    """Return the offset of a zone that is a column: the engine only writes a time in it."""
    days = "toInt64(substring(l, 1, 10) > substring(u, 1, 10)) - toInt64(substring(l, 1, 10) < substring(u, 1, 10))"
    clock = (
        "toInt64(substring({t}, 12, 2)) * 3600 + toInt64(substring({t}, 15, 2)) * 60 + toInt64(substring({t}, 18, 2))"
    )
    seconds = f"({clock.replace('{t}', 'l')}) - ({clock.replace('{t}', 'u')})"
    written = f"assumeNotNull(toString({sql}, {{1}}))", f"assumeNotNull(toString({sql}))"
    return f"arrayMap((l, u) -> (86400 * ({days}) + {seconds}) * {UNITS['second']}, [{written[0]}], [{written[1]}])[1]"


def _to_utc(offset: Callable[[str], str]) -> str:
    """Return the template of the universal time of a local one.

    A local time that does not exist or exists twice is read with the offset behind the change (the manual's example).
    """
    before, after = (offset(moment(f"{ticks('{0}')} {sign} {DAY}")) for sign in "-+")

    def stands(assumed: str) -> str:
        at = moment(f"{ticks('{0}')} - {assumed}")
        return f"{offset(at)} = {assumed}"

    return kept(f"({ticks('{0}')} - if({stands(before)} AND NOT {stands(after)}, {before}, {after}))")


FUNCTIONS: tuple[Entry, ...] = (
    _now,
    _ago,
    *_periods(),
    _datetime_part,
    _datetime_diff,
    _datetime_add,
    scalar("getyear(datetime) int", _PARTS["year"]),
    scalar("getmonth(datetime) int", _PARTS["month"]),
    scalar("monthofyear(datetime) int", _PARTS["month"]),
    scalar("week_of_year(datetime) int", _PARTS["week_of_year"]),
    scalar("weekofyear(datetime) int", _OLD_WEEK),
    scalar("dayofmonth(datetime) int", _PARTS["day"]),
    scalar("dayofyear(datetime) int", _PARTS["dayofyear"]),
    scalar("hourofday(datetime) int", _PARTS["hour"]),
    scalar("dayofweek(datetime) timespan", f"toInt64({ticks_into(WEEK, '{0}')} - {ticks_into(DAY, '{0}')})"),
    special("make_datetime", naming="only")(_made(Type.DATETIME, 3, 6, _date_template)),
    special("make_timespan", naming="only")(_made(Type.TIMESPAN, 2, 4, _span_template)),
    *_from_unix("unixtime_seconds_todatetime", 10_000_000),
    *_from_unix("unixtime_milliseconds_todatetime", 10_000),
    *_from_unix("unixtime_microseconds_todatetime", 10),
    *_from_unix("unixtime_nanoseconds_todatetime", 0),
    special("datetime_utc_to_local")(_zoned(local_to_utc=False)),
    special("datetime_local_to_utc")(_zoned(local_to_utc=True)),
)
