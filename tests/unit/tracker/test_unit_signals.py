"""The thread that listens to systemd: what a bus that comes and goes leads to."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from whatchanged.errors import WatchError
from whatchanged.tracker.state import State
from whatchanged.tracker.unit_signals import UnitSignals
from whatchanged.watchers.hints import Hint
from whatchanged.watchers.systemd import BusAbsent, SystemdBus


class Bus(SystemdBus):
    """A connection that a test writes to: a byte is a signal, its end the end of the bus."""

    def __init__(self) -> None:
        self.out, self.test = os.pipe()

    def fileno(self) -> int:
        return self.out

    def read(self) -> bool:
        if not os.read(self.out, 100):
            raise WatchError("systemd's bus is gone")
        return True

    def close(self) -> None:
        os.close(self.out)


class Listening:
    """The thread on a state of its own, with the connections that a test puts there."""

    def __init__(self, folder: Path) -> None:
        self._database = folder / "changetracking.db"
        self._state = State(str(self._database), quota_bytes=10**9, machine="m", identity={})
        self._stop = threading.Event()
        self.next: queue.Queue[Bus | WatchError] = queue.Queue()
        self.hints: queue.Queue[Hint] = queue.Queue()
        self.signals = UnitSignals(self._state, self._stop, self.hints.put, self._connect)
        self._thread = threading.Thread(target=self.signals.run)
        self._thread.start()
        self.signals.want(wanted=True)

    def _connect(self) -> SystemdBus:
        found = self.next.get(timeout=30)
        if isinstance(found, WatchError):
            raise found
        return found

    def said(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self._database)) as database:
            rows = database.execute("SELECT record FROM outbox WHERE stream = 'TRACKING_HEALTH' ORDER BY id").fetchall()
        records = [msgspec.msgpack.decode(row[0]) for row in rows]
        return [(r["Reason"], r["Status"]) for r in records if "systemd" in r.get("Detail", "")]

    def end(self) -> None:
        self._stop.set()
        self.signals.wake()
        self.next.put(BusAbsent("the test ends"))
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._state.close()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    made = Listening(tmp_path)
    yield made
    made.end()


def test_a_connection_a_signal_and_a_loss_each_mean_a_look(listening: Listening) -> None:
    first, second = Bus(), Bus()
    listening.next.put(first)
    listening.hints.get(timeout=10)
    os.write(first.test, b"x")
    listening.hints.get(timeout=10)
    os.close(first.test)
    listening.hints.get(timeout=10)
    listening.next.put(second)
    listening.hints.get(timeout=10)
    assert listening.signals.status() == {"state": "Heard", "reason": "", "signals": 1}
    assert listening.said() == [("Watching", "Ok"), ("WatchLost", "Warning"), ("Watching", "Ok")]
    listening.signals.want(wanted=False)
    os.close(second.test)


def test_a_bus_that_is_not_there_is_said_once_and_is_no_trouble(listening: Listening) -> None:
    bus = Bus()
    for _ in range(2):
        listening.next.put(BusAbsent("systemd's bus cannot be heard: No such file or directory"))
    listening.next.put(bus)
    listening.hints.get(timeout=20)
    assert listening.said() == [("Watching", "Ok"), ("Watching", "Ok")]
    listening.signals.want(wanted=False)
    os.close(bus.test)
