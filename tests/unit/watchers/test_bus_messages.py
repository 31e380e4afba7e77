"""D-Bus messages: calls are what the specification says, and what comes in is cut rightly wherever it is cut."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.watchers.bus_bytes import message, texts
from whatchanged.errors import WatchError
from whatchanged.watchers.systemd.messages import METHOD_CALL, SIGNAL, Message, Messages, call

NAMES = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=60)


@given(st.lists(st.tuples(st.sampled_from("<>"), NAMES, NAMES, NAMES, st.binary(max_size=50))), st.data())
def test_messages_are_read_whole_however_they_arrive(
    sent: list[tuple[str, str, str, str, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(
        message(SIGNAL, order=o, path=p.encode(), interface=b"a.b", member=m.encode(), sender=s.encode(), body=b)
        for o, p, m, s, b in sent
    )
    reader = Messages()
    found: list[Message] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert found == [
        Message(SIGNAL, o, path=p.encode(), interface=b"a.b", member=m.encode(), sender=s.encode(), body=b)
        for o, p, m, s, b in sent
    ]


@given(NAMES, NAMES, NAMES, NAMES, st.lists(NAMES, max_size=3))
def test_our_calls_are_messages(to: str, path: str, interface: str, member: str, arguments: list[str]) -> None:
    (read,) = Messages().feed(call(1, to, path, interface, member, *arguments))
    assert (read.kind, read.path, read.interface) == (METHOD_CALL, path.encode(), interface.encode())
    assert read.member == member.encode()
    assert read.texts(len(arguments)) == [text.encode() for text in arguments]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_waited_for_but_never_crash(raw: bytes) -> None:
    for start in (
        b"",
        b"l\4\1\1",
        b"l\4\1\1" + struct.pack("<III", 0, 1, 40),
        b"l\4\1\1" + struct.pack("<III", 9, 1, 8),
    ):
        with contextlib.suppress(WatchError):
            for read in Messages().feed(start + raw):
                read.texts(3)


@given(st.binary(max_size=40), st.sampled_from("<>"))
def test_random_bodies_are_refused_or_read_within_themselves(body: bytes, order: str) -> None:
    read = Message(SIGNAL, order, body=body)
    with contextlib.suppress(WatchError):
        assert all(text in body for text in read.texts(3))
    with contextlib.suppress(WatchError):
        assert 0 <= read.number() < 2**32


def test_texts_that_end_with_the_body_are_whole_and_longer_ones_are_refused() -> None:
    body = texts("<", "one", "", "three")
    assert Message(SIGNAL, "<", body=body).texts(3) == [b"one", b"", b"three"]
    for cut in range(len(body)):
        with pytest.raises(WatchError):
            Message(SIGNAL, "<", body=body[:cut]).texts(3)


def test_a_message_that_is_too_long_is_refused_before_it_is_there() -> None:
    with pytest.raises(WatchError, match="bytes"):
        Messages().feed(struct.pack("<cBBBIII", b"l", SIGNAL, 0, 1, 2**31, 1, 0))
