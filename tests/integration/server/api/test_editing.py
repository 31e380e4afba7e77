"""What an editor asks, over a real server; and `whatchanged query` on a terminal, which completes with it."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from integration.server.api.conftest import RunningServer


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Iterator[httpx.Client]:
    with server.owner as made:
        yield made


def ask(client: httpx.Client, what: str, text: str) -> list[dict[str, Any]]:
    answer = client.post(f"/api/v1/query/{what}", json={"query": text.replace("^", ""), "offset": text.index("^")})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["value"]
    return found


def test_completions(owner: httpx.Client) -> None:
    [one, *_] = ask(owner, "completions", "ConfigurationChange | where FileSystemP^")
    assert one == {
        "label": "FileSystemPath",
        "kind": "column",
        "detail": "string",
        "documentation": one["documentation"],
        "insertText": "FileSystemPath",
        "start": 28,
        "end": 39,
    }
    assert one["documentation"]
    assert {"version_drift", "Heartbeat"} <= {one["label"] for one in ask(owner, "completions", "^")}


def test_places_count_characters(owner: httpx.Client) -> None:
    [one] = ask(owner, "completions", "print a = '\U0001f600ä' | where a == toup^")
    assert (one["label"], one["start"], one["end"]) == ("toupper", 28, 32)


def test_explanations(owner: httpx.Client) -> None:
    [one] = ask(owner, "explanations", "ConfigurationChange | where Comp^uter == 'x'")
    assert (one["title"], one["start"], one["end"]) == ("Computer: string", 28, 36)
    assert ask(owner, "explanations", "ConfigurationChange | where Computer == 'x^y'") == []


def test_a_query_is_checked_without_being_asked(owner: httpx.Client) -> None:
    def check(text: str) -> dict[str, Any]:
        answer = owner.post("/api/v1/query/check", json={"query": text})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    given = "declare query_parameters(program:string, since:timespan = 1d); "
    assert check(given + "machines_without(program) | where since > 1h") == {
        "parameters": [
            {"name": "program", "type": "string", "default": None},
            {"name": "since", "type": "timespan", "default": "1d"},
        ],
        "mistake": None,
    }
    wrong = check("Heartbeat\n| where '\U0001f600' == Compute")["mistake"]
    assert wrong["code"] == "SemanticError"
    assert (wrong["line"], wrong["pos"], wrong["start"], wrong["end"]) == (2, 15, 25, 32)
    assert wrong["suggestion"] == "Computer"
    assert wrong["message"].startswith(wrong["reason"])
    assert check("Heartbeat |")["mistake"]["code"] == "SyntaxError"
    assert owner.post("/api/v1/query/check", json={"query": "x" * 50_001}).status_code == 400


def test_the_workspace_tells_its_functions(owner: httpx.Client) -> None:
    known = owner.get("/api/v1/workspace").json()
    around = next(one for one in known["functions"] if one["name"] == "changes_around")
    assert around["parameters"] == [
        {"name": "moment", "type": "datetime", "default": None},
        {"name": "span", "type": "timespan", "default": "10m"},
    ]
    assert around["body"].startswith("{")
    assert around["body"].endswith("}")
    assert around["documentation"] == "What changed around a moment, on every machine."
    assert {"strcat", "dcount", "bag_unpack", "row_number"} <= set(known["builtInFunctions"])
    assert "externaldata" not in known["builtInFunctions"]


def test_what_is_no_place_is_refused(owner: httpx.Client) -> None:
    for body in ({"query": "x"}, {"query": "x", "offset": -1}, {"query": "x" * 50_001, "offset": 0}, {"offset": 0}):
        assert owner.post("/api/v1/query/completions", json=body).status_code == 400
    answer = owner.post("/api/v1/query/completions", json={"query": "Heart", "offset": 10**9})
    assert [one["label"] for one in answer.json()["value"]] == ["Heartbeat"]


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, data: str, home: str) -> None:
        self._written = ""
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "whatchanged", "query", "--data", data],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "dumb", "HOME": home, "XDG_STATE_HOME": home, "COLUMNS": "200"},
            start_new_session=True,
        )
        os.close(theirs)

    def until(self, words: str) -> str:
        """Return what is written up to some words; what follows them is kept."""
        while words not in self._written:
            if not select.select([self.ours], [], [], 90)[0]:
                pytest.fail(f"{words!r} does not come; there is {self._written!r}")
            self._written += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x07", "", os.read(self.ours, 4096).decode())
        found, _, self._written = self._written.partition(words)
        return found

    def write(self, text: str) -> None:
        os.write(self.ours, text.encode())


def test_a_terminal_completes_and_answers(server: RunningServer, owner: httpx.Client, tmp_path: Any) -> None:
    terminal = Terminal(server.data, str(tmp_path))
    try:
        terminal.until("kql> ")
        for typed, completed in (("Confi\tC\t", "Change"), (" | summ\t", "summarize"), (" n = cou\t()", "count()")):
            terminal.write(typed)
            terminal.until(completed)
        terminal.write("\r")
        terminal.until("... ")
        terminal.write("| where n !b\t (5 .. 6)")  # of the columns as they are there
        terminal.until("between (5 .. 6)")
        terminal.write("\r\r")
        assert terminal.until("kql> ").split() == ["...", "n", "0"]
        terminal.write("\x04")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.ours)
