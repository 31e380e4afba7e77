"""The fanotify watcher: one mark a file system, whole machines with a handful of marks, and the process known.

Needs CAP_SYS_ADMIN and Linux 5.17. Sees every change by whatever way of writing but two: a write through a mapping
shows only when the file is closed, and a change by another machine on a network file system not at all.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Sequence

from whatchanged.errors import WatchError
from whatchanged.records.times import now_ns
from whatchanged.watchers.fanotify import calls, events
from whatchanged.watchers.fanotify.events import Event
from whatchanged.watchers.fanotify.folders import FileSystem, Folder, FolderTable
from whatchanged.watchers.hints import Area, Coverage, Executed, Hint, Reach, Scope, View, below

__all__ = ["FanotifyWatcher"]

_READ_BYTES = 32 * 1024
"""What one read takes: an event comes with a descriptor of its process, so this bounds open files to some hundreds."""
_READS = 64
"""Reads of one `read`: a machine that never falls silent must not keep the caller from its other work."""

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
            self._fd = calls.initialise()
        except OSError as error:
            raise WatchError(
                f"fanotify cannot be used: {os.strerror(error.errno or 0)}",
                hint="it needs CAP_SYS_ADMIN and Linux 5.17",
            ) from error
        self._stop = stop
        self._witness = witness
        self._mask = events.CHANGES | events.ONDIR | (events.OPEN_EXEC if executions else 0)
        self._table = FolderTable((), _Nothing(), stop.is_set)
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
                self._unmark(identity, place)
        self._marks = {identity: found[0].place for identity, found in systems.items()}
        self._scope = scope
        table = FolderTable([FileSystem(i, found) for i, found in systems.items()], scope, self._stop.is_set)
        try:
            table.seed()
        except OSError as error:
            raise WatchError(f"fanotify: a mount cannot be looked at: {error}") from error
        self._table = table
        return self.coverage()

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
            for _ in range(_READS):
                try:
                    buffer = os.read(self._fd, _READ_BYTES)
                except BlockingIOError:
                    self._drained = True
                    break
                self._take_all(buffer, found)
        except OSError as error:
            raise WatchError(f"fanotify: reading failed: {error}") from error
        finally:
            self._table.release()
        return found

    def coverage(self) -> Coverage:
        """Return what is marked."""
        return Coverage(self._areas, len(self._marks))

    def close(self) -> None:
        """Close the group; the kernel drops its marks."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _unmark(self, identity: bytes, place: bytes) -> None:
        with contextlib.suppress(OSError):  # it was unmounted: the mark went with it
            if calls.file_system_id(place) == identity:
                calls.unmark(self._fd, self._mask, place)

    # Events

    def _take_all(self, buffer: bytes, found: list[Hint | Executed]) -> None:
        when = time.monotonic()
        for event in events.parse(buffer):
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
            self._table.renamed(folder, event.place.name if event.place else b"", event.target)
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
