"""`whatchanged up` on a tree of its own, for measurements of the whole."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

__all__ = ["Running", "running"]

_READY_SECONDS = 90.0
_SECONDS = 3600


class Running:
    """The three processes, and a client of the server."""

    def __init__(self, process: subprocess.Popen[bytes], data: str, tree: str) -> None:
        self.process = process
        self.tree = tree
        """The folder whose files are tracked, as this process names it."""
        self._data = data
        self._client: httpx.Client | None = None

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

    def looked(self, files: int) -> None:
        """Wait until the inventory holds so many files and the watching has begun."""
        end = time.monotonic() + _READY_SECONDS + files / 500
        while time.monotonic() < end:
            try:
                reasons = {r["Reason"]: r for r in self.rows("/api/v1/health", limit=100)}
                if "Watching" in reasons and "ItemsEntered" in reasons:
                    return
            except (OSError, ValueError, KeyError, httpx.HTTPError):
                self._client = None
            if self.process.poll() is not None:
                raise SystemExit("whatchanged up ended")
            time.sleep(0.2)
        raise SystemExit("the first look did not end in time")


@contextmanager
def running(folder: str, files: int) -> Iterator[Running]:
    """Run `whatchanged up` over `files` files in a folder, polled once an hour, until the block ends."""
    root, data = os.path.join(folder, "root"), os.path.join(folder, "data")
    tree = os.path.join(root, "srv")
    for number in range(files):
        place = os.path.join(tree, f"d{number // 100}")
        if number % 100 == 0:
            os.makedirs(place)
        with open(os.path.join(place, f"f{number}"), "w", encoding="ascii") as stream:
            stream.write(str(number))
    rule = os.path.join(folder, "rule.json")
    with open(rule, "w", encoding="utf-8") as stream:
        json.dump(_rule(), stream)
    command = [sys.executable, "-m", "whatchanged", "up", "--data", data, "--port", "0", "--rule", rule, "--root", root]
    with open(os.path.join(folder, "up.log"), "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        up = Running(process, data, tree)
        up.looked(files)
        yield up
    finally:
        process.terminate()
        process.wait(60)


def _rule() -> dict[str, Any]:
    item = {"name": "srv", "enabled": True, "destinationPath": "/srv/*", "recurse": True, "type": "File"}
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
