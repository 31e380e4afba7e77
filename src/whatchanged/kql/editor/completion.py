"""What could stand at a place, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from whatchanged.kql.binder.operators.joins import KINDS, LOOKUPS
from whatchanged.kql.binder.operators.plugins import PLUGINS
from whatchanged.kql.binder.scope import BoundTable, FunctionValue, TabularValue
from whatchanged.kql.editor.knowledge import Knowledge, knowledge_at
from whatchanged.kql.editor.place import Place, place_at
from whatchanged.kql.editor.reference import (
    CHARTS,
    INFIX,
    OPERATORS,
    SOURCES,
    comments_of,
    described,
    names,
    signature_of,
)
from whatchanged.kql.errors import KqlError, KqlSyntaxError, Span
from whatchanged.kql.syntax import parse
from whatchanged.kql.syntax.keywords import CONTEXTUAL_NAMES, KEYWORDS, NAMES, words
from whatchanged.kql.syntax.lexer import BOOL, GUID, IDENTIFIER, LONG, REAL, STRING, TIMESPAN, Token
from whatchanged.kql.types import Schema, Type

__all__ = ["MOST", "Suggestion", "complete"]

MOST: Final = 500
"""Suggestions at a place."""
_LONG: Final = 5_000
"""Characters of a text that is parsed as a whole for every word that could stand behind it."""

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_]*")
_NO_OPERANDS: Final = words("take limit sample count getschema consume as")
_COLUMNS_ONLY: Final = words("project-away project-keep project-reorder project-by-names facet partition")
_COUNTS: Final = words("top take limit sample")
_EXPANDS: Final = words("mv-expand mvexpand mv-apply mvapply")
_BY_FIRST: Final = words("summarize reduce facet partition order sort")
_OF: Final = {
    STRING: Type.STRING, LONG: Type.LONG, REAL: Type.REAL, TIMESPAN: Type.TIMESPAN, BOOL: Type.BOOL, GUID: Type.GUID,
}  # fmt: skip
_CLAUSES: Final = {
    "order": "by asc desc nulls", "sort": "by asc desc nulls", "top": "by asc desc nulls", "summarize": "by",
    "join": "on", "lookup": "on", "mv-expand": "to limit", "mvexpand": "to limit", "mv-apply": "to limit on",
    "mvapply": "to limit on", "parse": "with", "parse-where": "with", "parse-kv": "as with",
    "make-series": "on from to step by", "render": "with", "range": "from to step", "find": "where project",
    "sample-distinct": "of", "top-hitters": "of by", "top-nested": "of by", "partition": "by", "facet": "by with",
    "reduce": "by with", "project-reorder": "asc desc", "search": "in",
}  # fmt: skip
"""Words that stand between the operands of an operator."""
_OPTIONS: Final = {
    "join": ("kind=",), "lookup": ("kind=",), "union": ("withsource=", "kind=", "isfuzzy="), "search": ("kind=",),
    "mv-expand": ("bagexpansion=", "with_itemindex="), "parse": ("kind=",), "parse-where": ("kind=",),
    "make-series": ("kind=",), "find": ("withsource=",), "mv-apply": ("with_itemindex=",),
}  # fmt: skip
"""What may stand right behind an operator's name."""
_VALUES: Final = {
    ("join", "kind"): tuple(KINDS), ("lookup", "kind"): tuple(LOOKUPS), ("union", "kind"): ("inner", "outer"),
    ("union", "isfuzzy"): ("true", "false"), ("search", "kind"): ("case_sensitive", "case_insensitive"),
    ("mv-expand", "bagexpansion"): ("bag", "array"), ("parse", "kind"): ("simple", "regex", "relaxed"),
    ("parse-where", "kind"): ("simple", "regex", "relaxed"), ("make-series", "kind"): ("nonempty",),
}  # fmt: skip
_TYPES: Final = ("string", "long", "int", "real", "bool", "datetime", "timespan", "dynamic", "guid", "decimal")
_TEXTS: Final = (Type.STRING, Type.DYNAMIC)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something that could stand at a place."""

    label: str
    kind: str
    """Such as operator, table, column, variable, function, aggregate, plugin, keyword, comparison."""
    detail: str
    """Its type, or its signature."""
    insert: str
    """What takes the place of `span`."""
    span: Span
    doc: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A word that may be suggested; those of one `group` are syntax of one sort."""

    label: str
    kind: str
    detail: str = ""
    doc: str = ""
    insert: str = ""
    group: str = ""


def complete(text: str, offset: int, schema: Schema) -> list[Suggestion]:
    """Return what could stand at an offset of a text. Never raises."""
    place = place_at(text, offset)
    if place is None or place.inside:
        return []
    allowed = _Syntax(place)
    found: dict[str, _Candidate] = {}
    for candidate in _matching(_candidates(place, knowledge_at(place, schema)), place.word):
        if candidate.label not in found and allowed(candidate):
            found[candidate.label] = candidate
            if len(found) == MOST:
                break
    return [_suggestion(candidate, place) for candidate in found.values()]


def _suggestion(candidate: _Candidate, place: Place) -> Suggestion:
    insert, end = candidate.insert or candidate.label, place.end
    rest = place.text[end : end + 100]
    _, _, tail = insert.partition(" ")
    if tail and (there := re.match(rf"\s+{re.escape(tail)}\b", rest)):  # `order` before ` by`
        end += there.end()
    elif insert.removesuffix(")")[-1] in "(=" and insert != candidate.label:
        insert, end = _over_bracket(insert, rest, end)
    return Suggestion(candidate.label, candidate.kind, candidate.detail, insert, Span(place.start, end), candidate.doc)


def _over_bracket(insert: str, rest: str, end: int) -> tuple[str, int]:
    """Return what to put in, and up to where, so that a bracket or `=` that is there is not there twice."""
    opened = insert.removesuffix(")")
    there = re.match(rf"\s*{re.escape(opened[-1])}", rest)
    return (insert, end) if there is None else (opened, end + there.end())


def _matching(candidates: Iterable[_Candidate], word: str) -> Iterator[_Candidate]:
    """Yield the candidates that begin with a word, then those that hold it."""
    folded = word.lower()
    holding = []
    for candidate in candidates:
        label = candidate.label.lower()
        if label.startswith(folded) or (candidate.insert.startswith("['") and folded == ""):
            yield candidate
        elif len(folded) > 1 and folded in label:
            holding.append(candidate)
    yield from holding


class _Syntax:
    """Whether a candidate goes on with the text as the language wants it; what the parser takes is right."""

    def __init__(self, place: Place) -> None:
        self.known: dict[str, bool] = {}
        self.base: str | None = None
        last = place.tokens[-1].end if place.tokens else 0
        frame = place.frame
        bases = [place.text[: place.start]]
        if len(bases[0]) > _LONG:
            bases.clear()
        if frame.pipes:
            bases.append(f"T {place.text[place.tokens[frame.pipes[-1]].start : place.start]}")
        elif frame.start < len(place.tokens):
            bases.append(place.text[place.tokens[frame.start].start : place.start])
        for base in bases:
            if len(base) <= _LONG and _goes_on(base, len(base) - (place.start - last)):
                self.base = base
                break

    def __call__(self, candidate: _Candidate) -> bool:
        if self.base is None:  # what is before is broken: nothing is known
            return True
        insert = candidate.insert or candidate.label
        group = candidate.group or insert
        if group not in self.known:
            text = self.base + insert
            self.known[group] = _goes_on(text, len(text))
        return self.known[group]


def _goes_on(text: str, end: int) -> bool:
    """Whether a text is a query, or begins one: nothing is wrong with it before its end."""
    try:
        parse(text)
    except KqlSyntaxError as error:
        return error.span.start >= end
    except KqlError:
        return True
    return True


# What there is


def _candidates(place: Place, known: Knowledge) -> Iterator[_Candidate]:
    frame, segment = place.frame, place.segment()
    previous = place.previous
    if previous is not None and previous.text == ".":
        yield from _members(place, known)
    elif (previous is not None and previous.text == ":") or place.inner.head == "typeof":
        yield from (_Candidate(name, "type", group="type") for name in _TYPES)
    elif not segment and (frame.pipes or frame.is_subquery):
        yield from _operators()
    elif not segment:
        yield from _sources(place, known)
    elif segment[0].text == "let" and not frame.pipes and len(segment) <= 3:
        if len(segment) == 3:
            yield from _sources(place, known)
            yield from _operands(place, known, "let")
    else:
        yield from _within(place, known)


def _operators() -> Iterator[_Candidate]:
    for name, doc in OPERATORS.items():
        label = f"{name} by" if name in ("order", "sort", "facet", "reduce", "partition") else name
        yield _Candidate(label, "operator", doc=doc, group="operator")


def _sources(place: Place, known: Knowledge) -> Iterator[_Candidate]:
    yield from _tables(known)
    yield from (_Candidate(name, "operator", doc=OPERATORS[name]) for name in SOURCES)
    yield _Candidate("datatable", "operator", "(name: type, …) [values]", "Rows that stand in the query", "datatable(")
    if place.frame.bracket in ("", "{"):
        yield _Candidate("let", "keyword", doc="Gives a name to a value, a table or a function")
    if not place.frame.bracket:
        yield _Candidate("declare query_parameters", "keyword", doc="Declares what is given with the query")
    if place.frame.head in ("in", "!in", "in~", "!in~", "has_any", "has_all"):
        yield from _operands(place, known, "let")


def _tables(known: Knowledge) -> Iterator[_Candidate]:
    for name, value in known.variables().items():
        if isinstance(value, TabularValue | BoundTable):
            yield _named(name, "variable", "table")
    yield from _own(known, tabular=True)
    for table in known.scope.schema.tables.values():
        yield _named(table.name, "table", f"{len(table.fields)} columns", table.doc)


def _within(place: Place, known: Knowledge) -> Iterator[_Candidate]:
    """Yield what may stand behind an operator's name."""
    segment, previous = place.segment(), place.previous
    head = segment[0].text
    assert previous is not None
    values = _VALUES.get((head, segment[-2].text if len(segment) > 1 else "")) if previous.text == "=" else None
    if values is not None:
        yield from (_Candidate(value, "value", group="value") for value in values)
        return
    inner = place.inner is not place.frame
    if len(segment) == 1:
        yield from (_Candidate(option[:-1], "keyword", insert=option) for option in _OPTIONS.get(head, ()))
    if previous.text in ("asc", "desc"):
        yield from (_Candidate(text, "keyword") for text in ("nulls first", "nulls last"))
    elif previous.text == "to" and head in _EXPANDS:
        yield _Candidate("typeof", "keyword", insert="typeof(")
    elif place.after_operand and not _is_option(segment):
        if not inner:
            yield from _clauses(head)
        if head not in _COUNTS or "by" in {token.text for token in segment}:
            yield from _infix(known.type_of(previous.text) if previous.kind == IDENTIFIER else _OF.get(previous.kind))
    else:
        yield from _operands(place, known, head)
        if len(segment) == 1 and head in _BY_FIRST:
            yield _Candidate("by", "keyword")


def _is_option(segment: Sequence[Token]) -> bool:
    """Whether the last tokens are `option=value`, behind which operands begin."""
    return len(segment) > 3 and segment[-2].text == "=" and f"{segment[-3].text}=" in _OPTIONS.get(segment[0].text, ())


def _clauses(head: str) -> Iterator[_Candidate]:
    for word in _CLAUSES.get(head, "").split():
        if word == "nulls":
            yield from (_Candidate(text, "keyword") for text in ("nulls first", "nulls last"))
        elif word == "to" and head in _EXPANDS:
            yield _Candidate("to typeof", "keyword", insert="to typeof(")
        else:
            yield _Candidate(word, "keyword")


def _infix(type_: Type | None) -> Iterator[_Candidate]:
    wanted = "text" if type_ in _TEXTS else "" if type_ is Type.BOOL else "order"
    for name, (sorts, doc) in INFIX.items():
        if type_ is None or "any" in sorts or wanted in sorts:
            yield _Candidate(name, "comparison", doc=doc)


def _operands(place: Place, known: Knowledge, head: str) -> Iterator[_Candidate]:
    segment = place.segment()
    clauses = {token.text for token in segment}
    if head == "render":
        yield from (_Candidate(name, "chart", group="chart") for name in CHARTS)
    elif head == "evaluate" and len(segment) == 1:
        for name in PLUGINS:
            yield _Candidate(name, "plugin", *described(name), insert=f"{name}(", group="call")
    elif head == "invoke":
        yield from _own(known, tabular=True)
    elif (head in ("join", "lookup") and "on" not in clauses) or (head == "union" and place.inner is place.frame):
        yield from _tables(known)
    elif head in ("join", "lookup"):
        yield from _common(known)
    elif head in _NO_OPERANDS:
        yield from _values(known)
    elif head in _COLUMNS_ONLY:
        yield from _columns(known)
    elif head == "project-rename":
        if place.previous is not None and place.previous.text == "=":
            yield from _columns(known)
    else:
        yield from _expressions(known, head, clauses)


def _expressions(known: Knowledge, head: str, clauses: set[str]) -> Iterator[_Candidate]:
    """Yield what values are computed of, the columns first; where groups are made, the aggregates."""
    if (head in ("summarize", "make-series") and not clauses & {"by", "on"}) or (
        head in ("top-nested", "top-hitters") and "by" in clauses
    ):
        yield from _functions("aggregate")
    yield from _columns(known)
    yield from _values(known)
    yield from _own(known, tabular=False)
    if head == "evaluate":
        yield from _functions("aggregate")
    if known.relation is not None and known.relation.serialized:
        yield from _functions("window")
    yield from _functions("scalar")


def _columns(known: Knowledge) -> Iterator[_Candidate]:
    docs = known.docs()
    for name, column in known.columns().items():
        yield _named(name, "column", column.type.value, docs.get(name, ""))


def _common(known: Knowledge) -> Iterator[_Candidate]:
    """Yield what conditions of a join are made of."""
    right = {} if known.other is None else known.other.named()
    for name, column in known.columns().items():
        if name in right and right[name].type is column.type:
            yield _named(name, "column", column.type.value)
    yield _Candidate("$left", "keyword", doc="The rows that come to the join", insert="$left.", group="side")
    yield _Candidate("$right", "keyword", doc="The rows that are joined to them", insert="$right.", group="side")


def _values(known: Knowledge) -> Iterator[_Candidate]:
    for name, value in known.variables().items():
        if not isinstance(value, TabularValue | BoundTable | FunctionValue):
            yield _named(name, "variable", (known.type_of(name) or Type.DYNAMIC).value)


def _functions(section: str) -> Iterator[_Candidate]:
    kind = "aggregate" if section == "aggregate" else "function"
    for name in names(section):
        detail, doc = described(name, aggregate=kind == "aggregate")
        whole = f"{name}()" if detail.startswith(f"{name}()") else f"{name}("
        yield _Candidate(name, kind, detail, doc, whole, "call")


def _members(place: Place, known: Knowledge) -> Iterator[_Candidate]:
    target = place.tokens[-2].text if len(place.tokens) > 1 else ""
    if target in ("$left", "$right"):
        side = known.relation if target == "$left" else known.other
        columns = {} if side is None else side.named()
        yield from (_member(name, column.type.value) for name, column in columns.items())
    elif len(place.tokens) < 3 or place.tokens[-3].text != ".":
        yield from (_member(name, "dynamic") for name in known.members.get(target, ()))


def _member(name: str, detail: str) -> _Candidate:
    return _Candidate(name, "member", detail, insert=_quoted(name))


def _named(name: str, kind: str, detail: str, doc: str = "") -> _Candidate:
    insert = _quoted(name)
    return _Candidate(name, kind, detail, doc, insert, "name" if insert == name and name not in KEYWORDS else insert)


def _own(known: Knowledge, *, tabular: bool) -> Iterator[_Candidate]:
    """Yield the functions of the text and of the schema."""
    docs = comments_of(known.scope.schema.functions)
    for name, function in known.functions(tabular=tabular).items():
        insert = f"{name}(" if function.declaration.parameters else f"{name}()"
        yield _Candidate(name, "function", signature_of(name, function.declaration), docs.get(name, ""), insert, "call")


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name) and (name not in KEYWORDS or name in NAMES | CONTEXTUAL_NAMES):
        return name
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']" if escaped.isprintable() else ""
