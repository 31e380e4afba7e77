"""The operator scan: sequences of rows, found step by step.

The rows are gathered into an array in their order, which the engine folds: it carries a state for each step, as the
manual describes them, and what came out so far. Each row costs a copy of that, so the rows (with `partition` those of a
group) are bounded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import already_declared
from whatchanged.kql.binder.operators.groups import Positions
from whatchanged.kql.binder.operators.options import text_option
from whatchanged.kql.binder.scope import Relation, Scope, nearest
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported, Span
from whatchanged.kql.functions.casts import convert, converts
from whatchanged.kql.plan import (
    Aggregate,
    AggregateCall,
    Apply,
    Column,
    Compute,
    Constant,
    Expand,
    OrderKey,
    Scalar,
    Window,
)
from whatchanged.kql.sql.values import sql_type
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]

_MOST_ROWS = 2_000


class _Fold:
    """The SQL of the fold. `r` is the row at hand, `a` what is carried, `t` the state that a step looks at.

    A state is whether there is a sequence, its number, and the last row of every step, with the declared columns. What
    is carried: the states, the number of the next sequence, and what came out.
    """

    def __init__(self, queries: Queries, relation: Relation, operator: tree.Scan, scope: Scope, rows: Column) -> None:
        self._operator = operator
        self._values: list[Scalar] = [rows]
        constants = Expressions(queries, scope, {})
        declared = [_declared(constants, parameter) for parameter in operator.declared]
        self.columns = [(name, Column(name, column.type, _null(column.type))) for name, column in relation.columns]
        self._given = len(self.columns)
        self.columns += [(column.name, column) for column, _ in declared]
        empty = [Constant("" if c.type is Type.STRING else None, c.type) for _, c in self.columns[: self._given]]
        self._defaults = [self._argument(value) for value in (*empty, *(default for _, default in declared))]
        steps = {
            step.name: {name: Column(name, column.type, column.nullable) for name, column in self.columns}
            for step in operator.steps
        }
        self._places: dict[Column, Scalar] = {
            column: _part(f"tupleElement(r, {at})", column.type) for at, (_, column) in enumerate(relation.columns, 1)
        }
        for number, columns in enumerate(steps.values(), 1):
            for at, column in enumerate(columns.values(), 1):
                self._places[column] = _part(f"tupleElement(t.3[{number}], {at})", column.type)
        self._binder = Expressions(queries, scope, relation.named(), sides=steps)

    def _argument(self, value: Scalar) -> str:
        self._values.append(value)
        return f"{{{len(self._values) - 1}}}"

    def _bound(self, value: Scalar) -> str:
        """Return the argument for a value of the row and the state."""
        return self._argument(_moved(value, self._places))

    def apply(self) -> Apply:
        """Return the array of what comes out: the number of the sequence, and the row."""
        row = f"Tuple({', '.join(sql_type(column.type, nullable=column.nullable) for _, column in self.columns)})"
        state = f"Tuple(UInt8, Int64, Array({row}))"
        carried = f"Tuple(Array({state}), Int64, Array(Tuple(Int64, {row})))"
        count = len(self._operator.steps)
        empty = f"CAST(tuple({', '.join(self._defaults)}) AS {row})"
        empty = f"CAST(tuple(0, 0, arrayWithConstant({count}, {empty})) AS {state})"
        body = "a"
        for number in range(count, 0, -1):
            body = self._step(number, body, row, state, carried, empty)
        start = f"CAST(tuple(arrayWithConstant({count}, {empty}), 0, []) AS {carried})"
        many = f"throwIf(length({{0}}) > {_MOST_ROWS}, 'scan takes {_MOST_ROWS} rows at most here')"
        template = f"tupleElement(arrayFold((a, r) -> {body}, if({many} = 0, {{0}}, {{0}}), {start}), 3)"
        return Apply(template, tuple(self._values), Type.DYNAMIC, nullable=False)

    def _step(self, number: int, before: str, row: str, state: str, carried: str, empty: str) -> str:
        """Return what is carried after a step has looked at the row."""
        step = self._operator.steps[number - 1]
        condition = self._bound(self._binder.boolean(step.condition))
        looked = f"[a.1[{number - 1}], a.1[{number}]]" if number > 1 else "[a.1[1], a.1[1]]"
        met = f"arrayMap(t -> ifNull({condition}, false), {looked})"
        first = f"a.1[{number - 1}].1 = 1 AND h[1], 1, a.1[{number}].1 = 1 AND h[2]" if number > 1 else "h[2]"
        how = f"arrayMap(h -> multiIf({first}, 2, 0), [{met}])[1]"
        assigned = self._assigned(step)
        given = [f"tupleElement(r, {at})" for at in range(1, self._given + 1)]
        extended = f"CAST(tuple({', '.join([*given, *assigned])}) AS {row})"
        sequence = "if(t.1 = 1, t.2, a.2)" if number == 1 else "t.2"
        rows = f"arrayMap((e, j) -> if(j = {number}, x, e), t.3, arrayEnumerate(t.3))"
        own = f"CAST(tuple(1, {sequence}, {rows}) AS {state})"
        states = (
            f"arrayMap((s, i) -> if(i = {number}, {own}, if(m = 1 AND i = {number - 1}, {empty}, s)), "
            "a.1, arrayEnumerate(a.1))"
        )
        following = "a.2 + (t.1 = 0)" if number == 1 else "a.2"
        out = f"arrayPushBack(a.3, tuple({sequence}, x))" if step.output == "all" else "a.3"
        new = f"CAST(tuple({states}, {following}, {out}) AS {carried})"
        chosen = f"[if(m = 1, a.1[{max(number - 1, 1)}], a.1[{number}])]"
        moved = f"arrayMap(t -> arrayMap(x -> {new}, [{extended}])[1], {chosen})[1]"
        return f"arrayMap(a -> arrayMap(m -> if(m = 0, a, {moved}), [{how}])[1], [{before}])[1]"

    def _assigned(self, step: tree.ScanStep) -> list[str]:
        """Return the declared columns as a step gives them."""
        columns = dict(self.columns[self._given :])
        found = dict(zip(columns, self._defaults[self._given :], strict=True))
        for name, expression in step.assignments:
            if name.name not in columns:
                raise KqlSemanticError(
                    f"{name.name} is not declared", name.span, suggestion=nearest(name.name, columns)
                )
            value = _as(self._binder.bind(expression), columns[name.name].type, expression.span)
            found[name.name] = self._bound(value)
        return list(found.values())


def _null(type_: Type) -> bool:
    return type_ is not Type.STRING


def _part(sql: str, type_: Type) -> Scalar:
    return Apply(sql, (), type_, _null(type_))


def _moved(value: Scalar, places: Mapping[Column, Scalar]) -> Scalar:
    """Return a value whose columns are parts of rows and states."""
    match value:
        case Column():
            return places.get(value, value)
        case Apply():
            return dataclasses.replace(value, arguments=tuple(_moved(part, places) for part in value.arguments))
        case _:
            return value


def _as(value: Scalar, type_: Type, span: Span) -> Scalar:
    if value.type is not type_ and converts(value.type, type_) is None:
        if isinstance(value, Constant) and value.value is None:
            return Constant("" if type_ is Type.STRING else None, type_)
        raise KqlSemanticError(f"a {type_.value} is expected here, not a {value.type.value}", span)
    return value if value.type is type_ else convert(value, type_)


def _declared(binder: Expressions, parameter: tree.Parameter) -> tuple[Column, Scalar]:
    """Return a declared column, and what it is where nothing is assigned."""
    if parameter.type is None:
        raise KqlSemanticError(f"{parameter.name} is a column, not a table", parameter.span)
    type_ = binder.type_named(parameter.type, parameter.span)
    default: Scalar = Constant("" if type_ is Type.STRING else None, type_)
    if parameter.default is not None:
        default = _as(binder.bind(parameter.default), type_, parameter.default.span)
    return Column(parameter.name, type_, _null(type_)), default


def _scan(queries: Queries, relation: Relation, operator: tree.Scan, scope: Scope) -> Relation:
    _check(relation, operator)
    positions = Positions(relation)
    place = positions()
    row = ", ".join(f"{{{number}}}" for number in range(1, len(relation.columns) + 1))
    types = ", ".join(sql_type(column.type, nullable=_null(column.type)) for _, column in relation.columns)
    gathered = (
        f"arrayMap(p -> p.2, arraySort(p -> p.1, groupArray(tuple(assumeNotNull({{0}}), "
        f"CAST(tuple({row}) AS Tuple({types}))))))"
    )
    node = positions.node()
    if place is None:  # rows that were serialized as they came
        place = Column("", Type.LONG, nullable=False)
        node = Window(node, ((place, Apply("toInt64(row_number() /*OVER*/)", (), Type.LONG, nullable=False)),), ())
    rows, found = Column("", Type.DYNAMIC, nullable=False), Column("", Type.DYNAMIC, nullable=False)
    values = (place, *(column for _, column in relation.columns))
    aggregate = Aggregate(node, (), ((rows, AggregateCall(gathered, values, Type.DYNAMIC, False)),))
    fold = _Fold(queries, relation, operator, scope, rows)
    columns = [(name, Column(name, column.type, column.nullable)) for name, column in fold.columns]
    items = [
        (column, Apply(f"arrayMap(x -> tupleElement(x.2, {at}), {{0}})", (found,), column.type, nullable=False))
        for at, (_, column) in enumerate(columns, 1)
    ]
    number = text_option(operator, "with_match_id")
    if number:
        columns.append((number, Column(number, Type.LONG)))
        items.append((columns[-1][1], Apply("arrayMap(x -> x.1, {0})", (found,), Type.LONG, nullable=False)))
    index = Column("", Type.LONG, nullable=False)
    expanded = Expand(Compute(aggregate, ((found, fold.apply()),)), tuple(items), index)
    order = (OrderKey(index, descending=False, nulls_first=False),)
    return Relation(expanded, tuple(columns), order, serialized=True)


def _check(relation: Relation, operator: tree.Scan) -> None:
    if not relation.serialized and not relation.order:
        raise KqlSemanticError("scan looks at rows in their order: sort them before", operator.span)
    if not relation.columns or not operator.steps:
        raise KqlSemanticError("scan takes rows, and steps", operator.span)
    names = [name for name, _ in relation.columns] + [parameter.name for parameter in operator.declared]
    if number := text_option(operator, "with_match_id"):
        names.append(number)
    for name in names:
        if names.count(name) > 1:
            raise already_declared(name, operator.span)
    steps = [step.name for step in operator.steps]
    for step in operator.steps:
        if steps.count(step.name) > 1:
            raise KqlSemanticError(f"there are two steps {step.name}", step.span)
        if step.optional or step.output == "last":
            raise KqlUnsupported("steps of scan are not optional here, and give all or none of their rows", step.span)
    if operator.clauses:
        raise KqlUnsupported("scan takes no order by and no partition by here: use sort and partition", operator.span)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.Scan: _scan}
