"""Functions as tables: what they take, give, and are in SQL. One module a subject; registered here."""

from __future__ import annotations

from collections.abc import Mapping

from whatchanged.kql.functions import (
    addresses,
    aggregates,
    arrays,
    bags,
    bins,
    collections,
    command_lines,
    conversion,
    dates,
    dynamic,
    encodings,
    fits,
    flow,
    formats,
    hashes,
    mathematics,
    searches,
    series,
    sets,
    sorting,
    strings,
    trees,
    units,
    windows,
)
from whatchanged.kql.functions.signature import Function, Several, Special, overloads

__all__ = ["AGGREGATES", "COLUMNS", "SCALARS", "WINDOWS"]

SCALARS: Mapping[str, tuple[Function | Special, ...]] = overloads(
    addresses.FUNCTIONS,
    arrays.FUNCTIONS,
    bags.FUNCTIONS,
    bins.FUNCTIONS,
    conversion.FUNCTIONS,
    dates.FUNCTIONS,
    dynamic.FUNCTIONS,
    encodings.FUNCTIONS,
    flow.FUNCTIONS,
    formats.FUNCTIONS,
    command_lines.FUNCTIONS,
    hashes.FUNCTIONS,
    mathematics.FUNCTIONS,
    fits.FUNCTIONS,
    searches.FUNCTIONS,
    series.FUNCTIONS,
    sets.FUNCTIONS,
    sorting.FUNCTIONS,
    strings.FUNCTIONS,
    trees.FUNCTIONS,
    units.FUNCTIONS,
)
AGGREGATES: Mapping[str, tuple[Function | Special, ...]] = overloads(aggregates.FUNCTIONS, collections.FUNCTIONS)
WINDOWS: Mapping[str, tuple[Function | Special, ...]] = overloads(windows.FUNCTIONS)
"""Functions that look at other rows of an ordered relation."""
COLUMNS: Mapping[str, Several] = {**fits.COLUMNS, **series.COLUMNS, **sorting.COLUMNS}
"""Functions that give several columns where they stand alone in `extend`, `project` and `print`."""
