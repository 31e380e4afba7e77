"""When a change of a file joins the operation of a package: every order in which the two workers may come."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from whatchanged.collectors import Outcome, RunStatus, Snapshot
from whatchanged.collectors.software import PackageFiles
from whatchanged.records.items import FileItem, Kind, SoftwareItem
from whatchanged.tracker import operations
from whatchanged.tracker.package_ties import PackageRows, PackageTies, Tie, end_operations
from whatchanged.tracker.recorder import Observation
from whatchanged.tracker.state import State

KEY = b"dpkg\0one\0all"
OLD = SoftwareItem(name="one", version="1", architecture="all", source="dpkg", installed_ns=100)
NEW = msgspec.structs.replace(OLD, version="2", installed_ns=200)
AFTER = PackageFiles(key=KEY, source="dpkg", version="2", installed_ns=200)
BEFORE = PackageFiles(key=KEY, source="dpkg", version="1", installed_ns=100)


LATER = 4 * 10**18
"""A time after this test."""


class Workers:
    """The two workers, as far as they know of operations."""

    def __init__(self, folder: Path) -> None:
        self.state = State(str(folder / "db/changetracking.db"), quota_bytes=10**9, machine="m", identity={})
        self._ties = PackageTies(self.state, b"/")
        self.save(OLD)

    def save(self, item: SoftwareItem) -> None:
        with self.state.transaction() as change:
            change.save(item, signature=b"", digest=b"", rules="")

    def package_row(self, item: SoftwareItem, *, looked_until: int) -> str:
        with self.state.transaction() as change:
            found = PackageRows(looked_until).join(change, KEY, True, None)
        self.save(item)
        return found

    def file_row(
        self, changed_ns: int | None, package: PackageFiles = AFTER, *, witnessed: bool = False, previous: int = 1
    ) -> str | None:
        with self.state.transaction() as change:
            return self._ties.join(change, b"/f", Tie(package, changed_ns, witnessed), previous)

    def nothing_new(self, *, began: int, ended: int, soon: bool = False) -> None:
        outcome = Outcome(status=RunStatus.OK)
        snapshot = Snapshot[SoftwareItem](items=(), outcome=outcome, soon=soon, scopes=frozenset({"dpkg"}))
        end_operations(self.state, snapshot, began, ended)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.state.close()


def test_the_files_come_first(workers: Workers) -> None:
    first = workers.file_row(150)
    assert first
    assert workers.file_row(160) == first
    assert workers.package_row(NEW, looked_until=LATER) == first


def test_the_package_comes_first(workers: Workers) -> None:
    made = workers.package_row(NEW, looked_until=300)
    assert workers.file_row(300) == made
    assert workers.file_row(301) is None, "changed after the operation, and the package is what is known of it"
    assert workers.file_row(None, previous=250) == made
    # The next operation of the same package, in either order.
    third = PackageFiles(key=KEY, source="dpkg", version="3", installed_ns=400)
    other = workers.file_row(350, third)
    assert other not in (None, made)
    last = msgspec.structs.replace(NEW, version="3", installed_ns=400)
    assert workers.package_row(last, looked_until=500) == other


def test_a_package_that_is_what_it_was_explains_nothing(workers: Workers) -> None:
    assert workers.file_row(150, BEFORE) is None
    assert workers.file_row(None, BEFORE) is None
    assert workers.state.query("SELECT COUNT(*) FROM operations") == [(0,)]


def test_a_state_between_two_and_a_removal_are_operations(workers: Workers) -> None:
    between = msgspec.structs.replace(BEFORE, settled=False)
    first = workers.file_row(150, between)
    assert first
    assert workers.file_row(None, PackageFiles(key=KEY, source="dpkg")) == first


def test_the_package_manager_was_seen_before_its_database_says_anything(workers: Workers) -> None:
    first = workers.file_row(150, BEFORE, witnessed=True)
    assert first
    workers.nothing_new(began=1, ended=2)
    workers.nothing_new(began=LATER, ended=LATER, soon=True)
    assert workers.package_row(NEW, looked_until=300) == first


def test_an_operation_that_leaves_the_package_as_it_was_ends(workers: Workers) -> None:
    first = workers.file_row(150, BEFORE, witnessed=True)
    workers.nothing_new(began=LATER, ended=400)
    assert workers.file_row(150, BEFORE) == first
    assert workers.package_row(NEW, looked_until=500) != first
    with workers.state.transaction() as change:
        operations.let_go(change, 500 + 10**13)
    assert workers.state.query("SELECT COUNT(*) FROM operations") == [(0,)]


def test_a_database_of_the_first_format_gets_the_table(tmp_path: Path, workers: Workers) -> None:
    workers.state.close()
    database = sqlite3.connect(workers.state.path, isolation_level=None)
    database.execute("DROP TABLE operations")
    database.execute("PRAGMA user_version=1")
    database.close()
    again = Workers(tmp_path)
    assert again.file_row(150)
    again.state.close()


def _seen(path: bytes) -> Observation:
    item = FileItem(path=path, size=1, mode=0o100644)
    return Observation(item=item, signature=bytes(44), rules="r", configuration_id="", entering=False)


def test_a_name_of_dpkgs_is_no_item_while_its_database_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when dpkg was done before it was asked whether it is at work; a while later it is a file like others."""
    database = tmp_path / "var/lib/dpkg"
    (database / "info").mkdir(parents=True)
    (database / "status").write_text("")
    state = State(str(tmp_path / "changetracking.db"), quota_bytes=10**9, machine="m", identity={})
    with state.transaction() as change:
        change.execute("INSERT INTO baselines VALUES (?, ?)", (Kind.SOFTWARE.value, "dpkg"))
    ties = PackageTies(state, bytes(tmp_path))
    ties.weigh([_seen(b"/conf.dpkg-new")])
    assert not ties.busy
    assert ties.passing(_seen(b"/conf.dpkg-new"))
    assert not ties.passing(_seen(b"/conf"))
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    ties.weigh([_seen(b"/conf.dpkg-new")])
    assert not ties.passing(_seen(b"/conf.dpkg-new"))
    state.close()
