"""Every command against a live installation, for people and for programs; and bad input to its server."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.conftest import Installation, eventually, linux_rule
from whatchanged.records.tables import TABLES

HOSTILE = (b"new\nline", b"\x1b]0;title\x07\x1b[31mred", b"\xff\xfe", "\u202eevil\u200b".encode())
COLUMNS = {column.name for table in TABLES for column in table.columns}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("live"))
    units = made.root / "etc/systemd/system"
    (units / "one.service").write_text("[Service]\nExecStart=/bin/true\n")
    (made.root / "var/lib/dpkg/status").write_text(
        "Package: fine\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: Jo <jo@example.org>\nDescription: fine\n\n"
    )
    (made.real_tree / "plain").write_text("plain")
    try:
        made.start()
        made.looked()
        for name in HOSTILE:
            with open(os.path.join(os.fsencode(made.real_tree), name), "wb") as stream:
                stream.write(name)
        made.settled()
        eventually(lambda: len(made.changes()) == len(HOSTILE), what="the changes have arrived")
        yield made
    finally:
        made.end()


def ask(live: Installation, *arguments: str) -> str:
    """Run a command; what it writes must be harmless on a terminal."""
    done = live.command(*arguments, check=False)
    assert done.returncode == 0, done.stderr
    assert_harmless(done.stdout + done.stderr)
    return done.stdout


def rows(live: Installation, *arguments: str) -> list[dict[str, Any]]:
    text = ask(live, *arguments, "--json")
    assert text.isascii()
    found: list[dict[str, Any]] = json.loads(text)
    assert isinstance(found, list)
    return found


def assert_harmless(text: str) -> None:
    assert all(character == "\n" or character.isprintable() for character in text), ascii(text)


def test_changes(live: Installation) -> None:
    found = rows(live, "changes")
    assert len(found) == len(HOSTILE)
    assert set().union(*found) <= COLUMNS
    assert {row["ChangeCategory"] for row in found} == {"Added"}
    text = ask(live, "changes", "--kind", "Files", "--from", "1h", "--path", "/srv/tree")
    assert len(text.splitlines()) == len(HOSTILE) + 1  # a newline in a name makes no line
    assert rows(live, "changes", "--category", "Removed") == []


@pytest.mark.parametrize(
    ("kind", "column", "name"),
    [
        ("files", "FileSystemPath", "/srv/tree/plain"),
        ("software", "SoftwareName", "fine"),
        ("daemons", "SvcName", "one.service"),
    ],
)
def test_inventory(live: Installation, kind: str, column: str, name: str) -> None:
    found = rows(live, "inventory", kind)
    assert name in [row[column] for row in found]
    assert set().union(*found) <= COLUMNS
    assert name in ask(live, "inventory", kind)
    assert [row[column] for row in rows(live, "inventory", kind, "--name", name)] == [name]


def test_query(live: Installation, tmp_path: Path) -> None:
    counted = rows(live, "query", "ConfigurationChange | summarize changes = count() by ConfigChangeType")
    assert counted == [{"ConfigChangeType": "Files", "changes": len(HOSTILE)}]
    assert "ConfigChangeType" in ask(live, "query", "ConfigurationChange | take 1")
    asked = tmp_path / "asked.kql"
    asked.write_text("// what is there\nConfigurationData | where SoftwareName == 'fine'\n\n| project CurrentVersion")
    assert rows(live, "query", "--file", str(asked)) == [{"CurrentVersion": "1.0"}]
    formula = "print x='=cmd()', y='a,\"b\"', z=-1, t=true"
    assert ask(live, "query", "--csv", formula) == 'x,y,z,t\n\'=cmd(),"a,""b""",-1,true\n'
    wrong = live.command("query", "ConfigurationChange | where Compter == 'x'", check=False)
    assert wrong.returncode == 1
    message, line, mark, hint = wrong.stderr.strip().split("\n")
    assert message.startswith("error: ")
    assert line[mark.index("^") :].startswith("Compter")
    assert hint == "did you mean Computer?"


QUERIES = (Path(__file__).parent / "queries.kql").read_text().split("\n----\n")


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_the_queries_that_people_run(live: Installation, query: str) -> None:
    rows(live, "query", query)


def test_what_people_build_by_hand(live: Installation) -> None:
    [machine] = rows(live, "query", "Heartbeat | distinct Computer")
    [without] = rows(live, "query", "machines_without('nothing') | project Computer")
    assert without == machine
    assert rows(live, "query", "machines_without('fine')") == []
    counted = rows(live, "query", "changes_around(now(), 1h) | summarize n = count() by ChangeCategory")
    assert counted == [{"ChangeCategory": "Added", "n": len(HOSTILE)}]
    at = "ConfigurationData | where TimeGenerated < datetime(2020-01-01) | count"
    assert rows(live, "query", at) == [{"Count": 0}]


def test_machines_and_status(live: Installation) -> None:
    (machine,) = rows(live, "machines")
    assert machine["id"] in ask(live, "machines")
    status = rows(live, "status")
    said = {(row["Component"], row["Name"]): row["Value"] for row in status if "Name" in row}
    assert said["Tracker", "configuration.kinds"] == ["Daemons", "Files", "Software"]
    assert (said["Forwarder", "running"], said["Forwarder", "machineId"]) == (True, machine["id"])
    assert "Collected" in {row.get("Reason") for row in status}
    shown = ask(live, "status")
    assert "0 records wait" in shown
    assert "Collected" in shown


def test_scan_why_and_collect(live: Installation) -> None:
    assert {row["Kind"] for row in rows(live, "scan")} >= {"Files", "Software", "Daemons"}
    assert {row["Kind"] for row in rows(live, "scan", "files")} == {"Files"}
    (machine,) = rows(live, "machines")
    assert len(rows(live, "scan", "--machine", machine["id"])) == 3
    (why,) = rows(live, "why", "/srv/tree/plain")
    assert why["tracked"] is True
    assert "It is in the inventory." in ask(live, "why", "/srv/tree/plain")
    assert "It is not in the inventory." in ask(live, "why", "/srv/elsewhere\n\x1b[31m")
    assert "It is in the inventory." in ask(live, "why", os.fsdecode(b"/srv/tree/\xff\xfe"))
    (why,) = rows(live, "why", os.fsdecode(b"/srv/tree/\xff\xfe"))
    assert os.fsencode(why["path"]) == b"/srv/tree/\xff\xfe"
    root = ["--root", str(live.root)]
    (fine,) = rows(live, "collect", "software", *root)
    assert (fine["SoftwareName"], fine["CurrentVersion"]) == ("fine", "1.0")
    assert "fine" in ask(live, "collect", "software", *root)
    files = rows(live, "collect", "files", "--rule", str(live.rule_file), *root)
    assert len(files) == 1 + len(HOSTILE)
    assert "one.service" in ask(live, "collect", "daemons", *root)


def test_a_mounted_system_needs_no_server(live: Installation, tmp_path: Path) -> None:
    away = {"WHATCHANGED_DATA": str(tmp_path / "nothing")}

    def offline(kind: str, *arguments: str) -> list[dict[str, Any]]:
        done = elsewhere(["inventory", kind, "--root", str(live.root), "--json", *arguments], away)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    assert [row["SoftwareName"] for row in offline("software")] == ["fine"]
    assert [row["SvcName"] for row in offline("daemons")] == ["one.service"]
    assert len(offline("files", "--rule", str(live.rule_file))) == 1 + len(HOSTILE)
    assert elsewhere(["inventory", "files", "--root", str(tmp_path / "no")], away).returncode == 2
    assert elsewhere(["inventory", "files", "--root", str(live.root), "--at", "1h"], away).returncode == 2


def test_rules(live: Installation, tmp_path: Path) -> None:
    file = tmp_path / "second.json"
    file.write_text(json.dumps({**linux_rule(Path("/srv/second")), "name": "second"}))
    assert rows(live, "rules", "check", "--no-count", str(file)) == []
    (counted,) = [row for row in rows(live, "rules", "check", str(file)) if row["Kind"] == "Files"]
    assert (counted["Items"], counted["Detail"]) == (0, "matches nothing here: /srv/second is not there")
    assert "sound" in live.command("rules", "check", str(file)).stderr
    (applied,) = rows(live, "rules", "apply", str(file))
    assert applied["name"] == "second"
    live.command("rules", "associate", "second", "--group", "elsewhere")
    assert {row["name"] for row in rows(live, "rules", "list")} >= {"second", "up"}
    assert "second" in ask(live, "rules", "list")
    (shown,) = rows(live, "rules", "show", "second")
    assert shown["document"]["properties"]
    assert json.loads(ask(live, "rules", "show", "second"))["name"] == "second"
    bad = tmp_path / "bad.json"
    bad.write_text("{ no json")
    for action in ("check", "apply"):
        done = live.command("rules", action, str(bad), check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stdout in ("", "[\n]\n")


def test_users(live: Installation, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery\nnot this line\n")
    (made,) = rows(live, "users", "create", "Ada", "--role", "Contributor", "--password-file", str(password))
    assert (made["name"], made["role"], made["machineGroups"]) == ("Ada", "Contributor", None)
    assert [row["name"] for row in rows(live, "users") if row["name"] == "Ada"] == ["Ada"]
    again = live.command("users", "create", "ada", "--password-file", str(password), check=False)
    assert again.returncode == 1
    assert "already" in again.stderr
    url = address(live)

    def signs_in(**body: str) -> bool:
        return httpx.post(f"{url}/api/v1/sign-in", json=body, trust_env=False).status_code == 200

    assert signs_in(name="ada", password="correct horse battery")
    password.write_text("another long password")
    ask(live, "users", "password", "Ada", "--password-file", str(password))
    assert not signs_in(name="ada", password="correct horse battery")
    assert signs_in(name="ada", password="another long password")
    (link,) = rows(live, "users", "link")
    page, _, secret = link["link"].partition("#")
    assert page == f"{url}/sign-in"
    assert signs_in(link=secret)
    ask(live, "users", "remove", "Ada")
    assert not signs_in(name="ada", password="another long password")


def test_tokens(live: Installation) -> None:
    (made,) = rows(live, "tokens", "create", "auditor")
    (sender,) = rows(live, "tokens", "create", "cmdb", "--role", "Sender", "--rule", "up", "--group", "lab")
    (known,) = [row for row in rows(live, "tokens") if row["id"] == sender["id"]]
    assert (known["Kind"], known["rule"], known["machineGroups"]) == ("Sender", "up", ["lab"])
    ask(live, "tokens", "revoke", sender["id"])
    (listed_sender,) = [row for row in rows(live, "senders") if row["name"] == "cmdb"]
    assert (listed_sender["rule"], listed_sender["machineGroup"], listed_sender["tokens"]) == ("up", "lab", 0)
    ask(live, "senders", "purge", listed_sender["id"])
    assert "cmdb" not in [row["name"] for row in rows(live, "senders")]
    (enrolment,) = rows(live, "tokens", "enroll")
    listed = rows(live, "tokens")
    assert {made["id"], enrolment["id"]} <= {row["id"] for row in listed}
    assert made["token"].rpartition(".")[2] not in json.dumps(listed)
    ask(live, "tokens", "revoke", made["id"])
    with_token = {"WHATCHANGED_URL": address(live), "WHATCHANGED_TOKEN": made["token"]}
    refused = elsewhere(["changes"], with_token)
    assert refused.returncode == 1
    assert "hint: check the token" in refused.stderr


def address(live: Installation) -> str:
    url: str = json.loads((live.data / "server" / "address.json").read_text())["url"]
    return url


def elsewhere(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "whatchanged", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_doctor(live: Installation) -> None:
    findings = rows(live, "doctor")
    assert {row["Check"]: row["Status"] for row in findings}["server"] == "Ok"
    assert "tracker" in ask(live, "doctor")


def test_what_goes_wrong_is_said_with_a_hint(live: Installation, tmp_path: Path) -> None:
    unknown = live.command("inventory", "\x1b[31mthings", check=False)
    assert unknown.returncode == 2
    assert "hint: " in unknown.stderr
    assert_harmless(unknown.stderr)
    away = elsewhere(["changes", "--json"], {"WHATCHANGED_URL": "http://127.0.0.1:1", "WHATCHANGED_TOKEN": "x"})
    assert (away.returncode, away.stdout) == (1, "")
    assert "no answer from http://127.0.0.1:1" in away.stderr
    assert "hint: is the server running?" in away.stderr
    wrong = elsewhere(["machines"], {"WHATCHANGED_URL": address(live), "WHATCHANGED_TOKEN": "wcp1.a.b"})
    assert wrong.returncode == 1
    assert "hint: check the token" in wrong.stderr
    nothing = elsewhere(["status", "--data", str(tmp_path / "empty")], {})
    assert nothing.returncode == 1
    assert "hint: " in nothing.stderr


def test_a_backup_starts_elsewhere(live: Installation, tmp_path: Path) -> None:
    (made,) = rows(live, "backup", "first")
    expected = {row["ChangeId"] for row in live.changes()}
    other = Installation(tmp_path)
    restored = other.command("restore", made["path"], "--json")
    assert json.loads(restored.stdout)[0]["path"]
    assert other.command("restore", made["path"], check=False).returncode != 0  # not over what is there
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "whatchanged", "server", "--port", "0", "--tls", "false", "--data", str(other.data)],
        stdout=log,
        stderr=log,
    )
    try:

        def answers() -> bool:
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            try:
                return other.client().get("/readyz").status_code == 200
            except (OSError, ValueError, httpx.HTTPError):
                return False

        eventually(answers, seconds=90, what="the restored server answers")
        assert {row["ChangeId"] for row in rows(other, "changes")} == expected
        assert [row["SoftwareName"] for row in rows(other, "inventory", "software")] == ["fine"]
        assert rows(other, "machines")[0]["id"] == rows(live, "machines")[0]["id"]
    finally:
        other.close_client()
        server.terminate()
        server.wait(60)
        log.close()


def refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["code"]
    assert answer.json()["error"]["message"]


def rules_of(live: Installation) -> list[dict[str, Any]]:
    """Return the rules without how many machines have them: one enrols meanwhile."""
    found = live.client().get("/api/v1/rules").json()["value"]
    return [{name: value for name, value in rule.items() if name not in ("machines", "confirmed")} for rule in found]


def test_bad_input_is_refused_and_nothing_is_stored_or_lost(live: Installation) -> None:
    before = (live.changes(), live.rows("/api/v1/machines")[0]["id"], rules_of(live))
    token = json.loads(live.command("tokens", "enroll", "--json").stdout)[0]["token"]
    client = httpx.Client(base_url=address(live), trust_env=False, timeout=60)
    with client:
        bearer = {"Authorization": f"Bearer {token}"}
        guest = client.post("/api/v1/enroll", headers=bearer, json={"computer": "guest", "osType": "Linux"}).json()
        client.headers.update({"Authorization": f"Bearer {guest['credential']}", "x-whatchanged-instance": "guest-1"})
        path = f"/dataCollectionRules/{guest['implicitRuleId']}/streams/"
        stream = f"{path}CONFIG_CHANGE_BLOB_V2?api-version=2023-01-01"
        refused(client.post(stream, content=b"{", headers={"Content-Type": "application/json"}), 400)
        refused(client.post(stream, json=[{"TimeGenerated": "never", "Size": "big"}]), 400)
        refused(client.post(stream, json=[1, 2]), 400)
        refused(client.post(stream, content=b"[" + b" " * (2 << 20) + b"]"), 413)
        bomb = gzip.compress(b"[" + b" " * (64 << 20) + b"]")
        refused(client.post(stream, content=bomb, headers={"Content-Encoding": "gzip"}), 413)
        refused(client.post(f"{path}NO_SUCH_STREAM?api-version=2023-01-01", json=[]), 400)
        stranger = f"/dataCollectionRules/dcr-{before[1].replace('-', '')}/streams/CONFIG_CHANGE_BLOB_V2"
        refused(client.post(stranger, json=[]), 403)
        refused(client.post(stream, json=[], headers={"Authorization": "Bearer wcm1.a.b"}), 401)
        refused(client.get("/api/v1/changes"), 401)
        # Whose record it is follows from the credential; the body may not say otherwise.
        row = {
            "_Stream": "CONFIG_CHANGE_BLOB_V2",
            "_Epoch": "0" * 32,
            "_Sequence": 1,
            "TimeGenerated": "2026-01-01T00:00:00.0000000Z",
            "ConfigChangeType": "Files",
            "ChangeCategory": "Added",
            "FileSystemPath": "/guest",
            "SourceComputerId": before[1],
        }
        answer = client.post(stream, json=[row])
        if answer.status_code != 204:
            refused(answer, 400)
    refused(live.client().put("/api/v1/rules/bad", content=b"no json"), 400)
    after = live.changes()
    assert [r for r in after if r["SourceComputerId"] == before[1]] == before[0]
    assert {r["SourceComputerId"] for r in after} <= {before[1], guest["machineId"]}
    assert rules_of(live) == before[2]
