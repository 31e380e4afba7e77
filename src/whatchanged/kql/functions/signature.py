"""What a function takes and gives, as data.

A signature is written as `name(parameters) result`. A parameter is a type, or one of the sets `num` (any numeric type),
`any`, `cmp` (whatever has an order), `text` (anything, made into its text), `json` (anything, made into a dynamic);
`?` behind it: may be left out; `*`: any number of times. A result is a type, `same` (that of the first argument),
`wide` (the numeric type that the arguments become together).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatchanged.kql.plan import Scalar
from whatchanged.kql.types import NUMERIC, TYPE_NAMES, Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.syntax import tree

__all__ = ["Bound", "Entry", "Function", "Parameter", "Several", "Special", "overloads", "scalar", "special"]

_SIGNATURE = re.compile(r"(\w+)\(([^)]*)\) (\w+)$")
_SETS: Mapping[str, tuple[Type, ...]] = {
    "num": NUMERIC,
    "any": tuple(Type),
    "cmp": tuple(type_ for type_ in Type if type_ is not Type.DYNAMIC),
}
_MADE: Mapping[str, Type] = {"text": Type.STRING, "json": Type.DYNAMIC}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may stand at one place."""

    types: tuple[Type, ...]
    """The first is what an argument of another type is made into."""
    optional: bool = False
    repeated: bool = False
    anything: bool = False
    """Whether anything may stand there, and is made into the type."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is a piece of SQL."""

    name: str
    parameters: tuple[Parameter, ...]
    result: Type | str
    template: str | Callable[[int], str]
    """`{0}`, `{1}` … stand for the arguments; or made from how many there are."""
    null: bool | None = None
    """Whether the result can be null: None: if an argument can."""
    naming: str = ""
    """What a column that holds its result is called: `first` (as its first argument), `only` (the same, where there is
    no other argument), `name` (its name and the first argument), a prefix that ends with `_` (and the first argument);
    empty: as any expression."""

    def result_of(self, types: Sequence[Type]) -> Type:
        """Return the type of the result for arguments of these types."""
        if isinstance(self.result, Type):
            return self.result
        if self.result == "same":
            return types[0]
        return max((t for t in types if t in NUMERIC), key=NUMERIC.index)

    def template_of(self, count: int) -> str:
        """Return the SQL for so many arguments."""
        return self.template if isinstance(self.template, str) else self.template(count)


Bound = Callable[["Expressions", "tree.Call"], Scalar]
Several = Callable[["Expressions", "tree.Call"], list[tuple[str, Scalar]]]
"""Of a function that gives several columns where it stands alone: their names and values."""


@dataclass(frozen=True, slots=True)
class Special:
    """A function that looks at its arguments itself."""

    name: str
    bind: Bound
    naming: str = ""


Entry = Function | Special | tuple[Special, ...]


def scalar(
    signature: str, template: str | Callable[[int], str], *, null: bool | None = None, naming: str = ""
) -> Function:
    """Return the function of a signature."""
    match = _SIGNATURE.match(signature)
    if match is None:
        raise ValueError(f"no signature: {signature!r}")
    name, parameters, result = match.groups()
    return Function(
        name,
        tuple(_parameter(text.strip()) for text in parameters.split(",") if text.strip()),
        TYPE_NAMES.get(result, result),
        template,
        null,
        naming,
    )


def _parameter(text: str) -> Parameter:
    word = text.rstrip("?*")
    if word in _MADE:
        return Parameter((_MADE[word],), optional="?" in text, repeated="*" in text, anything=True)
    types = _SETS.get(word) or tuple(TYPE_NAMES[part] for part in word.split("|"))
    return Parameter(types, optional="?" in text, repeated="*" in text)


def special(*names: str, naming: str = "") -> Callable[[Bound], Entry]:
    """Return a decorator that makes functions of these names."""
    return lambda bind: tuple(Special(name, bind, naming) for name in names)


def overloads(*groups: Iterable[Entry]) -> dict[str, tuple[Function | Special, ...]]:
    """Return name → the functions of that name, in the order in which they are tried."""
    found: dict[str, tuple[Function | Special, ...]] = {}
    for group in groups:
        for entry in group:
            for one in entry if isinstance(entry, tuple) else (entry,):
                found[one.name] = (*found.get(one.name, ()), one)
    return found
