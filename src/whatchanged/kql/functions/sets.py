"""Functions of arrays as sets: elements are alike if their JSON texts are."""

from __future__ import annotations

from whatchanged.kql.functions.arrays import elements, is_array, of_arrays, plain
from whatchanged.kql.functions.dynamic import array_of
from whatchanged.kql.functions.signature import Entry, scalar

__all__ = ["FUNCTIONS"]


def _union(count: int) -> str:
    return array_of(f"arrayDistinct(arrayConcat({', '.join(map(elements, range(count)))}))")


def _chosen(count: int, sign: str) -> str:
    """Return the elements of the first that are (not) in each other one."""
    conditions = " AND ".join(f"{sign}has({elements(number)}, x)" for number in range(1, count)) or "true"
    return of_arrays(array_of(f"arrayFilter(x -> {conditions}, arrayDistinct({elements(0)}))"), 0)


_BOTH = f"length(arrayDistinct(arrayFilter(x -> has({elements(1)}, x), {elements(0)})))"
_ANY = f"length(arrayDistinct(arrayConcat({elements(0)}, {elements(1)})))"
_EQUAL = f"({is_array(0)} AND {is_array(1)} AND {_BOTH} = {_ANY})"

FUNCTIONS: tuple[Entry, ...] = (
    scalar("set_union(dynamic, dynamic*) dynamic", _union, null=False),
    scalar("set_intersect(dynamic, dynamic*) dynamic", lambda count: _chosen(count, ""), null=True),
    scalar("set_difference(dynamic, dynamic*) dynamic", lambda count: _chosen(count, "NOT "), null=True),
    scalar("set_equals(dynamic, dynamic) bool", _EQUAL, null=False),
    scalar(
        "set_has_element(dynamic, json) bool",
        of_arrays(f"CAST(has({elements(0)}, {plain(1)}) AS Bool)", 0),
        null=True,
    ),
    scalar("jaccard_index(dynamic, dynamic) real", of_arrays(f"({_BOTH} / {_ANY})", 0, 1), null=True),
)
