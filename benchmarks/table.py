"""What a measurement says: one line each, ratios beside their goals."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Measure", "show"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Our figure beside a peer's, in the same unit and the same run."""

    name: str
    ours: float
    peer: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    """The goal is a lower bound (rates) and not an upper one (times)."""

    @property
    def ratio(self) -> float:
        """Ours in units of the peer's."""
        return self.ours / self.peer

    def verdict(self) -> str:
        """Return the goal and whether it was met."""
        if self.goal is None:
            return "-"
        met = self.ratio >= self.goal if self.at_least else self.ratio <= self.goal
        return f"{'>=' if self.at_least else '<='} {self.goal:g} {'met' if met else 'MISSED'}"


def show(measures: Sequence[Measure], notes: Sequence[str]) -> None:
    """Print the table, what was left out, and how busy the machine was."""
    width = max((len(m.name) for m in measures), default=0)
    print(f"\n{'':<{width}} {'ours':>10} {'peer':>10} {'':<7} {'ratio':>6}  goal")
    for m in measures:
        print(f"{m.name:<{width}} {_figure(m.ours)} {_figure(m.peer)} {m.unit:<7} {m.ratio:>6.2f}  {m.verdict()}")
    for note in notes:
        print(note)
    if sys.platform != "win32":
        minute, five, _ = os.getloadavg()
        print(f"{os.cpu_count()} cores, load of the last minute and five: {minute:.2f} {five:.2f}")


def _figure(value: float) -> str:
    return f"{value:>10,.0f}" if value >= 1000 else f"{value:>10.2f}"
