"""From the handle of a folder to its path.

An event names a folder by its handle. Asking the kernel for the path costs a hundred times more than a dictionary,
and comes too late for a folder that was removed; so every folder that the rules reach into is entered beforehand
(`seed`), and followed: a folder that is made is added, one that is removed is dropped, one that is renamed hangs under
another parent from then on, and everything below it with it. Other folders are looked up when they are first met.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

from whatchanged.watchers.fanotify import calls
from whatchanged.watchers.hints import Scope, View, below

__all__ = ["FileSystem", "Folder", "FolderTable"]

_ID_BYTES = 8
_MAX_LOOSE = 20_000
"""Folders outside the rules that are remembered; beyond it they are asked for anew."""
_MAX_DEPTH = 4096
_DELETED = b" (deleted)"


class FileSystem:
    """A marked file system and where it is seen."""

    def __init__(self, identity: bytes, views: Sequence[View]) -> None:
        self.identity = identity
        self.views = tuple(views)
        # The view of most of it, for naming what lies outside the rules.
        self.widest = min(views, key=lambda view: len(view.mounted))


class Folder:
    """A folder: under its parent, or on its own with a path that is known."""

    __slots__ = ("age", "inner", "name", "parent", "shown", "system")

    def __init__(self, system: FileSystem, parent: Folder | None, name: bytes, inner: bytes = b"") -> None:
        self.system = system
        self.parent = parent
        self.name = name
        self.inner = inner
        """Path within its file system, as of `age`."""
        self.shown: tuple[bytes, ...] = ()
        """Paths by which items name it, as of `age`; none where no rule reaches."""
        self.age = -1


class FolderTable:
    """Handle (with file system id) → folder."""

    def __init__(self, systems: Sequence[FileSystem], scope: Scope, stopped: Callable[[], bool]) -> None:
        self._systems = {system.identity: system for system in systems}
        self._scope = scope
        self._stopped = stopped
        self._seeded: dict[bytes, Folder] = {}
        self._loose: dict[bytes, Folder | None] = {}
        self._generation = 0
        self._mount_fds: dict[bytes, int] = {}
        self.unresolved = 0
        """Events whose folder was gone before it could be asked for."""

    def __len__(self) -> int:
        return len(self._seeded)

    # Looking up

    def find(self, handle: bytes) -> Folder | None:
        """Return the folder with its paths as they are now; None if the kernel does not know it any more."""
        folder = self._seeded.get(handle)
        if folder is None:
            if handle in self._loose:
                folder = self._loose[handle]
            else:
                folder = self._ask(handle)
        if folder is not None and folder.age != self._generation:
            self._refresh(folder)
        return folder

    def _refresh(self, folder: Folder) -> None:
        chain: list[Folder] = []
        at: Folder | None = folder
        while at is not None and at.age != self._generation:
            chain.append(at)
            at = at.parent
            if (
                len(chain) > _MAX_DEPTH
            ):  # folders that moved while they were seeded can hang under each other for a while
                folder.shown = ()
                return
        for link in reversed(chain):
            if link.parent is not None:
                link.inner = below(link.parent.inner) + link.name
            link.shown = self._shown(link.system, link.inner)
            link.age = self._generation

    def _shown(self, system: FileSystem, inner: bytes) -> tuple[bytes, ...]:
        found = (view.show(inner) for view in system.views)
        return tuple(dict.fromkeys(path for path in found if path is not None and self._scope.descend(path)))

    def _ask(self, handle: bytes) -> Folder | None:
        system = self._systems.get(handle[:_ID_BYTES])
        inner = None if system is None else self._path(system, handle)
        if len(self._loose) >= _MAX_LOOSE:
            self._loose.clear()
        if system is None or inner is None:
            self.unresolved += 1
            self._loose[handle] = None
            return None
        folder = Folder(system, None, b"", inner)
        self._loose[handle] = folder
        return folder

    def _path(self, system: FileSystem, handle: bytes) -> bytes | None:
        try:
            fd = calls.open_handle(self._mount_fd(system), handle[_ID_BYTES:])
        except OSError:
            return None
        try:
            path = os.readlink(b"/proc/self/fd/%d" % fd)
            if path.endswith(_DELETED) and os.fstat(fd).st_nlink == 0:
                path = path[: -len(_DELETED)]
            return system.widest.inside(path)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _mount_fd(self, system: FileSystem) -> int:
        fd = self._mount_fds.get(system.identity)
        if fd is None:
            fd = os.open(system.widest.point, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self._mount_fds[system.identity] = fd
        return fd

    def release(self) -> None:
        """Close what was opened for looking up: an open file would keep its file system from being unmounted."""
        for fd in self._mount_fds.values():
            os.close(fd)
        self._mount_fds.clear()

    # Following

    def made(self, parent: Folder, name: bytes, handle: bytes) -> None:
        """Enter a folder that was made."""
        inner = below(parent.inner) + name
        if any(self._scope.descend(below(path) + name) for path in parent.shown):
            self._seeded[handle] = Folder(parent.system, parent, name)
            self._loose.pop(handle, None)
        elif len(self._loose) < _MAX_LOOSE:
            self._loose[handle] = Folder(parent.system, None, b"", inner)

    def removed(self, handle: bytes) -> None:
        """Drop a folder that was removed."""
        self._seeded.pop(handle, None)
        self._loose.pop(handle, None)

    def renamed(self, parent: Folder | None, name: bytes, handle: bytes) -> None:
        """Hang a folder that was renamed under its new parent; one that comes from outside the rules is seeded."""
        self._loose.clear()  # what was below it is elsewhere now
        self._generation += 1
        if parent is None:
            self._seeded.pop(handle, None)
            return
        self._refresh(parent)
        folder = self._seeded.get(handle)
        if folder is not None:
            folder.parent, folder.name = parent, name
        elif any(self._scope.descend(below(path) + name) for path in parent.shown):
            folder = self._seeded[handle] = Folder(parent.system, parent, name)
            self._refresh(folder)
            for view in parent.system.views:
                if view.show(folder.inner) is not None:
                    self._seed_below(view, folder)

    # Seeding

    def seed(self) -> None:
        """Enter every folder that the rules reach into. Raises OSError when a mount itself cannot be looked at."""
        for system in self._systems.values():
            for view in system.views:
                handle, _ = calls.handle_of(-100, view.place)
                folder = Folder(system, None, b"", view.inner)
                self._seeded[system.identity + handle] = folder
                self._refresh(folder)
                self._seed_below(view, folder)

    def _seed_below(self, view: View, top: Folder) -> None:
        stack = [(top, view.outside(top.inner))]
        while stack and not self._stopped():
            parent, path = stack.pop()
            with contextlib.suppress(OSError):  # gone, or not to be read: looked up when it is met
                for name, found in self._subfolders(view, path):
                    folder = Folder(parent.system, parent, name)
                    self._refresh(folder)
                    if folder.shown:
                        self._seeded[parent.system.identity + found] = folder
                        stack.append((folder, below(path) + name))

    def _subfolders(self, view: View, path: bytes) -> Iterator[tuple[bytes, bytes]]:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        name = os.fsencode(entry.name)
                        if below(path) + name not in view.holes:
                            with contextlib.suppress(OSError):
                                yield name, calls.handle_of(fd, name)[0]
        finally:
            os.close(fd)
