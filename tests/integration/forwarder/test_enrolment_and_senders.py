"""Enrolment over TLS with a pinned authority, final words, and foreign senders on the pipe."""

import datetime
import hashlib
import ipaddress
import json
import os
import ssl
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgpack
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fluent.sender import FluentSender

from whatchanged import ipc
from whatchanged.errors import CredentialError, OperationError, PeerError, ServerError, SettingsError
from whatchanged.forwarder import identity
from whatchanged.forwarder.client import ServerClient
from whatchanged.forwarder.configuration import Configuration, Fetcher
from whatchanged.forwarder.health import Health
from whatchanged.forwarder.pipe_server import PipeServer
from whatchanged.forwarder.settings import ForwarderSettings
from whatchanged.forwarder.store import Store
from whatchanged.ipc import Peer
from whatchanged.settings import DataFolder
from whatchanged.wire import agent, forward

if sys.platform == "win32":
    pytest.skip("Unix sockets", allow_module_level=True)

GIVEN = {
    "machineId": "m", "credential": "wcm1.m.one", "resourceId": "/r", "workspaceId": "w",
    "machineGroup": "g", "implicitRuleId": "dcr-m",
}  # fmt: skip


class Authority(HTTPServer):
    """Speaks TLS with a certificate of an authority of its own; takes one credential."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now,
                                    now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.pin = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        file = folder / "server.pem"
        file.write_bytes(
            self.pem
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.takes = "wcm1.m.one"
        self.enrols = True
        self.redirect = ""
        self.asked = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us hangs up."""


class Handler(BaseHTTPRequestHandler):
    server: Authority

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.path == "/api/v1/ca":
            self.answer(200, self.server.pem)
        elif self.server.redirect:
            self.send_response(421)
            self.send_header("x-ms-agent-config-endpoint", self.server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.headers["Authorization"] == f"Bearer {self.server.takes}":
            self.answer(200, b"{}")
        else:
            self.answer(401, b'{"error":{"code":"InvalidCredential","message":"unknown"}}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/v1/enroll":
            self.answer(201 if self.server.enrols else 403, json.dumps(GIVEN).encode())
        else:
            self.answer(201, b'{"credential":"wcm1.m.two"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with Authority(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client_of(data: DataFolder) -> ServerClient:
    settings = ForwarderSettings(data=data, tracker_uid=0, rotation=0)
    return ServerClient(settings, identity.IdentityKeeper(data), uuid.uuid4())


def test_only_the_pinned_authority_enrols(authority: Authority, tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    with pytest.raises(CredentialError, match="not the one"):
        identity.enroll(authority.url, f"wce1.i.s.{'0' * 64}", data, facts={})
    with pytest.raises(ServerError):
        identity.enroll(authority.url, "wce1.i.s.-", data, facts={})
    assert identity.load(data) is None
    made = identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    assert identity.load(data) == made
    assert os.stat(os.path.join(data.forwarder, "identity.json")).st_mode & 0o777 == 0o600
    assert "wcm1" not in repr(made)
    with pytest.raises(OperationError, match="plain http"):
        identity.enroll("http://changes.example.com", "wce1.i.s.-", data, facts={})


def test_an_enrolment_that_fails_leaves_the_one_before_it_whole(authority: Authority, tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    (tmp_path / "other").mkdir()
    with Authority(tmp_path / "other") as other:
        other.enrols = False
        thread = threading.Thread(target=other.serve_forever, args=(0.02,))
        thread.start()
        with pytest.raises(CredentialError):
            identity.enroll(other.url, f"wce1.i.s.{other.pin}", data, facts={})
        other.shutdown()
        thread.join()
    client = client_of(data)
    assert client.request("GET", "/x").status_code == 200
    client.close()


def test_a_proxy_has_no_business_between_us_and_our_own_machine(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    client = client_of(data)
    assert client.request("GET", "/x").status_code == 200
    client.close()


@pytest.mark.parametrize("proxy", ["proxy.example.com", "ftp://proxy", "socks5://proxy:1080", "http://[::1"])
def test_a_proxy_that_cannot_be_one_is_a_wrong_setting(proxy: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="proxy"):
        identity.enroll("https://changes.example.com", "wce1.i.s.-", DataFolder(str(tmp_path)), facts={}, proxy=proxy)


@pytest.mark.parametrize("server", ["https://[::1", "https://host:port", "https://", "changes.example.com", "ftp://a"])
def test_what_is_no_address_is_said(server: str, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="no address"):
        identity.enroll(server, "wce1.i.s.-", DataFolder(str(tmp_path)), facts={})


def test_a_refusal_of_an_older_credential_is_not_final(authority: Authority, tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    keeper = identity.IdentityKeeper(data)
    before = keeper.current()
    assert before is not None
    # While a question with the old credential was under way, another thread wrote the next one and the server took it.
    assert keeper.change(before, msgspec.structs.replace(before, pending_credential="wcm1.m.two"))
    authority.takes = "wcm1.m.two"
    assert not keeper.refuse(before, "InvalidCredential")
    assert keeper.refusal() == ""
    client = client_of(data)
    assert client.request("GET", "/x").status_code == 200
    client.close()


@pytest.mark.parametrize("elsewhere", ["https://127.0.0.1:1", "https://[::1", "http://changes.example.com", ""])
def test_who_is_sent_to_a_dead_end_asks_the_first_address_again(
    elsewhere: str, authority: Authority, tmp_path: Path
) -> None:
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    client = client_of(data)
    fetcher = Fetcher(client)
    authority.redirect = elsewhere or authority.url
    with pytest.raises(OperationError):
        fetcher.fetch(0)
    authority.redirect = ""
    assert fetcher.fetch(0) == ((), ())
    client.close()


def test_a_damaged_refusal_is_none(authority: Authority, tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    (tmp_path / "data/forwarder/refused.json").write_bytes(b'{"code":"\xff')
    assert identity.IdentityKeeper(data).refusal() == ""


def test_rotation_keeps_the_old_credential_until_the_new_one_was_taken(authority: Authority, tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    client = client_of(data)
    client.rotate()
    pending = identity.load(data)
    assert pending is not None
    assert (pending.credential, pending.pending_credential) == ("wcm1.m.one", "wcm1.m.two")
    assert client.request("GET", "/x").status_code == 200  # the server does not know the new one: the old one counts
    client.rotate()
    authority.takes = "wcm1.m.two"
    assert client.request("GET", "/x").status_code == 200
    rotated = identity.load(data)
    assert rotated is not None
    assert (rotated.credential, rotated.pending_credential) == ("wcm1.m.two", "")
    authority.takes = "wcm1.m.one"  # restored from a backup that is older than the rotation
    assert client.request("GET", "/x").status_code == 200
    rewound = identity.load(data)
    assert rewound is not None
    assert (rewound.credentials, rewound.credential_time) == (("wcm1.m.one",), 0.0)
    client.close()


def test_after_a_final_word_nothing_is_asked_until_enrolled_anew(authority: Authority, tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    authority.takes = "another"
    client = client_of(data)
    for _ in range(3):
        with pytest.raises(CredentialError):
            client.request("GET", "/x")
    client.close()
    client = client_of(data)  # also after a restart
    asked = authority.asked
    with pytest.raises(CredentialError):
        client.request("GET", "/x")
    assert authority.asked == asked == 2  # the authority, and one question
    GIVEN["credential"] = authority.takes = "wcm1.m.new"
    identity.enroll(authority.url, f"wce1.i.s.{authority.pin}", data, facts={})
    assert client.request("GET", "/x").status_code == 200
    GIVEN["credential"] = "wcm1.m.one"
    client.close()


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Pipe servers, each with its store: of which one is asked by the account of the peer."""
    started: list[tuple[PipeServer, Store]] = []
    stop = threading.Event()

    def start(*endpoints: ipc.Endpoint, tracker_uid: int, foreign_uids: tuple[int, ...] = ()) -> Store:
        data = DataFolder(str(tmp_path / "data"))
        settings = ForwarderSettings(data=data, tracker_uid=tracker_uid, foreign_uids=foreign_uids)
        store = Store(settings.tables, 10**9)
        server = PipeServer(settings, store, Configuration(data, 10), Health(store, "m"), stop, endpoints=endpoints)
        server.start()
        started.append((server, store))
        return store

    yield start
    stop.set()
    for server, store in started:
        server.close()
        store.close()


@pytest.mark.parametrize("permitted", [True, False])
def test_an_unmodified_fluent_logger(permitted: bool, tmp_path: Path, pipes: Callable[..., Store]) -> None:
    socket_path = str(tmp_path / "p")
    uid = os.geteuid()
    store = pipes(ipc.PathSocket(socket_path), tracker_uid=uid + 1, foreign_uids=(uid,) if permitted else ())
    sender = FluentSender("app", host=f"unix://{socket_path}", timeout=10)
    generation = store.wait(-1, threading.Event())
    assert sender.emit("log", {"message": "hello", "_Stream": "CONFIG_CHANGE_BLOB_V2"})
    store.wait(generation, threading.Event(), 10)
    sender.close()
    assert store.streams == (f"Custom-{uid}-app-log" if permitted else "TRACKING_HEALTH",)


def answers(channel: ipc.Channel) -> bool:
    try:
        channel.send(agent.encode_request(agent.ConfigurationRequest(request_id="1", tag="ChangeTracking-Linux")))
        return b"TaggedData" in channel.receive(65_536, 10)
    except PeerError:
        return False


def test_others_cannot_take_the_trackers_place(pipes: Callable[..., Store]) -> None:
    def endpoint(uid: int) -> ipc.MemoryPipe:
        return ipc.MemoryPipe(f"uid-{uid}", Peer(uid, 1))

    others = range(1001, 1006)
    pipes(*map(endpoint, (5, *others)), tracker_uid=5)
    channels: list[ipc.Channel] = []
    served = []
    for uid in others:
        mine = [ipc.connect(endpoint(uid)) for _ in range(20)]
        channels += mine
        served.append(sum(map(answers, mine)))
    assert served == [16, 16, 16, 0, 0]
    assert answers(ipc.connect(endpoint(5)))
    for channel in channels:
        channel.close()


def test_who_may_send_no_records_is_not_read_at_length(pipes: Callable[..., Store]) -> None:
    endpoint = ipc.MemoryPipe("stranger", Peer(1001, 1))
    store = pipes(endpoint, tracker_uid=5)
    with ipc.connect(endpoint) as channel:
        with pytest.raises(PeerError):  # it hangs up long before the message is complete
            channel.send(b"\x92\xa1t\xc6\x00\xff\xff\xff" + bytes(4 * 1024 * 1024), 10)
        assert channel.receive(10, 10) == b""
    assert store.streams == ()


def test_a_chunk_of_others_that_is_sent_again_is_acknowledged_and_not_stored_again(
    pipes: Callable[..., Store],
) -> None:
    endpoint = ipc.MemoryPipe("sender", Peer(1001, 1))
    store = pipes(endpoint, tracker_uid=5, foreign_uids=(1001,))
    message = msgpack.packb(["app", [[1, {"n": i}] for i in range(3)], {"chunk": "YWJj"}])
    with ipc.connect(endpoint) as channel:
        for _ in range(2):
            channel.send(message)
            assert forward.decode_ack(channel.receive(100, 10)) == "YWJj"
    assert store.depth()["Custom-1001-app"][0] == 3
