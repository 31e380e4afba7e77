"""`array_sort_asc`, `array_sort_desc`: of several arrays at once, which gives several columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError
from whatchanged.kql.functions.arrays import IS_NUMBER, elements, is_array
from whatchanged.kql.functions.casts import converts, to_dynamic
from whatchanged.kql.functions.dynamic import array_of
from whatchanged.kql.functions.signature import Entry, Several, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions

__all__ = ["COLUMNS", "FUNCTIONS"]

_NULL = "t.1 = 'null'"
_NUMBER = IS_NUMBER.format("t.1")
_TEXT = "startsWith(t.1, '\"')"
_OTHER = f"NOT ({_NULL} OR {_NUMBER} OR {_TEXT})"


def _sorted(number: int, descending: bool, nulls_last: bool) -> str:
    """Return the elements of an argument in the order of the first: numbers, then texts, then others.

    A triple is an element of the first, its place, and the element of the other beside it.
    """
    function, place = ("arrayReverseSort", "-t.2") if descending else ("arraySort", "t.2")
    beside = f"arrayResize({elements(number)}, length({elements(0)}), 'null')"
    triples = f"arrayZip({elements(0)}, arrayMap(i -> toInt64(i), arrayEnumerate({elements(0)})), {beside})"

    def part(condition: str, key: str) -> str:
        return f"{function}(t -> ({key}, {place}), arrayFilter(t -> {condition}, {triples}))"

    parts = [
        part(_NUMBER, "toFloat64OrZero(t.1), toInt64OrZero(t.1)"),
        part(_TEXT, "JSONExtractString(t.1)"),
        part(_OTHER, "t.1"),
    ]
    nulls = f"arrayFilter(t -> {_NULL}, {triples})"
    parts.insert(len(parts) if nulls_last else 0, nulls)
    body = array_of(f"arrayMap(t -> t.3, arrayConcat({', '.join(parts)}))")
    return (
        f"if({is_array(0)} AND {is_array(number)} AND length({elements(number)}) = length({elements(0)}), {body}, NULL)"
    )


def _arguments(binder: Expressions, call: tree.Call) -> tuple[list[Scalar], bool]:
    """Return the arrays of a call, and whether nulls come last."""
    values = [binder.bind(part) for part in call.arguments]
    nulls_last = True
    if values and values[-1].type is Type.BOOL:
        last = values.pop()
        if not isinstance(last, Constant):
            raise KqlSemanticError("whether nulls come last must be a constant", call.arguments[-1].span)
        nulls_last = bool(last.value)
    if not values:
        raise KqlSemanticError(f"{call.name}() takes one or more arrays", call.span)
    for value, part in zip(values, call.arguments, strict=False):
        if value.type is not Type.DYNAMIC and converts(value.type, Type.DYNAMIC) is None:
            raise KqlSemanticError(f"an array is expected here, not a {value.type.value}", part.span)
    return [to_dynamic(value) for value in values], nulls_last


def _columns(binder: Expressions, call: tree.Call) -> list[tuple[str, Scalar]]:
    arrays, nulls_last = _arguments(binder, call)
    found: list[tuple[str, Scalar]] = []
    for number, (array, part) in enumerate(zip(arrays, call.arguments, strict=False)):
        name = part.name if isinstance(part, tree.Name) else f"array{number}"
        template = _sorted(min(number, 1), call.name.endswith("desc"), nulls_last)
        value = Apply(template, (arrays[0], array) if number else (array,), Type.DYNAMIC, nullable=True)
        found.append((f"{name}_sorted", value))
    return found


@special("array_sort_asc", "array_sort_desc")
def _array_sort(binder: Expressions, call: tree.Call) -> Scalar:
    """The sorted array; of several, an array of them."""
    values = tuple(value for _, value in _columns(binder, call))
    if len(values) == 1:
        return values[0]
    parts = ", ".join(f"ifNull({{{number}}}, 'null')" for number in range(len(values)))
    return Apply(array_of(f"[{parts}]"), values, Type.DYNAMIC, nullable=False)


FUNCTIONS: tuple[Entry, ...] = (_array_sort,)
COLUMNS: Mapping[str, Several] = {"array_sort_asc": _columns, "array_sort_desc": _columns}
