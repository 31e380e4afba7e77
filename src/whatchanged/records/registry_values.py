r"""Values of the Windows registry as text: what each type is called, and its data as people read it. Pure.

Names and data of the registry are 16-bit units and bytes, which text need not carry: `name_bytes` is the exact name,
and `data_text` says whether its text gives the bytes back. Data is written as `reg query` writes it: numbers in
decimal, bytes in hex, the strings of a list with `\0` between them. Only no data at all and an empty string look alike.
"""

from __future__ import annotations

__all__ = [
    "MAX_SHOWN",
    "RegistryType",
    "data_text",
    "multi_text",
    "name_bytes",
    "name_of",
    "string_text",
    "type_name",
]

from enum import IntEnum

MAX_SHOWN = 16 * 1024
"""Bytes of data that a record carries; of more it carries the beginning, the size and a digest."""


class RegistryType(IntEnum):
    """Types of data (winnt.h)."""

    REG_NONE = 0
    REG_SZ = 1
    REG_EXPAND_SZ = 2
    REG_BINARY = 3
    REG_DWORD = 4
    REG_DWORD_BIG_ENDIAN = 5
    REG_LINK = 6
    REG_MULTI_SZ = 7
    REG_RESOURCE_LIST = 8
    REG_FULL_RESOURCE_DESCRIPTOR = 9
    REG_RESOURCE_REQUIREMENTS_LIST = 10
    REG_QWORD = 11


_STRINGS = (RegistryType.REG_SZ, RegistryType.REG_EXPAND_SZ, RegistryType.REG_LINK)
_NUMBERS = {
    RegistryType.REG_DWORD: ("little", 4),
    RegistryType.REG_DWORD_BIG_ENDIAN: ("big", 4),
    RegistryType.REG_QWORD: ("little", 8),
}


def type_name(number: int) -> str:
    """Return `REG_SZ` and the like; of a number that has no name, such as device properties have, `REG_0xFFFF0012`."""
    try:
        return RegistryType(number).name
    except ValueError:
        return f"REG_0x{number:08X}"


def name_bytes(name: str) -> bytes:
    """Return a name as UTF-8 in which half a surrogate pair is three bytes, and NUL two, so that NUL may separate."""
    return name.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")


def name_of(raw: bytes) -> str:
    """Return the name that `name_bytes` made bytes of."""
    return raw.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")


def string_text(data: bytes) -> str:
    """Return the string of REG_SZ data: up to the first NUL, halves of surrogate pairs kept."""
    return _decoded(data).partition("\0")[0]


def multi_text(data: bytes) -> tuple[str, ...]:
    """Return the strings of REG_MULTI_SZ data, up to the first empty one."""
    strings = []
    for string in _decoded(data).split("\0"):
        if not string:
            break
        strings.append(string)
    return tuple(strings)


def data_text(number: int, data: bytes) -> tuple[str, bool]:
    """Return the data of type `number` as text, and whether text and type say exactly these bytes."""
    if number in _NUMBERS and len(data) == _NUMBERS[RegistryType(number)][1]:
        order, _ = _NUMBERS[RegistryType(number)]
        return str(int.from_bytes(data, "little" if order == "little" else "big")), True
    if number in _STRINGS:
        text = _decoded(data).rstrip("\0")
        end = "" if number == RegistryType.REG_LINK else "\0"  # a link's target has no NUL behind it
        return _readable(text), _carries(text) and _encoded(text + end) == data
    if number == RegistryType.REG_MULTI_SZ:
        strings = multi_text(data)
        exact = _encoded("".join(f"{string}\0" for string in strings) + "\0") == data
        plain = all(_carries(string) and "\\0" not in string for string in strings)
        return r"\0".join(_readable(string) for string in strings), exact and plain
    # A type that has no number here may still be one of ours with an odd size: then the bytes are the truth.
    return data.hex().upper(), number not in _NUMBERS


def _decoded(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")


def _encoded(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _carries(text: str) -> bool:
    """Whether text can carry it without loss or trickery: no control character, no half of a surrogate pair."""
    return _readable(text) == text


def _readable(text: str) -> str:
    return "".join("\ufffd" if _hidden(ord(letter)) else letter for letter in text)


def _hidden(code: int) -> bool:
    return code < 0x20 or 0x7F <= code <= 0x9F or 0xD800 <= code <= 0xDFFF
