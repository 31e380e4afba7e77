"""Tabular operators: each takes rows and gives rows. One module a subject; registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from whatchanged.kql.binder.operators import (
    columns,
    expansion,
    groups,
    joins,
    keyed,
    parsing,
    plugins,
    rankings,
    rows,
    scans,
    schemas,
    series,
    unions,
)
from whatchanged.kql.binder.scope import Relation, Scope
from whatchanged.kql.syntax import tree

if TYPE_CHECKING:
    from whatchanged.kql.binder.queries import Queries

__all__ = ["OPERATORS"]

Bind = Callable[["Queries", Relation, Any, Scope], Relation]

OPERATORS: Mapping[type[tree.Operator], Bind] = {
    **rows.OPERATORS,
    **columns.OPERATORS,
    **groups.OPERATORS,
    **joins.OPERATORS,
    **unions.OPERATORS,
    **expansion.OPERATORS,
    **parsing.OPERATORS,
    **keyed.OPERATORS,
    **series.OPERATORS,
    **rankings.OPERATORS,
    **scans.OPERATORS,
    **schemas.OPERATORS,
    **plugins.OPERATORS,
}
