"""Saved queries over a real server: kept, checked, asked by name, exported with backups, and safe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.server.api.conftest import RunningServer
from integration.server.api.test_server_over_http import change, ingestion_path, restore_elsewhere
from whatchanged.records.carrier import new_epoch
from whatchanged.server.query import BUILT_IN

QUERY = (
    "declare query_parameters(path: string, most: long = 5, within: timespan = 1d);\n"
    "ConfigurationChange | where FileSystemPath endswith path and TimeGenerated > ago(within) | project FileSystemPath"
    " | take most"
)

SERVICE = {"ConfigChangeType": "WindowsServices", "ChangeCategory": "Modified", "SvcChangeType": "State"}
STOPPED = {"SvcState": "Stopped", "SvcPreviousState": "Running", "SvcStartupType": "Auto"}
KEY = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet"
OTHERS: list[dict[str, Any]] = [
    {"ConfigChangeType": "Software", "ChangeCategory": "Removed", "SoftwareName": "gone"},
    {"ConfigChangeType": "Software", "ChangeCategory": "Added", "SoftwareName": "fine"},
    {**SERVICE, **STOPPED, "SvcName": "W3SVC"},
    {**SERVICE, "SvcName": "spooler", "SvcState": "Running", "SvcPreviousState": "Stopped"},
    {**SERVICE, "ConfigChangeType": "Daemons", "SvcName": "ssh.service", "SvcState": "Stopped"},
    {"ChangeCategory": "Modified", "FieldsChanged": "FileContentChecksum,Size", "FileSystemPath": "/etc/hosts"},
    {"FileSystemPath": "C:\\Windows\\System32\\drivers\\new.sys"},
    *(
        {"ConfigChangeType": "Registry", "RegistryKey": key, "ValueName": "x"}
        for key in (
            f"{KEY}\\Control\\Session Manager\\KnownDLLs",
            "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\QualityCompat",
            f"{KEY}\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\StandardProfile",
        )
    ),
]


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Iterator[httpx.Client]:
    machine, client = server.enrol("saved-1")
    epoch = new_epoch()
    with client:
        files = [change(epoch, n) for n in range(1, 21)]
        others = [{**change(epoch, n), "FileSystemPath": "", **more} for n, more in enumerate(OTHERS, 21)]
        sent = client.post(ingestion_path(machine), json=[*files, *others])
        assert sent.status_code == 204, sent.text
    with server.owner as made:
        yield made


def token(owner: httpx.Client, role: str, groups: list[str] | None = None) -> str:
    made = owner.post("/api/v1/tokens", json={"name": f"a {role}", "role": role, "machineGroups": groups})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def save(owner: httpx.Client, name: str, query: str = QUERY, **content: Any) -> httpx.Response:
    headers = content.pop("headers", {})
    return owner.put(f"/api/v1/queries/{name}", json={"query": query, **content}, headers=headers)


def ask(client: httpx.Client, name: str, **parameters: str) -> httpx.Response:
    return client.post(f"/api/v1/queries/{name}/results", json={"parameters": parameters})


def rows(answer: httpx.Response) -> list[list[Any]]:
    assert answer.status_code == 200, answer.text
    found: list[list[Any]] = answer.json()["tables"][0]["rows"]
    return found


def test_a_query_is_saved_read_changed_and_removed(owner: httpx.Client) -> None:
    made = save(owner, "Files ending (1)", description="which files", category="Files", tags=["files", "mine"])
    assert made.status_code == 201, made.text
    row = made.json()
    assert row["parameters"] == [
        {"name": "path", "type": "string", "default": None},
        {"name": "most", "type": "long", "default": "5"},
        {"name": "within", "type": "timespan", "default": "1d"},
    ]
    assert row["createdBy"] == "owner of this installation"
    assert made.headers["etag"] == f'"{row["etag"]}"'
    assert owner.get("/api/v1/queries/FILES ENDING (1)").json() == row
    assert row in owner.get("/api/v1/queries").json()["value"]
    again = save(owner, "files ending (1)", description="other words")
    assert again.status_code == 200
    assert (again.json()["name"], again.json()["tags"]) == ("Files ending (1)", [])
    assert again.json()["createdAt"] == row["createdAt"]
    assert owner.delete("/api/v1/queries/Files ending (1)").status_code == 204
    assert owner.get("/api/v1/queries/Files ending (1)").status_code == 404
    entries = owner.get("/api/v1/audit").json()["value"]
    done = [entry["action"] for entry in entries if entry["target"].lower() == "files ending (1)"]
    assert done == ["query.remove", "query.put", "query.put"]


def test_changes_that_cross_are_noticed(owner: httpx.Client) -> None:
    first = save(owner, "crossing", headers={"If-None-Match": "*"})
    assert first.status_code == 201
    assert save(owner, "crossing", headers={"If-None-Match": "*"}).status_code == 412
    etag = first.headers["etag"]
    assert save(owner, "crossing", "print 1", headers={"If-Match": etag}).status_code == 200
    assert save(owner, "crossing", "print 2", headers={"If-Match": etag}).status_code == 412
    assert owner.delete("/api/v1/queries/crossing", headers={"If-Match": etag}).status_code == 412
    assert save(owner, "nowhere", headers={"If-Match": "*"}).status_code == 412
    assert owner.delete("/api/v1/queries/crossing", headers={"If-Match": "*"}).status_code == 204


@pytest.mark.parametrize(
    ("query", "code", "line"),
    [
        ("ConfigurationChange\n| whre Computer == 'x'", "SyntaxError", 2),
        ("ConfigurationChange | where Compter == 'x'", "SemanticError", 1),
        ("declare query_parameters(n: long);\nprint n + 'x' - 1", "SemanticError", 2),
        ("ConfigurationChange | evaluate python('x')", "SemanticError", 1),
        ("system.tables | take 1", "SemanticError", 1),
    ],
)
def test_what_does_not_compile_is_refused_with_its_place(owner: httpx.Client, query: str, code: str, line: int) -> None:
    answer = save(owner, "wrong", query)
    assert answer.status_code == 400
    inner = answer.json()["error"]["innererror"]
    assert (inner["code"], inner["line"]) == (code, line)
    assert owner.get("/api/v1/queries/wrong").status_code == 404


def test_columns_that_come_out_of_rows_are_no_reason_to_refuse(owner: httpx.Client) -> None:
    pivot = "ConfigurationChange | evaluate pivot(ConfigChangeType, count(), Computer) | project Computer, Files"
    assert save(owner, "pivoted", pivot).status_code == 201
    assert len(rows(ask(owner, "pivoted"))) >= 1
    assert save(owner, "pivoted", pivot.replace("evaluate", "where Compter == '' | evaluate")).status_code == 400


def test_a_saved_query_is_asked_by_name(owner: httpx.Client) -> None:
    save(owner, "ending")
    assert sorted(rows(ask(owner, "ending", path="7.conf"))) == [["/etc/17.conf"], ["/etc/7.conf"]]
    assert len(rows(ask(owner, "Ending", path=".conf"))) == 5
    assert len(rows(ask(owner, "ending", path=".conf", most="7"))) == 7
    assert rows(ask(owner, "ending", path=".conf", within="0s")) == []
    assert ask(owner, "never saved").status_code == 404


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "path (string) wants a value"),
        ({"path": "x", "other": "1"}, "no parameter 'other'"),
        ({"path": "x", "most": "many"}, "most: a long is expected"),
        ({"path": "x", "most": "1 or 1"}, "most: a long is expected"),
        ({"path": "x", "most": str(1 << 63)}, "most: a long is expected"),
        ({"path": "x", "within": "1d) or true"}, "within: a timespan is expected"),
    ],
)
def test_values_that_do_not_fit_are_refused(owner: httpx.Client, parameters: dict[str, str], words: str) -> None:
    save(owner, "ending")
    answer = ask(owner, "ending", **parameters)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "value",
    [
        '" or true //', "' or true --", "' | union ConfigurationData", "'; DROP TABLE ConfigurationChange; --", "\\",
        "\0", "x') UNION ALL SELECT name FROM system.tables --", "{p1:String}", "\\'", "%' OR '1'='1",
        "\U0001f600", "} {view_machines:Array(String)}",
    ],
)  # fmt: skip
def test_a_value_is_a_value_whatever_it_says(owner: httpx.Client, value: str) -> None:
    save(owner, "ending")
    assert rows(ask(owner, "ending", path=value)) == []
    save(owner, "echo", "declare query_parameters(value: string); print value, strlen(value)")
    assert rows(ask(owner, "echo", value=value)) == [[value, len(value)]]


@pytest.mark.parametrize(
    "name",
    [
        "a'b",
        'a"b',
        "a;b",
        "..%2f..%2faudit",
        "a%2fb",
        "a%00b",
        "%20a",
        "a%0Ab",
        "$(id)",
        "x" * 201,
        "{a}",
        "ä",
        "a--%27",
    ],
)
def test_a_name_is_a_name(owner: httpx.Client, name: str) -> None:
    assert save(owner, name, "print 1").status_code in (400, 404)
    assert ask(owner, name).status_code == 404
    assert name not in [row["name"] for row in owner.get("/api/v1/queries").json()["value"]]


def test_readers_ask_and_do_not_write(owner: httpx.Client, server: RunningServer) -> None:
    save(owner, "ending")
    with server.client(token(owner, "Reader")) as reader:
        assert len(rows(ask(reader, "ending", path=".conf"))) == 5
        assert save(reader, "mine").status_code == 403
        assert reader.delete("/api/v1/queries/ending").status_code == 403
    with server.client(token(owner, "Contributor")) as contributor:
        assert save(contributor, "of a contributor").json()["createdBy"] == "a Contributor"
    with server.client(token(owner, "Contributor", ["elsewhere"])) as limited:
        assert save(limited, "ending").status_code == 403
        assert rows(ask(limited, "ending", path=".conf")) == []  # its own machines only, whoever saved it


def test_what_is_built_in_stays(owner: httpx.Client) -> None:
    answer = save(owner, "Removed-Software", "print 1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "Conflict")
    assert owner.delete("/api/v1/queries/removed-software").status_code == 409
    row = owner.get("/api/v1/queries/removed-software").json()
    assert (row["builtIn"], row["createdBy"]) == (True, None)
    assert owner.get("/api/v1/queries/removed-software").headers["etag"] == f'"{row["etag"]}"'


def test_the_limits(owner: httpx.Client) -> None:
    assert save(owner, "long", "print 1" + " " * 100_000).status_code == 400
    assert save(owner, "empty", "").status_code == 400
    assert save(owner, "tags", "print 1", tags=["x"] * 21).status_code == 400
    assert owner.put("/api/v1/queries/none", json={"description": "no query"}).status_code == 400
    assert save(owner, "deep", "print " + "(" * 5000).status_code == 400


def test_a_backup_holds_the_saved_queries(tmp_path: Any, serve: Any) -> None:
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    with serve(before, tls="off") as server, server.owner as client:
        row = save(client, "kept", description="of yesterday").json()
        backup = client.post("/api/v1/backup", json={}).json()["path"]
    restore_elsewhere(after, backup)
    with serve(after, tls="off") as server, server.owner as client:
        assert client.get("/api/v1/queries/kept").json() == row


WANTED = {
    "software-of-another-version": {"program": "a", "version": "1"},
    "changes-around": {"moment": "2026-01-01T00:00:00Z"},
    "machines-without": {"program": "nothing"},
}
COUNTS = {
    "removed-software": 1,
    "new-software": 1,
    "software-changes": 2,
    "software-changes-by-computer": 1,
    "software-changes-by-category": 2,
    "service-changes": 3,
    "stopped-services": 1,
    "auto-services-that-stopped-lately": 1,
    "service-stopped": 1,
    "daemon-not-running": 1,
    "started-services": 1,
    "file-content-changed": 1,
    "driver-files-changed": 1,
    "registry-key-changed": 1,
    "antivirus-key-changed": 1,
    "firewall-policy-changed": 1,
}
"""What they find in the records of this module."""


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_every_built_in_query_is_answered(owner: httpx.Client, name: str) -> None:
    found = rows(ask(owner, name, **WANTED.get(name, {})))
    assert len(found) == COUNTS.get(name, len(found))


# The command


@pytest.fixture
def run(owner: httpx.Client, server: RunningServer) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "whatchanged", "query", *arguments, "--data", server.data],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return command


def test_the_command_lists_saves_asks_and_removes(run: Any, tmp_path: Path) -> None:
    def rows_of(*arguments: str) -> list[dict[str, Any]]:
        answer = run(*arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        found: list[dict[str, Any]] = json.loads(answer.stdout)
        return found

    assert {"removed-software", "version-drift"} <= {row["name"] for row in rows_of("--list")}
    assert "path: string = /etc/passwd" in run("--list").stdout
    text = tmp_path / "having.kql"
    text.write_text(QUERY)
    (saved,) = rows_of("--save", "having", "--file", str(text), "--description", "who has", "--tag", "x")
    assert (saved["name"], saved["description"], saved["tags"]) == ("having", "who has", ["x"])
    asked = ("--saved", "having", "--param", "path=/17.conf")
    assert rows_of(*asked) == [{"FileSystemPath": "/etc/17.conf"}]
    assert rows_of(*asked, "--param", "most=0") == []
    assert run(*asked, "--csv").stdout == "FileSystemPath\n/etc/17.conf\n"
    assert rows_of("declare query_parameters(n: long); print n = n", "--param", "n=5") == [{"n": 5}]
    rows_of("--remove", "having")
    assert "having" not in {row["name"] for row in rows_of("--list")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--saved", "same-file", "--param", "path"), "is no NAME=VALUE"),
        (("--saved", "same-file", "--param", "path=a", "--param", "path=b"), "is given twice"),
        (("--saved", "machines-without"), "program (string) wants a value"),
        (("--saved", "nobody"), "there is no Query 'nobody'"),
        (("--saved", "../rules/default"), "is no name of a query"),
        (("--remove", ".."), "is no name of a query"),
        (("--save", "broken", "ConfigurationChange | whre x"), "did you mean where?"),
        (("--save", "version-drift", "print 1"), "is built in"),
        (("--remove", "version-drift"), "is built in"),
        (("--saved", "version-drift", "print 1"), "not both"),
    ],
)
def test_the_command_says_what_is_wrong(run: Any, arguments: tuple[str, ...], words: str) -> None:
    answer = run(*arguments)
    assert answer.returncode != 0
    assert words in answer.stderr
