"""How a collector's run went: failure is data, and "nothing there" differs from "could not look".

`Tally` is the growing form, owned by one run; `Outcome` the final one. The lists that removal decisions rest on
(`denied`, `skipped`) are never cut: when they grow beyond their bound they get coarser, so that they cover more.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

__all__ = ["Failure", "Outcome", "RunStatus", "Skipped", "Snapshot", "Tally", "covering", "joined", "reason_of"]

_WINDOWS_REASONS = {
    32: "EACCES: another program has it open and shares it with nobody",  # ERROR_SHARING_VIOLATION
    33: "EACCES: another program has locked a part of it",  # ERROR_LOCK_VIOLATION
    4350: "ENODATA: it is not on this machine, and is not fetched",  # ERROR_FILE_OFFLINE
}
MAX_FAILURES = 200
"""Failures an outcome names; `failures_total` counts all."""
MAX_DENIED = 10_000
"""Subtrees an outcome names before it names their parents instead."""

ItemType = TypeVar("ItemType")


class RunStatus(StrEnum):
    """How a run ended."""

    OK = "Ok"
    PARTIAL = "Partial"
    """Something was denied, failed or skipped; the rest is right."""
    FAILED = "Failed"
    """Nothing could be said about the machine."""
    STOPPED = "Stopped"
    """The run was told to stop before its end, or came at a time when nothing can be said; look again soon."""


class Failure(msgspec.Struct, frozen=True):
    """Something that could not be looked at: its path (or other name) and why."""

    path: bytes
    reason: str


class Skipped(msgspec.Struct, frozen=True):
    """A subtree left out on purpose, and why."""

    path: bytes
    reason: str
    point: bytes = b""
    """Where the network file system is mounted that was left out; empty if it was left out for another reason."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run."""

    status: RunStatus
    seen: int = 0
    """Items seen."""
    failed: int = 0
    """Items that could not be looked at."""
    duration_ms: int = 0
    failures: tuple[Failure, ...] = ()
    """The first of the failures."""
    failures_total: int = 0
    denied: tuple[bytes, ...] = ()
    """Folders (of software: sources) that could not be read: nothing is known about what is below, so nothing there
    was removed."""
    skipped: tuple[Skipped, ...] = ()
    """Subtrees left out on purpose: network file systems, automounts."""
    looked: int = 0
    """Items that were read anew, because they were unknown or their signature had moved."""
    bytes_read: int = 0

    @property
    def closed(self) -> frozenset[bytes]:
        """What the run can say nothing of, with everything below."""
        return frozenset((*self.denied, *(skipped.path for skipped in self.skipped)))


class Snapshot(msgspec.Struct, Generic[ItemType], frozen=True, kw_only=True):
    """All items of a kind that is read in one go."""

    items: tuple[ItemType, ...]
    outcome: Outcome
    unsettled: frozenset[bytes] = frozenset()
    """Keys of items in the middle of an operation: keep what was known of them and look again soon."""
    kept: tuple[bytes, ...] = ()
    """Beginnings of keys, up to a `/` or NUL: what is known there and was not seen is kept."""
    soon: bool = False
    """Something is in the middle of an operation, so look again soon."""
    scopes: frozenset[str] = frozenset({"all"})
    """Parts of the kind that were looked at whole; `all` where there are no parts. Software: sources."""


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of several looks that together are one run; at least one."""
    statuses = {outcome.status for outcome in outcomes}
    worst = next(s for s in (RunStatus.STOPPED, RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.OK) if s in statuses)
    skipped = tuple(skipped for outcome in outcomes for skipped in outcome.skipped)
    failures_total = sum(outcome.failures_total for outcome in outcomes)
    if worst is RunStatus.PARTIAL and not skipped and not failures_total:
        worst = RunStatus.OK
    return Outcome(
        status=worst,
        seen=sum(outcome.seen for outcome in outcomes),
        failed=sum(outcome.failed for outcome in outcomes),
        duration_ms=sum(outcome.duration_ms for outcome in outcomes),
        failures=tuple(failure for outcome in outcomes for failure in outcome.failures)[:MAX_FAILURES],
        failures_total=failures_total,
        denied=tuple(folder for outcome in outcomes for folder in outcome.denied),
        skipped=skipped,
        looked=sum(outcome.looked for outcome in outcomes),
        bytes_read=sum(outcome.bytes_read for outcome in outcomes),
    )


class Tally:
    """The outcome of a run while it grows; safe to be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.seen = 0
        self.looked = 0
        self.bytes_read = 0
        self.failed = 0
        self._failures: list[Failure] = []
        self._failures_total = 0
        self._denied: set[bytes] = set()
        self._skipped: dict[bytes, Skipped] = {}
        self.broken = False

    def fail(self, failure: Failure, *, item: bool = True) -> None:
        """Record a failure; of an item unless `item` is false."""
        with self._lock:
            self._failures_total += 1
            self.failed += item
            if len(self._failures) < MAX_FAILURES:
                self._failures.append(failure)

    def deny(self, folder: bytes, reason: str) -> None:
        """Record a folder that could not be read."""
        self.fail(Failure(folder, reason), item=False)
        self.close(folder)

    def close(self, path: bytes) -> None:
        """Take it that nothing is known of `path` (nor of what is below), whose failure is recorded elsewhere."""
        self._denied.add(path)
        if len(self._denied) > MAX_DENIED:
            self._denied = set(covering(self._denied, MAX_DENIED // 2))

    def skip(self, folder: bytes, reason: str, point: bytes = b"") -> None:
        """Record a subtree left out on purpose; beyond the bound it counts as denied, by its parent."""
        if len(self._skipped) < MAX_DENIED:
            self._skipped[folder] = Skipped(folder, reason, point)
        else:
            self.deny(folder, reason)

    def read(self, count: int) -> None:
        """Count bytes of content read."""
        with self._lock:
            self.bytes_read += count

    @property
    def failures_total(self) -> int:
        """Return how many failures were recorded."""
        return self._failures_total

    def outcome(self, *, stopped: bool = False) -> Outcome:
        """Return the final form."""
        if stopped:
            status = RunStatus.STOPPED
        elif self.broken:
            status = RunStatus.FAILED
        else:
            status = RunStatus.PARTIAL if self._failures_total or self._skipped else RunStatus.OK
        return Outcome(
            status=status,
            seen=self.seen,
            failed=self.failed,
            duration_ms=int((time.monotonic() - self._started) * 1000),
            failures=tuple(self._failures),
            failures_total=self._failures_total,
            denied=tuple(sorted(self._denied)),
            skipped=tuple(skipped for _, skipped in sorted(self._skipped.items())),
            looked=self.looked,
            bytes_read=self.bytes_read,
        )


def covering(folders: set[bytes], limit: int) -> set[bytes]:
    """Return at most `limit` folders (at least one) that cover all of `folders`, deepest given up first."""
    while len(folders) > max(limit, 1):
        depth = max(path.count(b"/") for path in folders)
        lifted = {path for path in folders if path.count(b"/") == depth}
        parents = {path.rpartition(b"/")[0] or b"/" for path in lifted}
        if parents == lifted:  # only the root is left
            return parents
        folders = (folders - lifted) | parents
    return folders


def reason_of(error: OSError) -> str:
    """Return an operating system error as a name and text that do not depend on the language of the machine."""
    if sys.platform == "win32" and (said := _WINDOWS_REASONS.get(error.winerror or 0)):
        return said
    number = error.errno or 0
    return f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
