"""Functions that look at other rows of an ordered relation. `/*OVER*/` stands where the window belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import convert, converts
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.moments import moment, ticks
from whatchanged.kql.functions.signature import Entry, special
from whatchanged.kql.plan import Apply, Column, Constant, Scalar
from whatchanged.kql.sql.values import sql_type
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS"]

_ALL = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"


def _number_of_row(binder: Expressions, partition: tuple[Scalar, ...] = ()) -> Column:
    return binder.windowed(Apply("toInt64(row_number() /*OVER*/)", (), Type.LONG, nullable=False), partition)


def _runs(binder: Expressions, starts: Scalar, partition: tuple[Scalar, ...] = ()) -> tuple[Scalar, ...]:
    """Return the partition into runs of rows: a new one begins wherever the condition holds."""
    template = "toInt64(sum(toInt64(ifNull({0}, false))) /*OVER*/)"
    return (*partition, binder.windowed(Apply(template, (starts,), Type.LONG, nullable=False), partition))


def _restarts(binder: Expressions, call: tree.Call, place: int) -> tuple[Scalar, ...]:
    """Return the partition that an optional argument makes: it begins anew wherever that is true."""
    if len(call.arguments) <= place:
        return ()
    restart = argument(binder, call, place, Type.BOOL)
    return () if isinstance(restart, Constant) and not restart.value else _runs(binder, restart)


@special("row_number")
def _row_number(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 0, 2)
    start = binder.integer(call.arguments[0], "the first number") if call.arguments else 1
    number = _number_of_row(binder, _restarts(binder, call, 1))
    if start == 1:
        return number
    return Apply("({0} + {1} - 1)", (number, Constant(start, Type.LONG)), Type.LONG, nullable=False)


@special("row_cumsum")
def _row_cumsum(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 1, 2)
    term = binder.bind(call.arguments[0])
    if term.type not in NUMERIC:
        raise KqlSemanticError(f"a {term.type.value} is not summed", call.arguments[0].span)
    wide = "toInt64({0})" if term.type is Type.INT else "{0}"
    sum_ = f"sum({wide}) /*OVER*/"
    template = {Type.INT: f"toInt32({sum_})", Type.DECIMAL: f"toDecimal256({sum_}, 28)"}.get(term.type, f"({sum_})")
    return binder.windowed(Apply(template, (term,), term.type, term.nullable), _restarts(binder, call, 1))


def _neighbour(binder: Expressions, call: tree.Call, function: str) -> Scalar:
    counted(call, 1, 3)
    value = binder.bind(call.arguments[0])
    offset = binder.integer(call.arguments[1], "the offset") if len(call.arguments) > 1 else 1
    if offset < 0:
        raise KqlSemanticError("an offset is not negative", call.arguments[1].span)
    default: Scalar = Constant(None, value.type)
    if len(call.arguments) > 2:
        default = binder.bind(call.arguments[2])
        if converts(default.type, value.type) is None:
            raise KqlSemanticError(
                f"a {value.type.value} is expected here, not a {default.type.value}", call.arguments[2].span
            )
        default = convert(default, value.type)
    kind = sql_type(value.type)
    template = f"{function}(CAST({{0}} AS {kind}), {offset}, CAST({{1}} AS {kind})) /*OVER*/"
    return binder.windowed(Apply(template, (value, default), value.type, value.type is not Type.STRING), frame=_ALL)


@special("prev")
def _prev(binder: Expressions, call: tree.Call) -> Scalar:
    return _neighbour(binder, call, "lagInFrame")


@special("next")
def _next(binder: Expressions, call: tree.Call) -> Scalar:
    return _neighbour(binder, call, "leadInFrame")


def _before(binder: Expressions, value: Scalar, partition: tuple[Scalar, ...]) -> Column:
    """Return the value of the row before in the partition; null in its first."""
    kind = sql_type(value.type)
    template = f"lagInFrame(CAST({{0}} AS {kind}), 1) /*OVER*/"
    return binder.windowed(Apply(template, (value,), value.type, nullable=True), partition)


def _ranked(binder: Expressions, call: tree.Call) -> tuple[Scalar, Column, tuple[Scalar, ...]]:
    """Return whether a row has another term than the one before it, its number, and the partition of both."""
    counted(call, 1, 2)
    term = binder.bind(call.arguments[0])
    if term.type is Type.DYNAMIC:
        raise KqlSemanticError("a dynamic has no rank: convert it first", call.arguments[0].span)
    partition = _restarts(binder, call, 1)
    number = _number_of_row(binder, partition)
    template = "({0} = 1 OR ifNull({1} != {2}, isNull({1}) != isNull({2})))"
    changes = Apply(template, (number, term, _before(binder, term, partition)), Type.BOOL, nullable=False)
    return changes, number, partition


@special("row_rank_dense")
def _row_rank_dense(binder: Expressions, call: tree.Call) -> Scalar:
    changes, _, partition = _ranked(binder, call)
    rank = Apply("toInt64(sum(toInt64({0})) /*OVER*/)", (changes,), Type.LONG, nullable=False)
    return binder.windowed(rank, partition)


@special("row_rank_min")
def _row_rank_min(binder: Expressions, call: tree.Call) -> Scalar:
    changes, number, partition = _ranked(binder, call)
    rank = Apply("toInt64(max(if({0}, {1}, 0)) /*OVER*/)", (changes, number), Type.LONG, nullable=False)
    return binder.windowed(rank, partition)


@special("row_window_session")
def _row_window_session(binder: Expressions, call: tree.Call) -> Scalar:
    """Runs are broken by distance to the neighbour; within a run whatever is too far from its first begins anew."""
    counted(call, 3, 4)
    value = argument(binder, call, 0, Type.DATETIME)
    from_first, between = (argument(binder, call, place, Type.TIMESPAN) for place in (1, 2))
    if not isinstance(from_first, Constant) or not isinstance(between, Constant):
        raise KqlUnsupported("the distances of row_window_session() are constants", call.span)
    at = Apply(ticks("{0}"), (value,), Type.LONG, value.nullable)
    partition = _restarts(binder, call, 3)
    before = _before(binder, at, partition)
    breaks = Apply("ifNull({0} - {1} >= {2}, true)", (at, before, between), Type.BOOL, nullable=False)
    run = _runs(binder, breaks, partition)
    first = binder.windowed(Apply("min({0}) /*OVER*/", (at,), Type.LONG, nullable=True), run, _ALL)
    last = binder.windowed(Apply("max({0}) /*OVER*/", (at,), Type.LONG, nullable=True), run, _ALL)
    # Only a run that is longer than a session is looked at row by row.
    gathered = "(groupArrayIf(assumeNotNull({0}), ifNull({2} - {1} >= {3}, false)) /*OVER*/)"
    folded = f"arrayFold((f, x) -> if(x - f >= {{3}}, x, f), {gathered}, {gathered}[1])"
    start = Apply(
        f"if(isNull({{0}}), NULL, if({{2}} - {{1}} >= {{3}}, {folded}, {{4}}))",
        (at, first, last, from_first, _head(binder, at, run)),
        Type.LONG,
        nullable=True,
    )
    return Apply(moment("{0}"), (binder.windowed(start, run),), Type.DATETIME, nullable=True)


def _head(binder: Expressions, value: Scalar, partition: tuple[Scalar, ...]) -> Column:
    template = "first_value({0}) /*OVER*/"
    return binder.windowed(Apply(template, (value,), value.type, nullable=True), partition)


FUNCTIONS: tuple[Entry, ...] = (
    _row_number,
    _row_cumsum,
    _prev,
    _next,
    _row_rank_dense,
    _row_rank_min,
    _row_window_session,
)
