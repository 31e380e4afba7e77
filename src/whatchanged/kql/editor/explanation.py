"""What stands at a place."""

from __future__ import annotations

from dataclasses import dataclass

from whatchanged.kql.binder.scope import BoundTable, FunctionValue, TabularValue
from whatchanged.kql.editor.knowledge import Knowledge, knowledge_at
from whatchanged.kql.editor.place import Place, place_at
from whatchanged.kql.editor.reference import (
    INFIX,
    KEYWORD_DOCS,
    OPERATORS,
    comments_of,
    described,
    is_function,
    signature_of,
)
from whatchanged.kql.errors import Span
from whatchanged.kql.syntax.keywords import DASHED, KEYWORDS
from whatchanged.kql.syntax.lexer import IDENTIFIER, Token, tokenize_broken
from whatchanged.kql.types import Schema

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a word of a query is."""

    title: str
    """The word with its type, or its signature."""
    doc: str
    span: Span


def explain(text: str, offset: int, schema: Schema) -> Explanation | None:
    """Return what the word at an offset is; None if none stands there, or nothing is known of it. Never raises."""
    at = place_at(text, offset)
    token = None if at is None else _word_at(text, max(0, min(offset, len(text))))
    place = None if token is None else place_at(text, token.start)
    if token is None or place is None:
        return None
    following = text[token.end :].lstrip()
    found = _explained(token, place, following, schema)
    return None if found is None else Explanation(*found, token.span)


def _word_at(text: str, offset: int) -> Token | None:
    """Return the word at an offset; between two tokens without space it is the second."""
    found: Token | None = None
    for token in tokenize_broken(text):
        if token.start <= offset <= token.end:
            found = token
        if token.end > offset:
            break
    if found is None:
        return None
    return found if found.kind == IDENTIFIER or found.kind in KEYWORDS or found.kind in {*DASHED, *INFIX} else None


def _explained(token: Token, place: Place, following: str, schema: Schema) -> tuple[str, str] | None:
    name = token.text
    frame, segment = place.frame, place.segment()
    at_operator = not segment and (bool(frame.pipes) or frame.is_subquery)
    if name in OPERATORS and (at_operator or (not segment and following[:1] not in ("", "|", ";"))):
        return name, OPERATORS[name]
    known = knowledge_at(place, schema)
    if following.startswith("("):
        value = known.scope.find(name)
        if isinstance(value, FunctionValue):
            return _own(name, value, schema)
        if is_function(name):
            head = segment[0].text if segment else ""
            return described(name, aggregate=head in ("summarize", "make-series"))
    return _name(name, known) or _keyword(name)


def _name(name: str, known: Knowledge) -> tuple[str, str] | None:
    column = known.columns().get(name)
    if column is not None:
        return f"{name}: {column.type.value}", known.docs().get(name, "")
    value = known.scope.find(name)
    match value:
        case FunctionValue():
            return _own(name, value, known.scope.schema)
        case TabularValue() | BoundTable():
            return f"{name}: table", ""
        case None:
            pass
        case _:
            return f"{name}: {value.type.value}", ""
    table = known.scope.schema.tables.get(name)
    if table is not None:
        return f"{name}: table of {len(table.fields)} columns", table.doc
    return None


def _own(name: str, function: FunctionValue, schema: Schema) -> tuple[str, str]:
    return signature_of(name, function.declaration), comments_of(schema.functions).get(name, "")


def _keyword(name: str) -> tuple[str, str] | None:
    if name in INFIX:
        return name, INFIX[name][1]
    return (name, KEYWORD_DOCS[name]) if name in KEYWORD_DOCS else None
