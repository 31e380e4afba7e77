"""Large contents are read aside: nobody waits for them, and what is told of them is right."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.tracker.test_runner import POLICY, Bench, changes
from whatchanged.collectors.files import Unlimited
from whatchanged.collectors.files.signature import SETTLE_NS
from whatchanged.records.items import FileItem, Kind
from whatchanged.tracker import contents
from whatchanged.tracker.contents import LargeContents
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.linux_runner import LinuxRunner
from whatchanged.tracker.settings import TrackerSettings

LARGE = 3_000_000
SECONDS = 20.0


class Aside(Bench):
    """A bench whose large contents are read when a test says so."""

    def start(self) -> None:
        super().start()
        self.stop = threading.Event()
        self.done: queue.Queue[bytes] = queue.Queue()
        self.large = LargeContents(Unlimited(), self.stop, self.done.put, least=1_000_000)
        settings = TrackerSettings(data=self.data)
        self.runner = LinuxRunner(self.state, settings, POLICY, self.stop, large=self.large)
        self.thread = threading.Thread(target=self.large.run)

    def read(self, times: int = 1) -> list[dict[str, Any]]:
        """Let be read what waits, and look at it each time that something was read; return the changes."""
        if not self.thread.is_alive():
            self.thread.start()
        for _ in range(times):
            path = self.done.get(timeout=SECONDS)
            self.runner.run_hints(self.plan(self.rule()), Batch(entries={path}))
        return changes(self.records())

    def end(self) -> None:
        self.stop.set()
        self.large.wake()
        if self.thread.is_alive():
            self.thread.join(SECONDS)
        self.state.close()

    def digest(self, name: str) -> bytes:
        known = self.state.known(Kind.FILES, os.fsencode(self.tree / name))
        assert known is not None
        assert isinstance(known.item, FileItem)
        return known.item.sha256


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Aside]:
    made = Aside(tmp_path)
    yield made
    made.end()


def grow_old(path: Path) -> None:
    """Wait until the clock can tell a later change from the last one."""
    while time.time_ns() - path.stat().st_ctime_ns <= SETTLE_NS:
        time.sleep(0.001)


def names(bench: Bench) -> set[str]:
    return {os.path.basename(os.fsdecode(path)) for path, _ in bench.state.items(Kind.FILES)}


def test_others_do_not_wait_and_the_first_look_makes_no_change(bench: Aside) -> None:
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    (bench.tree / "small").write_bytes(b"x")
    assert changes(bench.look()) == []
    assert names(bench) == {"small"}
    assert [row["size"] for row in bench.large.status()] == [LARGE]
    assert bench.read() == []
    assert names(bench) == {"small", "large"}
    assert bench.digest("large") == hashlib.sha256(b"x" * LARGE).digest()
    assert changes(bench.look()) == []


def test_what_was_made_later_is_added_and_changed(bench: Aside) -> None:
    bench.look()
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    assert changes(bench.look()) == []
    (row,) = bench.read()
    assert (row["ChangeCategory"], row["Size"]) == ("Added", LARGE)
    (bench.tree / "large").write_bytes(b"y" * LARGE)
    bench.look()
    assert bench.digest("large") == hashlib.sha256(b"x" * LARGE).digest()
    (row,) = bench.read()
    assert row["FileContentChecksum"] == hashlib.sha256(b"y" * LARGE).hexdigest().upper()
    assert row["PreviousFileContentChecksum"] == hashlib.sha256(b"x" * LARGE).hexdigest().upper()


def test_a_log_that_grows_is_told_as_it_was_and_then_as_it_is(bench: Aside) -> None:
    log = bench.tree / "log"
    log.write_bytes(b"x" * LARGE)
    bench.look()
    with log.open("ab") as stream:
        stream.write(b"more")
    bench.read()
    assert bench.digest("log") == hashlib.sha256(b"x" * LARGE).digest()
    bench.look()
    bench.read()
    assert bench.digest("log") == hashlib.sha256(b"x" * LARGE + b"more").digest()


def test_a_file_that_became_shorter_or_another_is_looked_at_anew(bench: Aside) -> None:
    bench.look()
    for name in ("shorter", "another"):
        (bench.tree / name).write_bytes(b"x" * LARGE)
    bench.look()
    os.truncate(bench.tree / "shorter", LARGE - 1)
    (bench.tree / "new").write_bytes(b"y" * LARGE)
    (bench.tree / "new").rename(bench.tree / "another")
    bench.read(4)  # what was begun comes to nothing
    assert bench.digest("shorter") == hashlib.sha256(b"x" * (LARGE - 1)).digest()
    assert bench.digest("another") == hashlib.sha256(b"y" * LARGE).digest()


def test_a_large_file_that_was_renamed_is_one_change(bench: Aside) -> None:
    (bench.tree / "old").write_bytes(b"x" * LARGE)
    grow_old(bench.tree / "old")
    bench.look()
    bench.read()
    bench.records()
    (bench.tree / "old").rename(bench.tree / "new")
    assert changes(bench.look()) == []
    (row,) = bench.read()
    assert (row["ChangeCategory"], row["FieldsChanged"]) == ("Modified", "FileSystemPath")
    assert changes(bench.look()) == []
    assert names(bench) == {"new"}


def test_a_large_file_that_is_gone_when_it_was_read_is_removed(bench: Aside) -> None:
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    bench.look()
    bench.read()
    (bench.tree / "large").write_bytes(b"y" * LARGE)
    bench.look()
    path = bench.done.get(timeout=SECONDS)
    (bench.tree / "large").unlink()
    bench.runner.run_hints(bench.plan(bench.rule()), Batch(entries={path}))
    assert [row["ChangeCategory"] for row in changes(bench.records())] == ["Removed"]


def test_the_reading_again_of_everything_reads_it_too(bench: Aside) -> None:
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    grow_old(bench.tree / "large")
    bench.look()
    bench.read()
    bench.records()
    with bench.state.transaction() as change:  # as if it had been read when it was something else
        (row,) = bench.state.query("SELECT item FROM items")
        change.execute("UPDATE items SET item = ?", (row[0].replace(hashlib.sha256(b"x" * LARGE).digest(), bytes(32)),))
    bench.runner = LinuxRunner(
        bench.state, TrackerSettings(data=bench.data, rehash_seconds=1.0), POLICY, bench.stop, large=bench.large
    )
    bench.look()
    (told,) = bench.read()
    assert told["FieldsChanged"] == "FileContentChecksum"


def test_a_huge_hole_does_not_keep_a_smaller_file_waiting(bench: Aside) -> None:
    bench.look()
    with (bench.tree / "hole").open("wb") as stream:
        stream.truncate(10**12)
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    bench.look()
    bench.thread.start()
    path = bench.done.get(timeout=SECONDS)
    assert path == os.fsencode(bench.tree / "large")
    bench.runner.run_hints(bench.plan(bench.rule()), Batch(entries={path}))
    assert [row["Name"] for row in changes(bench.records())] == ["large"]
    (told,) = bench.large.status()
    assert (told["path"], told["size"]) == (str(bench.tree / "hole"), 10**12)


def test_nothing_is_held_open_between_two_turns(bench: Aside) -> None:
    bench.look()
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    bench.look()
    opened = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
    assert str(bench.tree / "large") not in opened


def test_what_was_read_at_a_path_holds_its_inode_number_for_a_moment_only(
    bench: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is soon given anew, and the removal of another file must not wait for one that nobody asks for."""
    bench.look()
    (bench.tree / "large").write_bytes(b"x" * LARGE)
    number = (bench.tree / "large").stat().st_ino.to_bytes(8, "little")
    bench.look()
    bench.thread.start()
    bench.done.get(timeout=SECONDS)
    assert bench.large.holds(number, b"/elsewhere")
    monkeypatch.setattr(contents, "_FRESH_SECONDS", 0.0)
    assert not bench.large.holds(number, b"/elsewhere")
