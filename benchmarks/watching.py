"""How soon is a change answered, and what does waiting for one cost?

- `latency`: files are made one after the other; a reader asks the server's interface until each is told.
- `idle`: nothing happens; processor time and private memory of tracker and forwarder.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator

from benchmarks.installation import Running, file_rule, made_of, running
from benchmarks.table import Measure

__all__ = ["idle", "latency"]

_GAP = 0.05
_ASK = 0.05
_PATIENCE = 30.0
_MIB = 1024 * 1024


@contextlib.contextmanager
def _tracked(files: int) -> Iterator[tuple[str, Running]]:
    with tempfile.TemporaryDirectory() as folder:
        tree = made_of(folder, files)
        with running(folder, file_rule("/srv/*"), data=os.path.join(folder, "data")) as up:
            up.idle(files)
            yield tree, up


def latency(changes: int, files: int) -> list[Measure]:
    """Return how long a change takes until the server's interface tells it: median and 99th of a hundred."""
    with _tracked(files) as (tree, up):
        made: dict[str, float] = {}
        told: dict[str, float] = {}
        reader = threading.Thread(target=_read, args=(up, made, told, changes))
        reader.start()
        for number in range(changes):
            name = f"new{number}"
            made[f"/srv/{name}"] = time.monotonic()
            with open(os.path.join(tree, name), "w", encoding="ascii") as stream:
                stream.write(name)
            time.sleep(_GAP)
        reader.join()
    missing = made.keys() - told.keys()
    if missing:
        raise SystemExit(f"{len(missing)} changes were not told within {_PATIENCE:g} s")
    took = sorted(told[path] - at for path, at in made.items())
    print(f"{changes} changes: best {took[0]:.2f} s, worst {took[-1]:.2f} s", flush=True)
    return [
        Measure("change to answer, median / 1 s", statistics.median(took), 1.0, "s", goal=1.0),
        Measure("change to answer, p99 / 3 s", took[int(len(took) * 0.99) - 1], 3.0, "s", goal=1.0),
    ]


def _read(up: Running, made: dict[str, float], told: dict[str, float], changes: int) -> None:
    end = time.monotonic() + changes * _GAP + _PATIENCE
    while len(told) < changes and time.monotonic() < end:
        for row in up.rows("/api/v1/changes", limit=200):
            told.setdefault(row["FileSystemPath"], time.monotonic())
        time.sleep(_ASK)


def idle(files: int, seconds: float) -> list[Measure]:
    """Return what tracker and forwarder cost together while nothing happens."""
    with _tracked(files) as (_, up):
        time.sleep(10.0)  # the first export and the first confirmations are no idling
        agents = [pid for name, pid in up.children().items() if name != "server"]
        before = sum(_processor_seconds(pid) for pid in agents)
        time.sleep(seconds)
        share = (sum(_processor_seconds(pid) for pid in agents) - before) / seconds
        memory = sum(_private_bytes(pid) for pid in agents)
    return [
        Measure(f"idle, {files} files: core / 0.5 %", share * 100, 0.5, "%", goal=1.0),
        Measure("idle: private memory of both / 60 MiB", memory / _MIB, 60.0, "MiB", goal=1.0),
    ]


def _processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as stream:
        fields = stream.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc_pid_stat(5): utime, stime


def _private_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as stream:
        return sum(int(line.split()[1]) * 1024 for line in stream if line.startswith("Private_"))
