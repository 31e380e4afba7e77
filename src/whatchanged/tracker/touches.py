"""Who touched a path: what watchers say of processes, and what whoever records a change asks of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from whatchanged.records.items import Kind
from whatchanged.tracker.visits import Columns, Visit, Visited

__all__ = ["Attribution", "Inquiry", "Nobody", "Stretch", "Touch", "together"]


class Stretch(msgspec.Struct):
    """When a process touched something: between two moments (nanoseconds of the monotonic clock)."""

    place: int
    """Of its last event among all events."""
    since_ns: int
    until_ns: int
    first: int
    """Place of its first event."""

    def joined(self, other: Stretch) -> Stretch:
        """Return the stretch that holds both."""
        return Stretch(
            max(self.place, other.place),
            min(self.since_ns, other.since_ns),
            max(self.until_ns, other.until_ns),
            min(self.first, other.first),
        )


class Touch(msgspec.Struct):
    """Who touched a path."""

    processes: dict[int, Stretch]
    unknown_ns: int = 0
    """When somebody of whom nothing is known did so at last; 0: nobody did."""

    def rest(self, before_ns: int) -> Touch | None:
        """Return the touches that are not over before a moment, None if there are none."""
        left = {pid: stretch for pid, stretch in self.processes.items() if stretch.until_ns >= before_ns}
        unknown_ns = self.unknown_ns if self.unknown_ns >= before_ns else 0
        return Touch(left, unknown_ns) if left or unknown_ns else None


def together(touches: Iterable[Touch]) -> Touch | None:
    """Return one touch for all of them: of several paths of one change."""
    whole: Touch | None = None
    for touch in touches:
        whole = whole or Touch({})
        for process, stretch in touch.processes.items():
            before = whole.processes.get(process)
            whole.processes[process] = stretch if before is None else before.joined(stretch)
        whole.unknown_ns = max(whole.unknown_ns, touch.unknown_ns)
    return whole


class Inquiry(Protocol):
    """Answers about the touches of one batch."""

    def columns(self, touch: Touch | None, changed_ns: int | None) -> Columns:
        """Return the columns of ConfigurationChange that say who; none if that is not known.

        `changed_ns`: the change time of what was found (wall clock), None if it is gone.
        """

    def visitor(self, visit: Visit) -> Columns:
        """Return the columns of ConfigurationChange that say who a visit was; none if that is not known."""


class Attribution(Protocol):
    """Who touched paths of late."""

    def inquiry(self) -> Inquiry | None:
        """Wait until all that happened so far is known; return a way to ask, None if nobody can say."""

    def take(self, path: bytes, looked_ns: int) -> Touch | None:
        """Return the touch of `path`, and forget what was over when the look at it began (monotonic clock, ns)."""

    def visited(self, kind: Kind) -> Visited:
        """Return who touched the files of a kind that is looked at whole, since a look at it was settled."""

    def settle(self, kind: Kind, before_ns: int, held: frozenset[bytes] = frozenset()) -> None:
        """Forget who came before a look that began at `before_ns` and was recorded, but for `held` subjects."""


class Nobody:
    """The attribution of a system that names nobody."""

    def inquiry(self) -> None:
        """Nobody can say."""
        return

    def take(self, path: bytes, looked_ns: int) -> None:
        """Nobody touched it that is known."""
        return

    def visited(self, kind: Kind) -> Visited:
        """Nobody came that is known."""
        return Visited()

    def settle(self, kind: Kind, before_ns: int, held: frozenset[bytes] = frozenset()) -> None:
        """There is nothing to forget."""
