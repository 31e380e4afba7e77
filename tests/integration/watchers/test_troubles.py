"""Troubles of watching, with a real tracker on a real tree.

Of each the same must hold: in the end the inventory is what is there (`is_exact`), health says what happened, and
nothing else stopped.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from integration.watchers.separate import SeparateTracking
from integration.watchers.tracking import Tracking
from whatchanged.tracker import watching
from whatchanged.watchers.fanotify import calls

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


UNHURRIED = "core_share = 4.0\npressure_aware = false\n"
"""A policy under which looking takes what it can get: it is not the budget that is waited for."""


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[Tracking]:
    made = Tracking(tmp_path)
    made.policy.write_text(UNHURRIED)
    yield made
    made.end()


@pytest.fixture(params=["fanotify", "inotify"])
def watched(request: pytest.FixtureRequest, tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """A tracker that watches by one means or the other."""
    if request.param == "inotify":
        monkeypatch.setattr(calls, "initialise", _refused)
    return tracking


def _refused(*, pidfd: bool) -> int:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def unpacked(tracking: Tracking, folders: int, files: int) -> None:
    """Unpack a source tree of small files with tar, as fast as it goes."""
    source = tracking.root / "tmp" / "source"
    for number in range(folders):
        folder = source / f"a{number % 20}" / f"b{number}"
        folder.mkdir(parents=True)
        for file in range(files):
            (folder / f"{file}.c").write_bytes(b"%d %d" % (number, file))
    archive = tracking.root / "tmp" / "source.tar"
    subprocess.run(["tar", "-C", source, "-cf", archive, "."], check=True)
    tracking.start()
    subprocess.run(["tar", "-C", tracking.tree, "-xf", archive], check=True)


# Floods


def test_ten_thousand_files_made_changed_and_removed(watched: Tracking) -> None:
    watched.start()
    folder = watched.tree / "burst"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}").write_bytes(b"%d" % number)
    for number in range(0, 10_000, 3):
        (folder / f"{number}").write_bytes(b"changed %d" % number)
    for number in range(0, 10_000, 2):
        (folder / f"{number}").unlink()
    watched.is_exact()
    assert watched.health("WatchLost") == []


def test_a_source_tree_unpacked_and_removed(watched: Tracking) -> None:
    unpacked(watched, folders=200, files=20)
    watched.is_exact()
    added = [row["FileSystemPath"] for row in watched.changes() if row["ChangeCategory"] == "Added"]
    assert sorted(added) == sorted(watched.known())  # each once
    subprocess.run(["rm", "-rf", watched.tree / "a0", watched.tree / "a1"], check=True)
    (watched.tree / "a2").rename(watched.tree / "a0")
    watched.is_exact()


@pytest.mark.soak
def test_a_source_tree_of_twenty_thousand_files(watched: Tracking) -> None:
    began = time.monotonic()
    unpacked(watched, folders=1000, files=20)
    done = time.monotonic()
    watched.is_exact()
    subprocess.run(["rm", "-rf", watched.tree], check=False)
    watched.tree.mkdir(exist_ok=True)
    watched.is_exact()
    print(f"made and unpacked in {done - began:.1f} s, {time.monotonic() - done:.1f} s until all was exact twice")  # noqa: T201


# Renames without end


_RENAMING = """
import os, sys
os.chdir(sys.argv[1])
number = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        os.rename(f"f{number % 7}", f"f{(number + 1) % 7}")
        os.rename(f"d{number % 3}", f"d{(number + 1) % 3}")
        number += 1
print(number)
""".replace("import os", "import os, select")


def renamed_in_a_loop(watched: Tracking) -> None:
    (watched.tree / "f0").write_text("file")
    (watched.tree / "d0" / "deep" / "deeper").mkdir(parents=True)
    (watched.tree / "d0" / "deep" / "deeper" / "f").write_text("in a folder")
    watched.start()

    loop = [sys.executable, "-c", _RENAMING, str(watched.tree)]
    with subprocess.Popen(loop, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as renaming:
        watched.eventually(lambda: watched.status()["watch"]["hints"] > 2000)
        (watched.tree / "beside").write_text("x")
        watched.change("/srv/beside", "Added")
        rounds = int(renaming.communicate(b"stop")[0])
    assert rounds > 1000
    watched.is_exact()


def test_a_file_and_a_folder_renamed_in_a_loop(watched: Tracking) -> None:
    renamed_in_a_loop(watched)


def test_a_folder_renamed_in_a_loop_is_watched_by_its_last_path(watched: Tracking) -> None:
    renamed_in_a_loop(watched)
    folder = next(path for path in watched.tree.iterdir() if path.name.startswith("d"))
    (folder / "deep" / "deeper" / "f").write_text("watched by its last path")
    watched.change(f"/srv/{folder.name}/deep/deeper/f", "Modified", seconds=10)


# A folder of very many entries


def crowded(tracking: Tracking, entries: int) -> dict[str, float]:
    folder = tracking.tree / "crowd"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    for number in range(entries):
        os.close(os.open(b"%07d" % number, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    began = time.monotonic()
    tracking.start()
    looked = time.monotonic()
    (folder / "0000007").write_text("changed")
    tracking.change("/srv/crowd/0000007", "Modified", seconds=60)
    (folder / "new").write_text("new")
    tracking.change("/srv/crowd/new", "Added", seconds=60)
    (folder / "0000008").unlink()
    tracking.change("/srv/crowd/0000008", "Removed", seconds=60)
    told = time.monotonic()
    tracking.scan()
    figures = {"first look": looked - began, "three changes": told - looked, "poll": time.monotonic() - told}
    assert len(tracking.known()) == entries + 1
    assert len(tracking.changes()) == 3
    return figures


def test_a_folder_of_twenty_thousand_entries(watched: Tracking) -> None:
    crowded(watched, 20_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_folder_of_a_million_entries(tmp_path: Path) -> None:
    tracking = SeparateTracking(tmp_path)
    tracking.patience = 1800.0
    tracking.policy.write_text(UNHURRIED)
    try:
        figures = crowded(tracking, 1_000_000)
        assert tracking.process is not None
        status = Path(f"/proc/{tracking.process.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    finally:
        tracking.end()
    print({name: round(seconds, 1) for name, seconds in figures.items()}, f"peak {peak} MB")  # noqa: T201
    assert peak < 1024


# Limits of the kernel


def test_eight_inotify_watches(tmp_path: Path) -> None:
    enter = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    limit = ['echo 8 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh"]
    if subprocess.run([*enter, limit[0], "sh", "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespace can be made here")
    tracking = SeparateTracking(tmp_path, before=[*enter, *limit])
    for number in range(20):
        (tracking.tree / f"d{number:02}").mkdir()
    tracking.start(frequency=2.0)
    try:
        watch = tracking.status()["watch"]
        assert watch["watches"] == 8
        assert "max_user_watches" in watch["limits"][0]
        polled = {area["path"] for area in watch["areas"] if area["method"] == "poll"}
        assert len(polled) == 14  # of 22 folders with the root and `srv`
        told = tracking.health("Watching")[-1]
        assert told["Status"] == "Warning"
        assert "no inotify watch was left" in told["Detail"]
        for number in range(20):
            (tracking.tree / f"d{number:02}" / "f").write_text("x")
        by = {f"/srv/d{n:02}": tracking.change(f"/srv/d{n:02}/f", "Added")["DetectedBy"] for n in range(20)}
        assert {folder for folder, how in by.items() if how == "Poll"} <= polled
        assert set(by) - polled <= {folder for folder, how in by.items() if how in ("Watch", "Poll")}
    finally:
        tracking.end()


def test_an_overflow_is_a_look_at_everything(watched: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_FLAGS", calls._FLAGS & ~calls._FAN_UNLIMITED_QUEUE)
    watched.start()
    monkeypatch.setattr(watching, "_BATCH_SECONDS", 3.0)  # nobody reads meanwhile
    (watched.tree / "first").write_text("x")
    names = [os.fsencode(watched.tree / name) for name in ("first", *map(str, range(17_000)))]
    for before, after in pairwise(names):  # every event another one: equal ones would melt into one
        os.rename(before, after)
    (watched.tree / "new" / "deep").mkdir(parents=True)
    (watched.tree / "new" / "deep" / "f").write_text("of this nobody was told")
    watched.eventually(lambda: watched.health("WatchLost"))
    monkeypatch.setattr(watching, "_BATCH_SECONDS", 0.02)
    assert "events were lost" in watched.health("WatchLost")[-1]["Detail"]
    watched.eventually(lambda: "/srv/new/deep/f" in watched.known())
    watched.is_exact()
    (watched.tree / "new" / "deep" / "g").write_text("x")
    assert watched.change("/srv/new/deep/g", "Added", seconds=10)["DetectedBy"] == "Watch"


def test_a_dead_inotify_instance_is_told_and_made_anew(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "initialise", _refused)
    tracking.start()
    told = len(tracking.health("Watching"))
    (mine,) = (int(fd) for fd in os.listdir("/proc/self/fd") if _target(fd) == "anon_inode:inotify")
    os.dup2(os.open("/dev/null", os.O_WRONLY), mine)  # it is gone from under the watcher
    (tracking.tree / "a").write_text("x")
    tracking.eventually(lambda: tracking.health("WatchLost"))
    tracking.change("/srv/a", "Added")
    tracking.eventually(lambda: len(tracking.health("Watching")) > told)
    tracking.idle()
    (tracking.tree / "b").write_text("x")
    assert tracking.change("/srv/b", "Added", seconds=10)["DetectedBy"] == "Watch"
    tracking.is_exact()


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


# Mounts


def test_mounts_over_a_tracked_folder_and_of_one_elsewhere(watched: Tracking) -> None:
    hidden = watched.tree / "hidden"
    hidden.mkdir()
    (hidden / "below").write_text("x")
    (watched.tree / "source" / "d").mkdir(parents=True)
    (watched.tree / "source" / "d" / "f").write_text("x")
    bound = watched.tree / "bound"
    bound.mkdir()
    watched.start()
    if subprocess.run(["mount", "-t", "tmpfs", "none", hidden], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "--bind", watched.tree / "source", bound], check=True)
        try:
            watched.eventually(lambda: {"/srv/bound/d/f", "/srv/hidden/below"} & watched.known() == {"/srv/bound/d/f"})
            (hidden / "inside").write_text("x")
            (bound / "d" / "f").write_text("through the other path")
            assert watched.change("/srv/hidden/inside", "Added", seconds=10)["DetectedBy"] == "Watch"
            assert watched.change("/srv/bound/d/f", "Modified", seconds=10)["DetectedBy"] == "Watch"
            assert watched.change("/srv/source/d/f", "Modified", seconds=10)["DetectedBy"] == "Watch"
            watched.is_exact()
        finally:
            subprocess.run(["umount", bound], check=True)
    finally:
        subprocess.run(["umount", hidden], check=True)
    watched.eventually(lambda: "/srv/bound/d/f" not in watched.known() and "/srv/hidden/below" in watched.known())
    watched.is_exact()
    (hidden / "below").write_text("seen again")
    assert watched.change("/srv/hidden/below", "Modified", seconds=10)["DetectedBy"] == "Watch"


# The clock

_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        FILE *file = fopen(getenv("CLOCK_OFFSET_FILE"), "r");
        long offset = 0;
        if (file) {
            if (fscanf(file, "%ld", &offset) == 1) time->tv_sec += offset;
            fclose(file);
        }
    }
    return result;
}
"""


def test_the_clock_set_forth_and_back(tmp_path: Path) -> None:
    source, library, offset = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "offset"
    source.write_text(_CLOCK)
    offset.write_text("0")
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("there is no compiler")
    shifted = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(offset)}
    tracking = SeparateTracking(tmp_path / "tracking", environment=shifted)
    (tracking.tree / "f").write_text("0")
    tracking.start(frequency=2.0)
    try:
        offsets = [86400, -172800, 7, 0]
        for number, seconds in enumerate(offsets, 1):
            offset.write_text(str(seconds))
            (tracking.tree / "f").write_text("x" * number * 10)
            (tracking.tree / f"new{number}").write_text("x")
            row = tracking.change(f"/srv/new{number}", "Added", seconds=10)
            told = datetime.fromisoformat(row["TimeGenerated"]).timestamp()
            assert abs(told - (time.time() + seconds)) < 10
            assert row["PreviousSeen"] <= row["TimeGenerated"]
            tracking.polled()
        changes = tracking.changes()
        added = [row["FileSystemPath"] for row in changes if row["ChangeCategory"] == "Added"]
        assert sorted(added) == [f"/srv/new{number}" for number in range(1, len(offsets) + 1)]
        modified = [row for row in changes if row["ChangeCategory"] == "Modified"]
        assert [row["Size"] for row in modified] == [10, 20, 30, 40]
        assert tracking.sequences("CONFIG_CHANGE_BLOB_V2") == list(range(1, len(changes) + 1))
        assert tracking.inventory() == tracking.truth()
    finally:
        tracking.end()
