"""Parts that many operators and statements have in common: names, options, schemas."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final, NoReturn

from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax.cursor import Cursor, nearest
from whatchanged.kql.syntax.keywords import CONTEXTUAL_NAMES, EXTENDED_NAMES, HINTS, KEYWORDS, NAMES, OPTIONS, TYPES
from whatchanged.kql.syntax.lexer import IDENTIFIER, LITERALS, LONG, REAL, STRING, TIMESPAN
from whatchanged.kql.syntax.literals import string_value
from whatchanged.kql.syntax.tree import ColumnDeclaration, Expression, Literal, Name, Named, Parameter

__all__ = ["Clauses"]

_NAME_KINDS: Final = NAMES | {IDENTIFIER}
_EXTENDED_KINDS: Final = _NAME_KINDS | EXTENDED_NAMES
_READ_KINDS: Final = _NAME_KINDS | CONTEXTUAL_NAMES
_VALUE_WORDS: Final = _NAME_KINDS | {"relaxed", "simple", "nooptimization", "union", "table", "materialize"}
_WILDCARD_PARTS: Final = _EXTENDED_KINDS | {"*", LONG}


class Clauses(Cursor):
    """Names, options and schemas."""

    @abstractmethod
    def literal(self) -> Expression:
        """Return the literal that stands here, with its sign."""

    def name(self, what: str = "a name") -> Name:
        """Return a name as it is given or read almost everywhere."""
        if self.kind in _NAME_KINDS:
            token = self.advance()
            return Name(token.span, token.text)
        if self.kind == "[" and self.quoted_length():
            return self.quoted_name()
        return self.fail_name(what)

    def given_name(self, what: str = "a name") -> Name:
        """Return a name that is given to something: more words are allowed there."""
        if self.kind in _EXTENDED_KINDS:
            token = self.advance()
            return Name(token.span, token.text)
        return self.name(what)

    def read_name(self, what: str = "a name") -> Name:
        """Return the name of a column or table that is read."""
        if self.kind in _READ_KINDS:
            token = self.advance()
            return Name(token.span, token.text)
        return self.name(what)

    def fail_name(self, what: str) -> NoReturn:
        """Say that no name stands here, and how a keyword can be one.

        Raises: KqlSyntaxError.
        """
        keyword = self.kind in KEYWORDS and self.kind.replace("_", "").isalpha()
        self.fail(what, suggestion=f"['{self.token.text}']" if keyword else "")

    def quoted_length(self, distance: int = 0) -> int:
        """Return how many tokens `['…']` has that begins that many places on; 0: none begins there."""
        if self.tokens[self.index + distance].kind != "[":
            return 0
        length = 1
        while self.peek(distance + length) == STRING:
            length += 1
        return length + 1 if length > 1 and self.peek(distance + length) == "]" else 0

    def quoted_name(self) -> Name:
        """Return the name in `['…']`."""
        start = self.advance().start
        value = self.string()
        self.expect("]")
        return Name(self.since(start), value, quoted=True)

    def wildcard_length(self) -> int:
        """Return how many tokens a name with `*` in it has that begins here; 0: none begins here."""
        if self.kind == "*":
            length = 1
        elif self.kind in _EXTENDED_KINDS and self.peek() == "*" and self.adjacent(1):
            length = 2
        else:
            return 0
        while self.peek(length) in _WILDCARD_PARTS and self.adjacent(length):
            length += 1
        return length

    def wildcard_name(self, what: str = "a column") -> Name:
        """Return a name, perhaps with `*` in it."""
        length = self.wildcard_length()
        if not length:
            return self.name(what)
        start = self.token.start
        for _ in range(length):
            self.advance()
        span = self.since(start)
        return Name(span, self.text[span.start : span.end])

    def string(self) -> str:
        """Return one or more string literals, joined."""
        value = self._string_part()
        while self.kind == STRING:
            value += self._string_part()
        return value

    def _string_part(self) -> str:
        token = self.expect(STRING, "a string")
        try:
            return string_value(token.text)
        except ValueError:
            raise KqlSyntaxError("The string has an escape that is no character", token.span) from None

    def string_literal(self) -> Literal:
        """Return one or more string literals as one."""
        start = self.token.start
        value = self.string()
        return Literal(self.since(start), "string", value)

    # Options

    def options(self, *more: str) -> tuple[Named, ...]:
        """Return `key = value` words; `more`: keys of this operator only."""
        found: list[Named] = []
        while self.peek() == "=" and (self.kind in OPTIONS or self.token.text in more or self.kind[:5] == "hint."):
            if self.kind[:5] == "hint." and self.kind not in HINTS:
                self.fail("a hint", suggestion=nearest(self.kind, HINTS))
            found.append(self.option())
        return tuple(found)

    def option(self) -> Named:
        """Return one `key = value`."""
        token = self.advance()
        self.expect("=")
        value = self.option_value()
        return Named(self.since(token.start), (Name(token.span, token.text),), value)

    def option_value(self) -> Expression:
        """Return the value of an option: a literal or a word."""
        if self.kind in LITERALS or self.kind in ("+", "-", "dynamic", "typeof"):
            return self.literal()
        if self.kind in _VALUE_WORDS:
            token = self.advance()
            return Name(token.span, token.text)
        return self.name("a value")

    # Schemas

    def column_declaration(self) -> ColumnDeclaration:
        """Return `name: type`."""
        name = self.given_name("a column")
        self.expect(":")
        type_name = self.type_name()
        return ColumnDeclaration(self.since(name.span.start), name.name, type_name)

    def type_name(self) -> str:
        """Return the name of a type as written."""
        if self.kind not in TYPES:
            self.fail("a type", suggestion=nearest(self.token.text, TYPES))
        return self.advance().text

    def schema(self, *, star: bool = False) -> tuple[ColumnDeclaration, ...]:
        """Return `(name: type, …)`; with `star` a `*` may come first, which is gone past."""
        self.expect("(", "( with columns")
        self.accept(",")
        if star and self.accept("*"):
            self.accept(",")
        return self.open_list(self.column_declaration, ")")

    def named_values(self, known: frozenset[str] = frozenset()) -> tuple[Named, ...]:
        """Return `(key = value, …)` of a `with`; without known keys any will do."""
        self.expect("(")
        return self.open_list(lambda: self.named_value(known), ")")

    def named_value(self, known: frozenset[str] = frozenset()) -> Named:
        """Return `key = value` of a `with`."""
        key = self.property_key(known)
        self.expect("=")
        value = self.option_value()
        return Named(self.since(key.span.start), (key,), value)

    def property_key(self, known: frozenset[str]) -> Name:
        """Return the key of a property; without known keys any will do."""
        if known and self.token.text not in known:
            self.fail("a property", suggestion=nearest(self.token.text, known))
        if known:
            token = self.advance()
            return Name(token.span, token.text)
        return self.given_name("a property")

    def at_signed_number(self) -> bool:
        """Tell whether a sign and right behind it a number come next."""
        return self.kind in ("+", "-") and self.peek() in (LONG, REAL, TIMESPAN) and self.adjacent(1)

    # Parameters

    def parameters(self) -> tuple[Parameter, ...]:
        """Return `(name: type = default, …)`."""
        self.expect("(", "( with parameters")
        parameters = () if self.kind == ")" else self.comma_list(self._parameter)
        self.expect(")", ", or )")
        return parameters

    def _parameter(self) -> Parameter:
        name = self.given_name("a parameter")
        self.expect(":")
        if self.kind == "(":
            return self._tabular_parameter(name)
        type_name = self.type_name()
        default = self._default() if self.accept("=") else None
        return Parameter(self.since(name.span.start), name.name, type_name, default=default)

    def _tabular_parameter(self, name: Name) -> Parameter:
        if self.peek() == "*":
            self.advance()
            self.advance()
            self.expect(")")
            return Parameter(self.since(name.span.start), name.name, None, any_table=True)
        columns = self.schema()
        return Parameter(self.since(name.span.start), name.name, None, columns)

    def _default(self) -> Expression:
        if self.kind in _NAME_KINDS:
            token = self.advance()
            return Name(token.span, token.text)
        return self.literal()
