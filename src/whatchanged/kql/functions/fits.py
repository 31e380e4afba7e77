"""`series_fit_line`: the line of least squares through a series, whose places are 0, 1, 2 …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.arrays import elements, is_array
from whatchanged.kql.functions.dates import argument, counted
from whatchanged.kql.functions.series import ALL_FINITE, NUMBERS, in_a_bag, in_columns, mapped
from whatchanged.kql.functions.signature import Entry, Several, special
from whatchanged.kql.plan import Apply, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions

__all__ = ["COLUMNS", "FUNCTIONS"]

# `s` is the SQL array of the numbers.
_MIDDLE = "((length(s) - 1) / 2)"
_SLOPE = (
    f"(arraySum((y, i) -> (i - 1 - {_MIDDLE}) * y, s, arrayEnumerate(s)) / (length(s) * (pow(length(s), 2) - 1) / 12))"
)
_START = f"(arrayAvg(s) - {_SLOPE} * {_MIDDLE})"
_LINE = f"arrayMap(i -> {_START} + {_SLOPE} * (i - 1), arrayEnumerate(s))"
_VARIANCE = "(arraySum(y -> pow(y - arrayAvg(s), 2), s) / (length(s) - 1))"
_REST = f"(arraySum((y, f) -> pow(y - f, 2), s, {_LINE}) / (length(s) - 1))"
_FIT: Mapping[str, tuple[str, Type]] = {
    "rsquare": (f"(1 - {_REST} / {_VARIANCE})", Type.REAL),
    "slope": (_SLOPE, Type.REAL),
    "variance": (_VARIANCE, Type.REAL),
    "rvariance": (_REST, Type.REAL),
    # The service counts the places from 1 for this one (the manual's example).
    "interception": (f"({_START} - {_SLOPE})", Type.REAL),
    "line_fit": (mapped(_LINE), Type.DYNAMIC),
}


def _fit(binder: Expressions, call: tree.Call) -> list[tuple[str, Scalar]]:
    counted(call, 1)
    series = argument(binder, call, 0, Type.DYNAMIC)
    usable = f"{is_array(0)} AND {ALL_FINITE} AND length({elements(0)}) > 1"
    return [
        (name, Apply(f"if({usable}, arrayMap(s -> {sql}, [{NUMBERS}])[1], NULL)", (series,), type_, nullable=True))
        for name, (sql, type_) in _FIT.items()
    ]


def _columns(binder: Expressions, call: tree.Call) -> list[tuple[str, Scalar]]:
    return in_columns(call, "series_fit_line", _fit(binder, call))


@special("series_fit_line")
def _series_fit_line(binder: Expressions, call: tree.Call) -> Scalar:
    raise KqlSemanticError(
        "series_fit_line() gives several columns: within an expression use series_fit_line_dynamic()", call.span
    )


@special("series_fit_line_dynamic")
def _series_fit_line_dynamic(binder: Expressions, call: tree.Call) -> Scalar:
    return in_a_bag(_fit(binder, call))


FUNCTIONS: tuple[Entry, ...] = (_series_fit_line, _series_fit_line_dynamic)
COLUMNS: Mapping[str, Several] = {"series_fit_line": _columns}
