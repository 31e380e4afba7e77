"""Process events and exit records: messages as this kernel sent them, and any bytes at all."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import WireError
from whatchanged.watchers.processes import connector, taskstats
from whatchanged.watchers.processes.connector import (
    Acknowledged,
    Event,
    Executed,
    Exited,
    Forked,
    GroupChanged,
    Occurrence,
    Other,
    Renamed,
    UserChanged,
)
from whatchanged.watchers.processes.taskstats import LAYOUTS, ExitRecord, Layout

PIDS = st.integers(0, 2**31 - 1)
IDS = st.integers(0, 2**32 - 1)


def event_message(what: int, data: bytes, *, cpu: int = 1, sequence: int = 7, at_ns: int = 9) -> bytes:
    event = struct.pack("=IIQ", what, cpu, at_ns) + data.ljust(24, b"\0")
    body = struct.pack("=IIIIHH", 1, 1, sequence, 0, len(event), 0) + event
    return struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body


# From Linux 6.18 (x86_64); the parts before the event are netlink's and the connector's.
@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (
            "0100000001000000983251c9b1030000d74d0000d74d00000e4e00000e4e00000000000000000000",
            Forked(19982, 19982, 19927),
        ),
        (
            "0100000001000000beb52bd1b103000034290000342900000f4e00007a4d00000000000000000000",
            Forked(19834, 19983, 10548),
        ),
        ("020000000100000070f0b3c9b10300000e4e00000e4e000000000000000000000000000000000000", Executed(19982)),
        ("0000008001000000b440bcc9b10300000e4e00000e4e00000000000011000000d74d0000d74d0000", Exited(19982, 19982)),
        ("0000000001000000300d4fc9b1030000000000000000000000000000000000000000000000000000", Acknowledged(0)),
    ],
)
def test_events_of_a_real_kernel(raw: str, event: Event) -> None:
    body = struct.pack("=IIIIHH", 1, 1, 5, 0, 40, 0) + bytes.fromhex(raw)
    occurrence = connector.parse(struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body)
    assert occurrence.event == event
    assert (occurrence.cpu, occurrence.sequence) == (1, 5)
    assert occurrence.at_ns >> 32 == 0x3B1


@given(PIDS, PIDS, IDS, IDS, st.integers(0, 2**64 - 1))
def test_ids_come_through(pid: int, thread: int, real: int, effective: int, at_ns: int) -> None:
    data = struct.pack("=2i2I", thread, pid, real, effective)
    assert connector.parse(event_message(0x4, data, at_ns=at_ns)) == Occurrence(
        at_ns, 1, 7, UserChanged(pid, thread, real, effective)
    )
    assert connector.parse(event_message(0x40, data)).event == GroupChanged(pid, thread, real, effective)


@given(PIDS, st.binary(max_size=15).filter(lambda name: b"\0" not in name))
def test_names_come_through(pid: int, name: bytes) -> None:
    data = struct.pack("=2i16s", pid, pid, name)
    assert connector.parse(event_message(0x200, data)).event == Renamed(pid, pid, name)


def test_what_is_not_known_is_no_error() -> None:
    assert connector.parse(event_message(0x80, b"")).event == Other(0x80)
    assert connector.parse(event_message(0x400, b"")).event == Other(0x400)


@given(st.binary(max_size=120))
def test_any_bytes_are_no_event_or_one(raw: bytes) -> None:
    with contextlib.suppress(WireError):
        connector.parse(raw)


@given(st.sampled_from([0x0, 0x1, 0x2, 0x4, 0x40, 0x200, 0x80000000]), st.integers(0, 59))
def test_a_message_cut_off_is_an_error(what: int, length: int) -> None:
    needed = 52 + {0x0: 4, 0x1: 16, 0x2: 8, 0x4: 16, 0x40: 16, 0x200: 24, 0x80000000: 8}[what]
    message = event_message(what, b"")[: min(length, needed - 1)]
    with pytest.raises(WireError):
        connector.parse(message)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def exit_message(stats: bytes, *, aggregate: int = 4) -> bytes:
    body = struct.pack("=BBH", 2, 1, 0) + attribute(aggregate, attribute(1, b"\1\0\0\0") + attribute(3, stats))
    return struct.pack("=IHHII", 16 + len(body), 31, 0, 0, 0) + body


def stats(layout: Layout, *, version: int, size: int, program_at: int = 384, **members: int | bytes) -> bytes:
    data = bytearray(size)
    struct.pack_into("=H", data, 0, version)
    struct.pack_into("=32s", data, layout.name, members["name"])
    for number, member in enumerate(("user", "group", "pid", "parent", "began")):
        struct.pack_into("=I", data, layout.name + 40 + 4 * number, members[member])
    if size >= program_at + 16:
        struct.pack_into("=QQ", data, program_at, 65024, 260958)
    return bytes(data)


NAMES = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)


@given(NAMES, IDS, IDS, IDS, IDS, IDS, st.sampled_from(LAYOUTS))
def test_records_come_through(
    name: bytes, user: int, group: int, pid: int, parent: int, began: int, layout: Layout
) -> None:
    raw = stats(layout, version=13, size=416, name=name, user=user, group=group, pid=pid, parent=parent, began=began)
    program = (65024, 260958) if layout.program is not None else None
    assert taskstats.parse(exit_message(raw), layout) == ExitRecord(pid, parent, name, user, group, began, program)


@pytest.mark.parametrize(("version", "size"), [(8, 328), (11, 384), (11, 416), (12, 384)])
def test_an_older_kernel_says_nothing_of_the_program(version: int, size: int) -> None:
    raw = stats(LAYOUTS[0], version=version, size=size, name=b"cp", user=1, group=2, pid=3, parent=4, began=5)
    assert taskstats.parse(exit_message(raw)) == ExitRecord(3, 4, b"cp", 1, 2, 5, None)


def test_the_sum_over_threads_is_no_task() -> None:
    raw = stats(LAYOUTS[0], version=13, size=416, name=b"cp", user=1, group=2, pid=3, parent=4, began=5)
    assert taskstats.parse(exit_message(raw, aggregate=5)) is None


@given(st.binary(max_size=600), st.sampled_from(LAYOUTS))
def test_any_bytes_are_no_record_or_one(raw: bytes, layout: Layout) -> None:
    for message in (raw, exit_message(raw)):
        with contextlib.suppress(WireError):
            taskstats.parse(message, layout)


@given(st.integers(0, 139))
def test_a_record_cut_off_is_an_error(size: int) -> None:
    raw = stats(LAYOUTS[0], version=13, size=416, name=b"cp", user=1, group=2, pid=3, parent=4, began=5)
    with pytest.raises(WireError):
        taskstats.parse(exit_message(raw[:size]))
