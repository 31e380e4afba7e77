"""Functions that choose: `iff`, `case`, `coalesce`, the greatest and the least, questions about null and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.casts import convert, to_dynamic
from whatchanged.kql.functions.dates import counted
from whatchanged.kql.functions.signature import Entry, scalar, special
from whatchanged.kql.plan import Apply, Column, Compute, Constant, OneRow, Scalar, Subquery, columns_of
from whatchanged.kql.types import Type, wider

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS", "alike"]


def alike(values: Sequence[Scalar], call: tree.Call, *, any_type: bool = False) -> list[Scalar]:
    """Return values as values of one type: numbers become the widest, dynamics what the others are.

    Values that have no type in common become dynamics, where that is asked for (`any_type`).

    Raises: KqlSemanticError if they have no type in common.
    """
    type_: Type | None = None
    mixed = False
    for value in values:
        if (isinstance(value, Constant) and value.value is None) or value.type is Type.DYNAMIC or value.type is type_:
            continue
        joined = value.type if type_ is None else wider(type_, value.type)
        if type_ is not None and joined is None:
            if any_type:
                mixed = True
                break
            raise KqlSemanticError(
                f"{call.name}() gives values of one type, not of {type_.value} and {value.type.value}", call.span
            )
        type_ = joined
    if mixed:
        return [to_dynamic(value) for value in values]
    if type_ is None:
        type_ = next((value.type for value in values if value.type is not Type.DYNAMIC), Type.DYNAMIC)
        if any(value.type is Type.DYNAMIC and not isinstance(value, Constant) for value in values):
            type_ = Type.DYNAMIC
    return [convert(value, type_) for value in values]


def _check(call: tree.Call, least: int) -> None:
    if len(call.arguments) < least:
        raise KqlSemanticError(f"{call.name}() takes {least} arguments or more, not {len(call.arguments)}", call.span)


@special("iff", "iif", "case")
def _case(binder: Expressions, call: tree.Call) -> Scalar:
    """Return the value behind the first condition that is true, else the last; null is not true."""
    _check(call, 3)
    if len(call.arguments) % 2 == 0 or (call.name != "case" and len(call.arguments) != 3):
        raise KqlSemanticError(f"{call.name}() takes pairs of condition and value, and a last value", call.span)
    conditions = [binder.boolean(condition) for condition in call.arguments[:-1:2]]
    values = alike([*map(binder.bind, call.arguments[1::2]), binder.bind(call.arguments[-1])], call, any_type=True)
    places = [f"{{{number}}}, {{{len(conditions) + number}}}" for number in range(len(conditions))]
    template = f"multiIf({', '.join(places)}, {{{len(conditions) + len(values) - 1}}})"
    nullable = any(value.nullable for value in values)
    return Apply(template, (*conditions, *values), values[0].type, nullable)


@special("coalesce")
def _coalesce(binder: Expressions, call: tree.Call) -> Scalar:
    """Return the first value that is not null; of texts, that is not empty."""
    _check(call, 2)
    values = alike([binder.bind(argument) for argument in call.arguments], call)
    places = [f"{{{number}}}" for number in range(len(values))]
    if values[0].type is Type.STRING:
        filled = ", ".join(f"nullIf({place}, '')" for place in places[:-1])
        return Apply(f"coalesce({filled}, {places[-1]})", tuple(values), Type.STRING, nullable=False)
    nullable = all(value.nullable for value in values)
    return Apply(f"coalesce({', '.join(places)})", tuple(values), values[0].type, nullable)


def _extreme(sign: str) -> Callable[[Expressions, tree.Call], Scalar]:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        _check(call, 2)
        given = [binder.bind(argument) for argument in call.arguments]
        if any(value.type is Type.DYNAMIC for value in given):
            raise KqlSemanticError(f"{call.name}() does not order dynamics: convert them first", call.span)
        values = alike(given, call)
        type_ = values[0].type
        # Pair by pair: values that are not null take precedence to null.
        found = values[0]
        for value in values[1:]:
            template = f"if({{0}} {sign} {{1}}, {{0}}, {{1}})"
            if found.nullable or value.nullable:
                template = f"multiIf(isNull({{1}}), {{0}}, isNull({{0}}), {{1}}, {{0}} {sign} {{1}}, {{0}}, {{1}})"
            found = Apply(template, (found, value), type_, found.nullable and value.nullable)
        return found

    return bind


@special("column_ifexists", "columnifexists")
def _column_ifexists(binder: Expressions, call: tree.Call) -> Scalar:
    if len(call.arguments) != 2:
        raise KqlSemanticError(f"{call.name}() takes 2 arguments, not {len(call.arguments)}", call.span)
    column = binder.columns.get(binder.text(call.arguments[0], "the name of a column"))
    return column if column is not None else binder.bind(call.arguments[1])


@special("iscolumnexists")
def _iscolumnexists(binder: Expressions, call: tree.Call) -> Scalar:
    if len(call.arguments) != 1:
        raise KqlSemanticError(f"{call.name}() takes one argument", call.span)
    return Constant(binder.text(call.arguments[0], "the name of a column") in binder.columns, Type.BOOL)


@special("assert")
def _assert(binder: Expressions, call: tree.Call) -> Scalar:
    """Return true, or end the query with a message: the condition is known before any row is."""
    if len(call.arguments) != 2:
        raise KqlSemanticError(f"{call.name}() takes 2 arguments, not {len(call.arguments)}", call.span)
    condition = binder.boolean(call.arguments[0])
    message = f"assert() has failed with message: '{binder.text(call.arguments[1], 'the message')}'"
    if next(columns_of([condition]), None) is not None:
        raise KqlSemanticError(
            "the condition of assert() is known beforehand: no row has a say", call.arguments[0].span
        )
    if isinstance(condition, Constant):
        if not condition.value:
            raise KqlSemanticError(message, call.span)
        return condition
    template = "(throwIf(NOT ifNull({0}, false), {1}) = 0)"
    return Apply(template, (condition, Constant(message, Type.STRING)), Type.BOOL, nullable=False)


@special("toscalar")
def _toscalar(binder: Expressions, call: tree.Call) -> Scalar:
    """Return the first value of the first row of rows."""
    if len(call.arguments) != 1:
        raise KqlSemanticError(f"{call.name}() takes one argument", call.span)
    inner = call.arguments[0]
    if binder.queries.is_tabular(inner, binder.scope, binder.columns):
        return binder.queries.first_of(inner, binder.scope)
    value = binder.bind(inner)
    if next(columns_of([value]), None) is not None:
        raise KqlSemanticError("toscalar() takes rows: a value of each row is one already", inner.span)
    if isinstance(value, Apply):  # once, not once a row: toscalar(new_guid())
        column = Column("", value.type, value.nullable)
        return Subquery(Compute(OneRow(), ((column, value),)), column, value.type, nullable=value.nullable)
    return value


@special("new_guid")
def _new_guid(binder: Expressions, call: tree.Call) -> Scalar:
    """Return a guid, another one for every row and every place that asks: the argument tells the places apart."""
    counted(call, 0)
    return Apply("generateUUIDv4({0})", (Constant(call.span.start, Type.LONG),), Type.GUID, nullable=False)


FUNCTIONS: tuple[Entry, ...] = (
    _case,
    _coalesce,
    special("max_of")(_extreme(">")),
    special("min_of")(_extreme("<")),
    _column_ifexists,
    _iscolumnexists,
    _assert,
    _toscalar,
    scalar("isnull(string) bool", "false", null=False),
    scalar("isnull(any) bool", "isNull({0})", null=False),
    *(
        entry
        for name in ("isnotnull", "notnull")
        for entry in (
            scalar(f"{name}(string) bool", "true", null=False),
            scalar(f"{name}(any) bool", "isNotNull({0})", null=False),
        )
    ),
    scalar("not(bool) bool", "NOT ({0})"),
    _new_guid,
)
