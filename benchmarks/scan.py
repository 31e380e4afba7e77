"""How fast is a scan, beside the tools that do the same?

Everybody looks at the same warm tree, in turn, in several rounds whose order is reversed each time; the best time of
each counts. Ratios are what matters on a shared machine:

- first scan (walk, SHA-256 of everything) beside `find -type f -print0 | xargs -0 -P2 sha256sum`
- second look (nothing changed) beside `find -printf` of the same facts
- both again as the tracker does them: with its state database, its records, and everything on disk
- AIDE with SHA-256 and the same facts, once: `--init` and `--check`
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from benchmarks.table import Measure
from whatchanged.collectors.files import FileCollector
from whatchanged.rules import FileRule, FileScope, FileType, Links, Policy
from whatchanged.settings import DataFolder
from whatchanged.tracker.linux_runner import LinuxRunner
from whatchanged.tracker.plan import FileJob, Plan
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["measure"]

_FACTS = r"%s %T@ %C@ %i %D %m %U %G %p\n"
_FREQUENCY = 900.0


def measure(tree: str, threads: int, rounds: int, *, aide: bool) -> tuple[list[Measure], list[str]]:
    """Return what was measured, and what has to be said of it."""
    tree = os.path.realpath(tree)
    shell('find "$1" -type f -print0 | xargs -0 cat', tree)  # warm
    best: dict[str, float] = {}
    seen = 0
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder, tracker(tree, threads, folder) as look:
            memory = _Memory()
            scope = FileScope([_rule(tree)])
            contests: list[tuple[str, Callable[[], int]]] = [
                ("sha256sum", lambda: shell(f'find "$1" -type f -print0 | xargs -0 -P{threads} -n500 sha256sum', tree)),
                ("first scan", lambda: scan(scope, memory, threads)),  # noqa: B023 - called in this turn
                ("first run", look),
                ("find", lambda: shell(f"find \"$1\" -printf '{_FACTS}'", tree)),
                ("second look", lambda: scan(scope, memory, threads)),  # noqa: B023
                ("second run", look),
            ]
            for part in (contests[:3], contests[3:]):
                for name, work in part if number % 2 == 0 else reversed(part):
                    seconds, count = timed(name, work)
                    best[name] = min(seconds, best.get(name, seconds))
                    seen = max(seen, count)
    found = [
        Measure("first scan / xargs sha256sum", best["first scan"], best["sha256sum"], "s", goal=1.0),
        Measure("second look / find -printf", best["second look"], best["find"], "s", goal=3.0),
        Measure("tracker's first run / xargs sha256sum", best["first run"], best["sha256sum"], "s"),
        Measure("tracker's second run / find -printf", best["second run"], best["find"], "s"),
    ]
    notes = [f"{tree}: {seen} files and links; best of {rounds} rounds"]
    if not aide:
        return found, notes
    if shutil.which("aide") is None:
        return found, [*notes, "AIDE is not installed (Debian: apt-get install --no-install-recommends aide): left out"]
    init, check = _aide(tree, threads)
    found += [
        Measure("first scan / aide --init", best["first scan"], init, "s", goal=1.0),
        Measure("second look / aide --check", best["second look"], check, "s", goal=1.0),
        Measure("tracker's first run / aide --init", best["first run"], init, "s", goal=1.0),
        Measure("tracker's second run / aide --check", best["second run"], check, "s", goal=1.0),
    ]
    return found, notes


def shell(command: str, tree: str) -> int:
    """Run a line of shell with the tree as `$1`; trouble with single files is theirs, and ours, to skip."""
    subprocess.run(["bash", "-c", command, "bash", tree], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return 0


def timed(name: str, work: Callable[[], int]) -> tuple[float, int]:
    """Return how long `work` took, and what it returned."""
    began = time.perf_counter()
    count = work()
    seconds = time.perf_counter() - began
    print(f"{name:<24} {seconds:8.2f} s", flush=True)
    return seconds, count


def scan(scope: FileScope, memory: _Memory, threads: int) -> int:
    """Let the collector look at everything; return how much it saw."""
    collector = FileCollector(scope, known=memory, threads=threads)
    for look in collector.run():
        names = memory.folders.setdefault(look.folder, {})
        for looked in look.looked:
            names[looked.item.path.rpartition(b"/")[2]] = looked.signature
    return collector.outcome.seen


@contextmanager
def tracker(tree: str, threads: int, folder: str) -> Iterator[Callable[[], int]]:
    """Give a function that lets the tracker run once over the tree, with a state of its own."""
    job = FileJob(f"{_FREQUENCY:g}", _FREQUENCY, (_rule(tree),))
    plan = Plan(version="1", file_jobs=(job,), inventory=True)
    data = DataFolder(folder)
    # No run reads again what did not move: `find` does not either.
    settings = TrackerSettings(data=data, hash_threads=threads, rehash_seconds=10**9)
    policy = Policy(core_share=64.0, bytes_per_second=10**12)
    state = State(data.tracker_database, quota_bytes=10**12, machine="bench", identity={"Computer": "bench"})
    runner = LinuxRunner(state, settings, policy, threading.Event())
    try:
        yield lambda: runner.run_files(plan, job).seen
    finally:
        state.close()


def _rule(tree: str) -> FileRule:
    return FileRule(
        name="everything",
        destination_path=os.fsencode(os.path.join(tree, "*")),
        recurse=True,
        type=FileType.FILE,
        links=Links.MANAGE,
        frequency=_FREQUENCY,
    )


class _Memory:
    """What the last look saw, as the collector's `Known`."""

    def __init__(self) -> None:
        self.folders: dict[bytes, dict[bytes, bytes]] = {}

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        return self.folders.get(folder, {})


def _aide(tree: str, threads: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "aide.conf")
        with open(config, "w") as file:
            file.write(
                f"database_in=file:{folder}/db\ndatabase_out=file:{folder}/db\nreport_url=file:{folder}/report\n"
                f"num_workers={threads}\n{tree} p+i+u+g+s+m+c+acl+sha256\n"
            )
        init, _ = timed("aide --init", lambda: _aide_run("--init", config))
        size = os.path.getsize(os.path.join(folder, "db"))
        if size < 10_000:
            raise SystemExit(f"AIDE wrote a database of {size} bytes: it did not look at {tree}")
        check, _ = timed("aide --check", lambda: _aide_run("--check", config))
    return init, check


def _aide_run(step: str, config: str) -> int:
    done = subprocess.run(["aide", step, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode >= 8:  # below are the bits of --check: added, removed, changed (aide(1))
        raise SystemExit(f"aide {step} failed with {done.returncode}: {done.stderr.strip()}")
    return 0
