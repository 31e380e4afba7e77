"""The whole server over HTTP: enrol, configure, ingest; and everything that must be refused."""

from __future__ import annotations

import gzip
import json
import os
import select
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import zlib
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest

from integration.server.api.conftest import RunningServer
from whatchanged.errors import SettingsError
from whatchanged.records.carrier import new_epoch
from whatchanged.records.keys import checksum, item_digest, row_key
from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import DEFAULT_RULE
from whatchanged.server.process import ServerSettings, check
from whatchanged.settings import DataFolder

CHANGES = "CONFIG_CHANGE_BLOB_V2"


def change(epoch: str, sequence: int) -> dict[str, Any]:
    return {
        "_Stream": CHANGES,
        "_Epoch": epoch,
        "_Sequence": sequence,
        "TimeGenerated": time_text(now_ns()),
        "ConfigChangeType": "Files",
        "ChangeCategory": "Added",
        "FileSystemPath": f"/etc/{sequence}.conf",
    }


def assert_error(answer: httpx.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status, (answer.status_code, answer.text)
    body = answer.json()
    assert set(body["error"]) >= {"code", "message"}
    assert all(body["error"].values())
    assert answer.headers["x-ms-request-id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    if code is not None:
        assert body["error"]["code"] == code


def ingestion_path(machine: Any, stream: str = CHANGES) -> str:
    return f"/dataCollectionRules/{machine['implicitRuleId']}/streams/{stream}?api-version=2021-11-01-preview"


def machine_with_changes(server: RunningServer, computer: str) -> Any:
    """Enrol a machine and send twenty changes of it."""
    machine, client = server.enrol(computer)
    epoch = new_epoch()
    with client:
        rows = [{**change(epoch, number), "Computer": computer} for number in range(1, 21)]
        sent = client.post(ingestion_path(machine), json=rows)
        assert sent.status_code == 204, sent.text
    return machine


def test_from_enrolment_to_stored_records(server: Any) -> None:
    machine, client = server.enrol()
    with client:
        answer = client.get(f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux")
        assert answer.status_code == 200
        configuration = answer.json()["configurations"][0]
        assert configuration["content"]["dataSources"][0]["kind"] == "extension"
        etag = {"if-none-match": answer.headers["etag"]}
        same = client.get(f"{machine['resourceId']}/agentConfigurations?platform=linux", headers=etag)
        assert same.status_code == 304
        channel = configuration["content"]["channels"][0]
        assert channel["tokenEndpointUri"].startswith(server.url)
        issued = client.get(channel["tokenEndpointUri"])
        assert "max-age" in issued.headers["cache-control"]
        token = issued.json()["ingestionAuthToken"]
    address = channel["endpointUriTemplate"].replace("<STREAM>", CHANGES)
    epoch = new_epoch()
    records = [change(epoch, number) for number in (1, 2, 3)]
    headers = {"content-encoding": "gzip", "x-ms-client-request-id": "one"}
    with server.client(token) as sender:
        for _ in range(2):  # the second time they are duplicates
            stored = sender.post(address, content=gzip.compress(json.dumps(records).encode()), headers=headers)
            assert stored.status_code == 204, stored.text
            assert stored.headers["x-ms-client-request-id"] == "one"
        deflated = zlib.compress(json.dumps([change(epoch, 4)]).encode())
        assert sender.post(address, content=deflated, headers={"content-encoding": "deflate"}).status_code == 204
        other_rule = sender.post(ingestion_path(machine), json=[change(epoch, 5)])
        assert_error(other_rule, 403)
    with server.owner as owner:
        path = {"machine": machine["machineId"], "limit": "3"}
        page = owner.get("/api/v1/changes", params=path).json()
        rest = owner.get("/api/v1/changes", params={**path, "cursor": page["nextCursor"]}).json()
        assert sorted(row["FileSystemPath"] for row in page["value"] + rest["value"]) == [
            f"/etc/{number}.conf" for number in (1, 2, 3, 4)
        ]
        assert "nextCursor" not in rest
    with server.client(None) as anyone:
        counters = anyone.get("/metrics").text
    assert f'whatchanged_ingested_rows_total{{stream="{CHANGES}",outcome="stored"}} 4' in counters
    assert f'whatchanged_ingested_rows_total{{stream="{CHANGES}",outcome="duplicate"}} 3' in counters


def test_bad_uploads_are_refused_for_good(server: Any) -> None:
    machine, client = server.enrol()
    other, other_client = server.enrol("web-2")
    other_client.close()
    path = ingestion_path(machine)
    bomb = gzip.compress(b"[" + b" " * (64 << 20) + b"]")
    assert len(bomb) < 1 << 20
    gz = {"content-encoding": "gzip"}
    with client:
        assert_error(client.post(path, content=b"{"), 400)
        assert_error(client.post(path, json={}), 400)
        assert_error(client.post(path, content=b"no gzip", headers=gz), 400)
        assert_error(client.post(path, content=bomb, headers=gz), 413)
        assert_error(client.post(path, content=b"[" + b" " * (1 << 20) + b"]"), 413)
        assert_error(client.post(path, content=b"[]", headers={"content-encoding": "br"}), 400)
        assert_error(client.post(ingestion_path(machine, "Custom-X"), json=[]), 404, "UnknownStream")
        assert_error(client.post(ingestion_path(machine, "X"), json=[]), 400, "UnknownStream")
        assert_error(client.post(ingestion_path(other), json=[]), 403)
        unknown = {"implicitRuleId": "dcr-" + "0" * 32}
        assert_error(client.post(ingestion_path(unknown), json=[]), 404, "RuleNotFound")


def test_an_unknown_sender_is_refused_before_its_body_is_read(server: Any) -> None:
    """The answer comes although the announced body never does."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"POST /dataCollectionRules/dcr-1/streams/X HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            b"Authorization: Bearer wcm1.a.b\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401")


def test_a_machine_that_sends_slowly_takes_no_place_from_others(server: Any) -> None:
    slow, client = server.enrol("slow")
    client.close()
    other, other_client = server.enrol("other")
    host, port = server.url.removeprefix("http://").split(":")
    begun = (
        f"POST {ingestion_path(slow)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer {slow['credential']}\r\nx-whatchanged-instance: life-1\r\n\r\n["
    )
    with ExitStack() as held, other_client:
        connections = [held.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(70)]
        for connection in connections:
            connection.sendall(begun.encode())
        refused = 0
        while refused < 62:
            ready, _, _ = select.select(connections, [], [], 20)
            assert ready, "nobody was refused"
            for connection in ready:
                assert connection.recv(4096).startswith(b"HTTP/1.1 429")
                connections.remove(connection)
                refused += 1
        assert other_client.post(ingestion_path(other), json=[change(new_epoch(), 1)]).status_code == 204


def test_a_held_request_wakes_when_something_is_new(server: Any) -> None:
    machine, client = server.enrol()
    address = f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux"
    answers: list[httpx.Response] = []
    with client, server.owner as owner, server.client(None) as anyone:
        etag = {"if-none-match": client.get(address).headers["etag"]}
        thread = threading.Thread(target=lambda: answers.append(client.get(address + "&waitSeconds=55", headers=etag)))
        thread.start()
        while "whatchanged_waiting_machines 1" not in anyone.get("/metrics").text:
            time.sleep(0.02)
        asked = owner.post(
            f"/api/v1/machines/{machine['machineId']}/requests", json={"request": "scan", "kind": "Files"}
        )
        assert asked.status_code == 202
        thread.join(10)
        assert not thread.is_alive()
        request = answers[0].json()["requests"][0]
        assert (request["id"], request["request"]) == (asked.json()["id"], "scan")
        body = {"success": True, "result": {"items": 3}}
        done = client.post(f"/api/v1{machine['resourceId']}/agentConfigurations/requests/{request['id']}", json=body)
        assert done.status_code == 204
        kept = owner.get(f"/api/v1/machines/{machine['machineId']}/requests/{request['id']}").json()
        assert (kept["state"], kept["result"]) == ("answered", {"items": 3})


def test_a_clone_is_refused_and_reported(server: Any) -> None:
    machine, first = server.enrol(instance="first")
    address = f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux"
    clone = server.client(machine["credential"], **{"x-whatchanged-instance": "clone"})
    with first, clone:
        assert first.get(address).status_code == 200
        assert clone.get(address).status_code == 200
        time.sleep(2.1)  # the grace in which requests of a former life may still arrive
        assert first.get(address).status_code == 200
        assert_error(clone.get(address), 403, "MachineCloned")
        assert_error(clone.post(ingestion_path(machine), json=[]), 403, "MachineCloned")
        assert first.get(address).status_code == 200
    with server.owner as owner:
        rows = owner.get("/api/v1/health", params={"machine": machine["machineId"], "reason": "Cloned"}).json()["value"]
    assert [(row["Component"], row["Status"]) for row in rows] == [("Server", "Error")]


def test_rotation_and_revocation(server: Any) -> None:
    machine, client = server.enrol()
    _, other_client = server.enrol("web-9")
    address = f"/api/v1{machine['resourceId']}/agentConfigurations"
    with client, other_client, server.owner as owner:
        assert_error(other_client.get(address), 403)
        fresh = client.post("/api/v1/machine/credential").json()["credential"]
        assert client.get(address).status_code == 200
        with server.client(fresh) as renewed:
            assert renewed.get(address).status_code == 200
            assert_error(client.get(address), 401, "InvalidCredential")
            assert owner.post(f"/api/v1/machines/{machine['machineId']}/revoke").status_code == 204
            assert_error(renewed.get(address), 403, "MachineRevoked")


def test_machine_groups_limit_what_is_seen(server: Any) -> None:
    mine, client = server.enrol("a", group="mine")
    client.close()
    other, client = server.enrol("b", group="other")
    client.close()
    with server.owner as owner:
        body = {"name": "limited", "role": "Contributor", "machineGroups": ["mine"]}
        token = owner.post("/api/v1/tokens", json=body).json()["token"]
    with server.client(token) as limited:
        assert {row["id"] for row in limited.get("/api/v1/machines").json()["value"]} == {mine["machineId"]}
        assert_error(limited.get(f"/api/v1/machines/{other['machineId']}"), 404)
        request = {"request": "scan"}
        assert_error(limited.post(f"/api/v1/machines/{other['machineId']}/requests", json=request), 404)
        assert limited.post(f"/api/v1/machines/{mine['machineId']}/requests", json=request).status_code == 202
        assert_error(limited.put("/api/v1/associations/x", json={"rule": "default", "group": "other"}), 403)
        assert_error(limited.put("/api/v1/rules/x", json={}), 403)
        assert_error(limited.delete("/api/v1/associations/default-default"), 403)


def test_errors_have_one_shape(server: Any) -> None:
    with server.owner as owner:
        assert_error(owner.get("/nothing"), 404)
        assert_error(owner.delete("/healthz"), 405)
        assert_error(owner.post("/api/v1/tokens", json={"name": 1}), 400)
        assert_error(owner.post("/api/v1/tokens", content=b"{"), 400)
        assert_error(owner.put("/api/v1/rules/x", content=b"[}"), 400, "InvalidRule")
        assert_error(owner.get("/api/v1/audit?limit=x"), 400)
        assert_error(owner.get("/api/v1/machines/nobody"), 404)
        assert_error(owner.put("/api/v1/rules/x", content=b" " * (3 << 20)), 413)
        deep = b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        assert_error(owner.post("/api/v1/tokens", content=deep), 400)
        assert_error(owner.put("/api/v1/rules/x", content=deep), 400, "InvalidRule")


@pytest.mark.parametrize("odd", ["1e999", '"\\ud800"'])
def test_a_rule_that_could_not_be_read_back_is_refused(server: Any, odd: str) -> None:
    document = json.dumps({**DEFAULT_RULE, "odd": 0})
    with server.owner as owner:
        assert_error(owner.put("/api/v1/rules/odd", content=document.replace('"odd": 0', f'"odd": {odd}')), 400)
        marked = owner.put("/api/v1/rules/marked", content=b"\xef\xbb\xbf" + document.encode())
        assert marked.json()["document"] == {**DEFAULT_RULE, "odd": 0}
        assert owner.get("/api/v1/rules").status_code == 200
        owner.delete("/api/v1/rules/marked")


def test_counters_are_exact_and_tell_of_gaps(server: Any) -> None:
    machine, client = server.enrol()
    with client, server.client(None) as anyone:
        assert client.post(ingestion_path(machine), json=[change(new_epoch(), 1_234_568)]).status_code == 204
        counters = anyone.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in counters.splitlines() if not line.startswith("#"))
    assert float(found["whatchanged_ingestion_gaps_total"]) >= 1
    assert float(found["whatchanged_ingestion_lost_records_total"]) % 1000 == 567
    assert float(found["whatchanged_ingestion_queue_depth"]) == 0


@pytest.mark.root
def test_a_full_disk_refuses_for_now_and_loses_nothing(tmp_path: Any, serve: Any) -> None:
    data = tmp_path / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(data)], check=True)
    try:
        with serve(str(data), tls="off") as running:
            machine, client = running.enrol()
            epoch, stored = new_epoch(), 0
            with client, running.owner as owner:
                assert client.get("/readyz").status_code == 200
                ballast = data / "ballast"
                with suppress(OSError), ballast.open("wb") as stream:
                    while True:
                        stream.write(bytes(1 << 16))
                ballast.unlink()
                ballast.write_bytes(bytes(shutil.disk_usage(data).free - (1 << 20)))
                refused = client.post(ingestion_path(machine), json=[change(epoch, n) for n in range(1, 400)])
                assert_error(refused, 503, "StorageFull")
                assert client.get("/readyz").status_code == 503
                assert owner.get("/api/v1/changes").json()["value"] == []
                ballast.unlink()
                again = client.post(ingestion_path(machine), json=[change(epoch, n) for n in range(1, 400)])
                assert again.status_code == 204, again.text
                assert client.get("/readyz").status_code == 200
                stored = len(owner.get("/api/v1/changes?limit=1000").json()["value"])
                assert owner.get("/api/v1/health?reason=Gap").json()["value"] == []
            assert stored == 399
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_operators_need_no_token_on_loopback(server: Any, path: str) -> None:
    with server.client(None) as anyone:
        assert anyone.get(path).status_code == 200
        forwarded = anyone.get(path, headers={"x-forwarded-for": "198.51.100.7"})
        assert forwarded.status_code == (200 if path == "/healthz" else 401)


def test_backups_stay_in_their_folder(server: Any) -> None:
    with server.owner as owner:
        assert_error(owner.post("/api/v1/backup", json={"path": "../elsewhere"}), 400)
        assert_error(owner.post("/api/v1/backup", json={"path": "/tmp/elsewhere"}), 400)


def test_tls_with_its_own_authority_and_a_restart(tmp_path: Any, serve: Any) -> None:
    data = str(tmp_path / "data")
    with serve(data) as running:
        assert running.url.startswith("https://")
        running.verify = False
        with running.client(None) as anyone:
            pem = anyone.get("/api/v1/ca").text
        running.verify = ssl.create_default_context(cadata=pem)
        machine, client = running.enrol()
        with client:
            assert client.get(f"/api/v1{machine['resourceId']}/agentConfigurations").status_code == 200
        token = running.owner_token
    with serve(data) as running:
        running.verify = ssl.create_default_context(cadata=pem)
        assert running.owner_token == token
        with running.client(machine["credential"]) as client, running.owner as owner:
            assert client.get(f"/api/v1{machine['resourceId']}/agentConfigurations").status_code == 200
            assert len(owner.get("/api/v1/machines").json()["value"]) == 1
            assert len(owner.get("/api/v1/rules").json()["value"]) == 1


def test_a_restored_backup_knows_everything(tmp_path: Any, serve: Any) -> None:
    data = str(tmp_path / "data")
    with serve(data, tls="off") as running:
        machine, client = running.enrol()
        with client, running.owner as owner:
            assert client.post(ingestion_path(machine), json=[change(new_epoch(), 1)]).status_code == 204
            made = owner.post("/api/v1/backup", json={})
            assert made.status_code == 201, made.text
            assert_error(owner.post("/api/v1/backup", json={"path": made.json()["path"]}), 409)
    assert stat.S_IMODE(os.stat(made.json()["path"]).st_mode) == 0o700
    other = str(tmp_path / "other")
    restore_elsewhere(other, made.json()["path"])
    with pytest.raises(subprocess.CalledProcessError) as again:
        restore_elsewhere(other, made.json()["path"])
    assert "is not empty" in again.value.stderr
    with serve(other, tls="off") as running, running.client(machine["credential"]) as client, running.owner as owner:
        assert client.get(f"/api/v1{machine['resourceId']}/agentConfigurations").status_code == 200
        (row,) = owner.get("/api/v1/changes").json()["value"]
        assert row["FileSystemPath"] == "/etc/1.conf"


def test_a_rewound_server_tells_what_it_lost_and_asks_for_the_inventory(tmp_path: Any, serve: Any) -> None:
    """The backup is older than records that the machine has dropped since, for they were acknowledged."""
    data, other = str(tmp_path / "data"), str(tmp_path / "other")
    epoch = new_epoch()
    with serve(data, tls="off") as running:
        machine, client = running.enrol(instance="first")
        with client, running.owner as owner:
            send(client, machine, CHANGES, change(epoch, 1))
            send(client, machine, INVENTORY, *numbered(epoch, 1, SNAPSHOT, item("/a"), confirmation(item("/a"))))
            backup = owner.post("/api/v1/backup", json={}).json()["path"]
            send(client, machine, CHANGES, change(epoch, 2), change(epoch, 3))
            send(client, machine, INVENTORY, *numbered(epoch, 4, item("/b"), confirmation(item("/a"), item("/b"))))
    restore_elsewhere(other, backup)
    with serve(other, tls="off") as running:
        credential = {"x-whatchanged-instance": "restarted"}
        with running.client(machine["credential"], **credential) as client, running.owner as owner:
            send(client, machine, CHANGES, change(epoch, 4))
            send(client, machine, INVENTORY, *numbered(epoch, 6, confirmation(item("/a"), item("/b"))))
            gaps = owner.get("/api/v1/health?reason=Gap").json()["value"]
            assert sorted((g["Stream"], g["FirstSequence"], g["LastSequence"], g["LostRecords"]) for g in gaps) == [
                (CHANGES, 2, 3, 2),
                (INVENTORY, 4, 5, 2),
            ]
            address = f"/api/v1{machine['resourceId']}/agentConfigurations?platform=linux"
            deadline = time.monotonic() + 20
            while not (asked := client.get(address).json()["requests"]):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert [(one["request"], one["kind"]) for one in asked] == [("resync", "Files")]
            send(client, machine, INVENTORY, *numbered(epoch, 7, SNAPSHOT, item("/a"), item("/b")))
            send(client, machine, INVENTORY, *numbered(epoch, 10, confirmation(item("/a"), item("/b"))))
            files = owner.get("/api/v1/inventory/files").json()["value"]
            assert [row["FileSystemPath"] for row in files] == ["/a", "/b"]


INVENTORY = "CONFIG_DATA_BLOB_V2"
SNAPSHOT = {"_Record": "Snapshot", "ConfigDataType": "Files"}


def item(path: str) -> dict[str, Any]:
    return {"ConfigDataType": "Files", "FileSystemPath": path, "Name": path[1:], "Size": 1}


def confirmation(*items: dict[str, Any]) -> dict[str, Any]:
    found = checksum(sorted((row_key(row)[1], item_digest(row)) for row in items))
    return {"_Record": "Confirmation", "ConfigDataType": "Files", "Items": len(items), "Checksum": found}


def numbered(epoch: str, first: int, *records: dict[str, Any]) -> list[dict[str, Any]]:
    carrier = {"_Stream": INVENTORY, "_Epoch": epoch, "TimeGenerated": time_text(now_ns())}
    return [{**carrier, "_Sequence": number, **record} for number, record in enumerate(records, first)]


def send(client: httpx.Client, machine: Any, stream: str, *records: dict[str, Any]) -> None:
    answer = client.post(ingestion_path(machine, stream), json=records)
    assert answer.status_code == 204, answer.text


def restore_elsewhere(data: str, backup: str) -> None:
    # In a process of its own: the engine takes one folder a process.
    program = (
        "import sys; from whatchanged.server.process import restore; from whatchanged.settings import DataFolder; "
        "restore(DataFolder(sys.argv[1]), sys.argv[2])"
    )
    command = [sys.executable, "-c", program, data, backup]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


def test_plain_http_is_refused_beyond_loopback(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match="clear text"):
        check(ServerSettings(data=DataFolder(str(tmp_path)), host="192.0.2.1", tls="off"))
