"""GVariant's serialisation, little endian, as far as flatpak's files need it. Pure.

Format: GLib's "GVariant Specification 1.0". Values that are cut short or overlap are errors here, where GLib would
put default values.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from whatchanged.collectors.software.package_facts import PackageDatabaseError

__all__ = ["decode"]

_FIXED = {"b": 1, "y": 1, "n": 2, "q": 2, "i": 4, "u": 4, "h": 4, "x": 8, "t": 8, "d": 8}
_SIGNED = frozenset("nix")
_STRINGS = frozenset("sog")
_DEEPEST = 16
_LONGEST_TYPE = 255


def decode(signature: str, data: bytes | memoryview) -> Any:
    """Return the value of a type made of basic types, `v`, arrays, tuples and dictionaries (as dict).

    Numbers are int (floating point: their bytes), strings str. Raises PackageDatabaseError.
    """
    try:
        return _value(signature, memoryview(data), 0)
    except (IndexError, TypeError, ValueError) as error:
        raise PackageDatabaseError(f"no value of the type {signature}") from error


def _value(signature: str, data: memoryview, depth: int) -> Any:
    if depth > _DEEPEST:
        raise PackageDatabaseError("values are nested too deep")
    kind = signature[0]
    if kind in _FIXED:
        if len(data) != _FIXED[kind]:
            raise PackageDatabaseError("a number has another length")
        return bytes(data) if kind == "d" else int.from_bytes(data, "little", signed=kind in _SIGNED)
    if kind in _STRINGS:
        if not data or data[-1]:
            raise PackageDatabaseError("a text does not end")
        return str(data[:-1], "utf-8")
    if kind == "v":
        return _variant(data, depth)
    if kind == "a":
        values = [_value(signature[1:], element, depth + 1) for element in _elements(signature[1:], data)]
        return dict(values) if signature[1] == "{" else values
    if kind in "({":
        members = _types(signature[1:-1])
        parts = zip(members, _members(members, data), strict=True)
        return tuple(_value(member, part, depth + 1) for member, part in parts)
    raise PackageDatabaseError(f"the type {signature} is not known")


def _variant(data: memoryview, depth: int) -> Any:
    cut = bytes(data[-_LONGEST_TYPE - 1 :]).rfind(b"\0")
    if cut < 0:
        raise PackageDatabaseError("a variant has no type")
    signature = str(bytes(data[-_LONGEST_TYPE - 1 :])[cut + 1 :], "ascii")
    if len(_types(signature)) != 1:
        raise PackageDatabaseError("a variant has no single type")
    return _value(signature, data[: len(data) - len(signature) - 1], depth + 1)


def _elements(element: str, data: memoryview) -> list[memoryview]:
    size = _size(element)
    if not data:
        return []
    if size is not None:
        if len(data) % size:
            raise PackageDatabaseError("an array has another length")
        return [data[at : at + size] for at in range(0, len(data), size)]
    width = _offset_width(len(data))
    ends_at = int.from_bytes(data[len(data) - width :], "little")
    if not 0 <= ends_at <= len(data) or (len(data) - ends_at) % width:
        raise PackageDatabaseError("an array has a wrong table")
    ends = [int.from_bytes(data[at : at + width], "little") for at in range(ends_at, len(data), width)]
    return _cut([element] * len(ends), ends, data)


def _members(members: tuple[str, ...], data: memoryview) -> list[memoryview]:
    width = _offset_width(len(data))
    sizes = [_size(member) for member in members]
    last_table = len(data)
    ends = []
    position = 0
    for number, (member, size) in enumerate(zip(members, sizes, strict=True)):
        if size is not None:
            end = _aligned(position, _alignment(member)) + size
        elif number == len(members) - 1:
            end = len(data) - width * sum(s is None for s in sizes[:-1])
        else:
            last_table -= width
            if last_table < 0:
                raise PackageDatabaseError("a tuple is cut short")
            end = int.from_bytes(data[last_table : last_table + width], "little")
        ends.append(end)
        position = end
    return _cut(members, ends, data)


def _cut(types: Iterable[str], ends: list[int], data: memoryview) -> list[memoryview]:
    parts = []
    position = 0
    for kind, end in zip(types, ends, strict=True):
        start = _aligned(position, _alignment(kind))
        if not start <= end <= len(data):
            raise PackageDatabaseError("values overlap")
        parts.append(data[start:end])
        position = end
    return parts


@functools.lru_cache(maxsize=256)
def _types(signature: str) -> tuple[str, ...]:
    """Split a sequence of types."""
    found = []
    position = 0
    while position < len(signature):
        end = _type_end(signature, position)
        found.append(signature[position:end])
        position = end
    return tuple(found)


def _type_end(signature: str, position: int) -> int:
    while signature[position] == "a":
        position += 1
    depth = 0
    while True:
        depth += (signature[position] in "({") - (signature[position] in ")}")
        position += 1
        if depth < 0:
            raise PackageDatabaseError("a type ends before it begins")
        if depth == 0:
            return position


@functools.lru_cache(maxsize=256)
def _size(kind: str) -> int | None:
    """Return the size of a type if all its values have the same."""
    if kind[0] in _FIXED:
        return _FIXED[kind[0]]
    if kind[0] not in "({":
        return None
    position = 0
    for member in _types(kind[1:-1]):
        size = _size(member)
        if size is None:
            return None
        position = _aligned(position, _alignment(member)) + size
    return _aligned(position, _alignment(kind)) or 1


@functools.lru_cache(maxsize=256)
def _alignment(kind: str) -> int:
    if kind[0] in _FIXED:
        return _FIXED[kind[0]]
    if kind[0] == "v":
        return 8
    if kind[0] in _STRINGS:
        return 1
    inner = [kind[1:]] if kind[0] == "a" else _types(kind[1:-1])
    return max(map(_alignment, inner), default=1)


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _offset_width(length: int) -> int:
    return next(width for width in (1, 2, 4, 8) if length < 1 << (8 * width))
