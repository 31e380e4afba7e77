"""Looking at single paths, as the walk would have come to them."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Collection

import msgspec

from whatchanged.collectors.files import native
from whatchanged.collectors.files.budget import Budget
from whatchanged.collectors.files.links import Barred, Resolver
from whatchanged.collectors.files.listing import Listing, Place, is_gone, prefix_of
from whatchanged.collectors.files.look import AWAITED, Aside, Looked
from whatchanged.collectors.files.mounts import Barrier, Mount
from whatchanged.collectors.files.scope import Known, Scope
from whatchanged.collectors.files.signature import SETTLE_NS
from whatchanged.collectors.files.walk import CONTENT_LIMIT, FileCollector
from whatchanged.collectors.outcome import Failure, reason_of
from whatchanged.records.windows_paths import path_text

__all__ = ["Missing", "Obstacle", "PathLooker", "Trace", "Unchanged", "Unmatched", "look"]


class Missing(msgspec.Struct, frozen=True):
    """There is nothing at this path."""

    path: bytes


class Unmatched(msgspec.Struct, frozen=True):
    """There may be something at this path, but no rule takes it."""

    path: bytes


class Unchanged(msgspec.Struct, frozen=True):
    """The signature is the known one."""

    path: bytes


class Obstacle(msgspec.Struct, frozen=True):
    """What keeps a walk from coming to a path."""

    code: str
    """`TooLong`, `PseudoFileSystem`, `Automount`, `NetworkFileSystem`, `LinkNotFollowed`, `LeadsOut`, `Denied`,
    `Missing`: for programs."""
    path: bytes
    """Where: the path itself, or a folder above it."""
    text: str
    """For people."""


class Trace(msgspec.Struct, frozen=True):
    """The way to a path."""

    status: os.stat_result | None = None
    """Of what is there, a link itself; None if nothing is, or if the way ends before."""
    obstacle: Obstacle | None = None


_BARRIER_CODES = {
    Barrier.PSEUDO: "PseudoFileSystem",
    Barrier.AUTOMOUNT: "Automount",
    Barrier.NETWORK: "NetworkFileSystem",
}


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
        network_mounts: Collection[bytes] = (),
        excluded: Callable[[bytes], bool] = lambda _path: False,
        content_limit: int = CONTENT_LIMIT,
        settle_ns: int = SETTLE_NS,
        aside: Aside | None = None,
    ) -> None:
        self._collector = FileCollector(
            scope,
            root=root,
            known=known,
            budget=budget,
            stop=stop,
            network_mounts=network_mounts,
            excluded=excluded,
            content_limit=content_limit,
            settle_ns=settle_ns,
            aside=aside,
        )
        self._machine, self._looker = self._collector.prepare()
        self._scope = scope
        # As the walk's, but it also passes what is excluded: to tell that from what is not there.
        self._whole = Resolver(self._machine.tree, self._machine.barriers)
        self._excluded = excluded
        # Links on the way to a root are followed whatever the rules say of links: the rule names the way.
        self._ways = {prefix for root in scope.roots() for prefix in _prefixes(root)}

    def close(self) -> None:
        """Give the root's descriptor back."""
        self._machine.close()

    def __enter__(self) -> PathLooker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self, path: bytes) -> Looked | Unchanged | Missing | Unmatched | Failure:
        """Look at `path`, an absolute path as items have it."""
        if self._machine.refresh():
            self._whole.forget()
        shown, _, name = path.rpartition(b"/")
        folder = shown or b"/"
        if not name:
            return Missing(path)
        if (barrier := self._collector.barrier_above(folder)) is not None:
            return Failure(path, barrier.value)
        try:
            if self._machine.spelled(folder) != folder:
                return Missing(path)
            real = self._machine.resolver.canonical(folder)
        except Barred as error:
            return Failure(path, str(error))
        except OSError as error:
            return Failure(path, reason_of(error))
        if real is None:
            return Missing(path)
        if (barrier := self._collector.barrier_above(real)) is not None:
            return Failure(path, barrier.value)
        try:
            if self._leaves_the_rules(folder, real):
                return Unmatched(path)
            fd = self._machine.tree.open_folder(real)
        except OSError as error:
            return Missing(path) if is_gone(error) else Failure(path, reason_of(error))
        try:
            return self._entry(Place(folder, real), fd, name, path)
        finally:
            os.close(fd)

    def spelled(self, path: bytes) -> bytes:
        """Return `path` as the folders on the way spell its names: where letter case counts for nothing, as items do.

        As it is where that cannot be told, or lies beyond what may be touched.
        """
        try:
            return path if self._collector.barrier_above(path) else self._machine.spelled(path)
        except OSError:
            return path

    def file_system(self, path: bytes) -> int | None:
        """Return the device of the nearest folder above `path` that is there, None if that cannot be said.

        Of folders, because files of an overlay may have the numbers of its layers (overlayfs.rst, "Non-directories").
        """
        folder = path
        while folder not in (b"", b"/"):
            folder = folder.rpartition(b"/")[0] or b"/"
            try:
                real = self._whole.canonical(folder)
                if real is None:
                    continue
                fd = self._machine.tree.open_folder(real)
            except OSError as error:
                if is_gone(error):
                    continue
                return None
            try:
                return native.fstat(fd).st_dev
            finally:
                os.close(fd)
        return None

    def trace(self, path: bytes) -> Trace:
        """Follow the way that a walk would take to `path`, step by step; no file is opened for reading."""
        if len(path) > native.LONGEST_PATH or any(len(name) > native.LONGEST_NAME for name in path.split(b"/")):
            return Trace(obstacle=Obstacle("TooLong", path, "it is longer than the system can open"))
        ways = _prefixes(path)
        for folder in ways[:-1]:
            if (obstacle := self._obstacle(folder)) is not None:
                return Trace(obstacle=obstacle)
        above, _, name = path.rpartition(b"/")
        try:
            real = self._whole.canonical(above or b"/")
            if (mount := self._collector.mount_above(path)) is not None:
                return Trace(obstacle=_behind(*mount, path))
            if real is None:
                return Trace(obstacle=Obstacle("Missing", above, f"{path_text(above)} is not there"))
            status = self._machine.tree.lstat(prefix_of(real) + name)
        except OSError as error:
            return Trace(obstacle=_trouble(path, error))
        if stat.S_ISLNK(status.st_mode) and self._policy(above or b"/", name) == "Ignore":
            return Trace(status, Obstacle("LinkNotFollowed", path, "it is a link, and links are left out (Ignore)"))
        return Trace(status)

    def _obstacle(self, folder: bytes) -> Obstacle | None:
        """Return what keeps a walk from entering `folder`, to whose parent it came."""
        if (mount := self._collector.mount_above(folder)) is not None:
            return _behind(*mount, folder)
        try:
            real = self._whole.canonical(folder)
        except OSError as error:
            return _trouble(folder, error)
        shown = path_text(folder)
        if real is None:
            return Obstacle("Missing", folder, f"{shown} is not there")
        if (mount := self._collector.mount_above(real)) is not None:
            return _behind(*mount, folder)
        if self._excluded(real):
            return Obstacle("LeadsOut", folder, f"{shown} is {path_text(real)}, which the policy excludes")
        above, _, name = folder.rpartition(b"/")
        parent = self._whole.canonical(above or b"/")
        if parent is None or real == prefix_of(parent) + name or folder in self._ways:
            return None
        policy = self._policy(above or b"/", name)
        if policy == "Follow":
            return None
        return Obstacle("LinkNotFollowed", folder, f"{shown} is a link, and links are not followed ({policy})")

    def beyond_the_rules(self, folder: bytes) -> bool:
        """Whether the rules do not let a walk come to `folder` as the machine is now.

        That is when a link on the way is not followed, or leads to an excluded path. A folder that is not there, or
        that cannot be looked at, is not beyond the rules.
        """
        try:
            real = self._whole.canonical(folder)
            return real is not None and (self._excluded(real) or self._leaves_the_rules(folder, real))
        except OSError:
            return False

    def _leaves_the_rules(self, folder: bytes, real: bytes) -> bool:
        """Whether a link between a root and `folder`, whose canonical form is `real`, is one not to be followed."""
        if folder == real:
            return False
        for shown in _prefixes(folder):
            above, _, name = shown.rpartition(b"/")
            parent = self._whole.canonical(above or b"/")
            if parent is None:
                return False
            is_link = self._whole.canonical(shown) != prefix_of(parent) + name
            if is_link and shown not in self._ways and self._policy(above or b"/", name) != "Follow":
                return True
        return False

    def _policy(self, folder: bytes, name: bytes) -> str:
        return self._scope.for_folder(folder).link_policy(name)

    def _entry(
        self, place: Place, fd: int, name: bytes, path: bytes
    ) -> Looked | Unchanged | Missing | Unmatched | Failure:
        if (barrier := self._collector.untouchable(place.real).get(name)) is not None:
            return Failure(path, barrier.value)
        try:
            entry = native.Entry(name, fd)
        except OSError as error:
            return Missing(path) if is_gone(error) else Failure(path, reason_of(error))
        listing = Listing(self._collector, place, fd)
        candidates, seen = listing.single(entry)
        if not candidates:
            if seen.unchanged:
                return Unchanged(path)
            return seen.failures[0] if seen.failures else Unmatched(path)
        results = self._looker.look_at_all(fd, prefix_of(place.shown), candidates)
        if not results:
            return Failure(path, "stopped")
        found, failure = results[0]
        if isinstance(found, Looked):
            return found
        if found is AWAITED:
            return Failure(path, "its content is being read")
        return failure if failure is not None else Missing(path)


def _behind(mount: Mount, barrier: Barrier, path: bytes) -> Obstacle:
    kind = mount.fs_type.decode(errors="replace")
    where = path_text(mount.point)
    return Obstacle(_BARRIER_CODES[barrier], path, f"{where} is a mount that is not entered: {barrier.value} ({kind})")


def _trouble(path: bytes, error: OSError) -> Obstacle:
    if isinstance(error, Barred):
        return Obstacle("LeadsOut", path, f"{path_text(path)} {error}")
    if is_gone(error):
        return Obstacle("Missing", path, f"{path_text(path)} is not there")
    return Obstacle("Denied", path, f"{path_text(path)}: {reason_of(error)}")


def _prefixes(folder: bytes) -> list[bytes]:
    """Return `folder` and every folder above it but the root, the highest first."""
    cuts = [at for at in range(1, len(folder)) if folder[at : at + 1] == b"/"]
    return [folder[:cut] for cut in (*cuts, len(folder)) if cut > 1]


def look(path: bytes, scope: Scope, root: bytes = b"/") -> Looked | Unchanged | Missing | Unmatched | Failure:
    """Look at one path, as the walk would have come to it."""
    with PathLooker(scope, root) as looker:
        return looker.look(path)
