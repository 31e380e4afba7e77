"""The promise, in its short form: every recorded change is there exactly once, or named in a gap record."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import eventually
from e2e.promise import Machine, Witnessed, converged, judge, torment


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


def test_kills_at_random_moments(machine: Machine) -> None:
    witnessed = Witnessed(machine.real_tree, seed=1)
    machine.begin()
    machine.looked()
    witnessed.start()
    torment(machine, kills=12, seed=2, pause=lambda chance: chance.uniform(0.1, 2.0))
    witnessed.stop()
    converged(machine, witnessed)
    figures = judge(machine, witnessed)
    assert figures["missing"] == 0
    assert figures["gaps"] == 0


def test_the_server_away_and_a_full_store_leave_gap_records(machine: Machine) -> None:
    witnessed = Witnessed(machine.real_tree, seed=3)
    machine.begin()
    machine.looked()
    machine.kill("forwarder", signal.SIGTERM)
    machine.arguments["forwarder"] = ["--store-quota", "100KB"]
    machine.launch("forwarder")
    machine.kill("server")
    witnessed.start()
    time.sleep(15)
    witnessed.stop()
    machine.kill("forwarder", signal.SIGTERM)
    machine.arguments["forwarder"] = []
    machine.launch("forwarder")
    machine.launch("server")
    converged(machine, witnessed)
    eventually(lambda: [r for r in machine.health() if r["Reason"] == "Gap"], what="a gap record")
    assert judge(machine, witnessed)["missing"] > 0


def test_a_full_outbox_loses_nothing(machine: Machine) -> None:
    witnessed = Witnessed(machine.real_tree, seed=4)
    machine.begin()
    machine.looked()
    machine.kill("tracker", signal.SIGTERM)
    machine.arguments["tracker"] += ["--outbox-quota", "100KB"]
    machine.kill("forwarder")
    machine.launch("tracker")
    witnessed.start()
    eventually(lambda: machine.tracker_status()["outbox"]["full"], what="the outbox is full")
    witnessed.stop()
    machine.launch("forwarder")
    converged(machine, witnessed)
    assert judge(machine, witnessed)["missing"] == 0
    assert "OutboxFull" in {r["Reason"] for r in machine.health()}


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_kills_an_outage_and_full_quotas(machine: Machine) -> None:
    """The whole of it: 200 kills, the server away, a full store, a full outbox, during one stream of changes."""
    witnessed = Witnessed(machine.real_tree, seed=5)
    machine.begin()
    machine.looked()
    witnessed.start()
    for part in range(10):
        torment(machine, kills=20, seed=100 + part, pause=lambda chance: chance.uniform(0.05, 3.0))
        machine.kill("server")
        if part == 4:
            machine.kill("forwarder")
            machine.arguments["forwarder"] = ["--store-quota", "100KB"]
            machine.launch("forwarder")
        if part == 7:
            machine.kill("tracker")
            machine.kill("forwarder")
            machine.arguments["tracker"] += ["--outbox-quota", "100KB"]
            machine.launch("tracker")
        time.sleep(20)
        machine.arguments["forwarder"] = []
        for name in ("forwarder", "server"):
            machine.kill(name)
            machine.launch(name)
    witnessed.stop()
    converged(machine, witnessed)
    figures = judge(machine, witnessed)
    print(figures)  # noqa: T201 - the figures are what the run is for
