"""The rpm collector against databases that rpm itself made, and against rpm's own answer."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import fcntl
import multiprocessing
import os
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from integration.collectors.conftest import RpmBuilder, RpmRoot, look, needs, said
from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.records.items import SoftwareItem
from whatchanged.tracker.differ import change_rows

pytestmark = needs("rpm", "rpmbuild")

EPOCH = ("Epoch: 4", "Vendor: ACME Ltd", "Packager: Jane <j@x>")
KERNEL = ("Provides: installonlypkg(kernel)",)
# Every field by rpm's own rendering, with its own words for "absent".
FORM = (
    "%{n};%|epoch?{%{epoch}:}|%{v}-%{r};%{arch};%|vendor?{%{vendor}}:{%|packager?{%{packager}}|}|;"
    "%{summary};%{longsize};%{installtime}"
)


def as_rpm(item: SoftwareItem) -> str:
    seconds = (item.installed_ns or 0) // 10**9
    fields = (item.name, item.version, item.architecture, item.publisher, item.description, item.size, seconds)
    return ";".join(map(str, fields))


def versions(snapshot: Snapshot[SoftwareItem]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in snapshot.items:
        found.setdefault(item.name, []).append(item.version)
    return found


@pytest.fixture
def filled(rpm_root: RpmRoot, rpm_package: RpmBuilder) -> RpmRoot:
    rpm_root.rpm(
        "-i",
        rpm_package("plain", "1.0", "1", "BuildArch: noarch", file="/usr/share/plain"),
        rpm_package("epoch", "2.0", "3", *EPOCH),
        rpm_package("packaged", "1", "1", "Packager: Jane <j@x>"),
        rpm_package("zero", "1", "1", "Epoch: 0"),
        rpm_package("long", "1", "1", description="word " * 8000),
        rpm_package("kernel-core", "5.1", "1", *KERNEL),
        rpm_package("kernel-core", "5.2", "1", *KERNEL),
    )
    return rpm_root


def test_equals_rpm(filled: RpmRoot) -> None:
    snapshot = look(filled.path)
    assert sorted(map(as_rpm, snapshot.items)) == filled.answer(FORM)
    assert snapshot.outcome.status is RunStatus.OK
    assert "(none)" not in str([item.columns() for item in snapshot.items])
    by_name = {item.name: item for item in snapshot.items}
    assert by_name["epoch"].version == "4:2.0-3"
    assert by_name["zero"].version == "0:1-1"
    assert (by_name["epoch"].publisher, by_name["packaged"].publisher) == ("ACME Ltd", "Jane <j@x>")
    assert by_name["epoch"].purl == "pkg:rpm/fedora/epoch@2.0-3?arch=x86_64&distro=fedora-40&epoch=4" or (
        os.uname().machine != "x86_64"
    )


def test_two_kernels_are_two_items_and_an_upgrade_is_one_change(filled: RpmRoot, rpm_package: RpmBuilder) -> None:
    before = {item.key(): item for item in look(filled.path).items}
    filled.rpm("-i", rpm_package("kernel-core", "5.3", "1", *KERNEL))
    filled.rpm("-U", rpm_package("plain", "1.1", "1", "BuildArch: noarch", file="/usr/share/plain"))
    after = {item.key(): item for item in look(filled.path).items}
    assert set(before) < set(after)
    rows = [row for key in sorted(after) for row in change_rows(before.get(key), after[key])]
    assert [(r["ChangeCategory"], r["SoftwareName"], r.get("Previous"), r["Current"]) for r in rows] == [
        ("Modified", "plain", "1.0-1", "1.1-1"),
        ("Added", "kernel-core", None, "5.3-1"),
    ]
    filled.rpm("-U", "--oldpackage", rpm_package("plain", "1.0", "1"))
    filled.rpm("-e", "kernel-core-5.1-1", "packaged")
    last = {item.key(): item for item in look(filled.path).items}
    removed = {(after[key].name, after[key].version) for key in set(after) - set(last)}
    assert removed == {("kernel-core", "5.1-1"), ("packaged", "1-1")}
    assert versions(look(filled.path))["plain"] == ["1.0-1"]


def test_installing_the_same_version_again_is_no_change(filled: RpmRoot, rpm_package: RpmBuilder) -> None:
    before = {item.key(): item for item in look(filled.path).items}
    filled.rpm("-U", "--replacepkgs", rpm_package("epoch", "2.0", "3"))
    after = {item.key(): item for item in look(filled.path).items}
    assert set(before) == set(after)
    assert [row for key in after for row in change_rows(before[key], after[key])] == []


def _hold(path: str, held: Event, release: Event) -> None:
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        held.set()
        release.wait(60)


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(path), held, release))
    process.start()
    try:
        assert held.wait(60)
        yield
    finally:
        release.set()
        process.join()


def test_two_versions_are_an_upgrade_while_rpm_holds_its_lock(filled: RpmRoot, rpm_package: RpmBuilder) -> None:
    plain = next(item for item in look(filled.path).items if item.name == "plain")
    filled.rpm("-i", "--force", rpm_package("plain", "1.1", "1", "BuildArch: noarch", file="/usr/share/plain"))
    with lock_held(filled.database / ".rpm.lock"):
        snapshot = look(filled.path)
    assert snapshot.unsettled == {plain.key()}
    assert "plain" not in versions(snapshot)
    assert b"rpm" in snapshot.kept
    assert snapshot.soon
    assert "rpm" not in snapshot.scopes
    # Without it the upgrade broke off: both are there, as rpm -qa says, and the newer one is the package.
    snapshot = look(filled.path)
    assert sorted(map(as_rpm, snapshot.items)) == filled.answer(FORM)
    found = {item.key(): item.version for item in snapshot.items if item.name == "plain"}
    assert found[plain.key()] == "1.1-1"
    assert sorted(found.values()) == ["1.0-1", "1.1-1"]
    assert look(filled.path).items == snapshot.items


def fingerprint(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_a_write_ahead_log_is_honoured_and_nothing_is_written(filled: RpmRoot) -> None:
    path = filled.database / "rpmdb.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        (removed,) = writer.execute("SELECT hnum FROM Name WHERE key = 'plain'").fetchone()
        writer.execute("DELETE FROM Packages WHERE hnum = ?", (removed,))
        assert (filled.database / "rpmdb.sqlite-wal").stat().st_size > 0
        before = fingerprint(filled.database)
        assert "plain" not in versions(look(filled.path))
        assert len(look(filled.path).items) == 6
        assert fingerprint(filled.database) == before
        # What is not committed does not count, even when it has reached the log.
        writer.execute("PRAGMA cache_size = 2")
        writer.execute("BEGIN")
        size = (filled.database / "rpmdb.sqlite-wal").stat().st_size
        writer.execute("UPDATE Packages SET blob = zeroblob(200000)")
        writer.execute("DELETE FROM Packages")
        assert (filled.database / "rpmdb.sqlite-wal").stat().st_size > size
        snapshot = look(filled.path)
        assert snapshot.outcome.status is RunStatus.OK
        assert len(snapshot.items) == 6
        writer.execute("ROLLBACK")


def test_a_look_leaves_no_trace(filled: RpmRoot) -> None:
    for extra in ("-wal", "-shm"):
        (filled.database / f"rpmdb.sqlite{extra}").unlink(missing_ok=True)
    before = fingerprint(filled.database)
    assert len(look(filled.path).items) == 7
    assert fingerprint(filled.database) == before


@pytest.mark.parametrize("damage", ["empty", "zeros", "cut", "header", "table"])
def test_a_broken_database_is_a_failure_and_removes_nothing(filled: RpmRoot, damage: str) -> None:
    path = filled.database / "rpmdb.sqlite"
    raw = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(bytes(len(raw)))
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "header":
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("UPDATE Packages SET blob = x'0000FFFF0000FFFF' WHERE hnum = 1")
        case _:
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("ALTER TABLE Packages RENAME TO Packets")
    snapshot = look(filled.path)
    assert snapshot.outcome.status is (RunStatus.PARTIAL if damage == "header" else RunStatus.FAILED)
    assert snapshot.outcome.failures_total >= 1
    assert b"rpm" in snapshot.kept
    assert len(snapshot.items) == (6 if damage == "header" else 0)
    assert (b"rpm" in snapshot.outcome.denied) == (damage != "header")


def blobs(filled: RpmRoot) -> list[tuple[int, bytes]]:
    with closing(sqlite3.connect(f"file:{filled.database}/rpmdb.sqlite?mode=ro", uri=True)) as database:
        return list(database.execute("SELECT hnum, blob FROM Packages"))


@needs("db5.3_load")
@pytest.mark.parametrize("order", [1234, 4321])
@pytest.mark.parametrize("page_size", [512, 4096])
def test_berkeley_db(filled: RpmRoot, order: int, page_size: int) -> None:
    """Real headers, put into a hash file by Berkeley DB's own loader; rpm's read-only backend is the oracle.

    No rpm of today writes Berkeley DB. Like rpm, numbers are keys in the byte order of the file.
    """
    wanted = filled.answer(FORM)
    form = "<I" if order == 1234 else ">I"
    pairs = [(bytes(4), struct.pack(form, 99)), *((struct.pack(form, number), blob) for number, blob in blobs(filled))]
    head = f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={order}\ndb_pagesize={page_size}\nHEADER=END\n"
    dump = head + "".join(f" {part.hex()}\n" for pair in pairs for part in pair) + "DATA=END\n"
    for file in filled.database.iterdir():
        file.unlink()
    subprocess.run(["db5.3_load", filled.database / "Packages"], input=dump, text=True, check=True)
    oracle = said(
        "rpm", "--dbpath", filled.database, "--define", "_db_backend bdb_ro", "-qa", "--qf", FORM + "\n"
    ).splitlines()
    assert sorted(oracle) == wanted
    snapshot = look(filled.path)
    assert sorted(map(as_rpm, snapshot.items)) == wanted
    assert snapshot.outcome.status is RunStatus.OK
    raw = bytearray((filled.database / "Packages").read_bytes())
    (filled.database / "Packages").write_bytes(raw[: len(raw) // 2])
    assert look(filled.path).outcome.status is RunStatus.FAILED


def test_language_packages_of_rpm_packages_are_not_told_of_twice(rpm_root: RpmRoot, rpm_package: RpmBuilder) -> None:
    owned = "/usr/lib/python3.12/site-packages/acme-1.0.dist-info/METADATA"
    rpm_root.rpm("-i", rpm_package("python3-acme", "1.0", "1", "BuildArch: noarch", file=owned))
    own = rpm_root.path / "usr/lib/python3.12/site-packages/mine-2.0.dist-info"
    own.mkdir()
    (own / "METADATA").write_text("Name: mine\nVersion: 2.0\n\n")
    (rpm_root.path / owned[1:]).write_text("Name: acme\nVersion: 1.0\n\n")
    assert [(item.source, item.name) for item in look(rpm_root.path).items] == [
        ("python", "mine"),
        ("rpm", "python3-acme"),
    ]
    with lock_held(rpm_root.database / ".rpm.lock"):
        snapshot = look(rpm_root.path)
    assert [item.source for item in snapshot.items] == ["rpm"]
    assert {b"python", b"npm", b"gem"} <= set(snapshot.kept)
