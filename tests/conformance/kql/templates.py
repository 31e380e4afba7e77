"""Queries to compare binders on: every operator over columns of every type, with what is right and what is wrong.

A line of operators.txt is a query, one of values.txt a value; `{0}` stands for a column, or for what is none.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from conformance.kql.calls import COLUMNS

__all__ = ["operators", "values"]

_FOLDER = Path(__file__).parent
_BINARY = [
    "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "=~", "!~", "and", "or", "has", "!has_cs", "contains", "startswith",
    "!endswith_cs", "hasprefix", "matches regex",
]  # fmt: skip
_LITERALS = ["true", "2", "2.5", "'a'", "datetime(2024-02-03)", "2h", "dynamic([1, 2])", "decimal(1)"]
_BROKEN = ["nowhere", "Samples", "count()", "nothing(1)", "Samples.long_", "*"]


def values() -> list[str]:
    """Return queries for one value: operators between values of all types."""
    columns = list(COLUMNS)
    every = [*columns, *_LITERALS, *_BROKEN]
    found = [f"{left} {infix} {right}" for infix in _BINARY for left, right in itertools.product(columns, every)]
    found += _filled("values.txt", every)
    return [f"Samples | project {value}" for value in dict.fromkeys(found)]


def operators() -> list[str]:
    """Return queries whose operators meet a column of each type, and one that is not there."""
    return list(dict.fromkeys(_filled("operators.txt", [*COLUMNS, "nowhere"])))


def _filled(file: str, names: list[str]) -> list[str]:
    templates = (_FOLDER / file).read_text("utf-8").splitlines()
    return [template.replace("{0}", name) for template in templates for name in names]
