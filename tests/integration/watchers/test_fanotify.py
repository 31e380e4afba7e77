"""What only fanotify can: the process, whole file systems, and a queue without a bound."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import errno
import fcntl
import os
import shutil
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.watchers.conftest import Bench
from whatchanged.errors import WatchError
from whatchanged.rules import FileRule, FileScope, FileType
from whatchanged.watchers.fanotify import FanotifyWatcher, calls, watcher
from whatchanged.watchers.hints import Executed, Hint, Reach, View

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def witnessed() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def bench(tmp_path: Path, witnessed: list[tuple[int, int]]) -> Iterator[Bench]:
    try:
        made = FanotifyWatcher(
            stop=threading.Event(), executions=True, witness=lambda pid, pidfd: witnessed.append((pid, pidfd))
        )
    except WatchError as error:
        pytest.skip(str(error))
    yield Bench(tmp_path, made)
    made.close()


@pytest.fixture
def lonely_bench(tmp_path: Path) -> Iterator[Bench]:
    """On a file system where nobody else makes events."""
    if subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    made = FanotifyWatcher(stop=threading.Event(), executions=True)
    yield Bench(tmp_path, made)
    made.close()
    subprocess.run(["umount", tmp_path], check=True)


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


def test_what_comes_faster_than_it_is_read_is_a_look_at_everything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_MOST_QUEUED", 4_000)
    bench.start()
    before = set(os.listdir("/proc/self/fd"))
    for number in range(5_000):
        (bench.inside / f"{number}").touch()
    (bench.inside / "new" / "deep").mkdir(parents=True)
    assert [(hint.path, hint.reach) for hint in bench.hints()] == [(b"/", Reach.ALL)]
    assert set(os.listdir("/proc/self/fd")) == before
    (bench.inside / "new" / "deep" / "f").write_text("x")
    assert bench.paths() == {"/in/new/deep/f"}


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


def test_who_writes_outside_the_rules_pays_for_new_entries_only(lonely_bench: Bench) -> None:
    (lonely_bench.outside / "old").write_text("one")
    lonely_bench.start()
    (lonely_bench.outside / "old").write_text("two")
    (lonely_bench.outside / "old").chmod(0o600)
    assert waiting(lonely_bench) == 0
    (lonely_bench.outside / "new").write_text("one")
    assert waiting(lonely_bench) == 1


def waiting(bench: Bench) -> int:
    """How many events the kernel holds for the watcher."""
    held = fcntl.ioctl(bench.watcher.fileno(), termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(held, sys.byteorder) // watcher._COUNTED_BYTES


def test_more_folders_than_may_be_marked_are_watched_all_the_same(
    lonely_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_MOST_MARKED", 4)  # the root and what is on the way are among them
    (lonely_bench.inside / "old").mkdir()
    (lonely_bench.inside / "old" / "f").write_text("one")
    lonely_bench.start()
    (lonely_bench.inside / "old" / "f").write_text("two")
    assert lonely_bench.paths() == {"/in/old/f"}
    new = [lonely_bench.inside / f"{number}" for number in range(10)]
    for folder in new:
        folder.mkdir()
        (folder / "f").write_text("one")
    lonely_bench.read()
    for folder in new:
        (folder / "f").write_text("two")
    assert lonely_bench.paths() == {f"/in/{number}/f" for number in range(10)}
    shutil.rmtree(lonely_bench.inside)
    lonely_bench.inside.mkdir()
    lonely_bench.start()  # few enough again
    (lonely_bench.outside / "old").write_text("one")
    lonely_bench.read()
    (lonely_bench.outside / "old").write_text("two")
    assert waiting(lonely_bench) == 0


def test_a_folder_that_refuses_a_mark_is_watched_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: int, mask: int, fd: int) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(calls, "mark_folder", refuse)
    (bench.inside / "f").write_text("one")
    bench.start()
    (bench.inside / "f").write_text("two")
    assert bench.paths() == {"/in/f"}


def test_what_the_rules_no_longer_ask_for_costs_nothing_any_more(lonely_bench: Bench) -> None:
    (lonely_bench.inside / "d").mkdir()
    (lonely_bench.inside / "d" / "f").write_text("one")
    lonely_bench.start()
    lonely_bench.scope = FileScope([FileRule(name="r", destination_path=b"/out/*", type=FileType.ANY)])
    lonely_bench.start()
    (lonely_bench.inside / "d" / "f").write_text("two")
    assert waiting(lonely_bench) == 0
    (lonely_bench.outside / "f").write_text("one")
    assert lonely_bench.paths() == {"/out/f"}


@pytest.mark.parametrize("whose", ["d", "d/e"], ids=["the folder", "one below it"])
def test_a_folder_that_moves_while_it_is_entered(bench: Bench, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    """Between the list that names it and the look into it, another takes its place."""
    (bench.inside / "d" / "e").mkdir(parents=True)
    (bench.inside / "d" / "e" / "f").write_text("one")
    listed = calls.handle_of
    moved = False

    def list_and_move(fd: int, name: bytes) -> tuple[bytes, int]:
        nonlocal moved
        found = listed(fd, name)
        if name == os.path.basename(os.fsencode(whose)) and not moved:
            moved = True
            (bench.inside / "d").rename(bench.inside / "g")
            (bench.inside / "d" / "e").mkdir(parents=True)
        return found

    monkeypatch.setattr(calls, "handle_of", list_and_move)
    bench.start()
    bench.read()
    assert moved
    (bench.inside / "g" / "e" / "f").write_text("two")
    (bench.inside / "d" / "e" / "f").write_text("one")
    assert bench.paths() == {"/in/g/e/f", "/in/d/e/f"}


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
