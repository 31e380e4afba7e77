"""File systems whose other end does not answer: a real FUSE mount that hangs.

What NFS would add (its own timeouts, mounts that come back with stale handles) is not shown by it.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.watchers.separate import SeparateTracking
from integration.watchers.silent_mount import SilentMount, silent_mount
from integration.watchers.tracking import Tracking
from whatchanged.collectors.files import FileCollector
from whatchanged.rules import FileRule, FileScope, FileType

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@contextlib.contextmanager
def mounted(point: Path) -> Iterator[SilentMount]:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(silent_mount(point))
        except PermissionError as error:
            pytest.skip(str(error))
        yield made


@pytest.fixture
def mount(tracking: Tracking) -> Iterator[SilentMount]:
    point = tracking.tree / "net"
    point.mkdir()
    with mounted(point) as made:
        yield made
        tracking.end()  # while nobody answers


def test_a_silent_mount_is_never_touched_unless_it_is_asked_for(tracking: Tracking, mount: SilentMount) -> None:
    (tracking.tree / "link").symlink_to("net/d")
    (tracking.tree / "absolute").symlink_to(mount.point / "a")
    inside = mount.point / "d" / "e"
    subprocess.run(["mount", "-t", "tmpfs", "none", inside], check=True)
    try:
        mount.fall_silent()
        asked = len(mount.requests)
        tracking.start()
        (tracking.tree / "a").write_text("x")
        assert tracking.change("/srv/a", "Added", seconds=5)["DetectedBy"] == "Watch"
        tracking.scan()
        (tracking.tree / "b").write_text("x")
        tracking.change("/srv/b", "Added", seconds=5)
        assert tracking.known() == {"/srv/a", "/srv/b", "/srv/link", "/srv/absolute"}
        assert "/srv/net: network file system" in tracking.health("Collected")[-1]["Detail"]
        assert mount.requests[asked:] == []
    finally:
        mount.answer()
        subprocess.run(["umount", inside], check=True)


def test_a_silent_mount_that_comes_while_its_folder_is_watched(tracking: Tracking) -> None:
    point = tracking.tree / "later"
    tracking.start()
    point.mkdir()
    tracking.change("/srv/later", "Added")
    with mounted(point) as mount:
        mount.fall_silent()
        asked = len(mount.requests)
        point.parent.joinpath("a").write_text("x")
        tracking.change("/srv/a", "Added", seconds=5)
        tracking.scan()
        assert tracking.known() == {"/srv/later", "/srv/a"}
        assert mount.requests[asked:] == []


def test_a_silent_mount_that_comes_in_the_middle_of_a_walk(tmp_path: Path) -> None:
    point = tmp_path / "in" / "net"
    point.mkdir(parents=True)
    rule = FileRule(name="r", destination_path=b"/in/*", recurse=True, type=FileType.ANY)
    collector = FileCollector(FileScope([rule]), root=os.fsencode(tmp_path))
    walk = collector.run()
    assert next(walk).folder == b"/in"
    with mounted(point) as mount:
        mount.fall_silent()
        asked = len(mount.requests)
        assert list(walk) == []
        assert [(skipped.path, skipped.reason) for skipped in collector.outcome.skipped] == [
            (b"/in/net", "network file system")
        ]
        assert mount.requests[asked:] == []


NETWORK = {"/srv/net", "/srv/net/a", "/srv/net/d", "/srv/net/d/b", "/srv/net/d/e", "/srv/net/d/e/c"}


def test_a_network_mount_that_is_asked_for_is_looked_at(tracking: Tracking, mount: SilentMount) -> None:
    tracking.policy.write_text("network_file_systems = true\n")
    (tracking.tree / "a").write_text("x")
    tracking.start()
    assert tracking.known() == NETWORK | {"/srv/a"}
    assert tracking.health("Collected")[-1]["Status"] == "Ok"
    assert tracking.changes() == []
    assert os.getpid() not in {pid for _, pid in mount.requests}
    mount.change("a", "changed")
    mount.change("d/new", "new")
    mount.change("d/e/c", None)
    tracking.scan()
    rows = {(row["FileSystemPath"], row["ChangeCategory"]) for row in tracking.changes()}
    assert {("/srv/net/a", "Modified"), ("/srv/net/d/new", "Added"), ("/srv/net/d/e/c", "Removed")} <= rows
    gone = {"/srv/net/d/e", "/srv/net/d/e/c"}
    assert tracking.known() == (NETWORK | {"/srv/a", "/srv/net/d/new"}) - gone


def test_a_network_mount_that_falls_silent_stops_nothing_else(tracking: Tracking, mount: SilentMount) -> None:
    tracking.policy.write_text("network_file_systems = true\n")
    tracking.start(silence_seconds=2.0)
    mount.fall_silent()
    done = threading.Thread(target=tracking.scan)
    done.start()
    mount.asked()
    (tracking.tree / "during").write_text("x")  # while somebody waits for the mount
    assert tracking.change("/srv/during", "Added", seconds=2)["DetectedBy"] == "Watch"
    done.join()
    told = tracking.health("MountSilent")[-1]
    assert told["Status"] == "Error"
    assert f"at /srv/net does not answer since {told['WindowStart']}" in told["Detail"]
    assert "/srv/net: network file system: does not answer since" in tracking.health("Collected")[-1]["Detail"]
    assert tracking.known() == NETWORK | {"/srv/during"}
    waiting = {pid for _, pid in mount.requests if os.path.exists(f"/proc/{pid}")}
    tracking.scan()  # at once: it is known to be silent
    (tracking.tree / "after").write_text("x")
    tracking.change("/srv/after", "Added", seconds=2)
    assert {pid for _, pid in mount.requests if os.path.exists(f"/proc/{pid}")} == waiting
    mount.change("a", "changed meanwhile")
    mount.answer()
    assert tracking.change("/srv/net/a", "Modified")["Size"] == len("changed meanwhile")
    told = tracking.health("MountSilent")[-1]
    assert told["Status"] == "Ok"
    assert "answers again" in told["Detail"]
    tracking.eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in waiting))
    assert not [row for row in tracking.changes() if row["ChangeCategory"] == "Removed"]


def test_a_slow_mount_is_not_a_silent_one(tracking: Tracking, mount: SilentMount) -> None:
    tracking.policy.write_text("network_file_systems = true\n")
    mount.grow("large", 1024 * 1024)
    mount.slow_down()
    began = time.monotonic()
    tracking.start(silence_seconds=3.0)
    assert time.monotonic() - began > 2 * 3.0  # more than its patience, and not a word but signs of life
    assert tracking.known() == NETWORK | {"/srv/net/large"}
    assert tracking.health("MountSilent") == []


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGKILL])
def test_a_tracker_ends_while_a_mount_is_silent_and_another_begins(tmp_path: Path, signalled: signal.Signals) -> None:
    tracking = SeparateTracking(tmp_path)
    tracking.policy.write_text("network_file_systems = true\n")
    point = tracking.tree / "net"
    point.mkdir()
    with mounted(point) as mount:
        tracking.start()
        mount.fall_silent()
        tracking.ask(command="scan", wait=False)
        mount.asked()
        assert tracking.process is not None
        tracking.process.send_signal(signalled)
        tracking.process.wait(5)
        (tracking.tree / "a").write_text("x")
        tracking.start(silence_seconds=1.0)
        assert tracking.change("/srv/a", "Added")["DetectedBy"] == "Startup"
        assert tracking.known() == NETWORK | {"/srv/a"}
        assert tracking.health("MountSilent")[-1]["Status"] == "Error"
        mount.answer()
        tracking.eventually(lambda: tracking.health("MountSilent")[-1]["Status"] == "Ok")
        tracking.end()
