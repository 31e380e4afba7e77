"""What holds for named pipes only."""

import sys

assert sys.platform == "win32"  # mypy's platform branch

import threading
import uuid
from collections.abc import Iterator

import pytest
import win32file
import win32pipe
import win32security

from whatchanged import ipc
from whatchanged.errors import PeerError
from whatchanged.ipc.access import access_list

STRANGER = "S-1-5-21-1-2-3-1001"
ME = str(ipc.own_account())


@pytest.fixture
def endpoint() -> ipc.NamedPipe:
    return ipc.NamedPipe(f"whatchanged-test-{uuid.uuid4()}", (STRANGER,))


@pytest.fixture
def listener(endpoint: ipc.NamedPipe) -> Iterator[ipc.Listener]:
    with ipc.listen(endpoint) as listening:
        yield listening


def plain_client(endpoint: ipc.NamedPipe) -> int:
    """Open the pipe as programs do that know nothing of us."""
    access = win32file.GENERIC_READ | win32file.GENERIC_WRITE
    return int(win32file.CreateFile(str(endpoint), access, 0, None, win32file.OPEN_EXISTING, 0, None).Detach())


def test_the_pipe_has_the_access_list_and_we_own_it(endpoint: ipc.NamedPipe, listener: ipc.Listener) -> None:
    handle = plain_client(endpoint)
    parts = win32security.OWNER_SECURITY_INFORMATION | win32security.DACL_SECURITY_INFORMATION
    found = win32security.GetSecurityInfo(handle, win32security.SE_KERNEL_OBJECT, parts)
    asked = win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(access_list(ME, (STRANGER,)), 1)
    as_text = win32security.ConvertSecurityDescriptorToStringSecurityDescriptor
    assert as_text(found, 1, parts) == as_text(asked, 1, parts)
    assert STRANGER in as_text(found, 1, parts)
    win32file.CloseHandle(handle)


def test_every_later_instance_has_the_list_too(endpoint: ipc.NamedPipe, listener: ipc.Listener) -> None:
    for _ in range(3):
        handle = plain_client(endpoint)
        with listener.accept(10):
            found = win32security.GetSecurityInfo(handle, win32security.SE_KERNEL_OBJECT, 4)
            assert STRANGER in win32security.ConvertSecurityDescriptorToStringSecurityDescriptor(found, 1, 4)
        win32file.CloseHandle(handle)


def test_a_reply_is_one_message(endpoint: ipc.NamedPipe, listener: ipc.Listener) -> None:
    handle = plain_client(endpoint)
    win32pipe.SetNamedPipeHandleState(handle, win32pipe.PIPE_READMODE_MESSAGE, None, None)
    with listener.accept(10) as channel:
        win32file.WriteFile(handle, b'{"Request":')
        win32file.WriteFile(handle, b'"AgentTaggedData"}')
        received = b""
        while not received.endswith(b"}"):
            received += channel.receive(100, 10)
        assert received == b'{"Request":"AgentTaggedData"}'
        reply = b"x" * 300_000
        writing = threading.Thread(target=lambda: (channel.send(reply), channel.send(b"next")))
        writing.start()
        assert win32file.ReadFile(handle, 1_000_000) == (0, reply)
        assert win32file.ReadFile(handle, 1_000_000) == (0, b"next")
        writing.join()
    win32file.CloseHandle(handle)


def test_a_client_that_says_nothing_of_security_is_known_once_it_wrote(
    endpoint: ipc.NamedPipe, listener: ipc.Listener
) -> None:
    handle = plain_client(endpoint)
    with listener.accept(10) as channel:
        win32file.WriteFile(handle, b"x")
        assert channel.receive(10, 10) == b"x"
        assert channel.peer.account == ME
    win32file.CloseHandle(handle)


def test_an_empty_message_is_no_end(endpoint: ipc.NamedPipe, listener: ipc.Listener) -> None:
    handle = plain_client(endpoint)
    with listener.accept(10) as channel:
        win32file.WriteFile(handle, b"")
        win32file.WriteFile(handle, b"x")
        assert channel.receive(10, 10) == b"x"
        win32file.CloseHandle(handle)
        assert channel.receive(10, 10) == b""


def test_who_comes_while_another_is_served_waits_for_a_turn(endpoint: ipc.NamedPipe, listener: ipc.Listener) -> None:
    first = ipc.connect(endpoint, 10)
    answers: list[bytes] = []

    def come() -> None:
        with ipc.connect(endpoint, 30) as channel:
            answers.append(channel.receive(10, 30))

    coming = [threading.Thread(target=come) for _ in range(5)]
    for thread in coming:
        thread.start()
    with listener.accept(10) as mine:
        mine.send(b"first")
        assert first.receive(10, 10) == b"first"
    for _ in coming:
        with listener.accept(30) as channel:
            channel.send(b"you")
            assert channel.receive(1, 30) == b""
    for thread in coming:
        thread.join()
    assert answers == [b"you"] * 5
    first.close()


def test_a_client_that_came_and_went_is_a_connection_that_ends(endpoint: ipc.NamedPipe, listener: ipc.Listener) -> None:
    win32file.CloseHandle(plain_client(endpoint))
    threading.Thread(target=lambda: ipc.connect(endpoint, 30).send(b"second")).start()
    received = b""
    while not received:
        with listener.accept(30) as channel:
            received = channel.receive(10, 30)
    assert received == b"second"


def test_one_can_listen_again_while_a_client_keeps_its_end(endpoint: ipc.NamedPipe) -> None:
    with ipc.listen(endpoint) as listener, ipc.connect(endpoint, 5) as old:
        listener.accept(5).close()
        listener.close()
        with ipc.listen(endpoint) as again, ipc.connect(endpoint, 5) as new, again.accept(5) as served:
            new.send(b"new")
            assert served.receive(10, 5) == b"new"
        assert old.receive(1, 5) == b""


@pytest.mark.parametrize("name", ["", "a\\b", "n" * 300, "a\0b"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(PeerError, match="cannot be the name"):
        ipc.listen(ipc.NamedPipe(name))
    with pytest.raises(PeerError, match="cannot be the name"):
        ipc.connect(ipc.NamedPipe(name))


def test_a_path_has_one_pipe_however_it_is_written() -> None:
    pipe = ipc.at(r"C:\Data\pipe\default.socket")
    assert pipe == ipc.at(r"c:\data\.\PIPE\default.socket")
    assert pipe != ipc.at(r"C:\Data\other\default.socket")
