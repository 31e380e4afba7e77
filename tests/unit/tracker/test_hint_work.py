"""When a kind that is looked at whole is looked at."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import subprocess
import threading
import time
from pathlib import Path

import msgspec
import pytest

from unit.tracker.test_runner import POLICY, Bench, Given
from whatchanged.records.items import Kind, SoftwareItem
from whatchanged.tracker.exports import Exports
from whatchanged.tracker.hint_work import FileHints
from whatchanged.tracker.hints import PendingHints
from whatchanged.tracker.linux_runner import LinuxRunner
from whatchanged.tracker.plan import Plan, Schedule
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.whole_hints import WholeHints
from whatchanged.watchers.hints import Hint, Reach

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print(flush=True)
    sys.stdin.read()
"""
"""Holds dpkg's lock, as dpkg does, until its standard input ends."""


@pytest.mark.parametrize("during", [True, False])
def test_what_shall_be_looked_at_again_later_holds_back_nothing_that_is_told_before(*, during: bool) -> None:
    waiting = PendingHints(lambda: None)
    told = [Hint(b"/", time.monotonic() - 10, Reach.TREE)]

    def look() -> tuple[float, bool]:
        waiting.add(told if during else [])
        return 3600.0, True

    work = WholeHints(waiting, look, lambda: True)
    waiting.add(told)
    work.run()
    if not during:
        later = work.due_at()
        assert later is not None
        assert later > time.monotonic() + 3000
        waiting.add(told)
    sooner = work.due_at()
    assert sooner is not None
    assert sooner < time.monotonic() + 10


def test_files_are_looked_at_once_a_second_while_dpkg_is_at_work(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lock = bench.tree / "var/lib/dpkg/lock"
    (lock.parent / "info").mkdir(parents=True)
    lock.touch()
    (lock.parent / "status").write_text(
        "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDescription: d\n"
    )
    runner = LinuxRunner(bench.state, TrackerSettings(data=bench.data, root=str(bench.tree)), POLICY, threading.Event())
    files = bench.plan(msgspec.structs.replace(bench.rule(), destination_path=b"/srv/*"))
    plan = Plan(
        version="1", file_jobs=files.file_jobs, schedules={Kind.SOFTWARE: Schedule(1.0, "ds", "dcr-1")}, inventory=True
    )
    runner.run_snapshot(
        plan,
        Kind.SOFTWARE,
        Given((SoftwareItem(name="a", version="1", source="dpkg"),), scopes=frozenset({"dpkg"})),
    )
    runner.run_files(plan, plan.file_jobs[0])
    pending = PendingHints(lambda: None, settle=0.0)
    exports = Exports(bench.state, str(tmp_path), runner.budget, threading.Event())
    work = FileHints(pending, runner, exports, lambda: plan, lambda: None)

    def waits_after_a_change() -> float:
        """Change a file, let it be looked at, and return how long the next one would wait."""
        file = bench.tree / "srv" / str(time.monotonic_ns())
        file.parent.mkdir(exist_ok=True)
        file.touch()
        pending.add([Hint(b"/srv/" + os.fsencode(file.name), time.monotonic(), Reach.ENTRY)])
        pending.pause(0)
        work.run()
        ended = time.monotonic()
        pending.add([Hint(b"/srv/next", ended, Reach.ENTRY)])
        due = work.due_at()
        assert due is not None
        return due - ended

    assert waits_after_a_change() <= 0.0
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as dpkg:
        assert dpkg.stdout is not None
        dpkg.stdout.readline()
        assert waits_after_a_change() > 0.9
        dpkg.communicate()
    assert waits_after_a_change() <= 0.0
    bench.state.close()
