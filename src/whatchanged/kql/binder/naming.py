"""What columns are called that nobody named."""

from __future__ import annotations

from collections.abc import Iterable

from whatchanged.kql.errors import KqlSemanticError, Span
from whatchanged.kql.functions import AGGREGATES, SCALARS
from whatchanged.kql.syntax import tree

__all__ = ["Names", "already_declared", "name_of"]


def name_of(expression: tree.Expression) -> str:
    """Return the name that an expression gives its column; empty: none."""
    match expression:
        case tree.Name():
            return expression.name
        case tree.Member():
            return "_".join(part for part in (name_of(expression.target), expression.name) if part)
        case tree.Index():
            return _of_index(expression)
        case tree.Call():
            return _of_call(expression)
        case tree.Named():
            return expression.names[0].name if expression.names else ""
        case _:
            return ""


def _of_index(expression: tree.Index) -> str:
    target = name_of(expression.target)
    if not target:
        return ""
    return f"{target}_{expression.index.value if isinstance(expression.index, tree.Literal) else ''}"


def _of_call(call: tree.Call) -> str:
    functions = AGGREGATES.get(call.name) or SCALARS.get(call.name)
    naming = functions[0].naming if functions else ""
    first = name_of(call.arguments[0]) if call.arguments else ""
    if naming == "first" or (naming == "only" and len(call.arguments) == 1):
        return first
    if naming == "only":
        return ""
    if naming == "name":
        return f"{call.name}_{first}"
    return f"{naming}{first}" if naming else ""


class Names:
    """The names of a result: no two alike."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._unnamed = 0

    def take(self, name: str, *, prefix: str = "Column", start: int = 1) -> str:
        """Return `name`, or with a number behind it where it is taken; without a name a numbered one."""
        if not name:
            while True:
                candidate = f"{prefix}{start + self._unnamed}"
                self._unnamed += 1
                if candidate not in self._taken:
                    self._taken.add(candidate)
                    return candidate
        candidate, number = name, 0
        while candidate in self._taken:
            number += 1
            candidate = f"{name}{number}"
        self._taken.add(candidate)
        return candidate

    def __contains__(self, name: str) -> bool:
        return name in self._taken


def already_declared(name: str, span: Span) -> KqlSemanticError:
    """Return the error of a second column of a name."""
    return KqlSemanticError(f"a column with the name '{name}' is already declared", span)
