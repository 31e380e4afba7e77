"""How much of the machine a run may use: bytes a second and a share of one core, less where others want it.

A budget slows down, it never refuses. It is spent between reads, by whichever thread reads, and each thread that
spends accounts for its own time of the processor: what the rest of the process does (watching a busy machine) is no
looking, and must not starve it. Others are heard through
the kernel's pressure stall information for the processor (Documentation/accounting/psi.rst): work that had to wait.
For disks the run is in the idle class instead (`be_idle`), because its own waiting would look like that of others.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

__all__ = ["Budget", "Pressure", "Spent", "Throttle", "Unlimited", "be_idle", "idle_as_this_thread", "parse_pressure"]

_LONGEST_PAUSE = 1.0
"""Seconds of one pause at most: a stop and a new budget are noticed in between."""
_WINDOW = 10.0
"""Seconds over which the share of a core is measured: a quiet hour must not pay for a busy minute."""
_MEASURED = 60.0
"""Seconds over which is told what was used."""
_CALM, _PRESSED = 25.0, 75.0
"""Percent of time in which somebody waited for a processor: up to the first the budget is whole, from the second on
there is a quarter of it."""
_LEAST = 0.25
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
"""Numbers of ioprio_set(2), which has no wrapper in C libraries."""
_THREAD_MODE_BACKGROUND_BEGIN = 0x10000
_this_thread = threading.local()
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
    """Give this thread, and the threads that it starts to look, the disk only when nobody else wants it.

    Linux: ioprio_set(2), which every thread inherits. Windows: background mode, of each thread its own
    (`idle_as_this_thread`); that of a process would also cut its memory to 32 MiB.
    """
    if sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32")
        kernel32.GetCurrentThread.restype = ctypes.c_void_p
        kernel32.SetThreadPriority.argtypes = (ctypes.c_void_p, ctypes.c_int)
        begun = bool(kernel32.SetThreadPriority(kernel32.GetCurrentThread(), _THREAD_MODE_BACKGROUND_BEGIN))
        _this_thread.idle = begun
        return begun
    number = _IOPRIO_SET.get(platform.machine())
    if number is None or os.name != "posix":
        return False
    idle = _IOPRIO_CLASS_IDLE << _IOPRIO_CLASS_SHIFT
    return bool(ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, idle) == 0)


def idle_as_this_thread() -> Callable[[], object]:
    """Return what a thread does that this one starts, to be as idle."""
    return be_idle if getattr(_this_thread, "idle", False) else lambda: None


class Spent(msgspec.Struct, frozen=True):
    """What there is, and what was used over the last minute."""

    core_share: float | None
    """Share of a core that may be used, on average; None: any."""
    bytes_per_second: int | None
    pressure: float
    """Percent of time in which somebody waited for a processor."""
    part: float
    """Which part of both there is under that pressure, from 0.25 to 1."""
    used_share: float
    """Share of a core that the looking threads used."""
    used_bytes_per_second: float
    waited: float
    """Seconds that they waited for the budget, all together."""
    waited_total: float
    """The same since the process began."""


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
        self._thread = threading.local()
        self.waited = 0.0
        """Seconds that all threads together have waited."""
        self._cpu = 0.0
        self._bytes = 0
        self._tokens = float(bytes_per_second or 0)
        self._filled = time.monotonic()
        self._window_start = self._filled
        self._window_cpu = 0.0
        self._samples: deque[tuple[float, float, int, float]] = deque([(self._filled, 0.0, 0, 0.0)], maxlen=70)

    def spend(self, count: int) -> None:
        """Wait until `count` bytes and the work done so far fit the budget, or the run is told to stop."""
        with self._lock:
            part = _part(self._pressure())
            self._cpu += self._work()
            self._bytes += count
            pause = max(self._byte_debt(count, part), self._core_debt(part))
            self.waited += pause
            self._sample()
        while pause > 0 and not self._stop.is_set():
            step = min(pause, _LONGEST_PAUSE)
            self._stop.wait(step)
            pause -= step

    def spent(self) -> Spent:
        """Return what was used of late."""
        with self._lock:
            now = time.monotonic()
            old = [sample for sample in self._samples if sample[0] <= now - _MEASURED]
            began, cpu, read, waited = old[-1] if old else self._samples[0]
            seconds = min(max(now - began, 1.0), _MEASURED)
            pressure = self._pressure()
            return Spent(
                core_share=self._share,
                bytes_per_second=self._rate,
                pressure=pressure,
                part=_part(pressure),
                used_share=(self._cpu - cpu) / seconds,
                used_bytes_per_second=(self._bytes - read) / seconds,
                waited=self.waited - waited,
                waited_total=self.waited,
            )

    def _work(self) -> float:
        """Return the seconds that this thread has worked since it spent last; for a new one, since it began."""
        worked = time.thread_time()
        before: float | None = getattr(self._thread, "worked", None)
        self._thread.worked = worked
        # A thread that did other things before it came to us does not owe for them.
        return min(worked, time.monotonic() - self._window_start) if before is None else worked - before

    def _sample(self) -> None:
        now = time.monotonic()
        if now - self._samples[-1][0] >= 1.0:
            self._samples.append((now, self._cpu, self._bytes, self.waited))

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
        used = self._cpu - self._window_cpu
        debt = used / (self._share * part) - wall
        if wall > _WINDOW and debt <= 0:
            self._window_start += wall
            self._window_cpu += used
        return max(0.0, debt)


def _part(pressure: float) -> float:
    """Return which part of the budget there is under `pressure` (percent)."""
    pressed = min(max((pressure - _CALM) / (_PRESSED - _CALM), 0.0), 1.0)
    return 1.0 - pressed * (1.0 - _LEAST)
