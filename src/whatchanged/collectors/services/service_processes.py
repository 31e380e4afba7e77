"""Which start of a service it is that runs: by its process, and by the service control manager that made that.

The manager lives as long as the machine is up, so that after a restart of the machine every start is of another one.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
from ctypes import wintypes

__all__ = ["ServiceProcesses"]

_QUERY_LIMITED = 0x1000
"""PROCESS_QUERY_LIMITED_INFORMATION: is given for protected processes too."""
_BASIC_INFORMATION = 0


class _Basic(ctypes.Structure):
    """PROCESS_BASIC_INFORMATION."""

    _fields_ = (
        ("exit_status", ctypes.c_void_p),
        ("environment", ctypes.c_void_p),
        ("affinity", ctypes.c_void_p),
        ("priority", ctypes.c_void_p),
        ("process_id", ctypes.c_void_p),
        ("parent_id", ctypes.c_void_p),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_open = _kernel32.OpenProcess
_open.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_open.restype = wintypes.HANDLE
_close = _kernel32.CloseHandle
_close.argtypes = (wintypes.HANDLE,)
_close.restype = wintypes.BOOL
_times = _kernel32.GetProcessTimes
_times.argtypes = (wintypes.HANDLE, *[ctypes.POINTER(ctypes.c_ulonglong)] * 4)
_times.restype = wintypes.BOOL
_query = ctypes.WinDLL("ntdll").NtQueryInformationProcess
_query.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.ULONG, ctypes.POINTER(wintypes.ULONG))
_query.restype = wintypes.LONG


class ServiceProcesses:
    """Names the processes of one look."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, int]] = {}

    def start(self, process_id: int) -> str:
        """Return `manager/process`, each with the time of its creation; empty if one of them is not there any more."""
        process, parent_id = self._named(process_id)
        manager = self._named(parent_id)[0] if parent_id else ""
        return f"{manager}/{process}" if process and manager else ""

    def _named(self, process_id: int) -> tuple[str, int]:
        """Return what tells a process apart from all others, and its parent's id."""
        if process_id not in self._known:
            self._known[process_id] = _read(process_id)
        return self._known[process_id]


def _read(process_id: int) -> tuple[str, int]:
    handle = _open(_QUERY_LIMITED, False, process_id)
    if not handle:
        return "", 0
    try:
        created, *others = (ctypes.c_ulonglong() for _ in range(4))
        basic = _Basic()
        if not _times(handle, ctypes.byref(created), *map(ctypes.byref, others)):
            return "", 0
        if _query(handle, _BASIC_INFORMATION, ctypes.byref(basic), ctypes.sizeof(basic), None) < 0:
            return "", 0
        return f"{process_id}.{created.value}", basic.parent_id or 0
    finally:
        _close(handle)
