"""A whole installation for end-to-end tests: the real program, its three processes, its data folder."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PACKAGE = ("Package", "Version", "Architecture", "Maintainer", "Description")


def eventually(check: Callable[[], Any], *, seconds: float = 60.0, what: str | Callable[[], str] = "") -> Any:
    """Return the first true answer of `check`; fail the test when there is none in time, and say `what` then."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            said = what() if callable(what) else what
            pytest.fail(f"not within {seconds} s: {said or check}; last answer {answer!r}")
        time.sleep(0.05)


def linux_rule(tree: Path, *, cycle: float = 1.0, name: str = "tree") -> dict[str, Any]:
    """A data collection rule over everything below a folder, with short cycles."""
    return {
        "name": "test-rule",
        "properties": {
            "dataSources": {
                "extensions": [
                    {
                        "name": "CTDataSource-Linux",
                        "extensionName": "ChangeTracking-Linux",
                        "streams": [
                            "Microsoft-ConfigurationChange",
                            "Microsoft-ConfigurationChangeV2",
                            "Microsoft-ConfigurationData",
                        ],
                        "extensionSettings": {
                            "enableFiles": True,
                            "enableSoftware": True,
                            "enableServices": True,
                            "enableInventory": True,
                            "fileSettings": {
                                "fileCollectionFrequency": cycle,
                                "fileInfo": [
                                    {
                                        "name": name,
                                        "enabled": True,
                                        "destinationPath": f"{tree}/*",
                                        "recurse": True,
                                        "type": "File",
                                        "links": "Follow",
                                    }
                                ],
                            },
                            "softwareSettings": {"softwareCollectionFrequency": cycle},
                            "servicesSettings": {"serviceCollectionFrequency": cycle},
                            "inventorySettings": {"inventoryCollectionFrequency": 36000},
                        },
                    }
                ]
            }
        },
    }


def status_values(said: str) -> dict[str, Any]:
    """Return what `status --json` says: component and name → value."""
    return {f"{row['Component']}.{row['Name']}": row["Value"] for row in json.loads(said) if "Name" in row}


class Installation:
    """`whatchanged up` on a data folder of its own, looking at a root of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.root = folder / "root"
        self.tree = Path("/srv/tree")
        self.real_tree = self.root / "srv" / "tree"
        self.rule_file = folder / "rule.json"
        self.log = folder / "up.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None
        for part in ("srv/tree", "etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "etc/systemd/system"):
            (self.root / part).mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        (self.root / "var/lib/dpkg/status").write_text("")
        self.rule_file.write_text(json.dumps(linux_rule(self.tree)))

    def start(self, *arguments: str) -> None:
        """Start `up` and wait until the server answers."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WHATCHANGED_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "whatchanged", "up", "--data", str(self.data), "--port", "0"),
                    *("--rule", str(self.rule_file), "--root", str(self.root), *arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        eventually(self._ready, seconds=90, what=lambda: f"the server is ready\n{self.log.read_text()[-3000:]}")

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"up ended with {self.process.returncode}:\n{self.log.read_text()[-5000:]}")
        try:
            return self.client().get("/readyz").status_code == 200
        except (OSError, ValueError, httpx.HTTPError):
            return False

    def client(self) -> httpx.Client:
        """A client of the server with the owner token."""
        address = json.loads((self.data / "server" / "address.json").read_text())["url"]
        if self._client is None or str(self._client.base_url) != address.rstrip("/") + "/":
            self.close_client()
            token = (self.data / "server" / "local.token").read_text().strip()
            authority = self.data / "server" / "tls" / "ca.pem"
            self._client = httpx.Client(
                base_url=address,
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
                timeout=30,
                verify=ssl.create_default_context(cafile=authority) if address.startswith("https:") else True,
            )
        return self._client

    def close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def rows(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        """All rows of an interface, page by page."""
        rows: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.client().get(path, params={**query, **cursor})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            rows += body["value"]
            if not body.get("nextCursor"):
                return rows
            cursor = {"cursor": body["nextCursor"]}

    def changes(self, **query: str | int) -> list[dict[str, Any]]:
        return self.rows("/api/v1/changes", **query)

    def inventory(self, kind: str, **query: str | int) -> list[dict[str, Any]]:
        return self.rows(f"/api/v1/inventory/{kind}", **query)

    def health(self, **query: str | int) -> list[dict[str, Any]]:
        return self.rows("/api/v1/health", **query)

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the program against this installation."""
        return subprocess.run(
            [sys.executable, "-m", "whatchanged", *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    def looked(self) -> None:
        """Wait until every kind was looked at and confirmed once."""
        eventually(
            lambda: (
                {r["Kind"] for r in self.health() if r["Reason"] == "Collected" and not r.get("RuleName")}
                >= {"Files", "Software", "Daemons"}
            ),
            what="every kind was looked at",
        )

    def scan(self) -> None:
        """Look now, and wait until the look is over."""
        self.command("scan")

    def settled(self) -> list[dict[str, Any]]:
        """Look twice, and return the changes once everything that was found has arrived at the server."""
        self.scan()
        eventually(self._delivered, what="the outbox and the store are empty")
        return self.changes()

    def status(self) -> dict[str, Any]:
        """Return what the agents say of themselves: component and name → value."""
        return status_values(self.command("status", "--json").stdout)

    def _delivered(self) -> bool:
        status = self.status()
        waiting = [value for name, value in status.items() if name.startswith("Tracker.outbox.rows.")]
        # Not the forwarder's own streams: a heartbeat may always be on its way.
        waiting += [
            value
            for name, value in status.items()
            if name.startswith("Forwarder.streams.CONFIG_") and name.endswith(".rows")
        ]
        return status.get("Forwarder.running") is True and not any(waiting)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.process = None
        return code

    def end(self) -> None:
        self.close_client()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.end()
