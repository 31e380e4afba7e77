"""Exports: what the state was at one moment, written beside everything else."""

from __future__ import annotations

import json
import sys

assert sys.platform != "win32"  # mypy's platform branch

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unit.tracker.test_state import open_state, reasons
from whatchanged.collectors.files import Unlimited
from whatchanged.records.items import Kind, SoftwareItem
from whatchanged.records.keys import item_digest
from whatchanged.tracker.exports import Exports
from whatchanged.tracker.state import State


def save(state: State, first: int, last: int) -> None:
    with state.transaction() as change:
        for number in range(first, last):
            item = SoftwareItem(name=f"p{number:05}", version="1", architecture="all", source="dpkg")
            change.save(item, signature=b"s", digest=item_digest(item.columns()), rules="r")


def eventually(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


class Gate:
    """A budget that lets nobody pass until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def spend(self, count: int) -> None:
        self.reached.set()
        assert self.open.wait(30)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = open_state(tmp_path)
    yield made
    made.close()


class Writing:
    """A running exporter."""

    def __init__(self, state: State, folder: Path, budget: Gate | Unlimited) -> None:
        self.stop = threading.Event()
        self.exports = Exports(state, str(folder), budget, self.stop)
        self.file = folder / "Packages.json"
        self._thread = threading.Thread(target=self.exports.run)
        self._thread.start()

    def names(self) -> list[str]:
        return [row["SoftwareName"] for row in json.loads(self.file.read_text())]

    def end(self) -> None:
        self.stop.set()
        self.exports.wake()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_what_is_committed_while_it_is_written_comes_with_the_next_one(state: State, tmp_path: Path) -> None:
    save(state, 0, 2000)
    gate = Gate()
    writing = Writing(state, tmp_path / "export", gate)
    writing.exports.looked(Kind.SOFTWARE, changed=False)
    assert gate.reached.wait(30)
    save(state, 2000, 2001)  # nobody waits
    writing.exports.looked(Kind.SOFTWARE, changed=True)
    assert writing.exports.pending() == ["Software"]
    gate.open.set()
    eventually(lambda: not writing.exports.pending())
    assert writing.names() == [f"p{number:05}" for number in range(2001)]
    before = writing.file.stat().st_mtime_ns
    writing.exports.looked(Kind.SOFTWARE, changed=False)
    assert writing.exports.pending() == []
    writing.file.unlink()
    writing.exports.looked(Kind.SOFTWARE, changed=False)
    eventually(writing.file.exists)
    assert writing.file.stat().st_mtime_ns != before
    writing.end()


def test_an_export_that_cannot_be_written_is_told_and_tried_again(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.write_text("somebody's file")
    writing = Writing(state, folder, Unlimited())
    writing.exports.looked(Kind.SOFTWARE, changed=False)
    eventually(lambda: "Exported" in reasons(state))
    assert "Packages.json" in writing.exports.error
    folder.unlink()
    eventually(lambda: not writing.exports.pending())
    assert writing.names() == []
    assert writing.exports.error == ""
    assert reasons(state).count("Exported") == 2
    writing.end()


def test_a_stop_leaves_no_half_of_an_export(state: State, tmp_path: Path) -> None:
    save(state, 0, 2000)
    gate = Gate()
    writing = Writing(state, tmp_path / "export", gate)
    writing.exports.looked(Kind.SOFTWARE, changed=True)
    assert gate.reached.wait(30)
    writing.stop.set()
    gate.open.set()
    writing.end()
    assert not writing.file.exists()
    assert list((tmp_path / "export").iterdir()) == []
