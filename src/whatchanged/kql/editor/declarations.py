"""What functions in the language declare, for editors that know the language by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from whatchanged.kql.binder.queries import parsed_functions
from whatchanged.kql.editor.reference import comments_of
from whatchanged.kql.syntax import tree

__all__ = ["Declared", "Taken", "declared"]


@dataclass(frozen=True, slots=True)
class Taken:
    """A parameter of a function."""

    name: str
    type: str
    default: str | None
    """As it is written; None: a value must be given."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A function."""

    name: str
    parameters: tuple[Taken, ...]
    body: str
    """With its braces."""
    documentation: str


def declared(functions: str) -> list[Declared]:
    """Return what `let` statements declare as functions, in order."""
    comments = comments_of(functions)
    return [
        Declared(
            statement.name.name,
            tuple(_taken(parameter, functions) for parameter in statement.value.parameters),
            _written(statement.value.body, functions),
            comments.get(statement.name.name, ""),
        )
        for statement in (parsed_functions(functions).statements if functions else ())
        if isinstance(statement, tree.Let) and isinstance(statement.value, tree.FunctionDeclaration)
    ]


def _taken(parameter: tree.Parameter, text: str) -> Taken:
    default = None if parameter.default is None else _written(parameter.default, text)
    return Taken(parameter.name, parameter.type or "dynamic", default)


def _written(node: tree.Node, text: str) -> str:
    return text[node.span.start : node.span.end]
