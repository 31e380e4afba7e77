"""Operations of package managers on a root that a tracker watches: the right rows, each once, tied together.

The package managers are real and work on real databases below the root; the tracker looks there and nowhere else.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from integration.collectors.conftest import RpmBuilder, RpmRoot, needs, rpm_package
from integration.watchers.tracking import Tracking

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

KINDS = ("files", "software")
__all__ = ["rpm_package"]


class Debs:
    """Builds Debian packages, and installs them below a root with dpkg itself."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root

    def build(self, name: str, version: str, files: Mapping[str, str], conffiles: tuple[str, ...] = ()) -> Path:
        source = self._folder / f"{name}-{version}"
        (source / "DEBIAN").mkdir(parents=True)
        (source / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Jo <j@example.org>\nDescription: x\n"
        )
        if conffiles:
            (source / "DEBIAN/conffiles").write_text("".join(f"{path}\n" for path in conffiles))
        for path, content in files.items():
            (source / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (source / path[1:]).write_text(content)
        target = self._folder / f"{name}_{version}.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", source, target], check=True, capture_output=True)
        return target

    def dpkg(self, *arguments: str | Path, text: str = "") -> None:
        command = ["dpkg", f"--root={self._root}", "--force-script-chrootless", "--log=/dev/null", *arguments]
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def debs(tmp_path: Path, tracking: Tracking) -> Debs:
    (tmp_path / "debs").mkdir()
    return Debs(tmp_path / "debs", tracking.root)


def told(tracking: Tracking) -> list[tuple[Any, ...]]:
    """What the rows say: category and path of files, category, name and versions of packages."""
    return sorted(map(fact, tracking.changes()), key=repr)


def fact(row: Mapping[str, Any]) -> tuple[Any, ...]:
    if row["ConfigChangeType"] == "Files":
        return row["ChangeCategory"], row["FileSystemPath"]
    return row["ChangeCategory"], row["SoftwareName"], row.get("Previous"), row.get("Current")


def operations(tracking: Tracking) -> list[list[tuple[Any, ...]]]:
    """The rows by TransactionId."""
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in tracking.changes():
        groups.setdefault(row["TransactionId"], []).append(fact(row))
    return sorted((sorted(group, key=repr) for group in groups.values()), key=repr)


def rows(tracking: Tracking, count: int) -> None:
    """Wait for so many rows, and see that no more come when everything is looked at again."""
    if tracking.status()["watch"]["state"] == "Off":
        tracking.scan()
    tracking.eventually(lambda: len(tracking.changes()) >= count)
    tracking.scan()
    assert len(tracking.changes()) == count, told(tracking)


ONE = {"/srv/one/data": "1", "/srv/one/old": "1", "/srv/one/one.conf": "a=1\n"}
TWO = {"/srv/one/data": "22", "/srv/one/new": "22", "/srv/one/one.conf": "a=2\n"}
CONF = ("/srv/one/one.conf",)


UPGRADE = [
    ("Added", "/srv/one/new"),
    ("Modified", "/srv/one/data"),
    ("Modified", "/srv/one/one.conf"),
    ("Modified", "one", "1", "2"),
    ("Removed", "/srv/one/old"),
]
DOWNGRADE = [
    ("Added", "/srv/one/old"),
    ("Modified", "/srv/one/data"),
    ("Modified", "/srv/one/one.conf"),
    ("Modified", "one", "2", "1"),
    ("Removed", "/srv/one/new"),
]
REMOVAL = [
    ("Removed", "/srv/one"),
    ("Removed", "/srv/one/data"),
    ("Removed", "/srv/one/old"),
    ("Removed", "/srv/one/one.conf"),
    ("Removed", "one", "1", None),
]
EDIT = [("Modified", "/srv/one/data")]


@needs("dpkg", "dpkg-deb")
@pytest.mark.parametrize("watch", [True, False])
def test_each_operation_of_dpkg_is_one_transaction(tracking: Tracking, debs: Debs, watch: bool) -> None:
    """Watched, the process is known; polled, the content tells."""
    one, two = debs.build("one", "1", ONE, CONF), debs.build("one", "2", TWO, CONF)
    debs.dpkg("-i", one, debs.build("other", "1", {"/srv/other": "1"}))
    tracking.start(kinds=KINDS, watch=watch)
    debs.dpkg("-i", two)
    rows(tracking, 5)
    assert operations(tracking) == [UPGRADE]
    # By hand, afterwards: owned, but no part of it.
    (tracking.tree / "one/data").write_text("mine")
    rows(tracking, 6)
    assert operations(tracking) == [UPGRADE, EDIT]
    debs.dpkg("-i", one)
    rows(tracking, 11)
    debs.dpkg("--purge", "one")
    rows(tracking, 16)
    assert operations(tracking) == sorted([UPGRADE, EDIT, DOWNGRADE, REMOVAL], key=repr)


@needs("dpkg", "dpkg-deb")
def test_what_dpkg_did_while_nobody_looked_is_told_apart_from_what_was_edited(tracking: Tracking, debs: Debs) -> None:
    two = {**TWO, "/srv/one/kept.conf": "a=2\n"}
    conffiles = (*CONF, "/srv/one/kept.conf")
    debs.dpkg("-i", debs.build("one", "1", {**ONE, "/srv/one/kept.conf": "a=1\n"}, conffiles))
    tracking.start(kinds=KINDS)
    tracking.end()
    (tracking.tree / "one/kept.conf").write_text("mine")
    debs.dpkg("-i", "--force-confold", debs.build("one", "2", two, conffiles))
    tracking.start(kinds=KINDS)
    # What a version no longer has is known only to a tracker that saw the list of the one before.
    rows(tracking, 7)
    assert operations(tracking) == sorted(
        [UPGRADE[:-1], UPGRADE[-1:], [("Modified", "/srv/one/kept.conf")], [("Added", "/srv/one/kept.conf.dpkg-dist")]],
        key=repr,
    )


@needs("dpkg", "dpkg-deb")
def test_the_same_version_again_ends_its_operation(tracking: Tracking, debs: Debs) -> None:
    one, two = debs.build("one", "1", ONE, CONF), debs.build("one", "2", TWO, CONF)
    debs.dpkg("-i", one)
    tracking.start(kinds=KINDS)
    (tracking.tree / "one/data").unlink()
    rows(tracking, 1)
    debs.dpkg("-i", one)
    tracking.change("/srv/one/data", "Added")
    tracking.scan()
    before = tracking.changes()
    debs.dpkg("-i", two)
    rows(tracking, len(before) + 5)
    assert UPGRADE in operations(tracking)
    assert {row["TransactionId"] for row in before if row["ChangeCategory"] == "Removed"} != {
        row["TransactionId"] for row in before if row["ChangeCategory"] == "Added"
    }


@needs("dpkg", "dpkg-deb")
def test_a_hold_is_no_change_and_a_broken_database_removes_nothing(tracking: Tracking, debs: Debs) -> None:
    debs.dpkg("-i", debs.build("one", "1", ONE, CONF), debs.build("other", "1", {"/srv/other": "1"}))
    tracking.start(kinds=KINDS)
    before = inventory(tracking)
    assert before == ["one 1 all", "other 1 all"]
    debs.dpkg("--set-selections", text="one hold\n")
    rows(tracking, 0)
    status = tracking.root / "var/lib/dpkg/status"
    raw = status.read_bytes()
    assert b"Status: hold ok installed" in raw
    status.write_bytes(raw[: raw.index(b"Status: ", raw.index(b"Status: ") + 1) + 10])
    tracking.eventually(lambda: broken(tracking, "dpkg"))
    rows(tracking, 0)
    assert inventory(tracking) == before
    status.write_bytes(raw)
    debs.dpkg("-i", debs.build("one", "2", TWO, CONF))
    rows(tracking, 5)
    assert operations(tracking) == [UPGRADE]


@needs("rpm", "rpmbuild")
@pytest.mark.parametrize("watch", [True, False])
def test_an_rpm_root(tmp_path: Path, rpm_package: RpmBuilder, watch: bool) -> None:
    """Install, upgrade, downgrade, removal, a broken database. A hold is none of rpm's: dnf's versionlock is a file."""
    root = RpmRoot(tmp_path / "root")
    tracking = Tracking(tmp_path)
    try:
        _rpm_life(root, tracking, rpm_package, watch=watch)
    finally:
        tracking.end()


def _rpm_life(root: RpmRoot, tracking: Tracking, package: RpmBuilder, *, watch: bool) -> None:
    name, path = "rpmone", "/srv/rpmone"
    one = package(name, "1.0", "1", "BuildArch: noarch", file="/srv/rpmone /srv/rpmone-1")
    two = package(name, "2.0", "1", "BuildArch: noarch", file="/srv/rpmone /srv/rpmone-2")
    root.rpm("-i", package("base", "1", "1", "Epoch: 3", file="/srv/base"))
    tracking.start(kinds=KINDS, watch=watch)
    assert inventory(tracking) == root.answer("%{n} %|epoch?{%{epoch}:}|%{v}-%{r} %{arch}")
    root.rpm("-i", one)
    rows(tracking, 3)
    root.rpm("-U", two)
    rows(tracking, 7)
    root.rpm("-U", "--oldpackage", one)
    rows(tracking, 11)
    root.rpm("-e", name)
    rows(tracking, 14)
    expected = [
        [("Added", path), ("Added", "/srv/rpmone-1"), ("Added", name, None, "1.0-1")],
        [
            ("Added", "/srv/rpmone-2"),
            ("Modified", path),
            ("Modified", name, "1.0-1", "2.0-1"),
            ("Removed", "/srv/rpmone-1"),
        ],
        [
            ("Added", "/srv/rpmone-1"),
            ("Modified", path),
            ("Modified", name, "2.0-1", "1.0-1"),
            ("Removed", "/srv/rpmone-2"),
        ],
        [("Removed", path), ("Removed", "/srv/rpmone-1"), ("Removed", name, "1.0-1", None)],
    ]
    assert operations(tracking) == sorted(expected, key=repr)
    assert inventory(tracking) == root.answer("%{n} %|epoch?{%{epoch}:}|%{v}-%{r} %{arch}")
    database = root.database / "rpmdb.sqlite"
    raw = database.read_bytes()
    database.write_bytes(raw[: len(raw) // 2])
    tracking.eventually(lambda: broken(tracking, "rpm"))
    rows(tracking, 14)
    assert inventory(tracking) == [f"base 3:1-1 {os.uname().machine}"]
    (tracking.tree / "base").write_text("by hand, while nobody knows whose it is")
    rows(tracking, 15)
    database.write_bytes(raw)
    root.rpm("-i", one)
    rows(tracking, 18)
    assert expected[0] in operations(tracking)


def broken(tracking: Tracking, source: str) -> bool:
    tracking.scan()
    told = [row for row in tracking.health("Collected") if row["Kind"] == "Software"]
    return told[-1]["Status"] != "Ok" and source in told[-1]["Detail"]


def inventory(tracking: Tracking) -> list[str]:
    """Name, version and architecture of the packages in the tracker's inventory."""
    tracking.eventually(lambda: not tracking.status()["exports"]["pending"])
    export = json.loads((Path(tracking.data.tracker_exports) / "Packages.json").read_text())
    return sorted(f"{row['SoftwareName']} {row['CurrentVersion']} {row['Architecture']}" for row in export)
