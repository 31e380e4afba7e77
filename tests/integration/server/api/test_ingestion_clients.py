"""Records of programs that are no machines of ours, sent by the unmodified client library."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import gzip
import io
import json
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceResponseError
from azure.monitor.ingestion import LogsIngestionClient, LogsUploadError
from fluent.sender import FluentSender

from integration.server.api.conftest import RunningServer
from whatchanged.forwarder import heartbeat, identity, process
from whatchanged.forwarder.settings import ForwarderSettings
from whatchanged.records.carrier import new_epoch
from whatchanged.settings import DataFolder

CHANGES = "Microsoft-ConfigurationChange"
INVENTORY = "Microsoft-ConfigurationData"
RULE: dict[str, Any] = {
    "properties": {
        "streamDeclarations": {
            "Custom-Switches": {
                "columns": [
                    {"name": "TimeGenerated", "type": "datetime"},
                    {"name": "Computer", "type": "string"},
                    {"name": "ConfigChangeType", "type": "string"},
                    {"name": "Size", "type": "int"},
                ]
            },
            "Custom-app-log": {
                "columns": [
                    {"name": "TimeGenerated", "type": "datetime"},
                    {"name": "Computer", "type": "string"},
                    {"name": "Name", "type": "string"},
                    {"name": "Size", "type": "long"},
                ]
            },
        },
        "destinations": {"logAnalytics": [{"workspaceResourceId": "x", "name": "here"}]},
        "dataFlows": [
            {"streams": [CHANGES, INVENTORY], "destinations": ["here"]},
            {
                "streams": ["Custom-Switches"],
                "transformKql": "source",
                "outputStream": CHANGES,
                "destinations": ["here"],
            },
            {"streams": ["Custom-app-log"], "outputStream": CHANGES, "destinations": ["here"]},
        ],
    }
}


class PlainToken:
    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self._token, 2**31)


class Sending:
    """A sender with a rule of its own, the client that it uses, and what was stored of it."""

    def __init__(self, server: RunningServer, name: str) -> None:
        self.server, self.name = server, name
        with server.owner as owner:
            answer = owner.put(f"/api/v1/rules/{name}", json=RULE)
            assert answer.status_code in (200, 201), answer.text
            assert answer.json()["problems"] == []
            self.rule = answer.json()["immutableId"]
            made = owner.post("/api/v1/tokens", json={"name": name, "role": "Sender", "rule": name})
            assert made.status_code == 201, made.text
            self.token, self.token_id = made.json()["token"], made.json()["id"]
            [self.id] = [
                row["sender"] for row in owner.get("/api/v1/tokens").json()["value"] if row["id"] == self.token_id
            ]
        self.client = self.client_at(server.url)

    def client_at(self, endpoint: str, token: str | None = None) -> LogsIngestionClient:
        return LogsIngestionClient(endpoint, PlainToken(token or self.token))

    def upload(self, records: Any, stream: str = CHANGES, **options: Any) -> None:
        client = options.pop("client", self.client)
        client.upload(options.pop("rule", self.rule), stream, records, enforce_https=False, **options)

    def count(self, table: str = "ConfigurationChange") -> int:
        return int(self.ask(f"{table} | where SourceComputerId == '{self.id}' | count")[0][0])

    def ask(self, query: str) -> list[list[Any]]:
        with self.server.owner as owner:
            answer = owner.post("/v1/workspaces/default/query", json={"query": query})
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["tables"][0]["rows"]
        return rows

    def refused(self, records: Any, stream: str = CHANGES, **options: Any) -> HttpResponseError:
        """Send what must be refused at once and leave nothing behind."""
        before = self.count()
        with pytest.raises(HttpResponseError) as caught:
            self.upload(records, stream, retry_total=0, **options)
        assert self.count() == before
        assert (retry_after(caught.value) is not None) == (caught.value.status_code in (429, 503))
        return caught.value


def retry_after(error: HttpResponseError) -> str | None:
    response: Any = error.response
    found: str | None = response.headers.get("retry-after")
    return found


def row(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "TimeGenerated": f"2026-03-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
        "Computer": "switch-1",
        "ConfigChangeType": "Files",
        "ChangeCategory": "Modified",
        "FileSystemPath": f"/config/{number}",
        **columns,
    }


def item(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "TimeGenerated": "2026-03-01T00:00:00Z",
        "Computer": "switch-1",
        "ConfigDataType": "Software",
        "SoftwareName": f"firmware-{number}",
        "CurrentVersion": "1",
        **columns,
    }


@pytest.fixture
def sending(server: RunningServer, request: pytest.FixtureRequest) -> Sending:
    return Sending(server, "".join(letter for letter in request.node.name if letter.isalnum() or letter == "_")[:60])


def test_small(sending: Sending) -> None:
    sending.upload(
        [row(1, Size=5), row(2, SourceComputerId="forged", _ResourceId="/forged", Epoch="x", PreviousSize=None)]
    )
    query = "ConfigurationChange | where SourceComputerId == '{}' | sort by FileSystemPath asc"
    columns = "| project Computer, FileSystemPath, Size, Stream, Type, tolower(_ResourceId), isnotempty(ChangeId)"
    resource = f"/providers/microsoft.insights/datacollectionrules/{sending.name}"
    first, second = sending.ask(f"{query.format(sending.id)} {columns}")
    assert first[:5] == ["switch-1", "/config/1", 5, "CONFIG_CHANGE_BLOB", "ConfigurationChange"]
    assert second[1:3] == ["/config/2", None]
    assert first[5].endswith(resource)
    assert first[6]
    assert sending.ask("ConfigurationChange | where SourceComputerId == 'forged' | count") == [[0]]


def test_an_empty_list_and_a_stream_of_bytes(sending: Sending) -> None:
    sending.upload([])
    sending.upload(io.BytesIO(json.dumps([row(1)]).encode()))
    sending.upload(io.BytesIO(gzip.compress(json.dumps([row(2)]).encode())))
    sending.upload(io.BytesIO(b"[]"))
    assert sending.count() == 2


def test_huge_lists_are_split_by_the_client_and_arrive_whole(sending: Sending) -> None:
    rows = [row(number, ValueData="é" * 500) for number in range(6_000)]
    assert len(json.dumps(rows)) > 4 << 20
    sending.upload(rows)
    assert sending.count() == 6_000
    query = f"ConfigurationChange | where SourceComputerId == '{sending.id}' | summarize dcount(ChangeId, 4)"
    assert sending.ask(query)[0][0] in range(5_900, 6_101)


def test_one_id_for_all_pieces_loses_none(sending: Sending) -> None:
    """Whoever names the request gives every piece that name: one id, other bodies."""
    rows = [row(number, ValueData="x" * 1000) for number in range(2_500)]
    for _ in range(2):
        sending.upload(rows, request_id="mine")
    assert sending.count() == 2_500


def test_what_is_too_large_is_refused_and_the_rest_arrives(sending: Sending) -> None:
    noise = random.Random(1)
    wide = {name: noise.randbytes(30_000).hex() for name in ("ValueData", "PreviousValueData")}
    failed: list[LogsUploadError] = []
    large = row(2, ValueData="x" * 60_000, PreviousValueData="x" * 60_000)
    sending.upload([row(1), large, row(3)], on_error=failed.append)
    assert not failed
    body = json.dumps([row(number, **wide) for number in range(25)]).encode()
    assert len(gzip.compress(body)) > 1 << 20
    assert sending.refused(io.BytesIO(gzip.compress(body))).status_code == 413
    assert sending.refused(io.BytesIO(b" " * ((1 << 20) + 1))).status_code == 413
    assert sending.refused(io.BytesIO(gzip.compress(b"[" + b" " * (64 << 20) + b"]"))).status_code == 413
    assert sending.refused([row(4, ValueData="x" * (3 << 20))]).status_code == 413
    sending.upload([row(number, ValueData="y" * 65_000) for number in range(40)], on_error=failed.append)
    assert not failed
    assert sending.count() == 43


@pytest.mark.parametrize(
    ("record", "place", "expected"),
    [
        ({**row(1), "Colour": "red"}, "[1].Colour", "no such column"),
        ({**row(1), "_Stream": "CONFIG_CHANGE_BLOB"}, "[1]._Stream", "no such column"),
        ({**row(1), "_Record": "Snapshot"}, "[1]._Record", "no such column"),
        (row(1, Size="five"), "[1].Size", "int"),
        (row(1, Size=1.5), "[1].Size", "int"),
        (row(1, FileSystemPath=7), "[1].FileSystemPath", "str"),
        (row(1, DateModified="yesterday"), "[1].DateModified", "ISO 8601"),
        (row(1, ValueData="x" * 65_537), "[1].ValueData", "65536"),
        ({"Computer": "switch-1"}, "[1]", "TimeGenerated"),
        (["no", "object"], "[1]", "object"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(server: RunningServer, record: Any, place: str, expected: str) -> None:
    sending = Sending(server, "wrong")
    error = sending.refused([row(0), record, row(2)])
    assert error.status_code == 400
    assert error.error is not None
    assert (error.error.code, error.error.target) == ("InvalidRecord", place)
    assert expected in str(error.error.message)


def test_every_other_error(server: RunningServer, sending: Sending) -> None:
    assert sending.refused(io.BytesIO(b"{}")).status_code == 400
    assert sending.refused(io.BytesIO(b"[{]")).status_code == 400
    assert sending.refused(io.BytesIO(b"\x1f\x8bnot gzip")).status_code == 400
    for stream in ("Custom-Nothing", "Microsoft-Heartbeat", "Whatchanged-TrackingHealth"):
        unknown = sending.refused([row(1)], stream)
        assert (unknown.status_code, unknown.error and unknown.error.code) == (404, "UnknownStream")
    missing = sending.refused([row(1)], rule="dcr-" + "0" * 32)
    assert (missing.status_code, missing.error and missing.error.code) == (404, "RuleNotFound")
    other = Sending(server, "other-rule")
    assert sending.refused([row(1)], rule=other.rule).status_code == 403
    reader = sending.client_at(server.url, server.owner_token)
    assert sending.refused([row(1)], client=reader).status_code == 403
    with pytest.raises(ClientAuthenticationError):
        sending.upload([row(1)], client=sending.client_at(server.url, sending.token + "x"))
    with server.owner as owner:
        assert owner.delete(f"/api/v1/rules/{sending.name}").status_code == 409
        assert owner.delete(f"/api/v1/tokens/{sending.token_id}").status_code == 204
        assert owner.delete(f"/api/v1/rules/{sending.name}").status_code == 204
    with pytest.raises(ClientAuthenticationError):
        sending.upload([row(1)])


def test_a_declared_stream_takes_its_columns_only(sending: Sending) -> None:
    declared = {"TimeGenerated": "2026-03-01T00:00:00Z", "Computer": "switch-2", "Size": 3}
    sending.upload([declared], "Custom-switches")
    error = sending.refused([declared, {**declared, "ChangeCategory": "Added"}], "Custom-Switches")
    assert error.error is not None
    assert error.error.target == "[1].ChangeCategory"
    assert sending.count() == 1


def test_the_inventory_holds_the_latest_of_every_computer(sending: Sending) -> None:
    later = "2026-03-02T00:00:00Z"
    sending.upload([item(1), item(1, Computer="switch-2"), item(2), item(2, CurrentVersion="2")], INVENTORY)
    sending.upload([item(1, CurrentVersion="3", TimeGenerated=later)], INVENTORY)
    sending.upload([item(1, CurrentVersion="late")], INVENTORY)  # an older time that comes later changes nothing
    query = (
        f"ConfigurationData | where SourceComputerId == '{sending.id}' | project Computer, SoftwareName, CurrentVersion"
    )
    assert sorted(map(tuple, sending.ask(query))) == [
        ("switch-1", "firmware-1", "3"),
        ("switch-1", "firmware-2", "2"),
        ("switch-2", "firmware-1", "1"),
    ]
    before = len(sending.ask(query))
    with pytest.raises(HttpResponseError) as caught:
        sending.upload([item(3), {**item(4), "SoftwareName": ""}], INVENTORY, retry_total=0)
    assert caught.value.error is not None
    assert caught.value.error.target == "[1]"
    assert len(sending.ask(query)) == before


class Between:
    """A proxy that spoils the first answers: the request was carried out, the client does not hear of it."""

    def __init__(self, target: str, spoil: Callable[[socket.socket], None], times: int) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._spoil, self.left = spoil, times
        self.ids: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                request = _message(client)
                names = dict(
                    line.lower().split(": ", 1) for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
                )
                self.ids.append(names["x-ms-client-request-id"])
                with socket.create_connection(self._target) as server:
                    server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                    answer = b"".join(iter(lambda: server.recv(65_536), b""))
                assert answer.startswith(b"HTTP/1.1 204"), answer
                if self.left:
                    self.left -= 1
                    self._spoil(client)
                else:
                    client.sendall(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    def close(self) -> None:
        self._listener.close()


def _message(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head = data.partition(b"\r\n\r\n")[0].lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(data) < len(head) + 4 + length:
        data += connection.recv(65_536)
    return data


def gateway_timeout(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def cut(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_RDWR)


@contextmanager
def between(target: str, spoil: Callable[[socket.socket], None], times: int) -> Iterator[Between]:
    proxy = Between(target, spoil, times)
    try:
        yield proxy
    finally:
        proxy.close()


@pytest.mark.parametrize("stream", [CHANGES, INVENTORY])
def test_a_retry_after_a_lost_answer_stores_nothing_twice(server: RunningServer, stream: str) -> None:
    sending = Sending(server, f"retried-{stream}")
    make, table = (row, "ConfigurationChange") if stream == CHANGES else (item, "ConfigurationData")
    before = stored(server)
    with between(server.url, gateway_timeout, 2) as proxy:
        client = sending.client_at(proxy.url)
        sending.upload([make(1), make(2)], stream, client=client, retry_backoff_factor=0)
        assert len(proxy.ids) == 3
        assert len(set(proxy.ids)) == 1
        assert sending.count(table) == 2
        sending.upload([make(1), make(2)], stream, client=client)
    # Another request, the same rows: it is not for the server to say that they are not meant.
    assert sending.count(table) == (4 if stream == CHANGES else 2)
    assert stored(server) == before + 4  # of which the inventory shows the latest


def stored(server: RunningServer) -> int:
    with server.owner as owner:
        text = owner.get("/metrics").text
    return int(text.partition("\nwhatchanged_ingestion_rows_total ")[2].partition("\n")[0].partition(".")[0])


def test_a_cut_connection_and_the_same_id_again(server: RunningServer, sending: Sending) -> None:
    with between(server.url, cut, 1) as proxy:
        client = sending.client_at(proxy.url)
        with pytest.raises(ServiceResponseError):
            sending.upload([row(1)], client=client, request_id="again")
        sending.upload([row(1)], client=client, request_id="again")
    assert sending.count() == 1


def test_a_server_that_starts_again_in_between_knows_the_request(tmp_path: Any, serve: Any) -> None:
    data = str(tmp_path / "data")
    with serve(data, tls="off") as server:
        sending = Sending(server, "restarted")
        sending.upload([row(1), row(2)], request_id="one")
        sending.upload([item(1)], INVENTORY, request_id="one")
    with serve(data, tls="off") as server:
        sending.server, sending.client = server, sending.client_at(server.url)
        sending.upload([row(1), row(2)], request_id="one")
        sending.upload([item(1)], INVENTORY, request_id="one")
        sending.upload([row(3)], request_id="two")
        assert sending.count() == 3
        assert sending.ask(f"ConfigurationData | where SourceComputerId == '{sending.id}' | count") == [[1]]


def test_many_at_once_with_one_id_are_stored_once(sending: Sending) -> None:
    def send() -> None:
        sending.upload([row(1), row(2)], client=sending.client_at(sending.server.url), request_id="same")

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sending.count() == 2


def test_too_many_at_once_are_told_to_come_back_and_do(server: RunningServer, sending: Sending) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST /dataCollectionRules/{sending.rule}/streams/{CHANGES} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {sending.token}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    slow = [socket.create_connection((host, int(port)), timeout=20) for _ in range(8)]
    try:
        for connection in slow:
            connection.sendall(head.encode())
            assert b"100" in connection.recv(100)  # its body is being read
        error = sending.refused([row(1)])
        assert error.status_code == 429
        assert 1 <= int(retry_after(error) or "") <= 5
        told = threading.Event()

        def heard(response: Any) -> None:
            if response.http_response.status_code == 429 and not told.is_set():
                told.set()
                for connection in slow:
                    connection.sendall(b"[]")

        sending.upload([row(2)], raw_response_hook=heard)
        assert sending.count() == 1
    finally:
        for connection in slow:
            connection.close()


def test_a_sender_reads_nothing_and_its_group_sees_its_rows(server: RunningServer, sending: Sending) -> None:
    sending.upload([row(1)])
    with server.client(sending.token) as client:
        for path in ("/api/v1/changes", "/api/v1/rules", "/api/v1/tokens", "/api/v1/workspace"):
            assert client.get(path).status_code == 403
        assert client.post("/v1/workspaces/default/query", json={"query": "print 1"}).status_code == 403
    with server.owner as owner:
        [mine] = [token for token in owner.get("/api/v1/tokens").json()["value"] if token["id"] == sending.token_id]
        assert (mine["role"], mine["rule"], mine["machineGroups"]) == ("Sender", sending.name, ["default"])
        seen = {}
        for group in ("default", "elsewhere"):
            made = owner.post("/api/v1/tokens", json={"name": "r", "role": "Reader", "machineGroups": [group]}).json()
            with server.client(made["token"]) as reader:
                query = {"query": f"ConfigurationChange | where SourceComputerId == '{sending.id}' | count"}
                seen[group] = reader.post("/v1/workspaces/default/query", json=query).json()["tables"][0]["rows"][0][0]
        assert seen == {"default": 1, "elsewhere": 0}
        again = owner.post("/api/v1/tokens", json={"name": sending.name, "role": "Sender", "rule": sending.name}).json()
        senders = {t["sender"] for t in owner.get("/api/v1/tokens").json()["value"] if t["rule"] == sending.name}
        assert senders == {sending.id}  # another token, the same sender
        for wrong in (
            {"name": "x", "role": "Sender"},
            {"name": "x", "role": "Reader", "rule": sending.name},
            {"name": "x", "role": "Sender", "rule": sending.name, "machineGroups": ["a", "b"]},
        ):
            assert owner.post("/api/v1/tokens", json=wrong).status_code == 400
        moved = {"name": sending.name, "role": "Sender", "rule": sending.name, "machineGroups": ["elsewhere"]}
        assert owner.post("/api/v1/tokens", json=moved).status_code == 409
        assert owner.post("/api/v1/tokens", json={"name": "x", "role": "Sender", "rule": "nil"}).status_code == 404
    sending.upload([row(2)], client=sending.client_at(server.url, again["token"]))
    assert sending.count() == 2


def test_what_a_sender_sent_can_be_deleted(server: RunningServer, sending: Sending) -> None:
    sending.upload([row(1)])
    with server.owner as owner:
        [mine] = [found for found in owner.get("/api/v1/senders").json()["value"] if found["id"] == sending.id]
        assert (mine["name"], mine["rule"], mine["machineGroup"], mine["tokens"]) == (
            sending.name,
            sending.name,
            "default",
            1,
        )
        assert owner.delete("/api/v1/senders/nobody").status_code == 404
        assert owner.delete(f"/api/v1/senders/{sending.id}").status_code == 204
        assert sending.id not in [found["id"] for found in owner.get("/api/v1/senders").json()["value"]]
        assert owner.delete(f"/api/v1/senders/{sending.id}").status_code == 404
    assert sending.count() == 0
    with pytest.raises(HttpResponseError) as caught:
        sending.upload([row(2)], retry_total=0)
    assert caught.value.status_code == 401


def post_items(sending: Sending, document: Any, token: str | None = None, **headers: str) -> httpx.Response:
    with sending.server.client(token or sending.token) as client:
        return client.post(
            "/OperationalData.svc/PostJsonDataItems?api-version=2016-04-01",
            content=zlib.compress(json.dumps(document).encode()),
            headers={"content-encoding": "deflate", "x-ms-AzureResourceId": "/subscriptions/forged", **headers},
        )


def test_the_sets_of_the_predecessor_become_the_inventory(sending: Sending) -> None:
    def items(kind: str, *entries: Any) -> dict[str, Any]:
        return {
            "Timestamp": "2026-03-01T00:00:00.000Z",
            "Computer": "old-1",
            "ConfigChangeType": kind,
            "Collections": entries,
        }

    package = {
        "Architecture": "amd64", "CollectionName": "bash", "CurrentVersion": "5.2", "Name": "bash",
        "Publisher": "Debian", "Size": "7166", "Timestamp": "2025-01-01T00:00:00.000Z", "IsInventorySnapshot": False,
    }  # fmt: skip
    daemon = {"Name": "cron", "Description": "d", "State": "Running", "Path": "/lib/cron.service", "Runlevels": "2, 3",
              "Enabled": "true", "Controller": "systemd", "CollectionName": "cron"}  # fmt: skip
    file = {"FileSystemPath": "/etc/hosts", "CollectionName": "/etc/hosts", "Size": "10", "Owner": "root",
            "Group": "root", "Mode": "644", "Contents": "", "DateModified": "2025-01-01T00:00:00.000Z"}  # fmt: skip
    document = {
        "DataType": "CONFIG_CHANGE_BLOB",
        "IPName": "changetracking",
        "DataItems": [items("Software.Packages", package), items("Daemons", daemon), items("Files", file)],
    }
    for _ in range(2):
        answer = post_items(sending, document, **{"x-ms-client-request-id": "a"})
        assert answer.status_code == 200, answer.text
    query = (
        f"ConfigurationData | where SourceComputerId == '{sending.id}' and Computer == 'old-1' "
        "| project ConfigDataType, Name, CurrentVersion, Size, SvcState, FileSystemPath | sort by Name asc"
    )
    assert sending.ask(query) == [
        ["Files", "/etc/hosts", "", 10, "", "/etc/hosts"],
        ["Software", "bash", "5.2", 7166, "", ""],
        ["Daemons", "cron", "", None, "Running", ""],
    ]
    document["DataItems"][0]["Collections"] = [package, {**package, "Size": "many"}]  # type: ignore[index]
    wrong = post_items(sending, document)
    assert (wrong.status_code, wrong.json()["error"]["target"]) == (400, "DataItems[0].Collections[1].Size")


def test_items_that_are_rows_go_to_their_stream(server: RunningServer, sending: Sending) -> None:
    assert post_items(sending, {"DataType": "CONFIG_CHANGE_BLOB", "DataItems": [row(1)]}).status_code == 200
    assert sending.count() == 1
    for wrong, status in (
        ({"DataType": "CONFIG_CHANGE_BLOB", "DataItems": [{"Colour": 1}]}, 400),
        ({"DataType": "CONFIG_CHANGE_BLOB"}, 400),
        ({"DataItems": []}, 400),
        ([], 400),
        ({"DataType": "LINUX_SYSLOGS_BLOB", "DataItems": [{}]}, 404),
    ):
        answer = post_items(sending, wrong)
        assert answer.status_code == status, answer.text
    machine, client = server.enrol("legacy-1")
    client.close()
    numbered = {**row(1), "_Stream": "CONFIG_CHANGE_BLOB", "_Epoch": new_epoch(), "_Sequence": 1}
    credential = client.headers["authorization"].partition(" ")[2]
    body = {"DataType": "CONFIG_CHANGE_BLOB", "DataItems": [numbered]}
    assert post_items(sending, body, credential).status_code == 200
    assert post_items(sending, {**body, "DataItems": [row(1)]}, credential).status_code == 400
    query = f"ConfigurationChange | where SourceComputerId == '{machine['machineId']}' | count"
    assert sending.ask(query) == [[1]]


def test_what_a_machine_passes_on_is_taken_where_a_rule_says_so(server: RunningServer) -> None:
    machine, client = server.enrol("passing-1", group="passing")
    stream, epoch = "Custom-1001-app-log", new_epoch()

    def passed(sequence: int, **fields: Any) -> dict[str, Any]:
        return {"_TimeNs": 1_772_000_000 * 10**9, "_Stream": stream, "_Epoch": epoch, "_Sequence": sequence, **fields}

    def send(*records: Any, stream: str = stream) -> httpx.Response:
        return client.post(f"/dataCollectionRules/{machine['implicitRuleId']}/streams/{stream}", json=records)

    with client:
        refused = send(passed(1, Name="a"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "UnknownStream")
        sending = Sending(server, "passing-rule")
        with server.owner as owner:
            made = owner.put("/api/v1/associations/passing", json={"rule": "passing-rule", "group": "passing"})
            assert made.status_code == 201, made.text
        sending.id = machine["machineId"]
        for _ in range(2):
            assert send(passed(1, Name="a", Size="12"), passed(2, Name="b", Computer="c")).status_code == 204
        eviction = {
            "_Record": "Eviction",
            "_Stream": stream,
            "_Epoch": epoch,
            "First": 3,
            "Last": 4,
            "Count": 2,
            "Reason": "Quota",
        }
        assert send(eviction, passed(6, Name="d")).status_code == 204
        wrong = send(passed(7, Name="e"), passed(8, Colour="red"))
        assert (wrong.status_code, wrong.json()["error"]["target"]) == (400, "[1].Colour")
        assert send(passed(7), stream="Custom-1001-else").status_code == 404
    rows = sending.ask(
        f"ConfigurationChange | where SourceComputerId == '{sending.id}' "
        "| project Name, Size, Computer, Stream, Sequence, TimeGenerated | sort by Sequence asc"
    )
    assert [found[:5] for found in rows] == [
        ["a", 12, "passing-1", stream, 1], ["b", None, "c", stream, 2], ["d", None, "passing-1", stream, 6],
    ]  # fmt: skip
    assert rows[0][5].startswith("2026-02-25T06:13:20")
    gaps = sending.ask(
        f"TrackingHealth | where SourceComputerId == '{sending.id}' and Reason == 'Gap' "
        "| project Stream, FirstSequence, LastSequence | sort by FirstSequence asc"
    )
    assert gaps == [[stream, 3, 4], [stream, 5, 5]]


def test_a_program_beside_the_forwarder_is_heard_where_a_rule_takes_its_stream(
    server: RunningServer, tmp_path: Any
) -> None:
    """A real forwarder, and an unmodified fluent-logger on its pipe."""
    sending = Sending(server, "beside")
    with server.owner as owner:
        made = owner.put("/api/v1/associations/beside", json={"rule": "beside", "group": "beside"})
        assert made.status_code == 201, made.text
        token = owner.post("/api/v1/enrollment-tokens", json={"machineGroup": "beside"}).json()["token"]
    data, uid, stop = DataFolder(str(tmp_path)), os.geteuid(), threading.Event()
    enrolled = identity.enroll(server.url, token, data, facts=heartbeat.machine_facts())
    settings = ForwarderSettings(data=data, tracker_uid=uid + 1, foreign_uids=(uid,), backoff=0.05, long_poll=1)
    forwarder = threading.Thread(target=process.run, args=(settings, stop))
    forwarder.start()
    try:
        reached(lambda: os.path.exists(data.pipe_socket))
        sender = FluentSender("app", host=f"unix://{data.pipe_socket}", timeout=10)
        for label, record in (
            ("log", {"Name": "first", "Size": 4}),
            ("log", {"Colour": "red"}),
            ("other", {"Name": "nobody takes it"}),
            ("log", {"Name": "last"}),
        ):
            assert sender.emit(label, record), sender.last_error
        sender.close()
        mine = f"SourceComputerId == '{enrolled.machine_id}'"
        stream = f"Custom-{uid}-app-log"
        names = f"ConfigurationChange | where {mine} and Stream == '{stream}' | project Name, Size"
        told = f"TrackingHealth | where {mine} and Component == 'Forwarder' and Reason == 'Refused' | project Detail"
        reached(lambda: len(sending.ask(told)) == 2)
        # One that is wrong takes down those that travel with it, and no more.
        details = " ".join(found[0] for found in sending.ask(told))
        assert "Colour" in details
        assert "UnknownStream" in details
        again = FluentSender("app", host=f"unix://{data.pipe_socket}", timeout=10)
        assert again.emit("log", {"Name": "afterwards", "Size": 5})
        again.close()
        reached(lambda: ["afterwards", 5] in sending.ask(names))
    finally:
        stop.set()
        forwarder.join(30)
    assert not forwarder.is_alive()


def reached(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what happens in another process, which has no event for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
