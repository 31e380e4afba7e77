"""Trees as short text: expressions as KQL with all brackets written, so that they can be parsed again; the rest as
`Class(field=…)` without spans and without what has its default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from decimal import Decimal
from typing import Any

from whatchanged.kql.syntax import tree
from whatchanged.kql.syntax.moments import datetime_text, span_text

_TYPE_NAMES = {"timespan": span_text, "datetime": datetime_text}


def outline(part: object) -> str:
    """Return a node, a tuple of nodes or a plain value as text."""
    write = _WRITERS.get(type(part))
    if write is not None:
        return str(write(part))
    if isinstance(part, tree.Operator | tree.Node):
        return f"{type(part).__name__}({', '.join(_fields(part))})"
    if isinstance(part, tuple):
        return f"[{', '.join(map(outline, part))}]"
    return str(part)


def _fields(node: tree.Node) -> Iterator[str]:
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name in ("span", "name_span") or value == field.default or (field.default is MISSING and value == ()):
            continue
        yield f"{field.name}={outline(value)}"


def _literal(node: tree.Literal) -> str:
    value: Any = node.value
    if node.type == "dynamic" or (node.type == "string" and value is not None):
        text = json.dumps(value)
        return f"dynamic({text})" if node.type == "dynamic" else text
    if value is None:
        return f"{node.type}(null)"
    if node.type in ("datetime", "timespan"):
        return f"{node.type}({_TYPE_NAMES[node.type](value)})"
    if node.type == "long" and value >= 0:
        return str(value)
    return f"{node.type}({str(value).lower() if not isinstance(value, Decimal) else value})"


def _call(node: tree.Call) -> str:
    target = f"{outline(node.target)}." if node.target else ""
    return f"{target}{_name_text(node.name)}({', '.join(map(outline, node.arguments))})"


def _name_text(name: str) -> str:
    return name if re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) else f"[{json.dumps(name)}]"


def _name(node: tree.Name) -> str:
    return f"[{json.dumps(node.name)}]" if node.quoted else node.name


def _named(node: tree.Named) -> str:
    names = ", ".join(map(outline, node.names))
    return f"{names if len(node.names) == 1 else f'({names})'} = {outline(node.value)}"


def _between(node: tree.Between) -> str:
    word = "!between" if node.negated else "between"
    return f"({outline(node.value)} {word} ({outline(node.low)} .. {outline(node.high)}))"


def _pipeline(node: tree.Pipeline) -> str:
    return f"({' | '.join(map(outline, (node.source, *node.operators)))})"


_WRITERS: dict[type, Any] = {
    tree.Literal: _literal,
    tree.Name: _name,
    tree.Star: lambda node: "*",
    tree.Member: lambda node: f"{outline(node.target)}.{_name_text(node.name)}",
    tree.Index: lambda node: f"{outline(node.target)}[{outline(node.index)}]",
    tree.Call: _call,
    tree.Unary: lambda node: f"({node.operator}{outline(node.operand)})",
    tree.Binary: lambda node: f"({outline(node.left)} {node.operator} {outline(node.right)})",
    tree.Between: _between,
    tree.Membership: lambda node: f"({outline(node.value)} {node.operator} ({', '.join(map(outline, node.items))}))",
    tree.Named: _named,
    tree.ColumnDeclaration: lambda node: f"{node.name}:{node.type}",
    tree.Pipeline: _pipeline,
}


def nodes(part: object, above: tree.Node | None = None) -> Iterator[tuple[tree.Node, tree.Node | None]]:
    """Yield every node below a part, each with the node it lies in."""
    if isinstance(part, tree.Node):
        yield part, above
        for field in fields(part):
            yield from nodes(getattr(part, field.name), part)
    elif isinstance(part, tuple):
        for item in part:
            yield from nodes(item, above)
