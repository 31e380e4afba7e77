"""Which changes of files belong to the operation of a package (docs/adr/0018).

Ownership alone is no cause. A change joins when, beside it, there is evidence: the process that made it is the package
manager's; or nobody is known to have made it, and dpkg is working on that very package at the moment, or the content
is the one that the package shipped; or a file went away that the package has no more. A process that is known and is
no package manager never joins.

`weigh` reads the package databases, outside of any transaction; `join` decides within the transaction of the rows.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from whatchanged.collectors import Snapshot
from whatchanged.collectors.files.signature import changed_ns
from whatchanged.collectors.software import SOURCES, FileOwners, Ownership, PackageFiles
from whatchanged.records.items import FileItem, Kind, SoftwareItem
from whatchanged.records.times import now_ns
from whatchanged.tracker import operations
from whatchanged.tracker.recorder import Observation, Removal
from whatchanged.tracker.state import State
from whatchanged.tracker.transaction import Transaction

__all__ = ["PackageRows", "PackageTies", "Tie", "end_operations"]

_AFTER_SECONDS = 600.0
"""So long after a database moved, changes are compared with it."""
_LATE_NS = 60 * 10**9
"""So long after its end a removal joins an operation: a file that is gone has no time of change."""
_PASSING = (b".dpkg-new", b".dpkg-tmp")
"""Names that dpkg gives to files while it unpacks."""
_PASSING_SECONDS = 60.0
"""So long after a database moved a file of such a name may be gone: dpkg was done before it was asked whether it is."""


class Tie(msgspec.Struct, frozen=True):
    """A change of a file that belongs to an operation of a package, if there was one."""

    package: PackageFiles
    changed_ns: int | None
    """When the file changed; None if it is gone."""
    witnessed: bool
    """The package manager was seen to do it."""


class PackageTies:
    """Ties changes of files to operations of packages."""

    def __init__(self, state: State, root: bytes, scratch: bytes | None = None) -> None:
        """`scratch`: a private folder for passing copies of databases, nobody else's."""
        self._state = state
        self._owners = FileOwners(root, scratch)
        self._primed = False
        self.busy = False
        """A package manager was at work at the last look."""
        self._passing = False

    def prime(self) -> None:
        """Read the lists of files, so that what the next operation takes away is known. Once."""
        if not self._primed:
            self._primed = True
            with contextlib.suppress(OSError), self._owners.look():  # the root is gone: the collectors say so
                pass

    def weigh(self, seen: Sequence[Observation | Removal]) -> Mapping[bytes, Tie]:
        """Return path → tie of those that belong to an operation, judged by the databases as they are now."""
        found = {w.item.key() if isinstance(w, Observation) else w.key: w for w in seen if _may_be_a_change(w)}
        self.busy = self._passing = False
        if not found:
            return {}
        sources = SOURCES & self._state.baselines(Kind.SOFTWARE)
        if not sources:
            return {}
        self._primed = True
        try:
            with self._owners.look() as ownership:
                self.busy = ownership.busy
                self._passing = ownership.busy or self._moved(_PASSING_SECONDS)
                moved = ownership.busy or self._moved(_AFTER_SECONDS)
                if not (moved or any(map(self._by_package_manager, found.values()))):
                    return {}
                ties = {path: self._tie(path, what, ownership) for path, what in found.items()}
        except OSError:  # the root is gone: the collectors say so
            return {}
        return {path: tie for path, tie in ties.items() if tie is not None and tie.package.source in sources}

    def passing(self, what: Observation | Removal) -> bool:
        """Whether it is a file that a package manager at work renames or takes away in a moment, or just did."""
        return self._passing and isinstance(what, Observation) and what.item.key().endswith(_PASSING)

    def _moved(self, seconds: float) -> bool:
        """Whether a package database moved of late: only then there is an operation to join."""
        return time.monotonic() - self._owners.moved_at < seconds

    def _by_package_manager(self, what: Observation | Removal) -> bool:
        name = what.actor.get("InitiatingProcessName")
        return any(name in programs for programs in self._owners.programs.values())

    def _tie(self, path: bytes, what: Observation | Removal, ownership: Ownership) -> Tie | None:
        package = ownership.owner(path)
        if package is None:
            return None
        name = what.actor.get("InitiatingProcessName")
        witnessed = name in self._owners.programs.get(package.source, ())
        if name and not witnessed:
            return None
        at = changed_ns(what.signature) if isinstance(what, Observation) else None
        if witnessed or package.at_work:
            return Tie(package, at, True)
        if isinstance(what, Removal):
            explained = not ownership.owns(package, path)
        else:
            explained = isinstance(what.item, FileItem) and ownership.ships(package, what.item)
        return Tie(package, at, False) if explained else None

    def join(self, change: Transaction, key: bytes, tie: Tie, previous_ns: int | None) -> str | None:
        """Return the TransactionId of the operation that the change belongs to, or None if there was none."""
        package = tie.package
        last = operations.find(change, package.key)
        now = now_ns()
        if last is not None and (last.ended_ns is None or (tie.changed_ns or now) <= last.ended_ns):
            return last.id
        if self._differs(package):
            return operations.open_(change, package.key, now)
        if last is not None and last.ended_ns is not None and tie.changed_ns is None:
            late_ns = now - _LATE_NS if previous_ns is None else min(now - _LATE_NS, previous_ns)
            if last.ended_ns >= late_ns:
                return last.id
        return operations.open_(change, package.key, now) if tie.witnessed else None

    def _differs(self, package: PackageFiles) -> bool:
        """Whether the database has the package in another state than the one that was recorded last."""
        known = self._state.known(Kind.SOFTWARE, package.key)
        if known is None or not isinstance(known.item, SoftwareItem):
            return bool(package.version)
        now = (package.version, package.installed_ns, package.settled)
        return now != (known.item.version, known.item.installed_ns, True)


class PackageRows:
    """Gives the row of a package the id of its operation, and ends that."""

    def __init__(self, seen_ns: int) -> None:
        """`seen_ns`: end of the look at the software."""
        self._seen_ns = seen_ns

    def weigh(self, seen: Sequence[Observation | Removal]) -> Mapping[bytes, bool]:
        """Return the keys of those whose packages own files."""
        keys = (what.item.key() if isinstance(what, Observation) else what.key for what in seen)
        return {key: True for key in keys if _source(key) in SOURCES}

    def passing(self, what: Observation | Removal) -> bool:
        """Whether it will be gone in a moment: no package is."""
        return False

    def join(self, change: Transaction, key: bytes, tie: bool, previous_ns: int | None) -> str:
        """Return the TransactionId of the operation that the row tells of."""
        return operations.finish(change, key, self._seen_ns)


def end_operations(state: State, snapshot: Snapshot[Any], began_ns: int, ended_ns: int) -> None:
    """End the operations that left their packages as they were: a look from `began_ns` to `ended_ns` found no change.

    One that was opened since the look began may have begun after it.
    """
    with state.transaction(limited=False) as change:
        operations.let_go(change, now_ns())
        if not snapshot.soon:
            idle = [key for key in operations.opened(change, began_ns) if _source(key) in snapshot.scopes]
            operations.end(change, idle, ended_ns)


def _source(key: bytes) -> str:
    return key.partition(b"\0")[0].partition(b"/")[0].decode()


def _may_be_a_change(what: Observation | Removal) -> bool:
    return not what.entering if isinstance(what, Observation) else not what.left_rules
