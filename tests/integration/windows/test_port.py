"""The completion port that all watchers share."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
import win32event

from integration.windows.listening import open_handles
from whatchanged.watchers.windows import Port

EVENTS = 200


def _tell(told: list[int], index: int, _size: int) -> None:
    told.append(index)


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.close()


def test_more_events_than_a_thread_can_wait_for(port: Port) -> None:
    told: list[int] = []
    events, waits = [], []
    for index in range(EVENTS):
        event = win32event.CreateEvent(None, False, False, None)
        events.append(event)
        waits.append(port.wait_for(int(event), port.enlist(partial(_tell, told, index))))
    for round_ in range(3):
        for event in events:
            win32event.SetEvent(event)
        while len(told) < EVENTS * (round_ + 1):
            assert port.wait(30)
        assert sorted(told[EVENTS * round_ :]) == list(range(EVENTS))
    waits[0].close()
    win32event.SetEvent(events[0])
    win32event.SetEvent(events[1])
    port.wait(30)
    assert told[EVENTS * 3 :] == [1]
    for wait in waits[1:]:
        wait.close()


def test_another_thread_ends_the_wait(port: Port) -> None:
    going = threading.Event()
    ended: list[float] = []

    def wait() -> None:
        going.set()
        while port.wait(600):
            pass
        ended.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    going.wait()
    began = time.monotonic()
    port.end()
    thread.join(30)
    assert ended[0] - began < 2
    assert not port.wait(600), "it stays ended"


def test_what_nobody_waits_for_any_more_is_thrown_away(port: Port) -> None:
    told: list[int] = []
    number = port.enlist(told.append)
    port.post(number)
    port.wait(30)
    assert told == [0]
    port.post(number)
    port.dismiss(number)
    port.wait(30)
    assert told == [0]


def test_waiting_has_an_end(port: Port) -> None:
    assert port.wait(0.01)


def test_a_port_is_given_back() -> None:
    before = open_handles()
    for _ in range(20):
        made = Port()
        made.close()
        made.close()
        made.post()
    assert open_handles() <= before + 2
