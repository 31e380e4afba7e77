"""Expressions: from the tree to values of known types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from whatchanged.kql.binder.scope import FunctionValue, Scope, TabularValue, nearest
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported, Span
from whatchanged.kql.functions import AGGREGATES, SCALARS, WINDOWS
from whatchanged.kql.functions.casts import convert, converts, fits, text_of
from whatchanged.kql.functions.dynamic import TEXTS, element, json_text, member
from whatchanged.kql.functions.operators import (
    STRING_OPERATORS,
    arithmetic,
    compare,
    has_terms,
    logical,
    negate,
    string_operator,
)
from whatchanged.kql.functions.signature import Function, Parameter, Special
from whatchanged.kql.plan import AggregateCall, Apply, Column, Compute, Constant, Scalar, Subquery, WindowCall
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import NUMERIC, TYPE_NAMES, Type, wider

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["Expressions"]

RUNNING = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
"""The rows up to this one."""
_ARITHMETIC = frozenset("+-*/%")
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "<>"})


class Expressions:
    """Binds expressions over the columns of a relation.

    `aggregates` collects aggregates where they may stand: each becomes a column of the groups. `windows` does the same
    for functions that look at other rows.
    """

    def __init__(
        self,
        queries: Queries,
        scope: Scope,
        columns: Mapping[str, Column],
        *,
        aggregates: list[tuple[Column, AggregateCall]] | None = None,
        windows: list[WindowCall] | None = None,
        position: Callable[[], Scalar | None] | None = None,
        sides: Mapping[str, Mapping[str, Column]] | None = None,
    ) -> None:
        """`position` returns where a row stands in the order, for aggregates that keep it; `sides`: $left, $right."""
        self.queries = queries
        self.scope = scope
        self.columns = columns
        self.aggregates = aggregates
        self.windows = windows
        self.position = position
        self._sides = sides or {}

    def bind(self, expression: tree.Expression) -> Scalar:
        """Return the value of an expression. Raises KqlSemanticError, KqlUnsupported."""
        value = self._bound(expression)
        self.queries.count_value(value, expression.span)
        return value

    def _bound(self, expression: tree.Expression) -> Scalar:
        match expression:
            case tree.Literal():
                return constant(expression)
            case tree.Name():
                return self._name(expression)
            case tree.Member():
                return self._member(expression)
            case tree.Index():
                return self._index(expression)
            case tree.Call():
                return self.call(expression)
            case tree.Unary():
                return self._unary(expression)
            case tree.Binary():
                return self._binary(expression)
            case tree.Between():
                return self._between(expression)
            case tree.Membership():
                return self._membership(expression)
            case tree.Named():
                return self.bind(expression.value)
            case tree.Pipeline() if not expression.operators and not isinstance(expression.source, tree.Operator):
                return self.bind(expression.source)
            case tree.Star():
                raise KqlUnsupported("* stands for every column in search only, not here", expression.span)
            case _:
                raise KqlSemanticError("a single value is expected here, not rows", expression.span)

    def boolean(self, expression: tree.Expression) -> Scalar:
        """Return a condition."""
        return self._condition(self.bind(expression), expression)

    def _condition(self, value: Scalar, expression: tree.Expression) -> Scalar:
        if value.type is not Type.BOOL:
            raise KqlSemanticError(
                f"a condition is expected here, not a value of type {value.type.value}", expression.span
            )
        return value

    def constant(self, expression: tree.Expression, what: str) -> Constant:
        """Return a value that is known beforehand."""
        value = self.bind(expression)
        if not isinstance(value, Constant):
            raise KqlUnsupported(f"{what} must be a constant here", expression.span)
        return value

    def text(self, expression: tree.Expression, what: str) -> str:
        """Return a text that is known beforehand."""
        value = self.constant(expression, what)
        if value.type is not Type.STRING:
            raise KqlSemanticError(f"{what} must be a text", expression.span)
        return str(value.value)

    def flag(self, expression: tree.Expression, what: str) -> bool:
        """Return a truth value that is known beforehand."""
        value = self.constant(expression, what)
        if value.type is not Type.BOOL:
            raise KqlSemanticError(f"{what} must be true or false", expression.span)
        return bool(value.value)

    def integer(self, expression: tree.Expression, what: str) -> int:
        """Return a whole number that is known beforehand."""
        value = self.constant(expression, what)
        if value.type not in (Type.INT, Type.LONG) or not isinstance(value.value, int):
            raise KqlSemanticError(f"{what} must be a whole number", expression.span)
        return value.value

    def type_named(self, name: str, span: Span) -> Type:
        """Return the type of a name."""
        type_ = TYPE_NAMES.get(name.lower())
        if type_ is None:
            raise KqlSemanticError(f"there is no type {name!r}", span, suggestion=nearest(name, TYPE_NAMES))
        return type_

    # Names

    def _name(self, name: tree.Name) -> Scalar:
        column = self.columns.get(name.name)
        if column is not None:
            return column
        value = self.scope.find(name.name)
        if value is None:
            self._unknown(name)
        if isinstance(value, TabularValue):
            return self.queries.scalar_of(value, name.span)
        if isinstance(value, FunctionValue):
            raise KqlSemanticError(f"{name.name} is a function: call it, {name.name}()", name.span)
        if not isinstance(value, Column | Constant | Apply | Subquery):
            raise KqlSemanticError(f"{name.name} is a table, and a single value is expected here", name.span)
        return value

    def _unknown(self, name: tree.Name) -> NoReturn:
        if name.name in self.scope.schema.tables:
            raise KqlSemanticError(f"{name.name} is a table, and a single value is expected here", name.span)
        raise KqlSemanticError(
            f"Failed to resolve scalar expression named '{name.name}'",
            name.span,
            suggestion=nearest(name.name, [*self.columns, *self.scope.names()]),
        )

    def _member(self, expression: tree.Member) -> Scalar:
        target = expression.target
        if isinstance(target, tree.Name) and target.name in self._sides:
            column = self._sides[target.name].get(expression.name)
            if column is None:
                raise KqlSemanticError(
                    f"Failed to resolve column '{expression.name}' of {target.name}",
                    expression.span,
                    suggestion=nearest(expression.name, self._sides[target.name]),
                )
            return column
        return member(self._dynamic(target), Constant(expression.name, Type.STRING))

    def _index(self, expression: tree.Index) -> Scalar:
        target = self._dynamic(expression.target)
        index = self.bind(expression.index)
        if index.type is Type.STRING:
            return member(target, index)
        if index.type not in (Type.INT, Type.LONG):
            raise KqlSemanticError("an index is a whole number or a text", expression.index.span)
        return element(target, index)

    def _dynamic(self, expression: tree.Expression) -> Scalar:
        value = self.bind(expression)
        if value.type is Type.DYNAMIC:
            return value
        if value.type is Type.STRING:  # as the service does: a text that holds JSON has no parts
            raise KqlSemanticError(
                "only a dynamic value has parts, and this is a string: parse it first, parse_json(…)", expression.span
            )
        raise KqlSemanticError(f"only a dynamic value has parts, not a {value.type.value}", expression.span)

    # Operators

    def _unary(self, expression: tree.Unary) -> Scalar:
        value = self.bind(expression.operand)
        if expression.operator == "+" and value.type in (*NUMERIC, Type.TIMESPAN, Type.DYNAMIC):
            constant_ = isinstance(value, Constant)
            return convert(value, Type.LONG) if value.type is Type.INT and not constant_ else value
        if expression.operator == "+":
            raise KqlSemanticError(f"a {value.type.value} has no sign", expression.span)
        if isinstance(value, Constant) and isinstance(value.value, int | float) and value.type is not Type.BOOL:
            return Constant(-value.value, value.type)
        if value.type is Type.INT:  # as of any arithmetic
            value = convert(value, Type.LONG)
        negated = negate(value)
        if negated is None:
            raise KqlSemanticError(f"a {value.type.value} has no negative", expression.span)
        return negated

    def _binary(self, expression: tree.Binary) -> Scalar:
        operator = expression.operator
        if operator in ("and", "or"):
            return logical(operator, self._side(expression.left), self._side(expression.right))
        left, right = self.bind(expression.left), self.bind(expression.right)
        if operator in STRING_OPERATORS and operator not in _COMPARISONS:
            for value, part in ((left, expression.left), (right, expression.right)):
                array = part is expression.right and fits(value, Type.STRING) is None
                if array or value.type not in (Type.STRING, Type.DYNAMIC):
                    raise KqlSemanticError(
                        f"operator {operator} takes texts, not a {value.type.value}: use tostring(…)", part.span
                    )
            return string_operator(operator, left, right, expression.right.span)
        if operator not in _COMPARISONS and operator not in _ARITHMETIC:
            raise KqlUnsupported(f"the operator {operator} stands in search only", expression.span)
        result = (
            compare("!=" if operator == "<>" else operator, left, right)
            if operator in _COMPARISONS
            else arithmetic(operator, left, right)
        )
        if result is None:
            raise KqlSemanticError(
                f"operator {operator} does not go with {left.type.value} and {right.type.value}", expression.span
            )
        return result

    def _side(self, expression: tree.Expression) -> Scalar:
        """Return a side of `and` or `or`, which a dynamic may be."""
        value = self.bind(expression)
        return convert(value, Type.BOOL) if value.type is Type.DYNAMIC else self._condition(value, expression)

    def _between(self, expression: tree.Between) -> Scalar:
        value, low, high = self.bind(expression.value), self.bind(expression.low), self.bind(expression.high)
        if value.type is Type.DATETIME and high.type is Type.TIMESPAN:
            high = arithmetic("+", low, high) or high
        above, below = compare(">=", value, low), compare("<=", value, high)
        if above is None or below is None:
            raise KqlSemanticError(
                f"between does not go with {value.type.value}, {low.type.value} and {high.type.value}", expression.span
            )
        both = logical("and", above, below)
        return Apply("NOT ({0})", (both,), Type.BOOL, both.nullable) if expression.negated else both

    def _membership(self, expression: tree.Membership) -> Scalar:
        value = self.bind(expression.value)
        operator = expression.operator
        items = self._items(expression)
        if operator in ("has_any", "has_all"):
            if value.type not in (Type.STRING, Type.DYNAMIC):
                raise KqlSemanticError(f"{operator} looks into texts, not a {value.type.value}", expression.span)
            return self._has_several(operator, text_of(value), items, expression.span)
        if isinstance(items, Subquery):
            return self._in_query(operator, value, items, expression.span)
        return self._in_list(operator, value, items, expression.span)

    def _items(self, expression: tree.Membership) -> list[Scalar] | Subquery:
        """Return what is looked for: values one by one, or one array of a query."""
        found: list[Scalar] = []
        for item in expression.items:
            if self.queries.is_tabular(item, self.scope, self.columns):
                if len(expression.items) > 1:
                    raise KqlSemanticError("a query stands alone in the brackets", item.span)
                return self.queries.array_of(item, self.scope)
            value = self.bind(item)
            if isinstance(value, Constant) and value.type is Type.DYNAMIC:
                found += _unpacked(value)
            else:
                found.append(value)
        return found

    def _has_several(self, operator: str, value: Scalar, items: list[Scalar] | Subquery, span: Span) -> Scalar:
        if isinstance(items, Subquery):
            if items.type is not Type.STRING:
                raise KqlSemanticError(f"{operator} looks for texts, not for values of type {items.type.value}", span)
            return has_terms(operator, value, items, "{1}")
        hits = [
            has_terms(operator, value, item, TEXTS.replace("{0}", "{1}"))
            if item.type is Type.DYNAMIC and not isinstance(item, Constant)
            else string_operator("has", value, text_of(item), span)
            for item in items
        ]
        if not hits:
            return Constant(operator == "has_all", Type.BOOL)
        word = " OR " if operator == "has_any" else " AND "
        template = "(" + word.join(f"{{{number}}}" for number in range(len(hits))) + ")"
        return Apply(template, tuple(hits), Type.BOOL, nullable=False, connects=True)

    def _in_query(self, operator: str, value: Scalar, items: Subquery, span: Span) -> Scalar:
        comparable = text_of(value) if value.type is Type.DYNAMIC else value
        widest = wider(comparable.type, items.type)
        if widest is not None and comparable.type is not items.type:
            comparable = convert(comparable, widest)
            items = _widened(items, widest)
        if comparable.type is not items.type:
            raise KqlSemanticError(
                f"a {value.type.value} is not looked for among values of type {items.type.value}", span
            )
        template = "has({1}, {0})"
        if "~" in operator:
            template = "has(arrayMap(x -> lowerUTF8(x), {1}), lowerUTF8({0}))"
        found = Apply(f"ifNull({template}, false)", (comparable, items), Type.BOOL, nullable=False)
        return Apply("NOT ({0})", (found,), Type.BOOL, nullable=False) if operator.startswith("!") else found

    def _in_list(self, operator: str, value: Scalar, items: Sequence[Scalar], span: Span) -> Scalar:
        hits: list[Scalar] = []
        for item in items:
            if item.type is Type.DYNAMIC and not isinstance(item, Constant):
                hits.append(_among(operator, value, item, span))
                continue
            hit = (
                string_operator("=~", value, item, span)
                if "~" in operator and value.type in (Type.STRING, Type.DYNAMIC)
                else compare("==", value, item)
            )
            if hit is None:
                raise KqlSemanticError(
                    f"a {value.type.value} is not looked for among values of type {item.type.value}", span
                )
            hits.append(hit)
        if not hits:
            return Constant(operator.startswith("!"), Type.BOOL)
        found = _any_of(value, items, hits, folded="~" in operator)
        return Apply("NOT ({0})", (found,), Type.BOOL, found.nullable) if operator.startswith("!") else found

    # Calls

    def call(self, call: tree.Call) -> Scalar:
        """Return the value of a call."""
        own = self.scope.find(call.name)
        if isinstance(own, FunctionValue):
            return self.queries.call_scalar(own, call, self)
        functions = SCALARS.get(call.name)
        if functions is None:
            if call.name in AGGREGATES:
                return self._aggregate(call)
            if call.name in WINDOWS:
                return self._window(call)
            self._no_function(call)
        if call.name in AGGREGATES and self.aggregates is not None:
            return self._aggregate(call)
        return self._apply(call, functions)

    def _no_function(self, call: tree.Call) -> NoReturn:
        known = [*SCALARS, *WINDOWS, *(AGGREGATES if self.aggregates is not None else ())]
        raise KqlUnsupported(f"Unknown function: '{call.name}'", call.name_span, suggestion=nearest(call.name, known))

    def _aggregate(self, call: tree.Call) -> Scalar:
        if self.aggregates is None:
            raise KqlSemanticError(f"{call.name}() needs groups: it stands in summarize", call.name_span)
        collected, self.aggregates = self.aggregates, None  # an aggregate within an aggregate has no groups
        try:
            value = self._apply(call, AGGREGATES[call.name])
        finally:
            self.aggregates = collected
        if not isinstance(value, Apply):
            raise KqlSemanticError(f"{call.name}() cannot stand here", call.span)
        column = Column(call.name, value.type, value.nullable)
        collected.append((column, AggregateCall(value.template, value.arguments, value.type, value.nullable)))
        return column

    def _window(self, call: tree.Call) -> Scalar:
        if self.windows is None:
            raise KqlSemanticError(
                f"{call.name}() looks at other rows: the rows need an order (serialize, sort) for that", call.name_span
            )
        return self._apply(call, WINDOWS[call.name])

    def windowed(self, value: Apply, partition: Sequence[Scalar] = (), frame: str = RUNNING) -> Column:
        """Return the column of a window function: `/*OVER*/` stands in its template where the window belongs."""
        assert self.windows is not None
        column = Column("", value.type, value.nullable)
        self.windows.append(WindowCall(column, value, tuple(partition), frame))
        return column

    def _apply(self, call: tree.Call, functions: Sequence[Function | Special]) -> Scalar:
        for function in functions:
            if isinstance(function, Special):
                return function.bind(self, call)
        return self._choose(call, [f for f in functions if isinstance(f, Function)])

    def _choose(self, call: tree.Call, functions: Sequence[Function]) -> Scalar:
        values = [self.bind(argument) for argument in call.arguments]
        best: tuple[int, Function] | None = None
        for function in functions:
            cost = _cost(function, values)
            if cost is not None and (best is None or cost < best[0]):
                best = cost, function
        if best is None:
            self._refuse(call, functions, values)
        return applied(best[1], values)

    def _refuse(self, call: tree.Call, functions: Sequence[Function], values: Sequence[Scalar]) -> NoReturn:
        least = min(sum(not p.optional for p in f.parameters) for f in functions)
        most = max(99 if any(p.repeated for p in f.parameters) else len(f.parameters) for f in functions)
        if not least <= len(values) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}" if most < 99 else f"{least} or more"
            raise KqlSemanticError(f"{call.name}() takes {wanted} arguments, not {len(values)}", call.span)
        given = ", ".join(value.type.value for value in values)
        raise KqlSemanticError(f"{call.name}() does not take arguments of type {given}", call.span)


def constant(literal: tree.Literal) -> Constant:
    """Return the value of a literal."""
    type_ = Type(literal.type)
    if type_ is Type.DYNAMIC and literal.value is not None:
        return Constant(json_text(literal.value), type_)
    if type_ is Type.GUID and literal.value is not None:
        return Constant(str(literal.value), type_)
    if type_ is Type.STRING and literal.value is None:
        return Constant("", type_)
    return Constant(literal.value, type_)


def applied(function: Function, values: Sequence[Scalar]) -> Apply:
    """Return a function with its arguments as it wants them."""
    arguments = tuple(
        _argument(value, parameter) for value, parameter in zip(values, _parameters(function, len(values)), strict=True)
    )
    type_ = function.result_of([argument.type for argument in arguments])
    template = function.template_of(len(arguments))
    nullable = any(argument.nullable for argument in arguments) if function.null is None else function.null
    if type_ is Type.STRING and nullable:
        template, nullable = f"ifNull({template}, '')", False
    return Apply(template, arguments, type_, nullable)


def _argument(value: Scalar, parameter: Parameter) -> Scalar:
    if parameter.anything:
        return convert(value, parameter.types[0])
    if value.type in parameter.types:
        return value
    target = _target(parameter.types, value.type)
    if target is None:  # a null of another type, which does for any
        return Constant("" if parameter.types[0] is Type.STRING else None, parameter.types[0])
    return convert(value, target)


def _parameters(function: Function, count: int) -> list[Parameter]:
    found = list(function.parameters)
    while len(found) < count and found and found[-1].repeated:
        found.append(found[-1])
    return found[:count]


def _target(types: tuple[Type, ...], given: Type) -> Type | None:
    costs = [(cost, type_) for type_ in types if (cost := converts(given, type_)) is not None]
    return min(costs, key=lambda pair: pair[0])[1] if costs else None


_FOREIGN_NULL = 100
"""What the null of another type costs: more than any conversion."""


def _cost(function: Function, values: Sequence[Scalar]) -> int | None:
    parameters = _parameters(function, len(values))
    required = sum(not parameter.optional and not parameter.repeated for parameter in function.parameters)
    required += any(parameter.repeated and not parameter.optional for parameter in function.parameters)
    if len(parameters) != len(values) or len(values) < required:
        return None
    total = 0
    for value, parameter in zip(values, parameters, strict=True):
        if parameter.anything:
            continue
        if isinstance(value, Constant) and value.value is None:
            total += 0 if value.type in parameter.types else _FOREIGN_NULL
            continue
        costs = [cost for type_ in parameter.types if (cost := fits(value, type_)) is not None]
        if not costs:
            return None
        total += min(costs)
    return total


def _unpacked(value: Constant) -> list[Scalar]:
    from whatchanged.kql.functions.dynamic import constants_of

    return constants_of(value)


def _any_of(value: Scalar, items: Sequence[Scalar], hits: Sequence[Scalar], *, folded: bool) -> Scalar:
    """Return whether any comparison holds: as a look into a list where all its values are constants of one type."""
    plain = all(isinstance(item, Constant) and item.value is not None and item.type is value.type for item in items)
    if plain and not folded and value.type is not Type.DYNAMIC:
        template = "({0} IN (" + ", ".join(f"{{{number}}}" for number in range(1, len(items) + 1)) + "))"
        strict = f"ifNull({template}, false)" if value.nullable else template
        return Apply(strict, (value, *items), Type.BOOL, nullable=False, loose=template)
    template = "(" + " OR ".join(f"{{{number}}}" for number in range(len(hits))) + ")"
    return Apply(template, tuple(hits), Type.BOOL, any(hit.nullable for hit in hits), connects=True)


def _widened(items: Subquery, wanted: Type) -> Subquery:
    """Return the numbers of a query as numbers of a wider type."""
    column = Column(items.column.name, wanted, items.column.nullable)
    node = Compute(items.node, ((column, convert(items.column, wanted)),))
    return Subquery(node, column, wanted, array=True, nullable=items.nullable)


def _among(operator: str, value: Scalar, items: Scalar, span: Span) -> Scalar:
    """Return whether a text is an element of an array of the row, or is what is there instead of an array."""
    if value.type not in (Type.STRING, Type.DYNAMIC):
        raise KqlUnsupported(f"{operator} looks for texts only in an array of the row: use set_has_element(…)", span)
    texts = f"if(JSONType(ifNull({{1}}, 'null')) = 'Array', {TEXTS.replace('{0}', '{1}')}, [{{2}}])"
    template = f"has({texts}, {{0}})"
    if "~" in operator:
        template = f"has(arrayMap(x -> lowerUTF8(x), {texts}), lowerUTF8({{0}}))"
    return Apply(template, (text_of(value), items, text_of(items)), Type.BOOL, nullable=False)
