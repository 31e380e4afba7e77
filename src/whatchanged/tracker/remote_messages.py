"""What the tracker and the process that looks into a network file system for it say to each other.

A socket pair between two processes of one program: each message is its length (four bytes) and MessagePack.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import socket
import struct
import threading
from typing import Generic, TypeVar

import msgspec

from whatchanged.collectors import Failure, Outcome
from whatchanged.collectors.files import FolderLook, Looked
from whatchanged.errors import PeerError
from whatchanged.rules import FileRule

__all__ = ["Alive", "Answer", "AskKnown", "Ended", "Found", "Job", "Link", "LookAt", "Names", "Order", "Seen"]

_LENGTH = struct.Struct("=I")
_LARGEST = 256 * 1024 * 1024
"""Bytes of a message: the names of one folder of some million entries."""

Received = TypeVar("Received")


class Job(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What to look at. The first message, once."""

    root: bytes
    point: bytes
    """The mount, by its path below the root."""
    places: tuple[bytes, ...]
    """Paths at which a walk came to it."""
    rules: tuple[FileRule, ...]
    whole: tuple[FileRule, ...]
    """Every rule in force."""
    excluded_paths: tuple[bytes, ...]
    own_paths: tuple[bytes, ...]
    threads: int
    bytes_per_second: int
    core_share: float
    pressure_aware: bool
    beat_seconds: float
    """How often to say that the work goes on."""


class Names(msgspec.Struct, frozen=True, tag=True):
    """Answers `AskKnown`: names with their signatures, and whether to read all of them anew."""

    names: dict[bytes, bytes]
    rehash: bool


class LookAt(msgspec.Struct, frozen=True, tag=True):
    """Look at one path; after the walk."""

    path: bytes


class Alive(msgspec.Struct, frozen=True, tag=True):
    """The work goes on."""


class AskKnown(msgspec.Struct, frozen=True, tag=True):
    """What is known of a folder?"""

    folder: bytes


class Seen(msgspec.Struct, frozen=True, tag=True):
    """A look at a folder."""

    look: FolderLook


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The walk is over."""

    outcome: Outcome


class Found(msgspec.Struct, frozen=True, tag=True):
    """Answers `LookAt`: an item, a failure, or (neither) nothing that a rule takes."""

    looked: Looked | None = None
    failure: Failure | None = None


Order = Job | Names | LookAt
Answer = Alive | AskKnown | Seen | Ended | Found


class Link(Generic[Received]):
    """One end. Several threads may send, one may receive."""

    def __init__(self, end: socket.socket, received: type[Received]) -> None:
        self._end = end
        self._decoder = msgspec.msgpack.Decoder(received)
        self._encoder = msgspec.msgpack.Encoder()
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def send(self, message: Order | Answer) -> None:
        """Send; waits while the other end does not read. Raises PeerError when it is gone."""
        payload = self._encoder.encode(message)
        try:
            with self._sending:
                self._end.settimeout(None)
                self._end.sendall(_LENGTH.pack(len(payload)) + payload)
        except OSError as error:
            raise PeerError(f"the other process is gone: {error}") from error

    def receive(self) -> Received:
        """Wait for a message. Raises PeerError when the other end is gone."""
        while True:
            message = self.receive_within(3600.0)
            if message is not None:
                return message

    def receive_within(self, seconds: float) -> Received | None:
        """Return a message, or None when nothing came for so long. Raises PeerError when the other end is gone."""
        while (message := self._take()) is None:
            try:
                self._end.settimeout(seconds)
                part = self._end.recv(1 << 20)
            except TimeoutError:
                return None
            except OSError as error:
                raise PeerError(f"the other process is gone: {error}") from error
            if not part:
                raise PeerError("the other process has ended")
            self._buffer += part
        return message

    def _take(self) -> Received | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        length = _LENGTH.unpack_from(self._buffer)[0]
        if length > _LARGEST:
            raise PeerError(f"the other process sends {length} bytes at once")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        try:
            return self._decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise PeerError(f"the other process speaks otherwise: {error}") from error
