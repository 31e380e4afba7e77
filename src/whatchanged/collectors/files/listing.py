"""The listing of one folder: compares signatures and gathers what has to be looked at.

One thread lists. What it finds goes out in batches of `BATCH` names, each a `FolderLook` whose reads are under way.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

import msgspec

from whatchanged.collectors.files import native
from whatchanged.collectors.files.links import GONE_ERRORS, Resolver, Target
from whatchanged.collectors.files.look import Candidate, Looked, NoLook
from whatchanged.collectors.files.mounts import Barrier
from whatchanged.collectors.files.scope import FolderScope, Known, Rule, Scope
from whatchanged.collectors.files.signature import NOWHERE, pack_status
from whatchanged.collectors.outcome import Failure, Tally, reason_of

__all__ = [
    "BATCH",
    "Entry",
    "FolderLook",
    "Listing",
    "Pending",
    "Place",
    "Tasks",
    "Walk",
    "is_gone",
    "prefix_of",
]

BATCH = 4096
"""Names of one `FolderLook` at most."""
_ENCODING = sys.getfilesystemencoding()
_ERRORS = sys.getfilesystemencodeerrors()


class FolderLook(msgspec.Struct):
    """What a look at one folder gave; a large folder comes in several, the last of which is `complete`."""

    folder: bytes
    unchanged: list[bytes] = msgspec.field(default_factory=list)
    """Names whose signature is the known one."""
    looked: list[Looked] = msgspec.field(default_factory=list)
    """Entries that were looked at anew."""
    awaited: list[bytes] = msgspec.field(default_factory=list)
    """Entries whose content is read aside: what is known of them is not what they are."""
    vanished: list[bytes] = msgspec.field(default_factory=list)
    """Known names that the rules take and that are not there any more; only in the complete one."""
    failures: list[Failure] = msgspec.field(default_factory=list)
    denied: bool = False
    """The folder could not be listed (to its end): nothing is known about what was not seen."""
    complete: bool = False


class Place(msgspec.Struct, frozen=True):
    """A folder to visit: as it is shown, where it really is, and from where links led here."""

    shown: bytes
    real: bytes
    chain: tuple[bytes, ...] = ()


class _Taken(msgspec.Struct, frozen=True):
    """Names of the rules that take an entry which is no folder: a regular file or link, or something else."""

    files: tuple[str, ...]
    others: tuple[str, ...]

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> _Taken:
        return cls(_names(rules), tuple(rule.name for rule in rules if rule.type != "File"))


_NONE = _Taken((), ())
Tasks = list[tuple[list[Candidate], Future[list[tuple[Looked | NoLook | None, Failure | None]]]]]
"""Candidates, and what will come of looking at them."""


class Pending(msgspec.Struct):
    """A `FolderLook` whose reads are under way."""

    look: FolderLook
    tasks: Tasks
    candidates: int
    known: Mapping[bytes, bytes]
    present: set[bytes] | None
    """Of a complete look: every known name that is still there; None if all are."""
    close_fd: int = -1


class Entry(Protocol):
    """One name of a folder: what a listing asks of an os.DirEntry."""

    @property
    def name(self) -> str:
        """The name, as the file system's encoding carries it."""

    def is_symlink(self) -> bool:
        """Whether it is a link."""

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the status. Raises OSError."""


class Walk(Protocol):
    """What a listing asks of the walk it belongs to."""

    scope: Scope
    known: Known
    rehash: Callable[[bytes], bool]
    stop: threading.Event
    tally: Tally
    resolver: Resolver

    def untouchable(self, folder: bytes) -> Mapping[bytes, Barrier]:
        """Return the names in the real `folder` that must not be touched, each with its barrier."""

    def skip(self, shown: bytes, barrier: Barrier, point: bytes) -> None:
        """Record that `shown` is not entered because of the mount at the real path `point`."""

    def enter(self, place: Place) -> None:
        """Visit `place` later."""

    def enter_link(self, place: Place, name: bytes, target: Target) -> None:
        """Visit the folder that a link leads to, unless that would go in circles."""

    def start(self, fd: int, prefix: bytes, candidates: list[Candidate]) -> Tasks:
        """Begin to look at candidates."""


class Listing:
    """The listing of one folder."""

    def __init__(self, walk: Walk, place: Place, fd: int) -> None:
        self._walk = walk
        self._place = place
        self._fd = fd
        self._scope: FolderScope = walk.scope.for_folder(place.shown)
        self._known = walk.known.folder(place.shown)
        self._compared = {} if walk.rehash(place.shown) else self._known
        self._prefix = prefix_of(place.shown)
        self._look = FolderLook(place.shown)
        self._candidates: list[Candidate] = []
        self._present: set[bytes] = set()

    def single(self, entry: Entry) -> tuple[list[Candidate], FolderLook]:
        """Return what would be done about one entry."""
        for _ in self._entries(iter((entry,))):
            raise AssertionError("one entry is no batch")
        return self._candidates, self._look

    def run(self) -> Iterator[Pending]:
        """List the folder, in batches."""
        try:
            with native.entries(self._fd) as entries:
                yield from self._entries(entries)
        except OSError as error:
            if not is_gone(error):
                self._walk.tally.deny(self._place.shown, reason_of(error))
                self._look.denied = True
            yield self._batch(complete=True, vanished=False)
            return
        whole = not self._walk.stop.is_set()
        yield self._batch(complete=whole, vanished=whole)

    def _entries(self, entries: Iterator[Entry]) -> Iterator[Pending]:
        # The hot loop: a few microseconds an entry. What is asked once a folder is asked here.
        scope = self._scope
        take_all = scope.take_all
        everything = _NONE if take_all is None else _Taken.of(take_all)
        matching = scope.matching
        compared = self._compared.get
        unchanged = self._look.unchanged
        links = scope.links
        stop = self._walk.stop
        if untouchable := self._walk.untouchable(self._place.real):
            entries = self._touchable(entries, untouchable)
        for entry in entries:
            name = entry.name.encode(_ENCODING, _ERRORS)
            if entry.is_symlink():
                if links != "Ignore":
                    self._link(entry, name)
            elif entry.is_dir(follow_symlinks=False):
                self._folder(entry, name)
            else:
                if take_all is not None:
                    taken = everything
                elif rules := matching(name):
                    taken = _Taken.of(rules)
                else:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._failed(name, error)
                    continue
                allowed = taken.files if stat.S_ISREG(status.st_mode) else taken.others
                if not allowed:
                    continue
                previous = compared(name)
                if previous == pack_status(status):
                    unchanged.append(name)
                else:
                    self._candidate(name, allowed, status)
            if len(unchanged) + len(self._candidates) >= BATCH:
                yield self._batch(complete=False, vanished=False)
                unchanged = self._look.unchanged
                if stop.is_set():
                    return

    def _touchable(self, entries: Iterator[Entry], untouchable: Mapping[bytes, Barrier]) -> Iterator[Entry]:
        """Leave out mount points that must not be touched: what is known of them, and of what is below, is kept."""
        for entry in entries:
            name = entry.name.encode(_ENCODING, _ERRORS)
            barrier = untouchable.get(name)
            if barrier is None:
                yield entry
                continue
            self._present.add(name)
            if self._scope.descend(name) or self._scope.matching(name) or self._scope.matching(name, folder=True):
                self._walk.skip(self._prefix + name, barrier, prefix_of(self._place.real) + name)

    def _candidate(
        self,
        name: bytes,
        rules: tuple[str, ...],
        status: os.stat_result,
        target: Target | None = None,
        *,
        nowhere: bool = False,
    ) -> None:
        self._candidates.append(Candidate(name, rules, status, self._known.get(name), target, nowhere))

    def _failed(self, name: bytes, error: OSError) -> None:
        """An entry that is there, but that nothing can be said about: neither is it gone, nor will it be new."""
        path = self._prefix + name
        self._look.failures.append(Failure(path, reason_of(error)))
        self._walk.tally.close(path)
        self._present.add(name)

    def _taken(self, name: bytes) -> _Taken:
        rules = self._scope.take_all
        return _Taken.of(self._scope.matching(name) if rules is None else rules)

    def _compare(
        self,
        name: bytes,
        rules: tuple[str, ...],
        status: os.stat_result,
        signature: bytes,
        target: Target | None = None,
        *,
        nowhere: bool = False,
    ) -> None:
        if not rules:
            return
        if self._compared.get(name) == signature:
            self._look.unchanged.append(name)
        else:
            self._candidate(name, rules, status, target, nowhere=nowhere)

    def _folder(self, entry: Entry, name: bytes) -> None:
        shown = self._prefix + name
        if self._scope.descend(name):
            self._walk.enter(Place(shown, prefix_of(self._place.real) + name, self._place.chain))
        rules = _names(self._scope.matching(name, folder=True))
        if not rules:
            return
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(name, error)
            return
        self._compare(name, rules, status, pack_status(status))

    def _link(self, entry: Entry, name: bytes) -> None:
        policy = self._scope.link_policy(name)
        if policy == "Ignore":
            return
        follow = policy == "Follow"
        taken = self._taken(name)
        descend = follow and self._scope.descend(name)
        folders = _names(self._scope.matching(name, folder=True))
        if not (taken.files or folders or descend):
            return
        try:
            status = entry.stat(follow_symlinks=False)
            text = native.readlink_in(name, self._fd) if follow else b""
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(name, error)
            return
        target = self._walk.resolver.resolve(self._place.real, text) if follow and text else None
        if target is not None and stat.S_ISDIR(target.status.st_mode):
            if descend:
                self._walk.enter_link(self._place, name, target)
            rules = folders
        elif target is not None and stat.S_ISREG(target.status.st_mode):
            rules = taken.files
        elif target is not None and taken.others:
            rules = taken.others
        else:
            # It leads nowhere, or to a device or pipe that no rule takes: still a link, which every rule takes.
            self._compare(name, taken.files, status, pack_status(status) + (NOWHERE if follow else b""), nowhere=follow)
            return
        self._compare(name, rules, status, pack_status(status) + pack_status(target.status), target)

    def _batch(self, *, complete: bool, vanished: bool) -> Pending:
        look, candidates = self._look, self._candidates
        look.complete = complete
        self._look, self._candidates = FolderLook(self._place.shown), []
        known = self._known
        if known:
            self._present.update(look.unchanged)
            self._present.update(candidate.name for candidate in candidates)
        tasks = self._walk.start(self._fd, self._prefix, candidates)
        return Pending(
            look,
            tasks,
            len(candidates),
            known if vanished else {},
            self._present if vanished and known else None,
            self._fd if complete or vanished else -1,
        )


def is_gone(error: OSError) -> bool:
    """Whether the error says that there is nothing (any more), or something else than was looked for."""
    return error.errno in GONE_ERRORS


def prefix_of(folder: bytes) -> bytes:
    """Return `folder` with its closing slash."""
    return folder if folder == b"/" else folder + b"/"


def _names(rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple([rule.name for rule in rules])
