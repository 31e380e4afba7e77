"""What only inotify must bear: its limits."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.watchers.conftest import Bench
from whatchanged.watchers import event_queue
from whatchanged.watchers.hints import Reach
from whatchanged.watchers.inotify import InotifyWatcher

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = InotifyWatcher(stop=threading.Event(), most=8)
    yield Bench(tmp_path, made)
    made.close()


def test_beyond_the_limit_of_watches_folders_are_polled_and_named(bench: Bench) -> None:
    for number in range(20):
        (bench.inside / f"d{number:02}").mkdir()
    coverage = bench.start()
    assert coverage.watches == 8
    assert len(coverage.polled) == 14  # 22 folders with the root and `in`
    assert coverage.limits
    assert "max_user_watches" in coverage.limits[0]
    for number in range(20):
        (bench.inside / f"d{number:02}" / "f").write_text("x")
    polled = {os.fsdecode(area.path) for area in coverage.polled}
    watched = {f"/in/d{number:02}" for number in range(20)} - polled
    assert bench.paths() == {f"{folder}/f" for folder in watched}


def test_an_overflow_becomes_a_look_at_everything_and_new_folders_are_found(bench: Bench) -> None:
    bench.start()
    bound = int(QUEUE.read_text())
    names = [os.fsencode(bench.inside / name) for name in ("a", "b")]
    for number in range(bound + 100):
        os.close(os.open(names[number % 2], os.O_CREAT | os.O_WRONLY))
    (bench.inside / "new").mkdir()  # nobody is told of it any more
    assert Reach.ALL in {hint.reach for hint in bench.hints()}
    (bench.inside / "new" / "f").write_text("x")
    assert bench.paths() == {"/in/new/f"}


def test_a_folder_replaced_while_the_queue_was_full_is_watched(bench: Bench) -> None:
    (bench.inside / "d").mkdir()
    bench.start()
    for number in range(int(QUEUE.read_text()) + 100):
        os.close(os.open(bench.inside / ("a" if number % 2 else "b"), os.O_CREAT | os.O_WRONLY))
    (bench.inside / "d").rmdir()
    (bench.inside / "d").mkdir()
    bench.read()
    (bench.inside / "d" / "f").write_text("x")
    assert bench.paths() == {"/in/d/f"}


def test_what_waits_behind_an_overflow_does_not_undo_what_was_seen_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.inside / "d0" / "deep").mkdir(parents=True)
    bench.start()

    def turn(rounds: int) -> None:
        for number in range(rounds * 3):
            (bench.inside / f"d{number % 3}").rename(bench.inside / f"d{(number + 1) % 3}")

    rounds = int(QUEUE.read_text()) // 6 + 100  # more than there is room for: a rename is two events
    turn(rounds)
    with monkeypatch.context() as context:
        context.setattr(event_queue, "_READS", 1)
        bench.watcher.read()  # makes room behind the overflow
    turn(rounds)
    (bench.inside / "d0").rename(bench.inside / "d1")  # nobody is told of it any more
    assert Reach.ALL in {hint.reach for hint in bench.hints()}
    (bench.inside / "d1" / "deep" / "f").write_text("x")
    assert bench.paths() == {"/in/d1/deep/f"}
