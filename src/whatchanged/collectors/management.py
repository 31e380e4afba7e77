"""Interfaces of Windows by its Component Object Model, and what Windows Management Instrumentation says by it.

They answer from other processes, which may be slow or hang: ask by a `deadline.Question`.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import pythoncom
import pywintypes
import win32com.client.dynamic

__all__ = ["ComError", "by_com", "created", "instances"]

_NAMESPACE = r"root\cimv2"
_FORWARD_ONLY = 0x20 | 0x10
"""wbemFlagForwardOnly, wbemFlagReturnImmediately: rows come one by one, and none is kept."""
_NO_SUCH_PROPERTY = (0x80041002, 0x80041008)
"""WBEM_E_NOT_FOUND; WBEM_E_INVALID_PARAMETER is Wine's."""

Answer = TypeVar("Answer")


class ComError(Exception):
    """What an interface of Windows answered instead; its number and no text, which would be in some language."""


def by_com(ask: Callable[[], Answer]) -> Answer:
    """Return what `ask` returns, which may use the Component Object Model here. Raises ComError for its errors."""
    pythoncom.CoInitialize()  # as pywin32 does for the thread that loads it: a thread cannot be both
    try:
        return ask()
    except pywintypes.com_error as error:
        traceback.clear_frames(error.__traceback__)  # objects must not outlive the model that they belong to
        raise ComError(f"error {_number(error):#010x}") from None
    except AttributeError as error:  # it is called by names, and has none such
        traceback.clear_frames(error.__traceback__)
        raise ComError(f"there is no {error}") from None
    finally:
        pythoncom.CoUninitialize()


def created(name: str) -> Any:
    """Return a new object of a class; within `by_com`. It is called by the names that it tells itself."""
    return win32com.client.dynamic.Dispatch(name)


def instances(name: str, properties: tuple[str, ...], most: int) -> list[dict[str, str]]:
    """Return properties of all instances of a class, as text ("" for none). Raises ComError, also beyond `most`."""
    return by_com(lambda: _instances(name, properties, most))


def _instances(name: str, properties: tuple[str, ...], most: int) -> list[dict[str, str]]:
    service = created("WbemScripting.SWbemLocator").ConnectServer(".", _NAMESPACE)
    rows = service.ExecQuery(f"SELECT {', '.join(properties)} FROM {name}", "WQL", _FORWARD_ONLY)  # noqa: S608  # of constants
    found: list[dict[str, str]] = []
    for row in rows:
        if len(found) == most:
            raise ComError(f"{name} has more than {most} instances")
        found.append({wanted: _property(row, wanted) for wanted in properties})
    return found


def _property(row: Any, name: str) -> str:
    try:
        value = row.Properties_.Item(name).Value
    except pywintypes.com_error as error:
        if _number(error) in _NO_SUCH_PROPERTY:
            return ""
        raise
    return "" if value is None else str(value)


def _number(error: pywintypes.com_error) -> int:
    """Return the number of an error; of one inside a method the method's own."""
    number, _, details, _ = error.args
    return int((details[5] if details else 0) or number) & 0xFFFFFFFF
