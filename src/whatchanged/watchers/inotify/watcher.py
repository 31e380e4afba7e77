"""The inotify watcher: a watch a folder, for whoever may not mark file systems.

The kernel bounds the number of watches (`fs.inotify.max_user_watches`); folders beyond it are polled, and the coverage
says so. It never tells which process it was.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import ctypes
import errno
import fcntl
import os
import termios
import threading
import time
from collections.abc import Iterator, Sequence

from whatchanged.errors import WatchError
from whatchanged.records.times import now_ns
from whatchanged.watchers.event_queue import read_queue
from whatchanged.watchers.hints import Area, Coverage, Executed, Hint, Reach, Scope, View, below
from whatchanged.watchers.inotify import events
from whatchanged.watchers.inotify.events import Event

__all__ = ["InotifyWatcher"]

_IN_NONBLOCK = 0o4000
_IN_CLOEXEC = 0o2000000
_READ_BYTES = 64 * 1024
_RETRY_SECONDS = 60.0
"""At the limit: how often watches that became free are given to folders that have none."""
_AREAS_NAMED = 100
"""Unwatched folders that the coverage names."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
_libc.inotify_rm_watch.argtypes = [ctypes.c_int, ctypes.c_int]


class _Watched:
    """A folder with a watch on it."""

    __slots__ = ("shown", "view")

    def __init__(self, view: View, shown: bytes) -> None:
        self.view = view
        self.shown = shown


class InotifyWatcher:
    """Watches folders."""

    name = "inotify"

    def __init__(self, *, stop: threading.Event, most: int | None = None) -> None:
        """`most`: watches to hold at most, beside the kernel's own limit.

        Raises WatchError when the account has no instance left (`fs.inotify.max_user_instances`).
        """
        self._fd = _libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise WatchError(
                f"inotify cannot be used: {os.strerror(number)}", hint="raise fs.inotify.max_user_instances"
            )
        self._stop = stop
        self._most = most
        self._scope: Scope | None = None
        self._views: tuple[View, ...] = ()
        self._by_watch: dict[int, list[_Watched]] = {}
        self._by_path: dict[bytes, int] = {}
        self._unwatched: dict[bytes, str] = {}
        self._full = ""
        self._freed = False
        self._rescanned = 0.0
        self._since: dict[bytes, int] = {}
        self._drained = False

    def subscribe(self, scope: Scope, views: Sequence[View]) -> Coverage:
        """Watch every folder of `views` that `scope` reaches into; watches that remain wanted stay in force."""
        self._scope = scope
        self._views = tuple(views)
        self._rescan()
        return self.coverage()

    def fileno(self) -> int:
        """Return the descriptor of the instance."""
        return int(self._fd)

    @property
    def drained(self) -> bool:
        """Whether the last `read` emptied the queue."""
        return self._drained

    def read(self) -> list[Hint | Executed]:
        """Read what is in the queue."""
        found: list[Hint | Executed] = []
        self._drained = False
        try:
            self._drained = read_queue(self._fd, _READ_BYTES, lambda buffer: self._take_all(buffer, found))
        except OSError as error:
            raise WatchError(f"inotify: reading failed: {error}") from error
        if self._full and self._freed and time.monotonic() - self._rescanned > _RETRY_SECONDS:
            self._rescan()
            found.append(Hint(b"/", time.monotonic(), Reach.ALL))
        return found

    def coverage(self) -> Coverage:
        """Return what is watched; folders without a watch are areas of their own."""
        now = now_ns()
        areas = [Area(view.shown, self.name, self._since.setdefault(view.shown, now)) for view in self._views]
        areas += [Area(path, "poll", now, why) for path, why in self._unwatched.items()]
        limits = (self._full,) if self._full else ()
        return Coverage(tuple(areas), len(self._by_watch), limits)

    def close(self) -> None:
        """Close the instance; the kernel drops its watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Events

    def _take_all(self, buffer: bytes, found: list[Hint | Executed]) -> None:
        when = time.monotonic()
        for event in events.parse(buffer):
            if event.mask & events.Q_OVERFLOW:
                found.append(self._overflowed())
                return
            found += self._take(event, when)

    def _overflowed(self) -> Hint:
        """Begin anew after a loss: folders may have been made and renamed of which nothing was told.

        What still waits has holes, too: the kernel tells of an overflow once, where the first event was lost. So it
        is thrown away before the folders are looked at; else it would undo what was seen there.
        """
        waiting = int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, b"\0" * 4), sys.byteorder)
        while waiting > 0:
            waiting -= len(os.read(self._fd, _READ_BYTES))
        self._rescan()
        return Hint(b"/", time.monotonic(), Reach.ALL)

    def _take(self, event: Event, when: float) -> Iterator[Hint]:
        # The list may change while it is gone through: a folder that moved is no longer watched by its old path.
        for watched in tuple(self._by_watch.get(event.watch, ())):
            if event.mask & events.IGNORED:
                self._gone(watched.shown)
                if event.mask & events.UNMOUNT or watched.shown == watched.view.shown:
                    yield Hint(watched.shown, when, Reach.TREE)
            elif event.mask & events.ISDIR and event.name:
                yield from self._folder(watched, event, when)
            elif not event.mask & events.UNMOUNT:
                yield from self._entry(watched, event, when)

    def _entry(self, watched: _Watched, event: Event, when: float) -> Iterator[Hint]:
        is_folder = bool(event.mask & events.ISDIR)
        path = below(watched.shown) + event.name if event.name else watched.shown
        if self._scope is not None and self._scope.match(path, folder=is_folder):
            yield Hint(path, when)

    def _folder(self, watched: _Watched, event: Event, when: float) -> Iterator[Hint]:
        path = below(watched.shown) + event.name
        scope = self._scope
        if scope is None:
            return
        reaches = scope.descend(path)
        if event.mask & (events.MOVED_FROM | events.DELETE):
            for inside in [p for p in self._by_path if p == path or p.startswith(below(path))]:
                self._drop(inside)
        if event.mask & (events.MOVED_TO | events.CREATE) and reaches:
            self._walk(watched.view, path)
        moved = event.mask & (events.MOVED_FROM | events.MOVED_TO | events.CREATE)
        if moved and reaches:
            # A new folder may have been filled before the watch was on it.
            yield Hint(path, when, Reach.TREE)
        elif scope.match(path, folder=True):
            yield Hint(path, when)

    # Watches

    def _rescan(self) -> None:
        """Put watches on everything anew: a folder that was replaced unnoticed has another one than before."""
        before = set(self._by_watch)
        self._by_watch.clear()
        self._by_path.clear()
        self._unwatched.clear()
        self._full, self._freed = "", False
        self._rescanned = time.monotonic()
        for view in self._views:
            self._walk(view, view.shown)
        for watch in before - set(self._by_watch):
            _libc.inotify_rm_watch(self._fd, watch)

    def _walk(self, view: View, top: bytes) -> None:
        """Watch `top` and the folders below it."""
        scope = self._scope
        stack = [top]
        while stack and scope is not None and not self._stop.is_set():
            shown = stack.pop()
            outside = view.locate(shown)
            # First the watch, then the list: what is made in between is told.
            if not self._add(view, shown, outside):
                continue
            stack += [path for path in _subfolders(view, shown, outside) if scope.descend(path)]

    def _add(self, view: View, shown: bytes, outside: bytes) -> bool:
        """Put a watch on a folder; return whether it is worth going on below it."""
        if shown in self._by_path:
            return True
        if self._full or (self._most is not None and len(self._by_watch) >= self._most):
            self._reached_limit(shown)
            return False
        watch = _libc.inotify_add_watch(self._fd, outside, events.WATCHED)
        if watch >= 0:
            self._by_watch.setdefault(watch, []).append(_Watched(view, shown))
            self._by_path[shown] = watch
            return True
        number = ctypes.get_errno()
        if number == errno.ENOSPC:
            self._reached_limit(shown)
        elif number not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            self._leave(shown, os.strerror(number))
        return False

    def _reached_limit(self, shown: bytes) -> None:
        if not self._full:
            self._full = f"{len(self._by_watch)} inotify watches are all there are: raise fs.inotify.max_user_watches"
        self._leave(shown, "no inotify watch was left")

    def _leave(self, shown: bytes, reason: str) -> None:
        if len(self._unwatched) < _AREAS_NAMED:
            self._unwatched[shown] = reason
        else:
            self._unwatched[b"/"] = f"{reason} (more than {_AREAS_NAMED} folders)"

    def _drop(self, shown: bytes) -> None:
        """Take the watch off a path; off the folder itself when nothing else is watched through it."""
        watch = self._by_path.get(shown)
        self._gone(shown)
        if watch is not None and watch not in self._by_watch:
            _libc.inotify_rm_watch(self._fd, watch)

    def _gone(self, shown: bytes) -> None:
        watch = self._by_path.pop(shown, None)
        if watch is None:
            return
        left = [watched for watched in self._by_watch.get(watch, ()) if watched.shown != shown]
        if left:
            self._by_watch[watch] = left
        else:
            self._by_watch.pop(watch, None)
            self._freed = True


def _subfolders(view: View, shown: bytes, outside: bytes) -> list[bytes]:
    try:
        with os.scandir(outside) as entries:
            names = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []  # gone, or not to be read: the poll says so
    return [below(shown) + name for name in names if below(outside) + name not in view.holes]
