"""Runs over a real tree of files: which rows arise, and which do not."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import base64
import contextlib
import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whatchanged.collectors import Outcome, RunStatus, Snapshot
from whatchanged.collectors.files.signature import unsettled
from whatchanged.records.items import DaemonItem, Kind, SoftwareItem
from whatchanged.records.keys import checksum, item_digest, row_key
from whatchanged.rules import FileRule, FileType, Links, Policy
from whatchanged.settings import DataFolder
from whatchanged.tracker.linux_runner import LinuxRunner
from whatchanged.tracker.plan import FileJob, Plan, Schedule
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

POLICY = Policy(core_share=64.0, bytes_per_second=10**12)


class Bench:
    """A tree, a state and a runner that begins anew on demand."""

    def __init__(self, folder: Path, tree: Path | None = None) -> None:
        self.tree = tree or folder / "tree"
        self.tree.mkdir(exist_ok=True)
        self.data = DataFolder(str(folder / "data"))
        self.policy = POLICY
        self.taken = 0
        self.start()

    def start(self) -> None:
        self.state = State(self.data.tracker_database, quota_bytes=10**9, machine="m", identity={})
        self.runner = LinuxRunner(self.state, TrackerSettings(data=self.data), self.policy, threading.Event())

    def restart(self) -> None:
        self.state.close()
        self.start()

    def rule(
        self, pattern: str = "*", *, name: str = "r", links: Links = Links.FOLLOW, frequency: float = 1.0
    ) -> FileRule:
        path = os.fsencode(self.tree / pattern)
        return FileRule(
            name=name,
            destination_path=path,
            recurse=True,
            type=FileType.FILE,
            links=links,
            frequency=frequency,
            configuration_id="dcr-1",
        )

    def plan(self, *rules: FileRule, version: str = "1") -> Plan:
        jobs: dict[float, list[FileRule]] = {}
        for rule in rules:
            jobs.setdefault(rule.frequency, []).append(rule)
        return Plan(
            version=version,
            file_jobs=tuple(FileJob(f"{f:g}", f, tuple(r)) for f, r in sorted(jobs.items())),
            inventory=True,
        )

    def look(self, plan: Plan | None = None) -> list[dict[str, Any]]:
        plan = plan or self.plan(self.rule())
        for kind in (Kind.FILES, Kind.SOFTWARE, Kind.DAEMONS):
            self.runner.prune(plan, kind)
        for job in plan.file_jobs:
            self.runner.run_files(plan, job)
        return self.records()

    def records(self) -> list[dict[str, Any]]:
        rows = self.state.query("SELECT id, record FROM outbox WHERE id > ? ORDER BY id", (self.taken,))
        if rows:
            self.taken = rows[-1][0]
        return [msgspec.msgpack.decode(record) for _, record in rows]


def changes(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in records if r["_Stream"] == "CONFIG_CHANGE_BLOB_V2"]


def told(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((r["ChangeCategory"], r["Name"]) for r in changes(records))


def inventory(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in records if r["_Stream"] == "CONFIG_DATA_BLOB_V2"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.state.close()


def test_the_first_look_is_inventory_and_no_change(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    (bench.tree / "sub").mkdir()
    (bench.tree / "sub" / "b").write_text("two")
    records = bench.look()
    assert changes(records) == []
    data = inventory(records)
    assert [r.get("_Record") for r in data] == ["Snapshot", None, None, "Confirmation"]
    rows = [r for r in data if "_Record" not in r]
    confirmation = data[-1]
    assert confirmation["Items"] == 2
    assert confirmation["Checksum"] == checksum(sorted((row_key(r)[1], item_digest(r)) for r in rows))
    assert all(r["RuleName"] == "r" and r["ConfigurationId"] == "dcr-1" for r in rows)


def test_an_untouched_tree_makes_confirmations_only(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    for _ in range(20):
        assert [r.get("_Record") for r in bench.look()] == ["Confirmation"]


def test_edit_add_remove_chmod_and_replace_by_a_link(bench: Bench) -> None:
    for name in ("edited", "removed", "chmodded", "linked"):
        (bench.tree / name).write_text(name)
    bench.look()
    (bench.tree / "edited").write_text("other")
    (bench.tree / "added").write_text("new")
    (bench.tree / "removed").unlink()
    (bench.tree / "chmodded").chmod(0o600)
    (bench.tree / "linked").unlink()
    (bench.tree / "linked").symlink_to("edited")
    records = bench.look()
    assert told(records) == [
        ("Added", "added"),
        ("Modified", "chmodded"),
        ("Modified", "edited"),
        ("Modified", "linked"),
        ("Removed", "removed"),
    ]
    rows = {r["Name"]: r for r in changes(records)}
    assert rows["chmodded"]["FieldsChanged"] == "Attributes"
    assert rows["edited"]["PreviousSize"] == 6
    assert "-> edited" in rows["linked"]["Attributes"]
    assert rows["linked"]["PreviousAttributes"].startswith("-rw")
    assert rows["edited"]["DetectedBy"] == "Poll"
    assert rows["edited"]["PreviousSeen"] < rows["edited"]["TimeGenerated"]
    tombstones = [r for r in inventory(records) if r.get("_Record") == "Tombstone"]
    assert [(t["Name"], t["Reason"]) for t in tombstones] == [("removed", "Removed")]
    assert told(bench.look()) == []


def test_changes_made_while_the_tracker_was_off_are_found_at_start(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    (bench.tree / "a").write_text("changed")
    bench.restart()
    (row,) = changes(bench.look())
    assert (row["ChangeCategory"], row["DetectedBy"]) == ("Modified", "Startup")


def test_a_new_rule_enters_items_without_change_rows_and_a_gone_rule_lets_them_go(bench: Bench) -> None:
    (bench.tree / "a.conf").write_text("one")
    (bench.tree / "b.txt").write_text("two")
    conf, text = bench.rule("*.conf", name="conf"), bench.rule("*.txt", name="text")
    bench.look(bench.plan(conf))
    records = bench.look(bench.plan(conf, text, version="2"))
    assert changes(records) == []
    assert [r["Name"] for r in inventory(records) if "_Record" not in r] == ["b.txt"]
    assert "ItemsEntered" in [r.get("Reason") for r in records]
    (bench.tree / "c.txt").write_text("three")
    assert told(bench.look(bench.plan(conf, text, version="2"))) == [("Added", "c.txt")]
    records = bench.look(bench.plan(conf, version="3"))
    assert changes(records) == []
    gone = [(r["Name"], r["Reason"]) for r in inventory(records) if r.get("_Record") == "Tombstone"]
    assert gone == [("b.txt", "LeftRules"), ("c.txt", "LeftRules")]


def test_rules_of_two_frequencies_share_items_and_name_both(bench: Bench) -> None:
    (bench.tree / "a.conf").write_text("one")
    plan = bench.plan(bench.rule("*.conf", name="often"), bench.rule("*", name="seldom", frequency=100.0))
    records = bench.look(plan)
    (row,) = [r for r in inventory(records) if "_Record" not in r]
    assert row["RuleName"] == "often,seldom"
    assert told(bench.look(plan)) == []


def test_a_whole_folder_moved_away_is_removed_item_by_item(bench: Bench) -> None:
    folder = bench.tree / "d" / "e"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"f{number}").write_text("x")
    bench.look()
    shutil.rmtree(bench.tree / "d")
    assert told(bench.look()) == [("Removed", f"f{n}") for n in range(5)]


def test_hostile_names_survive(bench: Bench) -> None:
    names = [b"new\nline", b"\xff\xfe", b"\x1b[31mred", b"a" * 255, b" ", "ü".encode(), b"=cmd()", b"-rf"]
    root = os.fsencode(bench.tree)
    for name in names:
        with open(root + b"/" + name, "wb") as stream:
            stream.write(b"x")
    rows = [r for r in inventory(bench.look()) if "_Record" not in r]
    assert sorted(row_key(r)[1] for r in rows) == sorted(root + b"/" + name for name in names)
    os.unlink(root + b"/\xff\xfe")
    (gone,) = changes(bench.look())
    assert row_key(gone) == (Kind.FILES, root + b"/\xff\xfe")


def test_a_rule_that_matches_nothing_is_said_once(bench: Bench) -> None:
    def reasons(records: list[dict[str, Any]]) -> list[str]:
        return [r["Reason"] for r in records if r["_Stream"] == "TRACKING_HEALTH"]

    assert "RuleMatchesNothing" in reasons(bench.look())
    assert "RuleMatchesNothing" not in reasons(bench.look())
    (bench.tree / "a").write_text("x")
    again = [r for r in bench.look() if r.get("RuleName") == "r" and r["_Stream"] == "TRACKING_HEALTH"]
    assert [(r["Reason"], r["Status"]) for r in again] == [("Collected", "Ok")]


def test_a_rule_that_matches_from_the_start_needs_no_word(bench: Bench) -> None:
    (bench.tree / "a").write_text("x")
    told_of_rules = [r for r in bench.look() if r.get("RuleName") == "r" and r["_Stream"] == "TRACKING_HEALTH"]
    assert told_of_rules == []


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, whose pages never have to be written back."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def times(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def test_a_change_that_moves_no_time_is_found_within_the_period(tmp_path: Path, memory: Path) -> None:
    """Writing through a mapping moves the times with the first write to a page only, until it is written back."""
    bench = Bench(tmp_path, memory)
    settings = TrackerSettings(data=bench.data, rehash_seconds=5.0)
    bench.runner = LinuxRunner(bench.state, settings, POLICY, threading.Event())
    files = [memory / f"d{number}" / "f" for number in range(10)]
    with contextlib.ExitStack() as stack:
        mappings = []
        for path in files:
            path.parent.mkdir()
            path.write_bytes(b"000")
            mappings.append(stack.enter_context(mmap.mmap(stack.enter_context(path.open("r+b")).fileno(), 0)))
            mappings[-1][:] = b"one"
        while any(unsettled(row[0]) for row in bench.state.query("SELECT signature FROM items")) or not bench.taken:
            bench.look()
        before = [times(path) for path in files]
        for mapping in mappings:
            mapping[:] = b"two"
        assert [times(path) for path in files] == before
        # A run a second: five slices.
        rows = [row for _ in range(5) for row in changes(bench.look())]
    assert sorted(row["FileSystemPath"] for row in rows) == sorted(map(str, files))
    assert {row["FieldsChanged"] for row in rows} == {"FileContentChecksum"}
    (told_of,) = bench.runner.rehash(bench.plan(bench.rule()))
    assert (told_of["seconds"], told_of["slices"]) == (5.0, 5)
    assert told_of["done"]
    bench.state.close()


def test_the_policy_excludes_what_rules_ask_for(bench: Bench) -> None:
    (bench.tree / "keep").write_text("x")
    (bench.tree / "secret").mkdir()
    (bench.tree / "secret" / "s").write_text("x")
    bench.policy = Policy(
        core_share=64.0, bytes_per_second=10**12, excluded_paths=(os.fsencode(bench.tree / "secret"),)
    )
    bench.restart()
    assert [r["Name"] for r in inventory(bench.look()) if "_Record" not in r] == ["keep"]


class Given:
    """A collector that finds what it is given."""

    def __init__(
        self,
        items: tuple[Any, ...],
        *,
        status: RunStatus = RunStatus.OK,
        unsettled: tuple[Any, ...] = (),
        denied: tuple[bytes, ...] = (),
        kept: tuple[bytes, ...] = (),
        scopes: frozenset[str] = frozenset({"all"}),
    ) -> None:
        keys = frozenset(item.key() for item in unsettled)
        outcome = Outcome(status=status, denied=(*denied, *kept))
        self.snapshot = Snapshot(items=items, outcome=outcome, unsettled=keys, kept=kept, scopes=scopes)

    def run(self) -> Any:
        return self.snapshot


def test_software_installed_upgraded_removed_and_unsettled(bench: Bench) -> None:
    plan = Plan(version="1", schedules={Kind.SOFTWARE: Schedule(1.0, "ds", "dcr-1")}, inventory=True)

    def look(collector: Given) -> list[dict[str, Any]]:
        bench.runner.run_snapshot(plan, Kind.SOFTWARE, collector)
        return bench.records()

    a1, a2 = (SoftwareItem(name="a", version=v, architecture="amd64", source="dpkg") for v in "12")
    b = SoftwareItem(name="b", version="1", architecture="all", source="dpkg")
    assert changes(look(Given((a1,)))) == []
    assert told(look(Given((a1, b)))) == [("Added", "b")]
    assert told(look(Given((b,), unsettled=(a1,)))) == []
    assert told(look(Given((), status=RunStatus.FAILED))) == []
    (row,) = changes(look(Given((a2, b))))
    assert (row["Current"], row["Previous"]) == ("2", "1")
    assert told(look(Given((a2,)))) == [("Removed", "b")]


def test_a_package_system_that_cannot_be_read_keeps_its_packages(bench: Bench) -> None:
    plan = Plan(version="1", schedules={Kind.SOFTWARE: Schedule(1.0, "ds", "dcr-1")}, inventory=True)

    def look(*items: SoftwareItem, kept: tuple[bytes, ...] = (), scopes: str = "dpkg rpm") -> list[dict[str, Any]]:
        status = RunStatus.PARTIAL if kept else RunStatus.OK
        collector = Given(items, status=status, kept=kept, scopes=frozenset(scopes.split()))
        bench.runner.run_snapshot(plan, Kind.SOFTWARE, collector)
        return bench.records()

    a = SoftwareItem(name="a", version="1", source="dpkg")
    b, c = (SoftwareItem(name=name, version="1", source="rpm") for name in "bc")
    kernel = SoftwareItem(name="kernel", version="5", source="rpm", instance="5")
    other = SoftwareItem(name="x", version="1", source="rpmish")
    # The first look could not read rpm: what it reads later was perhaps always there.
    assert told(look(a, other, kept=(b"rpm",), scopes="dpkg rpmish")) == []
    assert told(look(a, b, kernel, other, scopes="dpkg rpm rpmish")) == []
    assert told(look(a, b, c, kernel, other)) == [("Added", "c")]
    records = look(kept=(b"rpm",), scopes="dpkg")
    assert sorted(told(records)) == [("Removed", "a"), ("Removed", "x")]
    (confirmation,) = (r for r in inventory(records) if r.get("_Record") == "Confirmation")
    assert confirmation["Items"] == 3
    assert confirmation["NotConfirmed"] == [base64.b64encode(b"rpm").decode()]
    assert told(look(b, kernel)) == [("Removed", "c")]


def test_installing_the_same_version_again_moves_the_inventory_and_is_no_change(bench: Bench) -> None:
    plan = Plan(version="1", schedules={Kind.SOFTWARE: Schedule(1.0, "ds", "dcr-1")}, inventory=True)
    for installed in (1, 2):
        item = SoftwareItem(name="a", version="1", source="dpkg", installed_ns=installed * 10**9)
        bench.runner.run_snapshot(plan, Kind.SOFTWARE, Given((item,)))
        records = bench.records()
        assert changes(records) == []
        (row,) = (r for r in inventory(records) if "_Record" not in r)
        assert row["InstalledAt"] == f"1970-01-01T00:00:0{installed}.0000000Z"


def test_the_properties_of_one_daemon_share_a_transaction(bench: Bench) -> None:
    plan = Plan(version="1", schedules={Kind.DAEMONS: Schedule(1.0, "ds", "dcr-1")}, inventory=True)
    bench.runner.run_snapshot(plan, Kind.DAEMONS, Given((DaemonItem(name="a.service"),)))
    bench.records()
    bench.runner.run_snapshot(
        plan, Kind.DAEMONS, Given((DaemonItem(name="a.service", state="Running", runlevels="enabled"),))
    )
    rows = changes(bench.records())
    assert {r["SvcChangeType"] for r in rows} == {"State", "Runlevels"}
    assert len({r["TransactionId"] for r in rows}) == 1
    assert len({r["_Sequence"] for r in rows}) == 2


def test_a_new_epoch_opens_the_inventory_again(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    with bench.state.transaction() as change:
        change.new_epoch()
    records = bench.look()
    assert changes(records) == []
    assert [r.get("_Record") for r in inventory(records)] == ["Snapshot", None, "Confirmation"]
    assert {r["_Epoch"] for r in records} == {bench.state.epoch}


class BeginsAnEpoch(Given):
    """A collector during whose work the server asks for a new epoch."""

    state: State

    def run(self) -> Any:
        with self.state.transaction() as change:
            change.new_epoch()
        return self.snapshot


def test_an_epoch_that_begins_during_a_run_is_not_confirmed_before_its_inventory(bench: Bench) -> None:
    plan = Plan(version="1", schedules={Kind.SOFTWARE: Schedule(1.0, "ds", "dcr-1")}, inventory=True)
    a, b = (SoftwareItem(name=name, version="1", source="dpkg") for name in "ab")
    bench.runner.run_snapshot(plan, Kind.SOFTWARE, Given((a,)))
    bench.records()
    interrupted = BeginsAnEpoch((a, b))
    interrupted.state = bench.state
    bench.runner.run_snapshot(plan, Kind.SOFTWARE, interrupted)
    assert [r.get("_Record") for r in inventory(bench.records())] == [None]
    bench.runner.run_snapshot(plan, Kind.SOFTWARE, Given((a, b)))
    assert [r.get("_Record") for r in inventory(bench.records())] == ["Snapshot", None, None, "Confirmation"]


def test_what_leaves_the_rules_does_not_open_the_inventory_of_a_new_epoch(bench: Bench) -> None:
    for name in ("a.conf", "b.txt"):
        (bench.tree / name).write_text("x")
    conf, text = bench.rule("*.conf", name="conf"), bench.rule("*.txt", name="text")
    bench.look(bench.plan(conf, text))
    with bench.state.transaction() as change:
        change.new_epoch()
    data = inventory(bench.look(bench.plan(conf, version="2")))
    assert [r.get("_Record") for r in data] == ["Tombstone", "Snapshot", None, "Confirmation"]


def test_a_resend_is_done_by_the_next_run(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    plan = bench.plan(bench.rule())
    assert bench.runner.request_resend(plan, Kind.FILES) == 1
    bench.runner.confirm(plan, Kind.FILES)
    assert bench.records() == []
    assert [r.get("_Record") for r in inventory(bench.look())] == ["Snapshot", None, "Confirmation"]
    assert [r.get("_Record") for r in inventory(bench.look())] == ["Confirmation"]


SOFTWARE = Plan(version="1", schedules={Kind.SOFTWARE: Schedule(1.0, "ds", "dcr-1")}, inventory=True)
DAEMONS = Plan(version="1", schedules={Kind.DAEMONS: Schedule(1.0, "ds", "dcr-1")}, inventory=True)


def test_what_was_in_the_middle_of_an_operation_at_the_first_look_is_no_addition_later(bench: Bench) -> None:
    a, b = (SoftwareItem(name=name, version="1", source="dpkg") for name in "ab")
    bench.runner.run_snapshot(SOFTWARE, Kind.SOFTWARE, Given((a,), unsettled=(b,)))
    bench.runner.run_snapshot(SOFTWARE, Kind.SOFTWARE, Given((a,), unsettled=(b,)))
    bench.restart()
    bench.runner.run_snapshot(SOFTWARE, Kind.SOFTWARE, Given((a, b)))
    records = bench.records()
    assert changes(records) == []
    assert [r["Name"] for r in inventory(records) if "_Record" not in r] == ["a", "b"]


def test_a_daemon_that_never_settles_is_told_after_a_while(bench: Bench) -> None:
    looping = DaemonItem(name="loop.service", state="StartPending")
    bench.runner.run_snapshot(DAEMONS, Kind.DAEMONS, Given((looping,), unsettled=(looping,)))
    assert [r for r in inventory(bench.records()) if "_Record" not in r] == []
    bench.runner.settle_seconds = 0.0
    bench.runner.run_snapshot(DAEMONS, Kind.DAEMONS, Given((looping,), unsettled=(looping,)))
    records = bench.records()
    assert changes(records) == []
    assert [r["SvcState"] for r in inventory(records) if "_Record" not in r] == ["StartPending"]


def test_what_lay_in_a_denied_folder_is_not_removed(bench: Bench) -> None:
    a, b = (DaemonItem(name=f"{name}.service") for name in "ab")
    bench.runner.run_snapshot(DAEMONS, Kind.DAEMONS, Given((a, b)))
    bench.records()
    bench.runner.run_snapshot(
        DAEMONS, Kind.DAEMONS, Given((a,), status=RunStatus.PARTIAL, denied=(b"/etc/systemd/system",))
    )
    assert changes(bench.records()) == []
    bench.runner.run_snapshot(DAEMONS, Kind.DAEMONS, Given((a,)))
    assert told(bench.records()) == [("Removed", "b.service")]


def test_two_rules_of_one_name_are_two_rules(bench: Bench) -> None:
    (bench.tree / "a.conf").write_text("one")
    (bench.tree / "b.txt").write_text("two")
    conf = bench.rule("*.conf", name="same")
    text = msgspec.structs.replace(bench.rule("*.txt", name="same"), configuration_id="dcr-2")
    bench.look(bench.plan(conf))
    records = bench.look(bench.plan(conf, text, version="2"))
    assert changes(records) == []
    assert [r["ConfigurationId"] for r in inventory(records) if "_Record" not in r] == ["dcr-2"]


def test_an_addition_that_a_new_rule_sees_first_is_still_an_addition(bench: Bench) -> None:
    old = bench.rule("*", name="old", frequency=100.0)
    bench.look(bench.plan(old))
    (bench.tree / "a.conf").write_text("new")
    # The jobs of the new plan are done by frequency: that of the new rule comes first.
    records = bench.look(bench.plan(old, bench.rule("*.conf", name="new"), version="2"))
    assert told(records) == [("Added", "a.conf")]


def test_rules_that_treat_links_differently_agree_on_the_more_watchful_way(bench: Bench) -> None:
    (bench.tree / "target").write_text("content")
    (bench.tree / "a.conf").symlink_to("target")
    plan = bench.plan(
        bench.rule("*.conf", name="often", links=Links.MANAGE), bench.rule("*", name="seldom", frequency=100.0)
    )
    bench.look(plan)
    for _ in range(2):
        assert changes(bench.look(plan)) == []
    (bench.tree / "target").write_text("other")
    assert told(bench.look(plan)) == [("Modified", "a.conf"), ("Modified", "target")]


@pytest.mark.parametrize("before", Links)
@pytest.mark.parametrize("after", Links)
def test_another_policy_for_links_is_no_change_of_the_links(bench: Bench, before: Links, after: Links) -> None:
    (bench.tree / "real").mkdir()
    (bench.tree / "real" / "file.x").write_text("content")
    (bench.tree / "link.x").symlink_to("real/file.x")
    (bench.tree / "folder").symlink_to("real")
    (bench.tree / "dangling.x").symlink_to("nowhere")
    assert changes(bench.look(bench.plan(bench.rule("*.x", links=before)))) == []
    second = bench.plan(bench.rule("*.x", links=after), version="2")
    assert changes(bench.look(second)) == []
    bench.look(second)
    paths = sorted(key for key, _ in bench.state.items(Kind.FILES))
    fresh = Bench(Path(bench.data.path).parent / "fresh", tree=bench.tree)
    fresh.look(fresh.plan(fresh.rule("*.x", links=after)))
    assert paths == sorted(key for key, _ in fresh.state.items(Kind.FILES))
    fresh.state.close()


def test_a_rule_about_other_links_leaves_these_links_as_they_are(bench: Bench) -> None:
    (bench.tree / "target").write_text("content")
    (bench.tree / "a.conf").symlink_to("target")
    (bench.tree / "b.conf").symlink_to("nowhere")
    managed = bench.rule("*.conf", name="managed", links=Links.MANAGE)
    bench.look(bench.plan(managed))
    assert changes(bench.look(bench.plan(managed, bench.rule("*.txt", name="text"), version="2"))) == []


def test_when_no_rule_is_left_the_inventory_is_cleared(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    records = bench.look(Plan(version="2"))
    assert changes(records) == []
    assert [(r["Name"], r["Reason"]) for r in inventory(records)] == [("a", "LeftRules")]


def test_what_a_new_policy_excludes_leaves_the_inventory(bench: Bench) -> None:
    (bench.tree / "keep").write_text("x")
    (bench.tree / "secret").mkdir()
    (bench.tree / "secret" / "s").write_text("x")
    bench.look()
    bench.policy = Policy(
        core_share=64.0, bytes_per_second=10**12, excluded_paths=(os.fsencode(bench.tree / "secret"),)
    )
    bench.restart()
    records = bench.look()
    assert changes(records) == []
    assert [(r["Name"], r["Reason"]) for r in inventory(records) if r.get("_Record") == "Tombstone"] == [
        ("s", "LeftRules")
    ]


def test_a_link_is_no_way_into_what_the_policy_excludes(bench: Bench) -> None:
    secret = bench.tree.parent / "secret"
    secret.mkdir()
    (secret / "s").write_text("x")
    (bench.tree / "folder").symlink_to(secret)
    (bench.tree / "file").symlink_to(secret / "s")
    bench.policy = Policy(core_share=64.0, bytes_per_second=10**12, excluded_paths=(os.fsencode(secret),))
    bench.restart()
    rows = [r for r in inventory(bench.look()) if "_Record" not in r]
    assert [(r["Name"], r.get("FileContentChecksum")) for r in rows] == [("file", None), ("folder", None)]


def test_a_pipe_leaves_with_the_rule_that_took_it(bench: Bench) -> None:
    os.mkfifo(bench.tree / "pipe")
    rule = bench.rule()
    bench.look(bench.plan(msgspec.structs.replace(rule, type=FileType.ANY)))
    assert changes(bench.look(bench.plan(rule, version="2"))) == []


def test_items_name_the_rules_of_the_plan_in_force(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look(bench.plan(bench.rule(name="old")))
    records = bench.look(bench.plan(bench.rule(name="new"), version="2"))
    assert [r["RuleName"] for r in inventory(records) if "_Record" not in r] == ["new"]
    assert changes(records) == []


def test_a_new_job_of_a_running_tracker_finds_nothing_at_startup(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    (bench.tree / "a").write_text("other")
    (row,) = changes(bench.look(bench.plan(bench.rule(frequency=5.0), version="2")))
    assert row["DetectedBy"] == "Poll"


def test_a_removal_names_the_configuration_that_asked(bench: Bench) -> None:
    (bench.tree / "a").write_text("one")
    bench.look()
    (bench.tree / "a").unlink()
    (row,) = changes(bench.look())
    assert row["ConfigurationId"] == "dcr-1"


def test_a_resend_names_the_rules_of_each_item(bench: Bench) -> None:
    (bench.tree / "a.conf").write_text("one")
    (bench.tree / "b.txt").write_text("two")
    text = msgspec.structs.replace(bench.rule("*.txt", name="text"), configuration_id="dcr-2")
    plan = bench.plan(bench.rule("*.conf", name="conf"), text)
    bench.look(plan)
    bench.runner.request_resend(plan, Kind.FILES)
    rows = [r for r in inventory(bench.look(plan)) if "_Record" not in r]
    assert [(r["Name"], r["ConfigurationId"]) for r in rows] == [("a.conf", "dcr-1"), ("b.txt", "dcr-2")]
