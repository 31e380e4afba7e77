"""One suite, every implementation of the local pipe."""

import os
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatchanged import ipc
from whatchanged.errors import PeerError

ENDPOINTS = (
    ["named pipe", "memory"] if sys.platform == "win32" else ["path", "long path", "abstract", "padded", "memory"]
)


@pytest.fixture(params=ENDPOINTS)
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> ipc.Endpoint:
    name = f"whatchanged-test-{uuid.uuid4()}"
    if request.param == "path":
        return ipc.PathSocket(str(tmp_path / "p.socket"))
    if request.param == "long path":
        folder = tmp_path / ("d" * 120) / ("e" * 120)
        folder.mkdir(parents=True)
        return ipc.PathSocket(str(folder / "default_fluent.socket"))
    if request.param == "memory":
        return ipc.MemoryPipe(name)
    if request.param == "named pipe":
        return ipc.NamedPipe(name)
    return ipc.AbstractSocket(name, padded=request.param == "padded")


@pytest.fixture
def pair(endpoint: ipc.Endpoint) -> Iterator[tuple[ipc.Channel, ipc.Channel]]:
    with ipc.listen(endpoint) as listener, ipc.connect(endpoint, 5) as client, listener.accept(5) as server:
        yield client, server


def receive_all(channel: ipc.Channel, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (piece := channel.receive(65_536, 5)):
        got += piece
    return bytes(got)


def test_bytes_go_both_ways_and_the_end_is_seen(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    client, server = pair
    client.send(b"question")
    assert server.receive(3, 5) == b"que"
    assert server.receive(100, 5) == b"stion"
    server.send(b"answer")
    server.close()
    assert client.receive(100, 5) == b"answer"
    assert client.receive(100, 5) == b""


def test_both_ends_know_who_the_other_is(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    for channel in pair:
        assert channel.peer == ipc.Peer(ipc.own_account(), os.getpid())


def test_large_messages_arrive_while_the_reader_reads(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    client, server = pair
    data = os.urandom(3_000_000)
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    assert receive_all(server, len(data)) == data
    sender.join()


def test_a_reader_waits_no_longer_than_it_said(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    client, server = pair
    with pytest.raises(ipc.PeerTimeout):
        server.receive(10, 0.01)
    client.send(b"later")
    assert server.receive(10, 5) == b"later"


def test_a_sender_is_held_up_by_a_reader_that_does_not_read(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    client, _ = pair
    with pytest.raises(ipc.PeerTimeout):
        client.send(bytes(64_000_000), 0.05)


def test_sending_to_one_who_left_is_an_error(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    client, server = pair
    server.close()
    server.close()
    with pytest.raises(PeerError):
        client.send(b"x")
    with pytest.raises(PeerError):
        server.send(b"x")
    with pytest.raises(PeerError):
        server.receive(1, 1)


def test_closing_wakes_a_waiting_reader(pair: tuple[ipc.Channel, ipc.Channel]) -> None:
    _, server = pair
    seen: list[object] = []

    def read() -> None:
        try:
            seen.append(server.receive(10, 30))
        except PeerError as error:
            seen.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    server.close()
    reader.join(10)
    assert len(seen) == 1


def test_accept_ends_by_time_and_by_close(endpoint: ipc.Endpoint) -> None:
    listener = ipc.listen(endpoint)
    with pytest.raises(ipc.PeerTimeout):
        listener.accept(0.01)
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(PeerError):
            listener.accept(None)
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    listener.close()
    listener.close()
    assert ended.wait(10)
    waiting.join()
    with pytest.raises(PeerError):
        ipc.connect(endpoint, 1)


def test_two_cannot_listen_on_one_name_but_one_after_the_other_can(endpoint: ipc.Endpoint) -> None:
    with ipc.listen(endpoint):
        with pytest.raises(PeerError):
            ipc.listen(endpoint)
        ipc.connect(endpoint, 5).close()
    ipc.listen(endpoint).close()


def test_nobody_listens(endpoint: ipc.Endpoint) -> None:
    with pytest.raises(PeerError):
        ipc.connect(endpoint, 1)
