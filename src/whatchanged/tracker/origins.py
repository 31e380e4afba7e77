"""Who changed packages and daemons: the programs that wrote the package database, or the files of the unit.

Who asked for it is another question: `systemctl enable` lets process 1 make the link, and then that is who made it.
Why a service runs or does not run is in no file, so nobody is named for its state.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

from collections.abc import Callable, Iterable

from whatchanged.records.items import DaemonItem, Item, Kind
from whatchanged.tracker.places import EVERY_UNIT, LINK, fits_unit
from whatchanged.tracker.runner import WholeSnapshot
from whatchanged.tracker.state import Known
from whatchanged.tracker.touches import Attribution
from whatchanged.tracker.visits import Columns, Visit, Visited, common

__all__ = ["Origins", "source_of"]

_ELSEWHERE = ("linked", "linked-runtime")
"""Enablement of units whose file lies where nobody watches."""
_OTHER_NAMES = ("alias", "bad")
"""Enablement of links whose coming or going is a change of another unit."""


class Origins:
    """Answers for the items of one look, which has ended."""

    def __init__(
        self,
        attribution: Attribution,
        kind: Kind,
        snapshot: WholeSnapshot,
        known: Callable[[set[bytes]], dict[bytes, Known]],
    ) -> None:
        """`known` returns what was known of items before this look."""
        self._kind = kind
        self._elsewhere: set[bytes] = set()
        self._cache: dict[tuple[int, ...], Columns] = {}
        # First everything that was told, then who is among it.
        seen = attribution.visited(kind)
        self._inquiry = attribution.inquiry() if seen.known and seen.visits else None
        self._visited = attribution.visited(kind) if self._inquiry is not None else Visited()
        if kind is Kind.DAEMONS and self._visited.visits:
            self._look_through(snapshot.items, known)

    def _look_through(self, items: Iterable[Item], known: Callable[[set[bytes]], dict[bytes, Known]]) -> None:
        """Find units that are not what their own files say, and links that say something of another unit."""
        now = {item.key(): item for item in items if isinstance(item, DaemonItem)}
        subjects = {subject for visit in self._visited.visits for subject in visit.subjects}
        touched = {subject for subject in subjects if not subject.startswith((LINK, EVERY_UNIT))}
        before = known(touched | {key for key, item in now.items() if item.runlevels in _ELSEWHERE})
        for visit in self._visited.visits:
            if any(_is_of_others(now.get(name), before.get(name)) for name in visit.subjects & touched):
                visit.subjects.add(EVERY_UNIT)
        self._elsewhere = {key for key, item in now.items() if item.runlevels in _ELSEWHERE}
        self._elsewhere |= {key for key, was in before.items() if _runlevels(was) in _ELSEWHERE}

    def of(self, key: bytes) -> Columns:
        """Return who changed an item, as columns of ConfigurationChange; none where that is not certain."""
        if self._inquiry is None or not self._visited.known or key in self._elsewhere:
            return {}
        if any(self._fits(subject, key) for subject in self._visited.doubted):
            return {}
        numbers = tuple(n for n, visit in enumerate(self._visited.visits) if self._concerns(visit, key))
        if numbers and numbers not in self._cache:
            self._cache[numbers] = common([self._told(self._visited.visits[n]) for n in numbers])
        return self._cache.get(numbers, {})

    def _concerns(self, visit: Visit, key: bytes) -> bool:
        return any(self._fits(subject, key) for subject in visit.subjects)

    def _fits(self, subject: bytes, key: bytes) -> bool:
        return fits_unit(subject, key) if self._kind is Kind.DAEMONS else subject == source_of(key)

    def _told(self, visit: Visit) -> Columns:
        if visit.columns is None and self._inquiry is not None:
            visit.columns = self._inquiry.visitor(visit)
        return visit.columns or {}


def source_of(key: bytes) -> bytes:
    """Return the package system of a package: what its key begins with."""
    return key.partition(b"\0")[0].partition(b"/")[0]


def _runlevels(known: Known) -> str:
    return known.item.runlevels if isinstance(known.item, DaemonItem) else ""


def _is_of_others(now: DaemonItem | None, before: Known | None) -> bool:
    """Whether a name that was touched may be another's: an alias, or a name of which nothing is known."""
    words = [item for item in (now and now.runlevels, before and _runlevels(before)) if item]
    return not words or not set(words).isdisjoint(_OTHER_NAMES)
