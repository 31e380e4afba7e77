"""The budget: what it allows, and how it gives way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
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
