"""From the handle of a folder to its path.

An event names a folder by its handle. Asking the kernel for the path costs a hundred times more than a dictionary,
and comes too late for a folder that was removed; so every folder that the rules reach into is entered beforehand
(`seed`), and followed: a folder that is made is added, one that is removed is dropped, one that is renamed hangs under
another parent from then on, and everything below it with it. Other folders are looked up when they are first met.

What is entered is also marked, through its handle: a path may have become another folder's meanwhile. So a folder bears
its mark before its entries are listed, and before anything that is made in it is told.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence

from whatchanged.watchers.fanotify import calls, events
from whatchanged.watchers.hints import Scope, View, below

__all__ = ["FileSystem", "Folder", "FolderTable"]

_ID_BYTES = 8
_MAX_LOOSE = 20_000
"""Folders outside the rules that are remembered; beyond it they are asked for anew."""
_MAX_DEPTH = 4096
_DELETED = b" (deleted)"
_CONTENTS = events.CONTENTS | events.ONDIR | events.EVENT_ON_CHILD


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

    def __init__(
        self,
        systems: Sequence[FileSystem],
        scope: Scope,
        stopped: Callable[[], bool],
        group: int,
        most_marked: int,
    ) -> None:
        """`group`: the fanotify group whose marks the folders shall bear, `most_marked` of them at most."""
        self._systems = {system.identity: system for system in systems}
        self._scope = scope
        self._stopped = stopped
        self._group = group
        self._most_marked = most_marked
        self._seeded: dict[bytes, Folder] = {}
        self._loose: dict[bytes, Folder | None] = {}
        self.outside: set[bytes] = set()
        """Handles of folders that were found to be outside the rules, and have not moved since."""
        self._generation = 0
        self._mount_fds: dict[bytes, int] = {}
        self.unresolved = 0
        """Events whose folder was gone before it could be asked for."""
        self.unmarked: set[bytes] = set()
        """File systems some of whose folders bear no mark: too many, or the kernel refused."""

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
        if folder is None or not folder.shown:
            self.outside.add(handle)
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
            self._forget()
        if system is None or inner is None:
            self.unresolved += 1
            self._loose[handle] = None
            return None
        folder = Folder(system, None, b"", inner)
        self._loose[handle] = folder
        return folder

    def _forget(self) -> None:
        self._loose.clear()
        self.outside.clear()

    def _path(self, system: FileSystem, handle: bytes) -> bytes | None:
        try:
            fd = self._open(system.widest, handle)
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

    def _open(self, view: View, handle: bytes, flags: int = os.O_PATH) -> int:
        return calls.open_handle(self._mount_fd(view), handle[_ID_BYTES:], flags)

    def _mount_fd(self, view: View) -> int:
        fd = self._mount_fds.get(view.point)
        if fd is None:
            fd = os.open(view.point, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self._mount_fds[view.point] = fd
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
            self._mark(parent.system, handle)
        elif len(self._loose) < _MAX_LOOSE:
            self._loose[handle] = Folder(parent.system, None, b"", inner)

    def removed(self, handle: bytes) -> None:
        """Drop a folder that was removed."""
        self._seeded.pop(handle, None)
        self._loose.pop(handle, None)
        self.outside.discard(handle)

    def renamed(self, handle: bytes) -> None:
        """Hang a folder that was renamed where it is now; one that comes from outside the rules is seeded.

        The kernel is asked, not the event: it merges an event with an equal one that still waits in the queue, so of
        a folder that went round in a circle the last event that is read need not be its last rename.
        """
        self._forget()  # what was below it is elsewhere now
        self._generation += 1
        found = self._whereabouts(handle)
        if found is None:
            self._seeded.pop(handle, None)
            return
        parent, name = found
        self._refresh(parent)
        folder = self._seeded.get(handle)
        if folder is not None:
            folder.parent, folder.name = parent, name
            self._mark(parent.system, handle)
        elif any(self._scope.descend(below(path) + name) for path in parent.shown):
            folder = self._seeded[handle] = Folder(parent.system, parent, name)
            self._refresh(folder)
            for view in parent.system.views:
                if view.show(folder.inner) is not None:
                    self._seed_below(view, folder, handle)

    def _whereabouts(self, handle: bytes) -> tuple[Folder, bytes] | None:
        """Return the folder that a folder is in now, and its name there; None if it is gone."""
        system = self._systems.get(handle[:_ID_BYTES])
        if system is None:
            return None
        try:
            fd = self._open(system.widest, handle)
        except OSError:
            return None
        try:
            if os.fstat(fd).st_nlink == 0:
                return None
            path = os.readlink(b"/proc/self/fd/%d" % fd)
            above, _ = calls.handle_of(fd, b"..")
        except OSError:
            return None
        finally:
            os.close(fd)
        parent = self.find(system.identity + above)
        return None if parent is None else (parent, path.rpartition(b"/")[2])

    def _mark(self, system: FileSystem, handle: bytes) -> None:
        if system.identity in self.unmarked:
            return
        try:
            fd = self._open(system.widest, handle)
        except OSError as error:
            self._failed(system, error)
            return
        try:
            self._mark_opened(system, fd)
        finally:
            os.close(fd)

    def _mark_opened(self, system: FileSystem, fd: int) -> None:
        if len(self._seeded) > self._most_marked:
            self.unmarked.add(system.identity)
        if system.identity not in self.unmarked:
            try:
                calls.mark_folder(self._group, _CONTENTS, fd)
            except OSError as error:
                self._failed(system, error)

    def _failed(self, system: FileSystem, error: OSError) -> None:
        """A folder could not be marked: no matter if it is gone."""
        if error.errno not in (errno.ESTALE, errno.ENOENT):
            self.unmarked.add(system.identity)

    def unmark_all_but(self, kept: FolderTable) -> None:
        """Take the marks off the folders that `kept` does not have."""
        systems = {i for i, s in self._systems.items() if _is_mounted(s)}
        for handle, folder in self._seeded.items():
            if handle not in kept._seeded and folder.system.identity in systems:
                with contextlib.suppress(OSError):  # it is gone, or never had one
                    fd = self._open(folder.system.widest, handle)
                    try:
                        calls.unmark_folder(self._group, _CONTENTS, fd)
                    finally:
                        os.close(fd)
        self.release()

    # Seeding

    def seed(self) -> None:
        """Enter every folder that the rules reach into. Raises OSError when a mount itself cannot be looked at."""
        for system in self._systems.values():
            for view in system.views:
                handle = system.identity + calls.handle_of(-100, view.place)[0]
                folder = Folder(system, None, b"", view.inner)
                self._seeded[handle] = folder
                self._refresh(folder)
                self._seed_below(view, folder, handle)

    def _seed_below(self, view: View, top: Folder, handle: bytes) -> None:
        stack = [(top, handle, view.outside(top.inner))]
        while stack and not self._stopped():
            parent, handle, path = stack.pop()
            system = parent.system
            try:
                for name, found in self._subfolders(view, system, handle):
                    if below(path) + name in view.holes:
                        continue
                    folder = Folder(system, parent, name)
                    self._refresh(folder)
                    if folder.shown:
                        self._seeded[system.identity + found] = folder
                        stack.append((folder, system.identity + found, below(path) + name))
            except OSError as error:  # what is not entered is looked up when it is met
                self._failed(system, error)

    def _subfolders(self, view: View, system: FileSystem, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
        # Through the mount of this very view: on another one, something may be mounted over an entry.
        fd = self._open(view, handle, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._mark_opened(system, fd)
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        name = os.fsencode(entry.name)
                        try:
                            yield name, calls.handle_of(fd, name)[0]
                        except OSError as error:
                            self._failed(system, error)
        finally:
            os.close(fd)


def _is_mounted(system: FileSystem) -> bool:
    try:
        return calls.file_system_id(system.widest.point) == system.identity
    except OSError:
        return False
