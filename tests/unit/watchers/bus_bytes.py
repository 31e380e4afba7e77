"""D-Bus messages as a bus writes them (D-Bus specification, "Message Protocol")."""

from __future__ import annotations

import struct


def texts(order: str, *values: str) -> bytes:
    """A body of texts."""
    body = b""
    for value in values:
        raw = value.encode()
        body += b"\0" * (-len(body) % 4) + struct.pack(order + "I", len(raw)) + raw + b"\0"
    return body


def message(
    kind: int,
    *,
    order: str = "<",
    path: bytes = b"",
    interface: bytes = b"",
    member: bytes = b"",
    error: bytes = b"",
    reply_to: int = 0,
    sender: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """A message with the given fields."""
    array = b""
    for code, sort, value in (
        *((1, b"o", path), (2, b"s", interface), (3, b"s", member), (4, b"s", error)),
        *((5, b"u", reply_to), (7, b"s", sender), (8, b"g", b"s")),
    ):
        if not value:
            continue
        array += b"\0" * (-len(array) % 8) + bytes([code, 1]) + sort + b"\0"
        if isinstance(value, int):
            array += struct.pack(order + "I", value)
        elif sort == b"g":
            array += bytes([len(value)]) + value + b"\0"
        else:
            array += struct.pack(order + "I", len(value)) + value + b"\0"
    mark = b"l" if order == "<" else b"B"
    raw = struct.pack(order + "cBBBIII", mark, kind, 1, 1, len(body), 3, len(array)) + array
    return raw + b"\0" * (-len(raw) % 8) + body
