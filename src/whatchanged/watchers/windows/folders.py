r"""Folders that tell of what is in them (ReadDirectoryChangesW), into a completion port.

The system collects notifications for an open folder in a buffer of the size that the first call names; when it is
full it throws all of it away and says so: then everything is to be looked at. A watch with all below is one handle.
Where the system cannot do that (Wine misses what was there before), every folder has its own: `can_watch_trees` tries.

An open folder can be removed, but not a folder above it renamed: the system refuses that to whoever tries.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import ctypes
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from ctypes import wintypes
from typing import Any

import pywintypes
import win32con
import win32file
import winerror

from whatchanged.errors import WatchError
from whatchanged.records.times import now_ns
from whatchanged.rules.windows_patterns import fold
from whatchanged.watchers.hints import Area, Coverage, Hint, Reach, Scope, below
from whatchanged.watchers.windows.folder_places import above, holds, places, top_names
from whatchanged.watchers.windows.notifications import (
    ADDED,
    MODIFIED,
    REMOVED,
    RENAMED_NEW,
    RENAMED_OLD,
    Notification,
    parse,
    short_from,
)
from whatchanged.watchers.windows.port import Port
from whatchanged.watchers.windows.watches import Gone, Place, Watches

__all__ = ["FolderWatcher", "can_watch_trees"]

_FOLDER_NAMES = 0x2
_EVERYTHING = 0x1 | _FOLDER_NAMES | 0x4 | 0x8 | 0x10 | 0x40 | 0x100
"""Names, attributes, size, last write, creation, security; not last access."""
_TREE_BUFFER, _FOLDER_BUFFER = 64 * 1024, 16 * 1024
"""Bytes; over a network no more than 64 KiB are allowed."""
_MOST = 8192
_WAITING = 16 * 1024 * 1024
_SHARE = win32con.FILE_SHARE_READ | win32con.FILE_SHARE_WRITE | win32con.FILE_SHARE_DELETE
_FLAGS = win32con.FILE_FLAG_BACKUP_SEMANTICS | win32con.FILE_FLAG_OVERLAPPED
_GONE = (
    winerror.ERROR_FILE_NOT_FOUND, winerror.ERROR_PATH_NOT_FOUND, winerror.ERROR_DIRECTORY,
    winerror.ERROR_DELETE_PENDING,
)  # fmt: skip
_LIST_DIRECTORY = 1
_NAME_SURROGATE = 0x20000000
_TRY_SECONDS = 10.0
_SUCCESS, _OVERFLOWED = 0, 0x10C
"""STATUS_NOTIFY_ENUM_DIR, which calls return as ERROR_NOTIFY_ENUM_DIR (1022)."""

_cancel = ctypes.WinDLL("kernel32", use_last_error=True).CancelIoEx
_cancel.argtypes = (wintypes.HANDLE, ctypes.c_void_p)
_cancel.restype = wintypes.BOOL


Spelling = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""Returns paths as their folders spell them; None for one that lies on another machine."""


class FolderWatcher:
    """Watches the folders of rules. To be used by one thread, the one that waits at the port."""

    name = "notifications"

    def __init__(
        self,
        port: Port,
        *,
        trees: bool,
        spelled: Spelling = list,
        most: int = _MOST,
        buffer: int | None = None,
        waiting: int = _WAITING,
    ) -> None:
        """`trees`: what `can_watch_trees` said. `most`: folders to hold open at most; those beyond are polled.

        `spelled`: hints bear the paths of items, in whatever letter case rules ask for them. `buffer`: bytes of
        notifications that the system keeps for a folder. `waiting`: bytes that may wait for `read`; beyond, all are
        given up for a look at everything.
        """
        self._port = port
        self._trees = trees
        self._spelled = spelled
        self._most = most
        self._buffer = buffer or (_TREE_BUFFER if trees else _FOLDER_BUFFER)
        self._scope: Scope | None = None
        self._asked: tuple[bytes, ...] = ()
        self._roots: tuple[bytes, ...] = ()
        """What is asked for, as it is spelled now."""
        self._barred: tuple[bytes, ...] = ()
        self._ways: frozenset[bytes] = frozenset()
        """The roots and all folders above them, as letter case does not count."""
        self._told: list[tuple[bytes, bytes | None]] = []
        """Folder and notifications, None if they were lost."""
        self._waiting, self._may_wait = 0, waiting
        self._watches = Watches[bytes, _Watch](most, self._begin)
        self._own = port.enlist(lambda _: None)

    def subscribe(self, scope: Scope, roots: Sequence[bytes]) -> Coverage:
        """Watch `scope` below these carried paths from now on, instead of what was watched before.

        What cannot be watched is named in the coverage, as polled.
        """
        self._scope, self._asked = scope, tuple(roots)
        self._follow()
        return self.coverage()

    def read(self) -> list[Hint]:
        """Return what changed since the last time, in order, without waiting. Raises WatchError.

        Of lost notifications a hint with the reach `ALL` is told; its path is the folder that lost them.
        """
        told, self._told, self._waiting = self._told, [], 0
        found: list[Hint] = []
        moved = not self._watches.settled
        for folder, data in told:
            if data is None:
                found.append(Hint(folder, time.monotonic(), Reach.ALL))
                moved = True
            else:
                moved = self._take(folder, list(parse(data)), found) or moved
        if moved or any(not watch.is_alive() for watch in self._watches.held.values()):
            found += [Hint(path, time.monotonic(), Reach.TREE) for path in self._follow()]
        return found

    @property
    def drained(self) -> bool:
        """Whether the last `read` took everything that there was."""
        return not self._told and self._watches.settled

    def coverage(self) -> Coverage:
        """Return the folders that are watched, and those that are not."""
        now = now_ns()
        held, limits, refused = self._watches.held, self._watches.limits, self._watches.refused
        areas: list[Area] = []
        for root in self._roots if not limits else ():
            # A root that is not there is watched for by the folder above it.
            near = next((path for path in (root, *above(root)) if path in held or path in refused), None)
            if near in held:
                areas.append(Area(root, self.name, held[near].since_ns))
            elif near is not None and near != root:
                areas.append(Area(root, "poll", now, refused[near]))
        areas += [Area(path, "poll", now, why) for path, why in refused.items()]
        areas += [Area(root, "poll", now, "not every folder below is watched") for root in self._roots if limits]
        areas += [Area(root, "poll", now, "it lies on another machine") for root in self._barred]
        return Coverage(tuple(areas), len(held), limits)

    def close(self) -> None:
        """Give all handles back."""
        self._watches.close()
        self._port.dismiss(self._own)

    # Watches

    def _begin(self, place: Place[bytes]) -> _Watch:
        return _Watch(self._port, place, self._buffer, self._completed)

    def _follow(self) -> list[bytes]:
        scope = self._scope
        if scope is None:
            return []
        moved = self._watches.follow(lambda: self._places(scope))
        if not self._watches.settled:
            self._port.post(self._own)
        return moved

    def _places(self, scope: Scope) -> dict[bytes, Place[bytes]]:
        # Spelled each time: a root that comes meanwhile has a letter case of its own.
        spelled = self._spelled(self._asked)
        self._roots = tuple(path for path in spelled if path is not None)
        self._barred = tuple(path for path, found in zip(self._asked, spelled, strict=True) if found is None)
        self._ways = frozenset(fold(path) for root in self._roots for path in (root, *above(root)))
        return places(scope, self._roots, _Disk(), trees=self._trees, most=self._most)

    def _completed(self, folder: bytes, data: bytes | None) -> None:
        self._told.append((folder, data))
        self._waiting += len(data or b"")
        if self._waiting > self._may_wait:
            self._told, self._waiting = [(folder, None)], 0

    # Notifications

    def _take(self, folder: bytes, told: Sequence[Notification], found: list[Hint]) -> bool:
        """Add what is told of a folder to `found`; return whether places may have moved."""
        moved = False
        old = b""
        for at, (action, name) in enumerate(told):
            path, short = below(folder) + name, False
            if short_from(name) is not None:
                path = self._spelled([path])[0] or path
                short = short_from(path[len(below(folder)) :]) is not None and not _Disk().has(path)
            if action in (REMOVED, RENAMED_OLD):
                moved = self._went(path) or moved
            elif action in (ADDED, RENAMED_NEW):
                moved = self._came(folder, path) or moved
            if (watch := self._watches.held.get(folder)) is not None and watch.place.taken:
                follower = told[at + 1 : at + 2] if action == RENAMED_OLD else ()
                after = next((below(folder) + new for then, new in follower if then == RENAMED_NEW), b"")
                where = path if action in (ADDED, RENAMED_NEW) else after
                for hint in [self._widened(path)] if short else self._hints(action, path, old, where):
                    if not found or (found[-1].path, found[-1].reach) != (hint.path, hint.reach) or hint.renamed_from:
                        found.append(hint)
            old = path if action == RENAMED_OLD else b""
        return moved

    def _went(self, path: bytes) -> bool:
        """Close the watches of what is gone: another folder of that path would be another one."""
        held = self._watches.held
        if path not in held and fold(path) not in self._ways:
            return False
        for inside in [other for other in held if holds(path, other)]:
            held[inside].end()
        return True

    def _came(self, folder: bytes, path: bytes) -> bool:
        """Return whether a path that is there now has to be watched, or leads to what has to be."""
        watch = self._watches.held.get(folder)
        if fold(path) in self._ways:
            return True
        if watch is None or watch.place.tree or not watch.place.taken:
            return False
        return self._scope is not None and self._scope.descend(path) and _Disk().is_folder(path)

    @staticmethod
    def _widened(path: bytes) -> Hint:
        """Return what to look at instead of something that is gone and that may have had a longer name."""
        up = path.rpartition(b"/")[0]
        while up.count(b"/") > top_names(up) and not _Disk().has(up):
            up = up.rpartition(b"/")[0]
        return Hint(up, time.monotonic(), Reach.TREE)

    def _hints(self, action: int, path: bytes, old: bytes, where: bytes) -> Iterator[Hint]:
        """`where`: at which path it is now, if that is known."""
        scope = self._scope
        if scope is None:
            return
        when = time.monotonic()
        # What is gone may have been a folder, and what is below it is not told; a new one may be filled already.
        whole = action != MODIFIED and scope.descend(path) and (not where or _Disk().is_folder(where))
        origin = old if action == RENAMED_NEW and (scope.match(old) or scope.descend(old)) else b""
        if whole:
            yield Hint(path, when, Reach.TREE, renamed_from=origin)
        elif scope.match(path):
            yield Hint(path, when, renamed_from=origin)


class _Watch:
    """An open folder that is asked for its notifications."""

    def __init__(self, port: Port, place: Place[bytes], size: int, told: Callable[[bytes, bytes | None], None]) -> None:
        """Raises Gone, and WatchError for a folder that cannot be watched."""
        self.place = place
        self.since_ns = now_ns()
        self._told = told
        self._port = port
        self._alive = True
        self._handle = _opened(place.path)
        # The system keeps a buffer of its own, as large as that of the first call.
        self._buffer: Any = win32file.AllocateReadBuffer(size)
        self._overlapped = pywintypes.OVERLAPPED()
        self._number = port.enlist(self._completed)
        try:
            port.attach(int(self._handle), self._number)
            self._ask()
        except (WatchError, Gone):
            self._alive = False
            port.dismiss(self._number)
            win32file.CloseHandle(self._handle)
            raise

    def _ask(self) -> None:
        """Raises Gone, WatchError."""
        what = _EVERYTHING if self.place.taken else _FOLDER_NAMES
        try:
            win32file.ReadDirectoryChangesW(self._handle, self._buffer, self.place.tree, what, self._overlapped)
        except pywintypes.error as error:
            raise _refusal(error.winerror) from error

    def _completed(self, size: int) -> None:
        status = self._overlapped.Internal & 0xFFFFFFFF
        data = bytes(self._buffer[:size])
        if status not in (_SUCCESS, _OVERFLOWED):
            self._alive = False
            return
        try:
            self._ask()
        except (Gone, WatchError):
            self._alive = False  # beginning anew says why
        self._told(self.place.path, None if status == _OVERFLOWED or not data else data)

    def is_alive(self) -> bool:
        """Whether the folder still tells something, of this path."""
        return self._alive

    def end(self) -> None:
        """Count as dead from now on."""
        self._alive = False

    def close(self) -> None:
        """Close the folder; the buffer is not written to any more when this returns."""
        self._port.dismiss(self._number)
        _cancel(int(self._handle), None)
        with contextlib.suppress(pywintypes.error):  # that it was cancelled
            win32file.GetOverlappedResult(self._handle, self._overlapped, True)
        win32file.CloseHandle(self._handle)


class _Disk:
    """`Folders` of the running system."""

    def exists(self, path: bytes) -> bool:
        try:
            win32file.CloseHandle(_opened(path))
        except Gone:
            return False
        except WatchError:
            return True  # who tries to watch it says why it cannot
        return True

    def has(self, path: bytes) -> bool:
        """Whether there is anything, a link included."""
        return os.path.lexists(_native(path))

    def is_folder(self, path: bytes) -> bool:
        """Whether it is a folder itself: links are not followed, for they may lead to another machine."""
        try:
            status = os.lstat(_native(path))
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and not status.st_reparse_tag & _NAME_SURROGATE

    def subfolders(self, path: bytes) -> Sequence[bytes]:
        try:
            with os.scandir(_native(path)) as entries:
                names = [entry.name for entry in entries if _is_folder(entry)]
        except OSError:
            return ()  # gone, or not to be read: the poll says so
        return [below(path) + name.encode("utf-8", "surrogatepass") for name in names]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder that holds what is in it, and does not stand for another (MS-FSCC 2.1.2.1)."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    return not entry.stat(follow_symlinks=False).st_reparse_tag & _NAME_SURROGATE


def _opened(path: bytes) -> Any:
    """Return a handle of a folder. Raises Gone, WatchError."""
    try:
        return win32file.CreateFile(_native(path), _LIST_DIRECTORY, _SHARE, None, win32con.OPEN_EXISTING, _FLAGS, None)
    except pywintypes.error as error:
        raise _refusal(error.winerror) from error


def _native(path: bytes) -> str:
    """Return how the system's calls name a carried path, of any length."""
    names = path[1:].decode("utf-8", "surrogatepass").replace("/", "\\")
    return f"\\\\?\\{names}" + ("\\" if path.count(b"/") == top_names(path) else "")


def _refusal(number: int) -> Gone | WatchError:
    if number in _GONE:
        return Gone()
    return WatchError("access is denied" if number == winerror.ERROR_ACCESS_DENIED else f"error {number}")


def can_watch_trees(folder: str | None = None) -> bool:
    """Whether a watch here tells of folders below that were there before: tried in a new folder in `folder`.

    `folder` is a full path; by default the one for temporary files. Raises WatchError when that cannot be tried, or
    nothing is told at all.
    """
    try:
        return _tells_of_below(folder)
    except (Gone, OSError) as error:
        raise WatchError(f"watching folders cannot be tried: {error}") from error


def _tells_of_below(folder: str | None) -> bool:
    names: list[bytes] = []

    def told(_: bytes, data: bytes | None) -> None:
        names.extend(notification.name for notification in parse(data or b""))

    with tempfile.TemporaryDirectory(dir=folder) as top, contextlib.closing(Port()) as port:
        below_top = os.path.join(top, "below")
        os.mkdir(below_top)
        carried = b"/" + top.encode("utf-8", "surrogatepass").replace(b"\\", b"/")
        with contextlib.closing(_Watch(port, Place(carried, tree=True, taken=True), _FOLDER_BUFFER, told)):
            # They are told in order: when the last was, the first will not come any more.
            for name in (os.path.join(below_top, "first"), os.path.join(top, "last")):
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            end = time.monotonic() + _TRY_SECONDS
            while b"last" not in names:
                if time.monotonic() > end:
                    raise WatchError("folders tell nothing")
                port.wait(_TRY_SECONDS)
    return b"below/first" in names
