"""Changes this Windows, as it is told to: one JSON object a line in, `done` or what failed back.

Such as `{"do": "delete_value", "key": …, "name": …}`: one function below each.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import base64
import ctypes
import json
import os
import time
import winreg
from ctypes import wintypes
from typing import TYPE_CHECKING

import pywintypes
import win32file
import win32service
import winerror

if TYPE_CHECKING:
    from _win32typing import PySC_HANDLE

_MACHINE = "HKEY_LOCAL_MACHINE"
_VIEW = winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY
_STATES = {"Running": win32service.SERVICE_RUNNING, "Stopped": win32service.SERVICE_STOPPED}

_set_value = ctypes.WinDLL("advapi32").RegSetValueExW  # winreg makes bytes of objects; these are the bytes
_set_value.argtypes = (
    wintypes.HKEY, wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, ctypes.c_char_p, wintypes.DWORD
)  # fmt: skip


def opened(path: str, hive: str) -> winreg.HKEYType:
    return winreg.CreateKeyEx(getattr(winreg, hive), path, 0, _VIEW)


def set_value(key: str, name: str, kind: int, data: str, hive: str = _MACHINE) -> None:
    raw = base64.b64decode(data)
    with opened(key, hive) as handle:
        assert _set_value(int(handle), name, 0, kind, raw, len(raw)) == 0


def delete_value(key: str, name: str) -> None:
    with opened(key, _MACHINE) as handle:
        winreg.DeleteValue(handle, name)


def delete_key(key: str, hive: str = _MACHINE) -> None:
    with opened(key, hive) as handle:
        for _ in range(winreg.QueryInfoKey(handle)[0]):
            delete_key(rf"{key}\{winreg.EnumKey(handle, 0)}", hive)
    winreg.DeleteKeyEx(getattr(winreg, hive), key, winreg.KEY_WOW64_64KEY, 0)


def _service(name: str) -> PySC_HANDLE:
    manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
    return win32service.OpenService(manager, name, win32service.SERVICE_ALL_ACCESS)


def create_service(name: str, display_name: str, path: str) -> None:
    manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
    win32service.CreateService(
        manager, name, display_name, win32service.SERVICE_ALL_ACCESS, win32service.SERVICE_WIN32_OWN_PROCESS,
        win32service.SERVICE_DEMAND_START, win32service.SERVICE_ERROR_NORMAL, path, None, False, None, None, None,
    )  # fmt: skip


def start_service(name: str) -> None:
    win32service.StartService(_service(name), None)
    _reached(name, "Running")


def stop_service(name: str) -> None:
    win32service.ControlService(_service(name), win32service.SERVICE_CONTROL_STOP)
    _reached(name, "Stopped")


def _reached(name: str, state: str) -> None:
    service, end = _service(name), time.monotonic() + 30
    while win32service.QueryServiceStatus(service)[1] != _STATES[state]:
        assert time.monotonic() < end, f"{name} is not {state}"
        time.sleep(0.05)


def change_service(name: str, path: str, description: str) -> None:
    service = _service(name)
    win32service.ChangeServiceConfig(
        service, win32service.SERVICE_NO_CHANGE, win32service.SERVICE_AUTO_START, win32service.SERVICE_NO_CHANGE,
        path, None, False, None, r"NT AUTHORITY\LocalService", None, None,
    )  # fmt: skip
    win32service.ChangeServiceConfig2(service, win32service.SERVICE_CONFIG_DESCRIPTION, description)


def delete_service(name: str) -> None:
    win32service.DeleteService(_service(name))


def forget_service(name: str) -> None:
    """Delete it, if it is still there."""
    try:
        delete_service(name)
    except pywintypes.error as error:
        if error.winerror != winerror.ERROR_SERVICE_DOES_NOT_EXIST:
            raise


def _extended(path: str) -> str:
    """Return a full path so that Windows reads nothing into its names."""
    return "\\\\?\\" + path


def write_file(path: str, data: str) -> None:
    raw = base64.b64decode(data)
    os.makedirs(os.path.dirname(_extended(path)), exist_ok=True)
    with open(_extended(path), "wb") as file:
        file.write(raw)


def set_attributes(path: str, attributes: int) -> None:
    win32file.SetFileAttributesW(_extended(path), attributes)


def rename(path: str, to: str) -> None:
    os.rename(_extended(path), _extended(to))


def remove_file(path: str) -> None:
    os.unlink(_extended(path))


def remove_tree(path: str) -> None:
    for folder, folders, files in os.walk(_extended(path), topdown=False):
        for name in files:
            os.unlink(rf"{folder}\{name}")
        for name in folders:
            os.rmdir(rf"{folder}\{name}")
    os.rmdir(_extended(path))


_ACTIONS = {
    action.__name__: action
    for action in (
        set_value, delete_value, delete_key, create_service, start_service, stop_service, change_service,
        delete_service, forget_service, write_file, set_attributes, rename, remove_file, remove_tree,
    )
}  # fmt: skip

for line in sys.stdin:
    asked = json.loads(line)
    try:
        _ACTIONS[asked.pop("do")](**asked)
    except (OSError, AssertionError, pywintypes.error) as error:
        print(f"failed: {error!r}", flush=True)  # noqa: T201
    else:
        print("done", flush=True)  # noqa: T201
