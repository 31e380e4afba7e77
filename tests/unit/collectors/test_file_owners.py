"""Which package owns a path, by lists of files as dpkg writes them."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from whatchanged.collectors.software.dpkg_files import conffile_sums
from whatchanged.collectors.software.file_owners import FileOwners
from whatchanged.records.items import FileItem

ONE, TWO = b"dpkg\0one\0all", b"dpkg\0two\0all"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Machine:
    """A root with dpkg's database."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = root / "var/lib/dpkg/info"
        self.info.mkdir(parents=True)
        (root / "usr/lib").mkdir(parents=True)
        (root / "lib").symlink_to("usr/lib")

    def status(self, **states: str) -> None:
        (self.root / "var/lib/dpkg/status").write_text("\n".join(states.values()))

    def list(self, name: str, *paths: str) -> None:
        (self.info / f"{name}.list-new").write_text("".join(f"{path}\n" for path in ("/.", *paths)))
        os.replace(self.info / f"{name}.list-new", self.info / f"{name}.list")

    def sums(self, name: str, sums: Mapping[str, str]) -> None:
        (self.info / f"{name}.md5sums").write_text("".join(f"{md5(c)}  {path[1:]}\n" for path, c in sums.items()))

    def file(self, path: str, content: str) -> FileItem:
        target = self.root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        digest = hashlib.sha256(content.encode()).digest()
        return FileItem(path=path.encode(), mode=stat.S_IFREG | 0o644, size=len(content), sha256=digest)


def paragraph(
    name: str, state: str = "installed", version: str = "1", conffiles: Mapping[str, str] | None = None
) -> str:
    lines = "".join(f" {path} {md5(content)}\n" for path, content in (conffiles or {}).items())
    return (
        f"Package: {name}\nStatus: install ok {state}\nArchitecture: all\nVersion: {version}\n"
        + (f"Conffiles:\n{lines}" if lines else "")
        + "Description: d\n"
    )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.status(one=paragraph("one", conffiles={"/etc/one": "a=1"}), two=paragraph("two"))
    made.list("one", "/lib", "/lib/one", "/etc/one", "/usr/share/both")
    made.list("two", "/usr/lib/two", "/usr/share/both")
    made.sums("one", {"/lib/one": "code"})
    return made


def test_owners(machine: Machine) -> None:
    with FileOwners(os.fsencode(machine.root)).look() as ownership:
        keys = {
            path: owner.key if (owner := ownership.owner(path.encode())) else None
            for path in ("/lib/one", "/usr/lib/one", "/usr/lib/two", "/lib/two", "/usr/share/both", "/etc/passwd")
        }
        assert not ownership.busy
    assert keys == {
        "/lib/one": ONE,
        "/usr/lib/one": ONE,
        "/usr/lib/two": TWO,
        "/lib/two": TWO,
        "/usr/share/both": None,
        "/etc/passwd": None,
    }


def test_what_a_package_shipped(machine: Machine) -> None:
    shipped = [machine.file("/usr/lib/one", "code"), machine.file("/etc/one", "a=1")]
    with FileOwners(os.fsencode(machine.root)).look() as ownership:
        owner = ownership.owner(b"/etc/one")
        assert owner is not None
        assert [ownership.ships(owner, item) for item in shipped] == [True, True]
        edited = [machine.file("/usr/lib/one", "c0de"), machine.file("/etc/one", "a=2")]
        assert [ownership.ships(owner, item) for item in edited] == [False, False]
        (machine.root / "etc/one").unlink()
        assert not ownership.ships(owner, shipped[1])
        (machine.root / "etc/one").symlink_to("/usr/lib/one")
        assert not ownership.ships(owner, shipped[1])


def test_what_an_operation_took_away_is_remembered(machine: Machine) -> None:
    owners = FileOwners(os.fsencode(machine.root))
    with owners.look():
        pass
    machine.status(one=paragraph("one", "half-configured", "2"))
    machine.list("one", "/lib/one", "/usr/lib/new")
    (machine.info / "two.list").unlink()
    with owners.look() as ownership:
        gone, new, removed = (ownership.owner(path) for path in (b"/etc/one", b"/usr/lib/new", b"/usr/lib/two"))
        assert gone is not None
        assert new == gone
        assert (gone.key, gone.version, gone.settled, gone.at_work) == (ONE, "2", False, False)
        assert not ownership.owns(gone, b"/etc/one")
        assert ownership.owns(gone, b"/lib/one")
        assert removed is not None
        assert (removed.key, removed.version, ownership.owns(removed, b"/usr/lib/two")) == (TWO, "", False)


def test_a_database_that_cannot_be_read_keeps_what_was_known(machine: Machine) -> None:
    owners = FileOwners(os.fsencode(machine.root))
    with owners.look():
        pass
    (machine.root / "var/lib/dpkg/status").write_text("Package: one\nnonsense")
    for _ in range(2):
        with owners.look() as ownership:
            owner = ownership.owner(b"/lib/one")
        assert owner is not None
        assert owner.version == "1"


def test_conffiles() -> None:
    other = paragraph("one", conffiles={"/etc/other": "x"}).replace("Architecture: all", "Architecture: i386")
    mine = paragraph("one", conffiles={"/etc/with space": "x", "/etc/old": "y"})
    mine = mine.replace(f"{md5('y')}\n", f"{md5('y')} obsolete\n")
    expected = {
        ONE: {b"/etc/with space": md5("x"), b"/etc/old": md5("y")},
        b"dpkg\0one\0i386": {b"/etc/other": md5("x")},
    }
    assert conffile_sums("\n".join((other, paragraph("two"), mine)).encode()) == expected
    for raw in (b"", b"\n", b"Package: one", b"Package: one\n\nConffiles:\n x y\n", b"Conffiles:\n", b"\n\n\n"):
        assert conffile_sums(raw) == {}
