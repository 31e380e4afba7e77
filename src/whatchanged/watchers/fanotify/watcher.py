"""The fanotify watcher: whole file systems, without a limit, and the process known.

One mark a file system tells of entries that are made, removed and renamed anywhere on it, so that no folder is missed.
Contents are told by marks on the folders that the rules reach into: who writes elsewhere pays for an event a file, not
for one a write. Where those folders are too many, or refuse a mark, the file system's mark tells of contents too.

Needs CAP_SYS_ADMIN and Linux 5.17. Sees every change by whatever way of writing but two: a write through a mapping
shows only when the file is closed, and a change by another machine on a network file system not at all.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import errno
import fcntl
import os
import termios
import threading
import time
from collections.abc import Callable, Collection, Sequence

from whatchanged.errors import WatchError
from whatchanged.records.times import now_ns
from whatchanged.watchers.event_queue import read_queue
from whatchanged.watchers.fanotify import calls, events
from whatchanged.watchers.fanotify.events import Event
from whatchanged.watchers.fanotify.folders import FileSystem, Folder, FolderTable
from whatchanged.watchers.hints import Area, Coverage, Executed, Hint, Reach, Scope, View, below

__all__ = ["FanotifyWatcher"]

_READ_BYTES = 32 * 1024
"""What one read takes: with a descriptor of its process in every event, this bounds open files to some hundreds."""

_MOST_QUEUED = 300_000
"""Events that may wait to be read. The queue has no bound of its own, for the kernel's is too small for one package;
but who makes changes faster than they are read would fill the memory, and what is read would be old."""
_MOST_MARKED = 20_000
"""Folders that bear a mark at most. A mark keeps its folder in the kernel's memory: some 1.5 kB each."""
_COUNTED_BYTES = 24
"""What FIONREAD counts for each of them: its head alone."""
_DISCARD_BYTES = 1024 * 1024
_DISCARD_SECONDS = 10.0

Witness = Callable[[int, int], None]


class FanotifyWatcher:
    """Watches file systems."""

    name = "fanotify"

    def __init__(self, *, stop: threading.Event, witness: Witness | None = None, executions: bool = False) -> None:
        """`witness(pid, pidfd)` is called with the process of every hint while its descriptor is open.

        `executions`: also tell which files are opened for execution.

        Raises WatchError where fanotify is not allowed or too old.
        """
        try:
            self._fd = calls.initialise(pidfd=witness is not None)
        except OSError as error:
            raise WatchError(
                f"fanotify cannot be used: {os.strerror(error.errno or 0)}",
                hint="it needs CAP_SYS_ADMIN and Linux 5.17",
            ) from error
        self._stop = stop
        self._witness = witness
        self._mask = events.ENTRIES | events.ONDIR | (events.OPEN_EXEC if executions else 0)
        self._systems: tuple[FileSystem, ...] = ()
        self._table = self._table_of((), _Nothing())
        self._wide: set[bytes] = set()
        """File systems whose own mark tells of contents too."""
        self._scope: Scope = _Nothing()
        self._areas: tuple[Area, ...] = ()
        self._marks: dict[bytes, bytes] = {}
        self._drained = False

    def subscribe(self, scope: Scope, views: Sequence[View]) -> Coverage:
        """Mark the file systems of `views`; marks that are already there stay in force meanwhile."""
        systems: dict[bytes, list[View]] = {}
        refused: dict[bytes, str] = {}
        for view in views:
            try:
                calls.mark(self._fd, self._mask, view.place)
                systems.setdefault(calls.file_system_id(view.place), []).append(view)
            except OSError as error:
                refused[view.shown] = _refusal(error)
        now = now_ns()
        since = {area.path: area.since_ns for area in self._areas if area.method == self.name}
        self._areas = tuple(
            Area(view.shown, "poll", now, refused[view.shown])
            if view.shown in refused
            else Area(view.shown, self.name, since.get(view.shown, now))
            for view in views
        )
        for identity, place in self._marks.items():
            if identity not in systems:
                self._unmark(identity, place, self._mask | events.CONTENTS)
        self._marks = {identity: found[0].place for identity, found in systems.items()}
        self._scope = scope
        self._systems = tuple(FileSystem(identity, found) for identity, found in systems.items())
        self._seed()
        return self.coverage()

    def _table_of(self, systems: Sequence[FileSystem], scope: Scope) -> FolderTable:
        return FolderTable(systems, scope, self._stop.is_set, self._fd, _MOST_MARKED)

    def _seed(self) -> None:
        table = self._table_of(self._systems, self._scope)
        try:
            table.seed()
            self._widen(table.unmarked)
            for identity in self._wide - table.unmarked:
                if identity in self._marks:
                    self._unmark(identity, self._marks[identity], events.CONTENTS)
        except OSError as error:
            raise WatchError(f"fanotify: a mount cannot be looked at: {error}") from error
        finally:
            table.release()
        self._table.unmark_all_but(table)
        self._table = table
        self._wide = set(table.unmarked)

    def _widen(self, identities: Collection[bytes]) -> None:
        """Let the marks of whole file systems tell of contents too, because not every folder bears a mark."""
        for identity in identities:
            with contextlib.suppress(FileNotFoundError):  # it was unmounted
                calls.mark(self._fd, events.CONTENTS | events.ONDIR, self._marks[identity])
                self._wide.add(identity)

    def fileno(self) -> int:
        """Return the descriptor of the group."""
        return self._fd

    @property
    def drained(self) -> bool:
        """Whether the last `read` emptied the queue."""
        return self._drained

    def read(self) -> list[Hint | Executed]:
        """Read what is in the queue."""
        found: list[Hint | Executed] = []
        self._drained = False
        try:
            if self._queued() > _MOST_QUEUED:
                return self._discard()
            self._drained = read_queue(self._fd, _READ_BYTES, lambda buffer: self._take_all(buffer, found))
            self._widen(self._table.unmarked - self._wide)
        except OSError as error:
            raise WatchError(f"fanotify: reading failed: {error}") from error
        finally:
            self._table.release()
        return found

    def _queued(self) -> int:
        """Return how many events wait to be read."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, b"\0" * 4), sys.byteorder) // _COUNTED_BYTES

    def _discard(self) -> list[Hint | Executed]:
        """Throw away what waits to be read: looking at everything is less work than reading it."""
        end = time.monotonic() + _DISCARD_SECONDS
        while time.monotonic() < end:
            try:
                buffer = os.read(self._fd, _READ_BYTES if self._witness else _DISCARD_BYTES)
            except BlockingIOError:
                break
            if self._witness:
                for event in events.parse(buffer):
                    if event.pidfd >= 0:
                        os.close(event.pidfd)
        self._seed()  # folders were made and renamed of which nothing is known
        return [Hint(b"/", time.monotonic(), Reach.ALL)]

    def coverage(self) -> Coverage:
        """Return what is marked."""
        return Coverage(self._areas, len(self._marks) + min(len(self._table), _MOST_MARKED))

    def close(self) -> None:
        """Close the group; the kernel drops its marks."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _unmark(self, identity: bytes, place: bytes, mask: int) -> None:
        with contextlib.suppress(OSError):  # it was unmounted: the mark went with it
            if calls.file_system_id(place) == identity:
                calls.unmark(self._fd, mask, place)

    # Events

    def _take_all(self, buffer: bytes, found: list[Hint | Executed]) -> None:
        when = time.monotonic()
        # With a witness every event has a descriptor to be closed.
        outside = self._table.outside if self._witness is None else ()
        for event in events.parse(buffer, outside):
            try:
                self._take(event, when, found)
            finally:
                if event.pidfd >= 0:
                    os.close(event.pidfd)

    def _take(self, event: Event, when: float, found: list[Hint | Executed]) -> None:
        if event.mask & events.Q_OVERFLOW:
            found.append(Hint(b"/", when, Reach.ALL))
            return
        if event.place is None:
            return
        folder = self._table.find(event.place.folder)
        if event.mask & events.OPEN_EXEC:
            found.append(Executed(event.pid, event.place.name, when))
        before = len(found)
        if event.mask & events.RENAME:
            self._rename(event, folder, when, found)
        elif event.mask & events.CHANGES and folder is not None:
            self._change(event, folder, event.place.name, when, found)
        if len(found) > before and self._witness is not None:
            self._witness(event.pid, event.pidfd)

    def _change(self, event: Event, folder: Folder, name: bytes, when: float, found: list[Hint | Executed]) -> None:
        is_folder = bool(event.mask & events.ONDIR)
        for shown in folder.shown:
            path = shown if name == b"." else below(shown) + name
            if self._scope.match(path, folder=is_folder):
                _add(found, Hint(path, when, pid=event.pid))
        if is_folder and event.target:
            # Both in one event: they were merged, and it is gone.
            if event.mask & events.DELETE:
                self._table.removed(event.target)
            elif event.mask & events.CREATE:
                self._table.made(folder, name, event.target)

    def _rename(self, event: Event, folder: Folder | None, when: float, found: list[Hint | Executed]) -> None:
        is_folder = bool(event.mask & events.ONDIR)
        origin = self._table.find(event.old.folder) if event.old is not None else None
        old = self._paths(origin, event.old.name, is_folder) if origin and event.old else []
        new = self._paths(folder, event.place.name, is_folder) if folder and event.place else []
        if is_folder and event.target:
            self._table.renamed(event.target)
        reach = Reach.TREE if is_folder else Reach.ENTRY
        found += [Hint(path, when, reach, event.pid) for path in old]
        found += [Hint(path, when, reach, event.pid, old[0] if old else b"") for path in new]

    def _paths(self, folder: Folder, name: bytes, is_folder: bool) -> list[bytes]:
        paths = [below(shown) + name for shown in folder.shown]
        scope = self._scope
        return [p for p in paths if scope.match(p, folder=is_folder) or (is_folder and scope.descend(p))]


def _add(found: list[Hint | Executed], hint: Hint) -> None:
    """Add a hint unless it says what the one before it said: a file that is written comes many times."""
    last = found[-1] if found else None
    if not (isinstance(last, Hint) and last.path == hint.path and last.pid == hint.pid and last.reach is Reach.ENTRY):
        found.append(hint)


def _refusal(error: OSError) -> str:
    if error.errno in (errno.EOPNOTSUPP, errno.ENODEV, errno.EXDEV):
        return "its file system cannot be watched as a whole"
    return os.strerror(error.errno or 0)


class _Nothing:
    """The scope before the first subscription."""

    def descend(self, folder: bytes) -> bool:
        return False

    def match(self, path: bytes, *, folder: bool | None = None) -> Sequence[object]:
        return ()
