"""How much of the machine a run may use: bytes a second and a share of one core, less where others want it.

A budget slows down, it never refuses. It is spent between reads, by whichever thread reads. Others are heard through
the kernel's pressure stall information for the processor (Documentation/accounting/psi.rst): work that had to wait.
For disks the run is in the idle class instead (`be_idle`), because its own waiting would look like that of others.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Budget", "Pressure", "Throttle", "Unlimited", "be_idle", "parse_pressure"]

_LONGEST_PAUSE = 1.0
"""Seconds of one pause at most: a stop and a new budget are noticed in between."""
_WINDOW = 10.0
"""Seconds over which the share of a core is measured: a quiet hour must not pay for a busy minute."""


_CALM, _PRESSED = 25.0, 75.0
"""Percent of time in which somebody waited for a processor: up to the first the budget is whole, from the second on
there is a quarter of it."""
_LEAST = 0.25
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
"""Numbers of ioprio_set(2), which has no wrapper in C libraries."""
_IOPRIO_WHO_PROCESS, _IOPRIO_CLASS_IDLE, _IOPRIO_CLASS_SHIFT = 1, 3, 13


class Budget(Protocol):
    """What a run spends from."""

    def spend(self, count: int) -> None:
        """Account for `count` bytes read (0: only the work of looking), and wait when it was too much."""


class Unlimited:
    """No budget: never waits."""

    def spend(self, count: int) -> None:
        """Return at once."""


class Pressure:
    """How long others waited for a processor, in percent of the last ten seconds; asked at most once a second."""

    def __init__(self, path: str = "/proc/pressure/cpu") -> None:
        self._path = path
        self._asked = 0.0
        self._last = 0.0

    def __call__(self) -> float:
        """Return the percentage; 0 where the kernel does not say."""
        if time.monotonic() - self._asked > 1.0:
            self._asked = time.monotonic()
            try:
                with open(self._path, "rb") as file:
                    self._last = parse_pressure(file.read(4096))
            except OSError:  # a kernel without PSI, or one that has it switched off
                self._last = 0.0
        return self._last


def parse_pressure(raw: bytes) -> float:
    """Return `avg10` of the line `some`; 0 if there is none. Pure."""
    for line in raw.split(b"\n"):
        words = line.split()
        if words[:1] == [b"some"]:
            for word in words[1:]:
                name, _, value = word.partition(b"=")
                if name == b"avg10" and value.replace(b".", b"", 1).isdigit():
                    return min(float(value), 100.0)
    return 0.0


def be_idle() -> bool:
    """Give this thread, and those that it starts, the disk only when nobody else wants it (ioprio_set(2))."""
    number = _IOPRIO_SET.get(platform.machine())
    if number is None or os.name != "posix":
        return False
    idle = _IOPRIO_CLASS_IDLE << _IOPRIO_CLASS_SHIFT
    return bool(ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, idle) == 0)


class Throttle:
    """A token bucket of bytes, and a share of one core, both optional; both shrink under pressure."""

    def __init__(
        self,
        *,
        bytes_per_second: int | None = None,
        core_share: float | None = None,
        pressure: Callable[[], float] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError("bytes_per_second must be positive")
        if core_share is not None and core_share <= 0:
            raise ValueError("core_share must be positive")
        self._rate = bytes_per_second
        self._share = core_share
        self._pressure = pressure or (lambda: 0.0)
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self.waited = 0.0
        """Seconds that all threads together have waited."""
        self._tokens = float(bytes_per_second or 0)
        self._filled = time.monotonic()
        self._window_start = self._filled
        self._window_cpu = time.process_time()

    def spend(self, count: int) -> None:
        """Wait until `count` bytes and the work done so far fit the budget, or the run is told to stop."""
        with self._lock:
            part = _part(self._pressure())
            pause = max(self._byte_debt(count, part), self._core_debt(part))
            self.waited += pause
        while pause > 0 and not self._stop.is_set():
            step = min(pause, _LONGEST_PAUSE)
            self._stop.wait(step)
            pause -= step

    def _byte_debt(self, count: int, part: float) -> float:
        if self._rate is None:
            return 0.0
        now = time.monotonic()
        rate = self._rate * part
        self._tokens = min(rate, self._tokens + (now - self._filled) * rate) - count
        self._filled = now
        return max(0.0, -self._tokens / rate)

    def _core_debt(self, part: float) -> float:
        if self._share is None:
            return 0.0
        wall = time.monotonic() - self._window_start
        used = time.process_time() - self._window_cpu
        debt = used / (self._share * part) - wall
        if wall > _WINDOW and debt <= 0:
            self._window_start += wall
            self._window_cpu += used
        return max(0.0, debt)


def _part(pressure: float) -> float:
    """Return which part of the budget there is under `pressure` (percent)."""
    pressed = min(max((pressure - _CALM) / (_PRESSED - _CALM), 0.0), 1.0)
    return 1.0 - pressed * (1.0 - _LEAST)
