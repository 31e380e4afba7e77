"""Unit signals: the thread that listens to systemd, and lets the daemons be looked at when it says something.

It owns the connection and nothing else, apart from the watchers of files: neither ends with the other. A bus that was
lost is a look, a health record, and another try after a growing pause; one that is not there is said once.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from whatchanged.errors import OperationError, WatchError
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns
from whatchanged.tracker.state import State
from whatchanged.watchers.hints import Hint, Reach
from whatchanged.watchers.systemd import BusAbsent, SystemdBus

__all__ = ["UnitSignals"]

log = logging.getLogger(__name__)

_BATCH_SECONDS = 0.02
_LONGEST_WAIT = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class UnitSignals:
    """Hints for the daemons, from systemd's bus."""

    def __init__(
        self,
        state: State,
        stop: threading.Event,
        deliver: Callable[[Hint], None],
        connect: Callable[[], SystemdBus] | None,
    ) -> None:
        """`connect` opens the bus; None where nobody listens."""
        self._state = state
        self._stop = stop
        self._deliver = deliver
        self._connect = connect
        self._wanted = threading.Event()
        self._condition = "Off" if connect is None else "Waiting"
        self._reason = ""
        self._told = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def want(self, *, wanted: bool) -> None:
        """Say whether daemons are looked at; else nobody need tell of them."""
        if wanted:
            self._wanted.set()
        elif not self._stop.is_set():
            self._wanted.clear()
        self.wake()

    def wake(self) -> None:
        """Let the thread notice that something is new, or that it shall stop."""
        if self._stop.is_set():
            self._wanted.set()
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def status(self) -> Mapping[str, Any]:
        """Return whether systemd is heard, and why not, for `status`."""
        return {"state": self._condition, "reason": self._reason, "signals": self._told}

    def run(self) -> None:
        """Listen until stopped."""
        if self._connect is None:
            self._stop.wait()
            return
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            self._wanted.wait()
            began = time.monotonic()
            try:
                self._listen(self._connect)
                continue
            except BusAbsent as error:
                self._say("Absent", HealthStatus.OK, str(error))
            except (WatchError, OSError) as error:
                if self._condition == "Heard":
                    self._look()
                self._say("Lost", HealthStatus.WARNING, str(error))
            pause = _FIRST_PAUSE if time.monotonic() - began > _LONGEST_PAUSE else pause
            self._stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _listen(self, connect: Callable[[], SystemdBus]) -> None:
        """Listen to one connection while somebody wants it. Raises WatchError."""
        with contextlib.closing(connect()) as bus:
            poll = select.poll()
            poll.register(bus.fileno(), select.POLLIN)
            poll.register(self._wake_read, select.POLLIN)
            self._say("Heard", HealthStatus.OK, "")
            self._look()  # what happened until now was told to nobody
            while self._wanted.is_set() and not self._stop.is_set():
                poll.poll(_LONGEST_WAIT * 1000)
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._stop.wait(_BATCH_SECONDS)
                if bus.read():
                    self._told += 1
                    self._look()
        self._condition = "Waiting"

    def _look(self) -> None:
        self._deliver(Hint(b"/", time.monotonic(), Reach.TREE))

    def _say(self, condition: str, status: HealthStatus, reason: str) -> None:
        if (condition, reason) != (self._condition, self._reason):
            log.info("systemd: %s %s", condition, reason)
        self._condition, self._reason = condition, reason
        lost = condition == "Lost"
        detail = f"{reason}; services are looked at when a file of theirs changes, and by polls" if reason else ""
        with contextlib.suppress(OperationError):  # told again with the next occasion
            self._state.report(
                HealthRecord(
                    component=Component.TRACKER,
                    status=status,
                    reason=HealthReason.WATCH_LOST if lost else HealthReason.WATCHING,
                    time_ns=now_ns(),
                    kind=Kind.DAEMONS.value,
                    detail=printable(detail) or "systemd tells of its services",
                ),
                subject="bus",
            )
