"""Checking a query before it is kept: what it declares as parameters, and whether it compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from whatchanged.errors import RecordError
from whatchanged.kql.binder.given import SAMPLES, given_value
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlError
from whatchanged.kql.sql import Statement
from whatchanged.kql.syntax import parse, tree
from whatchanged.kql.types import TYPE_NAMES, Schema, Type

__all__ = ["Parameter", "check", "check_given", "declared_by"]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter that a query declares (`declare query_parameters`)."""

    name: str
    type: str
    default: str | None
    """A text as it is, anything else as it is written; None: a value must be given."""


def declared_by(text: str) -> tuple[Parameter, ...]:
    """Return the parameters that a query declares. Raises KqlError if the text is no query."""
    return tuple(
        Parameter(parameter.name, _type(parameter).value, _default(parameter, text))
        for statement in parse(text).statements
        if isinstance(statement, tree.Declare)
        for parameter in statement.parameters
    )


def check(text: str, schema: Schema) -> tuple[Parameter, ...]:
    """Return the parameters that a query declares. Raises KqlError, with its place, if it does not compile.

    Parameters without a default are tried with a value of their type. What has its columns out of rows (`pivot`) can be
    checked up to there only: other rows, other columns.
    """
    declared = declared_by(text)
    unknown_columns = False

    def no_rows(_statement: Statement) -> Sequence[Sequence[Any]]:
        nonlocal unknown_columns
        unknown_columns = True
        return []

    samples = {one.name: SAMPLES[Type(one.type)] for one in declared if one.default is None}
    try:
        compile_query(text, schema, parameters=samples, ask=no_rows)
    except KqlError:
        if not unknown_columns:
            raise
    return declared


def check_given(declared: Sequence[Parameter], given: Mapping[str, str]) -> None:
    """Refuse values for parameters that there are not, values of another type, and missing ones."""
    types = {parameter.name: Type(parameter.type) for parameter in declared}
    for name, value in given.items():
        if name not in types:
            known = ", ".join(types) or "none"
            raise RecordError(f"the query has no parameter {name!r}; it has {known}")
        try:
            given_value(value, types[name])
        except ValueError as error:
            raise RecordError(f"the parameter {name}: {error}") from error
    for parameter in declared:
        if parameter.default is None and parameter.name not in given:
            raise RecordError(f"the parameter {parameter.name} ({parameter.type}) wants a value")


def _type(parameter: tree.Parameter) -> Type:
    return TYPE_NAMES[(parameter.type or "string").lower()]


def _default(parameter: tree.Parameter, text: str) -> str | None:
    default = parameter.default
    if default is None:
        return None
    if isinstance(default, tree.Literal) and default.type == "string":
        return str(default.value)
    return text[default.span.start : default.span.end]
