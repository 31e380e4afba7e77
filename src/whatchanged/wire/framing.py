"""Bare JSON objects on a stream without lengths or end markers: where does one end?

Both directions of the configuration channel need it: a bare request, and the replies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whatchanged.errors import LimitExceeded, WireError

__all__ = ["JsonFrames", "JsonScanner"]

_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_BLANK = b" \t\r\n"
_DEPTH = 64


class JsonScanner:
    """Finds the end of one JSON object, in pieces; every byte is looked at once."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def scan(self, data: bytes | bytearray, start: int) -> int:
        """Go on at `start`; return the index behind the object's last byte, or -1 if it goes on."""
        if start >= len(data):
            return -1
        at = start
        if self._escaped:
            self._escaped = False
            at += 1
        while match := (_INSIDE if self._in_text else _OUTSIDE).search(data, at):
            at = match.end()
            character = match[0]
            if character == b"\\":
                if at == len(data):
                    self._escaped = True
                at += 1
            elif character == b'"':
                self._in_text = not self._in_text
            elif character in b"{[":
                self._depth += 1
                if self._depth > _DEPTH:
                    raise LimitExceeded(f"JSON is nested deeper than {_DEPTH}")
            else:
                self._depth -= 1
                if self._depth <= 0:
                    return at
        return -1


class JsonFrames:
    """Cuts a stream into JSON objects, for whoever reads replies."""

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._scanner = JsonScanner()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take `data` in and yield every object that is complete. Raises WireError; the stream is lost then."""
        self._buffer += data
        while self._buffer:
            if self._scanned == 0:
                self._skip_blanks()
                if not self._buffer:
                    return
            end = self._scanner.scan(self._buffer, self._scanned)
            if end < 0:
                self._scanned = len(self._buffer)
                if self._scanned > self._limit:
                    raise LimitExceeded(f"a JSON object is longer than {self._limit} bytes")
                return
            frame = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._scanned = 0
            self._scanner = JsonScanner()
            yield frame

    def _skip_blanks(self) -> None:
        blanks = len(self._buffer) - len(self._buffer.lstrip(_BLANK))
        del self._buffer[:blanks]
        if self._buffer and self._buffer[:1] != b"{":
            raise WireError(f"a JSON object was expected, not byte 0x{self._buffer[0]:02x}")
