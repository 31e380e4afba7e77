"""The budget: what it allows, and how it gives way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors.files.budget import Pressure, Throttle, parse_pressure

if sys.platform == "win32":
    pytest.skip("Linux", allow_module_level=True)


class Waited(threading.Event):
    """Never stops, and waits for nothing: it adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0.0
        return False


def spent(pressure: float, count: int) -> float:
    """Seconds that reading `count` bytes at 1 MB/s has to wait."""
    waited = Waited()
    budget = Throttle(bytes_per_second=1_000_000, pressure=lambda: pressure, stop=waited)
    budget.spend(count)
    assert budget.waited == pytest.approx(waited.seconds)
    return waited.seconds


def test_more_bytes_than_the_rate_allows_have_to_wait_and_longer_under_pressure() -> None:
    assert spent(0.0, 500_000) == 0.0
    assert spent(0.0, 3_000_000) == pytest.approx(2.0, abs=0.1)
    assert spent(25.0, 3_000_000) == pytest.approx(2.0, abs=0.1)
    # A quarter of the rate: a quarter of a second's worth may be spent at once, the rest waits.
    assert spent(75.0, 3_000_000) == spent(100.0, 3_000_000) == pytest.approx(11.0, abs=0.4)


def work(seconds: float) -> None:
    """Use the processor in this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def in_a_thread(target: Callable[[], None]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def test_only_the_work_of_threads_that_spend_counts() -> None:
    waited = Waited()
    budget = Throttle(core_share=0.001, stop=waited)
    in_a_thread(lambda: work(0.3))  # watching a busy machine
    in_a_thread(lambda: budget.spend(0))
    assert waited.seconds < 100  # the beginning of the thread itself, but not the 0.3 s

    def look() -> None:
        work(0.2)
        budget.spend(0)

    in_a_thread(look)  # a thread of a pool, that was not there before
    assert waited.seconds > 100
    spent = budget.spent()
    assert spent.used_share > 0
    assert spent.waited_total == spent.waited == pytest.approx(waited.seconds)
    assert (spent.core_share, spent.bytes_per_second) == (0.001, None)


def test_what_was_used_is_told_as_a_rate_and_what_there_is_under_pressure() -> None:
    budget = Throttle(bytes_per_second=1_000_000, pressure=lambda: 50.0, stop=Waited())
    budget.spend(100_000)
    spent = budget.spent()
    assert spent.part == pytest.approx(1.0 - 0.5 * 0.75)
    assert spent.pressure == 50.0
    assert 0 < spent.used_bytes_per_second <= 100_000


def test_pressure_is_what_the_kernel_says(tmp_path: Path) -> None:
    file = tmp_path / "cpu"
    assert Pressure(str(file))() == 0.0
    file.write_bytes(b"some avg10=62.17 avg60=54.31 avg300=51.43 total=1640859210\nfull avg10=0.00 total=0\n")
    assert Pressure(str(file))() == 62.17
    if os.path.exists("/proc/pressure/cpu"):
        assert 0.0 <= Pressure()() <= 100.0


@given(st.binary(max_size=200))
def test_any_text_is_a_pressure(raw: bytes) -> None:
    assert 0.0 <= parse_pressure(b"some avg10=" + raw) <= 100.0
    assert 0.0 <= parse_pressure(raw) <= 100.0


def test_reading_is_in_the_idle_class() -> None:
    code = (
        "import threading; from whatchanged.collectors.files import be_idle; print(be_idle())\n"
        "import subprocess, os; print(subprocess.run(['ionice', '-p', str(os.getpid())], capture_output=True, "
        "text=True).stdout)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["True", "idle"]
