"""Fluent Forward v1, and the configuration requests that come on the same connection.

`Decoder` takes the bytes of one connection and gives messages; after WireError the position in the stream is lost
and the connection must be closed. Memory is bounded by `Limits` before anything is built: a message is found by
skipping over it (no allocation), then taken apart entry by entry.

Text of old clients may be bytes and bytes may be text: what is not UTF-8 survives as surrogate escapes.
Format: docs/formats/local-pipe.md and the Fluent Forward protocol specification v1.
"""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from whatchanged.errors import LimitExceeded, WireError
from whatchanged.wire.compression import GZIP, decompress
from whatchanged.wire.framing import JsonScanner

__all__ = [
    "AckReader",
    "ConfigRequest",
    "Decoder",
    "Entry",
    "ForwardMessage",
    "Heartbeat",
    "Limits",
    "Message",
    "decode_ack",
    "encode_ack",
    "encode_forward",
    "encode_heartbeat",
    "pack_record",
]

_EVENT_TIME = 0
_EVENT_TIME_FORMAT = struct.Struct(">II")
_LAST_EVENT_SECOND = 0xFFFF_FFFF
_SLICE = 16 * 1024
_ARRAYS = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))
_TEXTS = frozenset((*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB))
_BINARIES = frozenset((0xC4, 0xC5, 0xC6))
_NIL = 0xC0
_BLANKS = b" \t\r\n"  # behind bare JSON; msgpack reads each as one small number
_BRACE = 0x7B  # "{", which msgpack would read as the number 123
_FIRSTS = _ARRAYS | _TEXTS | {_NIL, *_BLANKS}
_CONTAINERS = (dict, list)
# What msgpack raises on bytes it does not take; ValueError covers its Format-, Stack- and ExtraData errors.
_MSGPACK_ERRORS = (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError, UnicodeError)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection."""

    message_bytes: int = 16 * 1024 * 1024
    """A message as it arrives, and (again) after decompression."""
    record_bytes: int = 2 * 1024 * 1024
    """One entry: the server takes no larger record."""
    entries: int = 100_000
    """Entries of one message."""
    fields: int = 4_096
    """Entries of one map or list inside a record."""
    containers: int = 200_000
    """Maps and lists of one message, records and entries not counted: a byte on the wire can make one."""
    nesting: int = 16
    """Maps and lists within each other in a record."""
    request_bytes: int = 64 * 1024
    """A configuration request."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: nanoseconds since 1970, and the record."""

    time_ns: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ForwardMessage:
    """Events of one tag; `chunk` asks for an acknowledgement once they are safe."""

    tag: str
    entries: list[Entry]
    chunk: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigRequest:
    """JSON text of a request (see `wire.agent`); `bare` if it came as such and not as a msgpack string."""

    payload: bytes
    bare: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A msgpack nil: the sender is alive."""


Message = ForwardMessage | ConfigRequest | Heartbeat


class Decoder:
    """Bytes of one connection → messages."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._buffer = bytearray()
        self._at = 0
        """Where the current message begins in the buffer."""
        self._json: JsonScanner | None = None
        self._json_scanned = 0
        self._restart_skipper()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take `data` in and yield every message that is complete (take them all, or end the connection).

        Raises WireError: then the position is lost, close the connection.
        """
        for start in range(0, len(data), _SLICE):
            piece = data[start : start + _SLICE]
            self._buffer += piece
            if self._json is None:
                self._skipper.feed(piece)
            while self._at < len(self._buffer) and (end := self._end_of_message()):
                message = bytes(self._buffer[self._at : end])
                self._at = end
                if message[0] not in _BLANKS:
                    yield self._decode(message)
            self._forget()
            self._check_size()

    def _end_of_message(self) -> int:
        """Return the index behind the current message, 0 if it is not complete."""
        first = self._buffer[self._at]
        if first == _BRACE:
            return self._end_of_json()
        if first not in _FIRSTS:
            raise WireError(f"no message begins with byte 0x{first:02x}")
        try:
            self._skipper.skip()
        except msgpack.OutOfData:
            return 0
        except _MSGPACK_ERRORS as error:
            raise WireError(f"no msgpack: {error or type(error).__name__}") from error
        return self._origin + int(self._skipper.tell())

    def _end_of_json(self) -> int:
        if self._json is None:
            self._json, self._json_scanned = JsonScanner(), self._at
        end = self._json.scan(self._buffer, self._json_scanned)
        self._json_scanned = len(self._buffer)
        if end < 0:
            return 0
        self._json = None
        self._restart_skipper(end)
        return end

    def _restart_skipper(self, at: int = 0) -> None:
        self._origin = at
        self._skipper = msgpack.Unpacker(max_buffer_size=self._limits.message_bytes + 2 * _SLICE)
        self._skipper.feed(self._buffer[at:])

    def _forget(self) -> None:
        """Drop what has been given away."""
        del self._buffer[: self._at]
        self._origin -= self._at
        self._json_scanned -= self._at
        self._at = 0

    def _check_size(self) -> None:
        first = self._buffer[0] if self._buffer else _NIL
        limit = self._limits.message_bytes if first in _ARRAYS else self._limits.request_bytes
        if len(self._buffer) > limit:
            raise LimitExceeded(f"a message is longer than {limit} bytes")

    def _decode(self, message: bytes) -> Message:
        first = message[0]
        if first == _BRACE:
            return self._request(message, bare=True)
        if first == _NIL:
            return Heartbeat()
        try:
            if first in _TEXTS:
                return self._request(_unpack(message, 1).encode("utf-8", "surrogateescape"), bare=False)
            return self._forward(message)
        except msgpack.OutOfData as error:
            raise WireError("a message ends too early") from error
        except _MSGPACK_ERRORS as error:
            raise WireError(f"no Fluent Forward message: {error or type(error).__name__}") from error

    def _request(self, payload: bytes, *, bare: bool) -> ConfigRequest:
        if len(payload) > self._limits.request_bytes:
            raise LimitExceeded(f"a request is longer than {self._limits.request_bytes} bytes")
        return ConfigRequest(payload, bare)

    def _forward(self, message: bytes) -> ForwardMessage:
        if len(message) > self._limits.message_bytes:
            raise LimitExceeded(f"a message is longer than {self._limits.message_bytes} bytes")
        parts = msgpack.Unpacker(max_buffer_size=len(message))
        parts.feed(message)
        count = parts.read_array_header()
        if not 2 <= count <= 4:
            raise WireError(f"a message is an array of 2 to 4 elements, not {count}")
        tag = _text(self._part(message, parts), "tag")
        budget = _Budget(self._limits)
        kind = message[parts.tell()]
        if kind in _ARRAYS:
            entries = self._entries(message, parts, parts.read_array_header(), budget)
            options = self._options(message, parts, count - 2)
        elif kind in _BINARIES or kind in _TEXTS:
            packed = _binary(_unpack(self._part(message, parts), self._limits.message_bytes))
            options = self._options(message, parts, count - 2)
            entries = self._packed(packed, options, budget)
        else:
            if count == 2:
                raise WireError("a message of mode Message has a record")
            # An entry whose two elements stand in the message itself.
            entries = [self._entry(b"\x92" + self._part(message, parts) + self._part(message, parts), budget)]
            options = self._options(message, parts, count - 3)
        if parts.tell() != len(message):
            raise WireError("a message has more elements than its mode")
        chunk = options.get("chunk")
        return ForwardMessage(tag, entries, None if chunk is None else _as_text(chunk, "chunk"), options)

    def _part(self, message: bytes, parts: msgpack.Unpacker) -> bytes:
        start = parts.tell()
        parts.skip()
        return message[start : parts.tell()]

    def _entries(self, data: bytes, parts: msgpack.Unpacker, count: int, budget: _Budget) -> list[Entry]:
        if count > self._limits.entries:
            raise LimitExceeded(f"a message has more than {self._limits.entries} entries")
        return [self._entry(self._part(data, parts), budget) for _ in range(count)]

    def _entry(self, packed: bytes, budget: _Budget) -> Entry:
        if len(packed) > self._limits.record_bytes:
            raise LimitExceeded(f"a record is longer than {self._limits.record_bytes} bytes")
        entry = _unpack(packed, self._limits.fields)
        if not isinstance(entry, list) or len(entry) != 2:
            raise WireError("an entry is [time, record]")
        return Entry(_nanoseconds(entry[0]), budget.record(entry[1]))

    def _packed(self, packed: bytes, options: Mapping[str, Any], budget: _Budget) -> list[Entry]:
        compressed = options.get("compressed")
        if compressed is not None and _as_text(compressed, "compressed") not in ("gzip", "text"):
            raise WireError("entries are compressed in a way that is not gzip")
        data = packed if compressed in (None, "text", b"text") else decompress(packed, GZIP, self._limits.message_bytes)
        parts = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
        parts.feed(data)
        entries: list[Entry] = []
        while parts.tell() < len(data):
            if len(entries) == self._limits.entries:
                raise LimitExceeded(f"a message has more than {self._limits.entries} entries")
            entries.append(self._entry(self._part(data, parts), budget))
        return entries

    def _options(self, message: bytes, parts: msgpack.Unpacker, left: int) -> dict[str, Any]:
        if left <= 0:
            return {}
        packed = self._part(message, parts)
        if len(packed) > self._limits.request_bytes:
            raise LimitExceeded("the options of a message are too long")
        options = _unpack(packed, self._limits.fields)
        if options is None:
            return {}
        if not isinstance(options, dict):
            raise WireError("the options of a message are a map")
        return {_as_text(key, "option"): value for key, value in options.items()}


class _Budget:
    """Counts what one message has made."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._containers = 0

    def record(self, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise WireError("a record is a map")
        self._count(value, 1)
        if all(key.__class__ is str for key in value):
            return value
        return {_as_text(key, "field name"): inner for key, inner in value.items()}

    def _count(self, value: dict[Any, Any] | list[Any], depth: int) -> None:
        if depth > self._limits.nesting:
            raise LimitExceeded(f"a record is nested deeper than {self._limits.nesting}")
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, _CONTAINERS):
                self._containers += 1
                if self._containers > self._limits.containers:
                    raise LimitExceeded(f"a message has more than {self._limits.containers} maps and lists")
                self._count(inner, depth + 1)


def _unpack(data: bytes, width: int) -> Any:
    """Return the one value in `data`; lists and maps of at most `width`, so that a header reserves little."""
    return msgpack.unpackb(
        data,
        raw=False,
        unicode_errors="surrogateescape",
        strict_map_key=False,
        ext_hook=_extension,
        max_array_len=min(width, len(data)),
        max_map_len=min(width, len(data)),
    )


def _extension(code: int, data: bytes) -> object:
    if code == _EVENT_TIME and len(data) == _EVENT_TIME_FORMAT.size:
        seconds, nanoseconds = _EVENT_TIME_FORMAT.unpack(data)
        return msgpack.Timestamp(seconds, min(nanoseconds, 999_999_999))
    raise WireError(f"unknown msgpack extension {code}")


def _nanoseconds(time: object) -> int:
    if isinstance(time, list):  # [time, {metadata}] of newer fluent-bit
        if len(time) != 2 or isinstance(time[0], list):
            raise WireError("a time is a number, an EventTime, or [time, metadata]")
        time = time[0]
    if isinstance(time, msgpack.Timestamp):
        return int(time.to_unix_nano())
    if isinstance(time, bool):
        raise WireError("a time is no boolean")
    if isinstance(time, int):
        return time * 10**9
    if isinstance(time, float) and math.isfinite(time) and abs(time) < 1e12:
        return round(time * 1e9)
    if isinstance(time, datetime.datetime):
        return round(time.timestamp() * 1e9)
    raise WireError(f"a time is no {type(time).__name__}")


def _text(packed: bytes, what: str) -> str:
    if len(packed) > 4_096:
        raise LimitExceeded(f"a {what} is longer than 4096 bytes")
    return _as_text(_unpack(packed, 1), what)


def _as_text(value: object, what: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise WireError(f"a {what} is text, not {type(value).__name__}")
    return value


def _binary(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def pack_record(record: Mapping[str, Any]) -> bytes:
    """Return `record` in msgpack, as `encode_forward` takes it. Raises WireError."""
    try:
        packed = msgpack.packb(record, use_bin_type=True, unicode_errors="surrogateescape")
    except (ValueError, TypeError, OverflowError, UnicodeError) as error:
        raise WireError(f"a record cannot be packed: {error}") from error
    return bytes(packed)


def encode_forward(tag: str, entries: Iterable[tuple[int, bytes]], chunk: str | None) -> bytes:
    """Return one message of mode Forward.

    `entries` are (nanoseconds since 1970, record packed by `pack_record`): packed records are joined, not read.
    """
    count = 0
    parts: list[bytes] = []
    for time_ns, record in entries:
        parts.append(b"\x92\xd7\x00" + _event_time(time_ns))
        parts.append(record)
        count += 1
    options: dict[str, Any] = {"size": count} if chunk is None else {"size": count, "chunk": chunk}
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(3)
    packer.pack(tag)
    packer.pack_array_header(count)
    return b"".join((packer.bytes(), *parts, msgpack.packb(options)))


def _event_time(time_ns: int) -> bytes:
    seconds, nanoseconds = divmod(time_ns, 10**9)
    if not 0 <= seconds <= _LAST_EVENT_SECOND:
        raise WireError(f"EventTime cannot hold {time_ns} ns")
    return _EVENT_TIME_FORMAT.pack(seconds, nanoseconds)


def encode_heartbeat() -> bytes:
    """Return a heartbeat."""
    return b"\xc0"


def encode_ack(chunk: str) -> bytes:
    """Return the acknowledgement of `chunk`."""
    return bytes(msgpack.packb({"ack": chunk}, unicode_errors="surrogateescape"))


def decode_ack(data: bytes) -> str:
    """Return the chunk that `data`, one whole answer, acknowledges. Raises WireError."""
    try:
        answer = _unpack(data, 64)
    except _MSGPACK_ERRORS as error:
        raise WireError(f"no acknowledgement: {error or type(error).__name__}") from error
    if not isinstance(answer, dict) or "ack" not in answer:
        raise WireError("no acknowledgement")
    return _as_text(answer["ack"], "chunk")


class AckReader:
    """Bytes of a connection's way back → acknowledged chunks."""

    _LIMIT = 64 * 1024

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[str]:
        """Take `data` in and yield the chunk of every complete acknowledgement. Raises WireError."""
        self._buffer += data
        while self._buffer:
            skipper = msgpack.Unpacker(max_buffer_size=max(len(self._buffer), 1))
            skipper.feed(self._buffer)
            try:
                skipper.skip()
            except msgpack.OutOfData:
                if len(self._buffer) > self._LIMIT:
                    raise LimitExceeded("an acknowledgement is too long") from None
                return
            except _MSGPACK_ERRORS as error:
                raise WireError(f"no acknowledgement: {error or type(error).__name__}") from error
            end = skipper.tell()
            answer = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield decode_ack(answer)
