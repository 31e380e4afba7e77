"""A query as a whole: its statements, and the bodies of functions. `parse` is the way in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Final, NoReturn

from whatchanged.kql.errors import KqlSyntaxError, Span
from whatchanged.kql.syntax.cursor import nearest
from whatchanged.kql.syntax.expressions import INFIX_WORDS
from whatchanged.kql.syntax.keywords import EXTENDED_NAMES, NAMES
from whatchanged.kql.syntax.lexer import END, IDENTIFIER
from whatchanged.kql.syntax.operators import Operators
from whatchanged.kql.syntax.tree import (
    Alias,
    Declare,
    Expression,
    FunctionDeclaration,
    Let,
    Node,
    Pattern,
    Query,
    Restrict,
    Set,
    Statement,
)

__all__ = ["MAX_HEIGHT", "Statements", "parse"]

MAX_HEIGHT: Final = 300
"""Nodes on the way from a query to what lies deepest in it."""

_GIVEN_KINDS: Final = NAMES | EXTENDED_NAMES | {IDENTIFIER}


class Statements(Operators):
    """Parses whole queries."""

    def query(self) -> Query:
        """Return all that the text says."""
        statements: list[Statement] = []
        answers: list[Expression] = []
        while self.kind != END:
            statement = self._statement()
            if statement is None:
                answers.append(self.pipeline())
            else:
                statements.append(statement)
            if not self.accept(";") and self.kind != END:
                self._fail_behind(statement)
        if not answers:
            self.fail("a query")
        return Query(Span(0, len(self.text)), tuple(statements), tuple(answers))

    def _fail_behind(self, statement: Statement | None) -> NoReturn:
        """Say that the text does not go on behind a statement, or an expression (None), as it should.

        Raises: KqlSyntaxError.
        """
        suggestion = "==" if self.kind == "=" else ""
        if self.kind == IDENTIFIER and len(self.token.text) > 3:
            suggestion = nearest(self.token.text, INFIX_WORDS)
        expected = ";" if isinstance(statement, Set | Declare | Restrict | Pattern) else "an operator, a comma, | or ;"
        self.fail(expected, suggestion=suggestion)

    def _statement(self) -> Statement | None:
        """Return the statement that begins here; None when it is an expression."""
        following = self.peek()
        if self.kind == "let" and (following in NAMES or following in (IDENTIFIER, "[")):
            return self._let()
        if self.kind == "set":
            return self._set()
        if self.kind == "declare" and following == "query_parameters":
            return self._declare()
        if self.kind == "declare" and following == "pattern":
            return self._pattern()
        if self.kind == "restrict" and following == "access":
            return self._restrict()
        if self.kind == "alias" and following == "database":
            return self._alias()
        return None

    def _let(self) -> Let:
        start = self.advance().start
        name = self.name()
        self.expect("=")
        value: Expression | FunctionDeclaration
        value = self._function() if self._at_function() else self.pipeline()
        return Let(self.since(start), name, value)

    def _at_function(self) -> bool:
        """Tell whether parameters come next."""
        distance = 1 if self.kind == "view" else 0
        if self.peek(distance) != "(":
            return False
        first = self.peek(distance + 1)
        if first == ")":
            return True
        length = self.quoted_length(distance + 1) or (1 if first in _GIVEN_KINDS else 0)
        return bool(length) and self.peek(distance + 1 + length) == ":"

    def _function(self) -> FunctionDeclaration:
        self.enter()
        start = self.token.start
        view = self.accept("view")
        parameters = self.parameters()
        body = self._body()
        self.leave()
        return FunctionDeclaration(self.since(start), parameters, body, view)

    def _body(self) -> Query:
        """Return `{ statements; expression }`."""
        self.enter()
        start = self.expect("{", "{ with the body").start
        statements: list[Statement] = []
        while (statement := self._statement()) is not None:
            statements.append(statement)
            self.expect(";")
        answers: tuple[Expression, ...] = ()
        if self.kind not in ("}", ";"):
            answers = (self.pipeline(),)
        self.accept(";")
        self.expect("}", "| or }")
        self.leave()
        return Query(self.since(start), tuple(statements), answers)

    def _set(self) -> Set:
        start = self.advance().start
        name = self.name("an option")
        value = self.expression() if self.accept("=") else None
        return Set(self.since(start), name.name, value)

    def _declare(self) -> Declare:
        start = self.advance().start
        self.advance()
        if self.kind != "(" or self.peek() == ")":
            self.fail("( with parameters")
        parameters = self.parameters()
        return Declare(self.since(start), parameters)

    def _pattern(self) -> Pattern:
        """Return `declare pattern …`, of which only the brackets are looked at."""
        start = self.advance().start
        self.advance()
        self.name()
        if self.accept("="):
            for bracket in ("(", "[", "{"):
                if self.kind == bracket:
                    self.skip_brackets()
                elif bracket != "[":
                    self.fail(bracket)
        return Pattern(self.since(start))

    def _restrict(self) -> Restrict:
        start = self.advance().start
        self.advance()
        self.expect("to")
        self.expect("(")
        tables = self.comma_list(self.table)
        self.expect(")", ", or )")
        if self.accept("with"):
            self.named_values()
        return Restrict(self.since(start), tables)

    def _alias(self) -> Alias:
        start = self.advance().start
        self.advance()
        self.name()
        self.expect("=")
        self.expression()
        return Alias(self.since(start))


def parse(text: str) -> Query:
    """Return the tree of a query.

    Raises: KqlSyntaxError with the place where the text stops being a query; KqlUnsupported for the few operators of
    the language that the tree has no node for.
    """
    parser = Statements(text)
    query = parser.query()
    if parser.links > MAX_HEIGHT // 2:  # else it is not worth measuring
        _check_height(query)
    return query


def _check_height(query: Query) -> None:
    """Refuse a tree that is too high for those who walk it by recursion: `a.b.c…` or `a + b + c…` without end.

    Raises: KqlSyntaxError.
    """
    level: list[Node] = [query]
    for _ in range(MAX_HEIGHT):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise KqlSyntaxError("The query is nested too deeply", level[0].span)


def _children(part: object) -> Iterator[Node]:
    """Yield the nodes right below a node, or in a tuple."""
    values = part if isinstance(part, tuple) else (getattr(part, field.name) for field in fields(part))  # type: ignore[arg-type]
    for value in values:
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from _children(value)
