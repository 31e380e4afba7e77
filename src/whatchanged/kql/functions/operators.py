"""Operators between values: arithmetic, comparison, and those of strings, each with the language's idea of null."""

from __future__ import annotations

import re
from collections.abc import Callable

from whatchanged.kql.errors import Span
from whatchanged.kql.functions.casts import convert, text_of
from whatchanged.kql.functions.moments import kept, ticks
from whatchanged.kql.functions.regex import pattern
from whatchanged.kql.plan import NULL_IS_FALSE, Apply, Constant, Scalar
from whatchanged.kql.types import NUMERIC, Type, wider

__all__ = ["STRING_OPERATORS", "TERM", "arithmetic", "compare", "has_terms", "logical", "negate", "string_operator"]

_LAST_TICK = 3_155_378_975_999_999_999
"""The end of the year 9999 in ticks since 0001-01-01."""
_INTEGER = (Type.INT, Type.LONG)
_SQL_INT = {Type.INT: "toInt32", Type.LONG: "toInt64"}


def _apply(template: str, left: Scalar, right: Scalar, type_: Type, *, null: bool | None = None) -> Apply:
    nullable = left.nullable or right.nullable if null is None else null
    return Apply(template, (left, right), type_, nullable)


# Arithmetic


def arithmetic(operator: str, left: Scalar, right: Scalar) -> Scalar | None:
    """Return `left operator right` for + - * / %; None: not for these types."""
    left, right = _out_of_dynamic(operator, left, right), _out_of_dynamic(operator, right, left)
    type_ = wider(left.type, right.type)
    if type_ is Type.INT:  # two ints make a long, as the service says of its results
        type_ = Type.LONG
    if type_ is not None:
        return _numeric(operator, convert(left, type_), convert(right, type_), type_)
    return _times(operator, left, right)


def _out_of_dynamic(operator: str, value: Scalar, other: Scalar) -> Scalar:
    if value.type is not Type.DYNAMIC:
        return value
    times = (Type.TIMESPAN, Type.DATETIME) if operator in ("+", "-") else ()
    wanted = other.type if other.type in (*NUMERIC, *times) else Type.REAL
    return convert(value, wanted)


def _numeric(operator: str, left: Scalar, right: Scalar, type_: Type) -> Scalar:
    if type_ is Type.LONG:
        if operator == "/":
            return _apply("toInt64(intDivOrNull({0}, {1}))", left, right, type_, null=_may_vanish(left, right))
        if operator == "%":
            # Never negative, whatever the signs (the manual's page of numerical operators).
            return _apply("toInt64(positiveModuloOrNull({0}, {1}))", left, right, type_, null=_may_vanish(left, right))
        return _apply(f"toInt64({{0}} {operator} {{1}})", left, right, type_)
    if operator == "%":
        # The sign of the engine's % is that of the dividend.
        rest = "({0} % {1})"
        body = f"if({rest} < 0, {rest} + abs({{1}}), {rest})"
        if type_ is Type.REAL:
            return _apply(body, left, right, type_)
        return _apply(f"if({{1}} = 0, NULL, toDecimal256({body}, 28))", left, right, type_, null=True)
    if type_ is Type.DECIMAL:
        if operator == "/":
            return _apply("if({1} = 0, NULL, toDecimal256({0} / {1}, 28))", left, right, type_, null=True)
        return _apply(f"toDecimal256({{0}} {operator} {{1}}, 28)", left, right, type_)
    return _apply(f"({{0}} {operator} {{1}})", left, right, type_)


def _may_vanish(left: Scalar, right: Scalar) -> bool:
    """Whether a division can be null: not by a constant other than zero."""
    return left.nullable or not (isinstance(right, Constant) and bool(right.value))


_TIMES: dict[tuple[str, Type, Type], tuple[str, Type]] = {
    ("+", Type.DATETIME, Type.TIMESPAN): (kept(f"({ticks('{0}')} + {{1}})"), Type.DATETIME),
    ("+", Type.TIMESPAN, Type.DATETIME): (kept(f"({ticks('{1}')} + {{0}})"), Type.DATETIME),
    ("-", Type.DATETIME, Type.TIMESPAN): (kept(f"({ticks('{0}')} - {{1}})"), Type.DATETIME),
    ("-", Type.DATETIME, Type.DATETIME): (f"({ticks('{0}')} - {ticks('{1}')})", Type.TIMESPAN),
    ("+", Type.TIMESPAN, Type.TIMESPAN): ("({0} + {1})", Type.TIMESPAN),
    ("-", Type.TIMESPAN, Type.TIMESPAN): ("({0} - {1})", Type.TIMESPAN),
    ("/", Type.TIMESPAN, Type.TIMESPAN): ("({0} / {1})", Type.REAL),
    ("%", Type.TIMESPAN, Type.TIMESPAN): ("positiveModuloOrNull({0}, {1})", Type.TIMESPAN),
    ("%", Type.DATETIME, Type.TIMESPAN): (
        f"positiveModuloOrNull({ticks('{0}')} + 621355968000000000, {{1}})",
        Type.TIMESPAN,
    ),
}


def _times(operator: str, left: Scalar, right: Scalar) -> Scalar | None:
    found = _TIMES.get((operator, left.type, right.type))
    if found is not None:
        template, type_ = found
        if isinstance(left, Constant) and isinstance(right, Constant) and operator in ("+", "-"):
            return _known(operator, left, right, type_)
        return _apply(template, left, right, type_, null=True if operator == "%" or type_ is Type.DATETIME else None)
    if operator == "*" and left.type in NUMERIC and right.type is Type.TIMESPAN:
        left, right = right, left
    if operator in ("*", "/") and left.type is Type.TIMESPAN and right.type in NUMERIC:
        if right.type in _INTEGER:
            template = "({0} * {1})" if operator == "*" else "intDivOrNull({0}, {1})"
        else:
            template = f"toInt64(trunc({{0}} {operator} toFloat64({{1}})))"
        return _apply(template, left, right, Type.TIMESPAN, null=_may_vanish(left, right) if operator == "/" else None)
    return None


def _known(operator: str, left: Constant, right: Constant, type_: Type) -> Constant:
    """Return a sum that is known beforehand, so that filters and their bounds see a constant."""
    if not isinstance(left.value, int) or not isinstance(right.value, int):
        return Constant(None, type_)
    total = left.value + right.value if operator == "+" else left.value - right.value
    fits = 0 <= total <= _LAST_TICK if type_ is Type.DATETIME else -(1 << 63) <= total < 1 << 63
    return Constant(total if fits else None, type_)


def negate(value: Scalar) -> Scalar | None:
    """Return `-value`; None: not for its type."""
    if value.type is Type.DYNAMIC:
        value = convert(value, Type.REAL)
    if value.type not in (*NUMERIC, Type.TIMESPAN):
        return None
    into = _SQL_INT.get(value.type, "toInt64" if value.type is Type.TIMESPAN else "")
    return Apply(f"{into}(-({{0}}))", (value,), value.type, value.nullable)


# Comparison


def compare(operator: str, left: Scalar, right: Scalar) -> Scalar | None:
    """Return `left operator right` for == != < <= > >=; None: not for these types.

    One null beside a value is different from it; two nulls give null, as does any order of a null (the manual's page of
    null values).
    """
    equality = operator in ("==", "!=")
    if not equality and left.type is right.type is Type.DYNAMIC:  # numbers have an order
        left, right = convert(left, Type.REAL), convert(right, Type.REAL)
    elif not equality and Type.DYNAMIC in (left.type, right.type) and not {left.type, right.type} & {*NUMERIC}:
        return None
    pair = _alike(left, right)
    if pair is None:
        return None
    left, right = pair
    if equality:
        return _equality(operator, left, right)
    if left.type in (Type.STRING, Type.GUID):
        return None  # texts have no order: strcmp(…)
    if left.type is Type.BOOL:
        left, right = (Apply("toInt64({0})", (side,), Type.LONG, side.nullable) for side in (left, right))
    return _apply(f"({{0}} {operator} {{1}})", left, right, Type.BOOL)


def _alike(left: Scalar, right: Scalar) -> tuple[Scalar, Scalar] | None:
    if left.type is right.type:
        return (text_of(left), text_of(right)) if left.type is Type.DYNAMIC else (left, right)
    if (type_ := wider(left.type, right.type)) is not None:
        return convert(left, type_), convert(right, type_)
    if Type.BOOL in (left.type, right.type) and (left.type in NUMERIC or right.type in NUMERIC):
        left, right = (
            Apply("toInt64({0})", (side,), Type.LONG, side.nullable) if side.type is Type.BOOL else side
            for side in (left, right)
        )
        return _alike(left, right)
    if left.type is Type.DYNAMIC:
        return convert(left, right.type), right
    if right.type is Type.DYNAMIC:
        return left, convert(right, left.type)
    return None


def _equality(operator: str, left: Scalar, right: Scalar) -> Scalar:
    equal = operator == "=="
    sign = "=" if equal else "!="
    if not left.nullable and not right.nullable:
        return _apply(f"({{0}} {sign} {{1}})", left, right, Type.BOOL)
    if not left.nullable or not right.nullable:
        loose = "({0} = {1})" if equal else ""
        template = f"ifNull({{0}} {sign} {{1}}, {'false' if equal else 'true'})"
        return Apply(template, (left, right), Type.BOOL, nullable=False, loose=loose)
    if left.type is Type.BOOL:  # two nulls are neither equal nor different (the manual's page of logical operators)
        template = "ifNull({0} = {1}, false)" if equal else "ifNull({0} != {1}, isNull({0}) != isNull({1}))"
        return Apply(template, (left, right), Type.BOOL, nullable=False)
    both = "if(isNull({0}) AND isNull({1}), NULL, " + ("false" if equal else "true") + ")"
    loose = "({0} = {1})" if equal else "ifNull({0} != {1}, isNull({0}) != isNull({1}))"
    return Apply(f"ifNull({{0}} {sign} {{1}}, {both})", (left, right), Type.BOOL, nullable=True, loose=loose)


def logical(operator: str, left: Scalar, right: Scalar) -> Scalar:
    """Return `left and right`, `left or right`: null counts as false (the manual's page of logical operators)."""
    sides = tuple(Apply(NULL_IS_FALSE, (side,), Type.BOOL, False) if side.nullable else side for side in (left, right))
    return Apply(f"({{0}} {operator.upper()} {{1}})", sides, Type.BOOL, nullable=False, connects=True)


# Strings

_NOWHERE = Span(0, 0)
_EDGE = r"[^\\p{{L}}\\p{{N}}]"
_SIGN = r"[\\p{{L}}\\p{{N}}]"


def _term(before: bool, after: bool, ignore_case: bool) -> Callable[[Scalar, Scalar], Scalar]:
    """Return the search for a term, with its edges where they are asked for: a run of letters and digits ends there."""

    def bind(left: Scalar, right: Scalar) -> Scalar:
        flag = "(?i)" if ignore_case else ""
        if isinstance(right, Constant):
            word = str(right.value)
            head = "(?:^|[^\\p{L}\\p{N}])" if before and word[:1].isalnum() else ""
            tail = "(?:$|[^\\p{L}\\p{N}])" if after and word[-1:].isalnum() else ""
            whole = Constant(f"{flag}{head}{re.escape(word)}{tail}", Type.STRING)
            found = "positionCaseInsensitiveUTF8" if ignore_case else "position"
            edges = "match({0}, {2})"
            if before and after and word.isascii() and word.isalnum():
                # A token of the engine ends at any character of ASCII that is no letter or digit, and is far cheaper
                # to look for than the expression is to compile: a constant is compiled once a block, for no row too.
                token = "hasTokenCaseInsensitive" if ignore_case else "hasToken"
                edges = "match({0}, materialize({2}))"
                edges = f"({token}({{0}}, {{1}}) OR (NOT isValidASCII({{0}}) AND {edges}))"
            return Apply(f"({found}({{0}}, {{1}}) > 0 AND {edges})", (left, right, whole), Type.BOOL, False)
        head = f"if(match({{1}}, '^{_SIGN}'), '(?:^|{_EDGE})', ''), " if before else ""
        tail = f", if(match({{1}}, '{_SIGN}$'), '(?:$|{_EDGE})', '')" if after else ""
        template = f"match({{0}}, concat('{flag}', {head}regexpQuoteMeta({{1}}){tail}))"
        return _apply(template, left, right, Type.BOOL)

    return bind


TERM = (
    f"match({{0}}, concat('(?i)', if(match(t, '^{_SIGN}'), '(?:^|{_EDGE})', ''), regexpQuoteMeta(t), "
    f"if(match(t, '{_SIGN}$'), '(?:$|{_EDGE})', '')))"
)
"""Whether a text has the term `t` of an SQL array."""


def has_terms(operator: str, value: Scalar, terms: Scalar, array: str) -> Scalar:
    """Return `value has_any terms`, `value has_all terms`; `array`: SQL array of the texts of the terms, `{1}`."""
    function = "arrayExists" if operator == "has_any" else "arrayAll"
    return Apply(f"{function}(t -> {TERM}, {array})", (value, terms), Type.BOOL, nullable=False)


def _plain(template: str) -> Callable[[Scalar, Scalar], Scalar]:
    return lambda left, right: _apply(template, left, right, Type.BOOL)


_POSITIVE: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "=~": _plain("(lowerUTF8({0}) = lowerUTF8({1}))"),
    "contains": _plain("(positionCaseInsensitiveUTF8({0}, {1}) > 0)"),
    "contains_cs": _plain("(position({0}, {1}) > 0)"),
    "startswith": _plain("startsWith(lowerUTF8({0}), lowerUTF8({1}))"),
    "startswith_cs": _plain("startsWith({0}, {1})"),
    "endswith": _plain("endsWith(lowerUTF8({0}), lowerUTF8({1}))"),
    "endswith_cs": _plain("endsWith({0}, {1})"),
    "has": _term(True, True, True),
    "has_cs": _term(True, True, False),
    "hasprefix": _term(True, False, True),
    "hasprefix_cs": _term(True, False, False),
    "hassuffix": _term(False, True, True),
    "hassuffix_cs": _term(False, True, False),
}
_NEGATED = {"!~": "=~"}
STRING_OPERATORS = frozenset(
    {*_POSITIVE, *_NEGATED, *(f"!{name}" for name in _POSITIVE if name[0].isalpha()), "matches regex"}
)


def string_operator(operator: str, left: Scalar, right: Scalar, span: Span = _NOWHERE) -> Scalar:
    """Return `left operator right` for an operator of strings; `span` is that of a regular expression on the right.

    Raises: KqlSemanticError, KqlUnsupported for a regular expression.
    """
    left, right = text_of(left), text_of(right)
    if operator == "matches regex":
        return _apply("match({0}, {1})", left, pattern(right, span), Type.BOOL)
    if operator in _POSITIVE:
        return _POSITIVE[operator](left, right)
    found = _POSITIVE[_NEGATED.get(operator, operator[1:])](left, right)
    return Apply("NOT ({0})", (found,), Type.BOOL, found.nullable)
