"""What every watcher speaks: hints, coverage, and the interface itself.

A hint is never a fact: it says that something may have changed at a path, and whoever gets it looks there himself.
A watcher that cannot keep up, or that died, says so by wider hints (a folder, a tree, everything), never by silence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Protocol

import msgspec

__all__ = ["Area", "Coverage", "Executed", "Hint", "MountPoint", "Reach", "Scope", "View", "Watcher", "below", "views"]


class Reach(Enum):
    """How far a hint reaches."""

    ENTRY = "entry"
    """This path itself."""
    FOLDER = "folder"
    """The entries of this folder."""
    TREE = "tree"
    """This path and everything below it."""
    ALL = "all"
    """Everything: events were lost."""


class Hint(msgspec.Struct, frozen=True):
    """Something may have changed."""

    path: bytes
    """As items name it: below the root that is looked at."""
    when: float
    """When the watcher read the event, on the monotonic clock; the change itself was before that."""
    reach: Reach = Reach.ENTRY
    pid: int = 0
    """The process whose call it was; 0 where the watcher cannot tell."""
    renamed_from: bytes = b""
    """The path before, where the event was a rename."""


class Executed(msgspec.Struct, frozen=True):
    """A process opened a file in order to execute it: told in the same order as its hints."""

    pid: int
    name: bytes
    """Of the file in its folder: the program, a script, its interpreter, or the loader."""
    when: float


class Area(msgspec.Struct, frozen=True):
    """A part of the tree and how changes in it are noticed."""

    path: bytes
    method: str
    """`fanotify`, `inotify`, `notifications` (Windows), or `poll` where nothing watches."""
    since_ns: int
    reason: str = ""
    """Why it is only polled, or watched by the lesser means."""


class Coverage(msgspec.Struct, frozen=True):
    """What a watcher watches."""

    areas: tuple[Area, ...] = ()
    watches: int = 0
    """Marks or watches that the kernel holds for it."""
    limits: tuple[str, ...] = ()
    """Limits that were hit, with what to do about them."""

    @property
    def polled(self) -> tuple[Area, ...]:
        """The areas that nothing watches."""
        return tuple(area for area in self.areas if area.method == "poll")


class Scope(Protocol):
    """What is asked of the rules: `whatchanged.rules.FileScope` has it all."""

    def descend(self, folder: bytes) -> bool:
        """Whether `folder` or anything below can hold something to take."""

    def match(self, path: bytes, *, folder: bool | None = None) -> Sequence[object]:
        """Return what takes `path`."""


class MountPoint(Protocol):
    """A line of mountinfo (proc_pid_mountinfo(5))."""

    @property
    def point(self) -> bytes:
        """Where it is mounted."""

    @property
    def root(self) -> bytes:
        """Which folder of its file system is mounted there."""

    @property
    def fs_type(self) -> bytes:
        """Type of the file system."""


class View(msgspec.Struct, frozen=True):
    """One place where (a part of) a file system is seen by whoever looks at the machine."""

    point: bytes
    """Where it is mounted, as this process names it."""
    mounted: bytes
    """The folder of the file system that is mounted there."""
    inner: bytes
    """The folder of the file system that is looked at: `mounted`, or deeper where the looked-at root lies deeper."""
    shown: bytes
    """The path by which items below `inner` are named."""
    holes: frozenset[bytes] = frozenset()
    """Mount points below `point`: what lies there is not of this view."""

    @property
    def place(self) -> bytes:
        """The folder that is looked at, as this process names it."""
        return self.outside(self.inner)

    def show(self, inner: bytes) -> bytes | None:
        """Return the shown path of a path within the file system, or None if it is not seen from here."""
        return _rebased(inner, self.inner, self.shown)

    def locate(self, shown: bytes) -> bytes:
        """Return a shown path as this process names it."""
        return _rebased(shown, self.shown, self.place) or shown

    def outside(self, inner: bytes) -> bytes:
        """Return a path within the file system as this process names it."""
        return _rebased(inner, self.mounted, self.point) or inner

    def inside(self, outer: bytes) -> bytes | None:
        """Return a path that this process names as a path within the file system, or None if it is elsewhere."""
        return _rebased(outer, self.point, self.mounted)


class Watcher(Protocol):
    """Watches a scope. Not safe to be used by several threads; `fileno` becomes readable when there is something."""

    name: str

    def subscribe(self, scope: Scope, views: Sequence[View]) -> Coverage:
        """Watch `scope` in these views from now on, instead of what was watched before.

        What cannot be watched is named in the coverage with the method `poll`, and is no error.
        Raises WatchError when nothing can be watched at all.
        """

    def fileno(self) -> int:
        """Return the descriptor to wait for."""

    def read(self) -> list[Hint | Executed]:
        """Return what there is to be read now, in order, without waiting. Raises WatchError when the watch died."""

    @property
    def drained(self) -> bool:
        """Whether the last `read` took everything that there was."""

    def coverage(self) -> Coverage:
        """Return what is watched now."""

    def close(self) -> None:
        """Give everything back to the kernel."""


def below(folder: bytes) -> bytes:
    """Return the prefix of the paths below `folder`."""
    return folder if folder.endswith(b"/") else folder + b"/"


def views(mounts: Sequence[MountPoint], barred: Collection[bytes], root: bytes, scope: Scope) -> list[View]:
    """Return the views in which `scope`, whose paths begin at `root`, can have something. Pure.

    `mounts` are all mounts in the order of the table (of several at one point the last is visible), `barred` the
    points among them that must not be entered, nor passed on the way to what is mounted below.
    """
    visible = {mount.point: mount for mount in mounts}
    points = frozenset(visible)
    holder = max((p for p in visible if root == p or root.startswith(below(p))), key=len, default=None)
    found: list[View] = []
    for point, mount in visible.items():
        if _is_behind(point, barred):
            continue
        if point == holder:
            inner, shown = _rebased(root, point, mount.root) or b"/", b"/"
        elif point.startswith(below(root)):
            inner, shown = mount.root, point[len(root.rstrip(b"/")) :]
        else:
            continue
        if scope.descend(shown):
            holes = frozenset(p for p in points if p != point and p.startswith(below(point)))
            found.append(View(point, mount.root, inner, shown, holes))
    return found


def _is_behind(point: bytes, barred: Collection[bytes]) -> bool:
    """Whether `point` is one of `barred`, or lies below one."""
    while point and point not in barred:
        point = point.rpartition(b"/")[0]
    return bool(point)


def _rebased(path: bytes, old: bytes, new: bytes) -> bytes | None:
    if path == old:
        return new
    prefix = below(old)
    return below(new) + path[len(prefix) :] if path.startswith(prefix) else None
