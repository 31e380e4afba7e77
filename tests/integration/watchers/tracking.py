"""A real tracker on a real tree, without a forwarder: what it would send is read from its outbox."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whatchanged.cli import tracker_control
from whatchanged.cli.options import Values
from whatchanged.settings import DataFolder
from whatchanged.tracker.machine import machine_token
from whatchanged.tracker.process import run
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

SECONDS = 30.0
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

    def start(self, *, frequency: float = HOUR, kinds: Sequence[str] = ("files",), **settings: Any) -> None:
        extension = {
            "enableFiles": "files" in kinds,
            "enableSoftware": "software" in kinds,
            "enableServices": "daemons" in kinds,
            "enableInventory": True,
            "fileSettings": {
                "fileCollectionFrequency": frequency,
                "fileInfo": [
                    {
                        "name": "srv",
                        "enabled": True,
                        "destinationPath": "/srv/*",
                        "recurse": True,
                        "type": "Any",
                        "links": "Follow",
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
        made = TrackerSettings(
            data=self.data, root=str(self.root), policy=str(self.policy), outbox_quota_bytes=10**9, **settings
        )
        self.stop.clear()
        self.thread = threading.Thread(target=lambda: self.code.append(run(made, self.stop)))
        self.thread.start()
        # Watching begins with a look at everything: a test begins when that is over.
        self.eventually(lambda: self.status()["watch"]["state"] == "Off" or self.status()["watch"]["areas"])
        self.idle()

    def idle(self) -> None:
        """Wait until nothing is left to look at."""
        self.eventually(self._idle)

    def _idle(self) -> bool:
        status = self.status()
        return not any(status["watch"]["pending"].values()) and all(s > 60 for s in status["next"].values())

    def end(self) -> None:
        if self.thread is not None:
            self.stop.set()
            self.thread.join(SECONDS)
            assert not self.thread.is_alive()
            self.thread = None

    def ask(self, **command: Any) -> Any:
        return tracker_control.ask(Values({"data": self.data.path}), timeout=SECONDS, **command)

    def scan(self) -> None:
        self.ask(command="scan", wait=True)

    def status(self) -> Any:
        return self.eventually(self._status)

    def _status(self) -> Any:
        try:
            return self.ask(command="status")
        except Exception as error:  # noqa: BLE001 - it is starting
            return None if self.thread is not None and self.thread.is_alive() else error

    def records(self, stream: str) -> list[dict[str, Any]]:
        database = sqlite3.connect(f"file:{self.data.tracker_database}?mode=ro", uri=True, timeout=SECONDS)
        try:
            rows = database.execute("SELECT record FROM outbox WHERE stream = ? ORDER BY id", (stream,)).fetchall()
        finally:
            database.close()
        return [msgspec.msgpack.decode(row[0]) for row in rows]

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

    def eventually(self, check: Callable[[], Any], *, seconds: float = SECONDS) -> Any:
        end = time.monotonic() + seconds
        while not (answer := check()):
            assert time.monotonic() < end, f"not within {seconds} s; {self.code}"
            time.sleep(0.02)
        return answer
