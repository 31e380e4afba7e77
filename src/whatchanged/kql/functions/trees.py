"""Functions that go down a whole dynamic value: `treepath`, `dynamic_to_json`.

The engine has no recursion, so the way down is written out, a lambda a level; a value that is deeper fails the query.
"""

from __future__ import annotations

from whatchanged.kql.functions.dynamic import array_of
from whatchanged.kql.functions.signature import Entry, scalar

__all__ = ["FUNCTIONS"]

_DEEPEST = 6
_TOO_DEEP = f"'a dynamic value is nested deeper than {_DEEPEST} levels here'"


def _paths(value: str, depth: int) -> str:
    """Return the SQL array of the paths of all parts below a value."""
    keys = f"arrayMap(p -> (concat('[\\'', p.1, '\\']'), p.2), JSONExtractKeysAndValuesRaw({value}))"
    places = f"arrayMap(v -> ('[0]', v), JSONExtractArrayRaw({value}))"
    parts = f"arrayConcat({keys}, {places})"
    if depth == 0:
        return f"if(throwIf(notEmpty({parts}), {_TOO_DEEP}), emptyArrayString(), emptyArrayString())"
    part = f"t{depth}"
    below = f"arrayMap(q -> concat({part}.1, q), {_paths(f'{part}.2', depth - 1)})"
    return f"arrayFlatten(arrayMap({part} -> arrayPushFront({below}, {part}.1), {parts}))"


def _sorted(value: str, depth: int) -> str:
    """Return the JSON text of a value with the keys of all its bags in order."""
    kind = f"JSONType({value})"
    parts = (
        f"if({kind} = 'Object', arraySort(p -> p.1, JSONExtractKeysAndValuesRaw({value})), "
        f"arrayMap(v -> ('', v), JSONExtractArrayRaw({value})))"
    )
    if depth == 0:
        return f"if(throwIf(notEmpty({parts}), {_TOO_DEEP}), '', {value})"
    part = f"t{depth}"
    text = f"concat(if({kind} = 'Object', concat(toJSONString({part}.1), ':'), ''), {_sorted(f'{part}.2', depth - 1)})"
    joined = f"arrayStringConcat(arrayMap({part} -> {text}, {parts}), ',')"
    return (
        f"multiIf({kind} = 'Object', concat('{{{{', {joined}, '}}}}'), "
        f"{kind} = 'Array', concat('[', {joined}, ']'), {value})"
    )


_PATHS = f"arrayMap(q -> toJSONString(q), arrayDistinct({_paths('assumeNotNull({0})', _DEEPEST)}))"

FUNCTIONS: tuple[Entry, ...] = (
    scalar(
        "treepath(dynamic) dynamic",
        f"if(JSONType(ifNull({{0}}, 'null')) IN ('Object', 'Array'), {array_of(_PATHS)}, NULL)",
        null=True,
        naming="tree_",
    ),
    scalar("dynamic_to_json(json) string", f"if({{0}} IS NULL, '', {_sorted('assumeNotNull({0})', _DEEPEST)})"),
)
