"""Queries: statements, sources of rows, and the way through a pipeline."""

from __future__ import annotations

import fnmatch
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.given import given_value
from whatchanged.kql.binder.naming import already_declared
from whatchanged.kql.binder.operators import OPERATORS
from whatchanged.kql.binder.scope import (
    BoundTable,
    FunctionValue,
    Relation,
    Scope,
    TabularValue,
    Value,
    nearest,
)
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported, Span
from whatchanged.kql.functions.casts import convert, converts
from whatchanged.kql.functions.conversion import explicit
from whatchanged.kql.plan import (
    Column,
    Compute,
    Constant,
    Node,
    OneRow,
    OrderKey,
    RangeRows,
    Scalar,
    Scan,
    Subquery,
    Values,
    children,
    size_of,
)
from whatchanged.kql.syntax import parse, tree
from whatchanged.kql.syntax.literals import typed_value
from whatchanged.kql.types import NUMERIC, TYPE_NAMES, Schema, Table, Type

__all__ = ["Ask", "Bound", "Queries", "bind", "parsed_functions"]

_DEEPEST = 64
"""Functions and tables that stand for each other; a function of its own cannot call itself."""
_MOST = 2_000
"""Tables and queries that one query may stand for: variables that name each other twice grow without a bound."""
_MOST_STEPS = 10_000
"""Steps of a plan, written out: rows that are used twice are computed twice."""
_MOST_VALUES = 2_000_000
"""Values that the larger expressions of a query are made of, written out."""
_LARGE = 32
"""Values of an expression that is counted for that."""
_MOST_CELLS = 200_000
"""Values of datatables, each as often as it is used."""
_MOST_COLUMNS = 100_000
"""Columns of what comes out of the steps, added up."""
_MOST_CALLS = 5_000
"""Calls of functions of the query's own: functions that call each other twice grow without a bound."""
_TABULAR_CALLS = frozenset({"materialize", "table", "union", "view"})


Ask = Callable[[Relation], Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a query gives."""

    relation: Relation
    chart: str = ""
    """What `render` asks for."""
    properties: Mapping[str, str] = field(default_factory=dict)


def bind(
    query: tree.Query,
    schema: Schema,
    *,
    now: int,
    parameters: Mapping[str, str] | None = None,
    ask: Ask | None = None,
) -> Bound:
    """Return the meaning of a query. `now`: ticks since 0001-01-01. Raises KqlSemanticError, KqlUnsupported.

    `ask` gives the rows of a relation now, for what has its columns out of rows; without it, that is refused.
    """
    queries = Queries(schema, now, ask)
    scope = Scope(schema)
    if schema.functions:
        scope = queries.known(parsed_functions(schema.functions), scope)
    answers = queries.statements(query, scope.inner(), dict(parameters or {}))
    if not answers:
        raise KqlSemanticError("there is no query: only statements", query.span)
    if len(answers) > 1:
        raise KqlUnsupported("only one query at a time is answered", answers[1][0].span)
    expression, inner = answers[0]
    relation = queries.relation(expression, inner)
    return Bound(relation, queries.chart, dict(queries.properties))


@functools.lru_cache(maxsize=8)
def parsed_functions(functions: str) -> tree.Query:
    """Return the tree of a schema's functions."""
    return parse(f"{functions}\nprint 0")  # statements alone are no query


class Queries:
    """Binds everything that has rows."""

    def __init__(self, schema: Schema, now: int, ask: Ask | None = None) -> None:
        self.schema = schema
        self.now = now
        self.ask = ask
        self.chart = ""
        self.properties: dict[str, str] = {}
        self.settings: dict[str, Scalar] = {}
        self._depth = 0
        self._relations = 0
        self._values = 0
        self._cells = 0
        self._columns = 0
        self._calls = 0
        self._draws = itertools.count()
        self._steps: dict[int, tuple[Node, int]] = {}  # with the node: its id is its own while it lives

    # Bounds

    def count_value(self, value: Scalar, span: Span) -> None:
        """Count what an expression is made of; KqlSemanticError when all of them together are too much."""
        size = size_of(value)
        if size >= _LARGE:
            self._values += size
            if self._values > _MOST_VALUES:
                raise KqlSemanticError("this query computes too much: what its names stand for is too large", span)

    def steps(self, node: Node, span: Span) -> int:
        """Return how many steps a relation is made of, written out; KqlSemanticError when they are too many."""
        waiting = [node]
        while waiting:
            below = children(waiting[-1])
            unknown = [part for part in below if id(part) not in self._steps]
            if unknown:
                waiting += unknown
                continue
            done = waiting.pop()
            self._steps[id(done)] = done, 1 + sum(self._steps[id(part)][1] for part in below)
        count = self._steps[id(node)][1]
        if count > _MOST_STEPS:
            raise KqlSemanticError("this query has too many steps: what its names stand for is too large", span)
        return count

    # Statements

    def known(self, query: tree.Query, scope: Scope) -> Scope:
        """Return a scope in which the functions that a query declares are known."""
        for statement in query.statements:
            if isinstance(statement, tree.Let):
                scope = scope.inner({statement.name.name: self._let(statement, scope)})
        return scope

    def statements(
        self, query: tree.Query, scope: Scope, parameters: Mapping[str, str]
    ) -> list[tuple[tree.Expression, Scope]]:
        """Take the statements of a query one after the other; return its answers, with what is known to each."""
        declared: set[str] = set()
        for statement in query.statements:
            match statement:
                case tree.Let():
                    if statement.name.name in declared:
                        raise KqlSemanticError(f"{statement.name.name} is declared already", statement.name.span)
                    declared.add(statement.name.name)
                    scope = scope.inner({statement.name.name: self._let(statement, scope)})
                case tree.Declare():
                    scope = scope.inner(self._parameters(statement, scope, parameters))
                case tree.Set():
                    # Of the settings of the service two change what comes out (bin_auto).
                    if statement.value is not None and statement.name.startswith("query_bin_auto"):
                        self.settings[statement.name] = Expressions(self, scope, {}).bind(statement.value)
                case _:
                    word = type(statement).__name__.lower()
                    raise KqlUnsupported(f"the statement {word} is not supported", statement.span)
        return [(answer, scope) for answer in query.answers]

    def _let(self, statement: tree.Let, scope: Scope) -> Value:
        value = statement.value
        if isinstance(value, tree.FunctionDeclaration):
            return FunctionValue(value, scope)
        if self.is_tabular(value, scope, {}):
            table = TabularValue(value, scope)
            self.relation(value, scope)  # what is wrong with it is told where it stands
            return table
        return Expressions(self, scope, {}).bind(value)

    def _parameters(self, statement: tree.Declare, scope: Scope, given: Mapping[str, str]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for parameter in statement.parameters:
            type_ = TYPE_NAMES[(parameter.type or "string").lower()]
            if parameter.name in given:
                try:
                    found[parameter.name] = given_value(given[parameter.name], type_)
                except ValueError as error:
                    raise KqlSemanticError(f"the query parameter {parameter.name}: {error}", parameter.span) from error
            elif parameter.default is not None:
                found[parameter.name] = convert(Expressions(self, scope, {}).bind(parameter.default), type_)
            else:
                raise KqlSemanticError(f"the query parameter {parameter.name} has no value", parameter.span)
        return found

    # Rows

    def is_tabular(self, expression: tree.Expression, scope: Scope, columns: Mapping[str, Column]) -> bool:
        """Whether an expression stands for rows rather than for one value."""
        match expression:
            case tree.Pipeline():
                if expression.operators or isinstance(expression.source, tree.Operator):
                    return True
                return self.is_tabular(expression.source, scope, columns)
            case tree.DataTable() | tree.ExternalData():
                return True
            case tree.Name():
                if expression.name in columns:
                    return False
                value = scope.find(expression.name)
                if value is None:
                    return expression.name in self.schema.tables
                return isinstance(value, TabularValue | BoundTable)
            case tree.Call():
                value = scope.find(expression.name)
                if isinstance(value, FunctionValue):
                    return self.gives_rows(value)
                return expression.name in _TABULAR_CALLS
            case _:
                return False

    def gives_rows(self, function: FunctionValue) -> bool:
        """Whether a function of the query's own gives rows rather than one value."""
        body = function.declaration.body
        if not body.answers:
            return False
        scope = function.scope.inner()
        for parameter in function.declaration.parameters:
            if parameter.columns or parameter.any_table:
                scope.variables[parameter.name] = BoundTable(Relation(OneRow(), ()))
            else:
                scope.variables[parameter.name] = Constant(None, TYPE_NAMES[(parameter.type or "dynamic").lower()])
        for statement in body.statements:
            if isinstance(statement, tree.Let):
                name, value = statement.name.name, statement.value
                if isinstance(value, tree.FunctionDeclaration):
                    scope.variables[name] = FunctionValue(value, scope)
                elif self.is_tabular(value, scope, {}):
                    scope.variables[name] = TabularValue(value, scope)
        return self.is_tabular(body.answers[-1], scope, {})

    def relation(self, expression: tree.Expression | tree.Operator, scope: Scope) -> Relation:
        """Return the rows that an expression stands for."""
        self._depth += 1
        self._relations += 1
        try:
            if self._depth > _DEEPEST:
                raise KqlSemanticError("queries stand for each other too deeply here", expression.span)
            if self._relations > _MOST:
                raise KqlSemanticError("this query stands for too many tables", expression.span)
            return self._relation(expression, scope)
        finally:
            self._depth -= 1

    def _relation(self, expression: tree.Expression | tree.Operator, scope: Scope) -> Relation:
        match expression:
            case tree.Pipeline():
                relation = self.relation(expression.source, scope)
                for operator in expression.operators:
                    relation = self.through(relation, operator, scope)
                return relation
            case tree.Name():
                return self._named(expression, scope)
            case tree.Call():
                return self._called(expression, scope)
            case tree.DataTable():
                return self._datatable(expression, scope)
            case tree.Range():
                return self._range(expression, scope)
            case tree.Print():
                return self.through(Relation(OneRow(), ()), expression, scope)
            case tree.Union() | tree.Search() | tree.Find():
                return self.through(Relation(OneRow(), ()), expression, scope)
            case tree.ExternalData():
                raise KqlUnsupported("externaldata reads from elsewhere: no query here does", expression.span)
            case _:
                raise KqlSemanticError("rows are expected here, not a single value", expression.span)

    def through(self, relation: Relation, operator: tree.Operator, scope: Scope) -> Relation:
        """Return the rows behind an operator."""
        bind_ = OPERATORS.get(type(operator))
        if bind_ is None:
            word = type(operator).__name__
            raise KqlUnsupported(f"the operator {word} is not supported", operator.span)
        found = bind_(self, relation, operator, scope)
        self.steps(found.node, operator.span)
        self._columns += len(found.columns)
        if self._columns > _MOST_COLUMNS:
            raise KqlSemanticError("this query has too many columns, added up over its steps", operator.span)
        return found

    # Sources

    def _named(self, name: tree.Name, scope: Scope) -> Relation:
        value = scope.find(name.name)
        match value:
            case TabularValue():
                return self.relation(value.expression, value.scope)
            case BoundTable():
                return value.relation
            case FunctionValue() if not value.declaration.parameters:
                return self._body(value, scope.inner(), name.span)
            case None:
                table = self.schema.tables.get(name.name)
                if table is None:
                    raise KqlSemanticError(
                        f"Failed to resolve table or column expression named '{name.name}'",
                        name.span,
                        suggestion=nearest(name.name, scope.names()),
                    )
                return self.scan(table)
            case _:
                raise KqlSemanticError(f"{name.name} is a single value, and rows are expected here", name.span)

    def scan(self, table: Table) -> Relation:
        """Return the rows of a stored table."""
        columns = tuple(Column(f.name, f.type, f.nullable) for f in table.fields)
        return Relation(Scan(table, columns), tuple((column.name, column) for column in columns))

    def matching(self, name: tree.Name, scope: Scope) -> list[tuple[str, Relation]]:
        """Return the tables whose names match a pattern, or the one of a plain name, each with its name."""
        if "*" not in name.name:
            return [(name.name, self._named(name, scope))]
        found = [table for table in self.schema.tables if fnmatch.fnmatchcase(table, name.name)]
        if not found:
            raise KqlSemanticError(f"no table matches {name.name}", name.span)
        return [(table, self.scan(self.schema.tables[table])) for table in sorted(found)]

    def _called(self, call: tree.Call, scope: Scope) -> Relation:
        value = scope.find(call.name)
        if isinstance(value, FunctionValue):
            return self._body(value, self._arguments(value, call, scope, None), call.span)
        if call.name == "materialize" and len(call.arguments) == 1:
            return self._materialized(call, scope)
        if call.name == "table" and len(call.arguments) == 1:
            name = Expressions(self, scope, {}).text(call.arguments[0], "the name of a table")
            return self._named(tree.Name(call.arguments[0].span, name), scope)
        raise KqlSemanticError(
            f"Unknown function: '{call.name}'", call.name_span, suggestion=nearest(call.name, scope.names())
        )

    def _materialized(self, call: tree.Call, scope: Scope) -> Relation:
        """Return rows that are the same wherever this very text stands for them."""
        draws, self._draws = self._draws, itertools.count(call.span.start << 32)
        try:
            return self.relation(call.arguments[0], scope)
        finally:
            self._draws = draws

    def chance(self) -> Constant:
        """Return a number of its own for everything that is drawn; within `materialize` the same every time."""
        return Constant(f"{self.now} {next(self._draws)}", Type.STRING)

    def _datatable(self, table: tree.DataTable, scope: Scope) -> Relation:
        expressions = Expressions(self, scope, {})
        columns = tuple(
            Column(declared.name, expressions.type_named(declared.type, declared.span)) for declared in table.columns
        )
        width = len(columns)
        for declared in table.columns:
            if [column.name for column in columns].count(declared.name) > 1:
                raise already_declared(declared.name, declared.span)
        if not width or len(table.values) % width:
            raise KqlSemanticError(f"{len(table.values)} values do not fill rows of {width} columns", table.span)
        self._cells += len(table.values)
        if self._cells > _MOST_CELLS:
            raise KqlSemanticError(f"datatables have more than {_MOST_CELLS:,} values here", table.span)
        values = [self._cell(value, columns[n % width].type, expressions) for n, value in enumerate(table.values)]
        rows = tuple(tuple(values[at : at + width]) for at in range(0, len(values), width))
        position = Column("", Type.LONG, nullable=False)
        order = (OrderKey(position, descending=False, nulls_first=False),)
        return Relation(Values(columns, rows, position), tuple((c.name, c) for c in columns), order)

    def _cell(self, expression: tree.Expression, type_: Type, expressions: Expressions) -> Constant:
        value = expressions.constant(expression, "a value of a datatable")
        if value.type is type_:
            return value
        if value.value is None:
            return Constant("" if type_ is Type.STRING else None, type_)
        return cell(value, type_, expression.span)

    def _range(self, range_: tree.Range, scope: Scope) -> Relation:
        expressions = Expressions(self, scope, {})
        start, stop, step = (expressions.bind(part) for part in (range_.start, range_.stop, range_.step))
        type_ = start.type
        if type_ in (Type.INT, Type.LONG) and Type.REAL in (stop.type, step.type):
            type_ = Type.REAL
        elif type_ is Type.INT:
            type_ = Type.LONG
        step_type = Type.TIMESPAN if type_ is Type.DATETIME else type_
        for value, wanted, part in (
            (start, type_, range_.start),
            (stop, type_, range_.stop),
            (step, step_type, range_.step),
        ):
            if converts(value.type, wanted) is None:
                raise KqlSemanticError(f"a {wanted.value} is expected here, not a {value.type.value}", part.span)
        column = Column(range_.column.name, type_, nullable=False)
        node = RangeRows(column, convert(start, type_), convert(stop, type_), convert(step, step_type))
        order = (OrderKey(column, descending=False, nulls_first=False),)
        if isinstance(step, Constant) and isinstance(step.value, int | float) and step.value < 0:
            order = (OrderKey(column, descending=True, nulls_first=False),)
        return Relation(node, ((range_.column.name, column),), order, serialized=True)

    # Functions of the query's own

    def _arguments(self, function: FunctionValue, call: tree.Call, scope: Scope, around: Expressions | None) -> Scope:
        """Return the scope of a function's body for a call."""
        parameters = function.declaration.parameters
        arguments: dict[str, tree.Expression] = {}
        known = [parameter.name for parameter in parameters]
        for number, argument in enumerate(call.arguments):
            name = argument.names[0].name if isinstance(argument, tree.Named) else "".join(known[number : number + 1])
            if name not in known or name in arguments:
                raise KqlSemanticError(f"{call.name}() takes {len(parameters)} arguments", call.span)
            arguments[name] = argument.value if isinstance(argument, tree.Named) else argument
        inner = function.scope.inner()
        for parameter in parameters:
            given = arguments.get(parameter.name, parameter.default)
            if given is None:
                raise KqlSemanticError(f"{call.name}() wants an argument for {parameter.name}", call.span)
            if parameter.columns or parameter.any_table:
                relation = self.relation(given, scope)
                self._fits(relation, parameter, given.span)
                inner.variables[parameter.name] = BoundTable(relation)
                continue
            value = (around or Expressions(self, scope, {})).bind(given)
            inner.variables[parameter.name] = self._passed(value, parameter, call, given.span)
        return inner

    def _passed(self, value: Scalar, parameter: tree.Parameter, call: tree.Call, span: Span) -> Scalar:
        """Return an argument as its parameter has it: any number does for any type of number."""
        type_ = TYPE_NAMES.get((parameter.type or "").lower())
        if type_ is None or type_ is value.type:
            return value
        if converts(value.type, type_) is not None or (isinstance(value, Constant) and value.value is None):
            return convert(value, type_)
        number = explicit(value, type_) if {value.type, type_} <= set(NUMERIC) else None
        if number is None:
            raise KqlSemanticError(
                f"{parameter.name} of {call.name}() is a {type_.value}, not a {value.type.value}", span
            )
        return number

    def _fits(self, relation: Relation, parameter: tree.Parameter, span: Span) -> None:
        named = relation.named()
        for declared in parameter.columns:
            column = named.get(declared.name)
            if column is None or column.type is not TYPE_NAMES.get(declared.type.lower()):
                raise KqlSemanticError(f"{parameter.name} wants a column {declared.name} of type {declared.type}", span)

    def _body(self, function: FunctionValue, inner: Scope, span: Span) -> Relation:
        answers = self._answers(function, inner)
        if not answers:
            raise KqlSemanticError("this function gives nothing", span)
        expression, scope = answers[-1]
        return self.relation(expression, scope)

    def _answers(self, function: FunctionValue, inner: Scope) -> list[tuple[tree.Expression, Scope]]:
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise KqlSemanticError("functions call each other too deeply", function.declaration.span)
            self._calls += 1
            if self._calls > _MOST_CALLS:
                raise KqlSemanticError("functions are called too often here", function.declaration.span)
            return self.statements(function.declaration.body, inner, {})
        finally:
            self._depth -= 1

    def call_scalar(self, function: FunctionValue, call: tree.Call, around: Expressions) -> Scalar:
        """Return the value of a call of a function of the query's own, which gives a single one."""
        inner = self._arguments(function, call, around.scope, around)
        answers = self._answers(function, inner)
        if not answers:
            raise KqlSemanticError(f"{call.name}() gives nothing", call.span)
        expression, scope = answers[-1]
        if self.is_tabular(expression, scope, {}):
            return self._first(self.relation(expression, scope), call.span)
        return Expressions(
            self, scope, {}, aggregates=around.aggregates, windows=around.windows, position=around.position
        ).bind(expression)

    # Values out of rows

    def scalar_of(self, value: TabularValue, span: Span) -> Scalar:
        """Return the one value of a table that a variable stands for."""
        return self._first(self.relation(value.expression, value.scope), span)

    def first_of(self, expression: tree.Expression, scope: Scope) -> Scalar:
        """Return the value of the first row and column, as `toscalar` does."""
        return self._first(self.relation(expression, scope), expression.span)

    def _first(self, relation: Relation, span: Span) -> Scalar:
        if not relation.columns:
            raise KqlSemanticError("these rows have no column", span)
        column = relation.columns[0][1]
        from whatchanged.kql.plan import Limit

        node = Limit(relation.node, Constant(1, Type.LONG), relation.order)
        return Subquery(node, column, column.type, size=self.steps(node, span))

    def array_of(self, expression: tree.Expression, scope: Scope) -> Subquery:
        """Return the values of the first column as an SQL array."""
        relation = self.relation(expression, scope)
        if not relation.columns:
            raise KqlSemanticError("these rows have no column", expression.span)
        column = relation.columns[0][1]
        if column.type is Type.DYNAMIC:
            from whatchanged.kql.functions.casts import text_of

            text = Column(column.name, Type.STRING, nullable=False)
            node: Node = Compute(relation.node, ((text, text_of(column)),))
            size = self.steps(node, expression.span)
            return Subquery(node, text, Type.STRING, array=True, size=size)
        size = self.steps(relation.node, expression.span)
        return Subquery(relation.node, column, column.type, array=True, nullable=False, size=size)


def cell(value: Constant, type_: Type, span: Span) -> Constant:
    """Return a literal of a datatable as a value of its column."""
    given = value.value
    match type_:
        case Type.REAL | Type.DECIMAL if isinstance(given, int | float) and not isinstance(given, bool):
            return Constant(float(given) if type_ is Type.REAL else given, type_)
        case Type.INT | Type.LONG if isinstance(given, int | float) and value.type in (*NUMERIC, Type.BOOL):
            return Constant(int(given), type_)
        case Type.BOOL if isinstance(given, int):
            return Constant(bool(given), type_)
        case Type.DYNAMIC:
            from whatchanged.kql.functions.dynamic import json_text

            return Constant(json_text(given), type_)
        case Type.STRING if value.type in (Type.INT, Type.LONG, Type.REAL, Type.BOOL):
            return Constant(str(given), type_)
        case Type.TIMESPAN | Type.DATETIME | Type.GUID if value.type is Type.STRING:
            return _read(str(given), type_)
        case _:
            raise KqlSemanticError(f"a {type_.value} is expected here, not a {value.type.value}", span)


def _read(text: str, type_: Type) -> Constant:
    """Return what a text says as a value of another type; the null of the type if it says none."""
    try:
        _, value = typed_value(f"{type_.value}({text})")
    except ValueError:
        return Constant(None, type_)
    return Constant(str(value) if type_ is Type.GUID else value, type_)
