"""`install` and `uninstall` on Windows, from outside: the real program, the real service control manager."""

import sys

assert sys.platform == "win32"  # mypy's platform branch

import json
import os
import shutil
import subprocess
import winreg
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import win32security
import win32service

from whatchanged.cli.windows_services import event_log
from whatchanged.cli.windows_services.definition import AGENT_SERVICES, FORWARDER, TRACKER
from whatchanged.cli.windows_services.manager import Manager
from whatchanged.errors import OperationError
from whatchanged.settings import DataFolder

DATA = Path(DataFolder.default().path)
SERVICES = r"SYSTEM\CurrentControlSet\Services"


def whatchanged(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program that is installed, and none of what the tests have loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "whatchanged", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def rows(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Return the rows that a command answers."""
    found: list[dict[str, Any]] = json.loads(whatchanged(*arguments, "--json", code=code).stdout)
    return found


def registered() -> list[str]:
    """Return the names of our services."""
    with Manager() as manager:
        return [service.name for service in AGENT_SERVICES if manager.configuration(service.name)]


def status(name: str = FORWARDER.name) -> dict[str, Any]:
    with Manager() as manager:
        found = manager.status(name)
    assert found is not None
    return found


def key(name: str) -> dict[str, Any]:
    """Return the values of a key below `Services`."""
    with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"{SERVICES}\{name}") as opened:
        values = [winreg.EnumValue(opened, number) for number in range(winreg.QueryInfoKey(opened)[1])]
    return {name: value for name, value, _ in values}


def list_of(folder: Path) -> str:
    kinds = win32security.OWNER_SECURITY_INFORMATION | win32security.DACL_SECURITY_INFORMATION
    descriptor = win32security.GetNamedSecurityInfo(str(folder), win32security.SE_FILE_OBJECT, kinds)
    return win32security.ConvertSecurityDescriptorToStringSecurityDescriptor(descriptor, 1, kinds)


def findings(code: int = 1) -> dict[str, dict[str, Any]]:
    """Return what `doctor` finds, by subject; it fails while nothing is enrolled."""
    return {row["Check"]: row for row in rows("doctor", code=code)}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """Begin on a machine without us, and leave it so."""
    assert not registered(), "this machine has an installation of its own"
    assert not DATA.exists(), f"{DATA} belongs to somebody"
    yield
    whatchanged("uninstall", "--purge")
    if DATA.exists():
        shutil.rmtree(DATA)


@pytest.fixture
def _installed() -> None:
    whatchanged("install")


@pytest.mark.usefixtures("_installed")
def test_the_services_are_registered() -> None:
    forwarder, tracker = key(FORWARDER.name), key(TRACKER.name)
    assert (forwarder["ObjectName"], tracker["ObjectName"]) == (r"NT SERVICE\whatchanged-forwarder", "LocalSystem")
    assert (forwarder["Start"], tracker["Start"]) == (2, 2)
    for found, process in ((forwarder, "forwarder"), (tracker, "tracker")):
        assert found["ImagePath"].startswith(f'"{sys.executable}" -I -m whatchanged service {process} ')
        assert found["ImagePath"].endswith(f"--data {DATA}")
        assert "token" not in found["ImagePath"]
        assert found["Description"]
    assert " " in sys.executable, "else the quotes say nothing"


@pytest.mark.usefixtures("_installed")
def test_events_have_a_source_with_the_texts_of_windows() -> None:
    source = key(rf"EventLog\Application\{event_log.SOURCE}")
    assert source["EventMessageFile"] == r"%SystemRoot%\System32\EventCreate.exe"
    assert source["TypesSupported"] & 5 == 5  # errors and information
    event_log.write(event_log.Event.STARTED, "a test: 100 %1 \x1b[31m")


@pytest.mark.usefixtures("_installed")
def test_nobody_else_comes_into_the_data_folder() -> None:
    for folder in (DATA, DATA / "tracker", DATA / "forwarder", DATA / "pipe"):
        text = list_of(folder)
        assert ";WD)" not in text, f"{folder} is open to everyone: {text}"
        assert ";BU)" not in text, f"{folder} is open to users: {text}"
        assert ";SY)" in text


@pytest.mark.usefixtures("_installed")
def test_the_forwarder_runs_as_a_service_and_stops_when_asked() -> None:
    with Manager() as manager:
        manager.start(FORWARDER.name)
        running = status()
        assert running["CurrentState"] == win32service.SERVICE_RUNNING
        accepted = ("STOP", "SHUTDOWN", "PRESHUTDOWN")
        assert running["ControlsAccepted"] == sum(getattr(win32service, f"SERVICE_ACCEPT_{name}") for name in accepted)
        found = findings()
        assert (found["whatchanged-forwarder"]["Status"], found["data folder"]["Status"]) == ("Ok", "Ok")
        assert found["program"]["Status"] == "Ok"
        assert manager.stop(FORWARDER.name)
        assert not manager.stop(FORWARDER.name)
    assert status()["CurrentState"] == win32service.SERVICE_STOPPED
    assert json.loads((DATA / "forwarder" / "status.json").read_bytes())["pid"] == running["ProcessId"]
    log = (DATA / "forwarder" / "log" / "forwarder.log").read_text("utf-8")
    assert "the forwarder started" in log
    assert "ERROR" not in log


@pytest.mark.usefixtures("_installed")
def test_a_service_that_cannot_start_fails_at_once() -> None:
    (DATA / "config.toml").write_text("no_such_setting = 1\n")
    with Manager() as manager, pytest.raises(OperationError, match="whatchanged-forwarder ended at once"):
        manager.start(FORWARDER.name)
    (DATA / "config.toml").unlink()
    assert findings()["whatchanged-forwarder"]["Detail"] == "stopped"


@pytest.mark.usefixtures("_installed")
def test_installing_again_mends_and_goes_on() -> None:
    with Manager() as manager:
        manager.start(FORWARDER.name)
    before = status()["ProcessId"]
    with winreg.OpenKeyEx(
        winreg.HKEY_LOCAL_MACHINE, rf"{SERVICES}\EventLog\Application\whatchanged", 0, winreg.KEY_SET_VALUE
    ) as opened:
        winreg.SetValueEx(opened, "EventMessageFile", 0, winreg.REG_SZ, "x.dll")
    left = DATA / "forwarder" / "left"
    left.write_text("state")
    assert findings()["event log"]["Status"] == "Warning"
    assert {row["Result"] for row in rows("install")} == {"set anew"}
    assert "event log" not in findings()
    running = status()
    assert running["CurrentState"] == win32service.SERVICE_RUNNING, "what ran goes on"
    assert running["ProcessId"] != before
    assert status(TRACKER.name)["CurrentState"] == win32service.SERVICE_STOPPED
    assert left.read_text() == "state"
    assert ";WD)" not in list_of(left)


@pytest.mark.usefixtures("_installed")
def test_a_path_without_quotes_is_found_and_mended() -> None:
    with winreg.OpenKeyEx(
        winreg.HKEY_LOCAL_MACHINE, rf"{SERVICES}\{FORWARDER.name}", 0, winreg.KEY_ALL_ACCESS
    ) as opened:
        good = winreg.QueryValueEx(opened, "ImagePath")[0]
    manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_CONNECT)
    handle = win32service.OpenService(manager, FORWARDER.name, win32service.SERVICE_ALL_ACCESS)
    keep = win32service.SERVICE_NO_CHANGE
    win32service.ChangeServiceConfig(
        handle, keep, keep, keep, good.replace('"', ""), None, False, None, None, None, None
    )
    win32service.CloseServiceHandle(handle)
    win32service.CloseServiceHandle(manager)
    assert "no quotes" in next(row["Detail"] for row in rows("doctor", code=1) if "quotes" in row["Detail"])
    whatchanged("install")
    assert key(FORWARDER.name)["ImagePath"] == good


@pytest.mark.usefixtures("_installed")
def test_services_are_not_moved_away_from_their_data_and_go_on() -> None:
    with Manager() as manager:
        manager.start(FORWARDER.name)
    before = status()
    refused = whatchanged("install", "--data", r"C:\elsewhere", code=2)
    assert f"works on {DATA}, not on " in refused.stderr
    assert status() == before


def test_uninstalling_leaves_nothing_but_the_data_and_purging_not_even_that() -> None:
    whatchanged("install")
    with Manager() as manager:
        manager.start(FORWARDER.name)
    assert {row["Result"] for row in rows("uninstall")} == {"removed"}
    assert registered() == []
    with pytest.raises(FileNotFoundError):
        key(FORWARDER.name)
    with pytest.raises(FileNotFoundError):
        key(rf"EventLog\Application\{event_log.SOURCE}")
    assert (DATA / "forwarder" / "status.json").exists()
    whatchanged("uninstall", "--purge")
    assert list(DATA.iterdir()) == []
    assert "Nothing is installed." in whatchanged("uninstall").stderr


def test_a_data_folder_with_a_trap_in_it_is_refused() -> None:
    (DATA / "forwarder").mkdir(parents=True)
    precious = DATA.with_name("whatchanged-precious")
    precious.write_text("x")
    os.link(precious, DATA / "forwarder" / "identity.json")
    before = list_of(precious)
    refused = whatchanged("install", code=2)
    assert r"identity.json has another name elsewhere: it was not made by an installation" in refused.stderr
    assert registered() == []
    assert list_of(precious) == before
    precious.unlink()


def test_there_is_no_server_for_windows() -> None:
    assert "there is no server on Windows" in whatchanged("install", "--with-server", code=2).stderr


def test_only_the_service_control_manager_starts_a_service() -> None:
    refused = whatchanged("service", "forwarder", "--data", str(DATA), code=2)
    assert "only the service control manager starts this" in refused.stderr
    assert not DATA.exists()
