"""Services of the running system, made and changed by the system's own calls."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import os
import uuid
import winreg
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import win32service

from whatchanged.collectors.management import instances
from whatchanged.collectors.services.service_manager import ServiceManager
from whatchanged.records.items import ServiceItem

if TYPE_CHECKING:
    from _win32typing import PySC_HANDLE

SERVICES = r"SYSTEM\CurrentControlSet\Services"


@pytest.fixture
def service() -> Iterator[tuple[str, PySC_HANDLE]]:
    """Name and handle of a service of our own that never ran."""
    name = f"Whatchanged-{uuid.uuid4()}"
    manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
    handle = win32service.CreateService(
        manager, name, "Tracks größe", win32service.SERVICE_ALL_ACCESS, win32service.SERVICE_WIN32_OWN_PROCESS,
        win32service.SERVICE_DEMAND_START, win32service.SERVICE_ERROR_NORMAL, r'"C:\Program Files\x\x.exe" -k net',
        None, False, None, r"NT AUTHORITY\LocalService", None,
    )  # fmt: skip
    yield name, handle
    win32service.DeleteService(handle)
    win32service.CloseServiceHandle(handle)


def looked(name: str) -> ServiceItem | None:
    found = ServiceManager().run()
    assert not found.outcome.failures, found.outcome.failures
    return next((item for item in found.items if item.name == name), None)


def test_a_service_as_it_is_set_up(service: tuple[str, PySC_HANDLE]) -> None:
    name, handle = service
    win32service.ChangeServiceConfig2(handle, win32service.SERVICE_CONFIG_DESCRIPTION, "What it does")
    with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, rf"{SERVICES}\{name}\Parameters") as parameters:
        winreg.SetValueEx(parameters, "ServiceDll", 0, winreg.REG_EXPAND_SZ, r"%SystemRoot%\x.dll")
    assert looked(name) == ServiceItem(
        name=name,
        display_name="Tracks größe",
        description="What it does",
        state="Stopped",
        start_type="Manual",
        account=r"NT AUTHORITY\LocalService",
        path=r'"C:\Program Files\x\x.exe" -k net',
        service_dll=os.path.expandvars(r"%SystemRoot%\x.dll"),
    )


def test_a_service_that_is_changed(service: tuple[str, PySC_HANDLE]) -> None:
    name, handle = service
    win32service.ChangeServiceConfig(
        handle, win32service.SERVICE_NO_CHANGE, win32service.SERVICE_AUTO_START, win32service.SERVICE_NO_CHANGE,
        r"C:\y.exe", None, False, None, "LocalSystem", None, "Other name",
    )  # fmt: skip
    item = looked(name)
    assert item is not None
    assert (item.start_type, item.path, item.account, item.display_name) == (
        "Auto", r"C:\y.exe", "LocalSystem", "Other name"
    )  # fmt: skip


def test_what_runs_has_a_process(service: tuple[str, PySC_HANDLE]) -> None:
    running = [item for item in ServiceManager().run().items if item.state == "Running"]
    assert running
    assert all(item.process_id for item in running)
    mine = looked(service[0])
    assert mine is not None
    assert mine.process_id is None


def test_the_management_interface_says_the_same() -> None:
    told = {
        row["Name"]: (row["State"], row["StartMode"], row["DisplayName"])
        for row in instances("Win32_Service", ("Name", "State", "StartMode", "DisplayName"), 10_000)
    }
    ours = {item.name: (item.state, item.start_type, item.display_name) for item in ServiceManager().run().items}
    assert ours
    # Per-user copies of services are told of by their template alone; Wine counts drivers as services.
    assert {name: told.get(name) for name in ours} == ours
