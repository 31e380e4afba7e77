"""Operators over several tables: union, search, find."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.naming import Names
from whatchanged.kql.binder.operators.options import flag_option, text_option, word_option
from whatchanged.kql.binder.scope import BoundTable, FunctionValue, Relation, Scope, TabularValue
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported, Span
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.operators import compare, logical, string_operator
from whatchanged.kql.plan import Apply, Column, Constant, Filter, OneRow, Scalar, UnionAll
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS", "united"]

Part = tuple[str, Relation]
"""Rows, and what they are called."""


def united(parts: Sequence[Part], *, source: str = "", common: bool = False) -> Relation:
    """Return the rows of all. `source`: the name of a column for where a row is from; `common`: only columns of all.

    A name with several types becomes a column a type, `name_type`.
    """
    types: dict[str, list[Type]] = {}
    nullable: dict[tuple[str, Type], bool] = {}
    for _, relation in parts:
        for name, column in relation.columns:
            known = types.setdefault(name, [])
            if column.type not in known:
                known.append(column.type)
            nullable[name, column.type] = nullable.get((name, column.type), False) or column.nullable
    keys = [(name, type_) for name, known in types.items() for type_ in known]
    holders = {key: sum(_has(relation, *key) for _, relation in parts) for key in keys}
    if common:
        keys = [key for key in keys if holders[key] == len(parts)]
    columns = [
        (_named(name, type_, types), Column(name, type_, nullable[name, type_] or holders[name, type_] < len(parts)))
        for name, type_ in keys
    ]
    inputs = []
    for label, relation in parts:
        own = relation.named()
        values: list[Scalar] = [
            own[name] if _has(relation, name, type_) else Constant("" if type_ is Type.STRING else None, type_)
            for name, type_ in keys
        ]
        inputs.append((relation.node, (Constant(label, Type.STRING), *values) if source else tuple(values)))
    made = [column for _, column in columns]
    if source:
        made.insert(0, Column(source, Type.STRING, nullable=False))
    return Relation(UnionAll(tuple(inputs), tuple(made)), _distinct(source, made, columns, types))


def _has(relation: Relation, name: str, type_: Type) -> bool:
    column = relation.named().get(name)
    return column is not None and column.type is type_


def _named(name: str, type_: Type, types: Mapping[str, Sequence[Type]]) -> str:
    return name if len(types[name]) == 1 else f"{name}_{type_.value}"


def _distinct(
    source: str, made: Sequence[Column], columns: Sequence[tuple[str, Column]], types: Mapping[str, Sequence[Type]]
) -> tuple[tuple[str, Column], ...]:
    """Return the columns by names of which no two are alike: a name as it was written comes before one with a type."""
    names = Names(name for name, known in types.items() if len(known) == 1)
    found: list[tuple[str, Column]] = [(names.take(source), made[0])] if source else []
    for name, column in columns:
        found.append((name if name == column.name else names.take(name), column))
    return tuple(found)


# Tables


def _views(scope: Scope) -> dict[str, FunctionValue]:
    """Return the functions of the query that are views: wildcards find them."""
    found: dict[str, FunctionValue] = {}
    at: Scope | None = scope
    while at is not None:
        for name, value in at.variables.items():
            if isinstance(value, FunctionValue) and value.declaration.view:
                found.setdefault(name, value)
        at = at.outer
    return found


def _tables(queries: Queries, tables: Sequence[tree.Expression], scope: Scope, *, fuzzy: bool = False) -> list[Part]:
    found: list[Part] = []
    for number, table in enumerate(tables):
        if fuzzy and not _resolves(queries, table, scope):
            continue
        found += _table(queries, table, scope, number)
    return found


def _resolves(queries: Queries, table: tree.Expression, scope: Scope) -> bool:
    """Whether there is what a table begins with: a fuzzy union leaves out what there is not."""
    at = table
    while isinstance(at, tree.Pipeline) and not isinstance(at.source, tree.Operator):
        at = at.source
    if isinstance(at, tree.Call):
        return scope.find(at.name) is not None
    if not isinstance(at, tree.Name):
        return True
    if "*" in at.name:
        return any(fnmatch.fnmatchcase(name, at.name) for name in (*queries.schema.tables, *_views(scope)))
    return scope.find(at.name) is not None or at.name in queries.schema.tables


def _table(queries: Queries, table: tree.Expression, scope: Scope, number: int) -> list[Part]:
    if isinstance(table, tree.Name) and "*" in table.name and not table.quoted:
        views = [name for name in _views(scope) if fnmatch.fnmatchcase(name, table.name)]
        found = [(name, queries.relation(tree.Name(table.span, name), scope)) for name in sorted(views)]
        if any(fnmatch.fnmatchcase(name, table.name) for name in queries.schema.tables) or not found:
            found += queries.matching(table, scope)
        return found
    return [(_label(table, scope) or f"union_arg{number}", queries.relation(table, scope))]


def _label(table: tree.Expression, scope: Scope) -> str:
    match table:
        case tree.Name():
            return table.name
        case tree.Pipeline(operators=(*_, tree.As() as last)):
            return last.name.name
        case tree.Pipeline(operators=()) if not isinstance(table.source, tree.Operator):
            return _label(table.source, scope)
        case tree.Call() if isinstance(scope.find(table.name), FunctionValue | TabularValue | BoundTable):
            return table.name
        case _:
            return ""


def _known_as(relation: Relation, scope: Scope) -> str:
    """Return what `as` calls these rows, if they come straight from it."""
    tables = ((name, value) for name, value in scope.variables.items() if isinstance(value, BoundTable))
    return next((name for name, table in tables if table.relation is relation), "")


def _is_source(relation: Relation) -> bool:
    return isinstance(relation.node, OneRow) and not relation.columns


def _union(queries: Queries, relation: Relation, operator: tree.Union, scope: Scope) -> Relation:
    first = [] if _is_source(relation) else [(_known_as(relation, scope) or "union_arg0", relation)]
    common = word_option(operator, "kind", {"inner": True, "outer": False}, "outer")
    parts = first + _tables(queries, operator.tables, scope, fuzzy=flag_option(operator, "isfuzzy"))
    if not parts:
        raise KqlSemanticError("there is none of these tables", operator.span)
    source = text_option(operator, "withsource") or text_option(operator, "with_source")
    return united(parts, source=source, common=common)


# Search and find


def _everywhere(relation: Relation, value: Scalar, *, sensitive: bool = False) -> Scalar:
    """Return whether any column has a term."""
    word = "has_cs" if sensitive else "has"
    hits: list[Scalar] = [string_operator(word, text_of(column), value) for _, column in relation.columns]
    return _any(hits)


def _any(hits: Sequence[Scalar]) -> Scalar:
    if not hits:
        return Constant(False, Type.BOOL)
    template = "(" + " OR ".join(f"ifNull({{{number}}}, false)" for number in range(len(hits))) + ")"
    return Apply(template, tuple(hits), Type.BOOL, nullable=False)


class _Predicate:
    """The condition of search or find, over one table: columns that it does not have are never equal to anything."""

    def __init__(self, queries: Queries, relation: Relation, scope: Scope, *, sensitive: bool) -> None:
        self._relation = relation
        self._binder = Expressions(queries, scope, relation.named())
        self._sensitive = sensitive
        self._place = Span(0, 0)

    def bind(self, expression: tree.Expression) -> Scalar:
        """Return the condition."""
        self._place = expression.span
        match expression:
            case tree.Star():
                return Constant(True, Type.BOOL)
            case tree.Literal(type="string"):
                return self._term(expression)
            case tree.Binary(operator="and" | "or"):
                return logical(expression.operator, self.bind(expression.left), self.bind(expression.right))
            case tree.Call(name="not") if len(expression.arguments) == 1:
                inner = self.bind(expression.arguments[0])
                return Apply("NOT ({0})", (inner,), Type.BOOL, inner.nullable)
            case tree.Binary(left=tree.Star()):
                return self._of_all(expression)
            case tree.Binary(operator=":"):
                return self._colon(expression)
            case tree.Pipeline() if not expression.operators and not isinstance(expression.source, tree.Operator):
                return self.bind(expression.source)
            case _:
                if not self._knows(expression):
                    return Constant(False, Type.BOOL)
                return self._binder.boolean(expression)

    def _term(self, literal: tree.Literal) -> Scalar:
        text = str(literal.value)
        if "*" not in text:
            return _everywhere(self._relation, Constant(text, Type.STRING), sensitive=self._sensitive)
        return _any([self._wild(column, text) for _, column in self._relation.columns])

    def _wild(self, column: Scalar, text: str) -> Scalar:
        """Return whether a term with `*` at an end is in a column."""
        bare = text.strip("*")
        if "*" in bare:
            raise KqlUnsupported("in a term, * stands at an end here; use matches regex", self._place)
        case_ = "_cs" if self._sensitive else ""
        word = {(True, True): "contains", (True, False): "hassuffix", (False, True): "hasprefix"}[
            text.startswith("*"), text.endswith("*")
        ]
        return string_operator(word + case_, text_of(column), Constant(bare, Type.STRING))

    def _of_all(self, expression: tree.Binary) -> Scalar:
        value = self._binder.bind(expression.right)
        if expression.operator in (":", "has"):
            return _everywhere(self._relation, text_of(value), sensitive=self._sensitive)
        if expression.operator == "==":
            found = [compare("==", c, value) for _, c in self._relation.columns if c.type is value.type]
            return _any([hit for hit in found if hit is not None])
        return _any(
            [
                string_operator(expression.operator, text_of(c), text_of(value), expression.right.span)
                for _, c in self._relation.columns
            ]
        )

    def _colon(self, expression: tree.Binary) -> Scalar:
        if not self._knows(expression.left):
            return Constant(False, Type.BOOL)
        column = self._binder.bind(expression.left)
        value = self._binder.bind(expression.right)
        if column.type is Type.STRING or value.type is Type.STRING:
            text = str(value.value) if isinstance(value, Constant) else ""
            if "*" in text:
                return self._wild(column, text)
            return string_operator("has_cs" if self._sensitive else "has", text_of(column), text_of(value))
        found = compare("==", column, value)
        if found is None:
            raise KqlSemanticError(f"a {column.type.value} is not a {value.type.value}", expression.span)
        return found

    def _knows(self, expression: tree.Expression) -> bool:
        """Whether the table has every column that an expression names."""
        return all(self._known(name) for name in _names(expression))

    def _known(self, name: tree.Name) -> bool:
        return name.name in self._binder.columns or self._binder.scope.find(name.name) is not None


def _names(expression: object) -> list[tree.Name]:
    match expression:
        case tree.Name():
            return [expression]
        case tree.Member() | tree.Index():
            return _names(expression.target)
        case tree.Binary():
            return _names(expression.left) + _names(expression.right)
        case tree.Unary():
            return _names(expression.operand)
        case tree.Call():
            return [name for argument in expression.arguments for name in _names(argument)]
        case tree.Between():
            return _names(expression.value) + _names(expression.low) + _names(expression.high)
        case tree.Membership():
            return _names(expression.value) + [name for item in expression.items for name in _names(item)]
        case _:
            return []


def _all_tables(queries: Queries, scope: Scope, tables: Sequence[tree.Expression], span: Span) -> list[Part]:
    if tables:
        return _tables(queries, tables, scope)
    views = [(name, queries.relation(tree.Name(span, name), scope)) for name in sorted(_views(scope))]
    return views + [(name, queries.scan(table)) for name, table in sorted(queries.schema.tables.items())]


def _matching(
    queries: Queries, parts: Sequence[Part], predicate: tree.Expression, scope: Scope, *, sensitive: bool
) -> list[Part]:
    known = {name for _, relation in parts for name in relation.named()}
    for name in _names(predicate):
        if name.name not in known and scope.find(name.name) is None:
            raise KqlSemanticError(f"no table here has a column {name.name}", name.span)
    found = []
    for label, relation in parts:
        value = _Predicate(queries, relation, scope, sensitive=sensitive).bind(predicate)
        found.append((label, Relation(Filter(relation.node, value), relation.columns)))
    return found


def _search(queries: Queries, relation: Relation, operator: tree.Search, scope: Scope) -> Relation:
    kinds = {"default": False, "case_insensitive": False, "case_sensitive": True}
    sensitive = word_option(operator, "kind", kinds, "default")
    source = _is_source(relation)
    parts = (
        _all_tables(queries, scope, operator.tables, operator.span)
        if source
        else [(_known_as(relation, scope) or "search_arg0", relation)]
    )
    if not parts:
        raise KqlSemanticError("there is no table to search", operator.span)
    found = _matching(queries, parts, operator.predicate, scope, sensitive=sensitive)
    return united(found, source="$table")


def _find(queries: Queries, relation: Relation, operator: tree.Find, scope: Scope) -> Relation:
    parts = (
        _all_tables(queries, scope, operator.tables, operator.span)
        if _is_source(relation)
        else [(_known_as(relation, scope) or "find_arg0", relation)]
    )
    if operator.columns is None:
        raise KqlUnsupported(
            "find gives columns of its own choosing: name them, find … where … project column, …", operator.span
        )
    found = _matching(queries, parts, operator.predicate, scope, sensitive=False)
    wanted: list[str] = []
    for column in operator.columns:
        if not isinstance(column, tree.Name):
            raise KqlUnsupported("find … project takes names of columns here", column.span)
        wanted.append(column.name)
    label = text_option(operator, "withsource") or "source_"
    whole = united(found, source=label)
    named = whole.named()
    missing = [name for name in wanted if name not in named]
    if missing:
        raise KqlSemanticError(f"no table here has a column {missing[0]} of one type", operator.span)
    return Relation(whole.node, ((label, named[label]), *((name, named[name]) for name in wanted)))


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {
    tree.Union: _union,
    tree.Search: _search,
    tree.Find: _find,
}
