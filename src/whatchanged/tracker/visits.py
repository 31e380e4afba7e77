"""Who touched the files in which a kind that is looked at whole has its items: package databases, unit folders.

A look at such a kind shows what changed since the look before, not when. So a change is somebody's only where
everybody is known who came since then, and where they are the same program and account. Whoever came while a look was
under way may have come after what it read: he counts for that look, and for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from whatchanged.records.items import Value

__all__ = ["Columns", "Visit", "Visited", "Visits", "common"]

_MOST = 256
"""Visits that are kept apart: who comes beyond them makes everything unknown until the next look."""
_MOST_SUBJECTS = 512

Columns = Mapping[str, Value]
"""The columns of ConfigurationChange that say who."""


class Visit(msgspec.Struct):
    """A process that touched files between two moments (CLOCK_MONOTONIC, ns)."""

    pid: int
    place: int
    """Of its last event among all events."""
    since_ns: int
    until_ns: int
    subjects: set[bytes]
    """What the files belong to: a package system, a unit."""
    first: int
    """Place of its first event."""
    columns: Columns | None = None
    """Who it was, once that was asked; empty where it is not known."""


class Visited(msgspec.Struct, frozen=True):
    """The visits that a look has to reckon with."""

    visits: tuple[Visit, ...] = ()
    known: bool = False
    """Nobody came unseen."""
    doubted: frozenset[bytes] = frozenset()
    """Subjects to which somebody may have come unseen."""


class Visits:
    """The visits to one kind. Not safe for threads."""

    def __init__(self) -> None:
        self._open: dict[int, Visit] = {}
        self._told: list[Visit] = []
        self._lost_ns: int | None = 0
        self._doubted: frozenset[bytes] = frozenset()

    def lose(self, at_ns: int) -> None:
        """Note that somebody may have come unseen until now."""
        self._open.clear()
        self._told.clear()
        self._lost_ns = at_ns

    def add(self, pid: int, place: int, since_ns: int, until_ns: int, subject: bytes) -> None:
        """Note a touch; `pid` 0 is somebody of whom nothing is known."""
        visit = self._open.get(pid)
        if visit is None:
            if len(self._open) + len(self._told) >= _MOST:
                self.lose(until_ns)
            visit = self._open[pid] = Visit(pid, place, since_ns, until_ns, set(), place)
        visit.place, visit.until_ns = place, until_ns
        if len(visit.subjects) >= _MOST_SUBJECTS and subject not in visit.subjects:
            self.lose(until_ns)
        else:
            visit.subjects.add(subject)

    def untold(self, before_ns: int) -> list[Visit]:
        """Return the visits that ended before a moment and of which it was not asked yet who it was."""
        return [visit for visit in self._open.values() if visit.until_ns < before_ns]

    def tell(self, asked: Visit, until_ns: int, columns: Columns) -> None:
        """Note who a visit was, as far as it went until `until_ns`: what the process does later is another one."""
        if self._open.get(asked.pid) is not asked or asked.until_ns != until_ns:
            return
        del self._open[asked.pid]
        for told in self._told:
            if told.columns == columns:
                told.since_ns = min(told.since_ns, asked.since_ns)
                told.until_ns = max(told.until_ns, until_ns)
                told.subjects |= asked.subjects
                return
        asked.columns = columns
        self._told.append(asked)

    def seen(self) -> Visited:
        """Return what a look that ends now has to reckon with."""
        visits = (*self._told, *self._open.values())
        copies = tuple(msgspec.structs.replace(visit, subjects=set(visit.subjects)) for visit in visits)
        return Visited(copies, self._lost_ns is None, self._doubted)

    def settle(self, before_ns: int, held: frozenset[bytes]) -> None:
        """Forget who came before a look that began at `before_ns` and that was recorded, but for `held` subjects.

        Those were not looked at whole, or not taken over.
        """
        if self._lost_ns is not None:
            if self._lost_ns >= before_ns:
                return
            self._lost_ns, self._doubted = None, held
        self._doubted &= held
        for visit in (*self._told, *self._open.values()):
            if visit.until_ns < before_ns:
                visit.subjects &= held
        self._told = [visit for visit in self._told if visit.subjects]
        self._open = {pid: visit for pid, visit in self._open.items() if visit.subjects}


def common(found: Iterable[Columns]) -> Columns:
    """Return what holds for all of several; nothing if the program does not, or if one of them is not known."""
    first, *others = found
    same = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    # An account or a parent without the program would be half an answer.
    return same if "InitiatingProcessName" in same else {}
