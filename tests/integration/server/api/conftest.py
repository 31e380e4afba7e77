"""A real server on a free port, in a process of its own (chDB takes one folder a process)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

_PROGRAM = """
import json, signal, sys, threading
from whatchanged import logs
from whatchanged.cli.signals import stop_on
from whatchanged.rules import DEFAULT_RULE
from whatchanged.server.process import ServerSettings, run
from whatchanged.server.query import Limits
from whatchanged.settings import DataFolder
logs.configure("WARNING")
stop = threading.Event()
stop_on([signal.SIGTERM], stop)
options = json.loads(sys.argv[2])
if "questions" in options:
    options["questions"] = Limits(**options["questions"])
settings = ServerSettings(data=DataFolder(sys.argv[1]), port=0, associate_default=DEFAULT_RULE, **options)
sys.exit(run(settings, stop, lambda url: print(url, flush=True)))
"""


class RunningServer:
    """One server and its owner's client."""

    def __init__(self, data: str, url: str, verify: Any = True) -> None:
        self.data = data
        self.url = url
        self.verify = verify
        with open(os.path.join(data, "server", "local.token"), encoding="ascii") as stream:
            self.owner_token = stream.read().strip()

    def client(self, token: str | None, **headers: str) -> httpx.Client:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=self.verify, trust_env=False)

    @property
    def owner(self) -> httpx.Client:
        return self.client(self.owner_token)

    def enrol(
        self, computer: str = "web-1", group: str = "default", instance: str = "life-1"
    ) -> tuple[Any, httpx.Client]:
        with self.owner as owner:
            made = owner.post("/api/v1/enrollment-tokens", json={"machineGroup": group})
        assert made.status_code == 201, made.text
        with self.client(made.json()["token"]) as client:
            answer = client.post("/api/v1/enroll", json={"computer": computer, "osType": "Linux"})
        assert answer.status_code == 201, answer.text
        machine = answer.json()
        return machine, self.client(machine["credential"], **{"x-whatchanged-instance": instance})


@contextmanager
def serving(data: str, **options: Any) -> Iterator[RunningServer]:
    """Run a server on the data folder until the block has ended; it must end cleanly."""
    command = [sys.executable, "-c", _PROGRAM, data, json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url, "the server did not start"
            yield RunningServer(data, url)
        finally:
            process.terminate()
            assert process.wait(40) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(str(tmp_path_factory.mktemp("data")), tls="off") as running:
        yield running


@pytest.fixture(scope="session")
def serve() -> Any:
    """The context manager that runs a server, for tests that need their own."""
    return serving
