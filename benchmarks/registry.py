"""How soon is a change of the registry known? Values are changed one after the other; timed is the way to the hint.

It runs in the Windows under Wine that the tests have made (`tests/windows-python`).
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import json
import os
import statistics
import subprocess
from pathlib import Path

from benchmarks.table import Measure

__all__ = ["latency"]

_SUBTREES = 100
_PROMISED_MS = 2000.0
_SECONDS = 300.0
_ROOT = Path(__file__).resolve().parents[1]


def latency(changes: int) -> tuple[list[Measure], list[str]]:
    """Return the time from a change to its hint, beside the two seconds that are promised, or why it was left out."""
    folder = Path(sys.prefix) / "windows"
    if not (folder / "made").exists():
        return [], ["registry: left out, for tests/windows-python has not made a Windows"]
    environment = {
        **os.environ,
        "WINEPREFIX": str(folder / "prefix"),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "PYTHONPATH": ";".join("Z:" + str(path).replace("/", "\\") for path in (_ROOT, _ROOT / "src")),
        "PYTHONUTF8": "1",
    }
    # What stays in the background must not inherit the pipe, which would never end.
    subprocess.run(["wineserver", "--persistent"], env=environment)
    subprocess.run(
        ["wine", "cmd", "/c", "exit"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, check=True,
    )  # fmt: skip
    try:
        done = subprocess.run(
            ["wine", str(folder / "python" / "python.exe"), "-m", "benchmarks.registry_changes", str(_SUBTREES),
             str(changes)],
            cwd=_ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True,
        )  # fmt: skip
    finally:
        subprocess.run(["wineserver", "--kill"], env=environment)
    took: list[float] = json.loads(done.stdout)
    name = f"registry, {_SUBTREES} subtrees: change to hint"
    return [
        Measure(f"{name}, median", statistics.median(took), _PROMISED_MS, "ms", goal=1),
        Measure(f"{name}, slowest of {changes}", max(took), _PROMISED_MS, "ms", goal=1),
    ], []
