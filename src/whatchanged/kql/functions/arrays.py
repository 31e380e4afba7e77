"""Functions of arrays. An array is JSON text; in SQL it is taken apart into the JSON texts of its elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.casts import convert, to_dynamic
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.dynamic import array_of
from whatchanged.kql.functions.moments import moment, ticks
from whatchanged.kql.functions.signature import Entry, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.types import Type, wider

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "IS_NUMBER", "elements", "is_array", "of_arrays", "plain"]

MOST_OF_RANGE = 1_048_576
"""Elements that `range()` makes at most (range-function)."""
IS_NUMBER = "match({}, '^-?[0-9]')"
"""Whether the JSON text of an element is a number."""


def elements(number: int) -> str:
    """Return the SQL array of the elements of an argument; empty if it is no array."""
    return f"JSONExtractArrayRaw(ifNull({{{number}}}, '[]'))"


def is_array(number: int) -> str:
    """Return the SQL of whether an argument is an array."""
    return f"JSONType(ifNull({{{number}}}, 'null')) = 'Array'"


def of_arrays(sql: str, *numbers: int) -> str:
    """Return a value, or null where one of the arguments is no array."""
    return f"if({' AND '.join(map(is_array, numbers))}, {sql}, NULL)"


def plain(number: int) -> str:
    """Return the JSON text of an argument as it stands among `elements`."""
    return f"JSONExtractRaw(ifNull({{{number}}}, 'null'))"


def _whole(number: int) -> str:
    return f"toInt64(ifNull({{{number}}}, 0))"


def _from_start(number: int, array: int = 0) -> str:
    """Return an index, counted from the end if it is negative."""
    return f"if({_whole(number)} < 0, {_whole(number)} + length({elements(array)}), {_whole(number)})"


_LENGTH = of_arrays(f"toInt64(length({elements(0)}))", 0)
_SLICE = of_arrays(
    array_of(
        f"arrayFilter((x, i) -> i - 1 BETWEEN {_from_start(1)} AND {_from_start(2)}, "
        f"{elements(0)}, arrayEnumerate({elements(0)}))"
    ),
    0,
)
_BORDERS = (
    f"arrayMap(x -> toInt64(greatest(0, least(length({elements(0)}), "
    f"if(toInt64OrZero(x) < 0, toInt64OrZero(x) + length({elements(0)}), toInt64OrZero(x))))), {elements(1)})"
)
_SPLIT = of_arrays(
    array_of(
        f"arrayMap((s, e) -> {array_of(f'arraySlice({elements(0)}, s + 1, toUInt64(greatest(e - s, 0)))')}, "
        f"arrayPushFront({_BORDERS}, 0), arrayPushBack({_BORDERS}, toInt64(length({elements(0)}))))"
    ),
    0,
    1,
)


def _rotated(sign: str) -> str:
    shift = f"positiveModulo({sign}{_whole(1)}, greatest(length({elements(0)}), 1))"
    return of_arrays(array_of(f"arrayRotateLeft({elements(0)}, {shift})"), 0)


def _shifted(function: str, count: int) -> str:
    default = plain(2) if count > 2 else "'null'"
    # The engine shifts by any number; beyond the length everything is the default.
    length = f"toInt64(length({elements(0)}))"
    shift = f"greatest(least({_whole(1)}, {length}), -{length})"
    return of_arrays(array_of(f"{function}({elements(0)}, {shift}, {default})"), 0)


@special("array_split")
def _array_split(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    array, at = argument(binder, call, 0, Type.DYNAMIC), binder.bind(call.arguments[1])
    if at.type is not Type.DYNAMIC:
        index = argument(binder, call, 1, Type.LONG)
        at = Apply("concat('[', toString({0}), ']')", (index,), Type.DYNAMIC, index.nullable)
    return Apply(_SPLIT, (array, at), Type.DYNAMIC, nullable=True)


@special("array_index_of")
def _array_index_of(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2, 5)
    array, value = argument(binder, call, 0, Type.DYNAMIC), to_dynamic(binder.bind(call.arguments[1]))
    numbers: list[Scalar] = [Constant(0, Type.LONG), Constant(-1, Type.LONG), Constant(1, Type.LONG)]
    for place in range(2, len(call.arguments)):
        numbers[place - 2] = argument(binder, call, place, Type.LONG)
    start = f"greatest({_from_start(2)}, 0)"
    found = (
        f"arrayFilter((i, x) -> x = {plain(1)} AND i > {start} AND ({_whole(3)} < 0 OR i <= {start} + {_whole(3)}), "
        f"arrayEnumerate({elements(0)}), {elements(0)})"
    )
    template = (
        f"if({is_array(0)} AND {_whole(4)} > 0 AND {_whole(3)} >= -1, "
        f"if(length({found}) >= {_whole(4)}, toInt64({found}[{_whole(4)}]) - 1, -1), NULL)"
    )
    return Apply(template, (array, value, *numbers), Type.LONG, nullable=True)


@special("array_iff", "array_iif")
def _array_iff(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 3)
    arguments = (
        argument(binder, call, 0, Type.DYNAMIC),
        *(to_dynamic(binder.bind(part)) for part in call.arguments[1:]),
    )

    def picked(number: int) -> str:
        beyond = f"if(i <= length({elements(number)}), {elements(number)}[i], 'null')"
        return f"if({is_array(number)}, {beyond}, {plain(number)})"

    number = IS_NUMBER.format("x")
    chosen = (
        f"multiIf(x = 'true' OR ({number} AND toFloat64OrZero(x) != 0), {picked(1)}, "
        f"x = 'false' OR {number}, {picked(2)}, 'null')"
    )
    body = array_of(f"arrayMap((x, i) -> {chosen}, {elements(0)}, arrayEnumerate({elements(0)}))")
    return Apply(of_arrays(body, 0), arguments, Type.DYNAMIC, nullable=True)


@special("zip")
def _zip(binder: Expressions, call: tree.Call) -> Scalar:
    count = len(call.arguments)
    if count < 2:
        raise KqlSemanticError("zip() takes 2 or more arrays", call.span)
    arrays = tuple(argument(binder, call, number, Type.DYNAMIC) for number in range(count))
    lengths = ", ".join(f"length({elements(number)})" for number in range(count))
    resized = ", ".join(f"arrayResize({elements(number)}, greatest({lengths}), 'null')" for number in range(count))
    names = ", ".join(f"x{number}" for number in range(count))
    body = array_of(f"arrayMap(({names}) -> {array_of(f'[{names}]')}, {resized})")
    return Apply(of_arrays(body, *range(count)), arrays, Type.DYNAMIC, nullable=True)


@special("repeat", naming="repeat_")
def _repeat(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    value, count = to_dynamic(binder.bind(call.arguments[0])), argument(binder, call, 1, Type.LONG)
    body = array_of(f"arrayWithConstant(toUInt64(ifNull({{1}}, 0)), {plain(0)})")
    return Apply(f"if({{1}} >= 0, {body}, NULL)", (value, count), Type.DYNAMIC, nullable=True)


@special("range")
def _range(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2, 3)
    values = [binder.bind(part) for part in call.arguments]
    times = values[0].type in (Type.DATETIME, Type.TIMESPAN)
    if len(values) == 2:
        values.append(Constant(36_000_000_000, Type.TIMESPAN) if times else Constant(1, Type.LONG))
    start, stop, step = values
    if times and (stop.type is not start.type or step.type is not Type.TIMESPAN):
        raise KqlSemanticError("range() takes a start, a stop of its type, and a timespan", call.span)
    type_ = start.type
    if not times:
        both = wider(start.type, stop.type)
        widest = None if both is None else wider(both, step.type)
        if widest is None:
            raise KqlSemanticError("range() takes numbers, datetimes or timespans", call.span)
        type_ = Type.LONG if widest is Type.INT else widest
        start, stop, step = (convert(value, type_) for value in (start, stop, step))
    return _range_of(start, stop, step, type_)


def _range_of(start: Scalar, stop: Scalar, step: Scalar, type_: Type) -> Scalar:
    low, high = ("{0}", "{1}") if type_ is not Type.DATETIME else (ticks("{0}"), ticks("{1}"))
    broken = type_ in (Type.REAL, Type.DECIMAL)
    reached = f"(({high}) - ({low}))"
    steps = f"toInt64(floor({reached} / {{2}}))" if broken else f"intDiv({reached}, {{2}})"
    empty = f"({reached} != 0 AND ({reached} > 0) != ({{2}} > 0))"
    count = f"if({empty}, 0, toUInt64(least({steps} + 1, {MOST_OF_RANGE})))"
    first = f"{low} + toInt64(i) * {{1}}"
    value = {Type.DATETIME: moment(first), Type.REAL: f"({first})", Type.DECIMAL: f"({first})"}.get(
        type_, f"toInt64({first})"
    )
    element = to_dynamic(Apply(f"assumeNotNull({value})", (start, step), type_, nullable=False))
    body = array_of(f"arrayMap(i -> {{3}}, range(assumeNotNull({count})))")
    template = f"if({{0}} IS NULL OR {{1}} IS NULL OR ifNull({{2}}, 0) = 0, NULL, {body})"
    return Apply(template, (start, stop, step, element), Type.DYNAMIC, nullable=True)


_ALL_NUMBERS = f"arrayAll(x -> {IS_NUMBER.format('x')}, {elements(0)})"
_SUM = f"if({is_array(0)} AND {_ALL_NUMBERS}, arraySum(arrayMap(x -> toFloat64OrZero(x), {elements(0)})), NULL)"

FUNCTIONS: tuple[Entry, ...] = (
    scalar("array_length(dynamic) long", _LENGTH, null=True),
    scalar("arraylength(dynamic) long", _LENGTH, null=True),
    scalar(
        "array_concat(dynamic*) dynamic",
        lambda count: array_of(f"arrayConcat({', '.join(map(elements, range(count)))})"),
        null=False,
    ),
    scalar("array_slice(dynamic, long, long) dynamic", _SLICE, null=True),
    scalar("array_reverse(dynamic) dynamic", of_arrays(array_of(f"arrayReverse({elements(0)})"), 0), null=True),
    scalar("array_rotate_left(dynamic, long) dynamic", _rotated(""), null=True),
    scalar("array_rotate_right(dynamic, long) dynamic", _rotated("-"), null=True),
    scalar("array_shift_left(dynamic, long, json?) dynamic", lambda n: _shifted("arrayShiftLeft", n), null=True),
    scalar("array_shift_right(dynamic, long, json?) dynamic", lambda n: _shifted("arrayShiftRight", n), null=True),
    scalar("array_sum(dynamic) real", _SUM, null=True),
    _array_split,
    _array_index_of,
    _array_iff,
    _zip,
    _repeat,
    _range,
)
