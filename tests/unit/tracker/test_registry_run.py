"""Runs over a registry: which rows arise, and which do not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unit.tracker.registry_in_memory import MemoryRegistry
from whatchanged.collectors import RunStatus
from whatchanged.collectors.files.budget import Unlimited
from whatchanged.records.items import Kind, RegistryItem
from whatchanged.rules import Policy, RegistryRule
from whatchanged.settings import DataFolder
from whatchanged.tracker.plan import Plan, RegistryJob
from whatchanged.tracker.recorder import Recorder
from whatchanged.tracker.registry_run import RegistryMatch, RegistryRun
from whatchanged.tracker.runner import Runner
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

POLICY = Policy(core_share=64.0, bytes_per_second=10**12)
RUN = r"HKEY_LOCAL_MACHINE\SOFTWARE\Vendor\Run"
ONE, TWO = (4, b"\1\0\0\0"), (4, b"\2\0\0\0")


class Bench:
    """A registry, a state, and a runner that begins anew on demand."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(str(folder))
        self.keys: dict[str, dict[str, tuple[int, bytes]]] = {RUN: {"a": ONE}}
        self.denied: frozenset[str] = frozenset()
        self.unlisted: set[tuple[str, str]] = set()
        self.rules = [RegistryRule(name="run", key_name=RUN, recurse=True, configuration_id="dcr-1")]
        self.often: list[RegistryRule] = []
        """Rules of a second job."""
        self.stop = threading.Event()
        self.taken = 0
        self.start()

    def start(self) -> None:
        self.state = State(self.data.tracker_database, quota_bytes=10**9, machine="m", identity={})
        self.runner = Runner(self.state, TrackerSettings(data=self.data), POLICY, self.stop)

    def restart(self) -> None:
        self.state.close()
        self.start()

    def plan(self) -> Plan:
        jobs = {"3000": tuple(self.rules), "60": tuple(self.often)}
        made = tuple(RegistryJob(name, float(name), rules) for name, rules in jobs.items() if rules)
        return Plan(version=repr(jobs), registry_jobs=made, inventory=True)

    def source(self) -> MemoryRegistry:
        source = MemoryRegistry(self.keys, self.denied)
        source.unlisted = self.unlisted
        return source

    def look(self, *names: str) -> list[dict[str, Any]]:
        """Look at what all jobs take, or some; return the records."""
        plan = self.plan()
        self.runner.prune(plan, Kind.REGISTRY)
        for job in plan.registry_jobs:
            if not names or job.name in names:
                self.runner.run_registry(plan, job, self.source())
        rows = self.state.query("SELECT id, record FROM outbox WHERE id > ? ORDER BY id", (self.taken,))
        if rows:
            self.taken = rows[-1][0]
        return [msgspec.msgpack.decode(record) for _, record in rows]

    def told(self, *names: str) -> list[tuple[str, str, str, str]]:
        return sorted(
            (row["ChangeCategory"], row["RegistryKey"], row.get("ValueName", ""), row.get("ValueData", ""))
            for row in self.look(*names)
            if "ChangeCategory" in row
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.state.close()


def test_the_first_look_makes_no_rows_and_no_inventory(bench: Bench) -> None:
    assert {record["_Stream"] for record in bench.look()} == {"TRACKING_HEALTH"}
    assert {record["_Stream"] for record in bench.look()} <= {"TRACKING_HEALTH"}
    assert bench.state.inventory_count(Kind.REGISTRY) == 1


def test_what_is_added_changed_and_removed(bench: Bench) -> None:
    bench.look()
    bench.keys = {RUN: {"a": TWO, "": ONE}, rf"{RUN}\sub": {"b": ONE}}
    (first, *rows) = [record for record in bench.look() if "ChangeCategory" in record]
    assert first["_Stream"] == "CONFIG_CHANGE_BLOB"
    assert (first["RuleName"], first["ConfigurationId"], first["DetectedBy"]) == ("run", "dcr-1", "Poll")
    assert sorted(row["ChangeCategory"] for row in (first, *rows)) == ["Added", "Added", "Modified"]
    bench.keys = {RUN: {"": ONE}}
    assert bench.told() == [("Removed", RUN, "a", ""), ("Removed", rf"{RUN}\sub", "b", "")]
    assert bench.told() == []


def test_what_changed_while_the_tracker_was_off_is_a_change(bench: Bench) -> None:
    bench.look()
    bench.restart()
    bench.keys = {RUN: {"a": TWO}}
    (row,) = [record for record in bench.look() if "ChangeCategory" in record]
    assert (row["DetectedBy"], row["PreviousValueData"], row["ValueData"]) == ("Startup", "1", "2")


def test_a_key_that_may_not_be_read_keeps_its_values(bench: Bench) -> None:
    bench.keys = {RUN: {"a": ONE}, rf"{RUN}\Sub": {"b": ONE}, rf"{RUN}\Sub\Deep": {"c": ONE}}
    bench.look()
    bench.denied = frozenset({rf"{RUN}\Sub"})
    assert bench.told() == []
    assert bench.state.inventory_count(Kind.REGISTRY) == 3
    bench.keys[rf"{RUN}\Sub"] = {"d": ONE}
    bench.denied = frozenset()
    # Nobody knows whether it was there before the key was closed; what is gone is gone.
    assert bench.told() == [("Removed", rf"{RUN}\Sub", "b", "")]
    bench.keys[rf"{RUN}\Sub"]["e"] = ONE
    assert bench.told() == [("Added", rf"{RUN}\Sub", "e", "1")]


def transactions(rows: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """Return key (below RUN) and name of the values of rows, together those that share a TransactionId."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if "ChangeCategory" in row:
            place = row["RegistryKey"].removeprefix(RUN), row.get("ValueName", "")
            found.setdefault(row["TransactionId"], []).append(place)
    return sorted(sorted(places) for places in found.values())


def test_what_went_away_with_a_key_has_one_cause(bench: Bench) -> None:
    bench.keys = {
        RUN: {"a": ONE, "b": ONE},
        rf"{RUN}\Empty\One": {"v": ONE, "w": ONE},
        rf"{RUN}\Empty\Two\Deep": {"v": ONE},
        rf"{RUN}\Other": {"v": ONE, "w": ONE},
        rf"{RUN}\Otherwise": {"v": ONE},
    }
    bench.look()
    bench.keys = {RUN: {}, rf"{RUN}\Other": {"x": ONE, "y": ONE}}
    assert transactions(bench.look()) == [
        [("", "a")],
        [("", "b")],
        [(r"\Empty\One", "v"), (r"\Empty\One", "w"), (r"\Empty\Two\Deep", "v")],
        [(r"\Other", "v")],
        [(r"\Other", "w")],
        [(r"\Other", "x")],
        [(r"\Other", "y")],
        [(r"\Otherwise", "v")],
    ]


def test_what_went_away_above_the_keys_of_rules_has_one_cause(bench: Bench) -> None:
    other = RUN.replace("Run", "Other")
    bench.rules.append(RegistryRule(name="other", key_name=other))
    bench.keys[other] = {"v": ONE}
    bench.keys[r"HKEY_LOCAL_MACHINE\SOFTWARE\Somebody"] = {}
    bench.look()
    del bench.keys[RUN], bench.keys[other]
    assert transactions(bench.look()) == [[("", "a"), (other, "v")]]
    bench.keys[RUN] = {"a": ONE, "b": ONE}
    assert transactions(bench.look()) == [[("", "a")], [("", "b")]]


def test_a_value_that_a_listing_passes_over_is_not_removed(bench: Bench) -> None:
    bench.look()
    bench.unlisted = {(RUN, "a")}
    assert bench.told() == []
    bench.unlisted = set()
    assert bench.told() == []


def test_what_enters_or_leaves_the_rules_is_no_change(bench: Bench) -> None:
    bench.keys[r"HKEY_LOCAL_MACHINE\SOFTWARE\Other"] = {"x": ONE}
    bench.look()
    bench.rules.append(RegistryRule(name="other", key_name=r"HKLM\software\OTHER"))
    reasons = {record.get("Reason") for record in bench.look()}
    assert "ItemsEntered" in reasons
    bench.keys[r"HKEY_LOCAL_MACHINE\SOFTWARE\Other"]["y"] = ONE
    assert bench.told() == [("Added", r"HKEY_LOCAL_MACHINE\SOFTWARE\Other", "y", "1")]
    del bench.rules[0]
    records = bench.look()
    assert not [record for record in records if "ChangeCategory" in record]
    assert "ItemsLeft" in {record.get("Reason") for record in records}
    bench.rules.clear()
    assert bench.told() == []
    assert bench.state.inventory_count(Kind.REGISTRY) == 0


def test_a_value_that_several_rules_take_names_them_all(bench: Bench) -> None:
    bench.look()
    bench.rules.append(RegistryRule(name="named", key_name=RUN, value_name="A", configuration_id="dcr-2"))
    assert bench.told() == []
    bench.keys = {RUN: {"a": TWO}}
    (row,) = [record for record in bench.look() if "ChangeCategory" in record]
    assert (row["RuleName"], row["ConfigurationId"]) == ("run,named", "dcr-1,dcr-2")


def test_a_rule_that_matches_nothing_says_so_once(bench: Bench) -> None:
    bench.rules.append(RegistryRule(name="nowhere", key_name=r"HKLM\SOFTWARE\Nowhere"))

    def said() -> list[str]:
        return [record["RuleName"] for record in bench.look() if record.get("Reason") == "RuleMatchesNothing"]

    assert said() == ["nowhere"]
    assert said() == []


def test_more_values_than_a_run_bears_decide_nothing(bench: Bench) -> None:
    bench.look()
    bench.keys = {RUN: {"b": ONE, "c": ONE}}
    recorder = Recorder(bench.state, Kind.REGISTRY, detected_by="Poll", previous_run_ns=None, inventory=False)
    plan = bench.plan()
    run = RegistryRun(
        bench.state, plan, plan.registry_jobs[0], bench.source(), recorder, bench.stop, Unlimited(), most=1
    )

    class Seen:
        seen = 0
        looked = 0

    outcome = run.run(Seen())
    recorder.flush()
    assert outcome.status is RunStatus.FAILED
    assert "more than 1 values" in outcome.failures[0].reason
    assert bench.state.known(Kind.REGISTRY, f"{RUN}\0a".encode()) is not None


def test_a_run_that_is_told_to_stop_decides_nothing(bench: Bench) -> None:
    bench.look()
    bench.keys = {RUN: {"b": ONE}}
    bench.stop.set()
    assert bench.told() == []


@pytest.mark.parametrize("value", ["", "a", "nul\0within", "half \ud800"])
def test_a_known_item_finds_its_rules(value: str) -> None:
    rules = [
        RegistryRule(name="key", key_name=r"HKCU\Software\*\Run"),
        RegistryRule(name="one", key_name=r"HKEY_USERS\S-1-5-18", recurse=True, value_name="A"),
        RegistryRule(name="other", key_name=r"HKLM\Software"),
    ]
    item = RegistryItem.of(r"HKEY_USERS\S-1-5-18\SOFTWARE\x\run", value, *ONE)
    taken = ["key", "one"] if value == "a" else ["key"]
    assert [rule.name for rule in RegistryMatch(rules).takers(item)] == taken


def test_each_rule_keeps_its_own_frequency(bench: Bench) -> None:
    """A job looks at what its rules take, and at nothing else."""
    other = r"HKEY_LOCAL_MACHINE\SOFTWARE\Vendor\Often"
    bench.keys = {RUN: {"a": ONE}, other: {"b": ONE}}
    bench.often = [RegistryRule(name="often", key_name=other)]
    assert bench.told() == []
    bench.keys = {RUN: {}, other: {"b": TWO, "c": ONE}}
    assert bench.told("60") == [("Added", other, "c", "1"), ("Modified", other, "b", "2")]
    assert bench.told("3000") == [("Removed", RUN, "a", "")]
    bench.keys = {RUN: {}, other: {}}
    assert bench.told("3000") == []
    assert bench.told("60") == [("Removed", other, "b", ""), ("Removed", other, "c", "")]


def test_a_value_that_rules_of_two_frequencies_take_is_one_item(bench: Bench) -> None:
    bench.often = [RegistryRule(name="often", key_name=RUN, configuration_id="dcr-2")]
    assert bench.told() == []
    bench.keys = {RUN: {"a": TWO}}
    (row,) = [record for record in bench.look("60") if "ChangeCategory" in record]
    assert (row["RuleName"], row["ConfigurationId"]) == ("run,often", "dcr-1,dcr-2")
    assert bench.told() == []
