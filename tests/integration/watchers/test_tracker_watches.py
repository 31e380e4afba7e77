"""The tracker told by watchers: each change once, soon, and by the same means as a poll."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import mmap
import os
import shutil
import subprocess
import time

import pytest

from integration.watchers.tracking import HOUR, Tracking

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


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
    tracking.idle()
    (tracking.tree / "t").rename(outside)
    tracking.change("/srv/t/u/f", "Removed")
    assert tracking.known() == set()


def test_a_rename_is_told_with_both_paths(tracking: Tracking) -> None:
    (tracking.tree / "old").write_text("x")
    tracking.start()
    (tracking.tree / "old").rename(tracking.tree / "new")
    row = tracking.change("/srv/new", "Modified", seconds=10)
    assert (row["PreviousFileSystemPath"], row["FieldsChanged"]) == ("/srv/old", "FileSystemPath")
    assert row["DetectedBy"] == "Watch"
    tracking.idle()
    assert len(tracking.changes()) == 1
    assert tracking.known() == {"/srv/new"}


def test_a_renamed_folder_has_one_cause_and_one_who(tracking: Tracking) -> None:
    folder = tracking.tree / "d"
    (folder / "e").mkdir(parents=True)
    for number in range(30):
        (folder / "e" / f"{number}").write_text(f"{number}")
    tracking.start()
    subprocess.run(["mv", "d", "g"], cwd=tracking.tree, check=True)
    tracking.eventually(lambda: len(tracking.known()) == 32 and all("/g" in path for path in tracking.known()))
    tracking.idle()
    rows = tracking.changes()
    assert sorted(row["FileSystemPath"].replace("/g", "/d", 1) for row in rows) == sorted(
        row["PreviousFileSystemPath"] for row in rows
    )
    assert len(rows) == 32
    assert len({row["TransactionId"] for row in rows}) == 1
    assert {row.get("InitiatingProcessName") for row in rows} == {"mv"}
    tracking.scan()
    assert len(tracking.changes()) == 32


def test_saving_through_a_temporary_file_is_a_change_of_the_target(tracking: Tracking) -> None:
    (tracking.tree / "f").write_text("x")
    tracking.start()
    subprocess.run(["sed", "-i", "s/x/longer/", "f"], cwd=tracking.tree, check=True)
    row = tracking.change("/srv/f", "Modified", seconds=10)
    assert (row["InitiatingProcessName"], row["PreviousSize"], row["Size"]) == ("sed", 1, 6)
    tracking.idle()
    assert len(tracking.changes()) == 1


def test_a_file_renamed_in_a_loop_ends_where_it_is(tracking: Tracking) -> None:
    (tracking.tree / "0").write_text("x")
    tracking.start()
    for number in range(3000):
        (tracking.tree / f"{number}").rename(tracking.tree / f"{number + 1}")
    tracking.eventually(lambda: tracking.known() == {"/srv/3000"})
    tracking.idle()
    rows = tracking.changes()
    # Each row begins where the one before ended.
    place = "/srv/0"
    for row in rows:
        assert (row["ChangeCategory"], row["PreviousFileSystemPath"]) == ("Modified", place)
        place = row["FileSystemPath"]
    assert place == "/srv/3000"
    tracking.scan()
    assert (len(tracking.changes()), tracking.known()) == (len(rows), {"/srv/3000"})


def test_a_folder_renamed_in_a_loop_keeps_its_files(tracking: Tracking) -> None:
    (tracking.tree / "0").mkdir()
    (tracking.tree / "0" / "f").write_text("x")
    tracking.start()
    for number in range(2000):
        (tracking.tree / f"{number}").rename(tracking.tree / f"{number + 1}")
    tracking.eventually(lambda: tracking.known() == {"/srv/2000", "/srv/2000/f"})
    tracking.idle()
    assert {row["ChangeCategory"] for row in tracking.changes()} == {"Modified"}
    before = len(tracking.changes())
    tracking.scan()
    assert len(tracking.changes()) == before


def test_two_files_that_change_places_all_the_time(tracking: Tracking) -> None:
    for name in ("a", "b"):
        (tracking.tree / name).write_text(name * 10)
    tracking.start()
    for _ in range(501):
        (tracking.tree / "a").rename(tracking.tree / "c")
        (tracking.tree / "b").rename(tracking.tree / "a")
        (tracking.tree / "c").rename(tracking.tree / "b")

    def shown() -> dict[str, str]:
        rows = [r for r in tracking.records("CONFIG_DATA_BLOB_V2") if "_Record" not in r]
        return {row["FileSystemPath"]: row["FileContentChecksum"] for row in rows}

    wanted = {
        f"/srv/{name}": hashlib.sha256(other).hexdigest().upper()
        for name, other in (("a", b"b" * 10), ("b", b"a" * 10))
    }
    tracking.eventually(lambda: tracking.known() == set(wanted) and {p: shown()[p] for p in wanted} == wanted)
    tracking.idle()
    before = len(tracking.changes())
    tracking.scan()
    assert len(tracking.changes()) == before


def test_the_other_name_of_a_file_changes_too(tracking: Tracking) -> None:
    (tracking.tree / "one").write_text("x")
    tracking.start()
    (tracking.tree / "d").mkdir()
    (tracking.tree / "d" / "two").hardlink_to(tracking.tree / "one")
    tracking.change("/srv/d/two", "Added")
    tracking.idle()
    subprocess.run(["sh", "-c", "echo more >> d/two"], cwd=tracking.tree, check=True)
    other = tracking.change("/srv/one", "Modified", seconds=10)
    named = tracking.change("/srv/d/two", "Modified", seconds=10)
    assert {row["FileContentChecksum"] for row in (other, named)} == {hashlib.sha256(b"xmore\n").hexdigest().upper()}
    assert {row["InitiatingProcessName"] for row in (other, named)} == {"sh"}


def test_a_watcher_that_dies_is_told_and_begins_again(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    from whatchanged.watchers.fanotify import calls

    opened: list[int] = []
    real = calls.initialise

    def initialise(*, pidfd: bool) -> int:
        opened.append(real(pidfd=pidfd))
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


def test_a_change_that_nothing_tells_of_is_found_by_reading_again(tracking: Tracking) -> None:
    memory = tracking.tree / "memory"
    memory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", memory], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        (memory / "f").write_bytes(b"000")
        # Through a mapping only the first write to a page moves the times, and a watcher tells of the close only.
        with (memory / "f").open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapping:
            mapping[:] = b"one"
            tracking.start(rehash_seconds=3 * HOUR)
            mapping[:] = b"two"
            for _ in range(3):
                tracking.scan()
            row = tracking.change("/srv/memory/f", "Modified", seconds=1)
            assert (row["FieldsChanged"], row["DetectedBy"]) == ("FileContentChecksum", "Poll")
        (part,) = tracking.status()["rehash"]
        assert (part["seconds"], part["slices"]) == (3 * HOUR, 3)
        assert part["done"]
    finally:
        tracking.end()
        subprocess.run(["umount", memory], check=True)


def test_a_log_that_grows_all_the_time_is_read_now_and_then_and_ends_right(tracking: Tracking) -> None:
    log = tracking.tree / "log"
    log.write_bytes(b"x" * 5_000_000)
    tracking.start()
    began = time.monotonic()
    with log.open("ab") as stream:
        while time.monotonic() - began < 3:
            stream.write(b"line\n")
            stream.flush()
    ended = time.monotonic()
    wanted = hashlib.sha256(log.read_bytes()).hexdigest().upper()
    tracking.eventually(lambda: any(row.get("FileContentChecksum") == wanted for row in tracking.changes()))
    tracking.idle()
    # Five million bytes may be read every second.
    assert len(tracking.changes()) <= ended - began + 3
    assert tracking.changes()[-1]["FileContentChecksum"] == wanted
    assert tracking.status()["runs"][0]["Status"] == "Ok"


def test_a_hole_of_a_terabyte_keeps_nobody_waiting_and_is_told(tracking: Tracking) -> None:
    tracking.start()
    with (tracking.tree / "hole").open("wb") as stream:
        stream.truncate(10**12)
    tracking.eventually(lambda: [row["path"] for row in tracking.status()["reading"]] == ["/srv/hole"])
    (tracking.tree / "small").write_text("x")
    tracking.change("/srv/small", "Added", seconds=10)
    tracking.scan()
    (told,) = tracking.status()["reading"]
    assert told["size"] == 10**12
    (tracking.tree / "hole").unlink()
    tracking.eventually(lambda: not tracking.status()["reading"])
    assert tracking.known() == {"/srv/small"}


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
