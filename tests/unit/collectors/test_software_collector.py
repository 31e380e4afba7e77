"""How the package systems are put together: what a system in trouble means for the others, and for what was known."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.collectors.software import PACKAGE_SYSTEMS, SoftwareCollector
from whatchanged.collectors.software.instances import Installation, beside, told_apart
from whatchanged.collectors.software.npm import Npm
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, PackageSystem, Root
from whatchanged.collectors.software.python_packages import PythonPackages
from whatchanged.records.items import SoftwareItem

BASH = SoftwareItem(name="bash", version="1", source="rpm")


class Given:
    """A package system that finds what it is given, look after look."""

    def __init__(self, source: str, *looks: Look | Exception, owns_files: bool = True) -> None:
        self.source = source
        self.owns_files = owns_files
        self._looks = list(looks)

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        found = self._looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def collector(root: Path, *systems: PackageSystem | Callable[[], PackageSystem]) -> SoftwareCollector:
    made = tuple(s if callable(s) else (lambda system: lambda: system)(s) for s in systems)
    return SoftwareCollector(os.fsencode(root), systems=made)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "usr/lib/python3/dist-packages/mine-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Name: mine\nVersion: 1.0\n\n")
    return tmp_path


def names(snapshot: Snapshot[SoftwareItem]) -> list[str]:
    return [item.name for item in snapshot.items]


def test_a_machine_without_anything(tmp_path: Path) -> None:
    snapshot = SoftwareCollector(os.fsencode(tmp_path)).run()
    assert (snapshot.items, snapshot.outcome.status, snapshot.kept, snapshot.soon) == ((), RunStatus.OK, (), False)
    assert snapshot.scopes == {system().source for system in PACKAGE_SYSTEMS}
    assert SoftwareCollector(os.fsencode(tmp_path / "none")).run().outcome.status is RunStatus.FAILED


@pytest.mark.parametrize("error", [PackageDatabaseError("torn"), PermissionError(13, "denied")])
def test_a_system_that_cannot_be_read_loses_nothing(root: Path, error: Exception) -> None:
    other = Given("snap", Look(items=(SoftwareItem(name="x", version="1", source="snap"),)), owns_files=False)
    snapshot = collector(root, Given("rpm", error), other, PythonPackages).run()
    assert names(snapshot) == ["x"]
    assert snapshot.outcome.status is RunStatus.PARTIAL
    assert snapshot.outcome.denied == (b"rpm",)
    assert snapshot.outcome.failures_total == 1
    # What the broken database owns is not known, so what lies about may not be told of either.
    assert snapshot.kept == (b"python", b"rpm")
    assert snapshot.scopes == {"snap"}
    assert not snapshot.soon
    assert collector(root, Given("rpm", error), PythonPackages).run().outcome.status is RunStatus.FAILED


def test_language_packages_wait_while_a_distribution_is_at_work(root: Path) -> None:
    snapshot = collector(root, Given("rpm", Look(items=(BASH,), busy=True)), PythonPackages, Npm).run()
    assert names(snapshot) == ["bash"]
    assert snapshot.kept == (b"npm", b"python")
    assert snapshot.scopes == {"rpm"}
    assert snapshot.soon
    assert snapshot.outcome.status is RunStatus.OK
    assert names(collector(root, Given("rpm", Look(items=(BASH,))), PythonPackages).run()) == ["mine", "bash"]


def test_what_a_distribution_owns_is_not_told_of_twice(root: Path) -> None:
    owned = frozenset({b"/usr/lib/python3/dist-packages/mine-1.0.dist-info/METADATA"})
    snapshot = collector(root, Given("rpm", Look(items=(BASH,), owned=owned)), PythonPackages).run()
    assert names(snapshot) == ["bash"]


def test_incomplete_and_moving(root: Path) -> None:
    incomplete = collector(root, Given("rpm", Look(items=(BASH,), incomplete=True))).run()
    assert (incomplete.kept, incomplete.soon) == ((b"rpm",), False)
    assert incomplete.scopes == {"rpm"}
    moving = collector(root, Given("rpm", Look(items=(BASH,), moving=True))).run()
    assert (moving.kept, moving.soon) == ((b"rpm",), True)
    assert not moving.scopes


def test_a_database_that_vanishes_is_looked_at_twice(root: Path) -> None:
    full, empty = Look(items=(BASH,)), Look()
    rpm = collector(root, Given("rpm", full, empty, full, empty, empty, empty))
    assert names(rpm.run()) == ["bash"]
    doubted = rpm.run()
    assert (doubted.kept, doubted.soon) == ((b"rpm",), True)
    assert names(rpm.run()) == ["bash"]
    assert rpm.run().kept == (b"rpm",)
    believed = rpm.run()
    assert (believed.kept, believed.soon, believed.items) == ((), False, ())
    assert rpm.run().kept == ()


VERSIONS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("1234"), st.integers(0, 3)), max_size=8)


@given(VERSIONS, st.randoms())
def test_versions_side_by_side_are_told_apart_alike_in_any_order(
    packages: list[tuple[str, str, int]], random: Random
) -> None:
    found = [
        Installation(SoftwareItem(name=name, version=version, source="rpm"), (order, version))
        for name, version, order in packages
    ]
    items, shared = told_apart(found)
    assert len({item.key() for item in items}) == len(items)
    assert {(item.name, item.version) for item in items} == {(name, version) for name, version, _ in packages}
    random.shuffle(found)
    again, shared_again = told_apart(found)
    assert sorted(item.key() for item in again) == sorted(item.key() for item in items)
    assert {(i.key(), i.version) for i in again} == {(i.key(), i.version) for i in items}
    assert shared == shared_again
    # Taking the others out again leaves the newest of each as it was.
    newest = {item.key(): item for item in items if not item.instance}
    for installation in found:
        if newest[installation.item.key()].version == installation.item.version:
            assert told_apart([installation])[0] == [newest[installation.item.key()]]


def test_beside() -> None:
    assert beside(BASH).location() == "rpm/1"
    assert beside(beside(BASH)).location() == "rpm/1/1"
