"""How much of the machine a run may use: bytes a second and a share of one core.

A budget slows down, it never refuses. It is spent between reads, by whichever thread reads.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Budget", "Throttle", "Unlimited"]

_LONGEST_PAUSE = 1.0
"""Seconds of one pause at most: a stop and a new budget are noticed in between."""
_WINDOW = 10.0
"""Seconds over which the share of a core is measured: a quiet hour must not pay for a busy minute."""


class Budget(Protocol):
    """What a run spends from."""

    def spend(self, count: int) -> None:
        """Account for `count` bytes read (0: only the work of looking), and wait when it was too much."""


class Unlimited:
    """No budget: never waits."""

    def spend(self, count: int) -> None:
        """Return at once."""


class Throttle:
    """A token bucket of bytes, and a share of one core, both optional."""

    def __init__(
        self,
        *,
        bytes_per_second: int | None = None,
        core_share: float | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError("bytes_per_second must be positive")
        if core_share is not None and core_share <= 0:
            raise ValueError("core_share must be positive")
        self._rate = bytes_per_second
        self._share = core_share
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._tokens = float(bytes_per_second or 0)
        self._filled = time.monotonic()
        self._window_start = self._filled
        self._window_cpu = time.process_time()

    def spend(self, count: int) -> None:
        """Wait until `count` bytes and the work done so far fit the budget, or the run is told to stop."""
        with self._lock:
            pause = max(self._byte_debt(count), self._core_debt())
        while pause > 0 and not self._stop.is_set():
            step = min(pause, _LONGEST_PAUSE)
            self._stop.wait(step)
            pause -= step

    def _byte_debt(self, count: int) -> float:
        if self._rate is None:
            return 0.0
        now = time.monotonic()
        self._tokens = min(float(self._rate), self._tokens + (now - self._filled) * self._rate) - count
        self._filled = now
        return max(0.0, -self._tokens / self._rate)

    def _core_debt(self) -> float:
        if self._share is None:
            return 0.0
        wall = time.monotonic() - self._window_start
        used = time.process_time() - self._window_cpu
        debt = used / self._share - wall
        if wall > _WINDOW and debt <= 0:
            self._window_start += wall
            self._window_cpu += used
        return max(0.0, debt)
