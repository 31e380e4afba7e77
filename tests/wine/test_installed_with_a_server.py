"""A Windows (under Wine) that is installed as people do it: enrolled at a server, both agents services."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import eventually
from e2e.promise import Machine
from wine.conftest import Windows

pytestmark = [pytest.mark.wine, pytest.mark.timeout(300)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Machine]:
    """A server with TLS on this machine."""
    made = Machine(tmp_path / "server")
    made.arguments["server"] = ["--port", "0"]
    made.launch("server")
    try:
        eventually(made._answers, seconds=90, what="the server is ready")
        yield made
    finally:
        made.end()


def test_a_machine_is_enrolled_and_both_services_report(windows: Windows, server: Machine, tmp_path: Path) -> None:
    program = windows.install()

    def whatchanged(*arguments: str) -> str:
        done = windows.python("-I", "-m", "whatchanged", *arguments, program=program)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    token = json.loads(server.command("tokens", "enroll", "--json").stdout)[0]["token"]
    (tmp_path / "token").write_text(token)
    url = json.loads((server.data / "server" / "address.json").read_text())["url"]
    assert url.startswith("https://")
    enrolling = ("install", "--server", url, "--token-file", windows.path(tmp_path / "token"))
    try:
        said = whatchanged(*enrolling)
        (machine,) = eventually(lambda: json.loads(server.command("machines", "--json").stdout))
        eventually(
            lambda: (
                {row["Component"] for row in server.health() if row["Reason"] == "Started"} >= {"Tracker", "Forwarder"}
            ),
            what="records of both arrive",
        )
        # What a rule would take there, before anybody saved it: asked by the portal, over the back channel.
        made = tmp_path / "previewed"
        made.mkdir()
        (made / "one.txt").write_text("12345")
        item = {"name": "previewed", "path": windows.path(made) + "\\*"}
        source = {
            "name": "windows",
            "extensionName": "ChangeTracking-Windows",
            "extensionSettings": {"fileSettings": {"fileInfo": [item]}},
        }
        document = {"properties": {"dataSources": {"extensions": [source]}}}
        requests = f"/api/v1/machines/{machine['id']}/requests"
        asked = server.client().post(requests, json={"request": "preview", "document": document})
        assert asked.status_code == 202, asked.text
        answer = eventually(
            lambda: server.client().get(f"{requests}/{asked.json()['id']}").json().get("result"), what="the preview"
        )
        assert [(row["RuleName"], row["Files"], row["Bytes"]) for row in answer["rules"]] == [("previewed", 1, 5)]
        again = whatchanged(*enrolling)
        assert [row["id"] for row in json.loads(server.command("machines", "--json").stdout)] == [machine["id"]]
        assert token not in said + again
    finally:
        whatchanged("uninstall", "--purge")
