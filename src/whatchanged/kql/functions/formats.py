"""`format_datetime`, `format_timespan`: formats are known beforehand and become SQL."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.moments import DAY, ticks
from whatchanged.kql.functions.signature import Bound, Entry, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS"]

_DELIMITERS = frozenset(" /-:,._[]")
_HALF = "((toHour({0}) + 11) % 12 + 1)"


def _fractions(of_second: str) -> dict[str, str]:
    """Return the elements of parts of a second: `f` with all its digits, `F` without zeros at the end."""
    found = {}
    for count in range(1, 8):
        digits = f"leftPad(toString(intDiv({of_second}, {10 ** (7 - count)})), {count}, '0')"
        found["f" * count] = digits
        found["F" * count] = f"trimRight({digits}, '0')"
    return found


def _padded(sql: str, width: int) -> str:
    return f"leftPad(toString({sql}), {width}, '0')"


_OF_DATETIME = {
    "d": "toString(toDayOfMonth({0}))",
    "dd": _padded("toDayOfMonth({0})", 2),
    "h": f"toString({_HALF})",
    "hh": _padded(_HALF, 2),
    "H": "toString(toHour({0}))",
    "HH": _padded("toHour({0})", 2),
    "m": "toString(toMinute({0}))",
    "mm": _padded("toMinute({0})", 2),
    "M": "toString(toMonth({0}))",
    "MM": _padded("toMonth({0})", 2),
    "s": "toString(toSecond({0}))",
    "ss": _padded("toSecond({0})", 2),
    "y": "toString(toYear({0}) % 100)",
    "yy": _padded("toYear({0}) % 100", 2),
    "yyyy": _padded("toYear({0})", 4),
    "tt": "if(toHour({0}) < 12, 'AM', 'PM')",
    **_fractions(f"positiveModulo({ticks('{0}')}, 10000000)"),
}


def _within(unit: int, of: int) -> str:
    """Return how many of a unit (ticks) are over in the next greater one."""
    return f"(intDiv(abs({{0}}), {unit}) % {of})"


def _days(width: int) -> str:
    days = f"toString(intDiv(abs({{0}}), {DAY}))"
    # leftPad would cut what is longer.
    return f"if(length({days}) >= {width}, {days}, leftPad({days}, {width}, '0'))"


_CLOCK = {"h": (36_000_000_000, 24), "H": (36_000_000_000, 24), "m": (600_000_000, 60), "s": (10_000_000, 60)}
_OF_TIMESPAN = {
    **{"d" * width: _days(width) for width in range(1, 9)},
    **{letter: f"toString({_within(unit, of)})" for letter, (unit, of) in _CLOCK.items()},
    **{letter * 2: _padded(_within(unit, of), 2) for letter, (unit, of) in _CLOCK.items()},
    **_fractions("(abs({0}) % 10000000)"),
}


def _compiled(format_: str, elements: dict[str, str]) -> list[str | None]:
    """Return the SQL of each run of equal letters; None: it is no element."""
    found: list[str | None] = []
    for letter, run in itertools.groupby(format_):
        text = letter + "".join(run)[1:]
        if letter in _DELIMITERS:
            found.append(f"'{text}'")
        else:
            found.append(elements.get(text))
    return found


def _formatter(wanted: Type, elements: dict[str, str]) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        counted(call, 2)
        value = argument(binder, call, 0, wanted)
        format_ = binder.bind(call.arguments[1])
        if not isinstance(format_, Constant) or format_.type is not Type.STRING:
            raise KqlUnsupported(f"the format of {call.name}() must be a constant", call.arguments[1].span)
        parts = _compiled(str(format_.value), elements)
        if None in parts or not parts:
            raise KqlSemanticError(
                f"{format_.value!r} is no format of {call.name}(): elements {' '.join(sorted(elements))}, "
                f"delimiters {' '.join(sorted(_DELIMITERS))}",
                call.arguments[1].span,
            )
        return Apply(f"ifNull(concat('', {', '.join(map(str, parts))}), '')", (value,), Type.STRING, nullable=False)

    return bind


_UNITS = ("Bytes", "KB", "MB", "GB", "TB", "PB", "EB")


@special("format_bytes", naming="first")
def _format_bytes(binder: Expressions, call: tree.Call) -> Scalar:
    """Return a number of bytes in the greatest unit of which there is one, or in one that is named."""
    counted(call, 1, 3)
    value = argument(binder, call, 0, Type.REAL)
    digits = binder.integer(call.arguments[1], "the precision") if len(call.arguments) > 1 else 0
    power = "least(6, toInt64(floor(log2(greatest(abs({0}), 1)) / 10)))"
    if len(call.arguments) > 2:
        unit = binder.text(call.arguments[2], "the unit")
        if unit not in _UNITS:
            raise KqlSemanticError(f"units are {', '.join(_UNITS)}", call.arguments[2].span)
        power = str(_UNITS.index(unit))
    units = "['" + "', '".join(_UNITS) + "']"
    number = f"toString(round({{0}} / exp2(10 * ({power})), {digits}))"
    return Apply(f"ifNull(concat({number}, ' ', {units}[{power} + 1]), '')", (value,), Type.STRING, nullable=False)


FUNCTIONS: tuple[Entry, ...] = (
    _format_bytes,
    special("format_datetime", naming="first")(_formatter(Type.DATETIME, _OF_DATETIME)),
    special("format_timespan", naming="first")(_formatter(Type.TIMESPAN, _OF_TIMESPAN)),
)
