"""The walk: folder by folder, cheap where nothing changed, reading in a small pool of threads where it did.

One thread lists, compares signatures and looks at small files; the pool hashes the others, and looks at all of them
where the disk lets us wait. What is on its way is bounded (`_IN_FLIGHT` entries, `_OPEN_FOLDERS` folders), so memory
does not grow with the tree, except by the names of one folder.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from whatchanged.collectors.files import native
from whatchanged.collectors.files.budget import Budget, Unlimited, idle_as_this_thread
from whatchanged.collectors.files.links import Barred, Target
from whatchanged.collectors.files.listing import FolderLook, Listing, Pending, Place, Tasks, is_gone, prefix_of
from whatchanged.collectors.files.look import AWAITED, GONE, Aside, Candidate, Looked, Looker, NoLook
from whatchanged.collectors.files.mounts import Barrier, Mount
from whatchanged.collectors.files.native import Machine
from whatchanged.collectors.files.scope import Known, Scope
from whatchanged.collectors.files.signature import SETTLE_NS
from whatchanged.collectors.outcome import Failure, Outcome, Tally, reason_of

__all__ = ["CONTENT_LIMIT", "FileCollector", "Nothing"]

CONTENT_LIMIT = 64 * 1024**3
"""Bytes of the largest file that is hashed: a sparse file of petabytes is cheap to make."""

_TASK_FILES = 64
_TASK_BYTES = 4 * 1024 * 1024
_SMALL = 256 * 1024
"""Bytes up to which a file costs more as a task of the pool than its hash: threads take the interpreter in turn."""
_IN_FLIGHT = 4096
_OPEN_FOLDERS = 128
_MAX_PATH = 32 * 1024
"""Bytes of the longest folder path that is entered: beyond it somebody is playing."""
_MAX_LINK_CHAIN = 8
_MAX_VISITS = 64
"""How often one folder is entered through links in one run: folders full of links to each other grow exponentially."""


class Nothing:
    """A known that knows nothing: everything is looked at."""

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Return no names."""
        return {}


class _Promptness:
    """Whether the disk answers at once (a cache, a fast disk): then one thread is faster than several."""

    _SAMPLE = 0.05
    """Seconds of work before waiting is judged."""
    _PATIENCE = 2.0
    """Waiting, in units of the work, that is called slow."""
    _PAUSE = 1.0
    """Seconds until a slow disk is tried again: perhaps it was the machine that was busy."""

    def __init__(self) -> None:
        self._slow_until = 0.0
        self._worked = self._waited = 0.0

    @property
    def prompt(self) -> bool:
        """Whether to look without the pool."""
        return not self._slow_until or time.monotonic() >= self._slow_until

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Take the block into account: time beyond that of the processor is waiting."""
        wall, work = time.perf_counter(), time.thread_time()
        yield
        work = time.thread_time() - work
        self._worked += work
        self._waited += time.perf_counter() - wall - work
        if self._worked + self._waited > self._SAMPLE:
            slow = self._waited > self._PATIENCE * self._worked
            self._slow_until = time.monotonic() + self._PAUSE if slow else 0.0
            self._worked = self._waited = 0.0


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
        network_mounts: Collection[bytes] = (),
        excluded: Callable[[bytes], bool] = lambda _path: False,
        content_limit: int = CONTENT_LIMIT,
        settle_ns: int = SETTLE_NS,
        content: bool = True,
        aside: Aside | None = None,
    ) -> None:
        """`network_mounts`: where network file systems are mounted that may be entered: whoever does may wait for ever.

        `excluded`: real paths that nothing may lead to; what is shown under them is the scope's matter.

        Without `content` no file is read, and items have no checksum.
        """
        self._with_content = content
        self.scope = scope
        self._root = root
        self.known: Known = known if known is not None else Nothing()
        self._threads = threads or min(os.cpu_count() or 1, 4)
        self._budget: Budget = budget or Unlimited()
        self.stop = stop or threading.Event()
        self.rehash = rehash if callable(rehash) else (lambda _folder, always=rehash: always)
        self._network = frozenset(network_mounts)
        self._excluded = excluded
        self._content_limit = content_limit
        self._settle_ns = settle_ns
        self._aside = aside
        self.tally = Tally()
        self._stack: list[Place] = []
        self._visits: Counter[bytes] = Counter()
        self._in_flight = 0
        self._pending: deque[Pending] = deque()
        self._left_open: list[int] = []
        self._promptness = _Promptness()
        self.outcome: Outcome = self.tally.outcome(stopped=True)

    def run(self) -> Iterator[FolderLook]:
        """Visit everything; yields at least one look for every folder that could be opened."""
        self.tally = Tally()
        machine, _ = self.prepare()
        pool = ThreadPoolExecutor(self._threads, "look", idle_as_this_thread())
        self._pool = pool
        try:
            for place in self._roots():
                self._stack.append(place)
                while self._stack and not self.stop.is_set():
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
            machine.close()
            self.outcome = self.tally.outcome(stopped=self.stop.is_set())

    def prepare(self) -> tuple[Machine, Looker]:
        """Open the tree and read what has to be known of the machine."""
        machine = Machine(self._root, network=self._network, excluded=self._excluded)
        self._machine = machine
        self.resolver = machine.resolver
        self._looker = Looker(
            machine.tree,
            machine.facts,
            self._budget,
            self.stop,
            self.tally,
            content_limit=self._content_limit,
            settle_ns=self._settle_ns,
            content=self._with_content,
            aside=self._aside,
        )
        return machine, self._looker

    def _roots(self) -> Iterator[Place]:
        for shown in self.scope.roots():
            folder = self._spelled(shown.rstrip(b"/") or b"/")
            point, barrier = self._above(folder)
            if barrier is not None:
                self.skip(folder, barrier, point)
                continue
            try:
                real = self.resolver.canonical(folder)
            except Barred as error:
                found = self._machine.barriers.get(error.filename)
                remote = found is not None and found[1] is Barrier.NETWORK
                self.tally.skip(folder, str(error), error.filename if remote else b"")
            except OSError as error:
                self.tally.deny(folder, reason_of(error))
            else:
                if real is not None:
                    yield Place(folder, real)

    def _spelled(self, folder: bytes) -> bytes:
        """Return a root as its names are spelled, as the rules have it where that cannot be told."""
        try:
            return folder if self._above(folder)[1] else self._machine.spelled(folder)
        except OSError:
            return folder

    def barrier_above(self, folder: bytes) -> Barrier | None:
        """Return the barrier that `folder` is or lies behind, or None."""
        return self._above(folder)[1]

    def mount_above(self, folder: bytes) -> tuple[Mount, Barrier] | None:
        """Return the mount that is a barrier and that `folder` is or lies behind, or None."""
        return self._machine.barriers.get(self._above(folder)[0])

    def _above(self, folder: bytes) -> tuple[bytes, Barrier | None]:
        path = folder
        while path not in (b"", b"/"):
            found = self._machine.barriers.get(path)
            if found is not None:
                return path, found[1]
            path = path.rpartition(b"/")[0]
        return b"", None

    def untouchable(self, folder: bytes) -> Mapping[bytes, Barrier]:
        """Return the names in the real `folder` that must not be touched, each with its barrier."""
        return self._machine.untouchable.get(folder, {})

    def _visit(self, place: Place) -> Iterator[Pending]:
        self._machine.refresh()
        found = self._machine.barriers.get(place.real)
        if found is not None:
            if found[1] is not Barrier.PSEUDO:
                self.skip(place.shown, found[1], place.real)
            return
        if len(place.shown) > _MAX_PATH:
            self.tally.deny(place.shown, f"path longer than {_MAX_PATH} bytes")
            return
        try:
            fd = self._machine.tree.open_folder(place.real)
        except OSError as error:
            if not is_gone(error):
                self.tally.deny(place.shown, reason_of(error))
                yield Pending(FolderLook(place.shown, denied=True, complete=True), [], 0, {}, None)
            return
        devices = self._machine.barrier_devices
        if devices and place.real != b"/" and (device := devices.get(native.fstat(fd).st_dev)) is not None:
            os.close(fd)
            if device is not Barrier.PSEUDO:
                self.skip(place.shown, device, b"")
            return
        yield from self._list(place, fd)

    def skip(self, shown: bytes, barrier: Barrier, point: bytes) -> None:
        """Record that `shown` is not entered because of the mount at the real path `point`."""
        self.tally.skip(shown, barrier.value, point if barrier is Barrier.NETWORK else b"")

    def _list(self, place: Place, fd: int) -> Iterator[Pending]:
        """List one folder; owns `fd`, and hands it on with the last pending look."""
        listing = Listing(self, place, fd)
        handed = False
        try:
            for pending in listing.run():
                handed = pending.close_fd >= 0
                yield pending
        finally:
            if not handed:  # a task may still look through it: closed when the pool has ended
                self._left_open.append(fd)

    def _add(self, pending: Pending) -> Iterator[FolderLook]:
        self._pending.append(pending)
        self._in_flight += pending.candidates
        while self._pending and (
            self._in_flight > _IN_FLIGHT
            or len(self._pending) > _OPEN_FOLDERS
            or all(task.done() for _, task in self._pending[0].tasks)
        ):
            yield self._finish(self._pending.popleft())

    def _finish(self, pending: Pending) -> FolderLook:
        look = pending.look
        try:
            for candidates, task in pending.tasks:
                self._gather(pending, candidates, task.result())
        finally:
            self._in_flight -= pending.candidates
            _close(pending.close_fd)
        if look.complete and pending.present is not None:
            scope = self.scope.for_folder(look.folder)
            look.vanished = [
                name
                for name in pending.known
                if name not in pending.present and (scope.matching(name) or scope.matching(name, folder=True))
            ]
        self.tally.seen += len(look.unchanged) + len(look.looked) + len(look.awaited)
        self.tally.looked += len(look.looked)
        for failure in look.failures:
            self.tally.fail(failure)
        return look

    def _gather(
        self,
        pending: Pending,
        candidates: list[Candidate],
        results: list[tuple[Looked | NoLook | None, Failure | None]],
    ) -> None:
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
            elif found is AWAITED:
                look.awaited.append(candidate.name)
            elif failure is None:
                look.unchanged.append(candidate.name)

    def start(self, fd: int, prefix: bytes, candidates: list[Candidate]) -> Tasks:
        """Look at candidates: here, or in the pool in tasks of a bounded number of files and bytes."""
        tasks: Tasks = []
        if self._promptness.prompt and (small := [c for c in candidates if c.status.st_size < _SMALL]):
            candidates = [c for c in candidates if c.status.st_size >= _SMALL]
            tasks.append((small, Future()))
            with self._promptness.measured():
                tasks[0][1].set_result(self._looker.look_at_all(fd, prefix, small))
        begin = size = 0
        for end, candidate in enumerate(candidates, 1):
            size += candidate.status.st_size
            if end - begin >= _TASK_FILES or size >= _TASK_BYTES or end == len(candidates):
                part = candidates[begin:end]
                tasks.append((part, self._pool.submit(self._looker.look_at_all, fd, prefix, part)))
                begin, size = end, 0
        return tasks

    def enter(self, place: Place) -> None:
        """Visit `place` later."""
        self._stack.append(place)

    def enter_link(self, place: Place, name: bytes, target: Target) -> None:
        """Visit the folder that a link leads to under the link's path, unless that would go in circles."""
        chain = (*place.chain, place.real)
        inside = target.path.rstrip(b"/") + b"/"
        if any((folder + b"/").startswith(inside) for folder in chain):
            return
        shown = prefix_of(place.shown) + name
        if len(chain) > _MAX_LINK_CHAIN:
            self.tally.deny(shown, f"more than {_MAX_LINK_CHAIN} links to folders one behind the other")
            return
        self._visits[target.path] += 1
        if self._visits[target.path] > _MAX_VISITS:
            self.tally.deny(shown, f"the folder it leads to was entered through {_MAX_VISITS} links already")
            return
        self._stack.append(Place(shown, target.path, chain))


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
