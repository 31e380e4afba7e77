"""Variables in the paths of Windows file rules: `%NAME%`, filled in on the machine from what the machine sets.

That is the `[variables]` of the policy and, for whole paths at the beginning of a rule's path, the environment that
the registry keeps for the machine, with the places Windows itself adds to it (`%ProgramFiles%`, `%ProgramData%`, …):
never the environment of a process, which depends on who started it. Names are compared without regard to case.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from whatchanged.errors import RuleError
from whatchanged.records.windows_paths import carried

__all__ = ["expanded", "fill", "stand_in"]

_REFERENCE = re.compile(r'%([^%\\/:*?"<>|\[\]]+)%')
_MAX_DEPTH = 8
_MAX_VALUE = 4096
_OF_USERS = frozenset(
    {"APPDATA", "LOCALAPPDATA", "USERPROFILE", "USERNAME", "USERDOMAIN", "HOMEDRIVE", "HOMEPATH", "HOMESHARE"}
    | {"LOGONSERVER", "ONEDRIVE", "SESSIONNAME"}
)


def fill(path: str, machine: Mapping[str, str], declared: Mapping[str, str]) -> str:
    """Return `path` with every variable filled in; the names of both mappings are in upper case. Raises RuleError.

    Values are literal: a `[` in one is no wildcard.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1].upper()
        text = declared.get(name)
        if text is None:
            text = _of_machine(found[1], machine, first=found.start() == 0)
        return text.replace("[", "[[]")

    return _REFERENCE.sub(value, path)


def stand_in(path: str) -> str:
    """Return `path` with a place where a variable begins it, to be checked where no variable is known."""
    return _REFERENCE.sub(lambda found: "C:" if found.start() == 0 else "x", path)


def expanded(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by their names in upper case, with those that values name filled in."""
    upper = {name.upper(): value for name, value in values.items()}
    found = {}
    for name, text in upper.items():
        value = text
        for _ in range(_MAX_DEPTH):
            if len(value) > _MAX_VALUE or not _REFERENCE.search(value):
                break
            value = _REFERENCE.sub(lambda inner: upper.get(inner[1].upper(), inner[0]), value)
        if len(value) <= _MAX_VALUE:
            found[name] = value
    return found


def _of_machine(name: str, machine: Mapping[str, str], *, first: bool) -> str:
    value = machine.get(name.upper())
    if value is None:
        advice = "set it in the machine's environment, or under [variables] in the policy"
        if name.upper() in _OF_USERS:
            advice = r"it is another one for every user: write C:\Users\*\…"
        raise RuleError(f"names the variable {name}, which this machine does not set ({advice})")
    try:
        carried(value.encode("utf-8", "surrogatepass") + b"\\")
    except ValueError:
        value = ""
    if not value or not first or not value.isprintable() or _REFERENCE.search(value):
        raise RuleError(f"names the variable {name}, which holds no path that could stand there")
    return value.rstrip("\\/")


if sys.platform == "win32":
    import winreg

    __all__ += ["machine_environment"]

    _ENVIRONMENT = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    _PLACES = {
        r"SOFTWARE\Microsoft\Windows NT\CurrentVersion": {"SystemRoot": "SystemRoot"},
        r"SOFTWARE\Microsoft\Windows\CurrentVersion": {
            "ProgramFilesDir": "ProgramFiles",
            "ProgramFilesDir (x86)": "ProgramFiles(x86)",
            "ProgramW6432Dir": "ProgramW6432",
            "CommonFilesDir": "CommonProgramFiles",
            "CommonFilesDir (x86)": "CommonProgramFiles(x86)",
            "CommonW6432Dir": "CommonProgramW6432",
        },
        r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList": {
            "ProgramData": "ProgramData",
            "Public": "Public",
        },
    }
    """Key → value name → variable: where Windows takes from what it adds to every environment."""

    def machine_environment() -> dict[str, str]:
        """Return what the machine sets, by names in upper case. Raises OSError."""
        found: dict[str, str] = {}
        for key, places in _PLACES.items():
            texts = dict(_texts(key))
            found.update({variable: texts[name] for name, variable in places.items() if name in texts})
        root = found.get("SystemRoot", "")
        found |= {"windir": root, "SystemDrive": root[:2], "ALLUSERSPROFILE": found.get("ProgramData", "")}
        found |= dict(_texts(_ENVIRONMENT))
        return expanded({name: text for name, text in found.items() if text})

    def _texts(key: str) -> Iterator[tuple[str, str]]:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key, 0, winreg.KEY_READ | winreg.KEY_WOW64_64KEY) as opened:
            for number in range(winreg.QueryInfoKey(opened)[1]):
                name, data, kind = winreg.EnumValue(opened, number)
                if kind in (winreg.REG_SZ, winreg.REG_EXPAND_SZ) and name and isinstance(data, str):
                    yield name, data
