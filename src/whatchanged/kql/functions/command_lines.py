"""Command lines taken apart, and the size of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlSemanticError, KqlUnsupported
from whatchanged.kql.functions.casts import text_of
from whatchanged.kql.functions.dynamic import array_of
from whatchanged.kql.functions.readings import literal
from whatchanged.kql.functions.signature import Entry, special
from whatchanged.kql.plan import Apply, Constant, Scalar
from whatchanged.kql.syntax import tree
from whatchanged.kql.types import Type

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions

__all__ = ["FUNCTIONS"]

# As Windows does (CommandLineToArgvW): the program ends at its quote or at a blank; behind it a backslash escapes a
# quote, and two are one before a quote only.
_PROGRAM = literal(r'^(?:"[^"]*"?|[^ \t]*)')
_UNIT = r'\\\\|\\"|\\'
_WORD = literal(rf'(?:{_UNIT}|[^ \t"\\]|"(?:{_UNIT}|[^"\\])*(?:"|$))+')
_PIECE = literal(r'\\+"|\\+|"|[^\\"]+')
_SLASH = literal("\\")
_QUOTE = literal('"')
_BEFORE_QUOTE = f"concat(repeat({_SLASH}, intDiv(length(p) - 1, 2)), if((length(p) - 1) % 2 = 1, {_QUOTE}, ''))"
_PLAIN = f"arrayStringConcat(arrayMap(p -> if(endsWith(p, {_QUOTE}), {_BEFORE_QUOTE}, p), extractAll(w, {_PIECE})))"
_REST = f"substring({{0}}, length(extract({{0}}, {_PROGRAM})) + 1)"
_WORDS = (
    f"arrayConcat([replaceAll(extract({{0}}, {_PROGRAM}), {_QUOTE}, '')], "
    f"arrayMap(w -> {_PLAIN}, extractAll({_REST}, {_WORD})))"
)
_SIZES = {
    Type.BOOL: 1,
    Type.INT: 4,
    Type.LONG: 8,
    Type.REAL: 8,
    Type.DATETIME: 8,
    Type.TIMESPAN: 8,
    Type.GUID: 16,
}


@special("parse_command_line")
def _parse_command_line(binder: Expressions, call: tree.Call) -> Scalar:
    if len(call.arguments) != 2:
        raise KqlSemanticError(f"{call.name}() takes 2 arguments, not {len(call.arguments)}", call.span)
    if binder.text(call.arguments[1], "the kind of command line").lower() != "windows":
        raise KqlSemanticError("the kind of command line is 'windows'", call.arguments[1].span)
    line = text_of(binder.bind(call.arguments[0]))
    template = f"if({{0}} = '', NULL, {array_of(f'arrayMap(w -> toJSONString(w), {_WORDS})')})"
    return Apply(template, (line,), Type.DYNAMIC, nullable=True)


@special("estimate_data_size")
def _estimate_data_size(binder: Expressions, call: tree.Call) -> Scalar:
    """Return the bytes of values: of a text those of its UTF-8 (the manual's page estimate-data-size-function)."""
    values: list[Scalar] = []
    if not call.arguments:
        raise KqlSemanticError("estimate_data_size() takes columns", call.span)
    for argument in call.arguments:
        if not isinstance(argument, tree.Star | tree.Name):
            raise KqlSemanticError("estimate_data_size() takes columns", argument.span)
        values += binder.columns.values() if isinstance(argument, tree.Star) else [binder.bind(argument)]
    texts = [value for value in values if value.type is Type.STRING]
    fixed = [value for value in values if value.type is not Type.STRING]
    for value in fixed:
        if value.type not in _SIZES:
            raise KqlUnsupported(f"how large a {value.type.value} is stored is not known here", call.span)
    size = sum(_SIZES[value.type] for value in fixed)
    parts = [f"length({{{number}}})" for number in range(len(texts))]
    if not parts:
        return Constant(size, Type.LONG)
    return Apply(f"toInt64({' + '.join(parts)} + {size})", tuple(texts), Type.LONG, nullable=False)


FUNCTIONS: tuple[Entry, ...] = (_parse_command_line, _estimate_data_size)
