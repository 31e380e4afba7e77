"""Looking at single paths, as the walk would have come to them."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import threading
from collections.abc import Callable

import msgspec

from whatchanged.collectors.files.budget import Budget
from whatchanged.collectors.files.links import Barred, Resolver
from whatchanged.collectors.files.listing import Entry, Listing, Place, is_gone, prefix_of
from whatchanged.collectors.files.look import Looked
from whatchanged.collectors.files.scope import Known, Scope
from whatchanged.collectors.files.signature import SETTLE_NS
from whatchanged.collectors.files.walk import CONTENT_LIMIT, FileCollector
from whatchanged.collectors.outcome import Failure, reason_of

__all__ = ["Missing", "PathLooker", "Unchanged", "Unmatched", "look"]


class Missing(msgspec.Struct, frozen=True):
    """There is nothing at this path."""

    path: bytes


class Unmatched(msgspec.Struct, frozen=True):
    """There may be something at this path, but no rule takes it."""

    path: bytes


class Unchanged(msgspec.Struct, frozen=True):
    """The signature is the known one."""

    path: bytes


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
        excluded: Callable[[bytes], bool] = lambda _path: False,
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
            excluded=excluded,
            content_limit=content_limit,
            settle_ns=settle_ns,
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
        self._machine.tree.close()

    def __enter__(self) -> PathLooker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self, path: bytes) -> Looked | Unchanged | Missing | Unmatched | Failure:
        """Look at `path`, an absolute path as items have it."""
        shown, _, name = path.rpartition(b"/")
        folder = shown or b"/"
        if not name:
            return Missing(path)
        if (barrier := self._collector.barrier_above(folder)) is not None:
            return Failure(path, barrier.value)
        try:
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
        try:
            entry = Entry(name, fd)
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
        return failure if failure is not None else Missing(path)


def _prefixes(folder: bytes) -> list[bytes]:
    """Return `folder` and every folder above it but the root, the highest first."""
    cuts = [at for at in range(1, len(folder)) if folder[at : at + 1] == b"/"]
    return [folder[:cut] for cut in (*cuts, len(folder)) if cut > 1]


def look(
    path: bytes, scope: Scope, root: bytes = b"/", *, network_filesystems: bool = False
) -> Looked | Unchanged | Missing | Unmatched | Failure:
    """Look at one path, as the walk would have come to it."""
    with PathLooker(scope, root, network_filesystems=network_filesystems) as looker:
        return looker.look(path)
