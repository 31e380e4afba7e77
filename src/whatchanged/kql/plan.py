"""The bound tree: what a query means. Every name is resolved, every type known.

A column is an object of its own, whatever it is called: two columns of one name never meet. Relations say what rows
there are; which of their columns anybody wants is found when SQL is made of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from whatchanged.kql.types import Table, Type

__all__ = [
    "NULL_IS_FALSE", "Aggregate", "AggregateCall", "Apply", "Column", "Compute", "Constant", "Expand", "Filter",
    "Join", "Limit", "Node", "OneRow", "OrderKey", "RangeRows", "Scalar", "Scan", "Subquery", "UnionAll",
    "Values", "Window", "WindowCall", "children", "columns_of", "size_of",
]  # fmt: skip

NULL_IS_FALSE = "ifNull({0}, false)"
"""Template of a condition that is never null; a filter may look through it."""
_numbers = itertools.count(1)

Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column, by identity."""

    name: str
    """What it is called where it was made; a relation may call it otherwise."""
    type: Type
    nullable: bool = True
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True, slots=True)
class Constant:
    """A value: bool, int, float, Decimal, str; ticks (datetimes since 0001-01-01, timespans); JSON text of a dynamic;
    text of a guid; None."""

    value: object
    type: Type

    @property
    def nullable(self) -> bool:
        """Whether it is null."""
        return self.value is None


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of the tables in `functions`, applied; `template` is its SQL with `{0}`, `{1}` … for the arguments."""

    template: str
    arguments: tuple[Scalar, ...]
    type: Type
    nullable: bool
    loose: str = ""
    """Of a condition: a template that is true for the same rows, and for the others false or null as it likes: a filter
    may use it, which lets the engine use its indexes."""
    connects: bool = False
    """Whether it is `and` or `or`: a filter may look through it."""
    size: int = field(init=False, repr=False)
    """How many values it is, written out: one that is used twice counts twice."""
    columns: frozenset[Column] = field(init=False, repr=False)
    """The columns that it is made of."""
    asks: bool = field(init=False, repr=False)
    """Whether there is a query in it."""

    def __post_init__(self) -> None:
        # Here, and not when somebody asks: values share their parts, and a walk would visit those again and again.
        asks = (isinstance(part, Subquery) or (isinstance(part, Apply) and part.asks) for part in self.arguments)
        object.__setattr__(self, "size", 1 + sum(map(size_of, self.arguments)))
        object.__setattr__(self, "columns", frozenset(columns_of(self.arguments)))
        object.__setattr__(self, "asks", any(asks))


@dataclass(frozen=True, slots=True)
class Subquery:
    """The one value of a relation of one column: of its first row, null if there is none; or all as an SQL array."""

    node: Node
    column: Column
    type: Type
    array: bool = False
    nullable: bool = True
    size: int = 1
    """How many relations it is made of."""


Scalar = Column | Constant | Apply | Subquery


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """An aggregate: as `Apply`, over the rows of a group."""

    template: str
    arguments: tuple[Scalar, ...]
    type: Type
    nullable: bool
    first: OrderKey | None = None
    """Of what belongs to one row of the group: the order in which that row is the first."""
    plain: str = ""
    """With `first`: the template of the value where that row is at hand."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """A key of an order."""

    value: Scalar
    descending: bool
    nulls_first: bool


# Relations


@dataclass(frozen=True, slots=True)
class Scan:
    """Rows of a stored table; `columns` stand for its fields, one each."""

    table: Table
    columns: tuple[Column, ...]
    until: Constant | None = None
    """As of when, of a table that can be asked for as it was."""
    parts: tuple[tuple[str, Constant], ...] = ()
    """Of such a table: what its filters want of its `parts`."""


@dataclass(frozen=True, slots=True)
class OneRow:
    """One row without a column."""


@dataclass(frozen=True, slots=True)
class Values:
    """Given rows; `position` numbers them."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Constant, ...], ...]
    position: Column


@dataclass(frozen=True, slots=True)
class RangeRows:
    """Numbers, datetimes or timespans from `start` to `stop`."""

    column: Column
    start: Scalar
    stop: Scalar
    step: Scalar


@dataclass(frozen=True, slots=True)
class Filter:
    """The rows for which `predicate` is true."""

    input: Node
    predicate: Scalar


@dataclass(frozen=True, slots=True)
class Compute:
    """The same rows, with columns more."""

    input: Node
    definitions: tuple[tuple[Column, Scalar], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """The same rows, with columns more that look at other rows: templates of window functions without their OVER."""

    input: Node
    definitions: tuple[tuple[Column, Apply], ...]
    order: tuple[OrderKey, ...]
    partition: tuple[Scalar, ...] = ()
    frame: str = ""


@dataclass(frozen=True, slots=True)
class WindowCall:
    """A column that a function makes of other rows: of all, or of those of its partition, that a frame takes in."""

    column: Column
    value: Apply
    partition: tuple[Scalar, ...]
    frame: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A row a group. No keys and no rows: one row, unless there are no aggregates."""

    input: Node
    keys: tuple[tuple[Column, Scalar], ...]
    aggregates: tuple[tuple[Column, AggregateCall], ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """The first `count` rows in an order; of every partition, where there is one."""

    input: Node
    count: Scalar
    order: tuple[OrderKey, ...]
    by: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Join:
    """Pairs of rows. `kind` is inner, left, right, full, semi, anti (of the left). No pairs: every row with every."""

    kind: str
    left: Node
    right: Node
    on: tuple[tuple[Scalar, Scalar], ...]


@dataclass(frozen=True, slots=True)
class UnionAll:
    """All rows of all inputs; `columns[i]` is made of the i-th scalar of each input."""

    inputs: tuple[tuple[Node, tuple[Scalar, ...]], ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Expand:
    """A row for every element of arrays that run beside each other.

    `items` pairs the column of the elements with the SQL array (a template) that they come from; `index` numbers them
    from 0. `keep`: a row whose arrays are empty stays, with nulls.
    """

    input: Node
    items: tuple[tuple[Column, Apply], ...]
    index: Column
    keep: bool = False
    limit: int | None = None


Node = Scan | OneRow | Values | RangeRows | Filter | Compute | Window | Aggregate | Limit | Join | UnionAll | Expand


def children(node: Node) -> tuple[Node, ...]:
    """Return the relations that a relation is made of."""
    match node:
        case Join():
            return (node.left, node.right)
        case UnionAll():
            return tuple(part for part, _ in node.inputs)
        case Scan() | OneRow() | Values() | RangeRows():
            return ()
        case _:
            return (node.input,)


def size_of(scalar: Scalar) -> int:
    """Return how many values a value is, written out."""
    return scalar.size if isinstance(scalar, Apply | Subquery) else 1


def columns_of(scalars: Iterable[Scalar]) -> Iterator[Column]:
    """Yield the columns that values are made of."""
    for scalar in scalars:
        match scalar:
            case Column():
                yield scalar
            case Apply():
                yield from scalar.columns
            case _:
                pass
