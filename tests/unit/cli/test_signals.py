"""A process that is asked to end does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from whatchanged.cli.signals import stop_on


@pytest.fixture
def restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("restored")
def test_a_signal_that_comes_while_the_event_is_held() -> None:
    stop = threading.Event()
    stop_on([signal.SIGTERM], stop)
    with stop._cond:  # type: ignore[attr-defined]  # as `wait` does, between two instructions of which a handler runs
        signal.raise_signal(signal.SIGTERM)
    assert stop.wait(10)
