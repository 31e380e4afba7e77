"""Functions of series: arrays of numbers, element by element or as a whole. What is no number counts as null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.arrays import elements, is_array, of_arrays, plain
from whatchanged.kql.functions.casts import to_dynamic
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.dynamic import array_of
from whatchanged.kql.functions.signature import Bound, Entry, Several, scalar, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import NUMERIC, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions

__all__ = ["ALL_FINITE", "COLUMNS", "FUNCTIONS", "NUMBERS", "mapped"]


def _written(variable: str, type_: Type) -> str:
    """Return the JSON text of a nullable variable of a lambda: of a condition, or of a real."""
    if type_ is Type.BOOL:
        return f"ifNull(if({variable}, 'true', 'false'), 'null')"
    text = f"toString({variable})"
    real = (
        f"multiIf(isNaN({variable}), '\"NaN\"', {text} = 'inf', '\"Infinity\"', {text} = '-inf', '\"-Infinity\"', "
        f"match({text}, '^-?[0-9]+$'), concat({text}, '.0'), {text})"
    )
    return f"ifNull({real}, 'null')"


def _number(text: str) -> str:
    """Return the number that the JSON text of an element is; null if it is none."""
    odd = "('\"NaN\"', '\"Infinity\"', '\"-Infinity\"')"
    return f"toFloat64OrNull(if({text} IN {odd}, trim(BOTH '\"' FROM {text}), {text}))"


def mapped(values: str, type_: Type = Type.REAL) -> str:
    """Return the dynamic of an SQL array of numbers or conditions."""
    return array_of(f"arrayMap(v -> {_written('v', type_)}, {values})")


# Element by element

_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*"}
_COMPARISONS = {
    "greater": ">",
    "greater_equals": ">=",
    "less": "<",
    "less_equals": "<=",
    "equals": "=",
    "not_equals": "!=",
}
_WHOLE = "(match({0}, '^-?[0-9]+$') AND length({0}) < 10)"
"""Whether an element is a whole number, and so small that two of them have a whole product."""


def _beside(call: tree.Call, values: list[Scalar]) -> list[str]:
    """Return the SQL arrays of two arguments, of one length: one may be a number, which stands at every place."""
    numbers = [value.type in NUMERIC for value in values]
    if all(numbers):
        raise KqlSemanticError(f"{call.name}() takes an array", call.span)
    for value, part in zip(values, call.arguments, strict=True):
        if value.type not in (*NUMERIC, Type.DYNAMIC):
            raise KqlSemanticError(f"{call.name}() takes arrays and numbers, not a {value.type.value}", part.span)
    if any(numbers):
        array = numbers.index(False)
        found = [f"arrayWithConstant(length({elements(array)}), {plain(1 - array)})"] * 2
        found[array] = elements(array)
        return found
    length = f"greatest(length({elements(0)}), length({elements(1)}))"
    return [f"arrayResize({elements(number)}, {length}, 'null')" for number in (0, 1)]


def _paired(operation: str, type_: Type, whole: str = "") -> Bound:
    """Return a function of two series. `whole`: how two whole numbers give one."""

    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        counted(call, 2)
        values = [binder.bind(part) for part in call.arguments]
        left, right = _beside(call, values)
        result = _written("v", type_)
        text = f"arrayMap(v -> {result}, [{operation.format(_number('a'), _number('b'))}])[1]"
        if whole:
            exact = whole.format("toInt64OrZero(a)", "toInt64OrZero(b)")
            both = f"{_WHOLE.format('a')} AND {_WHOLE.format('b')}"
            text = f"if({both}, toString({exact}), {text})"
        body = array_of(f"arrayMap((a, b) -> {text}, {left}, {right})")
        arrays = [number for number, value in enumerate(values) if value.type not in NUMERIC]
        return Apply(of_arrays(body, *arrays), tuple(map(to_dynamic, values)), Type.DYNAMIC, nullable=True)

    return bind


def _single(name: str, operation: str) -> Entry:
    values = f"arrayMap(x -> {operation.format(_number('x'))}, {elements(0)})"
    return scalar(f"series_{name}(dynamic) dynamic", of_arrays(mapped(values), 0), null=True)


_REAL = f"arrayMap(v -> {_written('v', Type.REAL)}, [abs({_number('x')})])[1]"
_ABSOLUTE = f"arrayMap(x -> if({_WHOLE.format('x')}, trim(LEADING '-' FROM x), {_REAL}), {elements(0)})"

# As a whole

NUMBERS = (
    f"arrayMap(x -> assumeNotNull(x), arrayFilter(x -> isNotNull(x), arrayMap(x -> {_number('x')}, {elements(0)})))"
)


def _folded(name: str, sql: str) -> Entry:
    """Return a function of all numbers of a series; null if it has none."""
    template = of_arrays(f"if(notEmpty({NUMBERS}), {sql}, NULL)", 0)
    return scalar(f"series_{name}(dynamic) real", template, null=True)


@special("series_dot_product")
def _dot_product(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2)
    values = [binder.bind(part) for part in call.arguments]
    left, right = _beside(call, values)
    products = f"arrayMap((a, b) -> ifNull({_number('a')} * {_number('b')}, 0), {left}, {right})"
    arrays = [number for number, value in enumerate(values) if value.type not in NUMERIC]
    filled = " AND ".join(f"notEmpty({elements(number)})" for number in arrays)
    template = of_arrays(f"if({filled}, arraySum({products}), NULL)", *arrays)
    return Apply(template, tuple(map(to_dynamic, values)), Type.REAL, nullable=True)


def _related(name: str, sql: str) -> Entry:
    """Return what relates two series of one length; null if one of them has something else than numbers."""

    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        if len(call.arguments) > 2:
            raise KqlUnsupported(f"{call.name}() computes the magnitudes itself here", call.span)
        counted(call, 2)
        values = tuple(argument(binder, call, number, Type.DYNAMIC) for number in (0, 1))
        numbers = [f"arrayMap(x -> ifNull({_number('x')}, nan), {elements(number)})" for number in (0, 1)]
        usable = (
            f"notEmpty({elements(0)}) AND length({elements(0)}) = length({elements(1)}) "
            f"AND arrayAll(x -> isFinite(x), arrayConcat({numbers[0]}, {numbers[1]}))"
        )
        template = of_arrays(f"if({usable}, {sql.format(*numbers)}, NULL)", 0, 1)
        return Apply(template, values, Type.REAL, nullable=True)

    return special(name)(bind)


# Without the lambda the engine would refuse arrays of two lengths; what is not usable has them.
_DOT = "arraySum((a, b) -> a * b, {0}, arrayResize({1}, length({0})))"
_COSINE = f"({_DOT} / sqrt(arraySum(x -> x * x, {{0}}) * arraySum(x -> x * x, {{1}})))"
_CENTRED = "arraySum((a, b) -> (a - arrayAvg({0})) * (b - arrayAvg({1})), {0}, arrayResize({1}, length({0})))"
_PEARSON = (
    f"({_CENTRED} / sqrt(arraySum(x -> pow(x - arrayAvg({{0}}), 2), {{0}}) "
    "* arraySum(x -> pow(x - arrayAvg({1}), 2), {1})))"
)


# Filling


def _placeholder(binder: Expressions, call: tree.Call, place: int) -> Scalar:
    """Return what stands for a missing value: null unless an argument says otherwise."""
    if len(call.arguments) <= place:
        return Constant(None, Type.DYNAMIC)
    return _filling(binder, call, place)


def _filling(binder: Expressions, call: tree.Call, place: int) -> Scalar:
    value = binder.bind(call.arguments[place])
    if value.type not in NUMERIC:
        raise KqlSemanticError(f"a number is expected here, not a {value.type.value}", call.arguments[place].span)
    return to_dynamic(value)


def _filled(function: str) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        counted(call, 1, 2)
        series, missing = argument(binder, call, 0, Type.DYNAMIC), _placeholder(binder, call, 1)
        body = array_of(f"{function}(x -> x != {plain(1)}, {elements(0)})")
        return Apply(of_arrays(body, 0), (series, missing), Type.DYNAMIC, nullable=True)

    return bind


@special("series_fill_const", naming="first")
def _fill_const(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 2, 3)
    series, missing = argument(binder, call, 0, Type.DYNAMIC), _placeholder(binder, call, 2)
    constant = _filling(binder, call, 1)
    body = array_of(f"arrayMap(x -> if(x = {plain(1)}, ifNull({{2}}, 'null'), x), {elements(0)})")
    return Apply(of_arrays(body, 0), (series, missing, constant), Type.DYNAMIC, nullable=True)


def _linear(edges: bool) -> str:
    """Between the nearest values on both sides, by distance; whole numbers only: rounded down to one."""
    present = f"x != {plain(1)}"
    places = f"arrayMap(i -> toInt64(i), arrayEnumerate({elements(0)}))"
    before = f"arrayFill((i, x) -> {present}, {places}, {elements(0)})"
    after = f"arrayReverseFill((i, x) -> {present}, {places}, {elements(0)})"
    left = f"arrayFill(x -> {present}, {elements(0)})"
    right = f"arrayReverseFill(x -> {present}, {elements(0)})"
    number = "toFloat64OrZero(l) + (toFloat64OrZero(r) - toFloat64OrZero(l)) * (i - b) / (a - b)"
    # A whole number has no point in the text of the array as it came.
    written = f"if(match({{0}}, '[.eE]'), {_written('v', Type.REAL)}, toString(toInt64(trunc(v))))"
    between = f"arrayMap(v -> {written}, [toNullable({number})])[1]"
    first, last = ("r", "l") if edges else ("x", "x")
    value = f"multiIf({present}, x, l = {plain(1)}, {first}, r = {plain(1)}, {last}, {between})"
    return f"arrayMap((x, i, b, a, l, r) -> {value}, {elements(0)}, {places}, {before}, {after}, {left}, {right})"


@special("series_fill_linear", naming="first")
def _fill_linear(binder: Expressions, call: tree.Call) -> Scalar:
    counted(call, 1, 4)
    series, missing = argument(binder, call, 0, Type.DYNAMIC), _placeholder(binder, call, 1)
    edges = True
    if len(call.arguments) > 2:
        edges = binder.flag(call.arguments[2], "whether to fill the edges")
    constant: Scalar = Constant("0.0", Type.DYNAMIC)
    if len(call.arguments) > 3:
        constant = _filling(binder, call, 3)
    nothing = f"arrayAll(x -> x = {plain(1)}, {elements(0)})"
    every = f"arrayMap(x -> ifNull({{2}}, 'null'), {elements(0)})"
    body = array_of(f"if({nothing}, {every}, {_linear(edges)})")
    return Apply(of_arrays(body, 0), (series, missing, constant), Type.DYNAMIC, nullable=True)


# Statistics

_MEAN = f"arrayAvg({NUMBERS})"
_VARIANCE = (
    f"if(length({NUMBERS}) > 1, "
    f"arraySum(x -> (x - {_MEAN}) * (x - {_MEAN}), {NUMBERS}) / (length({NUMBERS}) - 1), NULL)"
)
_STATS: Mapping[str, tuple[str, Type]] = {
    "min": (f"arrayMin({NUMBERS})", Type.REAL),
    "min_idx": (f"toInt64(indexOf({NUMBERS}, arrayMin({NUMBERS}))) - 1", Type.LONG),
    "max": (f"arrayMax({NUMBERS})", Type.REAL),
    "max_idx": (f"toInt64(indexOf({NUMBERS}, arrayMax({NUMBERS}))) - 1", Type.LONG),
    "avg": (_MEAN, Type.REAL),
    "stdev": (f"sqrt({_VARIANCE})", Type.REAL),
    "variance": (_VARIANCE, Type.REAL),
    "sum": (f"arraySum({NUMBERS})", Type.REAL),
    "len": (f"toInt64(length({elements(0)}))", Type.LONG),
}


# One element that is no finite number makes all of it null (series-stats-function).
ALL_FINITE = f"notEmpty({elements(0)}) AND arrayAll(x -> ifNull(isFinite({_number('x')}), 0), {elements(0)})"


def _statistics(binder: Expressions, call: tree.Call) -> list[tuple[str, Scalar]]:
    counted(call, 1, 2)
    series = argument(binder, call, 0, Type.DYNAMIC)
    if len(call.arguments) > 1 and binder.flag(call.arguments[1], "whether to ignore"):
        raise KqlUnsupported("what is not finite is not left out here: filter it before", call.arguments[1].span)
    return [
        (name, Apply(f"if({is_array(0)} AND {ALL_FINITE}, {sql}, NULL)", (series,), type_, nullable=True))
        for name, (sql, type_) in _STATS.items()
    ]


def in_columns(call: tree.Call, function: str, found: Iterable[tuple[str, Scalar]]) -> list[tuple[str, Scalar]]:
    """Return what was found of a series as columns, named after the function and the series."""
    first = call.arguments[0] if call.arguments else None
    prefix = f"{function}_{first.name if isinstance(first, tree.Name) else ''}"
    return [(f"{prefix}_{name}", value) for name, value in found]


def in_a_bag(found: Sequence[tuple[str, Scalar]]) -> Scalar:
    """Return what was found of a series as one dynamic value."""
    parts = ", ',', ".join(f"'\"{name}\":', ifNull({{{number}}}, 'null')" for number, (name, _) in enumerate(found))
    values = tuple(to_dynamic(value) for _, value in found)
    return Apply(f"concat('{{{{', {parts}, '}}}}')", values, Type.DYNAMIC, nullable=False)


def _stats_columns(binder: Expressions, call: tree.Call) -> list[tuple[str, Scalar]]:
    found = [(name, value) for name, value in _statistics(binder, call) if name not in ("sum", "len")]
    return in_columns(call, "series_stats", found)


@special("series_stats")
def _series_stats(binder: Expressions, call: tree.Call) -> Scalar:
    raise KqlSemanticError(
        "series_stats() gives several columns: within an expression use series_stats_dynamic()", call.span
    )


@special("series_stats_dynamic")
def _series_stats_dynamic(binder: Expressions, call: tree.Call) -> Scalar:
    return in_a_bag(_statistics(binder, call))


def _filtered() -> str:
    """Return the SQL array of an infinite impulse response: of samples, numerators and denominators."""
    samples, *factors = (f"arrayMap(x -> ifNull({_number('x')}, 0), {elements(number)})" for number in range(3))
    given = "arraySum(arrayMap((b, i) -> if(n >= i, b * xs[n - i + 1], 0), bs, arrayEnumerate(bs)))"
    fed_back = (
        "arraySum(arrayMap((a, i) -> if(i > 1 AND n >= i, a * ys[n - i + 1], 0), factors, arrayEnumerate(factors)))"
    )
    step = f"arrayPushBack(ys, ({given} - {fed_back}) / factors[1])"
    whole = f"arrayFold((ys, n) -> {step}, arrayEnumerate(xs), emptyArrayFloat64())"
    return f"arrayMap((xs, bs, factors) -> {whole}, [{samples}], [{factors[0]}], [{factors[1]}])[1]"


_FUNCTIONS = {
    "exp": "exp({})",
    "sign": "toFloat64(sign({}))",
    "sin": "sin({})",
    "asin": "asin({})",
    "cos": "cos({})",
    "acos": "acos({})",
    "tan": "tan({})",
    "atan": "atan({})",
    "log": "log({})",
    "floor": "floor({})",
    "ceiling": "ceil({})",
}

FUNCTIONS: tuple[Entry, ...] = (
    *(
        special(f"series_{name}")(_paired(f"{{}} {sign} {{}}", Type.REAL, f"{{}} {sign} {{}}"))
        for name, sign in _ARITHMETIC.items()
    ),
    scalar(
        "series_iir(dynamic, dynamic, dynamic) dynamic",
        of_arrays(mapped(_filtered()), 0, 1, 2),
        null=True,
        naming="first",
    ),
    special("series_divide")(_paired("{} / {}", Type.REAL)),
    special("series_pow")(_paired("pow({}, {})", Type.REAL)),
    *(special(f"series_{name}")(_paired(f"{{}} {sign} {{}}", Type.BOOL)) for name, sign in _COMPARISONS.items()),
    *(_single(name, operation) for name, operation in _FUNCTIONS.items()),
    scalar(
        "series_abs(dynamic) dynamic",
        of_arrays(array_of(_ABSOLUTE), 0),
        null=True,
    ),
    _folded("sum", f"arraySum({NUMBERS})"),
    _folded("product", f"arrayProduct({NUMBERS})"),
    _folded("magnitude", f"sqrt(arraySum(x -> x * x, {NUMBERS}))"),
    _dot_product,
    _related("series_cosine_similarity", _COSINE),
    _related("series_pearson_correlation", _PEARSON),
    special("series_fill_forward", naming="first")(_filled("arrayFill")),
    special("series_fill_backward", naming="first")(_filled("arrayReverseFill")),
    _fill_const,
    _fill_linear,
    _series_stats,
    _series_stats_dynamic,
)
COLUMNS: Mapping[str, Several] = {"series_stats": _stats_columns}
