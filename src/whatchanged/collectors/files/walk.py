"""The walk: folder by folder, cheap where nothing changed, reading in a small pool of threads where it did.

One thread lists and compares signatures; the pool opens and hashes. What is on its way is bounded (`_IN_FLIGHT`
entries, `_OPEN_FOLDERS` folders), so memory does not grow with the tree, except by the names of one folder.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os
import stat
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from whatchanged.collectors.files.accounts import Accounts
from whatchanged.collectors.files.budget import Budget, Unlimited
from whatchanged.collectors.files.links import Resolver, Target
from whatchanged.collectors.files.look import GONE, Candidate, Gone, Looked, Looker
from whatchanged.collectors.files.mounts import Barrier, Mount, barriers, parse_mountinfo
from whatchanged.collectors.files.scope import FolderScope, Known, Rule, Scope
from whatchanged.collectors.files.signature import SETTLE_NS, pack_status
from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.outcome import Failure, Outcome, Tally, reason_of

__all__ = [
    "BATCH",
    "CONTENT_LIMIT",
    "FileCollector",
    "FolderLook",
    "Missing",
    "Nothing",
    "PathLooker",
    "Unchanged",
    "Unmatched",
    "look",
]

BATCH = 4096
"""Names of one `FolderLook` at most."""
CONTENT_LIMIT = 64 * 1024**3
"""Bytes of the largest file that is hashed: a sparse file of petabytes is cheap to make."""

_TASK_FILES = 64
_TASK_BYTES = 4 * 1024 * 1024
_IN_FLIGHT = 4096
_OPEN_FOLDERS = 128
_MAX_PATH = 32 * 1024
"""Bytes of the longest folder path that is entered: beyond it somebody is playing."""
_MAX_LINK_CHAIN = 8
_MAX_VISITS = 64
"""How often one folder is entered through links in one run: folders full of links to each other grow exponentially."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})

_ENCODING = sys.getfilesystemencoding()
_ERRORS = sys.getfilesystemencodeerrors()


class FolderLook(msgspec.Struct):
    """What a look at one folder gave; a large folder comes in several, the last of which is `complete`."""

    folder: bytes
    unchanged: list[bytes] = msgspec.field(default_factory=list)
    """Names whose signature is the known one."""
    looked: list[Looked] = msgspec.field(default_factory=list)
    """Entries that were looked at anew."""
    vanished: list[bytes] = msgspec.field(default_factory=list)
    """Known names that the rules take and that are not there any more; only in the complete one."""
    failures: list[Failure] = msgspec.field(default_factory=list)
    denied: bool = False
    """The folder could not be listed (to its end): nothing is known about what was not seen."""
    complete: bool = False


class Missing(msgspec.Struct, frozen=True):
    """There is nothing at this path."""

    path: bytes


class Unmatched(msgspec.Struct, frozen=True):
    """There may be something at this path, but no rule takes it."""

    path: bytes


class Unchanged(msgspec.Struct, frozen=True):
    """The signature is the known one."""

    path: bytes


class Nothing:
    """A known that knows nothing: everything is looked at."""

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Return no names."""
        return {}


class _Place(msgspec.Struct, frozen=True):
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
_Results = list[tuple[Looked | Gone | None, Failure | None]]


class _Pending(msgspec.Struct):
    """A `FolderLook` whose reads are under way."""

    look: FolderLook
    tasks: list[tuple[list[Candidate], Future[_Results]]]
    candidates: int
    known: Mapping[bytes, bytes]
    present: set[bytes] | None
    """Of a complete look: every known name that is still there; None if all are."""
    close_fd: int = -1


class _Machine:
    """What a run knows of the machine: its tree, mounts and accounts."""

    def __init__(self, root: bytes, *, network: bool) -> None:
        self.tree = Tree(root)
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = list(parse_mountinfo(file.read()))
        self.barriers: dict[bytes, tuple[Mount, Barrier]] = barriers(iter(mounts), self.tree.root, network=network)
        own = os.stat(self.tree.root).st_dev
        self.barrier_devices = {
            device: barrier
            for mount, barrier in self.barriers.values()
            if (device := os.makedev(mount.major, mount.minor)) != own
        }
        self.resolver = Resolver(self.tree, self.barriers)
        self.accounts = Accounts.of(self.tree)


class FileCollector:
    """Looks at the files of a machine that a scope takes.

    `run` may be called once. `outcome` is complete when the iterator has ended.
    """

    name = "files"

    def __init__(
        self,
        scope: Scope,
        *,
        root: bytes = b"/",
        known: Known | None = None,
        threads: int | None = None,
        budget: Budget | None = None,
        stop: threading.Event | None = None,
        rehash: bool | Callable[[bytes], bool] = False,
        network_filesystems: bool = False,
        content_limit: int = CONTENT_LIMIT,
        settle_ns: int = SETTLE_NS,
    ) -> None:
        self._scope = scope
        self._root = root
        self._known: Known = known if known is not None else Nothing()
        self._threads = threads or min(os.cpu_count() or 1, 4)
        self._budget: Budget = budget or Unlimited()
        self._stop = stop or threading.Event()
        self._rehash = rehash if callable(rehash) else (lambda _folder, always=rehash: always)
        self._network = network_filesystems
        self._content_limit = content_limit
        self._settle_ns = settle_ns
        self._tally = Tally()
        self._stack: list[_Place] = []
        self._visits: Counter[bytes] = Counter()
        self._in_flight = 0
        self._pending: deque[_Pending] = deque()
        self._left_open: list[int] = []
        self.outcome: Outcome = self._tally.outcome(stopped=True)

    def run(self) -> Iterator[FolderLook]:
        """Visit everything; yields at least one look for every folder that could be opened."""
        self._tally = Tally()
        machine, _ = self.prepare()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="look")
        self._pool = pool
        try:
            for place in self._roots():
                self._stack.append(place)
                while self._stack and not self._stop.is_set():
                    self._budget.spend(0)
                    for pending in self._visit(self._stack.pop()):
                        yield from self._add(pending)
            while self._pending:
                yield self._finish(self._pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for pending in self._pending:
                _close(pending.close_fd)
            for fd in self._left_open:
                os.close(fd)
            self._left_open.clear()
            machine.tree.close()
            self.outcome = self._tally.outcome(stopped=self._stop.is_set())

    def prepare(self) -> tuple[_Machine, Looker]:
        """Open the tree and read what has to be known of the machine."""
        machine = _Machine(self._root, network=self._network)
        self._machine = machine
        self._looker = Looker(
            machine.tree,
            machine.accounts,
            self._budget,
            self._stop,
            self._tally,
            content_limit=self._content_limit,
            settle_ns=self._settle_ns,
        )
        return machine, self._looker

    def _roots(self) -> Iterator[_Place]:
        for shown in self._scope.roots():
            folder = shown.rstrip(b"/") or b"/"
            barrier = self.barrier_above(folder)
            if barrier is not None:
                self._tally.skip(folder, barrier.value)
                continue
            real = self._machine.resolver.canonical(folder)
            if real is not None:
                yield _Place(folder, real)

    def barrier_above(self, folder: bytes) -> Barrier | None:
        """Return the barrier that `folder` is or lies behind, or None."""
        path = folder
        while path not in (b"", b"/"):
            found = self._machine.barriers.get(path)
            if found is not None:
                return found[1]
            path = path.rpartition(b"/")[0]
        return None

    def _visit(self, place: _Place) -> Iterator[_Pending]:
        found = self._machine.barriers.get(place.real)
        if found is not None:
            self._skip(place, found[1])
            return
        if len(place.shown) > _MAX_PATH:
            self._tally.deny(place.shown, f"path longer than {_MAX_PATH} bytes")
            return
        try:
            fd = self._machine.tree.open_folder(place.real)
        except OSError as error:
            if error.errno not in _GONE:
                self._tally.deny(place.shown, reason_of(error))
                yield _Pending(FolderLook(place.shown, denied=True, complete=True), [], 0, {}, None)
            return
        if place.real != b"/" and (device := self._machine.barrier_devices.get(os.fstat(fd).st_dev)) is not None:
            os.close(fd)
            self._skip(place, device)
            return
        yield from self._list(place, fd)

    def _skip(self, place: _Place, barrier: Barrier) -> None:
        if barrier is not Barrier.PSEUDO:
            self._tally.skip(place.shown, barrier.value)

    def _list(self, place: _Place, fd: int) -> Iterator[_Pending]:
        """List one folder; owns `fd`, and hands it on with the last pending look."""
        listing = _Listing(self, place, fd)
        handed = False
        try:
            for pending in listing.run():
                handed = pending.close_fd >= 0
                yield pending
        finally:
            if not handed:  # a task may still look through it: closed when the pool has ended
                self._left_open.append(fd)

    def _add(self, pending: _Pending) -> Iterator[FolderLook]:
        self._pending.append(pending)
        self._in_flight += pending.candidates
        while self._pending and (
            self._in_flight > _IN_FLIGHT
            or len(self._pending) > _OPEN_FOLDERS
            or all(task.done() for _, task in self._pending[0].tasks)
        ):
            yield self._finish(self._pending.popleft())

    def _finish(self, pending: _Pending) -> FolderLook:
        look = pending.look
        try:
            for candidates, task in pending.tasks:
                self._gather(pending, candidates, task.result())
        finally:
            self._in_flight -= pending.candidates
            _close(pending.close_fd)
        if look.complete and pending.present is not None:
            scope = self._scope.for_folder(look.folder)
            look.vanished = [
                name
                for name in pending.known
                if name not in pending.present and (scope.matching(name) or scope.matching(name, folder=True))
            ]
        self._tally.seen += len(look.unchanged) + len(look.looked)
        self._tally.looked += len(look.looked)
        for failure in look.failures:
            self._tally.fail(failure)
        return look

    def _gather(self, pending: _Pending, candidates: list[Candidate], results: _Results) -> None:
        look = pending.look
        if len(results) < len(candidates):  # told to stop: what was not looked at has not vanished
            look.complete = False
        for candidate, (found, failure) in zip(candidates, results, strict=False):
            if failure is not None:
                look.failures.append(failure)
            if isinstance(found, Looked):
                look.looked.append(found)
            elif found is GONE:
                if pending.present is None:
                    pending.present = set(pending.known)
                pending.present.discard(candidate.name)
            elif failure is None:
                look.unchanged.append(candidate.name)

    def start(
        self, fd: int, prefix: bytes, candidates: list[Candidate]
    ) -> list[tuple[list[Candidate], Future[_Results]]]:
        """Hand candidates to the pool, in tasks of a bounded number of files and bytes."""
        tasks = []
        begin = size = 0
        for end, candidate in enumerate(candidates, 1):
            size += candidate.status.st_size
            if end - begin >= _TASK_FILES or size >= _TASK_BYTES or end == len(candidates):
                part = candidates[begin:end]
                tasks.append((part, self._pool.submit(self._looker.look_at_all, fd, prefix, part)))
                begin, size = end, 0
        return tasks

    def enter(self, place: _Place) -> None:
        """Visit `place` later."""
        self._stack.append(place)

    def enter_link(self, place: _Place, name: bytes, target: Target) -> None:
        """Visit the folder that a link leads to under the link's path, unless that would go in circles."""
        chain = (*place.chain, place.real)
        inside = target.path.rstrip(b"/") + b"/"
        if any((folder + b"/").startswith(inside) for folder in chain):
            return
        shown = _prefix(place.shown) + name
        if len(chain) > _MAX_LINK_CHAIN:
            self._tally.deny(shown, f"more than {_MAX_LINK_CHAIN} links to folders one behind the other")
            return
        self._visits[target.path] += 1
        if self._visits[target.path] > _MAX_VISITS:
            self._tally.deny(shown, f"the folder it leads to was entered through {_MAX_VISITS} links already")
            return
        self._stack.append(_Place(shown, target.path, chain))


class _Listing:
    """The listing of one folder."""

    def __init__(self, collector: FileCollector, place: _Place, fd: int) -> None:
        self._collector = collector
        self._place = place
        self._fd = fd
        self._scope: FolderScope = collector._scope.for_folder(place.shown)
        self._known = collector._known.folder(place.shown)
        self._compared = {} if collector._rehash(place.shown) else self._known
        self._prefix = _prefix(place.shown)
        self._look = FolderLook(place.shown)
        self._candidates: list[Candidate] = []
        self._present: set[bytes] = set()
        self._hits = 0

    def single(self, entry: _Entry) -> tuple[list[Candidate], FolderLook]:
        """Return what would be done about one entry."""
        for _ in self._entries(iter((entry,))):
            raise AssertionError("one entry is no batch")
        return self._candidates, self._look

    def run(self) -> Iterator[_Pending]:
        """List the folder, in batches."""
        try:
            with os.scandir(self._fd) as entries:
                yield from self._entries(entries)
        except OSError as error:
            if error.errno not in _GONE:
                self._collector._tally.deny(self._place.shown, reason_of(error))
                self._look.denied = True
            yield self._batch(complete=True, vanished=False)
            return
        whole = not self._collector._stop.is_set()
        yield self._batch(complete=whole, vanished=whole)

    def _entries(self, entries: Iterator[os.DirEntry[str]] | Iterator[_Entry]) -> Iterator[_Pending]:
        # The hot loop: a few microseconds an entry. What is asked once a folder is asked here.
        scope = self._scope
        take_all = scope.take_all
        everything = _NONE if take_all is None else _Taken.of(take_all)
        matching = scope.matching
        compared = self._compared.get
        unchanged = self._look.unchanged
        links = scope.links
        stop = self._collector._stop
        for entry in entries:
            name = entry.name.encode(_ENCODING, _ERRORS)
            if entry.is_symlink():
                if links != "Ignore":
                    self._link(entry, name, follow=links == "Follow")
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

    def _candidate(
        self, name: bytes, rules: tuple[str, ...], status: os.stat_result, target: Target | None = None
    ) -> None:
        self._candidates.append(Candidate(name, rules, status, self._known.get(name), target))

    def _failed(self, name: bytes, error: OSError) -> None:
        self._look.failures.append(Failure(self._prefix + name, reason_of(error)))
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
    ) -> None:
        if not rules:
            return
        if self._compared.get(name) == signature:
            self._look.unchanged.append(name)
        else:
            self._candidate(name, rules, status, target)

    def _folder(self, entry: os.DirEntry[str] | _Entry, name: bytes) -> None:
        shown = self._prefix + name
        if self._scope.descend(name):
            self._collector.enter(_Place(shown, _prefix(self._place.real) + name, self._place.chain))
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

    def _link(self, entry: os.DirEntry[str] | _Entry, name: bytes, *, follow: bool) -> None:
        taken = self._taken(name)
        descend = follow and self._scope.descend(name)
        folders = _names(self._scope.matching(name, folder=True))
        if not (taken.files or folders or descend):
            return
        try:
            status = entry.stat(follow_symlinks=False)
            text = os.readlink(name, dir_fd=self._fd) if follow else b""
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(name, error)
            return
        target = self._collector._machine.resolver.resolve(self._place.real, text) if follow and text else None
        if target is None:
            self._compare(name, taken.files, status, pack_status(status))
            return
        mode = target.status.st_mode
        if stat.S_ISDIR(mode):
            if descend:
                self._collector.enter_link(self._place, name, target)
            rules = folders
        else:
            rules = taken.files if stat.S_ISREG(mode) else taken.others
        self._compare(name, rules, status, pack_status(status) + pack_status(target.status), target)

    def _batch(self, *, complete: bool, vanished: bool) -> _Pending:
        look, candidates = self._look, self._candidates
        look.complete = complete
        self._look, self._candidates = FolderLook(self._place.shown), []
        known = self._known
        if known:
            self._present.update(look.unchanged)
            self._present.update(candidate.name for candidate in candidates)
        tasks = self._collector.start(self._fd, self._prefix, candidates)
        return _Pending(
            look,
            tasks,
            len(candidates),
            known if vanished else {},
            self._present if vanished and known else None,
            self._fd if complete or vanished else -1,
        )


class PathLooker:
    """Looks at single paths, as the walk would have come to them; for hints and for removal decisions.

    Knows the mounts and accounts of the time it was made: make one for a batch of paths.
    """

    def __init__(
        self,
        scope: Scope,
        root: bytes = b"/",
        *,
        known: Known | None = None,
        budget: Budget | None = None,
        stop: threading.Event | None = None,
        network_filesystems: bool = False,
        content_limit: int = CONTENT_LIMIT,
        settle_ns: int = SETTLE_NS,
    ) -> None:
        self._collector = FileCollector(
            scope,
            root=root,
            known=known,
            budget=budget,
            stop=stop,
            network_filesystems=network_filesystems,
            content_limit=content_limit,
            settle_ns=settle_ns,
        )
        self._machine, self._looker = self._collector.prepare()

    def close(self) -> None:
        """Give the root's descriptor back."""
        self._machine.tree.close()

    def __enter__(self) -> PathLooker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self, path: bytes) -> Looked | Unchanged | Missing | Unmatched | Failure:
        """Look at `path`, an absolute path as items have it."""
        shown, _, name = path.rpartition(b"/")
        folder = shown or b"/"
        if self._collector.barrier_above(folder) is not None:
            return Unmatched(path)
        real = self._machine.resolver.canonical(folder)
        if real is None or not name:
            return Missing(path)
        if self._collector.barrier_above(real) is not None:
            return Unmatched(path)
        try:
            fd = self._machine.tree.open_folder(real)
        except OSError as error:
            return Missing(path) if error.errno in _GONE else Failure(path, reason_of(error))
        try:
            return self._entry(_Place(folder, real), fd, name, path)
        finally:
            os.close(fd)

    def _entry(
        self, place: _Place, fd: int, name: bytes, path: bytes
    ) -> Looked | Unchanged | Missing | Unmatched | Failure:
        try:
            entry = _Entry(name, fd)
        except OSError as error:
            return Missing(path) if error.errno in _GONE else Failure(path, reason_of(error))
        listing = _Listing(self._collector, place, fd)
        candidates, look_ = listing.single(entry)
        if not candidates:
            if look_.unchanged:
                return Unchanged(path)
            return look_.failures[0] if look_.failures else Unmatched(path)
        results = self._looker.look_at_all(fd, _prefix(place.shown), candidates)
        if not results:
            return Failure(path, "stopped")
        found, failure = results[0]
        if isinstance(found, Looked):
            return found
        return failure if failure is not None else Missing(path)


class _Entry:
    """One name of a folder, in the shape of os.DirEntry."""

    def __init__(self, name: bytes, fd: int) -> None:
        self.name = name.decode(_ENCODING, _ERRORS)
        self._status = os.lstat(name, dir_fd=fd)  # type: ignore[call-overload, unused-ignore]

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self._status.st_mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return not follow_symlinks and stat.S_ISDIR(self._status.st_mode)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        if follow_symlinks:
            raise NotImplementedError("only the entry itself was looked at")
        return self._status


def look(
    path: bytes, scope: Scope, root: bytes = b"/", *, network_filesystems: bool = False
) -> Looked | Unchanged | Missing | Unmatched | Failure:
    """Look at one path, as the walk would have come to it."""
    with PathLooker(scope, root, network_filesystems=network_filesystems) as looker:
        return looker.look(path)


def _names(rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple([rule.name for rule in rules])


def _prefix(folder: bytes) -> bytes:
    return folder if folder == b"/" else folder + b"/"


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
