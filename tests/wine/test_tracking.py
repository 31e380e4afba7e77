"""Tracker and forwarder as two processes of a Windows, uploading over TLS to the server: changes become rows."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wine.conftest import Windows
from wine.windows_machine import SERVICE, WindowsMachine, windows_rule

pytestmark = [pytest.mark.wine, pytest.mark.timeout(600)]

HIVE = "HKEY_LOCAL_MACHINE"
TRACKED = r"Software\Whatchanged-tests"  # as Wine spells the first key
UNINSTALL = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
REG_SZ, REG_DWORD = 1, 4


def text(string: str) -> bytes:
    return f"{string}\0".encode("utf-16-le")


VALUES: list[tuple[str, int, str, bytes, str, bytes, str]] = [
    # name, type, its name, data and how it reads, data afterwards and how that reads
    ("", 1, "REG_SZ", text("default"), "default", text(""), ""),
    ("text", 1, "REG_SZ", text("größe \U0001f600"), "größe \U0001f600", text("other"), "other"),
    ("expand", 2, "REG_EXPAND_SZ", text(r"%SystemRoot%\x"), r"%SystemRoot%\x", text("%x%"), "%x%"),
    ("bytes", 3, "REG_BINARY", b"\0\xff", "00FF", b"\0", "00"),
    ("number", 4, "REG_DWORD", b"\xff\xff\xff\xff", "4294967295", b"\1\0\0\0", "1"),
    ("big end", 5, "REG_DWORD_BIG_ENDIAN", b"\0\0\1\0", "256", b"\0\0\0\1", "1"),
    ("list", 7, "REG_MULTI_SZ", text("a\0b\0"), r"a\0b", text("a\0"), "a"),
    ("long", 11, "REG_QWORD", b"\0\0\0\0\0\0\0\x80", str(2**63), b"\2" + b"\0" * 7, "2"),
    ("none", 0, "REG_NONE", b"", "", b"\1", "01"),
    ("other type", 0xFFFF0012, "REG_0xFFFF0012", b"\1", "01", b"\2", "02"),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, windows: Windows) -> Iterator[WindowsMachine]:
    """A tracked Windows, whose tests each have keys and services of their own and look when they want to."""
    made = WindowsMachine(tmp_path_factory.mktemp("windows"), windows)
    try:
        made.begin(windows_rule({"name": "ours", "keyName": rf"{HIVE}\{TRACKED}", "recurse": True}), watch=False)
        yield made
        assert made.troubles() == []
    finally:
        made.end()


@pytest.fixture
def key(machine: WindowsMachine) -> Iterator[str]:
    """A key of our own that is tracked."""
    made = rf"{TRACKED}\{uuid.uuid4()}"
    machine.set_value(made, "there before", REG_SZ, text("x"))
    machine.news()
    yield made
    machine.act("delete_key", key=made)


def of_registry(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("RegistryKey", "ValueName", "PreviousValueType", "PreviousValueData", "ValueType", "ValueData")
    return (row["ChangeCategory"], *(row.get(name) or "" for name in names))


def test_values_of_every_type_are_added_changed_and_removed(machine: WindowsMachine, key: str) -> None:
    shown = rf"{HIVE}\{key}"
    for name, kind, _, data, *_ in VALUES:
        machine.set_value(key, name, kind, data)
    rows = machine.news()
    added = [("Added", shown, name, "", "", type_, said) for name, _, type_, _, said, _, _ in VALUES]
    assert sorted(map(of_registry, rows)) == sorted(added)
    for row in rows:
        assert (row["ConfigChangeType"], row["Hive"], row["RuleName"]) == ("Registry", HIVE, "ours")
        assert (row["Stream"], row["DetectedBy"]) == ("CONFIG_CHANGE_BLOB", "Poll")
        assert row["SourceSystem"] == "OpsManager"
    for name, kind, _, _, _, data, _ in VALUES:
        machine.set_value(key, name, kind, data)
    changed = [("Modified", shown, name, type_, said, type_, then) for name, _, type_, _, said, _, then in VALUES]
    rows = machine.news()
    assert sorted(map(of_registry, rows)) == sorted(changed)
    assert {row["FieldsChanged"] for row in rows} == {"ValueData"}
    for name, *_ in VALUES:
        machine.act("delete_value", key=key, name=name)
    removed = [("Removed", shown, name, type_, then, "", "") for name, _, type_, *_, then in VALUES]
    assert sorted(map(of_registry, machine.news())) == sorted(removed)


def test_a_value_of_another_type_with_the_same_bytes(machine: WindowsMachine, key: str) -> None:
    machine.set_value(key, "there before", REG_DWORD, text("x"))
    (row,) = machine.news()
    assert (row["FieldsChanged"], row["PreviousValueType"], row["ValueType"]) == ("ValueType", "REG_SZ", "REG_DWORD")


def test_a_key_that_is_removed_with_all_below_it(machine: WindowsMachine, key: str) -> None:
    places = [rf"{key}\sub", rf"{key}\sub\deeper", rf"{key}\sub\Größe"]
    for place in places:
        machine.set_value(place, "v", REG_DWORD, b"\1\0\0\0")
    assert len(machine.news()) == 3
    machine.act("delete_key", key=rf"{key}\sub")
    removed = [("Removed", rf"{HIVE}\{place}", "v", "REG_DWORD", "1", "", "") for place in places]
    rows = machine.news()
    assert sorted(map(of_registry, rows)) == sorted(removed)
    assert len({row["TransactionId"] for row in rows}) == 1


def test_a_program_that_is_installed_upgraded_and_uninstalled(machine: WindowsMachine) -> None:
    name = f"Program {uuid.uuid4()}"
    entry = rf"{UNINSTALL}\{name}"
    machine.news()
    # Without a name it is no program yet: a look may come at any time.
    for value, said in (("DisplayVersion", "1.0"), ("Publisher", "Größe"), ("DisplayName", name)):
        machine.set_value(entry, value, REG_SZ, text(said))
    (row,) = machine.news()
    assert (row["ConfigChangeType"], row["ChangeCategory"], row["SoftwareName"]) == ("Software", "Added", name)
    assert (row["Current"], row["Publisher"], row["SoftwareType"]) == ("1.0", "Größe", "Application")
    assert row["Stream"] == "CONFIG_CHANGE_BLOB_V2"
    machine.set_value(entry, "DisplayVersion", REG_SZ, text("2.0"))
    (row,) = machine.news()
    assert (row["ChangeCategory"], row["Previous"], row["Current"]) == ("Modified", "1.0", "2.0")
    (item,) = [one for one in machine.inventory("software") if one["SoftwareName"] == name]
    assert item["CurrentVersion"] == "2.0"
    assert name in {one["SoftwareName"] for one in machine.export("Applications.json")}
    machine.act("delete_key", key=entry)
    (row,) = machine.news()
    assert (row["ChangeCategory"], row["Previous"]) == ("Removed", "2.0")
    assert name not in {one["SoftwareName"] for one in machine.inventory("software")}


def test_an_update_stands_in_a_file_of_its_own(machine: WindowsMachine) -> None:
    name = f"Security Update {uuid.uuid4()} (KB7654321)"  # Wine's one hot fix is KB1234567
    entry = rf"{UNINSTALL}\{name}"
    machine.news()
    for value, said in (("ReleaseType", "Security Update"), ("DisplayName", name)):
        machine.set_value(entry, value, REG_SZ, text(said))
    rows = machine.news()
    assert [(r["ChangeCategory"], r["SoftwareName"], r["SoftwareType"]) for r in rows] == [("Added", name, "Update")]
    assert name in {one["SoftwareName"] for one in machine.export("Patches.json")}
    assert name not in {one["SoftwareName"] for one in machine.export("Applications.json")}
    machine.act("delete_key", key=entry)
    machine.news()


@pytest.fixture
def service(machine: WindowsMachine) -> Iterator[str]:
    """Name of a service of our own."""
    name = f"Whatchanged-{uuid.uuid4()}"
    yield name
    machine.act("forget_service", name=name)


def test_a_service_that_is_created_started_stopped_changed_and_deleted(machine: WindowsMachine, service: str) -> None:
    name, shown = service, f"Größe {service}"
    path = f'"{machine.windows.path(machine.windows.interpreter)}" "{machine.windows.path(SERVICE)}" {name}'
    machine.news()
    machine.act("create_service", name=name, display_name=shown, path=path)
    (row,) = machine.news()
    assert (row["ConfigChangeType"], row["ChangeCategory"]) == ("WindowsServices", "Added")
    assert (row["SvcName"], row["SvcDisplayName"], row["SvcPath"]) == (name, shown, path)
    assert (row["SvcState"], row["SvcStartupType"], row["SvcAccount"]) == ("Stopped", "Manual", "LocalSystem")
    assert not row.get("SvcChangeType")
    machine.act("start_service", name=name)
    (row,) = machine.news()
    assert (row["SvcChangeType"], row["SvcPreviousState"], row["SvcState"]) == ("State", "Stopped", "Running")
    (item,) = [one for one in machine.inventory("services") if one["SvcName"] == name]
    assert item["SvcState"] == "Running"
    machine.act("stop_service", name=name)
    (row,) = machine.news()
    assert (row["SvcChangeType"], row["SvcPreviousState"], row["SvcState"]) == ("State", "Running", "Stopped")
    machine.act("change_service", name=name, path=r"C:\other.exe", description="What it does")
    rows = {row["SvcChangeType"]: (row.get("Previous") or "", row["Current"]) for row in machine.news()}
    assert rows == {
        "StartupType": ("Manual", "Auto"),
        "Path": (path, r"C:\other.exe"),
        "ServiceAccount": ("LocalSystem", r"NT AUTHORITY\LocalService"),
        "Description": ("", "What it does"),
    }
    (item,) = [one for one in machine.export("Services.json") if one["SvcName"] == name]
    assert item["SvcPath"] == r"C:\other.exe"
    machine.act("delete_service", name=name)
    (row,) = machine.news()
    assert (row["ChangeCategory"], row["SvcPreviousPath"]) == ("Removed", r"C:\other.exe")
    assert name not in {one["SvcName"] for one in machine.inventory("services")}


def test_the_registry_is_in_no_inventory_and_in_no_export(machine: WindowsMachine, key: str) -> None:
    assert machine.inventory("registry") == []
    folder: Path = machine.agents / "tracker" / "export"
    names = ["Applications.json", "File.json", "Patches.json", "Services.json"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert machine.status()["Tracker.items.Registry"] >= 1
