"""The operator evaluate: plugins. Which columns they give must be known before the query runs: by a schema, or by
asking for them beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.expressions import Expressions
from whatchanged.kql.binder.operators.columns import only_columns
from whatchanged.kql.binder.operators.groups import grouped
from whatchanged.kql.binder.operators.lookups import address_lookup
from whatchanged.kql.binder.operators.rows import row_count
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import convert, text_of
from whatchanged.kql.functions.dynamic import member
from whatchanged.kql.plan import (
    Aggregate,
    AggregateCall,
    Apply,
    Column,
    Compute,
    Constant,
    Expand,
    Filter,
    Scalar,
    Values,
    Window,
)
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Ask, Queries

__all__ = ["OPERATORS", "PLUGINS"]


def _arguments(call: tree.Call, names: Sequence[str]) -> dict[str, tree.Expression]:
    """Return the arguments of a plugin by their names: they stand in order, or are named."""
    found: dict[str, tree.Expression] = {}
    for number, argument in enumerate(call.arguments):
        if isinstance(argument, tree.Named):
            found[argument.names[0].name] = argument.value
        elif number < len(names):
            found[names[number]] = argument
    unknown = found.keys() - set(names)
    if unknown or len(call.arguments) > len(names):
        raise KqlSemanticError(f"{call.name}() takes {', '.join(names)}", call.span)
    return found


# bag_unpack


def _bag_unpack(queries: Queries, relation: Relation, operator: tree.Evaluate, scope: Scope) -> Relation:
    given = _arguments(operator.plugin, ("column", "OutputColumnPrefix", "columnsConflict", "ignoredProperties"))
    column = given.get("column")
    if not isinstance(column, tree.Name):
        raise KqlSemanticError("bag_unpack() takes a column", operator.plugin.span)
    [(name, bag)] = only_columns(relation, [column])
    if bag.type is not Type.DYNAMIC:
        raise KqlSemanticError(f"a {bag.type.value} has no slots: a dynamic is expected", column.span)
    binder = Expressions(queries, scope, {})
    prefix = binder.text(given["OutputColumnPrefix"], "the prefix") if "OutputColumnPrefix" in given else ""
    conflict = binder.text(given["columnsConflict"], "columnsConflict") if "columnsConflict" in given else "error"
    ignored = _ignored(binder, given.get("ignoredProperties"))
    rest = {n: c for n, c in relation.columns if n != name}
    if operator.schema is not None:
        slots = {
            c.name: (c.name.removeprefix(prefix), binder.type_named(c.type, c.span))
            for c in operator.schema
            if operator.all_columns or c.name not in rest
        }
        order = [*(n for n in rest if operator.all_columns and n not in slots), *(c.name for c in operator.schema)]
    else:
        slots = {prefix + key: (key, type_) for key, type_ in _known(queries, relation, bag, operator, ignored).items()}
        order = [*(n for n in rest if n not in slots), *slots]
    clash = [n for n in slots if n in rest]
    if clash and conflict == "error":
        raise KqlSemanticError(f"there is a column {clash[0]} already: say columnsConflict", operator.span)
    definitions = []
    for label, (key, type_) in slots.items():
        if label in rest and conflict == "keep_source":
            continue
        value = convert(member(bag, Constant(key, Type.STRING)), type_)
        new = Column(label, type_, value.nullable)
        definitions.append((new, value))
        rest[label] = new
    return Relation(Compute(relation.node, tuple(definitions)), tuple((n, rest[n]) for n in order), relation.order)


def _ignored(binder: Expressions, expression: tree.Expression | None) -> set[str]:
    if expression is None:
        return set()
    value = binder.constant(expression, "ignoredProperties")
    if value.type is not Type.DYNAMIC:
        raise KqlSemanticError("ignoredProperties is an array of texts", expression.span)
    parsed = json.loads(str(value.value)) if value.value is not None else []
    return set(map(str, parsed)) if isinstance(parsed, list) else set()


def _known(
    queries: Queries, relation: Relation, bag: Column, operator: tree.Evaluate, ignored: set[str]
) -> dict[str, Type]:
    """Return the slots of a column and their types: out of the rows, where those are given, else by asking for them."""
    if isinstance(relation.node, Values):
        at = relation.node.columns.index(bag)
        types = _given([row[at].value for row in relation.node.rows])
    elif queries.ask is not None:
        types = _asked(queries.ask, relation, bag)
    else:
        raise KqlUnsupported(
            "which columns come out must be known: evaluate bag_unpack(…) : (*, name: type, …)", operator.span
        )
    return {
        key: next(iter(types[key])) if len(types[key]) == 1 else Type.DYNAMIC
        for key in sorted(types)
        if key not in ignored
    }


def _given(bags: Sequence[object]) -> dict[str, set[Type]]:
    types: dict[str, set[Type]] = {}
    for text in bags:
        parsed = json.loads(str(text)) if text is not None else None
        for key, value in parsed.items() if isinstance(parsed, dict) else ():
            types.setdefault(key, set()).update({_type_of(value)} if value is not None else set())
    return types


_JSON = {"Bool": Type.BOOL, "Int64": Type.LONG, "UInt64": Type.LONG, "Double": Type.REAL, "String": Type.STRING}
"""Types of JSON as the engine names them; all others are dynamic."""


def _asked(ask: Ask, relation: Relation, bag: Column) -> dict[str, set[Type]]:
    parts = "JSONExtractKeysAndValuesRaw(ifNull({0}, '{{}}'))"
    key, value = Column("key", Type.STRING), Column("value", Type.STRING)
    items = tuple(
        (column, Apply(f"arrayMap(t -> t.{n}, {parts})", (bag,), Type.STRING, nullable=False))
        for n, column in enumerate((key, value), 1)
    )
    slot, kinds = Column("slot", Type.STRING), Column("kinds", Type.STRING)
    call = AggregateCall(
        "arrayStringConcat(groupUniqArray(toString(JSONType(assumeNotNull({0})))), ',')", (value,), Type.STRING, False
    )
    node = Aggregate(
        Expand(relation.node, items, Column("", Type.LONG, nullable=False)), ((slot, key),), ((kinds, call),)
    )
    rows = ask(Relation(node, (("slot", slot), ("kinds", kinds))))
    return {
        str(name): {_JSON.get(word, Type.DYNAMIC) for word in str(words).split(",") if word and word != "Null"}
        for name, words in rows
    }


def _type_of(value: object) -> Type:
    match value:
        case bool():
            return Type.BOOL
        case int():
            return Type.LONG
        case float():
            return Type.REAL
        case str():
            return Type.STRING
        case _:
            return Type.DYNAMIC


# narrow, pivot


def _narrow(queries: Queries, relation: Relation, operator: tree.Evaluate, scope: Scope) -> Relation:
    row, name, value, index = (
        Column("Row", Type.LONG, nullable=False),
        Column("Column", Type.STRING, nullable=False),
        Column("Value", Type.STRING, nullable=False),
        Column("", Type.LONG, nullable=False),
    )
    number = Apply("toInt64(row_number() /*OVER*/ - 1)", (), Type.LONG, nullable=False)
    texts: list[Scalar] = [text_of(column) for _, column in relation.columns]
    names: list[Scalar] = [Constant(label, Type.STRING) for label, _ in relation.columns]
    items = "[" + ", ".join(f"{{{n}}}" for n in range(len(texts))) + "]"
    raw = [(Column("", Type.STRING), Apply(items, tuple(part), Type.STRING, nullable=False)) for part in (names, texts)]
    node = Expand(Window(relation.node, ((row, number),), relation.order), tuple(raw), index)
    whole = tuple(
        (column, Apply("ifNull({0}, '')", (item,), Type.STRING, nullable=False))
        for column, (item, _) in zip((name, value), raw, strict=True)
    )
    return Relation(Compute(node, whole), (("Row", row), ("Column", name), ("Value", value)))


_CONDITIONAL = {
    **{name: f"{name}if" for name in ("sum", "min", "max", "avg", "stdev", "variance", "dcount", "count", "take_any")},
    **{name: f"{name}_if" for name in ("make_list", "make_set", "make_bag")},
}


def _pivot(queries: Queries, relation: Relation, operator: tree.Evaluate, scope: Scope) -> Relation:
    call = operator.plugin
    if not call.arguments or not isinstance(call.arguments[0], tree.Name):
        raise KqlSemanticError("pivot() takes the column to turn", call.span)
    pivoted = call.arguments[0]
    [(_, column)] = only_columns(relation, [pivoted])
    aggregate = call.arguments[1] if len(call.arguments) > 1 else tree.Call(call.span, "count", (), call.span)
    if not isinstance(aggregate, tree.Call) or aggregate.name not in _CONDITIONAL:
        raise KqlSemanticError("the second argument of pivot() is an aggregate", aggregate.span)
    by = list(call.arguments[2:])
    if not by:
        used = {pivoted.name, *(a.name for a in aggregate.arguments if isinstance(a, tree.Name))}
        by = [tree.Name(call.span, name, quoted=True) for name, _ in relation.columns if name not in used]
    keys = {part.name for part in by if isinstance(part, tree.Name)}
    if operator.schema is not None:
        values = [declared.name for declared in operator.schema if declared.name not in keys]
    else:
        values = _pivots(queries, relation, column, operator)
    turned = [_turned(pivoted, aggregate, value) for value in values]
    groups = grouped(queries, relation, turned, by, scope)
    return groups if operator.schema is None else _declared(queries, groups, operator.schema, scope)


def _pivots(queries: Queries, relation: Relation, column: Column, operator: tree.Evaluate) -> list[str]:
    """Return the values that a column has, each of which becomes a column."""
    if queries.ask is None:
        raise KqlUnsupported("which columns come out must be known: evaluate pivot(…) : (name: type, …)", operator.span)
    value = Column("value", Type.STRING, nullable=False)
    rows = queries.ask(Relation(Aggregate(relation.node, ((value, text_of(column)),), ()), (("value", value),)))
    return sorted(str(row[0]) for row in rows)


def _declared(queries: Queries, groups: Relation, schema: Sequence[tree.ColumnDeclaration], scope: Scope) -> Relation:
    """Return the columns that a schema declares, in its order."""
    named = groups.named()
    binder = Expressions(queries, scope, {})
    for declared in schema:
        type_ = binder.type_named(declared.type, declared.span)
        column = named.get(declared.name)
        if column is None or column.type is not type_:
            given = "nothing" if column is None else column.type.value
            raise KqlSemanticError(f"{declared.name} is declared as {type_.value}, and is {given}", declared.span)
    return Relation(groups.node, tuple((declared.name, named[declared.name]) for declared in schema))


def _turned(pivoted: tree.Name, aggregate: tree.Call, value: str) -> tree.Named:
    span = aggregate.span
    text = tree.Call(span, "tostring", (pivoted,), span)
    test = tree.Binary(span, "==", text, tree.Literal(span, "string", value))
    call = tree.Call(span, _CONDITIONAL[aggregate.name], (*aggregate.arguments, test), aggregate.name_span)
    return tree.Named(span, (tree.Name(span, value, quoted=True),), call)


# rows_near


def _rows_near(queries: Queries, relation: Relation, operator: tree.Evaluate, scope: Scope) -> Relation:
    if not relation.serialized:
        raise KqlSemanticError(
            "rows_near() looks at other rows: the rows need an order (serialize, sort)", operator.span
        )
    given = _arguments(operator.plugin, ("Condition", "NumRowsBefore", "NumRowsAfter"))
    if not {"Condition", "NumRowsBefore"} <= given.keys():
        raise KqlSemanticError("rows_near() takes a condition and numbers of rows", operator.plugin.span)
    condition = Expressions(queries, scope, relation.named()).boolean(given["Condition"])
    before = row_count(queries, given["NumRowsBefore"], scope).value
    after = row_count(queries, given["NumRowsAfter"], scope).value if "NumRowsAfter" in given else before
    near = Column("", Type.BOOL, nullable=False)
    met = Apply("max(ifNull({0}, false)) /*OVER*/", (condition,), Type.BOOL, nullable=False)
    # A row is near those that follow it within so many rows before, and those that it follows within so many after.
    frame = f"ROWS BETWEEN {after} PRECEDING AND {before} FOLLOWING"
    node = Window(relation.node, ((near, met),), relation.order, (), frame)
    return Relation(Filter(node, near), relation.columns, relation.order, serialized=True)


PLUGINS: Mapping[str, Callable[[Queries, Relation, tree.Evaluate, Scope], Relation]] = {
    "bag_unpack": _bag_unpack,
    "ipv4_lookup": address_lookup(4),
    "ipv6_lookup": address_lookup(6),
    "narrow": _narrow,
    "pivot": _pivot,
    "rows_near": _rows_near,
}


def _evaluate(queries: Queries, relation: Relation, operator: tree.Evaluate, scope: Scope) -> Relation:
    plugin = PLUGINS.get(operator.plugin.name)
    if plugin is None:
        raise KqlUnsupported(f"the plugin {operator.plugin.name} is not supported", operator.plugin.name_span)
    return plugin(queries, relation, operator, scope)


Bind = Callable[["Queries", Relation, Any, Scope], Relation]
OPERATORS: Mapping[type[tree.Operator], Bind] = {tree.Evaluate: _evaluate}
