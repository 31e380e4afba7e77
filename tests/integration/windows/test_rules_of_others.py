"""Rules as people publish them, in force on a running Windows: their seventeen keys are looked at as they stand."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import copy
import hashlib
import shutil
import threading
import uuid
import winreg
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whatchanged import rules
from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.records.items import Kind
from whatchanged.rules import Policy
from whatchanged.settings import DataFolder
from whatchanged.tracker.file_runner import FileRunner
from whatchanged.tracker.plan import Plan, make_plan
from whatchanged.tracker.runner import Progress
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

SAMPLES = Path(__file__).parents[2] / "samples" / "rules"
WITH_KEYS = ("alz-bicep", "arc-jumpstart", "enterprise-scale")
COMPONENTS = r"SOFTWARE\Microsoft\Active Setup\Installed Components"


def settings_of(sample: str) -> dict[str, Any]:
    """Return extensionSettings of the Windows data source of a published rule."""
    (found,) = [
        source.extension_settings
        for rule in rules.read((SAMPLES / f"{sample}.json").read_text("utf-8"))
        for source in rule.sources_of("ChangeTracking-Windows")
    ]
    return copy.deepcopy(dict(found))


def plan_of(settings: dict[str, Any]) -> Plan:
    source = {"id": "dcr-1:CTDataSource-Windows", "extensionSettings": settings}
    return make_plan(msgspec.json.encode({"extensionConfigurations": [source]}).decode())


class Bench:
    """A runner over the registry of this machine."""

    def __init__(self, folder: Path) -> None:
        data = DataFolder(str(folder))
        self.state = State(data.tracker_database, quota_bytes=10**9, machine="m", identity={})
        policy = Policy(core_share=64.0, bytes_per_second=10**12)
        self._runner = FileRunner(self.state, TrackerSettings(data=data), policy, threading.Event())

    def look(self, plan: Plan) -> Progress:
        self._runner.prune(plan, Kind.REGISTRY)
        (job,) = plan.registry_jobs
        return self._runner.run_registry(plan, job, LiveRegistry())

    def look_at_files(self, plan: Plan) -> Progress:
        self._runner.prune(plan, Kind.FILES)
        (job,) = plan.file_jobs
        return self._runner.run_files(plan, job)

    def changes(self, stream: str = "CONFIG_CHANGE_BLOB") -> list[dict[str, Any]]:
        rows = self.state.query("SELECT record FROM outbox WHERE stream = ? ORDER BY id", (stream,))
        return [msgspec.msgpack.decode(record) for (record,) in rows]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.state.close()


@pytest.fixture
def component() -> Iterator[winreg.HKEYType]:
    """A component of our own, as Active Setup lists them."""
    path = rf"{COMPONENTS}\{{{uuid.uuid4()}}}"
    access = winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY
    with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, path, 0, access) as key:
        yield key
    winreg.DeleteKeyEx(winreg.HKEY_LOCAL_MACHINE, path, winreg.KEY_WOW64_64KEY, 0)


@pytest.mark.parametrize("sample", WITH_KEYS)
def test_as_published_every_key_is_switched_off(sample: str) -> None:
    plan = plan_of(settings_of(sample))
    assert plan.kinds() - {Kind.FILES} == {Kind.SOFTWARE, Kind.WINDOWS_SERVICES}
    assert plan.registry == ()


@pytest.mark.parametrize("sample", WITH_KEYS)
def test_switched_on_all_seventeen_are_looked_at(sample: str, bench: Bench, component: winreg.HKEYType) -> None:
    settings = settings_of(sample)
    for item in settings["registrySettings"]["registryInfo"]:
        item["enabled"] = True
    plan = plan_of(settings)
    assert sorted(rule.name for rule in plan.registry) == sorted(f"Registry_{n}" for n in range(1, 18))
    first = bench.look(plan)
    assert first.status == "Ok", first.detail
    assert bench.changes() == []
    winreg.SetValueEx(component, "StubPath", 0, winreg.REG_EXPAND_SZ, r"%SystemRoot%\x.exe")
    assert bench.look(plan).seen == first.seen + 1
    (row,) = bench.changes()
    taking = [rule.name for rule in plan.registry if rule.key_name.endswith(r"\Installed Components")]
    assert (row["ChangeCategory"], row["ValueName"], row["ValueData"]) == ("Added", "StubPath", r"%SystemRoot%\x.exe")
    assert row["RuleName"].split(",") == taking


def test_the_file_of_a_published_rule_is_looked_at_as_it_stands(bench: Bench) -> None:
    """Its path in its own letter case, and a checksum that is a better one than it asks for."""
    plan = plan_of(settings_of("arc-jumpstart"))
    (rule,) = plan.file_rules
    assert (rule.written, rule.frequency) == (r"c:\ArcBox\ct.txt", 900)
    folder = Path(r"C:\ArcBox")
    folder.mkdir()
    try:
        (folder / "ct.txt").write_bytes(b"one")
        (folder / "other.txt").write_bytes(b"one")
        bench.look_at_files(plan)
        (folder / "ct.txt").write_bytes(b"two")
        (folder / "other.txt").write_bytes(b"two")
        bench.look_at_files(plan)
        (row,) = bench.changes("CONFIG_CHANGE_BLOB_V2")
        assert (row["ChangeCategory"], row["FileSystemPath"]) == ("Modified", r"C:\ArcBox\ct.txt")
        assert row["FileContentChecksum"].upper() == hashlib.sha256(b"two").hexdigest().upper()
    finally:
        shutil.rmtree(folder)
