"""A Windows with the agents' two processes, enrolled at a server on Linux, and somebody who changes it."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2e.conftest import Installation, eventually, status_values
from wine.conftest import Windows

__all__ = ["SERVICE", "WindowsMachine", "windows_rule"]

KINDS = frozenset({"Registry", "Software", "WindowsServices"})
HERE = Path(__file__).parent
SERVICE = HERE.parent / "integration/windows/waiting_service.py"


def windows_rule(
    *registry: dict[str, Any], files: Sequence[dict[str, Any]] = (), frequency: float = 3000
) -> dict[str, Any]:
    """A data collection rule over keys and files, looked at every `frequency` seconds; of the rest when asked."""
    settings = {
        "enableFiles": bool(files),
        "fileSettings": {"fileCollectionFrequency": frequency, "fileInfo": list(files)},
        "enableSoftware": True,
        "enableServices": True,
        "enableRegistry": True,
        "enableInventory": True,
        "registrySettings": {"registryCollectionFrequency": frequency, "registryInfo": list(registry)},
    }
    streams = ["Microsoft-ConfigurationChange", "Microsoft-ConfigurationChangeV2", "Microsoft-ConfigurationData"]
    extension = {
        "name": "CTDataSource-Windows",
        "extensionName": "ChangeTracking-Windows",
        "streams": streams,
        "extensionSettings": settings,
    }
    return {"name": "test-rule", "properties": {"dataSources": {"extensions": [extension]}}}


class WindowsMachine(Installation):
    """The server's installation, with a Windows beside it."""

    def __init__(self, folder: Path, windows: Windows) -> None:
        super().__init__(folder)
        self.windows = windows
        self._known: set[str] = set()
        self.agents = folder / "agents"
        self.policy = folder / "policy.toml"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[subprocess.Popen[bytes]] = []
        self._acting: subprocess.Popen[bytes] | None = None

    def begin(self, rule: dict[str, Any], *, watch: bool = True) -> None:
        """Start the server, enrol the Windows, associate the rule, start the agents, and wait for their first looks.

        Without `watch` they look when they are asked only.
        """
        self.policy.write_text(f"watch = {str(watch).lower()}\n")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "whatchanged", "server", "--data", str(self.data), "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._ready, seconds=90, what="the server is ready")
        self.rule_file.write_text(json.dumps(rule))
        self.command("rules", "apply", str(self.rule_file))
        self.command("rules", "associate", "test-rule", "--group", "default")
        token = self.folder / "token"
        token.write_text(json.loads(self.command("tokens", "enroll", "--json").stdout)[0]["token"])
        url = json.loads((self.data / "server" / "address.json").read_text())["url"]
        assert url.startswith("https:"), "what leaves the machine is encrypted"
        self.agent("enroll", "--server", url, "--token-file", self.windows.path(token))
        self.launch("forwarder")
        self.launch("tracker")
        (source,) = rule["properties"]["dataSources"]["extensions"]
        kinds = KINDS | ({"Files"} if source["extensionSettings"]["enableFiles"] else set())
        eventually(lambda: self.kinds_looked_at() >= kinds, seconds=120, what="every kind was looked at")

    def kinds_looked_at(self) -> set[str]:
        return {row["Kind"] for row in self.health() if row["Reason"] == "Collected" and not row.get("RuleName")}

    def agent(self, *arguments: str) -> str:
        """Run a command on the Windows and return what it says."""
        done = self._ask(*arguments)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.windows.python("-m", "whatchanged", *arguments, "--data", self.windows.path(self.agents))

    def launch(self, name: str) -> None:
        """Start the tracker or the forwarder."""
        arguments = ["-m", "whatchanged", name, "--data", self.windows.path(self.agents)]
        if name == "tracker":
            arguments += ["--policy", self.windows.path(self.policy)]
        process = self.windows.launch(*arguments, stderr=subprocess.STDOUT)
        self.processes[name] = process
        assert process.stdout is not None
        with (self.folder / f"{name}.log").open("ab") as log, process.stdout:
            self._logs.append(subprocess.Popen(["cat"], stdin=process.stdout, stdout=log))

    def kill(self, name: str) -> None:
        """End one of the two at once."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(60)

    def scan(self) -> None:
        self.agent("scan")

    def answered(self) -> None:
        """Wait until both processes work."""

        def works() -> bool:
            done = self._ask("status", "--json")
            return done.returncode == 0 and '"Tracker"' in done.stdout

        eventually(works, what="the tracker answers")

    def troubles(self) -> list[dict[str, Any]]:
        """Return what was said of records that are missing, refused or not what they were."""
        reasons = ("Gap", "Fork", "Refused", "Evicted", "NewEpoch", "StateRecreated")
        return [row for row in self.health() if row["Reason"] in reasons]

    def news(self) -> list[dict[str, Any]]:
        """Look, and return the changes that were not returned before, once they have arrived.

        Wine starts and stops services of its own when a program asks for them: of that nothing.
        """
        rows = [row for row in self.settled() if row["ChangeId"] not in self._known]
        self._known |= {row["ChangeId"] for row in rows}
        return [row for row in rows if row.get("SvcChangeType") != "State" or row["SvcName"].startswith("Whatchanged-")]

    def export(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of an export, once it has been written."""
        eventually(lambda: self.status()["Tracker.exports.pending"] == [], what="exports are written")
        rows: list[dict[str, Any]] = json.loads((self.agents / "tracker" / "export" / name).read_bytes())
        return rows

    def status(self) -> dict[str, Any]:
        """Return what the agents say of themselves: component and name → value."""
        return status_values(self.agent("status", "--json"))

    # Changes

    def act(self, what: str, **arguments: Any) -> None:
        """Change the Windows (acting.py)."""
        if self._acting is None:
            self._acting = self.windows.launch(
                self.windows.path(HERE / "acting.py"), stdin=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        assert self._acting.stdin is not None
        assert self._acting.stdout is not None
        self._acting.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self._acting.stdin.flush()
        answer = self._acting.stdout.readline()
        assert answer.strip() == b"done", (what, arguments, answer)

    def set_value(self, key: str, name: str, kind: int, data: bytes, *, hive: str = "HKEY_LOCAL_MACHINE") -> None:
        self.act("set_value", key=key, name=name, kind=kind, data=base64.b64encode(data).decode(), hive=hive)

    def write_file(self, path: str, content: bytes) -> None:
        """Write a file, and make the folders that it lies in."""
        self.act("write_file", path=path, data=base64.b64encode(content).decode())

    def end(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        if self._acting is not None:
            self._acting.kill()
            self._acting.communicate()
        for writing in self._logs:
            writing.kill()  # Wine's own processes may have inherited what it reads
            writing.wait()
        super().end()
