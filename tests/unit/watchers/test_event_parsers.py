"""The bytes of fanotify and inotify: what is built is read again, and what is broken is refused, never misread."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import WatchError
from whatchanged.watchers.fanotify import events as fanotify
from whatchanged.watchers.inotify import events as inotify

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name and b"/" not in name)
HANDLES = st.builds(
    lambda fsid, kind, body: fsid + struct.pack("=Ii", len(body), kind) + body,
    st.binary(min_size=8, max_size=8),
    st.integers(-1, 2**31 - 1),
    st.binary(min_size=0, max_size=128),
)


def padded(raw: bytes) -> bytes:
    return raw + b"\0" * (-len(raw) % 4)


def info(kind: int, body: bytes) -> bytes:
    body = padded(body)
    return struct.pack("=BBH", kind, 0, 4 + len(body)) + body


def event(mask: int, pid: int, *infos: bytes) -> bytes:
    body = b"".join(infos)
    return struct.pack("=IBBHQii", 24 + len(body), 3, 0, 24, mask, -1, pid) + body


@given(HANDLES, HANDLES, NAMES, st.sampled_from([0, fanotify.ONDIR, fanotify.RENAME, fanotify.OPEN_EXEC]))
def test_what_lies_outside_is_passed_over_but_not_folders_renames_and_executions(
    folder: bytes, other: bytes, name: bytes, also: int
) -> None:
    raw = event(fanotify.CREATE | also, 7, info(2, folder + name + b"\0"), info(1, other))
    raw += event(fanotify.Q_OVERFLOW, 0) + event(fanotify.ATTRIB, 7) + event(fanotify.ATTRIB, 7, info(1, other))
    told = [(e.mask, e.place.folder if e.place else None) for e in fanotify.parse(raw, {folder})]
    rest = [(fanotify.Q_OVERFLOW, None), (fanotify.ATTRIB, None)]
    rest += [(fanotify.ATTRIB, None)] if other != folder else []
    assert told == [*([(fanotify.CREATE | also, folder)] if also else []), *rest]


@given(
    st.lists(
        st.tuples(HANDLES, NAMES, HANDLES, NAMES, HANDLES, st.integers(0, 2**31 - 1), st.integers(-2, 1000)), max_size=5
    )
)
def test_fanotify_events_are_read_as_the_kernel_writes_them(
    written: list[tuple[bytes, bytes, bytes, bytes, bytes, int, int]],
) -> None:
    raw = b"".join(
        event(
            fanotify.RENAME,
            pid,
            info(10, old_folder + old_name + b"\0"),
            info(12, folder + name + b"\0"),
            info(1, target),
            info(4, struct.pack("=i", pidfd)),
            info(77, b"a record of a newer kernel"),
        )
        for folder, name, old_folder, old_name, target, pid, pidfd in written
    )
    assert [tuple(e) for e in fanotify.parse(raw)] == [
        (fanotify.RENAME, pid, (folder, name), (old_folder, old_name), target, pidfd)
        for folder, name, old_folder, old_name, target, pid, pidfd in written
    ]


@given(HANDLES, NAMES, st.data())
def test_a_fanotify_event_that_is_cut_is_refused(folder: bytes, name: bytes, data: st.DataObject) -> None:
    raw = event(fanotify.CREATE, 7, info(2, folder + name + b"\0"))
    cut = data.draw(st.integers(1, len(raw) - 1))
    with pytest.raises(WatchError):
        list(fanotify.parse(raw[:cut]))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read_but_never_crash(raw: bytes) -> None:
    for parse in (fanotify.parse, inotify.parse):
        with contextlib.suppress(WatchError):
            list(parse(raw))


def test_events_of_another_version_are_refused() -> None:
    raw = bytearray(event(fanotify.CREATE, 7))
    raw[4] = 4
    with pytest.raises(WatchError, match="version 4"):
        list(fanotify.parse(bytes(raw)))


@given(st.lists(st.tuples(st.integers(-1, 2**31 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), NAMES)))
def test_inotify_events_are_read_as_the_kernel_writes_them(written: list[tuple[int, int, int, bytes]]) -> None:
    raw = b""
    for watch, mask, cookie, name in written:
        field = name + b"\0" * (16 - len(name) % 16)
        raw += struct.pack("=iIII", watch, mask, cookie, len(field)) + field
    assert [tuple(e) for e in inotify.parse(raw)] == written
