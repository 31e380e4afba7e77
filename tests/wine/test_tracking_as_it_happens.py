"""A Windows whose tracker is told of changes: rows come by themselves, long before the next poll."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.conftest import eventually
from wine.conftest import Windows
from wine.windows_machine import SERVICE, WindowsMachine, windows_rule

pytestmark = [pytest.mark.wine, pytest.mark.timeout(600)]

HIVE = "HKEY_LOCAL_MACHINE"
TRACKED = r"Software\Whatchanged-happens"
UNINSTALL = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
REPOSITORY = r"Local Settings\Software\Microsoft\Windows\CurrentVersion\AppModel\Repository\Packages"
REG_SZ, REG_DWORD = 1, 4
TREE = rf"C:\Whatchanged-happens-{uuid.uuid4()}\Tree"
ONE, TWO = b"\1\0\0\0", b"\2\0\0\0"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, windows: Windows) -> Iterator[WindowsMachine]:
    made = WindowsMachine(tmp_path_factory.mktemp("windows"), windows)
    try:
        # Not there yet, and in another case than it will have.
        files = [{"name": "tree", "path": rf"{TREE.upper()}\*", "recurse": True}]
        made.begin(windows_rule({"name": "ours", "keyName": rf"{HIVE}\{TRACKED}", "recurse": True}, files=files))
        eventually(lambda: made.status()["Tracker.watch.state"] == "Watching", what="it watches")
        yield made
        assert made.troubles() == []
    finally:
        made.end()


def told(machine: WindowsMachine, **wanted: str) -> dict[str, Any]:
    """Return the row with these columns, once it has come."""
    found: list[dict[str, Any]] = []

    def came() -> bool:
        found[:] = [row for row in machine.changes() if wanted.items() <= row.items()]
        return bool(found)

    eventually(came, what=f"a row with {wanted}")
    (row,) = found
    return row


def test_values_of_a_key_that_is_made_changed_and_removed(machine: WindowsMachine) -> None:
    key = rf"{TRACKED}\{uuid.uuid4()}\deep"
    shown = {"RegistryKey": rf"{HIVE}\{key}", "ValueName": "v"}
    machine.set_value(key, "v", REG_DWORD, ONE)
    row = told(machine, ChangeCategory="Added", **shown)
    assert (row["DetectedBy"], row["ValueData"]) == ("Watch", "1")
    machine.set_value(key, "v", REG_DWORD, TWO)
    row = told(machine, ChangeCategory="Modified", **shown)
    assert (row["DetectedBy"], row["PreviousValueData"], row["ValueData"]) == ("Watch", "1", "2")
    machine.act("delete_key", key=key)
    assert told(machine, ChangeCategory="Removed", **shown)["DetectedBy"] == "Watch"


def test_files_that_are_made_changed_renamed_and_removed(machine: WindowsMachine) -> None:
    path, moved = rf"{TREE}\deep\Größe.txt", rf"{TREE}\deep\moved.txt"
    machine.write_file(path, b"1")
    assert told(machine, ChangeCategory="Added", FileSystemPath=path)["DetectedBy"] == "Watch"
    machine.write_file(path, b"22")
    row = told(machine, ChangeCategory="Modified", FileSystemPath=path)
    assert (row["DetectedBy"], row["PreviousSize"], row["Size"]) == ("Watch", 1, 2)
    machine.act("rename", path=path, to=moved)
    row = told(machine, FileSystemPath=moved)
    assert (row["DetectedBy"], row["PreviousFileSystemPath"]) == ("Watch", path)
    machine.act("remove_tree", path=rf"{TREE}\deep")
    assert told(machine, ChangeCategory="Removed", FileSystemPath=moved)["DetectedBy"] == "Watch"
    covered = [row for row in machine.health() if (row["Reason"], row.get("RuleName")) == ("Coverage", "tree")]
    assert {row["Detail"] for row in covered} == {"watched by notifications"}


def test_a_program_that_is_installed_and_uninstalled(machine: WindowsMachine) -> None:
    name = f"Program {uuid.uuid4()}"
    machine.set_value(rf"{UNINSTALL}\{name}", "DisplayName", REG_SZ, f"{name}\0".encode("utf-16-le"))
    assert told(machine, SoftwareName=name, ChangeCategory="Added")["DetectedBy"] == "Watch"
    machine.act("delete_key", key=rf"{UNINSTALL}\{name}")
    assert told(machine, SoftwareName=name, ChangeCategory="Removed")["DetectedBy"] == "Watch"


def test_a_store_package_that_a_user_installs_and_uninstalls(machine: WindowsMachine) -> None:
    account = machine.windows.python("-c", "from whatchanged import ipc; print(ipc.own_account())").stdout.strip()
    name = f"Contoso.{uuid.uuid4()}"
    key = rf"{account}_Classes\{REPOSITORY}\{name}_1.2.0.0_x64__abc"
    machine.set_value(key, "DisplayName", REG_SZ, "Notes\0".encode("utf-16-le"), hive="HKEY_USERS")
    row = told(machine, SoftwareName=name, ChangeCategory="Added")
    assert (row["DetectedBy"], row["Current"]) == ("Watch", "1.2.0.0")
    machine.act("delete_key", key=key, hive="HKEY_USERS")
    assert told(machine, SoftwareName=name, ChangeCategory="Removed")["DetectedBy"] == "Watch"


@pytest.fixture
def service(machine: WindowsMachine) -> Iterator[str]:
    """Name of a service of our own, which has been told of."""
    name = f"Whatchanged-{uuid.uuid4()}"
    path = f'"{machine.windows.path(machine.windows.interpreter)}" "{machine.windows.path(SERVICE)}" {name}'
    machine.act("create_service", name=name, display_name=name, path=path)
    assert told(machine, SvcName=name, ChangeCategory="Added")["DetectedBy"] == "Watch"
    yield name
    machine.act("forget_service", name=name)


def states(machine: WindowsMachine, name: str) -> list[str]:
    """Return the states that were told of a service, in their order, but for those on the way (`Stop Pending`)."""
    rows = [row for row in machine.changes() if row.get("SvcName") == name and row.get("SvcChangeType") == "State"]
    told = [row["SvcState"] for row in sorted(rows, key=lambda row: int(row["Sequence"]))]
    return [state for state in told if not state.endswith("Pending")]


def test_a_service_that_stops_and_starts_at_once(machine: WindowsMachine, service: str) -> None:
    machine.act("start_service", name=service)
    eventually(lambda: states(machine, service) == ["Running"], what="it is told as running")
    machine.act("stop_service", name=service)
    machine.act("start_service", name=service)
    expected = ["Running", "Stopped", "Running"]
    eventually(lambda: states(machine, service) == expected, what="both are told")


def test_what_is_set_up_otherwise(machine: WindowsMachine, service: str) -> None:
    machine.act("change_service", name=service, path=r"C:\other.exe", description="What it does")
    row = told(machine, SvcName=service, SvcChangeType="Path")
    assert (row["DetectedBy"], row["SvcPath"]) == ("Watch", r"C:\other.exe")
