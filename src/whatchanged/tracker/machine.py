"""What tells this machine from others."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import winreg

__all__ = ["machine_token"]

_CRYPTOGRAPHY = r"SOFTWARE\Microsoft\Cryptography"


def machine_token(root: str) -> str:
    """Return what a cloned image is supposed to make anew; empty if unset.

    That is `/etc/machine-id` (machine-id(5)), on Windows MachineGuid of the registry, of the machine that runs.
    """
    if sys.platform == "win32":
        return _machine_guid()
    return _first_line(os.path.join(root, "etc/machine-id"))


if sys.platform == "win32":

    def _machine_guid() -> str:
        try:
            access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
            with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, _CRYPTOGRAPHY, 0, access) as key:
                value, kind = winreg.QueryValueEx(key, "MachineGuid")
        except OSError:
            return ""
        return str(value).strip().lower() if kind == winreg.REG_SZ else ""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.readline(128).strip()
    except OSError:
        return ""
