"""A real tracker on a real tree, without a forwarder: what it would send is read from its outbox."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whatchanged.cli import tracker_control
from whatchanged.cli.options import Values
from whatchanged.records.items import FileItem
from whatchanged.settings import DataFolder
from whatchanged.tracker.machine import machine_token
from whatchanged.tracker.process import run
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

SECONDS = 30.0
_DECODER = msgspec.msgpack.Decoder(FileItem)
HOUR = 3600.0


class Tracking:
    """A tracker whose polls come once an hour: what it finds sooner, it was told of."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.tree = self.root / "srv"
        self.data = DataFolder(str(folder / "data"))
        self.policy = folder / "policy.toml"
        for part in ("srv", "etc/systemd/system", "var/lib/dpkg/info", "var/lib/dpkg/updates", "tmp"):
            (self.root / part).mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        (self.root / "var/lib/dpkg/status").write_text("")
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None
        self.code: list[int] = []
        self.patience = SECONDS
        self.frequency = HOUR

    def start(
        self,
        *,
        frequency: float = HOUR,
        kinds: Sequence[str] = ("files",),
        file_info: Sequence[Mapping[str, Any]] = (),
        **settings: Any,
    ) -> None:
        """`file_info`: the file items of the rule (default: everything below /srv)."""
        self.configure(frequency=frequency, kinds=kinds, file_info=file_info)
        made = TrackerSettings(
            data=self.data, root=str(self.root), policy=str(self.policy), outbox_quota_bytes=10**9, **settings
        )
        self.launch(made)
        # Watching begins with a look at everything: a test begins when that is over.
        self.eventually(lambda: self.status()["watch"]["state"] == "Off" or self.status()["watch"]["areas"])
        self.idle()

    def configure(
        self, *, frequency: float = HOUR, kinds: Sequence[str] = ("files",), file_info: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Put the rule where a tracker finds it when it starts."""
        self.frequency = frequency
        extension = {
            "enableFiles": "files" in kinds,
            "enableSoftware": "software" in kinds,
            "enableServices": "daemons" in kinds,
            "enableInventory": True,
            "fileSettings": {
                "fileCollectionFrequency": frequency,
                "fileInfo": list(file_info)
                or [
                    {
                        "name": "srv",
                        "enabled": True,
                        "destinationPath": "/srv/*",
                        "recurse": True,
                        "type": "Any",
                        "links": "Follow",
                        "networkFileSystems": True,  # the policy says no, unless a test writes another
                        "groupTag": "x",
                    }
                ],
            },
            "softwareSettings": {"softwareCollectionFrequency": frequency},
            "servicesSettings": {"serviceCollectionFrequency": frequency},
            "inventorySettings": {"inventoryCollectionFrequency": 36000},
        }
        document = {"extensionConfigurations": [{"id": "dcr-1:source", "extensionSettings": extension}]}
        if self.policy.exists():
            self.policy.chmod(0o600)
        state = State(self.data.tracker_database, quota_bytes=10**9, machine=machine_token(str(self.root)), identity={})
        with state.transaction() as change:
            change.set_meta("configuration", json.dumps(document))
        state.close()

    def launch(self, settings: TrackerSettings) -> None:
        self.stop.clear()
        self.thread = threading.Thread(target=lambda: self.code.append(run(settings, self.stop)))
        self.thread.start()

    def idle(self) -> None:
        """Wait until nothing is left to look at."""
        self.eventually(self._idle)

    def _idle(self) -> bool:
        status = self.status()
        polls = all(s > min(60, self.frequency / 4) for s in status["next"].values())
        return polls and not any(status["watch"]["pending"].values())

    def end(self) -> None:
        if self.thread is not None:
            self.stop.set()
            self.thread.join(SECONDS)
            assert not self.thread.is_alive()
            self.thread = None

    def ask(self, **command: Any) -> Any:
        return tracker_control.ask(Values({"data": self.data.path}), timeout=self.patience, **command)

    def scan(self) -> None:
        self.ask(command="scan", wait=True)

    def status(self) -> Any:
        return self.eventually(self._status)

    def _status(self) -> Any:
        try:
            return self.ask(command="status")
        except Exception:
            if not self.is_running():
                raise
            return None

    def is_running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def records(self, stream: str) -> list[dict[str, Any]]:
        database = sqlite3.connect(f"file:{self.data.tracker_database}?mode=ro", uri=True, timeout=SECONDS)
        try:
            rows = database.execute("SELECT record FROM outbox WHERE stream = ? ORDER BY id", (stream,)).fetchall()
        finally:
            database.close()
        return [msgspec.msgpack.decode(row[0]) for row in rows]

    def sequences(self, stream: str) -> list[int]:
        database = sqlite3.connect(f"file:{self.data.tracker_database}?mode=ro", uri=True, timeout=SECONDS)
        try:
            rows = database.execute("SELECT sequence FROM outbox WHERE stream = ? ORDER BY id", (stream,)).fetchall()
        finally:
            database.close()
        return [row[0] for row in rows]

    def changes(self) -> list[dict[str, Any]]:
        return self.records("CONFIG_CHANGE_BLOB_V2")

    def health(self, reason: str) -> list[dict[str, Any]]:
        return [row for row in self.records("TRACKING_HEALTH") if row["Reason"] == reason]

    def change(self, path: str, category: str, *, seconds: float = SECONDS) -> dict[str, Any]:
        """Wait for the row that tells of `path`."""

        def found() -> dict[str, Any] | None:
            rows = [r for r in self.changes() if r["FileSystemPath"] == path and r["ChangeCategory"] == category]
            return rows[-1] if rows else None

        row: dict[str, Any] = self.eventually(found, seconds=seconds)
        return row

    def known(self) -> set[str]:
        """The paths of the files in the inventory of the tracker."""
        database = sqlite3.connect(f"file:{self.data.tracker_database}?mode=ro", uri=True, timeout=SECONDS)
        try:
            rows = database.execute("SELECT CAST(container || name AS BLOB) FROM items WHERE kind = 'Files'").fetchall()
        finally:
            database.close()
        return {bytes(row[0]).decode(errors="surrogateescape") for row in rows}

    def inventory(self) -> dict[str, str]:
        """Path → SHA-256 of the files in the inventory of the tracker; of what is no file its type."""
        database = sqlite3.connect(f"file:{self.data.tracker_database}?mode=ro", uri=True, timeout=SECONDS)
        try:
            items = [_DECODER.decode(row[0]) for row in database.execute("SELECT item FROM items WHERE kind = 'Files'")]
        finally:
            database.close()
        return {
            os.fsdecode(i.path): i.sha256.hex() if i.link_target is None and stat.S_ISREG(i.mode) else _type(i)
            for i in items
        }

    def truth(self) -> dict[str, str]:
        """What is there, found without the tracker: find(1) and sha256sum(1)."""
        listed = self._run("find", ".", "-mindepth", "1", "-printf", "%y %P\\0")
        found = {f"/srv/{path}": kind for kind, _, path in (line.partition(" ") for line in listed)}
        summed = self._run("find", ".", "-type", "f", "-exec", "sha256sum", "-z", "{}", "+")
        sums = (line.partition("  ") for line in summed)
        return found | {f"/srv/{path.removeprefix('./')}": digest for digest, _, path in sums}

    def polled(self, *, seconds: float = 10.0) -> None:
        """Wait for a poll that nobody asked for."""
        before = self.runs()
        self.eventually(lambda: self.runs() != before, seconds=seconds)

    def runs(self) -> list[int]:
        """When each job began its last run, by the clock of the tracker."""
        database = sqlite3.connect(f"file:{self.data.tracker_database}?mode=ro", uri=True, timeout=SECONDS)
        try:
            return [row[0] for row in database.execute("SELECT started FROM runs ORDER BY kind, job")]
        finally:
            database.close()

    def _run(self, *command: str) -> list[str]:
        done = subprocess.run(command, cwd=self.tree, capture_output=True, check=True)
        return os.fsdecode(done.stdout).split("\0")[:-1]

    def is_exact(self, *, seconds: float = SECONDS) -> None:
        """Wait until the inventory is what is there; then a poll finds nothing more."""
        truth = self.truth()
        end = time.monotonic() + seconds
        while self.known() != truth.keys() or _difference(self.inventory(), truth):
            assert time.monotonic() < end, _difference(self.inventory(), truth)
            time.sleep(0.2)
        self.idle()
        changes = len(self.changes())
        self.scan()
        assert _difference(self.inventory(), truth) == {}
        assert len(self.changes()) == changes

    def eventually(self, check: Callable[[], Any], *, seconds: float = 0.0) -> Any:
        seconds = seconds or self.patience
        end = time.monotonic() + seconds
        while not (answer := check()):
            assert time.monotonic() < end, f"not within {seconds} s; {self.code}"
            time.sleep(0.02)
        return answer


def _type(item: FileItem) -> str:
    mode = item.mode if item.link_mode is None else item.link_mode
    return {stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}.get(stat.S_IFMT(mode), "?")


def _difference(one: dict[str, str], other: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """The first of the paths of which the two do not say the same."""
    paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    return {path: (one.get(path), other.get(path)) for path in paths[:20]}
