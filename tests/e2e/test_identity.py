"""Copies and set-backs: a cloned machine, an older state database."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import eventually
from e2e.promise import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


def copy(source: Path, target: Path) -> None:
    """Copy a folder as `cp -a` does, owners and all."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def inventory(machine: Machine) -> list[str]:
    return sorted(row["FileSystemPath"] for row in machine.inventory("files"))


def reasons(machine: Machine) -> set[str]:
    return {str(row["Reason"]) for row in machine.health()}


def told(machine: Machine) -> list[tuple[str, str]]:
    return sorted((row["ChangeCategory"], row["Name"]) for row in machine.changes())


def status_of(data: Path) -> dict[str, Any]:
    try:
        status: dict[str, Any] = json.loads((data / "forwarder" / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return status


def test_a_cloned_data_folder_must_enrol_anew(machine: Machine) -> None:
    (machine.real_tree / "a").write_text("a")
    machine.begin()
    machine.looked()
    machine.settled()
    clone = machine.folder / "clone"
    clone.mkdir()
    for part in ("tracker", "forwarder"):
        copy(machine.data / part, clone / part)
    (clone / "forwarder" / "status.json").unlink(missing_ok=True)
    arguments = ["--data", str(clone)]
    with (machine.folder / "clone.log").open("ab") as log:
        second = subprocess.Popen(
            [sys.executable, "-m", "whatchanged", "forwarder", *arguments], stdout=log, stderr=log
        )
    try:
        numbers = itertools.count()

        def refused() -> bool:
            # Each record makes the original speak, which is how the server learns that it is alive.
            (machine.real_tree / "spoken").write_text(str(next(numbers)))
            return status_of(clone).get("refused") == "MachineCloned"

        eventually(refused, what="the clone is refused")
        eventually(lambda: "Cloned" in reasons(machine), what="health says so")
        assert status_of(machine.data)["refused"] == ""
        (machine.real_tree / "b").write_text("b")
        eventually(lambda: ("Added", "b") in told(machine), what="the original goes on")
        token = json.loads(machine.command("tokens", "enroll", "--json").stdout)[0]["token"]
        enrolled = subprocess.run(
            [
                *(sys.executable, "-m", "whatchanged", "enroll", "--server", status_of(machine.data)["server"]),
                *("--computer", "second", "--token-file", "-", *arguments),
            ],
            input=token,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert enrolled.returncode == 0, enrolled.stderr
        eventually(
            lambda: status_of(clone).get("refused") == "" and status_of(clone)["connected"], what="a new machine"
        )
        assert status_of(clone)["machineId"] != status_of(machine.data)["machineId"]
    finally:
        second.terminate()
        second.wait(30)


def test_an_older_state_database_begins_a_new_epoch_without_false_changes(machine: Machine) -> None:
    for name in ("kept", "edited", "removed"):
        (machine.real_tree / name).write_text(name)
    machine.begin()
    machine.looked()
    machine.settled()
    machine.kill("tracker", 15)
    copy(machine.data / "tracker" / "db", machine.folder / "older")
    machine.launch("tracker")
    (machine.real_tree / "added").write_text("added")
    (machine.real_tree / "edited").write_text("edited again")
    (machine.real_tree / "removed").unlink()
    expected = [("Added", "added"), ("Modified", "edited"), ("Removed", "removed")]
    eventually(lambda: told(machine) == expected, what="the changes")
    eventually(machine._delivered, what="everything was delivered")
    machine.kill("tracker", 15)
    shutil.rmtree(machine.data / "tracker" / "db")
    copy(machine.folder / "older", machine.data / "tracker" / "db")
    machine.launch("tracker")
    eventually(lambda: "NewEpoch" in reasons(machine), what="health says NewEpoch")
    machine.settled()
    assert told(machine) == expected
    assert inventory(machine) == ["/srv/tree/added", "/srv/tree/edited", "/srv/tree/kept"]
    (machine.real_tree / "kept").write_text("kept no more")
    eventually(lambda: told(machine) == sorted([*expected, ("Modified", "kept")]), what="changes are told again")


def test_a_rewound_server_says_what_it_lost_and_takes_the_inventory_again(machine: Machine) -> None:
    for name in ("kept", "edited", "removed"):
        (machine.real_tree / name).write_text(name)
    machine.begin()
    machine.looked()
    (machine.real_tree / "before").write_text("before")
    eventually(lambda: told(machine) == [("Added", "before")], what="the change before the backup")
    (backup,) = json.loads(machine.command("backup", "earlier", "--json").stdout)
    shutil.copytree(backup["path"], machine.folder / "earlier")
    (machine.real_tree / "edited").write_text("edited again")
    (machine.real_tree / "removed").unlink()
    eventually(lambda: len(told(machine)) == 3, what="the changes that will be lost")
    lost = machine.changes()[0]["TimeGenerated"]
    eventually(machine._delivered, what="everything was delivered")
    machine.kill("server")
    machine.close_client()
    shutil.rmtree(machine.data / "server")
    machine.command("restore", str(machine.folder / "earlier"))
    machine.launch("server")
    eventually(machine._answers, seconds=90, what="the restored server answers")
    assert told(machine) == [("Added", "before")]
    # Also where nothing comes after what was lost, from which a hole could be seen.
    (restored,) = eventually(lambda: [r for r in machine.health() if r["Reason"] == "Restored"], what="it says so")
    assert restored["WindowStart"] < lost < restored["WindowEnd"]
    (machine.real_tree / "after").write_text("after")
    eventually(lambda: ("Added", "after") in told(machine), what="the machine goes on")
    assert told(machine) == [("Added", "after"), ("Added", "before")]
    gaps = [r for r in machine.health() if r["Reason"] == "Gap" and r["Stream"] == "CONFIG_CHANGE_BLOB_V2"]
    assert [(r["FirstSequence"], r["LastSequence"], r["LostRecords"]) for r in gaps] == [(2, 3, 2)]
    expected = [f"/srv/tree/{name}" for name in ("after", "before", "edited", "kept")]
    eventually(lambda: inventory(machine) == expected, what="the inventory is right again")
    assert "NewEpoch" not in reasons(machine), "the machine's own state was never in doubt"
