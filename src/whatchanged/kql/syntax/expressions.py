"""Expressions: operators by precedence, calls, paths, literals.

Precedence, as in the vendor's parser, from loose to tight: or; and; equality, `in`, `between`; comparison; + -; * / %;
string operators; sign; call, member, index. Equality, comparison and string operators do not chain.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Final, cast

from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax.clauses import Clauses
from whatchanged.kql.syntax.keywords import CONTEXTUAL_NAMES, EXTENDED_NAMES, KEYWORDS, NAMES, TYPES, words
from whatchanged.kql.syntax.lexer import (
    BOOL,
    GUID,
    IDENTIFIER,
    LITERALS,
    LONG,
    REAL,
    STRING,
    TIMESPAN,
    TYPED_LITERAL,
)
from whatchanged.kql.syntax.literals import json_value, long_value, typed_value
from whatchanged.kql.syntax.moments import span_ticks
from whatchanged.kql.syntax.tree import (
    Between,
    Binary,
    Call,
    ColumnDeclaration,
    DataTable,
    Expression,
    ExternalData,
    Index,
    Literal,
    Member,
    Membership,
    Name,
    Named,
    Pipeline,
    Star,
    Unary,
    Value,
)

__all__ = ["INFIX_WORDS", "Expressions"]

_OR, _AND, _EQUALITY, _COMPARISON, _SUM, _PRODUCT, _STRING, _TOP = range(1, 9)

_LEVELS: Final = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(words("== != <> in !in in~ !in~ has_any has_all between !between"), _EQUALITY),
    **dict.fromkeys(words("< <= > >="), _COMPARISON),
    **dict.fromkeys(words("+ -"), _SUM),
    **dict.fromkeys(words("* / %"), _PRODUCT),
    **dict.fromkeys(
        words(
            "=~ !~ : has !has has_cs !has_cs hasprefix !hasprefix hasprefix_cs !hasprefix_cs hassuffix !hassuffix"
            " hassuffix_cs !hassuffix_cs like notlike likecs notlikecs contains notcontains !contains containscs"
            " contains_cs notcontainscs !contains_cs startswith !startswith startswith_cs !startswith_cs endswith"
            " !endswith endswith_cs !endswith_cs"
        ),
        _STRING,
    ),
    "matches regex": _STRING,
}
INFIX_WORDS: Final = frozenset(word for word in _LEVELS if word[0].isalpha())
"""Operators between two operands that are words."""

_CHAINS: Final = frozenset([_OR, _AND, _SUM, _PRODUCT])
_MEMBERSHIP: Final = frozenset(["in", "!in", "in~", "!in~", "has_any", "has_all"])
_CANONICAL: Final = {
    "<>": "!=", "notcontains": "!contains", "containscs": "contains_cs", "notcontainscs": "!contains_cs",
}  # fmt: skip
_NAME_KINDS: Final = NAMES | {IDENTIFIER}
_GIVEN_KINDS: Final = _NAME_KINDS | EXTENDED_NAMES
_LONG_LIMIT: Final = 1 << 63


class Expressions(Clauses):
    """Parses expressions."""

    @abstractmethod
    def pipeline(self) -> Expression:
        """Return the pipeline, or the expression, that stands here."""

    def expression(self, floor: int = _OR) -> Expression:
        """Return the expression that stands here, of operators that bind at least as tightly as `floor`."""
        self.enter()
        left = self._operand()
        ceiling = _TOP
        while floor <= (level := _LEVELS.get(self.kind, 0)) <= ceiling:
            if self.kind == "in" and self.peek() == "range":
                break  # of make-series
            left = self._with_right(left, level)
            ceiling = level if level in _CHAINS else level - 1
        self.leave()
        return left

    def _with_right(self, left: Expression, level: int) -> Expression:
        """Go past an operator and what is right of it."""
        operator = self.kind
        if level <= _AND:
            return self._chain(left, operator, level)
        if operator in _MEMBERSHIP:
            return self._membership(left)
        if operator in ("between", "!between"):
            return self._between(left)
        self.advance()
        self.links += 1
        right = self.expression(level + 1)
        return Binary(left.span.to(right.span), _CANONICAL.get(operator, operator), left, right)

    def _chain(self, left: Expression, operator: str, level: int) -> Expression:
        """Return all that `and`, or `or`, joins, as a balanced tree: a long list of conditions is not a deep one."""
        operands = [left]
        while self.kind == operator:
            self.advance()
            operands.append(self.expression(level + 1))
        return _balanced(operator, operands)

    def _membership(self, left: Expression) -> Expression:
        operator = self.advance().kind
        self.expect("(")
        first = self.pipeline()
        items = [first]
        while not isinstance(first, Pipeline) and self.accept(","):
            items.append(self.expression())
        self.expect(")", ", or )")
        return Membership(self.since(left.span.start), operator, left, tuple(items))  # type: ignore[arg-type]

    def _between(self, left: Expression) -> Expression:
        negated = self.advance().kind != "between"
        self.expect("(")
        low = self.expression()
        self.expect("..")
        high = self.expression()
        self.expect(")")
        return Between(self.since(left.span.start), left, low, high, negated)

    def _operand(self) -> Expression:
        """Return an operand with its sign, and the members and indexes behind it."""
        start, kind = self.token.start, self.kind
        if kind in ("-", "+"):
            return self._signed()
        if kind == "*" and (_LEVELS.get(self.peek()) == _STRING or self.peek() == "=="):
            return Star(self.advance().span)
        target = self._primary()
        while self.kind in (".", "["):
            self.links += 1
            if self.advance().kind == "[":
                index = self.expression()
                self.expect("]")
                target = Index(self.since(start), target, index)
            else:
                target = self._member(start, target)
        return target

    def _signed(self) -> Expression:
        token = self.advance()
        if self.kind in ("+", "-"):
            self.fail("an expression")
        if token.kind == "-" and self._at_lowest_long():
            self.advance()
            return Literal(self.since(token.start), "long", -_LONG_LIMIT)
        operand = self._operand()
        return Unary(self.since(token.start), "-" if token.kind == "-" else "+", operand)

    def _at_lowest_long(self) -> bool:
        """Tell whether a number comes next that is a long only with a minus before it."""
        return self.kind == LONG and long_value(self.token.text) == _LONG_LIMIT

    def _member(self, start: int, target: Expression) -> Expression:
        """Return what stands behind a dot."""
        if self.kind == "[" and not self.quoted_length():
            self.advance()
            index = self.expression()
            self.expect("]")
            return Index(self.since(start), target, index)
        name = self.read_name("the name of a member")
        if self.kind != "(":
            return Member(self.since(start), target, name.name)
        arguments = self._arguments()
        return Call(self.since(start), name.name, arguments, name.span, target)

    def _primary(self) -> Expression:
        if self.kind == IDENTIFIER or self.kind in NAMES:
            if self.kind == "typeof" and self.peek() == "(":
                return self._type_literal()
            token = self.advance()
            if self.kind != "(":
                return Name(token.span, token.text)
            arguments = self._arguments()
            return Call(self.since(token.start), token.text, arguments, token.span)
        if self.kind in LITERALS or self.kind == GUID:
            return self._plain_literal()
        parse = _PRIMARIES.get(self.kind)
        return parse(self) if parse is not None else self.fail_name("an expression")

    def _contextual_name(self) -> Expression:
        return self.read_name()

    def _group(self) -> Expression:
        self.enter()
        self.advance()
        inner = self.pipeline()
        self.expect(")")
        self.leave()
        return inner

    def _bracketed(self) -> Expression:
        """Return `['name']`, or a call of it."""
        if not self.quoted_length():
            self.advance()
            self.fail("a name in quotes")
        name = self.quoted_name()
        if self.kind != "(":
            return name
        arguments = self._arguments()
        return Call(self.since(name.span.start), name.name, arguments, name.span)

    def call(self, what: str = "a function") -> Call:
        """Return a call; nothing but a call will do."""
        name = self.name(what)
        if self.kind != "(":
            self.fail("( with arguments")
        arguments = self._arguments()
        return Call(self.since(name.span.start), name.name, arguments, name.span)

    def _arguments(self) -> tuple[Expression, ...]:
        self.enter()
        self.advance()
        arguments: list[Expression] = []
        while self.kind != ")" or arguments:
            if self.kind == "*" and self.peek() in (")", ","):
                arguments.append(Star(self.advance().span))
            else:
                arguments.append(self.named_expression())
            if not self.accept(","):
                break
        self.expect(")", ", or )")
        self.leave()
        return tuple(arguments)

    def _tabular_call(self) -> Expression:
        """Return `toscalar(pipeline)` and its like."""
        token = self.advance()
        self.options()
        self.expect("(")
        argument = self.pipeline()
        self.expect(")")
        return Call(self.since(token.start), token.text, (argument,), token.span)

    def _type_literal(self) -> Expression:
        """Return `typeof(type)`, or `typeof(name: type, …)`, as a call."""
        token = self.advance()
        self.advance()
        if self.peek() == ")" and (self.kind in TYPES or self.kind in KEYWORDS or self.kind == IDENTIFIER):
            word = self.advance()
            arguments: tuple[Expression, ...] = (Name(word.span, word.text),)
            self.expect(")")
        else:
            arguments = self.open_list(self._type_element, ")")
        return Call(self.since(token.start), "typeof", arguments, token.span)

    def _type_element(self) -> Star | ColumnDeclaration:
        return Star(self.advance().span) if self.kind == "*" else self.column_declaration()

    # Named expressions

    def named_expression(self) -> Expression:
        """Return an expression, perhaps with `name =` or `(name, …) =` before it."""
        start = self.token.start
        if self.kind in _GIVEN_KINDS:
            if self.peek() != "=":
                return self.expression()
            token = self.advance()
            names: tuple[Name, ...] = (Name(token.span, token.text),)
        elif self.kind == "[" and (length := self.quoted_length()) and self.peek(length) == "=":
            names = (self.quoted_name(),)
        elif self.kind == "(" and self._at_name_list():
            self.advance()
            names = self.comma_list(self.given_name)
            self.expect(")")
        else:
            return self.expression()
        self.expect("=")
        value = self.expression()
        return Named(self.since(start), names, value)

    def _at_name_list(self) -> bool:
        """Tell whether `(name, …) =` comes next."""
        distance = 1
        while True:
            length = self.quoted_length(distance) or (self.peek(distance) in _GIVEN_KINDS)
            if not length:
                return False
            distance += length
            if self.peek(distance) == ")":
                return self.peek(distance + 1) == "="
            if self.peek(distance) != ",":
                return False
            distance += 1

    # Literals

    def literal(self) -> Expression:
        """Return a literal with its sign: what stands in a datatable, or as a default."""
        if self.at_signed_number():
            token = self.advance()
            return self._with_sign(token.text, token.start)
        if self.kind == "dynamic":
            return self._dynamic()
        if self.kind == "typeof" and self.peek() == "(":
            return self._type_literal()
        if self.kind in LITERALS or self.kind == GUID:
            return self._plain_literal()
        return self.fail_name("a literal")

    def _with_sign(self, sign: str, start: int) -> Literal:
        if sign == "-" and self._at_lowest_long():
            self.advance()
            return Literal(self.since(start), "long", -_LONG_LIMIT)
        literal = self._plain_literal()
        value = cast("int | float", literal.value)
        return Literal(self.since(start), literal.type, -value if sign == "-" else value)

    def _plain_literal(self) -> Literal:
        if self.kind == STRING:
            return self.string_literal()
        token = self.advance()
        kind = token.kind
        if kind == LONG:
            value = long_value(token.text)
            if value >= _LONG_LIMIT:
                raise KqlSyntaxError(f"The number '{token.text[:40]}' is larger than a long", token.span)
            return Literal(token.span, "long", value)
        if kind == BOOL:
            return Literal(token.span, "bool", token.text in ("true", "True", "TRUE"))
        if kind == REAL:
            return Literal(token.span, "real", float(token.text))
        if kind == GUID:
            return self.fail("an expression", token=token, suggestion=f"guid({token.text})")
        try:
            if kind == TIMESPAN:
                return Literal(token.span, "timespan", span_ticks(token.text))
            return Literal(token.span, *typed_value(token.text))
        except ValueError as error:
            self.fail(str(error) if kind == TYPED_LITERAL else "a shorter duration", token=token)

    def _dynamic(self) -> Literal:
        start = self.advance().start
        self.expect("(", "( with a value in JSON")
        value = self._json()
        self.expect(")")
        return Literal(self.since(start), "dynamic", value)

    def _json(self) -> Value:
        """Return a value in JSON, in which literals of other types may stand."""
        self.enter()
        value = self._json_value()
        self.leave()
        return value

    def _json_value(self) -> Value:
        if self.kind == "[":
            return self._json_array()
        if self.kind == "{":
            return self._json_object()
        if self.kind == "null":
            self.advance()
            return None
        if self.kind == "dynamic":
            return self._dynamic().value
        if self.kind == "-" and self.peek() in (LONG, REAL):
            return json_value(self._with_sign("-", self.advance().start))
        if self.kind in LITERALS:
            return json_value(self._plain_literal())
        return self.fail("a value in JSON")

    def _json_array(self) -> Value:
        self.enter()
        self.advance()
        values = [] if self.kind == "]" else list(self.comma_list(self._json))
        self.expect("]", ", or ]")
        self.leave()
        return values

    def _json_object(self) -> Value:
        self.enter()
        self.advance()
        pairs = {} if self.kind == "}" else dict(self.comma_list(self._json_pair))
        self.expect("}", ", or }")
        self.leave()
        return pairs

    def _json_pair(self) -> tuple[str, Value]:
        key = self._string_part()
        self.expect(":")
        return key, self._json()

    # Tables that are written out

    def _datatable(self) -> Expression:
        start = self.advance().start
        columns = self.schema()
        self.expect("[", "[ with values")
        self.accept(",")
        values = self.open_list(self.literal, "]")
        return DataTable(self.since(start), columns, values)

    def _externaldata(self) -> Expression:
        start = self.advance().start
        self.schema()
        self.expect("[", "[ with addresses")
        self.open_list(self.literal, "]")
        if self.accept("with"):
            self.named_values()
        return ExternalData(self.since(start))


def _balanced(operator: str, operands: list[Expression]) -> Expression:
    """Return operands joined by an operator for which brackets make no difference."""
    if len(operands) == 1:
        return operands[0]
    middle = (len(operands) + 1) // 2
    left, right = _balanced(operator, operands[:middle]), _balanced(operator, operands[middle:])
    return Binary(left.span.to(right.span), operator, left, right)


_PRIMARIES: Final[dict[str, Callable[[Expressions], Expression]]] = {
    "(": Expressions._group,
    "[": Expressions._bracketed,
    "dynamic": Expressions._dynamic,
    "datatable": Expressions._datatable,
    "externaldata": Expressions._externaldata,
    "external_data": Expressions._externaldata,
    "toscalar": Expressions._tabular_call,
    "totable": Expressions._tabular_call,
    "materialize": Expressions._tabular_call,
    **dict.fromkeys(CONTEXTUAL_NAMES, Expressions._contextual_name),
}
