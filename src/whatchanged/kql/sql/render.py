"""From a plan to one SELECT.

What each step computes becomes definitions of a block (`WITH expression AS c7`): the names are unique, so they may be
used by each other, in WHERE and in ORDER BY. A new SELECT begins where the rows change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from whatchanged.kql.plan import (
    NULL_IS_FALSE,
    Aggregate,
    AggregateCall,
    Apply,
    Column,
    Compute,
    Constant,
    Expand,
    Filter,
    Join,
    Limit,
    Node,
    OneRow,
    OrderKey,
    RangeRows,
    Scalar,
    Scan,
    Subquery,
    UnionAll,
    Values,
    Window,
    columns_of,
)
from whatchanged.kql.sql.stored import first_row, keeps_state
from whatchanged.kql.sql.values import Parameters, sql_type, time_text
from whatchanged.kql.types import Type

# ruff: noqa: S608 - statements are composed of texts of ours; values are bound parameters, names are quoted
__all__ = ["Statement", "TooLarge", "render"]

_DEEPEST = 8
"""Definitions that use each other are written into each other by the engine: deeper, a new SELECT begins."""
_MOST_PARTS = 500_000
"""Values and relations that are written, each as often as it is."""
_MOST_LETTERS = 4 * 1024**2
"""Characters of a value: the engine reads no statement that is longer."""
_LONG = 200
"""Characters of an argument that are not written more than once."""
_MANY = 8
"""Columns of the first row of a group that are gathered one by one; of more, the row itself is looked for."""
_JOINS = {
    "inner": "INNER JOIN",
    "left": "LEFT JOIN",
    "right": "RIGHT JOIN",
    "full": "FULL JOIN",
    "semi": "LEFT SEMI JOIN",
    "anti": "LEFT ANTI JOIN",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A query for the engine."""

    sql: str
    parameters: dict[str, Any]


class TooLarge(Exception):
    """The statement of a plan would be larger than any engine reads."""


def render(
    node: Node, columns: Sequence[tuple[str, Column]], order: Sequence[OrderKey], most: int | None = None
) -> Statement:
    """Return the statement whose result has `columns` (name and column), in an order; `most` rows of it.

    Raises TooLarge.
    """
    parameters = Parameters()
    renderer = _Renderer(parameters)
    wanted = [column for _, column in columns]
    block = renderer.block(node, {*wanted, *columns_of(key.value for key in order)})
    tail = renderer.order(order)
    if most is not None:
        tail = f"{tail} LIMIT {int(most)}".strip()
    sql = block.select([f"{_name(c)} AS {_quoted(name)}" for name, c in columns] or ["1"], tail)
    return Statement(sql, parameters.values)


def _name(column: Column) -> str:
    return f"c{column.number}"


def _quoted(name: str) -> str:
    """Return a name as an identifier: whatever it holds, it stays one."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


@dataclass(slots=True)
class _Block:
    """A SELECT in the making."""

    source: str
    definitions: dict[str, str] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    predicates: list[str] = field(default_factory=list)

    def select(self, items: Sequence[str], tail: str = "") -> str:
        """Return the SELECT of these items."""
        with_ = ", ".join(f"{sql} AS {name}" for name, sql in self.definitions.items())
        where = " AND ".join(f"({predicate})" for predicate in self.predicates)
        return (
            (f"WITH {with_} " if with_ else "")
            + f"SELECT {', '.join(items)} FROM {self.source}"
            + (f" WHERE {where}" if where else "")
            + (f" {tail}" if tail else "")
        )


class _Renderer:
    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._named = 0
        self._parts = 0

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise TooLarge

    # Values

    def scalar(self, value: Scalar) -> str:
        """Return the SQL of a value."""
        self._count()
        match value:
            case Column():
                return _name(value)
            case Constant():
                return self._parameters.bind(value)
            case AggregateCall():
                return value.template.format(*map(self.scalar, value.arguments))
            case Apply():
                return self._applied(value.template, [self.scalar(argument) for argument in value.arguments])
            case Subquery():
                return self._subquery(value)

    def predicate(self, value: Scalar) -> str:
        """Return the SQL of a condition of a filter: null and false are the same to it."""
        if isinstance(value, Apply) and value.template == NULL_IS_FALSE:
            return self.predicate(value.arguments[0])
        if isinstance(value, Apply) and value.connects:
            return (value.loose or value.template).format(*map(self.predicate, value.arguments))
        if isinstance(value, Apply) and value.loose:
            return value.loose.format(*map(self.scalar, value.arguments))
        return self.scalar(value)

    def _applied(self, template: str, arguments: list[str]) -> str:
        """Return a template with its arguments, each written once if it is long: the text would grow with every level.

        A lambda over arrays of one element is the engine's way to give a value a name within an expression.
        """
        names, values = [], []
        for number, sql in enumerate(arguments):
            if len(sql) > _LONG and template.count(f"{{{number}}}") > 1 and "/*OVER*/" not in template:
                self._named += 1
                names.append(f"given{self._named}")
                values.append(f"[{sql}]")
                arguments[number] = names[-1]
        if template.count("{") * max(map(len, arguments), default=0) > _MOST_LETTERS:
            raise TooLarge
        body = template.format(*arguments)
        return f"(arrayMap(({', '.join(names)}) -> {body}, {', '.join(values)})[1])" if names else body

    def _subquery(self, value: Subquery) -> str:
        block = self.block(value.node, {value.column})
        if value.array:
            return f"(SELECT groupArray({_name(value.column)}) FROM ({block.select([_name(value.column)])}))"
        return f"({block.select([_name(value.column)], 'LIMIT 1')})"

    def order(self, keys: Sequence[OrderKey]) -> str:
        """Return ORDER BY, or nothing."""
        if not keys:
            return ""
        shown = (
            f"{self.scalar(key.value)} {'DESC' if key.descending else 'ASC'} "
            f"NULLS {'FIRST' if key.nulls_first else 'LAST'}"
            for key in keys
        )
        return f"ORDER BY {', '.join(shown)}"

    # Relations

    def block(self, node: Node, needed: set[Column]) -> _Block:
        """Return a block that offers the needed columns of a relation under their names."""
        self._count()
        match node:
            case Scan():
                return self._scan(node, needed)
            case OneRow():
                return _Block("system.one")
            case Values():
                return self._values(node, needed)
            case RangeRows():
                return self._range(node)
            case Filter():
                block = self.block(node.input, needed | set(columns_of([node.predicate])))
                block.predicates.append(self.predicate(node.predicate))
                return block
            case Compute():
                return self._compute(node, needed)
            case Window():
                return self._window(node, needed)
            case Aggregate():
                return self._aggregate(node, needed)
            case Limit():
                return self._limit(node, needed)
            case Join():
                return self._join(node, needed)
            case UnionAll():
                return self._union(node, needed)
            case Expand():
                return self._expand(node, needed)

    def _nested(self, node: Node, needed: Iterable[Column], tail: str = "") -> str:
        """Return a SELECT in brackets that offers the needed columns."""
        wanted = sorted(set(needed), key=lambda column: column.number)
        block = self.block(node, set(wanted))
        return f"({block.select([_name(column) for column in wanted] or ['1'], tail)})"

    def _scan(self, node: Scan, needed: set[Column]) -> _Block:
        source = node.table.source
        until = node.until.value if node.until is not None else None
        if until is not None or node.parts:
            at = time_text(until) if isinstance(until, int) else node.table.latest
            source = node.table.as_of.replace("{at}", self._parameters.bind(Constant(at, Type.STRING)))
            wanted = dict(node.parts)
            for name in node.table.parts:
                part = wanted.get(name, Constant("", Type.STRING))
                source = source.replace(f"{{{name}}}", self._parameters.bind(part))
        block = _Block(source)
        for stored, column in zip(node.table.fields, node.columns, strict=True):
            if column in needed:
                block.definitions[_name(column)] = stored.sql or _quoted(stored.name)
        return block

    def _values(self, node: Values, needed: set[Column]) -> _Block:
        if not node.rows or not node.columns:
            block = _Block(f"numbers({len(node.rows)})")
            block.definitions[_name(node.position)] = "toInt64(number)"
            for column in node.columns:
                block.definitions[_name(column)] = self._parameters.bind(Constant(None, column.type))
            return block
        rows = self._parameters.bind_rows([column.type for column in node.columns], node.rows)
        at = f"r{node.position.number}"
        block = _Block(f"system.one ARRAY JOIN {rows} AS {at}, arrayEnumerate({rows}) AS {at}i")
        block.definitions[_name(node.position)] = f"toInt64({at}i)"
        for number, column in enumerate(node.columns, 1):
            if column in needed:
                block.definitions[_name(column)] = f"{at}.{number}"
        return block

    def _range(self, node: RangeRows) -> _Block:
        start, stop, step = (self.scalar(value) for value in (node.start, node.stop, node.step))
        name = _name(node.column)
        if node.column.type is Type.DATETIME:
            start, stop = f"reinterpret({start}, 'Int64')", f"reinterpret({stop}, 'Int64')"
        count = f"if({step} = 0, 1, toUInt64(ifNull(greatest(floor(({stop} - ({start})) / {step}) + 1, 0), 0)))"
        value = f"({start}) + toInt64(number) * ({step})"
        if node.column.type is Type.DATETIME:
            value = f"reinterpret(toInt64({value}), 'DateTime64(7, \\'UTC\\')')"
        else:
            value = f"CAST({value} AS {sql_type(node.column.type, nullable=False)})"
        block = _Block(f"numbers({count})")
        block.definitions[name] = value
        return block

    def _compute(self, node: Compute, needed: set[Column]) -> _Block:
        chosen = [(column, value) for column, value in node.definitions if column in needed]
        below = (needed - {column for column, _ in node.definitions}) | set(columns_of(v for _, v in chosen))
        block = self.block(node.input, below)
        depths = [
            1 + max((block.depths.get(_name(c), 0) for c in columns_of([value])), default=0) for _, value in chosen
        ]
        if max(depths, default=0) > _DEEPEST:
            block = self._closed(block, below)
            depths = [1] * len(chosen)
        for (column, value), depth in zip(chosen, depths, strict=True):
            block.definitions[_name(column)] = self.scalar(value)
            block.depths[_name(column)] = depth
        return block

    def _closed(self, block: _Block, needed: Iterable[Column]) -> _Block:
        wanted = sorted(set(needed), key=lambda column: column.number)
        return _Block(f"({block.select([_name(column) for column in wanted] or ['1'])})")

    def _window(self, node: Window, needed: set[Column]) -> _Block:
        made = {column for column, _ in node.definitions}
        inside = set(columns_of([*(v for _, v in node.definitions), *(k.value for k in node.order), *node.partition]))
        below = (needed - made) | inside
        over = " ".join(
            part
            for part in (
                f"PARTITION BY {', '.join(map(self.scalar, node.partition))}" if node.partition else "",
                self.order(node.order),
                node.frame,
            )
            if part
        )
        block = _Block(self._nested(node.input, below))
        for column, value in node.definitions:
            # The marker stands where the window belongs: a function may compute on with what comes out of it.
            sql = self.scalar(value)
            block.definitions[_name(column)] = (
                sql.replace("/*OVER*/", f"OVER ({over})") if "/*OVER*/" in sql else f"{sql} OVER ({over})"
            )
        return self._closed(block, needed)

    def _aggregate(self, node: Aggregate, needed: set[Column]) -> _Block:
        calls = [(column, call) for column, call in node.aggregates if column in needed]
        if len(calls) > _MANY and (first := first_row(node, [call for _, call in calls])) is not None:
            return self._rows_of_groups(node, calls, first)
        inside = set(columns_of([*(v for _, v in node.keys), *(a for _, call in calls for a in call.arguments)]))
        block = self.block(node.input, inside)
        keys = [self.scalar(value) for _, value in node.keys]
        items = [f"{key} AS {_name(column)}" for key, (column, _) in zip(keys, node.keys, strict=True)]
        items += [f"{self.scalar(call)} AS {_name(column)}" for column, call in calls]  # type: ignore[arg-type]
        tail = f"GROUP BY {', '.join(keys)}" if keys else ""
        if not keys and not node.aggregates:
            tail = "LIMIT 1"
        return _Block(f"({block.select(items or ['1'], tail)})")

    def _rows_of_groups(
        self, node: Aggregate, calls: Sequence[tuple[Column, AggregateCall]], first: OrderKey
    ) -> _Block:
        """Return the first row of every group, whole: the engine keeps wide rows of groups slowly."""
        edges = {*columns_of([*(value for _, value in node.keys), first.value])}
        block = self.block(node.input, edges | set(columns_of(a for _, call in calls for a in call.arguments)))
        keys = [self.scalar(value) for _, value in node.keys]
        by = f"LIMIT 1 BY {', '.join(keys)}"
        if keeps_state(node.input):
            # About as many rows as groups, and dear to look at twice.
            tail = f"{self.order([first])} {by}"
        else:
            edge = f"{'max' if first.descending else 'min'}({self.scalar(first.value)})"
            edges_only = self.block(node.input, edges).select([*keys, edge], f"GROUP BY {', '.join(keys)}")
            block.predicates.append(f"({', '.join(keys)}, {self.scalar(first.value)}) IN ({edges_only})")
            tail = by
        items = [f"{key} AS {_name(column)}" for key, (column, _) in zip(keys, node.keys, strict=True)]
        items += [
            f"{call.plain.format(*map(self.scalar, call.arguments))} AS {_name(column)}" for column, call in calls
        ]
        return _Block(f"({block.select(items, tail)})")

    def _limit(self, node: Limit, needed: set[Column]) -> _Block:
        below = needed | set(columns_of([*(key.value for key in node.order), *node.by]))
        order = self.order(node.order)
        by = f" BY {', '.join(map(self.scalar, node.by))}" if node.by else ""
        return _Block(self._nested(node.input, below, f"{order} LIMIT {self.scalar(node.count)}{by}".strip()))

    def _join(self, node: Join, needed: set[Column]) -> _Block:
        left_on, right_on = zip(*node.on, strict=True) if node.on else ((), ())
        left = self._side(node.left, needed | set(columns_of(left_on)), left_on, "l")
        right = self._side(node.right, needed | set(columns_of(right_on)), right_on, "r")
        if not node.on:
            return _Block(f"{left} AS l CROSS JOIN {right} AS r")
        on = " AND ".join(f"l.lk{number} = r.rk{number}" for number in range(len(node.on)))
        return self._closed(_Block(f"{left} AS l {_JOINS[node.kind]} {right} AS r ON {on}"), self._of(node, needed))

    def _of(self, node: Join, needed: set[Column]) -> set[Column]:
        offered = offered_by(node.left) if node.kind in ("semi", "anti") else offered_by(node)
        return needed & offered

    def _side(self, node: Node, needed: set[Column], keys: Sequence[Scalar], side: str) -> str:
        wanted = sorted(needed & offered_by(node), key=lambda column: column.number)
        block = self.block(node, set(wanted))
        items = [_name(column) for column in wanted]
        items += [f"{self.scalar(key)} AS {side}k{number}" for number, key in enumerate(keys)]
        return f"({block.select(items or ['1'])})"

    def _union(self, node: UnionAll, needed: set[Column]) -> _Block:
        chosen = [number for number, column in enumerate(node.columns) if column in needed]
        parts = []
        for part, values in node.inputs:
            block = self.block(part, set(columns_of(values[number] for number in chosen)))
            items = []
            for number in chosen:
                column = node.columns[number]
                kind = sql_type(column.type, nullable=column.nullable)
                sql = self.scalar(values[number])
                # The names are those of the first part; within a part they must not be names it defines itself.
                # Texts stay as they are: the engine joins and groups by a dictionary of them far faster.
                items.append(f"{sql if column.type is Type.STRING else f'CAST({sql} AS {kind})'} AS u{column.number}")
            parts.append(block.select(items or ["1"]))
        block = _Block(f"({' UNION ALL '.join(parts)})")
        for number in chosen:
            column = node.columns[number]
            block.definitions[_name(column)] = f"u{column.number}"
        return self._closed(block, {node.columns[number] for number in chosen})

    def _expand(self, node: Expand, needed: set[Column]) -> _Block:
        made = {column for column, _ in node.items} | {node.index}
        below = (needed - made) | set(columns_of(value for _, value in node.items))
        inner = self.block(node.input, below)
        wanted = sorted(below, key=lambda column: column.number)
        arrays = [f"a{column.number}" for column, _ in node.items]
        items = [_name(column) for column in wanted]
        items += [f"{self.scalar(value)} AS {array}" for array, (_, value) in zip(arrays, node.items, strict=True)]
        lengths = ", ".join(f"length({array})" for array in arrays)
        length = f"toUInt64(greatest({lengths}))" if len(arrays) > 1 else f"toUInt64({lengths})"
        if node.limit is not None:
            length = f"least({length}, toUInt64({int(node.limit)}))"
        at = f"i{node.index.number}"
        join = "LEFT ARRAY JOIN" if node.keep else "ARRAY JOIN"
        block = _Block(f"({inner.select(items)}) {join} range({length}) AS {at}")
        block.definitions[_name(node.index)] = f"toInt64({at})"
        for array, (column, _) in zip(arrays, node.items, strict=True):
            block.definitions[_name(column)] = f"if({at} < length({array}), {array}[{at} + 1], NULL)"
        return self._closed(block, needed)


def offered_by(node: Node) -> set[Column]:
    """Return every column that a relation can offer."""
    match node:
        case Scan():
            return set(node.columns)
        case OneRow():
            return set()
        case Values():
            return {*node.columns, node.position}
        case RangeRows():
            return {node.column}
        case Compute() | Window():
            return offered_by(node.input) | {column for column, _ in node.definitions}
        case Aggregate():
            return {column for column, _ in (*node.keys, *node.aggregates)}
        case Join():
            return offered_by(node.left) | offered_by(node.right)
        case UnionAll():
            return set(node.columns)
        case Expand():
            return offered_by(node.input) | {node.index} | {column for column, _ in node.items}
        case Filter() | Limit():
            return offered_by(node.input)
