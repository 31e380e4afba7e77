"""The tree of a query: what is written, with its place. It knows no types and no tables.

A pipeline is an expression: it may stand in `toscalar(…)`, on the right of `in`, as an argument of a function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal as Choice
from uuid import UUID

from whatchanged.kql.errors import Span

__all__ = [
    "Alias", "As", "Between", "Binary", "Call", "ColumnDeclaration", "Consume", "Count", "DataTable", "Declare",
    "Distinct", "Evaluate", "Expression", "Extend", "ExternalData", "Facet", "Find", "Fork", "FunctionDeclaration",
    "GetSchema", "Index", "Invoke", "Join", "Let", "Literal", "Lookup", "MakeSeries", "Member", "Membership",
    "MvApply", "MvColumn", "MvExpand", "Name", "Named", "Operator", "Parameter", "Parse", "ParseKv", "Partition",
    "Pattern", "Pipeline", "Print", "Project", "ProjectAway", "ProjectByNames", "ProjectKeep", "ProjectRename",
    "ProjectReorder", "Query", "Range", "Reduce", "Render", "Restrict", "Sample", "SampleDistinct", "Scan", "ScanStep",
    "Search", "Serialize", "Set", "Sort", "SortKey", "Star", "Statement", "Summarize", "Take", "Top", "TopHitters",
    "TopNested", "TopNestedLevel", "Unary", "Union", "Where",
]  # fmt: skip

Value = bool | int | float | Decimal | str | UUID | list["Value"] | dict[str, "Value"] | None
"""Of a literal: datetimes and timespans are counted in ticks of 100 ns (`int`), dynamics are lists and dicts."""


@dataclass(frozen=True, slots=True)
class Node:
    """Anything with a place."""

    span: Span


# Expressions


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant. `value` None: the null of its type. Ticks of a datetime count from 0001-01-01, as in the language."""

    type: Choice["bool", "int", "long", "real", "decimal", "string", "datetime", "timespan", "guid", "dynamic"]
    value: Value


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name: of a column, a table, a variable. May hold `*` where wildcards are allowed (`union T*`)."""

    name: str
    quoted: bool = False
    """Written as `['…']`."""


@dataclass(frozen=True, slots=True)
class Star(Node):
    """`*`: all columns."""


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`target.name`."""

    target: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`target[index]`."""

    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name(arguments)`; an argument may be `Named`, `Star`, a pipeline in brackets.

    `toscalar(…)`, `totable(…)` and `materialize(…)` are calls whose argument may be a pipeline; `typeof(long)` is a
    call whose argument is the name of the type.
    """

    name: str
    arguments: tuple[Expression, ...]
    name_span: Span
    target: Expression | None = None
    """Left of the dot: `cluster('a').database('b')`."""


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-x` or `+x`."""

    operator: Choice["-", "+"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Two operands: arithmetic, comparison, `and`, `or`, and string operators such as `!has_cs`, as written."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Between(Node):
    """`value between (low .. high)`, `!between`."""

    value: Expression
    low: Expression
    high: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class Membership(Node):
    """`value in (a, b)`: operators in, !in, in~, !in~, has_any, has_all. An only item may be a pipeline or an array."""

    operator: Choice["in", "!in", "in~", "!in~", "has_any", "has_all"]
    value: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Named(Node):
    """`name = expression`; several names: `(a, b) = f()`."""

    names: tuple[Name, ...]
    value: Expression


@dataclass(frozen=True, slots=True)
class ColumnDeclaration(Node):
    """`name: type` of a datatable, a parameter or a pattern; type `*` is a table of any columns."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class DataTable(Node):
    """`datatable(columns) [values]`."""

    columns: tuple[ColumnDeclaration, ...]
    values: tuple[Expression, ...]
    """Literals (with signs) row by row."""


@dataclass(frozen=True, slots=True)
class ExternalData(Node):
    """`externaldata(…)`: parsed in order to be refused."""


@dataclass(frozen=True, slots=True)
class Pipeline(Node):
    """`source | operator | …`. A source is a name, a call, a datatable, a pipeline in brackets, or one of the operators
    that bring their own rows (`range`, `print`, `union`, `find`, `search`)."""

    source: Expression | Operator
    operators: tuple[Operator, ...]


# Operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator(Node):
    """`| name …`; `options` are its `key = value` words (`kind=inner`, `hint.strategy=shuffle`), keys as written."""

    options: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Where(Operator):
    """`where predicate`."""

    predicate: Expression


@dataclass(frozen=True, slots=True)
class Extend(Operator):
    """`extend columns`; each may be `Named`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Project(Operator):
    """`project columns`; each may be `Named`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ProjectAway(Operator):
    """`project-away columns`."""

    columns: tuple[Name, ...]
    """May hold `*` in their names."""


@dataclass(frozen=True, slots=True)
class ProjectKeep(Operator):
    """`project-keep columns`; may hold `*` in their names."""

    columns: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class ProjectRename(Operator):
    """`project-rename new = old`."""

    columns: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class ProjectReorder(Operator):
    """`project-reorder columns`."""

    columns: tuple[SortKey, ...]
    """`order` is None, or `asc`, `desc`, `granny-asc`, `granny-desc`; expressions are names."""


@dataclass(frozen=True, slots=True)
class ProjectByNames(Operator):
    """`project-by-names expressions`, which are names as text."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Distinct(Operator):
    """`distinct columns`."""

    columns: tuple[Expression, ...]
    """One `Star` for `distinct *`."""


@dataclass(frozen=True, slots=True)
class Summarize(Operator):
    """`summarize aggregates by groups`. Options: hints, and the older `bin=size` behind the groups."""

    aggregates: tuple[Expression, ...]
    by: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class SortKey(Node):
    """`expression [asc|desc] [nulls first|last]`; None: not written."""

    expression: Expression
    order: str | None = None
    nulls: Choice["first", "last"] | None = None


@dataclass(frozen=True, slots=True)
class Sort(Operator):
    """`sort by keys`, `order by keys`."""

    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Top(Operator):
    """`top count by key`."""

    count: Expression
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Take(Operator):
    """`take count`, `limit count`."""

    count: Expression


@dataclass(frozen=True, slots=True)
class Count(Operator):
    """`count`. Options: `as`, for the older `count as name`."""


@dataclass(frozen=True, slots=True)
class Sample(Operator):
    """`sample count`."""

    count: Expression


@dataclass(frozen=True, slots=True)
class SampleDistinct(Operator):
    """`sample-distinct count of column`."""

    count: Expression
    column: Expression


@dataclass(frozen=True, slots=True)
class Join(Operator):
    """`join kind=… (right) on …`; a condition is a name, or `$left.a == $right.b` (names `$left`, `$right`)."""

    right: Expression
    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Lookup(Operator):
    """`lookup kind=… (right) on …`, conditions as in a join."""

    right: Expression
    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Union(Operator):
    """`union tables`. Options: `kind`, `withsource`, `isfuzzy`, hints."""

    tables: tuple[Expression, ...]
    """Names with wildcards, calls, pipelines in brackets."""


@dataclass(frozen=True, slots=True)
class MvColumn(Node):
    """A column of mv-expand or mv-apply: `[name =] expression [to typeof(type)]`."""

    expression: Expression
    type: str | None = None


@dataclass(frozen=True, slots=True)
class MvExpand(Operator):
    """Options: `bagexpansion`, `kind`, `with_itemindex`."""

    columns: tuple[MvColumn, ...]
    limit: Expression | None = None


@dataclass(frozen=True, slots=True)
class MvApply(Operator):
    """`mv-apply columns on (operators)`."""

    columns: tuple[MvColumn, ...]
    subquery: tuple[Operator, ...]
    limit: Expression | None = None


@dataclass(frozen=True, slots=True)
class Parse(Operator):
    """`parse [kind=…] [flags=…] expression with pattern`; `where`: parse-where.

    The pattern is a sequence of string literals, `Star`, and columns to fill (`Name` or `ColumnDeclaration`).
    """

    expression: Expression
    pattern: tuple[Literal | Star | Name | ColumnDeclaration, ...]
    where: bool = False


@dataclass(frozen=True, slots=True)
class ParseKv(Operator):
    """`parse-kv expression as (columns) with (options)`."""

    expression: Expression
    columns: tuple[ColumnDeclaration, ...]


@dataclass(frozen=True, slots=True)
class MakeSeries(Operator):
    """`make-series a [default=d], … on axis [from …] [to …] step … [by …]`, or the older `in range(…)`."""

    aggregates: tuple[tuple[Expression, Expression | None], ...]
    """Each with its default."""
    axis: Expression
    start: Expression | None
    stop: Expression | None
    step: Expression
    by: tuple[Expression, ...]
    in_range: bool = False
    """The older form: the end is part of it."""


@dataclass(frozen=True, slots=True)
class Range(Operator):
    """`range name from … to … step …`: a source."""

    column: Name
    start: Expression
    stop: Expression
    step: Expression


@dataclass(frozen=True, slots=True)
class Print(Operator):
    """`print columns`: a source of one row."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Render(Operator):
    """Options: the properties in `with (…)`."""

    chart: str


@dataclass(frozen=True, slots=True)
class Serialize(Operator):
    """`serialize columns`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class GetSchema(Operator):
    """`getschema`."""


@dataclass(frozen=True, slots=True)
class As(Operator):
    """`as name`."""

    name: Name


@dataclass(frozen=True, slots=True)
class Consume(Operator):
    """`consume`."""


@dataclass(frozen=True, slots=True)
class Invoke(Operator):
    """`invoke function(…)`, which gets the rows as its first argument."""

    function: Call


@dataclass(frozen=True, slots=True)
class Evaluate(Operator):
    """`evaluate plugin(…) : (schema)`."""

    plugin: Call
    schema: tuple[ColumnDeclaration, ...] | None = None
    all_columns: bool = False
    """`(*, …)`: the columns of the input are part of the schema, before those named."""


@dataclass(frozen=True, slots=True)
class Search(Operator):
    """`search [kind=…] [in (tables)] predicate`; in the predicate a literal alone, or `*`, is looked for everywhere,
    and `column:literal` is a Binary with the operator `:`."""

    tables: tuple[Expression, ...]
    predicate: Expression


@dataclass(frozen=True, slots=True)
class Find(Operator):
    """`find [in (tables)] where predicate [project …]`."""

    tables: tuple[Expression, ...]
    predicate: Expression
    columns: tuple[Expression, ...] | None = None
    """What stands behind `project`; `ColumnDeclaration` for `name: type`; a call of `pack` for `pack(*)`."""
    smart: bool = True
    """`project-smart`, the default."""


@dataclass(frozen=True, slots=True)
class Fork(Operator):
    """`fork name=(operators) (operators)`."""

    branches: tuple[tuple[Name | None, tuple[Operator, ...]], ...]


@dataclass(frozen=True, slots=True)
class Facet(Operator):
    """`facet by columns with (operators)`."""

    columns: tuple[Expression, ...]
    subquery: tuple[Operator, ...] = ()


@dataclass(frozen=True, slots=True)
class Partition(Operator):
    """`partition by column (operators)` or `{query}`."""

    column: Expression
    subquery: tuple[Operator, ...] | Query


@dataclass(frozen=True, slots=True)
class Reduce(Operator):
    """`reduce by column`. Options: those behind `with` too."""

    column: Expression


@dataclass(frozen=True, slots=True)
class ScanStep(Node):
    """`step name output=… : condition => column = value, …;`."""

    name: str
    condition: Expression
    assignments: tuple[tuple[Name, Expression], ...] = ()
    output: str = "all"
    """all, last, none."""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Scan(Operator):
    """`scan … declare (…) with (steps)`."""

    declared: tuple[Parameter, ...]
    steps: tuple[ScanStep, ...]
    clauses: bool = False
    """Whether there is an `order by` or `partition by`, which only the vendor's parser knows."""


@dataclass(frozen=True, slots=True)
class TopNestedLevel(Node):
    """`top-nested count of column with others = … by …`."""

    count: Expression | None
    column: Expression
    others: Expression | None
    by: Expression
    order: str | None


@dataclass(frozen=True, slots=True)
class TopNested(Operator):
    """`top-nested …, top-nested …`."""

    levels: tuple[TopNestedLevel, ...]


@dataclass(frozen=True, slots=True)
class TopHitters(Operator):
    """`top-hitters count of column by expression`."""

    count: Expression
    column: Expression
    by: Expression | None


# Statements


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """A parameter of a function; `columns` of a tabular one (empty with `any_table`: `T: (*)`)."""

    name: str
    type: str | None
    columns: tuple[ColumnDeclaration, ...] = ()
    any_table: bool = False
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class FunctionDeclaration(Node):
    """`[view] (parameters) { body }`."""

    parameters: tuple[Parameter, ...]
    body: Query
    view: bool = False


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let name = …`."""

    name: Name
    value: Expression | FunctionDeclaration


@dataclass(frozen=True, slots=True)
class Set(Node):
    """`set name = value`."""

    name: str
    value: Expression | None


@dataclass(frozen=True, slots=True)
class Declare(Node):
    """`declare query_parameters(…)`."""

    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Alias(Node):
    """`alias database …`: parsed in order to be refused."""


@dataclass(frozen=True, slots=True)
class Pattern(Node):
    """`declare pattern …`: parsed in order to be refused."""


@dataclass(frozen=True, slots=True)
class Restrict(Node):
    """`restrict access to (…)`."""

    tables: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Query(Node):
    """Statements, of which the last expression is the answer (None only in the body of a function: no answer)."""

    statements: tuple[Statement, ...]
    answers: tuple[Expression, ...] = field(default=())
    """Expression statements in order; a query has one, a batch several. Of a function body: its value."""


Expression = (
    Literal | Name | Star | Member | Index | Call | Unary | Binary | Between | Membership | Named | ColumnDeclaration
    | DataTable | ExternalData | Pipeline
)  # fmt: skip
Statement = Let | Set | Declare | Alias | Pattern | Restrict
