"""All software of a machine: every package system that has a database below the root, in one snapshot.

The systems look one after the other, those of distributions first: what their packages own, the language package
managers do not tell of again. A system that cannot be read loses nothing: its name is among the outcome's `denied`
and in `Snapshot.kept`, so what was known of its packages stays. While a distribution's package manager is at work,
files lie about that nobody owns yet, so the language package managers are not asked.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from collections.abc import Callable

from whatchanged.collectors.outcome import Failure, Snapshot, Tally, reason_of
from whatchanged.collectors.software.apk import Apk
from whatchanged.collectors.software.dpkg import Dpkg
from whatchanged.collectors.software.flatpak import Flatpak
from whatchanged.collectors.software.gem import Gem
from whatchanged.collectors.software.npm import Npm
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, PackageSystem, Root
from whatchanged.collectors.software.pacman import Pacman
from whatchanged.collectors.software.python_packages import PythonPackages
from whatchanged.collectors.software.rpm import Rpm
from whatchanged.collectors.software.snap import Snap
from whatchanged.records.items import SoftwareItem

__all__ = ["PACKAGE_SYSTEMS", "SoftwareCollector"]

PACKAGE_SYSTEMS: tuple[Callable[[], PackageSystem], ...] = (
    Dpkg,
    Rpm,
    Apk,
    Pacman,
    Snap,
    Flatpak,
    PythonPackages,
    Npm,
    Gem,
)
"""Every package system, those whose packages own files first."""
_LANGUAGES = frozenset({PythonPackages.source, Npm.source, Gem.source})


class SoftwareCollector:
    """Looks at the software below `root`. Keep one: it doubts a database that vanishes until it looked twice."""

    name = "software"

    def __init__(
        self,
        root: bytes = b"/",
        *,
        scratch: bytes | None = None,
        systems: tuple[Callable[[], PackageSystem], ...] = PACKAGE_SYSTEMS,
    ) -> None:
        """`scratch`: a private folder for passing copies; without it the system's temporary folder."""
        self._root = root
        self._scratch = scratch
        self._systems = tuple(system() for system in systems)
        self._filled: set[str] = set()
        """Systems that had packages at the last look."""

    def run(self) -> Snapshot[SoftwareItem]:
        """Return all software. A machine without a package system has none."""
        run = _Run(Tally())
        try:
            with Root(self._root, run.tally, self._scratch) as root:
                for system in self._systems:
                    self._take(run, root, system)
        except OSError as error:
            run.tally.broken = True
            run.tally.fail(Failure(self._root, reason_of(error)), item=False)
        return run.snapshot(frozenset(system.source for system in self._systems))

    def _take(self, run: _Run, root: Root, system: PackageSystem) -> None:
        source = system.source
        if source in _LANGUAGES and (run.busy or run.blind):
            run.postpone(source)
            return
        try:
            look = system.look(root, run.owned)
        except (OSError, PackageDatabaseError) as error:
            run.deny(system, reason_of(error) if isinstance(error, OSError) else str(error))
            return
        if look.items or look.moving:
            self._filled.add(source)
        elif source in self._filled:
            # The last package may really be gone; but a database that is being rebuilt is not there for a moment.
            self._filled.discard(source)
            run.postpone(source, soon=True)
            return
        run.take(system, look)


class _Run:
    """What one run has found so far."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.busy = False
        self.blind = False
        """A distribution's database could not be read: what it owns is not known."""
        self.owned: frozenset[bytes] = frozenset()
        self._soon = False
        self._items: dict[bytes, SoftwareItem] = {}
        self._unsettled: set[bytes] = set()
        self._kept: set[bytes] = set()
        self._unread: set[str] = set()

    def take(self, system: PackageSystem, look: Look) -> None:
        """Add what a look found."""
        self._items.update((item.key(), item) for item in look.items)
        self._unsettled |= look.unsettled
        self.owned |= look.owned
        self.busy = self.busy or (look.busy and system.owns_files)
        self._soon = self._soon or look.moving or look.busy
        if look.moving or look.incomplete:
            self._kept.add(system.source.encode())
        if look.moving:
            self._unread.add(system.source)

    def deny(self, system: PackageSystem, reason: str) -> None:
        """Record a system that could not be read."""
        self.tally.deny(system.source.encode(), reason)
        self._kept.add(system.source.encode())
        self._unread.add(system.source)
        self.blind = self.blind or system.owns_files

    def postpone(self, source: str, *, soon: bool = False) -> None:
        """Leave a system for the next look."""
        self._soon = self._soon or soon
        self._kept.add(source.encode())
        self._unread.add(source)

    def snapshot(self, sources: frozenset[str]) -> Snapshot[SoftwareItem]:
        """Return the whole."""
        items = tuple(item for _, item in sorted(self._items.items()))
        self.tally.seen = self.tally.looked = len(items)
        self.tally.broken = self.tally.broken or (self.blind and not items)
        return Snapshot(
            items=items,
            outcome=self.tally.outcome(),
            unsettled=frozenset(self._unsettled),
            kept=tuple(sorted(self._kept)),
            soon=self._soon or bool(self._unsettled),
            scopes=sources - self._unread,
        )
