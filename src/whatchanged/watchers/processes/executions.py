"""Which record of audit is of which execution that the process events told.

A record bears the time at which its system call began, by a clock that is never ahead, but may be behind (by a tick, or
as long as a virtual processor stands still); an event the time at which the program was in place. So a record is of an
event between that time and its own arrival, and the records of a process come in the order of its executions. A record
counts only if all pairs of both lists that keep to that agree on its event: where one may be missing, nothing is said.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from whatchanged.watchers.processes.audit_records import Execution

__all__ = ["Executed", "Executions", "agreed"]

_EARLY_NS = 1_000_000
"""So much may two clocks be apart when they are read one after the other."""
_KEPT_NS = 10 * 10**9
_MOST = 65536

T = TypeVar("T")


class Executed(msgspec.Struct, eq=False):
    """What audit says of one execution of a program, when it has said so."""

    told: Execution | None = None


class _Told(msgspec.Struct, frozen=True):
    execution: Execution
    at_ns: int
    received_ns: int


class _Process(msgspec.Struct, eq=False):
    began: list[tuple[int, Executed]] = msgspec.field(default_factory=list)
    told: list[_Told] = msgspec.field(default_factory=list)


class Executions:
    """Executions and records of the last ten seconds, by pid. Times are CLOCK_MONOTONIC in ns."""

    def __init__(self, *, most: int = _MOST) -> None:
        self._processes: dict[int, _Process] = {}
        self._order: deque[tuple[int, int]] = deque()
        self._known_ns: int | None = None
        """Every execution since then is known; None: executions may be missing."""
        self._most = most

    def __len__(self) -> int:
        return len(self._order)

    def began(self, at_ns: int, pid: int, executed: Executed) -> None:
        """A process runs another program; `executed` is filled in when a record is known to be of it."""
        self._processes.setdefault(pid, _Process()).began.append((at_ns, executed))
        self._note(at_ns, pid)

    def told(self, execution: Execution, at_ns: int, received_ns: int) -> None:
        """Take in a record, `at_ns` is its time. The executions until it was received must have been told before."""
        if self._known_ns is None or at_ns - _EARLY_NS < self._known_ns:
            return
        process = self._processes.setdefault(execution.pid, _Process())
        process.told.append(_Told(execution, at_ns, received_ns))
        process.told.sort(key=lambda told: told.execution.serial)
        for number, place in _assigned([at for at, _ in process.began], process.told).items():
            process.began[place][1].told = process.told[number].execution
        self._note(at_ns, execution.pid)

    def lost(self) -> None:
        """Executions may be missing."""
        self._processes.clear()
        self._order.clear()
        self._known_ns = None

    def complete(self, from_ns: int) -> None:
        """Every execution since then was told, or will be."""
        self._known_ns = from_ns

    def _note(self, at_ns: int, pid: int) -> None:
        self._order.append((at_ns, pid))
        while self._order and (self._order[0][0] + _KEPT_NS < at_ns or len(self._order) > self._most):
            self._forget(*self._order.popleft())

    def _forget(self, at_ns: int, pid: int) -> None:
        if self._known_ns is not None:
            self._known_ns = max(self._known_ns, at_ns + 1)
        process = self._processes.get(pid)
        if process is None:
            return
        process.began = [one for one in process.began if one[0] > at_ns]
        process.told = [one for one in process.told if one.at_ns - _EARLY_NS > at_ns]
        if not process.began and not process.told:
            del self._processes[pid]


def _assigned(began: Sequence[int], told: Sequence[_Told]) -> dict[int, int]:
    """Return the place among `began` of each record of which it is certain."""
    ranges = [_range(began, one) for one in told]
    first: list[int] = []
    for low, high in ranges:
        place = max(low, first[-1] + 1 if first else 0)
        if place > high:
            return {}
        first.append(place)
    certain: dict[int, int] = {}
    after = len(began)
    for number in reversed(range(len(told))):
        after = min(ranges[number][1], after - 1)
        if after == first[number]:
            certain[number] = after
    return certain


def _range(began: Sequence[int], told: _Told) -> tuple[int, int]:
    """Return the first and the last event that a record can be of."""
    return bisect_left(began, told.at_ns - _EARLY_NS), bisect_right(began, told.received_ns) - 1


def agreed(one: T | None, other: T | None) -> T | None:
    """Return what one of two says, where the other says nothing or the same; None where they contradict each other."""
    if one is None or other is None:
        return other if one is None else one
    return one if one == other else None
