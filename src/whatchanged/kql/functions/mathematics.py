"""Functions of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.dates import counted
from whatchanged.kql.functions.signature import Entry, scalar, special
from whatchanged.kql.plan import Apply, Scalar
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS"]

_WHOLE = (Type.INT, Type.LONG)
_SQL_INT = {Type.INT: "toInt32", Type.LONG: "toInt64"}


def _number(binder: Expressions, call: tree.Call, number: int = 0) -> Scalar:
    value = binder.bind(call.arguments[number])
    if value.type not in NUMERIC:
        raise KqlSemanticError(f"a number is expected here, not a {value.type.value}", call.arguments[number].span)
    return value


@special("round", naming="first")
def _round(binder: Expressions, call: tree.Call) -> Scalar:
    """Half to even, as the platform of the service rounds."""
    counted(call, 1, 2)
    value = _number(binder, call)
    digits = binder.integer(call.arguments[1], "the precision") if len(call.arguments) > 1 else 0
    if value.type in _WHOLE and digits >= 0:
        return value
    into = {**_SQL_INT, Type.REAL: "toFloat64", Type.DECIMAL: "toDecimal256"}[value.type]
    scale = ", 28" if value.type is Type.DECIMAL else ""
    if digits < -18 or digits > 15:
        raise KqlSemanticError("the precision is from -18 to 15", call.arguments[1].span)
    return Apply(f"{into}(roundBankers({{0}}, {digits}){scale})", (value,), value.type, value.nullable)


@special("ceiling", naming="first")
def _ceiling(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 1)
    value = _number(binder, call)
    if value.type in _WHOLE:
        return value
    template = "toDecimal256(ceil({0}), 28)" if value.type is Type.DECIMAL else "ceil({0})"
    return Apply(template, (value,), value.type, value.nullable)


@special("rand", naming="first")
def _rand(binder: Expressions, call: tree.Call) -> Scalar:
    """A number from 0 to 1, or a whole one below the argument; two calls of a query give different ones."""
    counted(call, 0, 1)
    place = call.span.start  # without a difference the engine would take two calls for one
    if not call.arguments:
        return Apply(f"randCanonical({place})", (), Type.REAL, nullable=False)
    limit = _number(binder, call)
    if limit.type not in _WHOLE:
        raise KqlSemanticError("rand() takes a whole number", call.arguments[0].span)
    return Apply(f"floor(randCanonical({place}) * {{0}})", (limit,), Type.REAL, limit.nullable)


def _real(name: str, sql: str, domain: str = "") -> Entry:
    """Return a function of a real; null outside its domain."""
    template = f"if({domain}, {sql}, NULL)" if domain else sql
    naming = "" if name in ("cot", "degrees", "radians", "sign") else "first"
    return scalar(
        f"{name}(num) real", template.replace("{0}", "toFloat64({0})"), null=True if domain else None, naming=naming
    )


def _bits(name: str, sql: str) -> Entry:
    return scalar(f"{name}(long, long) long", f"toInt64({sql})", naming="first")


def _shift(name: str, function: str) -> Entry:
    template = f"if({{1}} < 0, NULL, toInt64({function}({{0}}, positiveModulo({{1}}, 64))))"
    return scalar(f"{name}(long, long) long", template, null=True, naming="first")


FUNCTIONS: tuple[Entry, ...] = (
    scalar("abs(int|long) long", "toInt64(abs(toInt64({0})))", naming="first"),
    scalar("abs(real) real", "abs({0})", naming="first"),
    scalar("abs(decimal) decimal", "abs({0})", naming="first"),
    scalar("abs(timespan) timespan", "toInt64(abs({0}))", naming="first"),
    _round,
    _ceiling,
    _rand,
    _real("sqrt", "sqrt({0})", "{0} >= 0"),
    _real("exp", "exp({0})"),
    _real("exp2", "exp2({0})"),
    _real("exp10", "exp10({0})"),
    _real("log", "log({0})", "{0} >= 0"),
    _real("log2", "log2({0})", "{0} >= 0"),
    _real("log10", "log10({0})", "{0} >= 0"),
    _real("sin", "sin({0})"),
    _real("cos", "cos({0})"),
    _real("tan", "tan({0})"),
    _real("cot", "(1 / tan({0}))"),
    _real("asin", "asin({0})", "{0} BETWEEN -1 AND 1"),
    _real("acos", "acos({0})", "{0} BETWEEN -1 AND 1"),
    _real("atan", "atan({0})"),
    _real("degrees", "({0} * 180 / pi())"),
    _real("radians", "({0} * pi() / 180)"),
    _real("sign", "toFloat64(sign({0}))"),
    _real("gamma", "tgamma({0})"),
    _real("loggamma", "lgamma({0})"),
    _real("erf", "erf({0})"),
    _real("erfc", "erfc({0})"),
    scalar("pow(num, num) real", "pow(toFloat64({0}), toFloat64({1}))", naming="first"),
    scalar("atan2(num, num) real", "atan2(toFloat64({0}), toFloat64({1}))", naming="first"),
    scalar("pi() real", "pi()", null=False),
    scalar("isnan(real) bool", "CAST(isNaN({0}) AS Nullable(Bool))"),
    scalar("isinf(real) bool", "CAST(isInfinite({0}) AS Nullable(Bool))"),
    scalar("isfinite(real) bool", "CAST(isFinite({0}) AS Nullable(Bool))"),
    _bits("binary_and", "bitAnd({0}, {1})"),
    _bits("binary_or", "bitOr({0}, {1})"),
    _bits("binary_xor", "bitXor({0}, {1})"),
    _shift("binary_shift_left", "bitShiftLeft"),
    _shift("binary_shift_right", "bitShiftRight"),
    scalar("binary_not(long) long", "toInt64(bitNot({0}))", naming="first"),
    scalar("bitset_count_ones(long) long", "toInt64(bitCount({0}))", naming="first"),
)
