"""Change values of the registry, one after the other, and print after how many milliseconds each was hinted at (JSON).

Runs on Windows: `python -m benchmarks.registry_changes SUBTREES CHANGES`.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import json
import time
import uuid
import winreg

from whatchanged.rules.items import RegistryRule
from whatchanged.rules.registry_scope import RegistryScope
from whatchanged.watchers.windows import Port, RegistryWatcher

_SECONDS = 30.0


def main(subtrees: int, changes: int) -> None:
    """Watch keys of our own, and change a value below each in turn."""
    top = rf"SOFTWARE\Whatchanged-{uuid.uuid4()}"
    paths = [rf"{top}\{number}" for number in range(subtrees)]
    for path in paths:
        winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, path, 0, winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY).Close()
    port = Port()
    watcher = RegistryWatcher(port)
    try:
        rules = [RegistryRule(name=path, key_name=rf"HKLM\{path}", recurse=True) for path in paths]
        watcher.subscribe(RegistryScope(rules))
        print(json.dumps([_changed(port, watcher, paths[number % subtrees], number) for number in range(changes)]))
    finally:
        watcher.close()
        port.close()
        for path in (*paths, top):
            winreg.DeleteKeyEx(winreg.HKEY_LOCAL_MACHINE, path, winreg.KEY_WOW64_64KEY, 0)


def _changed(port: Port, watcher: RegistryWatcher, path: str, number: int) -> float:
    """Return the milliseconds from a change to its hint."""
    expected = rf"HKEY_LOCAL_MACHINE\{path}".upper().encode()
    with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, path, 0, winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY) as key:
        began = time.perf_counter()
        winreg.SetValueEx(key, "value", 0, winreg.REG_DWORD, number)
    while expected not in {hint.path for hint in watcher.read()}:
        assert time.perf_counter() - began < _SECONDS
        port.wait(1)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
