"""What is known at a place: the variables, and the columns of the rows that come to it. Asks the binder, part by part,
so that what is broken before the place costs no more than its own part."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from whatchanged.kql.binder.given import SAMPLES
from whatchanged.kql.binder.queries import Queries, parsed_functions
from whatchanged.kql.binder.scope import BoundTable, FunctionValue, Relation, Scope, TabularValue
from whatchanged.kql.editor.place import Frame, Place
from whatchanged.kql.errors import KqlError
from whatchanged.kql.plan import Column, OneRow, Scan, children
from whatchanged.kql.syntax import parse, tree
from whatchanged.kql.types import TYPE_NAMES, Schema, Type

__all__ = ["Knowledge", "knowledge_at"]

_WRONG = (KqlError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
"""What half of a query may make of the binder. It costs what the part would have told, and stops nobody who writes."""
_NOW = 638_000_000_000_000_000
"""Some moment: no name or type depends on it."""
_MOST_PARTS = 200
"""Statements, and operators of a pipeline, that are looked at."""
_NOTHING = Relation(OneRow(), ())
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "parse_path": (
        "Scheme", "RootPath", "DirectoryPath", "DirectoryName", "Filename", "Extension", "AlternateDataStreamName",
    ),
    "parse_url": ("Scheme", "Host", "Port", "Path", "Username", "Password", "Query Parameters", "Fragment"),
}  # fmt: skip
"""Functions whose result is a bag of known keys."""


@dataclass(slots=True)
class Knowledge:
    """Names at a place."""

    queries: Queries
    scope: Scope
    relation: Relation | None
    """The rows that come to the place; None: unknown, or none."""
    other: Relation | None = None
    """The rows on the right of a join."""
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Keys of dynamic columns and variables, where they are known."""

    def columns(self) -> dict[str, Column]:
        """Return the columns that may be named."""
        return {} if self.relation is None else self.relation.named()

    def docs(self) -> dict[str, str]:
        """Return what the columns say, as far as they are columns of tables, or are called as one and have its type."""
        columns = self.columns()
        found: dict[str, str] = {}
        for table in self.scope.schema.tables.values():
            for field_ in table.fields:
                column = columns.get(field_.name)
                if column is not None and column.type is field_.type:
                    found.setdefault(field_.name, field_.doc)
        names = {column.number: name for name, column in columns.items()}
        nodes = [] if self.relation is None else [self.relation.node]
        while nodes:
            node = nodes.pop()
            nodes += children(node)
            if isinstance(node, Scan):
                for column, field_ in zip(node.columns, node.table.fields, strict=True):
                    if column.number in names:
                        found[names[column.number]] = field_.doc
        return found

    def type_of(self, name: str) -> Type | None:
        """Return the type of a column or variable."""
        column = self.columns().get(name)
        if column is not None:
            return column.type
        value = self.scope.find(name)
        return None if value is None or isinstance(value, TabularValue | BoundTable | FunctionValue) else value.type

    def functions(self, *, tabular: bool) -> dict[str, FunctionValue]:
        """Return the functions of the text and of the schema that give rows, or those that give a value."""
        own = {name: value for name, value in self.variables().items() if isinstance(value, FunctionValue)}
        return {name: function for name, function in own.items() if self._gives_rows(function) is tabular}

    def _gives_rows(self, function: FunctionValue) -> bool | None:
        try:
            return self.queries.gives_rows(function)
        except _WRONG:
            return None

    def variables(self) -> dict[str, object]:
        """Return the variables and functions of the text and of the schema; the nearest of a name."""
        found: dict[str, object] = {}
        at: Scope | None = self.scope
        while at is not None:
            found = {**at.variables, **found}
            at = at.outer
        return found


class _Reader:
    """Follows the frames of a place from the outermost to its own."""

    def __init__(self, place: Place, schema: Schema) -> None:
        self.place = place
        self.queries = Queries(schema, _NOW)
        self.scope = Scope(schema)
        self.members: dict[str, tuple[str, ...]] = {}
        self.parts = 0
        if schema.functions:
            self.scope = self.queries.known(parsed_functions(schema.functions), self.scope)

    def read(self) -> Knowledge:
        relation: Relation | None = None
        for level, frame in enumerate(self.place.frames[: self.place.level + 1]):
            if frame.bracket == "{":
                self._parameters(frame)
            for first, last in frame.statements[-_MOST_PARTS:]:
                self._statement(self.place.slice(first, last))
            if frame.is_subquery:
                relation = self._expanded(level, relation)
            elif frame.is_query:
                relation = None
            if frame.is_query:
                relation = self._pipeline(frame, relation)
        return Knowledge(self.queries, self.scope, relation, self._joined(), self.members)

    def _more(self) -> bool:
        self.parts += 1
        return self.parts <= _MOST_PARTS

    def _statement(self, text: str) -> None:
        """Take what a statement, or several, declares; what is wrong declares nothing."""
        if not self._more():
            return
        try:
            query = parse(f"{text}\n;print 0")
            samples = {
                parameter.name: SAMPLES[TYPE_NAMES[(parameter.type or "string").lower()]]
                for statement in query.statements
                if isinstance(statement, tree.Declare)
                for parameter in statement.parameters
                if parameter.default is None
            }
            *_, (_, self.scope) = self.queries.statements(query, self.scope, samples)
        except _WRONG:
            return
        for statement in query.statements:
            if isinstance(statement, tree.Let) and isinstance(statement.value, tree.Expression):
                self._note_members(statement.name.name, statement.value)

    def _parameters(self, frame: Frame) -> None:
        """Take the parameters of a function in whose body the place is."""
        last = frame.opened
        first = last - 1
        depth = 0
        while first >= 0:
            depth += {")": 1, "(": -1}.get(self.place.tokens[first].kind, 0)
            if depth <= 0:
                break
            first -= 1
        try:
            query = parse(f"let f = {self.place.slice(max(first, 0), last)} {{ print 0 }};print 0")
        except _WRONG:
            return
        (statement, *_) = query.statements
        assert isinstance(statement, tree.Let)
        if not isinstance(statement.value, tree.FunctionDeclaration):
            return
        scope = self.scope.inner()
        for parameter in statement.value.parameters:
            if parameter.columns or parameter.any_table:
                columns = (Column(c.name, TYPE_NAMES.get(c.type.lower(), Type.DYNAMIC)) for c in parameter.columns)
                table = Relation(OneRow(), tuple((column.name, column) for column in columns))
                scope.variables[parameter.name] = BoundTable(table)
            else:
                type_ = TYPE_NAMES.get((parameter.type or "dynamic").lower(), Type.DYNAMIC)
                scope.variables[parameter.name] = Column(parameter.name, type_)
        self.scope = scope

    def _pipeline(self, frame: Frame, relation: Relation | None) -> Relation | None:
        """Return the rows that come to what is open in a frame: behind the operators that are complete."""
        bounds = [frame.start - 1, *frame.pipes]
        for first, last in itertools.pairwise(bounds):
            text = self.place.slice(first + 1, last)
            if first + 1 == frame.start and not frame.is_subquery:
                relation = self._source(text)
            elif relation is not None:
                relation = self._through(relation, text)
        return relation

    def _source(self, text: str) -> Relation | None:
        if text.startswith("let ") and "=" in text:  # a statement that is being written
            text = text.partition("=")[2]
        if not self._more():
            return None
        try:
            answers = parse(text).answers
            return self.queries.relation(answers[-1], self.scope) if answers else None
        except _WRONG:
            return None

    def _through(self, relation: Relation, text: str) -> Relation:
        """Return the rows behind an operator; those before it if it is wrong."""
        if not self._more():
            return relation
        try:
            (pipeline,) = parse(f"T | {text}").answers
            if not isinstance(pipeline, tree.Pipeline):
                return relation
            for operator in pipeline.operators:
                relation = self.queries.through(relation, operator, self.scope)
                self._note_all(operator)
        except _WRONG:
            return relation
        return relation

    def _expanded(self, level: int, relation: Relation | None) -> Relation | None:
        """Return the rows in the brackets of `mv-apply … on (`."""
        frame = self.place.frames[level]
        if relation is None or frame.operator not in ("mv-apply", "mvapply"):
            return relation
        segment = self.place.segment(level - 1)
        return self._through(relation, f"{self.place.text[segment[0].start : segment[-1].end]} where true)")

    def _joined(self) -> Relation | None:
        """Return the rows on the right of a join whose conditions are being written."""
        segment = self.place.segment()
        if not segment or segment[0].text not in ("join", "lookup"):
            return None
        on = [number for number, token in enumerate(segment) if token.text == "on"]
        first = next((n for n, t in enumerate(segment) if n and t.text == "("), None)
        if not on:
            return None
        if first is None or first > on[0]:
            first = on[0] - 1
        return self._source(self.place.text[segment[first].start : segment[on[0] - 1].end])

    # Members

    def _note_all(self, operator: tree.Operator) -> None:
        if isinstance(operator, tree.Extend | tree.Project):
            for column in operator.columns:
                if isinstance(column, tree.Named) and len(column.names) == 1:
                    self._note_members(column.names[0].name, column.value)

    def _note_members(self, name: str, value: tree.Expression) -> None:
        keys = _keys(value)
        if keys:
            self.members[name] = keys
        elif isinstance(value, tree.Name) and value.name in self.members:
            self.members[name] = self.members[value.name]
        else:
            self.members.pop(name, None)


def _keys(value: tree.Expression) -> tuple[str, ...]:
    match value:
        case tree.Literal() if isinstance(value.value, dict):
            return tuple(value.value)
        case tree.Call(name="bag_pack" | "pack"):
            return tuple(
                str(key.value) for key in value.arguments[::2] if isinstance(key, tree.Literal) and key.type == "string"
            )
        case tree.Call(name=name):
            return _MEMBERS.get(name, ())
        case _:
            return ()


def knowledge_at(place: Place, schema: Schema) -> Knowledge:
    """Return what is known at a place."""
    return _Reader(place, schema).read()
