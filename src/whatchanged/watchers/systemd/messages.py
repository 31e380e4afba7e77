"""D-Bus messages, as little of them as it takes to listen (D-Bus specification, "Message Protocol"). Pure.

Of a message that comes in only the head is read. Its body is kept as bytes; the texts or the number with which it
begins are read of the few whose meaning depends on them.
"""

from __future__ import annotations

import struct

import msgspec

from whatchanged.errors import WatchError

__all__ = ["ERROR", "METHOD_CALL", "METHOD_RETURN", "SIGNAL", "Message", "Messages", "call"]

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER, _SIGNATURE = 1, 2, 3, 4, 5, 6, 7, 8
_TYPES = {1: b"o", 2: b"s", 3: b"s", 4: b"s", 5: b"u", 6: b"s", 7: b"s", 8: b"g", 9: b"u"}
_FIXED = 16
_LARGEST = 1024 * 1024
"""systemd's messages have some hundred bytes."""


class Message(msgspec.Struct, frozen=True):
    """A message that came in; what it does not have is empty or 0."""

    kind: int
    order: str
    """Byte order, as `struct` writes it."""
    path: bytes = b""
    interface: bytes = b""
    member: bytes = b""
    error: bytes = b""
    """Name of the error."""
    reply_to: int = 0
    """Serial number of the call that it answers."""
    sender: bytes = b""
    """Set by the bus, which no sender can do otherwise."""
    body: bytes = b""

    def number(self) -> int:
        """Return the 32 bits with which the body begins: a number or a truth value. Raises WatchError."""
        if len(self.body) < 4:
            raise WatchError(f"D-Bus: {self.member!r} has no number")
        return int(struct.unpack_from(self.order + "I", self.body)[0])

    def texts(self, count: int) -> list[bytes]:
        """Return the first texts of a body that begins with so many. Raises WatchError."""
        found, at = [], 0
        for _ in range(count):
            at += -at % 4
            if len(self.body) - at < 4:
                raise WatchError(f"D-Bus: {self.member!r} is cut off")
            (size,) = struct.unpack_from(self.order + "I", self.body, at)
            at += 4
            if at + size >= len(self.body):
                raise WatchError(f"D-Bus: a text of {self.member!r} is longer than its message")
            found.append(self.body[at : at + size])
            at += size + 1
        return found


def call(serial: int, destination: str, path: str, interface: str, member: str, *texts: str) -> bytes:
    """Return a method call with texts as arguments."""
    fields = [
        (_PATH, b"o", _text(path)),
        (_INTERFACE, b"s", _text(interface)),
        (_MEMBER, b"s", _text(member)),
        (_DESTINATION, b"s", _text(destination)),
    ]
    if texts:
        fields.append((_SIGNATURE, b"g", bytes([len(texts)]) + b"s" * len(texts) + b"\0"))
    array = b""
    for code, kind, value in fields:
        array = _padded(array, 8) + bytes([code, 1]) + kind + b"\0" + value
    body = b""
    for text in texts:
        body = _padded(body, 4) + _text(text)
    head = struct.pack("<cBBBII", b"l", METHOD_CALL, 0, 1, len(body), serial)
    return _padded(head + struct.pack("<I", len(array)) + array, 8) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def _padded(raw: bytes, to: int) -> bytes:
    return raw + b"\0" * (-len(raw) % to)


class Messages:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that are complete with `data`. Raises WatchError for bytes that are no messages."""
        self._buffer += data
        found: list[Message] = []
        at = 0
        while (length := self._length(at)) is not None and at + length <= len(self._buffer):
            found.append(_message(bytes(self._buffer[at : at + length])))
            at += length
        del self._buffer[:at]
        return found

    def _length(self, at: int) -> int | None:
        if len(self._buffer) - at < _FIXED:
            return None
        order = _order(self._buffer[at])
        body, _, fields = struct.unpack_from(order + "III", self._buffer, at + 4)
        length = int(_FIXED + fields + (-fields % 8) + body)
        if length > _LARGEST:
            raise WatchError(f"D-Bus: a message of {length} bytes")
        return length


def _order(mark: int) -> str:
    if mark == ord("l"):
        return "<"
    if mark == ord("B"):
        return ">"
    raise WatchError(f"D-Bus: {mark:#x} where a message should begin")


def _message(raw: bytes) -> Message:
    order = _order(raw[0])
    (fields_length,) = struct.unpack_from(order + "I", raw, 12)
    end = _FIXED + fields_length
    fields: dict[int, bytes] = {}
    at = _FIXED
    while at < end:
        code, value, at = _field(raw, at, end, order)
        fields[code] = value
        at += -at % 8
    return Message(
        kind=raw[1],
        order=order,
        path=fields.get(_PATH, b""),
        interface=fields.get(_INTERFACE, b""),
        member=fields.get(_MEMBER, b""),
        error=fields.get(_ERROR_NAME, b""),
        reply_to=struct.unpack(order + "I", fields.get(_REPLY_SERIAL, b"\0" * 4))[0],
        sender=fields.get(_SENDER, b""),
        body=raw[end + (-end % 8) :],
    )


def _field(raw: bytes, at: int, end: int, order: str) -> tuple[int, bytes, int]:
    """Return code, value and end of a field: the known ones are a text, a signature or a number."""
    code, length, kind = raw[at], raw[at + 1 : at + 2], raw[at + 2 : at + 3]
    if end - at < (6 if kind == b"g" else 8):
        raise WatchError("D-Bus: a field is cut off")
    if length != b"\1" or kind not in (b"o", b"s", b"g", b"u") or _TYPES.get(code, kind) != kind:
        raise WatchError(f"D-Bus: field {code} has a type that begins with {kind!r}")
    at += 4
    if kind == b"u":
        return code, raw[at : at + 4], at + 4
    if kind == b"g":
        size, at = raw[at], at + 1
    else:
        (size,) = struct.unpack_from(order + "I", raw, at)
        at += 4
    if at + size + 1 > end:
        raise WatchError("D-Bus: a field is longer than its message")
    return code, raw[at : at + size], at + size + 1
