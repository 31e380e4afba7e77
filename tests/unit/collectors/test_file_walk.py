from __future__ import annotations

import sys

assert sys.platform != "win32"

import hashlib
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unit.collectors.conftest import Machine, without_rights, write
from whatchanged.collectors import Failure, RunStatus
from whatchanged.collectors.files import Looked, Missing, Unmatched, look

HOSTILE = [
    b"plain",
    b"new\nline",
    b"\x1b[31mred",
    b"\xff\xfe not utf-8",
    b"-rf",
    b"back\\slash",
    "r\u202elo".encode(),
    b"x" * 255,
    b" ",
    b"$(reboot)",
    b"%n%s",
]


def test_changed_and_removed_files_are_told(machine: Any, fixed_scope: Any) -> None:
    for name in "abc":
        write(machine.path(f"/etc/{name}"))
    machine.collect(fixed_scope(b"/etc"))
    write(machine.path("/etc/a"), b"another")
    os.unlink(machine.path("/etc/b"))
    os.chmod(machine.path("/etc/c"), 0o600)
    found = machine.collect(fixed_scope(b"/etc"))
    assert set(found) == {b"/etc/a", b"/etc/c"}
    assert found[b"/etc/c"].item.mode & 0o777 == 0o600
    assert machine.vanished() == [b"/etc/b"]


def test_hostile_names_come_back_byte_for_byte(machine: Any, fixed_scope: Any) -> None:
    for name in HOSTILE:
        write(os.path.join(machine.root, b"etc", name))
    found = machine.collect(fixed_scope(b"/etc"))
    assert set(found) == {b"/etc/" + name for name in HOSTILE}
    assert machine.collect(fixed_scope(b"/etc")) == {}


def test_fifo_socket_and_device_are_never_opened(machine: Any, fixed_scope: Any) -> None:
    os.makedirs(machine.path("/etc"))
    os.mkfifo(machine.path("/etc/fifo"))
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(machine.path("/etc/socket"))
    assert machine.collect(fixed_scope(b"/etc")) == {}
    found = machine.collect(fixed_scope(b"/etc", kind="Any"))
    assert {stat.S_IFMT(looked.item.mode) for looked in found.values()} == {stat.S_IFIFO, stat.S_IFSOCK}
    assert all(looked.item.sha256 == b"" for looked in found.values())
    assert machine.outcome.bytes_read == 0


def test_followed_manage_and_ignored_links(machine: Any, fixed_scope: Any) -> None:
    write(machine.path("/srv/real/file"), b"there")
    os.makedirs(machine.path("/etc"))
    os.symlink("/srv/real/file", machine.path("/etc/absolute"))
    os.symlink("../srv/real", machine.path("/etc/folder"))
    os.symlink("nowhere", machine.path("/etc/dangling"))
    os.symlink("/proc/self/status", machine.path("/etc/self"))
    found = machine.collect(fixed_scope(b"/etc"))
    assert set(found) == {b"/etc/absolute", b"/etc/folder/file", b"/etc/dangling", b"/etc/self"}
    item = found[b"/etc/absolute"].item
    assert item.sha256 == hashlib.sha256(b"there").digest()
    assert item.link_target == b"/srv/real/file"
    assert stat.S_ISLNK(item.link_mode or 0)
    assert stat.S_ISREG(item.mode)
    assert stat.S_ISLNK(found[b"/etc/dangling"].item.mode)
    assert machine.collect(fixed_scope(b"/etc")) == {}

    write(machine.path("/srv/real/file"), b"changed behind the link")
    assert set(machine.collect(fixed_scope(b"/etc"))) == {b"/etc/absolute", b"/etc/folder/file"}

    managed = machine.collect(fixed_scope(b"/etc", links="Manage"), rehash=True)
    assert all(stat.S_ISLNK(looked.item.mode) for looked in managed.values())
    assert managed[b"/etc/folder"].item.link_target == b"../srv/real"
    assert machine.collect(fixed_scope(b"/etc", links="Ignore"), rehash=True) == {}


def test_link_loops_end(machine: Any, fixed_scope: Any) -> None:
    write(machine.path("/etc/a/file"))
    write(machine.path("/etc/b/file"))
    os.symlink("/etc", machine.path("/etc/a/up"))
    os.symlink("../b", machine.path("/etc/a/b"))
    os.symlink("../a", machine.path("/etc/b/a"))
    os.symlink("self", machine.path("/etc/self"))
    os.symlink("/", machine.path("/etc/root"))
    found = machine.collect(fixed_scope(b"/etc"))
    assert {b"/etc/a/file", b"/etc/b/file", b"/etc/a/b/file", b"/etc/b/a/file", b"/etc/self"} == set(found)


def test_folders_full_of_links_to_each_other_are_bounded(machine: Any, fixed_scope: Any) -> None:
    for a in range(10):
        os.makedirs(machine.path(f"/etc/d{a}"))
        for b in range(10):
            os.symlink(f"../d{b}", machine.path(f"/etc/d{a}/l{b}"))
    machine.collect(fixed_scope(b"/etc"))
    assert len(machine.looks) < 1000
    assert machine.outcome.status is RunStatus.PARTIAL
    assert machine.outcome.denied


def test_links_cannot_leave_the_root(machine: Any, fixed_scope: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    os.makedirs(machine.path("/etc"))
    os.symlink(f"{tmp_path}/secret", machine.path("/etc/absolute"))
    os.symlink("../" * 40 + f"{tmp_path}/secret".lstrip("/"), machine.path("/etc/relative"))
    for looked in machine.collect(fixed_scope(b"/etc")).values():
        assert stat.S_ISLNK(looked.item.mode)
        assert looked.item.sha256 == b""


def test_trees_deeper_than_path_max(machine: Any, fixed_scope: Any) -> None:
    os.makedirs(machine.path("/etc"))
    fd = os.open(machine.path("/etc"), os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=fd)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    leaf = os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(leaf)
    os.close(fd)
    found = machine.collect(fixed_scope(b"/etc"))
    assert list(found) == [b"/etc" + (b"/" + b"d" * 200) * 30 + b"/leaf"]
    shutil.rmtree(machine.path("/etc"))


def test_large_folder_comes_in_batches(machine: Any, fixed_scope: Any) -> None:
    os.makedirs(machine.path("/etc"))
    for n in range(5000):
        os.close(os.open(machine.path(f"/etc/{n}"), os.O_CREAT))
    assert len(machine.collect(fixed_scope(b"/etc"))) == 5000
    assert [look.complete for look in machine.looks] == [False, True]
    os.unlink(machine.path("/etc/17"))
    assert machine.collect(fixed_scope(b"/etc")) == {}
    assert machine.vanished() == [b"/etc/17"]
    assert machine.outcome.seen == 4999


def test_holes_are_hashed_without_being_read(machine: Any, fixed_scope: Any) -> None:
    path = machine.path("/etc/sparse")
    write(path, b"begin")
    size = 300 * 1024 * 1024
    with open(path, "r+b") as file:
        file.truncate(size)
        for place in (100_000_001, size - 3):
            file.seek(place)
            file.write(b"end")
    found = machine.collect(fixed_scope(b"/etc"))
    with open(path, "rb") as file:
        assert found[b"/etc/sparse"].item.sha256 == hashlib.file_digest(file, "sha256").digest()
    assert machine.outcome.bytes_read < 1024 * 1024


def test_pseudo_file_systems_are_not_walked(fixed_scope: Any) -> None:
    from whatchanged.collectors.files import FileCollector

    collector = FileCollector(fixed_scope(b"/proc", b"/sys/kernel"))
    assert list(collector.run()) == []
    assert [skipped.reason for skipped in collector.outcome.skipped] == ["pseudo file system"] * 2


def test_abandoned_run_gives_its_descriptors_back(machine: Any, fixed_scope: Any) -> None:
    for n in range(30):
        write(machine.path(f"/etc/{n}/f"))
    before = len(os.listdir("/proc/self/fd"))
    from whatchanged.collectors.files import FileCollector

    run = iter(FileCollector(fixed_scope(b"/etc"), root=machine.root).run())
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before
    machine.collect(fixed_scope(b"/etc"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_forged_times_are_survived(machine: Any, fixed_scope: Any) -> None:
    write(machine.path("/etc/f"))
    os.utime(machine.path("/etc/f"), ns=(-(10**18), 15_000_000_000 * 10**9))
    item = machine.collect(fixed_scope(b"/etc"))[b"/etc/f"].item
    assert -(2**63) <= item.modified_ns < 2**63
    assert machine.collect(fixed_scope(b"/etc")) == {}


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed")
def test_acl_is_what_getfacl_says(machine: Any, fixed_scope: Any) -> None:
    write(machine.path("/etc/f"))
    write(machine.path("/etc/passwd"), b"root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n")
    subprocess.run(["setfacl", "-m", "u:33:rw,g:77:r", machine.path("/etc/f")], check=True)
    item = machine.collect(fixed_scope(b"/etc"))[b"/etc/f"].item
    said = subprocess.run(
        ["getfacl", "--omit-header", "--absolute-names", "--numeric", machine.path("/etc/f")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert item.acl.replace("user:www:", "user:33:") == ",".join(entry for entry in said if not entry.startswith("#"))
    birth = os.stat(machine.path("/etc/f")).st_ctime_ns
    assert item.created_ns is None or abs(birth - item.created_ns) < 60 * 10**9


def test_look_at_one_path(machine: Any, fixed_scope: Any) -> None:
    write(machine.path("/srv/d/f"), b"one")
    os.makedirs(machine.path("/etc"))
    os.symlink("/srv/d", machine.path("/etc/d"))
    scope = fixed_scope(b"/etc", match=lambda name: name != b"not")
    found = look(b"/etc/d/f", scope, machine.root)
    assert isinstance(found, Looked)
    assert found.item.sha256 == hashlib.sha256(b"one").digest()
    assert found.item == machine.collect(scope)[b"/etc/d/f"].item
    assert look(b"/etc/d/gone", scope, machine.root) == Missing(b"/etc/d/gone")
    write(machine.path("/etc/not"))
    assert look(b"/etc/not", scope, machine.root) == Unmatched(b"/etc/not")


def test_a_link_to_a_device_or_pipe_is_still_a_link(machine: Any, fixed_scope: Any) -> None:
    os.makedirs(machine.path("/etc"))
    os.mkfifo(machine.path("/pipe"))
    os.symlink("/pipe", machine.path("/etc/masked"))
    found = machine.collect(fixed_scope(b"/etc"))
    assert {path: stat.S_IFMT(looked.item.mode) for path, looked in found.items()} == {b"/etc/masked": stat.S_IFLNK}
    assert machine.collect(fixed_scope(b"/etc")) == {}
    followed = machine.collect(fixed_scope(b"/etc", kind="Any"), rehash=True)
    assert stat.S_ISFIFO(followed[b"/etc/masked"].item.mode)


@pytest.fixture
def stranger(open_folder: Path) -> Machine:
    """A machine that an account without any right can come to."""
    return Machine(os.fsencode(open_folder))


def test_of_an_unreadable_file_all_but_the_content_is_told(stranger: Machine, fixed_scope: Any) -> None:
    write(stranger.path("/etc/f"), b"secret")
    os.chmod(stranger.path("/etc/f"), 0o600)
    os.symlink("f", stranger.path("/etc/link"))
    with without_rights():
        found = stranger.collect(fixed_scope(b"/etc"))
    assert {failure.path for look in stranger.looks for failure in look.failures} == {b"/etc/f", b"/etc/link"}
    readable = stranger.collect(fixed_scope(b"/etc"))
    for path, looked in readable.items():
        assert looked.item.sha256 == hashlib.sha256(b"secret").digest()
        assert msgspec.structs.replace(looked.item, sha256=b"") == found[path].item


def test_a_root_that_cannot_be_reached_is_denied_and_not_gone(stranger: Machine, fixed_scope: Any) -> None:
    write(stranger.path("/root/ssh/keys"))
    os.chmod(stranger.path("/root"), 0o700)
    with without_rights():
        assert stranger.collect(fixed_scope(b"/root/ssh")) == {}
        assert isinstance(look(b"/root/ssh/keys", fixed_scope(b"/root/ssh"), stranger.root), Failure)
    assert stranger.outcome.denied == (b"/root/ssh",)


def test_entries_without_a_status_are_neither_gone_nor_new_later(stranger: Machine, fixed_scope: Any) -> None:
    write(stranger.path("/etc/d/f"))
    os.chmod(stranger.path("/etc/d"), 0o744)  # its names can be listed, and no more
    with without_rights():
        assert stranger.collect(fixed_scope(b"/etc")) == {}
    assert stranger.outcome.denied == (b"/etc/d/f",)
    assert stranger.outcome.failures_total == 1
