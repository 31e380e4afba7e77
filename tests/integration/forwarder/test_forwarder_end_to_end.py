"""The whole forwarder between a real pipe and a real HTTP server."""

import gzip
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
import pytest

from whatchanged import ipc
from whatchanged.forwarder import heartbeat, identity, process
from whatchanged.forwarder.client import ServerClient
from whatchanged.forwarder.health import Health
from whatchanged.forwarder.settings import ForwarderSettings
from whatchanged.forwarder.store import Store
from whatchanged.forwarder.upload import Uploader
from whatchanged.records.carrier import chunk_id
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, parse_time
from whatchanged.settings import DataFolder
from whatchanged.wire import agent, forward, framing

if sys.platform == "win32":
    pytest.skip("Unix sockets", allow_module_level=True)

EPOCH = "a" * 32
STREAM = DataType.CONFIG_CHANGE_V2
EXTENSION = {
    "id": "dcr-1:CT",
    "originIds": [],
    "extensionSettings": {"enableFiles": True},
    "outputStreams": {STREAM.value: f"dcr-1:CT:{STREAM.value}"},
}
DOCUMENT = {
    "configurations": [
        {"configurationId": "dcr-1", "eTag": "1", "op": "added", "content": {
            "dataSources": [{"id": "CT", "kind": "extension", "configuration": {"extensionName": "ChangeTracking-Linux"}}],  # noqa: E501
            "extensionConfigurations": {"ChangeTracking-Linux": [EXTENSION]}}}
    ],
    "requests": [{"id": "r1", "request": "scan", "kind": "Files"}],
}  # fmt: skip


class Machines(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rows: list[dict[str, Any]] = []
        self.results: list[str] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.document: dict[str, Any] = DOCUMENT
        self.etag = '"1"'
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ask(self, *ids: str) -> None:
        """Change the document's list of requests; the caller holds `changed`."""
        self.document = {**DOCUMENT, "requests": [{"id": i, "request": "scan", "kind": "Files"} for i in ids]}
        self.etag = f'"{int(self.etag[1:-1]) + 1}"'
        self.changed.notify_all()

    def await_row(self, **wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        with self.changed:
            while True:
                for row in self.rows:
                    if all(row.get(key) == value for key, value in wanted.items()):
                        return row
                assert self.changed.wait(max(deadline - time.monotonic(), 0)), (wanted, self.rows[-5:])


class Handler(BaseHTTPRequestHandler):
    server: Machines

    def answer(self, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        wait = float(parse_qs(urlsplit(self.path).query).get("waitSeconds", ["0"])[0])
        with self.server.changed:
            known = self.headers.get("If-None-Match")
            if self.server.changed.wait_for(lambda: known != self.server.etag, wait):
                self.answer(200, self.server.document, {"ETag": self.server.etag})
            else:
                self.answer(304)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/v1/enroll":
            self.answer(201, {"machineId": "m", "credential": "wcm1.m.s", "resourceId": "/r", "workspaceId": "w",
                              "machineGroup": "g", "implicitRuleId": "dcr-m"})  # fmt: skip
            return
        with self.server.changed:
            if "/requests/" in self.path:
                self.server.results.append(self.path.rpartition("/")[2])
                self.server.ask()  # as the real one: a request that was answered is no longer listed
                self.answer(204)
                self.server.changed.notify_all()
                return
            rows = json.loads(gzip.decompress(body))
            if any(row.get("bad") for row in rows):
                self.answer(400, {"error": {"code": "Bad", "message": "bad record"}})
                return
            if self.server.answers:
                status, headers = self.server.answers.pop(0)
                self.answer(status, None, headers)
                return
            self.server.rows += rows
            self.answer(204)
            self.server.changed.notify_all()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass


@pytest.fixture
def machines() -> Iterator[Machines]:
    with Machines() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def running(tmp_path: Path, machines: Machines) -> Iterator[DataFolder]:
    data = DataFolder(str(tmp_path))
    identity.enroll(machines.url, "wce1.i.s.-", data, facts=heartbeat.machine_facts())
    settings = ForwarderSettings(data=data, tracker_uid=os.geteuid(), backoff=0.05, poll=300, long_poll=5)
    stop = threading.Event()
    thread = threading.Thread(target=process.run, args=(settings, stop))
    thread.start()
    machines.await_row(Reason="Started")
    yield data
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def send(channel: ipc.Channel, first: int, records: list[dict[str, Any]]) -> str:
    packed = [
        (10**9, forward.pack_record({**r, "_Stream": STREAM.value, "_Epoch": EPOCH, "_Sequence": first + i}))
        for i, r in enumerate(records)
    ]
    chunk = chunk_id(EPOCH, STREAM, first, first + len(records) - 1)
    channel.send(forward.encode_forward(f"dcr-1:CT:{STREAM.value}", packed, chunk))
    return chunk


def test_records_requests_and_configuration(running: DataFolder, machines: Machines) -> None:
    # The 404 without an error of ours is a proxy's word, which costs no record.
    machines.answers += [(503, {"Retry-After": "0"}), (404, {}), (429, {})]
    machines.await_row(Category="Direct Agent")
    with ipc.connect(ipc.PathSocket(running.pipe_socket), 5) as channel:
        for _ in range(2):  # the second time the chunk is known, and acknowledged again
            chunk = send(channel, 1, [{"FileSystemPath": "/etc/a"}, {"bad": True}, {"FileSystemPath": "/etc/c"}])
            assert forward.decode_ack(channel.receive(1000, 10)) == chunk
        machines.await_row(FileSystemPath="/etc/c")
        eviction = machines.await_row(_Record="Eviction")
        assert (eviction["First"], eviction["Last"], eviction["Reason"]) == (2, 2, "Refused")
        assert sum(row.get("FileSystemPath") == "/etc/a" for row in machines.rows) == 1

        poll = agent.PollRequest(request_id="1", tag="ChangeTracking-Linux", known="", wait_seconds=5)
        channel.send(agent.encode_request(poll))
        frames = framing.JsonFrames()
        (text,) = frames.feed(channel.receive(1_000_000, 10))
        reply = agent.decode_reply(text, agent.PollReply)
        assert reply.connected
        assert [request.id for request in reply.requests] == ["r1"]
        tagged = agent.decode_tagged_data(reply.tagged_data or "")
        assert tagged.extension_configurations[0].output_streams["TRACKING_HEALTH"] == "dcr-1:CT:TRACKING_HEALTH"
        channel.send(agent.encode_request(agent.RequestResult(request_id="2", id="r1", success=True)))
        channel.receive(1000, 10)
    with machines.changed:
        machines.changed.wait_for(lambda: machines.results == ["r1"], 10)
    assert machines.results == ["r1"]
    assert os.listdir(os.path.join(running.forwarder, "mcs", "configchunks")) == ["1.json"]
    assert os.path.exists(os.path.join(running.forwarder, "mcs", "mcsconfig.latest.xml"))


def test_a_heartbeat_says_when_the_tracker_spoke(running: DataFolder, machines: Machines) -> None:
    first = machines.await_row(Category="Direct Agent")
    assert "TrackerContact" not in first
    before = now_ns()
    with ipc.connect(ipc.PathSocket(running.pipe_socket), 5) as channel:
        poll(channel)
    with machines.changed:  # at once, not when the next one is due
        assert machines.changed.wait_for(lambda: any("TrackerContact" in row for row in machines.rows), 20)
    [second] = [row for row in machines.rows if "TrackerContact" in row]
    assert before <= parse_time(second["TrackerContact"]) <= parse_time(second["TimeGenerated"])


def test_a_heartbeat_says_what_waits(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 10**9)
    try:
        store.append(STREAM.value, EPOCH, 1, [b"x" * 10] * 7)
        waits = store.depth()[STREAM.value]
        heartbeat.beat(store, "m", None)
        [row] = store.lease(DataType.HEALTH_ASSESSMENT.value, 10, 10**6)
    finally:
        store.close()
    said = msgpack.unpackb(row.record)
    assert (said["QueuedRecords"], said["QueuedBytes"]) == waits
    assert waits[0] == 7


def poll(channel: ipc.Channel, known: str = "") -> agent.PollReply:
    channel.send(
        agent.encode_request(
            agent.PollRequest(request_id="1", tag="ChangeTracking-Linux", known=known, wait_seconds=10)
        )
    )
    (text,) = framing.JsonFrames().feed(channel.receive(1_000_000, 15))
    return agent.decode_reply(text, agent.PollReply)


def test_a_request_that_was_answered_does_not_make_the_forwarder_deaf(running: DataFolder, machines: Machines) -> None:
    with ipc.connect(ipc.PathSocket(running.pipe_socket), 5) as channel:
        known = ""
        for request in ("r1", "r2", "r3"):
            if request != "r1":
                with machines.changed:
                    machines.ask(request)
            reply = poll(channel, known)
            known = reply.version
            if not reply.requests:  # the rules were news first
                reply = poll(channel, known)
            assert [asked.id for asked in reply.requests] == [request]
            channel.send(agent.encode_request(agent.RequestResult(request_id="2", id=request, success=True)))
            channel.receive(1000, 10)
            with machines.changed:
                while machines.results[-1:] != [request]:
                    assert machines.changed.wait(10), machines.results


def test_wrong_bytes_hurt_only_their_own_connection(running: DataFolder, machines: Machines) -> None:
    endpoint = ipc.PathSocket(running.pipe_socket)
    with ipc.connect(endpoint, 5) as good, ipc.connect(endpoint, 5) as bad:
        bad.send(b"\xc1\xff")
        assert bad.receive(10, 10) == b""
        chunk = send(good, 1, [{"FileSystemPath": "/etc/z"}])
        assert forward.decode_ack(good.receive(1000, 10)) == chunk
    machines.await_row(FileSystemPath="/etc/z")


def test_a_foreign_record_that_is_refused_takes_few_others_with_it(tmp_path: Path, machines: Machines) -> None:
    """A program that sends nonsense only must not make a request of every record: the tracker's wait meanwhile."""
    data, stream = DataFolder(str(tmp_path)), "Custom-1001-app"
    identity.enroll(machines.url, "wce1.i.s.-", data, facts=heartbeat.machine_facts())
    settings = ForwarderSettings(data=data, tracker_uid=os.geteuid())
    store = Store(settings.tables, 10**9)
    client = ServerClient(settings, identity.IdentityKeeper(data), uuid.uuid4())
    uploader = Uploader(store, client, Health(store, "m"))

    def make(number: int) -> Callable[[str, int], bytes]:
        fields: dict[str, Any] = {"Name": str(number), **({"bad": True} if number == 150 else {})}
        return lambda epoch, sequence: forward.pack_record(
            {**fields, "_Stream": stream, "_Epoch": epoch, "_Sequence": sequence}
        )

    try:
        store.append_own(stream, *map(make, range(1, 257)))
        while uploader.cycle():
            pass
    finally:
        client.close()
        store.close()
    names = [int(row["Name"]) for row in machines.rows if row.get("_Stream") == stream and "Name" in row]
    assert names == [*range(1, 129), *range(193, 257)]
    [eviction] = [row for row in machines.rows if row.get("_Record") == "Eviction"]
    assert [eviction[name] for name in ("_Stream", "First", "Last", "Count")] == [stream, 129, 192, 64]
    [told] = [row for row in machines.rows if row.get("Reason") == "Refused" and "Detail" in row]
    assert (told["Stream"], told["LostRecords"]) == (stream, 64)
