"""`whatchanged up` on a tree of its own, for measurements of the whole."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from whatchanged.cli import tracker_control
from whatchanged.cli.options import Values
from whatchanged.errors import OperationError

__all__ = ["Running", "file_rule", "made_of", "running"]

_READY_SECONDS = 90.0
_SECONDS = 3600
_QUIET_SECONDS = 60.0
"""A tracker whose next look is so far away has nothing to do."""


class Running:
    """The three processes, and a client of the server."""

    def __init__(self, process: subprocess.Popen[bytes], data: str, log: str) -> None:
        self.process = process
        self._log = log
        self._data = data
        self._client: httpx.Client | None = None

    def log(self) -> str:
        """Return the end of what it said."""
        with open(self._log, encoding="utf-8", errors="replace") as stream:
            return stream.read()[-2000:]

    @property
    def client(self) -> httpx.Client:
        """A client with the owner token."""
        if self._client is None:
            with open(os.path.join(self._data, "server", "address.json"), encoding="utf-8") as stream:
                url = json.load(stream)["url"]
            with open(os.path.join(self._data, "server", "local.token"), encoding="ascii") as stream:
                token = stream.read().strip()
            self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        return self._client

    def rows(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        """One page of an interface."""
        answer = self.client.get(path, params=query)
        answer.raise_for_status()
        rows: list[dict[str, Any]] = answer.json()["value"]
        return rows

    def children(self) -> dict[str, int]:
        """Name of each of the three processes → its id."""
        found = {}
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as stream:
            pids = stream.read().split()
        for pid in pids:
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = stream.read().split(b"\0")
            found[words[words.index(b"whatchanged") + 1].decode()] = int(pid)
        return found

    def idle(self, files: int = 0) -> None:
        """Wait until everything is watched, and looked at, and told: at most as long as `files` files should take."""
        end = time.monotonic() + _READY_SECONDS + files / 500
        while time.monotonic() < end:
            with contextlib.suppress(OperationError):  # it is starting
                status = tracker_control.ask(Values({"data": self._data}), timeout=_READY_SECONDS, command="status")
                still = any(status["watch"]["pending"].values()) or status["exports"]["pending"]
                if status["watch"]["areas"] and not still:
                    waiting = [seconds for seconds in status["next"].values() if seconds is not None]
                    if min(waiting, default=0) > _QUIET_SECONDS and not status["outbox"]["rows"]:
                        return
            if self.process.poll() is not None:
                raise SystemExit(f"whatchanged up ended: {self.log()}")
            time.sleep(0.2)
        raise SystemExit("the first look did not end in time")


def made_of(folder: str, files: int) -> str:
    """Make the tree `srv` of so many small files below `folder`/root; return it."""
    tree = os.path.join(folder, "root", "srv")
    for number in range(files):
        place = os.path.join(tree, f"d{number // 100}")
        if number % 100 == 0:
            os.makedirs(place)
        with open(os.path.join(place, f"f{number}"), "w", encoding="ascii") as stream:
            stream.write(str(number))
    return tree


@contextmanager
def running(folder: str, rule: dict[str, Any] | None, *, data: str) -> Iterator[Running]:
    """Run `whatchanged up` over the machine in `folder`/root until the block ends; no rule: the default one."""
    root = os.path.join(folder, "root")
    command = [sys.executable, "-m", "whatchanged", "up", "--data", data, "--port", "0", "--root", root]
    if rule is not None:
        path = os.path.join(folder, "rule.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(rule, file)
        command += ["--rule", path]
    log = os.path.join(folder, "up.log")
    with open(log, "wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        yield Running(process, data, log)
    finally:
        process.terminate()
        process.wait(60)


def file_rule(path: str) -> dict[str, Any]:
    """Return a rule for the files of one pattern and nothing else, polled once an hour."""
    item = {"name": "bench", "enabled": True, "destinationPath": path, "recurse": True, "type": "File"}
    settings = {
        "enableSoftware": False,
        "enableServices": False,
        "fileSettings": {"fileCollectionFrequency": _SECONDS, "fileInfo": [item]},
    }
    extension = {
        "name": "CTDataSource-Linux",
        "extensionName": "ChangeTracking-Linux",
        "streams": ["Microsoft-ConfigurationChange", "Microsoft-ConfigurationChangeV2", "Microsoft-ConfigurationData"],
        "extensionSettings": settings,
    }
    return {"name": "bench", "properties": {"dataSources": {"extensions": [extension]}}}
