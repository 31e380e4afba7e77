"""Fault injection for the promise: a steady stream of changes while processes die, the server is away, quotas fill.

What happened on disk is written down by the one who did it, so at the end every row can be judged: each file that was
only ever created must have exactly one Added row; rows of an edited file must form a chain; and where a row is
missing, its sequence must lie in a gap record.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from e2e.conftest import Installation, eventually
from whatchanged.cli import tracker_control
from whatchanged.cli.options import Values
from whatchanged.errors import OperationError

__all__ = ["Machine", "Witnessed", "judge"]


class Machine(Installation):
    """Server, forwarder and tracker as processes of their own, so that each can be killed and started alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.arguments: dict[str, list[str]] = {
            "server": ["--port", "0", "--tls", "false"],
            "forwarder": [],
            "tracker": ["--root", str(self.root)],
        }

    def begin(self) -> None:
        """Start the server, enrol, associate the rule, start the agents."""
        self.launch("server")
        eventually(self._answers, seconds=90, what="the server is ready")
        port = json.loads((self.data / "server" / "address.json").read_text())["url"].rpartition(":")[2].rstrip("/")
        self.arguments["server"] = ["--port", port, "--tls", "false"]
        self.command("rules", "apply", str(self.rule_file))
        self.command("rules", "associate", "test-rule", "--group", "default")
        token = json.loads(self.command("tokens", "enroll", "--json").stdout)[0]["token"]
        (self.folder / "token").write_text(token)
        url = json.loads((self.data / "server" / "address.json").read_text())["url"]
        self.command("enroll", "--server", url, "--token-file", str(self.folder / "token"))
        self.launch("forwarder")
        self.launch("tracker")

    def _answers(self) -> bool:
        try:
            return self.client().get("/readyz").status_code == 200
        except Exception:  # noqa: BLE001 - whatever it is, the server is not there yet
            return False

    def launch(self, name: str) -> None:
        """Start one of the three."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "whatchanged", name, "--data", str(self.data), *self.arguments[name]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End one of the three and wait until it is gone."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(number)
            process.wait(60)

    def end(self) -> None:
        self.close_client()
        for name in list(self.processes):
            self.kill(name)

    def scan(self) -> None:
        self._ask("scan")

    def tracker_status(self) -> Mapping[str, Any]:
        """What the tracker says; while it starts, that it has nothing."""
        try:
            answer: Mapping[str, Any] = self._ask("status")
        except OperationError:
            return {"configuration": {"kinds": []}, "outbox": {"rows": {"": 1}, "full": False}}
        return answer

    def _ask(self, command: str) -> Any:
        return tracker_control.ask(Values({"data": str(self.data)}), command, timeout=120)

    def _delivered(self) -> bool:
        try:
            waiting = sum(self.tracker_status()["outbox"]["rows"].values())
            status = json.loads((self.data / "forwarder" / "status.json").read_text())
        except (OperationError, OSError, ValueError):
            return False
        return waiting == 0 and not any(stream.get("rows") for stream in status["streams"].values())


class Witnessed:
    """Changes files and writes down what it did."""

    def __init__(self, tree: Path, seed: int) -> None:
        self._tree = tree
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.created: set[str] = set()
        """Files created once and never touched again."""
        self.removed: set[str] = set()
        """Files that existed before and were removed once."""
        self.contents: dict[str, set[str]] = defaultdict(set)
        """Edited file → checksums that were ever written to it."""
        for number in range(200):
            (tree / f"old{number}").write_text(str(number))
        self._old = [f"old{number}" for number in range(200)]
        for number in range(5):
            self._edit(f"edited{number}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._random.uniform(0.01, 0.15)):
            choice = self._random.random()
            if choice < 0.6:
                self.create()
            elif choice < 0.9 or not self._old:
                self._edit(f"edited{self._random.randrange(5)}")
            else:
                name = self._old.pop(self._random.randrange(len(self._old)))
                (self._tree / name).unlink()
                self.removed.add(name)

    def create(self) -> str:
        """Make a file, at once with its content; return its name."""
        name = f"new{next(self._numbers)}"
        temporary = self._tree.parent / name
        temporary.write_text(name)
        temporary.rename(self._tree / name)
        self.created.add(name)
        return name

    def _edit(self, name: str) -> None:
        content = f"{name} {next(self._numbers)} {'x' * self._random.randrange(50)}"
        temporary = self._tree.parent / "edit"
        temporary.write_text(content)
        temporary.rename(self._tree / name)
        self.contents[name].add(hashlib.sha256(content.encode()).hexdigest().upper())


def judge(machine: Machine, witnessed: Witnessed) -> dict[str, Any]:
    """Fail with a list of what the rows got wrong; return figures."""
    rows = machine.changes()
    gaps = [r for r in machine.health() if r["Reason"] == "Gap"]
    wrong: list[str] = []
    positions = Counter((r["Stream"], r["Epoch"], int(r["Sequence"])) for r in rows)
    wrong += [f"twice: {position}" for position, count in positions.items() if count > 1]
    holes = _holes(positions, gaps, wrong)
    added = Counter(r["Name"] for r in rows if r["ChangeCategory"] == "Added")
    removed = Counter(r["Name"] for r in rows if r["ChangeCategory"] == "Removed")
    wrong += [f"added {count} times: {name}" for name, count in added.items() if count > 1]
    wrong += [f"removed {count} times: {name}" for name, count in removed.items() if count > 1]
    wrong += [f"added without reason: {name}" for name in added.keys() - witnessed.created]
    wrong += [f"removed without reason: {name}" for name in removed.keys() - witnessed.removed]
    missing = (witnessed.created - added.keys()) | (witnessed.removed - removed.keys())
    if len(missing) > holes:
        wrong.append(f"{len(missing)} changes are missing, gap records cover {holes}: {sorted(missing)[:10]}")
    chains = _chains(rows, witnessed, wrong, complete=not holes)
    # What was evicted of the inventory is asked for again with the next confirmation.
    eventually(lambda: not _inventory(machine), seconds=30, what="the inventory is what is on disk")
    assert not wrong, "\n".join(wrong[:40])
    return {"rows": len(rows), "missing": len(missing), "gaps": len(gaps), "edits": chains}


def _holes(positions: Counter[tuple[str, str, int]], gaps: list[dict[str, Any]], wrong: list[str]) -> int:
    """Check that every missing sequence is in a gap record; return how many are missing."""
    missing = 0
    streams: dict[tuple[str, str], set[int]] = defaultdict(set)
    for stream, epoch, sequence in positions:
        streams[(stream, epoch)].add(sequence)
    for (stream, epoch), found in streams.items():
        absent = set(range(1, max(found) + 1)) - found
        covered = {
            n
            for gap in gaps
            if (gap.get("Stream"), gap.get("Epoch")) == (stream, epoch)
            for n in range(int(gap["FirstSequence"]), int(gap["LastSequence"]) + 1)
        }
        beyond = {n for n in covered if n > max(found)}
        missing += len(absent) + len(beyond)
        if absent - covered:
            wrong.append(f"{stream} {epoch}: not there and in no gap record: {sorted(absent - covered)[:10]}")
        if covered & found:
            wrong.append(f"{stream} {epoch}: there, and in a gap record: {sorted(covered & found)[:10]}")
    return missing


def _chains(rows: list[dict[str, Any]], witnessed: Witnessed, wrong: list[str], *, complete: bool) -> int:
    count = 0
    by_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["ChangeCategory"] == "Modified":
            by_file[row["Name"]].append(row)
    for name, chain in by_file.items():
        chain.sort(key=lambda r: r["TimeGenerated"])
        count += len(chain)
        written = witnessed.contents.get(name, set())
        found = [row.get("FileContentChecksum") for row in chain]
        wrong += [f"{name} never had the content {content}" for content in found if content not in written]
        for before, after in itertools.pairwise(chain):
            if complete and before["FileContentChecksum"] != after["PreviousFileContentChecksum"]:
                wrong.append(f"the chain of {name} is broken at {after['TimeGenerated']}")
    return count


def _inventory(machine: Machine) -> list[str]:
    found = {r["FileSystemPath"]: r["FileContentChecksum"] for r in machine.inventory("files")}
    real = {
        f"/srv/tree/{entry.name}": hashlib.sha256(Path(entry.path).read_bytes()).hexdigest().upper()
        for entry in os.scandir(machine.real_tree)
    }
    return [f"inventory differs: {path}" for path, _ in sorted(found.items() ^ real.items())]


def torment(machine: Machine, *, kills: int, seed: int, pause: Callable[[random.Random], float]) -> None:
    """Kill one of the three again and again at random moments, and start it again."""
    chance = random.Random(seed)
    for _ in range(kills):
        time.sleep(pause(chance))
        victim = chance.choice(["tracker", "forwarder", "server"])
        machine.kill(victim)
        time.sleep(chance.choice([0.0, 0.0, 0.5, 2.0]))
        machine.launch(victim)


def converged(machine: Machine, witnessed: Witnessed) -> None:
    """Wait until everything that was recorded has arrived: a last change that the server tells has all before it."""
    eventually(lambda: machine.tracker_status()["configuration"]["kinds"], seconds=60, what="the tracker works")
    # A look that the full outbox refuses is over too, and has found nothing.
    eventually(lambda: not machine.tracker_status()["outbox"]["full"], seconds=120, what="the outbox has room again")
    for _ in range(2):
        machine.scan()
    eventually(machine._answers, seconds=90, what="the server answers")
    last = witnessed.create()
    eventually(lambda: last in {row["Name"] for row in machine.changes()}, seconds=180, what="everything was delivered")
    eventually(machine._delivered, seconds=180, what="nothing is left")
