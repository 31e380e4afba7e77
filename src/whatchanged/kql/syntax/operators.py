"""Pipelines, and the operators that have another pipeline or table in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from whatchanged.kql.errors import KqlUnsupported
from whatchanged.kql.syntax.columns import Columns
from whatchanged.kql.syntax.cursor import nearest
from whatchanged.kql.syntax.keywords import DASHED, NAMES, RENDER_PROPERTIES, words
from whatchanged.kql.syntax.lexer import IDENTIFIER, Token
from whatchanged.kql.syntax.tree import (
    As,
    Consume,
    Evaluate,
    Expression,
    Facet,
    Fork,
    GetSchema,
    Invoke,
    Join,
    Literal,
    Lookup,
    MvApply,
    Name,
    Named,
    Operator,
    Partition,
    Pipeline,
    Query,
    Render,
    Scan,
    ScanStep,
    Value,
)

__all__ = ["Operators"]

_LISTS: Final = frozenset(["ycolumns", "anomalycolumns", "series"])


class Operators(Columns):
    """Parses pipelines."""

    def pipeline(self) -> Expression:
        """Return `source | operator | …`; a source alone is returned as it is."""
        self.enter()
        start = self.token.start
        source = self.operator() if self._at_operator() else self.expression()
        operators = self._piped() if self.kind == "|" else ()
        self.leave()
        if operators or isinstance(source, Operator):
            return Pipeline(self.since(start), source, operators)
        return source

    def _piped(self) -> tuple[Operator, ...]:
        operators: list[Operator] = []
        while self.accept("|"):
            operators.append(self.operator())
        return tuple(operators)

    def _at_operator(self) -> bool:
        """Tell whether a pipeline begins with an operator here."""
        kind = self.kind
        if kind in NAMES:
            return kind in _SOURCES and self._at_source(kind)
        if kind in _OPERATORS and kind not in _SOURCES:
            self.fail("a table before the first operator")
        return kind in _SOURCES or kind in _UNSUPPORTED

    def _at_source(self, kind: str) -> bool:
        """Tell whether a word that may be a name is an operator here."""
        length = self.quoted_length(1) or int(self.peek() in NAMES or self.peek() == IDENTIFIER)
        if kind == "range":
            return length > 0 and self.peek(1 + length) == "from"
        return length > 0 or self.peek()[:5] == "hint."

    def operator(self) -> Operator:
        """Return the operator that stands here.

        Raises: KqlUnsupported for one that the language has and this compiler has not even a tree for.
        """
        self._refuse_unknown_dash()
        parse = _OPERATORS.get(self.kind)
        if parse is not None and not (self.kind in ("count", "range") and self.peek() == "("):
            self.enter()
            operator = parse(self)
            self.leave()
            return operator
        if self.kind in _UNSUPPORTED:
            raise KqlUnsupported(f"The operator {self.kind} is not supported", self.token.span)
        return self.fail("an operator", suggestion=nearest(self.token.text, _OPERATORS))

    def _refuse_unknown_dash(self) -> None:
        """Refuse `project-awey`, which would else be `project` with a column that has a minus before it."""
        if self.peek() == "-" and self.adjacent(1) and self.adjacent(2):
            start, end = self.token.start, self.tokens[self.index + 2].end
            written = Token(IDENTIFIER, self.text[start:end], start, end)
            if suggestion := nearest(written.text, DASHED & _OPERATORS.keys()):
                self.fail("an operator", token=written, suggestion=suggestion)

    def subquery(self) -> tuple[Operator, ...]:
        """Return `operator | operator …` in brackets."""
        self.enter()
        self.expect("(")
        first = self.operator()
        operators = (first, *self._piped())
        self.expect(")", "| or )")
        self.leave()
        return operators

    # Tables

    def join(self) -> Join:
        """Return `join (table) on conditions`."""
        start = self.advance().start
        options = self.options()
        right = self.expression()
        conditions = self._conditions()
        return Join(self.since(start), right, conditions, options=options)

    def lookup(self) -> Lookup:
        """Return `lookup (table) on conditions`."""
        start = self.advance().start
        options = self.options()
        right = self.expression()
        if self.kind != "on":
            self.fail("on with conditions")
        conditions = self._conditions()
        return Lookup(self.since(start), right, conditions, options=options)

    def _conditions(self) -> tuple[Expression, ...]:
        return self.comma_list(self.expression) if self.accept("on") else ()

    def invoke(self) -> Invoke:
        """Return `invoke function(…)`."""
        start = self.advance().start
        function = self.call()
        while self.accept("."):
            self.links += 1
            name = self.name("a function")
            if self.kind != "(":
                self.fail("( with arguments")
            function = self._called(function.span.start, name, function)
        return Invoke(self.since(start), function)

    def evaluate(self) -> Evaluate:
        """Return `evaluate plugin(…) : (schema)`."""
        start = self.advance().start
        options = self.options()
        plugin = self.call("a plugin")
        schema, all_columns = None, False
        if self.accept(":"):
            all_columns = self.peek() == "*"
            schema = self.schema(star=True)
        return Evaluate(self.since(start), plugin, schema, all_columns, options=options)

    def as_(self) -> As:
        """Return `as name`."""
        start = self.advance().start
        options = self.options()
        name = self.name()
        return As(self.since(start), name, options=options)

    def consume(self) -> Consume:
        """Return `consume`."""
        start = self.advance().start
        options = self.options()
        return Consume(self.since(start), options=options)

    def getschema(self) -> GetSchema:
        """Return `getschema`."""
        start = self.advance().start
        options = self.options()
        return GetSchema(self.since(start), options=options)

    def fork(self) -> Fork:
        """Return `fork name=(operators) …`."""
        start = self.advance().start
        branches: list[tuple[Name | None, tuple[Operator, ...]]] = []
        while self.kind == "(" or self._at_branch_name():
            name = None
            if self.kind != "(":
                name = self.name()
                self.expect("=")
            branches.append((name, self.subquery()))
        if not branches:
            self.fail("( with operators")
        return Fork(self.since(start), tuple(branches))

    def _at_branch_name(self) -> bool:
        return self.peek(self.quoted_length() or 1) == "="

    def facet(self) -> Facet:
        """Return `facet by columns with (operators)`."""
        start = self.advance().start
        self.expect("by")
        columns = self.comma_list(self.column_path)
        subquery: tuple[Operator, ...] = ()
        if self.accept("with"):
            subquery = self.subquery() if self.kind == "(" else (self.operator(),)
        return Facet(self.since(start), columns, subquery)

    def partition(self) -> Partition:
        """Return `partition by column (operators)` or `{query}`."""
        start = self.advance().start
        options = self.options()
        self.expect("by")
        column = self.column_path()
        if self.kind == "in":
            raise KqlUnsupported("The scope of partition by … in is not supported", self.token.span)
        subquery: tuple[Operator, ...] | Query
        if self.kind == "{":
            inner_start = self.advance().start
            inner = self.pipeline()
            self.expect("}", "| or }")
            subquery = Query(self.since(inner_start), (), (inner,))
        else:
            subquery = self.subquery()
        return Partition(self.since(start), column, subquery, options=options)

    def mv_apply(self) -> MvApply:
        """Return `mv-apply columns on (operators)`."""
        start = self.advance().start
        options = self.options()
        columns = self.comma_list(self.mv_column)
        limit = self.expression() if self.accept("limit") else None
        if self.kind == "id":
            raise KqlUnsupported("The id of mv-apply is not supported", self.token.span)
        self.expect("on")
        subquery = self.subquery()
        return MvApply(self.since(start), columns, subquery, limit, options=options)

    # Display, and what is only recognised

    def render(self) -> Render:
        """Return `render chart with (properties)`, or the older form without `with`."""
        start = self.advance().start
        chart = self._chart()
        options: list[Named] = []
        while (self.kind in ("kind", "title", "accumulate") and self.peek() == "=") or self.kind == "by":
            options.append(self._older_property())
        if self.accept("with"):
            if self.kind == "(":
                self.advance()
                self.accept(",")
                options += self.open_list(self._property, ")")
            else:
                self.string()
        return Render(self.since(start), chart, options=tuple(options))

    def _chart(self) -> str:
        if self.token.text == "3Dchart" or self.kind == IDENTIFIER or self.kind in ("graph", "plotly"):
            return self.advance().text
        return self.fail("the name of a chart")

    def _older_property(self) -> Named:
        if self.kind != "by":
            return self._property()
        token = self.advance()
        names = self._name_list()
        return Named(self.since(token.start), (Name(token.span, "by"),), names)

    def _property(self) -> Named:
        key = self.property_key(RENDER_PROPERTIES)
        self.expect("=")
        value: Expression
        if key.name in _LISTS:
            value = self._name_list()
        elif key.name.endswith("title"):
            value = self._operand()
        else:
            value = self.option_value()
        return Named(self.since(key.span.start), (key,), value)

    def _name_list(self) -> Literal:
        """Return names with commas between them, as a list of strings; a comma before `key =` ends it."""
        start = self.token.start
        names: list[Value] = [self.given_name("a column").name]
        while self.kind == "," and self.peek(1 + (self.quoted_length(1) or 1)) != "=":
            self.advance()
            names.append(self.given_name("a column").name)
        return Literal(self.since(start), "dynamic", names)

    # scan

    def scan(self) -> Scan:
        """Return `scan order by … partition by … declare (…) with (steps)`."""
        start = self.advance().start
        options = self.options()
        clauses = False
        if self.accept("order"):
            clauses = True
            self.expect("by")
            self.comma_list(self.sort_key)
        if self.accept("partition"):
            clauses = True
            self.expect("by")
            self.comma_list(self.expression)
        declared = self.parameters() if self.accept("declare") else ()
        self.expect("with")
        self.expect("(", "( with steps")
        steps: list[ScanStep] = []
        while self.kind == "step":
            steps.append(self._step())
        self.expect(")", "step or )")
        return Scan(self.since(start), declared, tuple(steps), clauses, options=options)

    def _step(self) -> ScanStep:
        """Return `step name optional output=… : condition => name = value, …;`."""
        start = self.advance().start
        name = self.given_name().name
        optional = self.accept("optional")
        output = "all"
        if self.accept("output"):
            self.expect("=")
            if self.token.text not in ("all", "last", "none"):
                self.fail("all, last or none")
            output = self.advance().text
        self.expect(":")
        condition = self.expression()
        assignments = self.comma_list(self._assignment) if self.accept("=>") else ()
        self.expect(";")
        return ScanStep(self.since(start), name, condition, tuple(assignments), output, optional)

    def _assignment(self) -> tuple[Name, Expression]:
        name = self.given_name("a column")
        self.expect("=")
        return name, self.expression()


_OPERATORS: Final[dict[str, Callable[[Operators], Operator]]] = {
    "as": Operators.as_, "consume": Operators.consume, "count": Operators.count, "distinct": Operators.distinct,
    "evaluate": Operators.evaluate, "extend": Operators.extend, "facet": Operators.facet, "filter": Operators.where,
    "find": Operators.find, "fork": Operators.fork, "getschema": Operators.getschema, "invoke": Operators.invoke,
    "join": Operators.join, "limit": Operators.take, "lookup": Operators.lookup,
    "make-series": Operators.make_series, "mv-apply": Operators.mv_apply, "mvapply": Operators.mv_apply,
    "mv-expand": Operators.mv_expand, "mvexpand": Operators.mv_expand, "order": Operators.sort,
    "parse": Operators.parse, "parse-kv": Operators.parse_kv, "parse-where": Operators.parse,
    "partition": Operators.partition, "print": Operators.print_, "project": Operators.project,
    "project-away": Operators.project_away, "project-by-names": Operators.project_by_names,
    "project-keep": Operators.project_keep, "project-rename": Operators.project_rename,
    "project-reorder": Operators.project_reorder, "range": Operators.range_, "reduce": Operators.reduce,
    "render": Operators.render, "sample": Operators.sample, "sample-distinct": Operators.sample_distinct,
    "scan": Operators.scan, "search": Operators.search, "serialize": Operators.serialize, "sort": Operators.sort,
    "summarize": Operators.summarize, "take": Operators.take, "top": Operators.top,
    "top-hitters": Operators.top_hitters, "top-nested": Operators.top_nested, "union": Operators.union,
    "where": Operators.where,
}  # fmt: skip

_SOURCES: Final = frozenset(["evaluate", "find", "print", "range", "search", "union"])

_UNSUPPORTED: Final = words(
    "macro-expand assert-schema make-graph graph-match graph-shortest-paths graph-to-table graph-mark-components"
    " graph-where-nodes graph-where-edges __executeAndCache __partitionby"
)
"""Operators of the language that have no tree here."""
