"""`whatchanged inventory KIND` where no server is named: this machine."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import json

import pytest

from whatchanged.cli.main import main

COLUMNS = {"software": "SoftwareName", "patches": "SoftwareName", "services": "SvcName", "registry": "RegistryKey"}


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names none."""
    monkeypatch.delenv("WHATCHANGED_URL", raising=False)


@pytest.mark.parametrize("kind", COLUMNS)
def test_what_is_on_this_machine(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", kind, "--json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert rows
    assert all(row[COLUMNS[kind]] for row in rows)
    if kind == "patches":
        assert {row["SoftwareType"] for row in rows} == {"Update"}
    else:
        assert f": {len(rows)} items seen" in said.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["software", "--machine", "other"], "--machine asks a server, and none is named"),
        (["daemons"], "daemons of this machine: there are software, patches, services, registry"),
        (["software", "--url", "http://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)
def test_what_only_a_server_knows(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", *arguments]) != 0
    assert reason in capsys.readouterr().err
