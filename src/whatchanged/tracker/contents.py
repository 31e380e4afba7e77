"""Large contents, read aside: so that a log of gigabytes, or a hole of a terabyte, keeps no other file waiting.

Several are read in turns. Nothing is held open between two turns, so that a file system can be unmounted and a removed
file's space is given back. What was read belongs to the status that the file had when it began; a file that moved on
since has another signature and is looked at again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping

import msgspec

from whatchanged.collectors.files import CONTENT_LIMIT, Budget, native
from whatchanged.collectors.outcome import reason_of
from whatchanged.records.windows_paths import path_text

__all__ = ["LARGEST", "LEAST", "LargeContents", "limit_of"]

LEAST = 256 * 1024 * 1024
"""Bytes from which on a content is large: five seconds at the rate that the default policy allows."""
LARGEST = 2 * 1024**4
"""Bytes of the largest file that is hashed: sparse files of petabytes are cheap to make. A terabyte of holes takes 40
minutes of a quarter of a core."""
_TURN = 64 * 1024 * 1024
_TURNS = 4
"""Contents that are read in turns; others wait."""
_MOST = 256
"""Contents that wait; what is asked for beyond them is asked for again by the next poll."""
_KEPT_SECONDS = 3600.0
"""How long a result is kept for whoever asked for it."""
_FRESH_SECONDS = 10.0
"""How long a result may still be looked for at the path that it was read at, which may have been renamed since."""


class _Changed(Exception):
    """It is another file now, or a shorter one."""


class _Reading:
    """One content that is being read."""

    def __init__(self, path: bytes, place: bytes, status: os.stat_result) -> None:
        self.path = path
        self.place = place
        self.status = status
        self.read = 0
        self.state = hashlib.sha256()

    def turn(self, budget: Budget, stop: threading.Event) -> bool:
        """Read on; whether that was all. Raises _Changed, OSError."""
        fd = native.open_again(self.place, self.status)
        if fd is None:
            raise _Changed
        end = min(self.read + _TURN, self.status.st_size)
        try:
            for piece, was_read in native.pieces(fd, self.status, self.read):
                self.state.update(piece)
                self.read += len(piece)
                budget.spend(len(piece) if was_read else 0)
                if self.read >= end or stop.is_set():
                    break
            else:
                raise _Changed
        finally:
            os.close(fd)
        return self.read >= self.status.st_size


class _Result(msgspec.Struct, frozen=True):
    digest: bytes
    status: os.stat_result
    until: float
    problem: str = ""
    """Why it could not be read."""


class LargeContents:
    """Reads large contents in a thread of its own (`run`); safe to be asked by several."""

    def __init__(
        self, budget: Budget, stop: threading.Event, on_read: Callable[[bytes], None], *, least: int = LEAST
    ) -> None:
        """`on_read` is told the path of what was read: who looks there then gets it."""
        self.least = least
        self._budget = budget
        self._stop = stop
        self._on_read = on_read
        self._lock = threading.Condition()
        self._readings: dict[bytes, _Reading] = {}
        self._results: dict[bytes, _Result] = {}

    def take(self, path: bytes, fd: int, status: os.stat_result) -> tuple[bytes, os.stat_result, str] | None:
        """Return the SHA-256 of a content, the status it belongs to, and what went wrong.

        None: it is read now, ask again then.
        """
        with self._lock:
            result = self._results.pop(path, None)
            if result is not None and _is_same(result.status, status) and result.until > time.monotonic():
                return result.digest, result.status, result.problem
            reading = self._readings.get(path)
            if reading is not None and _is_same(reading.status, status):
                return None
            if reading is not None or len(self._readings) < _MOST:
                self._readings[path] = _Reading(path, native.place_of(fd), status)
                self._lock.notify()
        return None

    def holds(self, inode: bytes, path: bytes) -> bool:
        """Whether a file of this inode number (packed) is read at another path: what is gone may have been renamed."""
        number = int.from_bytes(inode, "little")
        fresh = time.monotonic() + _KEPT_SECONDS - _FRESH_SECONDS
        with self._lock:
            held = [(at, r.status) for at, r in self._readings.items()]
            held += [(at, r.status) for at, r in self._results.items() if r.until > fresh]
        return any(status.st_ino == number and at != path for at, status in held)

    def ready(self, path: bytes) -> bool:
        """Whether the content at `path` was read, so that it is to be looked at although it may seem unchanged."""
        with self._lock:
            return path in self._results

    def status(self) -> list[Mapping[str, str | int]]:
        """Return what is read and how far, for `status`."""
        with self._lock:
            readings = list(self._readings.values())
        return [{"path": path_text(r.path), "read": r.read, "size": r.status.st_size} for r in readings]

    def wake(self) -> None:
        """Let the thread notice that it shall stop."""
        with self._lock:
            self._lock.notify()

    def run(self) -> None:
        """Read until stopped."""
        while not self._stop.is_set():
            with self._lock:
                self._lock.wait_for(lambda: self._readings or self._stop.is_set())
                turns = list(self._readings.values())[:_TURNS]
            for reading in turns:
                if not self._stop.is_set():
                    self._turn(reading)

    def _turn(self, reading: _Reading) -> None:
        try:
            if not reading.turn(self._budget, self._stop):
                return
            result = _Result(reading.state.digest(), reading.status, time.monotonic() + _KEPT_SECONDS)
        except (_Changed, FileNotFoundError):  # whoever looks again sees what it is now
            result = None
        except OSError as error:
            until = time.monotonic() + _KEPT_SECONDS
            result = _Result(b"", reading.status, until, reason_of(error))
        with self._lock:
            if self._readings.get(reading.path) is reading:
                del self._readings[reading.path]
                if result is not None:
                    if len(self._results) >= _MOST:
                        del self._results[next(iter(self._results))]
                    self._results[reading.path] = result
        self._on_read(reading.path)


def limit_of(large: LargeContents | None) -> int:
    """Return the bytes of the largest file that is hashed: more where it keeps nobody waiting."""
    return CONTENT_LIMIT if large is None else LARGEST


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
