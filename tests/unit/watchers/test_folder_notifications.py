"""The bytes of ReadDirectoryChangesW: what is built is read again, and what is broken is refused, never misread."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import WatchError
from whatchanged.watchers.windows.notifications import Notification, parse, short_from

UNITS = st.binary(min_size=2, max_size=80).filter(lambda raw: len(raw) % 2 == 0)
"""Names of any UTF-16 units, also halves of pairs."""


def entry(action: int, name: bytes, *, last: bool) -> bytes:
    padding = b"" if last else b"\0" * (-len(name) % 4)
    return struct.pack("<III", 0 if last else 12 + len(name) + len(padding), action, len(name)) + name + padding


def buffer(written: list[tuple[int, bytes]]) -> bytes:
    return b"".join(entry(action, name, last=at == len(written) - 1) for at, (action, name) in enumerate(written))


@given(st.lists(st.tuples(st.integers(1, 5), UNITS), min_size=1, max_size=20))
def test_what_the_system_writes_is_read_without_loss(written: list[tuple[int, bytes]]) -> None:
    slash, backslash = "/".encode("utf-16-le"), "\\".encode("utf-16-le")
    told = [(n.action, n.name.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass"))
            for n in parse(buffer(written))]  # fmt: skip
    for (action, name), (action_told, name_told) in zip(written, told, strict=True):
        units = [name[at : at + 2] for at in range(0, len(name), 2)]
        assert (action_told, name_told) == (action, b"".join(slash if u == backslash else u for u in units))


def test_names_below_folders_and_half_a_pair() -> None:
    written = [(1, "sub\\größe".encode("utf-16-le")), (5, b"x\0\x00\xd8y\0")]
    assert list(parse(buffer(written))) == [
        Notification(1, "sub/größe".encode()),
        Notification(5, b"x\xed\xa0\x80y"),
    ]


@given(st.binary(max_size=300))
def test_any_bytes_end(raw: bytes) -> None:
    with contextlib.suppress(WatchError):
        found = list(parse(raw))
        assert found
        assert sum(12 for _ in found) <= len(raw)


@given(st.lists(st.tuples(st.integers(1, 5), UNITS), min_size=1, max_size=5), st.data())
def test_what_is_cut_off_is_refused(written: list[tuple[int, bytes]], data: st.DataObject) -> None:
    raw = buffer(written)
    with pytest.raises(WatchError):
        list(parse(raw[: data.draw(st.integers(0, len(raw) - 1))]))


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack("<III", 0, 1, 3) + b"abc",
        struct.pack("<III", 0, 1, 0xFFFFFFFE),
        struct.pack("<III", 4, 1, 0) * 2,
        struct.pack("<III", 14, 1, 4) + b"abcd" + struct.pack("<III", 0, 1, 0),
        struct.pack("<III", 0xFFFFFFFC, 1, 0),
        b"",
    ],
)
def test_lengths_that_cannot_be(raw: bytes) -> None:
    with pytest.raises(WatchError):
        list(parse(raw))


@pytest.mark.parametrize(
    ("name", "at"),
    [
        (b"PROGRA~1", 0),
        (b"a/LONGNA~2.TXT", 1),
        (b"ABCDEF~1/file.txt", 0),
        (b"file.txt~", None),
        (b"notes.txt.~1~", None),
        (b"~1", None),
        (b"a much longer name~1", None),
        (b"a~1.conf", None),
    ],
)
def test_names_that_may_be_short_ones(name: bytes, at: int | None) -> None:
    assert short_from(name) == at
