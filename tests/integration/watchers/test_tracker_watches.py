"""The tracker told by watchers: each change once, soon, and by the same means as a poll."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.watchers.tracking import Tracking

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[Tracking]:
    made = Tracking(tmp_path)
    yield made
    made.end()


def test_a_file_added_changed_and_removed_long_before_the_poll(tracking: Tracking) -> None:
    tracking.start()
    path = tracking.tree / "a"
    path.write_text("one")
    added = tracking.change("/srv/a", "Added", seconds=5)
    assert added["DetectedBy"] == "Watch"
    assert added["FileContentChecksum"] == hashlib.sha256(b"one").hexdigest().upper()
    assert added["RuleName"] == "srv"
    assert added["PreviousSeen"] < added["TimeGenerated"]
    path.write_text("two, longer")
    changed = tracking.change("/srv/a", "Modified", seconds=5)
    assert (changed["PreviousSize"], changed["Size"]) == (3, 11)
    path.unlink()
    tracking.change("/srv/a", "Removed", seconds=5)
    assert [row["ChangeCategory"] for row in tracking.changes()] == ["Added", "Modified", "Removed"]


def test_what_was_there_before_is_no_change(tracking: Tracking) -> None:
    (tracking.tree / "old").write_text("x")
    tracking.start()
    assert "/srv/old" in tracking.known()
    assert tracking.changes() == []


def test_a_poll_after_the_watch_finds_nothing_more(tracking: Tracking) -> None:
    tracking.start()
    (tracking.tree / "d" / "e").mkdir(parents=True)
    (tracking.tree / "d" / "e" / "f").write_text("x")
    tracking.change("/srv/d/e/f", "Added")
    shutil.move(tracking.tree / "d", tracking.tree / "g")
    tracking.eventually(lambda: tracking.known() == {"/srv/g", "/srv/g/e", "/srv/g/e/f"})
    before = len(tracking.changes())
    tracking.scan()
    assert len(tracking.changes()) == before


def test_a_tree_moved_in_and_out(tracking: Tracking) -> None:
    outside = tracking.root / "tmp" / "t"
    (outside / "u").mkdir(parents=True)
    (outside / "u" / "f").write_text("x")
    tracking.start()
    outside.rename(tracking.tree / "t")
    tracking.change("/srv/t/u/f", "Added")
    (tracking.tree / "t").rename(outside)
    tracking.change("/srv/t/u/f", "Removed")
    assert tracking.known() == set()


def test_ten_thousand_files_in_a_burst(tracking: Tracking) -> None:
    tracking.start()
    folder = tracking.tree / "burst"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}").write_bytes(b"%d" % number)
    for number in range(0, 10_000, 2):
        (folder / f"{number}").unlink()
    wanted = {"/srv/burst"} | {f"/srv/burst/{number}" for number in range(1, 10_000, 2)}
    tracking.eventually(lambda: tracking.known() == wanted, seconds=120)
    before = len(tracking.changes())
    tracking.scan()
    assert len(tracking.changes()) == before
    assert tracking.known() == wanted


def test_a_source_tree_unpacked(tracking: Tracking, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(40):
        (source / f"d{number}").mkdir(parents=True)
        for file in range(25):
            (source / f"d{number}" / f"f{file}").write_text(f"{number} {file}")
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "t.tar", "source"], check=True)
    tracking.start()
    subprocess.run(["tar", "-C", tracking.tree, "-xf", tmp_path / "t.tar"], check=True)
    tracking.eventually(lambda: len(tracking.known()) == 1041, seconds=60)
    tracking.scan()
    added = [row["FileSystemPath"] for row in tracking.changes() if row["ChangeCategory"] == "Added"]
    assert len(added) == len(set(added)) == 1041


def test_a_watcher_that_dies_is_told_and_begins_again(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    from whatchanged.watchers.fanotify import calls

    opened: list[int] = []
    real = calls.initialise

    def initialise() -> int:
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(calls, "initialise", initialise)
    tracking.start()
    os.dup2(os.open("/dev/null", os.O_WRONLY), opened[0])  # the group is gone from under the watcher
    (tracking.tree / "a").write_text("x")
    tracking.eventually(lambda: tracking.health("WatchLost"))
    tracking.eventually(lambda: len(opened) > 1)
    tracking.eventually(lambda: len(tracking.health("Watching")) > 1)
    tracking.change("/srv/a", "Added")
    tracking.idle()
    (tracking.tree / "b").write_text("x")
    assert tracking.change("/srv/b", "Added", seconds=10)["DetectedBy"] == "Watch"


def test_a_mount_that_comes_and_goes(tracking: Tracking) -> None:
    point = tracking.tree / "memory"
    point.mkdir()
    tracking.start()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", point], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        tracking.eventually(lambda: any(area["path"] == "/srv/memory" for area in tracking.status()["watch"]["areas"]))
        (point / "a").write_text("x")
        tracking.change("/srv/memory/a", "Added", seconds=10)
    finally:
        subprocess.run(["umount", point], check=True)
    tracking.change("/srv/memory/a", "Removed", seconds=10)


def test_the_policy_switches_watching_off(tracking: Tracking) -> None:
    tracking.policy.write_text("watch = false\n")
    tracking.start()
    assert tracking.status()["watch"]["state"] == "Off"
    (tracking.tree / "a").write_text("x")
    tracking.scan()
    assert tracking.change("/srv/a", "Added", seconds=1)["DetectedBy"] == "Poll"
    assert "switched off" in tracking.health("Watching")[-1]["Detail"]


def test_status_and_health_say_what_is_watched(tracking: Tracking) -> None:
    tracking.start()
    watch = tracking.status()["watch"]
    assert watch["state"] == "Watching"
    assert [(area["path"], area["method"]) for area in watch["areas"]] == [("/", "fanotify")]
    who, watched = tracking.health("Watching")
    assert "who makes changes is" in who["Detail"]
    assert watched["Status"] == "Ok"
    assert "fanotify: /" in watched["Detail"]


def test_a_package_database_and_a_unit_folder_mark_their_kinds(tracking: Tracking) -> None:
    tracking.start(kinds=("software", "daemons"))
    status = tracking.root / "var/lib/dpkg/status"
    new = status.with_name("status-new")
    new.write_text(
        "Package: hello\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nMaintainer: J <j@x>\n"
        "Description: d\n\n"
    )
    new.rename(status)
    tracking.eventually(lambda: [r for r in tracking.changes() if r.get("SoftwareName") == "hello"], seconds=10)
    unit = tracking.root / "etc/systemd/system/a.service"
    unit.write_text("[Unit]\nDescription=one\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    tracking.eventually(lambda: [r for r in tracking.changes() if r.get("SvcName") == "a.service"], seconds=10)
    unit.write_text("[Unit]\nDescription=two\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    tracking.eventually(lambda: [r for r in tracking.changes() if r.get("SvcChangeType") == "Description"], seconds=10)
    assert {row["DetectedBy"] for row in tracking.changes()} == {"Watch"}
