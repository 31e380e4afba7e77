"""The walk as it is on every system (on Windows below a folder of it; tests/wine)."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from unit.collectors.conftest import write
from whatchanged.collectors import RunStatus


def test_first_look_hashes_and_second_look_reads_nothing(machine: Any, fixed_scope: Any) -> None:
    contents = {f"/etc/d{n % 5}/f{n}": b"%d" % n * (n * 3000) for n in range(150)}
    for inside, content in contents.items():
        write(machine.path(inside), content)
    found = machine.collect(fixed_scope(b"/etc"))
    assert {path.decode(): looked.item.sha256 for path, looked in found.items()} == {
        inside: hashlib.sha256(content).digest() for inside, content in contents.items()
    }
    assert machine.outcome.status is RunStatus.OK
    assert machine.outcome.seen == machine.outcome.looked == 150
    assert machine.outcome.bytes_read == sum(map(len, contents.values()))

    assert machine.collect(fixed_scope(b"/etc")) == {}
    assert (machine.outcome.seen, machine.outcome.looked, machine.outcome.bytes_read) == (150, 0, 0)
    assert sum(len(look.unchanged) for look in machine.looks) == 150
    assert machine.vanished() == []

    assert len(machine.collect(fixed_scope(b"/etc"), rehash=True)) == 150


def test_file_that_changes_while_read_is_read_again_next_time(machine: Any, fixed_scope: Any) -> None:
    path = machine.path("/etc/log")
    write(path, b"x" * 3_000_000)

    class Writes:
        """A budget that writes to the file whenever it was read: there is always a change during the read."""

        def spend(self, count: int) -> None:
            if count:
                with open(path, "r+b") as file:
                    file.write(b"more")

    found = machine.collect(fixed_scope(b"/etc"), budget=Writes())
    assert [failure.reason for look in machine.looks for failure in look.failures] == ["changed while it was read"]
    assert found[b"/etc/log"].item.sha256
    assert set(machine.collect(fixed_scope(b"/etc"))) == {b"/etc/log"}
    assert machine.outcome.status is RunStatus.OK


def test_file_that_grows_while_read_is_read_once(machine: Any, fixed_scope: Any) -> None:
    path = machine.path("/etc/log")
    write(path, b"x" * 3_000_000)

    class Appends:
        """A budget that appends to the file whenever it was read."""

        def spend(self, count: int) -> None:
            if count:
                with open(path, "ab") as file:
                    file.write(b"more")

    found = machine.collect(fixed_scope(b"/etc"), budget=Appends())
    assert (machine.outcome.failures_total, machine.outcome.bytes_read) == (0, 3_000_000)
    looked = found[b"/etc/log"]
    assert (looked.item.size, looked.item.sha256) == (3_000_000, hashlib.sha256(b"x" * 3_000_000).digest())
    again = machine.collect(fixed_scope(b"/etc"))[b"/etc/log"].item
    assert again.sha256 == hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()


def test_file_beyond_the_limit_is_told_without_its_content(machine: Any, fixed_scope: Any) -> None:
    path = machine.path("/etc/huge")
    write(path, b"x" * 100)
    known = machine.collect(fixed_scope(b"/etc"), content_limit=200)
    assert known[b"/etc/huge"].item.sha256
    with open(path, "r+b") as file:
        file.truncate(10**12)
    found = machine.collect(fixed_scope(b"/etc"), content_limit=200)
    assert (found[b"/etc/huge"].item.size, found[b"/etc/huge"].item.sha256) == (10**12, b"")
    assert "larger than the limit" in machine.outcome.failures[0].reason
    assert machine.collect(fixed_scope(b"/etc"), content_limit=200) == {}


def test_vanishing_file_is_no_failure(machine: Any, fixed_scope: Any) -> None:
    for n in range(40):
        write(machine.path(f"/etc/{n}"), b"0123456789" * 10)
    machine.collect(fixed_scope(b"/etc"))
    gone = threading.Event()

    class Removes:
        def spend(self, count: int) -> None:
            if count and not gone.is_set():
                gone.set()
                for n in range(40):
                    os.unlink(machine.path(f"/etc/{n}"))

    machine.collect(fixed_scope(b"/etc"), budget=Removes(), rehash=True, threads=1)
    assert machine.outcome.failures == ()
    assert len(machine.vanished()) == 39


def test_missing_root_is_nothing_and_scope_decides(machine: Any, fixed_scope: Any) -> None:
    assert machine.collect(fixed_scope(b"/nowhere")) == {}
    assert machine.outcome.status is RunStatus.OK
    write(machine.path("/etc/a.conf"))
    write(machine.path("/etc/a.txt"))
    scope = fixed_scope(b"/etc", match=lambda name: name.endswith(b".conf"))
    assert list(machine.collect(scope)) == [b"/etc/a.conf"]


def test_stop_ends_the_run(machine: Any, fixed_scope: Any) -> None:
    for n in range(300):
        write(machine.path(f"/etc/{n}/f"))
    stop = threading.Event()

    class Stops:
        def spend(self, count: int) -> None:
            stop.set()

    machine.collect(fixed_scope(b"/etc"), stop=stop, budget=Stops())
    assert machine.outcome.status is RunStatus.STOPPED
    assert machine.vanished() == []


def test_no_size_makes_a_signature_that_of_an_unread_file(machine: Any, fixed_scope: Any) -> None:
    for size in range(256):
        write(machine.path(f"/etc/{size}"), b"x" * size)
    machine.collect(fixed_scope(b"/etc"))
    assert machine.collect(fixed_scope(b"/etc"), rehash=True, content_limit=0).keys() == {b"/etc/0"}
    assert machine.outcome.failures_total == 255
