"""The link between the tracker and the process that looks into a network file system."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors import Failure
from whatchanged.collectors.files import FolderLook, Looked
from whatchanged.errors import PeerError
from whatchanged.records.items import FileItem
from whatchanged.tracker.remote_messages import Answer, AskKnown, Found, Link, Names, Order, Seen


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_messages_arrive_as_they_were_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    item = FileItem(path=b"/a\xff\n", mode=0o100644, size=1, modified_ns=-1, uid=0, gid=0, sha256=b"\0" * 32)
    ours: Link[Answer] = Link(ends[0], Answer)  # type: ignore[arg-type]
    its: Link[Order] = Link(ends[1], Order)  # type: ignore[arg-type]
    look = FolderLook(
        b"/", [b"\xfe"], [Looked(item, b"\0s", ("r",))], [], [b"gone"], [Failure(b"/x", "EIO")], True, True
    )
    for answer in (Seen(look), AskKnown(b"/\xff"), Found(failure=Failure(b"/x", "EIO"))):
        its.send(answer)
        assert ours.receive() == answer
    names = Names({b"\xff\n": b"\0signature"}, rehash=True)
    ours.send(names)
    assert its.receive() == names


def test_the_end_of_the_other_process_and_silence(ends: tuple[socket.socket, socket.socket]) -> None:
    ours: Link[Answer] = Link(ends[0], Answer)  # type: ignore[arg-type]
    assert ours.receive_within(0.01) is None
    ends[1].send(struct.pack("=I", 100) + b"cut off")
    assert ours.receive_within(0.01) is None
    ends[1].close()
    with pytest.raises(PeerError, match="has ended"):
        ours.receive_within(0.01)


@given(st.binary(max_size=200), st.booleans())
def test_bytes_that_are_no_message_raise_nothing_foreign(payload: bytes, framed: bool) -> None:
    one, other = socket.socketpair()
    with one, other:
        other.sendall(struct.pack("=I", len(payload)) + payload if framed else b"\xff\xff\xff\xff" + payload)
        ours: Link[Answer] = Link(one, Answer)  # type: ignore[arg-type]
        with contextlib.suppress(PeerError):  # and nothing else; by chance it is a message
            ours.receive_within(0.0)
