from __future__ import annotations

import sys

assert sys.platform != "win32"

import fcntl
import multiprocessing
import os
import shutil
import subprocess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.collectors.outcome import Tally
from whatchanged.collectors.software import SoftwareCollector
from whatchanged.collectors.software.dpkg import Dpkg, packages
from whatchanged.collectors.software.package_system import Root
from whatchanged.records.items import SoftwareItem


def look(root: bytes) -> Snapshot[SoftwareItem]:
    return SoftwareCollector(root, systems=(Dpkg,)).run()


def paragraph(name: str, state: str, version: str = "1:2.0-1") -> str:
    return (
        f"Package: {name}\nStatus: install ok {state}\nArchitecture: all\nVersion: {version}\nDescription: d\n more\n"
    )


def database(root: Path, *paragraphs: str) -> Path:
    folder = root / "var/lib/dpkg"
    folder.mkdir(parents=True)
    (folder / "status").write_text("\n".join(paragraphs))
    (folder / "lock").touch()
    return folder


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no dpkg here")
def test_equals_dpkg_query_on_this_machine() -> None:
    form = "${db:Status-Status}\\t${Package}\\t${Version}\\t${Architecture}\\n"
    said = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    wanted = sorted(tuple(line.split("\t")[1:]) for line in said.splitlines() if line.startswith("installed\t"))
    snapshot = look(b"/")
    assert sorted((i.name, i.version, i.architecture) for i in snapshot.items) == wanted
    assert snapshot.outcome.status is RunStatus.OK


def test_states_without_lock(tmp_path: Path) -> None:
    states = ("installed", "config-files", "not-installed", "half-installed", "unpacked", "triggers-pending")
    database(tmp_path, *(paragraph(state, state) for state in states))
    snapshot = look(os.fsencode(tmp_path))
    assert {i.name for i in snapshot.items} == {"installed", "half-installed", "unpacked", "triggers-pending"}
    assert {f.path for f in snapshot.outcome.failures} == {b"half-installed", b"unpacked"}
    assert snapshot.unsettled == frozenset()
    assert snapshot.items[0].description == "d"


def _hold(path: str, held: Event, release: Event) -> None:
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        held.set()
        release.wait(60)


def test_states_while_dpkg_holds_its_lock(tmp_path: Path) -> None:
    folder = database(tmp_path, paragraph("a", "installed"), paragraph("b", "unpacked"))
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(folder / "lock"), held, release))
    process.start()
    try:
        assert held.wait(60)
        snapshot = look(os.fsencode(tmp_path))
    finally:
        release.set()
        process.join()
    assert [i.name for i in snapshot.items] == ["a"]
    assert snapshot.unsettled == {b"dpkg\0b\0all"}
    assert snapshot.outcome.status is RunStatus.OK


def test_journal_overrides_status(tmp_path: Path) -> None:
    folder = database(tmp_path, paragraph("a", "installed", "1"), paragraph("b", "installed", "1"))
    (folder / "updates").mkdir()
    (folder / "updates/0001").write_text(paragraph("a", "installed", "2"))
    (folder / "updates/0002").write_text(paragraph("b", "not-installed", "1"))
    (folder / "updates/tmp.i").write_text(paragraph("a", "installed", "3"))
    assert [(i.name, i.version) for i in look(os.fsencode(tmp_path)).items] == [("a", "2")]


def test_no_dpkg_and_distroless(tmp_path: Path) -> None:
    assert look(os.fsencode(tmp_path)).outcome.status is RunStatus.OK
    folder = tmp_path / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True)
    (folder / "base").write_text("Package: base-files\nVersion: 12\nArchitecture: amd64\n")
    (folder / "base.md5sums").write_text("Package: no\nVersion: 12\n")
    assert [i.name for i in look(os.fsencode(tmp_path)).items] == ["base-files"]


DAMAGED = {
    "zeros after a crash": b"\0" * 4096,
    "zeros in the middle": (paragraph("a", "installed") + "\n").encode() + b"\0" * 512 + b"\n",
    "cut in a value": paragraph("a", "installed").encode()[:-3],
    "cut behind a line": b"Package: a\nStatus: install ok installed\n",
    "a line of nobody": (paragraph("a", "installed") + "\n\xff\xfe\n").encode("latin-1"),
    "a nameless package": paragraph("a", "installed").replace("Package: a\n", "").encode(),
}


@pytest.mark.parametrize("status", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_database_says_nothing_about_packages(tmp_path: Path, status: bytes) -> None:
    folder = database(tmp_path)
    (folder / "status").write_bytes(status)
    assert look(os.fsencode(tmp_path)).outcome.status is RunStatus.FAILED


@pytest.mark.parametrize("emptied", [True, False], ids=["empty", "gone"])
def test_a_database_that_lost_its_packages_is_damaged(tmp_path: Path, emptied: bool) -> None:
    folder = database(tmp_path)
    assert look(os.fsencode(tmp_path)).outcome.status is RunStatus.OK  # a machine before its first one
    (folder / "info").mkdir()
    (folder / "info" / "dpkg.list").touch()
    (folder / "status").write_bytes(b"") if emptied else (folder / "status").unlink()
    assert look(os.fsencode(tmp_path)).outcome.status is RunStatus.FAILED


def test_hold_multi_arch_and_reinstallation(tmp_path: Path) -> None:
    database(
        tmp_path,
        paragraph("held", "installed").replace("install ok", "hold ok"),
        paragraph("lib", "installed").replace("Architecture: all", "Architecture: amd64"),
        paragraph("lib", "installed").replace("Architecture: all", "Architecture: i386"),
        paragraph("going", "installed").replace("install ok", "deinstall ok"),
        paragraph("broken", "half-installed").replace("install ok", "install reinstreq"),
        paragraph("gone", "config-files").replace("install ok", "deinstall ok"),
        "Package: never\nStatus: unknown ok not-installed\n",
    )
    snapshot = look(os.fsencode(tmp_path))
    assert [(i.name, i.architecture) for i in snapshot.items] == [
        ("broken", "all"),
        ("going", "all"),
        ("held", "all"),
        ("lib", "amd64"),
        ("lib", "i386"),
    ]
    assert [f.path for f in snapshot.outcome.failures] == [b"broken"]


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(raw: bytes) -> None:
    list(packages(raw + b"\nPackage: x\nStatus: install ok installed\n" + raw, state="installed"))


class Emptied(Root):
    """A root whose journal loses a part between its listing and its reading, each time."""

    def entries(self, folder: bytes) -> list[bytes]:
        return [*super().entries(folder), b"0001"] if folder.endswith(b"/updates") else super().entries(folder)


def test_a_journal_that_is_merged_away_again_and_again_removes_nothing(tmp_path: Path) -> None:
    """As while dpkg on a busy machine empties it."""
    database(tmp_path, paragraph("a", "installed"))
    with Emptied(os.fsencode(tmp_path), Tally()) as root:
        found = Dpkg().look(root, frozenset())
    assert (found.items, found.busy, found.moving) == ((), True, True)
