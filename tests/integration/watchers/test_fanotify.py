"""What only fanotify can: the process, whole file systems, and a queue without a bound."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.watchers.conftest import Bench
from whatchanged.errors import WatchError
from whatchanged.rules import FileRule, FileScope, FileType
from whatchanged.watchers.fanotify import FanotifyWatcher
from whatchanged.watchers.hints import Executed, Hint, View

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def witnessed() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def bench(tmp_path: Path, witnessed: list[tuple[int, int]]) -> Iterator[Bench]:
    try:
        watcher = FanotifyWatcher(
            stop=threading.Event(), executions=True, witness=lambda pid, pidfd: witnessed.append((pid, pidfd))
        )
    except WatchError as error:
        pytest.skip(str(error))
    yield Bench(tmp_path, watcher)
    watcher.close()


def test_the_process_of_a_change_and_what_it_executed(bench: Bench, witnessed: list[tuple[int, int]]) -> None:
    bench.start()
    child = subprocess.Popen(["touch", bench.inside / "a"])
    child.wait()
    read = bench.read()
    assert {hint.pid for hint in read if isinstance(hint, Hint)} == {child.pid}
    assert b"touch" in [event.name for event in read if isinstance(event, Executed) and event.pid == child.pid]
    assert read.index(next(e for e in read if isinstance(e, Executed) and e.pid == child.pid)) < read.index(
        next(hint for hint in read if isinstance(hint, Hint))
    )
    assert {pid for pid, _ in witnessed} == {child.pid}


def test_a_rename_tells_both_paths(bench: Bench) -> None:
    (bench.inside / "a").write_text("one")
    bench.start()
    (bench.inside / "a").rename(bench.inside / "b")
    assert [(hint.path, hint.renamed_from) for hint in bench.hints()] == [(b"/in/a", b""), (b"/in/b", b"/in/a")]


def test_a_burst_of_ten_thousand_files_is_seen_whole(bench: Bench) -> None:
    (bench.inside / "burst").mkdir()
    bench.start()
    folder = os.fsencode(bench.inside / "burst")
    for number in range(10_000):
        os.close(os.open(folder + b"/%d" % number, os.O_CREAT | os.O_WRONLY))
    for number in range(10_000):
        os.rename(folder + b"/%d" % number, folder + b"/r%d" % number)
    for number in range(10_000):
        os.unlink(folder + b"/r%d" % number)
    seen = bench.paths()
    wanted = {f"/in/burst/{p}{n}" for n in range(10_000) for p in ("", "r")}
    assert wanted <= seen


def test_an_old_tree_removed_before_it_was_read_leaves_nothing_unresolved(bench: Bench) -> None:
    for number in range(500):
        (bench.inside / f"{number}" / "deep").mkdir(parents=True)
        (bench.inside / f"{number}" / "deep" / "f").write_text("x")
    bench.start()
    subprocess.run(["rm", "-rf", bench.inside], check=True)
    assert {f"/in/{number}/deep/f" for number in range(500)} <= bench.paths()


def test_no_descriptor_is_left_over(bench: Bench) -> None:
    bench.start()
    before = set(os.listdir("/proc/self/fd"))
    for number in range(300):
        (bench.inside / f"{number}").write_text("x")
        (bench.outside / f"{number}").write_text("x")
    subprocess.run(["touch", bench.inside / "a"], check=True)
    bench.read()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_bind_mount_and_a_tmpfs(bench: Bench) -> None:
    (bench.inside / "bound").mkdir()
    (bench.inside / "memory").mkdir()
    mounts: list[list[str | Path]] = [
        ["mount", "--bind", bench.outside, bench.inside / "bound"],
        ["mount", "-t", "tmpfs", "none", bench.inside / "memory"],
    ]
    points: list[Path] = []
    try:
        for mount in mounts:
            if subprocess.run(mount, capture_output=True).returncode != 0:
                pytest.skip("mounting is not allowed here")
            points.append(Path(mount[-1]))
        coverage = bench.start()
        assert {area.path for area in coverage.areas} == {b"/", b"/in/bound", b"/in/memory"}
        assert not coverage.polled
        (bench.outside / "a").write_text("through the other path")
        (bench.inside / "memory" / "b").write_text("in memory")
        assert bench.paths() == {"/in/bound/a", "/in/memory/b"}
    finally:
        for point in points:
            subprocess.run(["umount", point], check=True)  # nothing of ours keeps it busy


def test_a_file_system_that_cannot_be_marked_is_named(bench: Bench) -> None:
    scope = FileScope([FileRule(name="r", destination_path=b"/proc/sys/*", type=FileType.FILE)])
    coverage = bench.watcher.subscribe(scope, [View(b"/proc", b"/", b"/", b"/proc")])
    assert [(area.path, area.method) for area in coverage.areas] == [(b"/proc", "poll")]
    assert coverage.areas[0].reason


def test_without_the_capability_it_says_so() -> None:
    program = (
        "import threading\n"
        "from whatchanged.errors import WatchError\n"
        "from whatchanged.watchers.fanotify import FanotifyWatcher\n"
        "try:\n    FanotifyWatcher(stop=threading.Event())\n"
        "except WatchError as error:\n    print(error, error.hint)\n"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all", sys.executable, "-c", program],
        capture_output=True,
        text=True,
    )
    assert "CAP_SYS_ADMIN" in done.stdout, done.stderr
