"""Fluent Forward: every mode, every kind of time, limits, and bytes that mean nothing."""

import contextlib
import gzip
import json
import struct
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatchanged.errors import LimitExceeded, WireError
from whatchanged.wire import agent, forward
from whatchanged.wire.forward import ConfigRequest, Decoder, Entry, ForwardMessage, Heartbeat, Limits


def decode(data: bytes, limits: Limits | None = None) -> list[Any]:
    return list(Decoder(limits).feed(data))


def only(data: bytes) -> ForwardMessage:
    (message,) = decode(data)
    assert isinstance(message, ForwardMessage)
    return message


def event_time(seconds: int, nanoseconds: int) -> msgpack.ExtType:
    return msgpack.ExtType(0, struct.pack(">II", seconds, nanoseconds))


def entries(*pairs: tuple[Any, dict[str, Any]]) -> bytes:
    return b"".join(msgpack.packb([time, record]) for time, record in pairs)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (7, 7 * 10**9),
        (1.5, 1_500_000_000),
        (event_time(7, 8), 7_000_000_008),
        (msgpack.Timestamp(7, 8), 7_000_000_008),
        ([event_time(7, 8), {"meta": 1}], 7_000_000_008),
    ],
)
def test_every_kind_of_time_in_every_mode(time: Any, expected: int) -> None:
    record = {"a": "b"}
    pair = [time, record]
    for message in (
        ["t", time, record],
        ["t", [pair]],
        ["t", entries((time, record))],
        ["t", entries((time, record)).decode("latin-1").encode("latin-1")],
        ["t", gzip.compress(entries((time, record))), {"compressed": "gzip"}],
    ):
        if isinstance(time, list) and len(message) == 3 and message[1] is time:
            continue  # [time, metadata] exists inside entries only: in mode Message it would be an entry list
        got = only(msgpack.packb(message))
        assert (got.tag, got.entries, got.chunk) == ("t", [Entry(expected, record)], None)


def test_ext8_event_time_and_text_entries_of_old_clients() -> None:
    time = b"\xc7\x08\x00" + struct.pack(">II", 3, 4)
    old = msgpack.packb(entries((1, {"k": b"\xff\xfe"})), use_bin_type=False)
    assert only(b"\x92\xa1t\x91\x92" + time + b"\x80").entries == [Entry(3_000_000_004, {})]
    got = only(b"\x92" + msgpack.packb(b"tag") + old)
    assert got.tag == "tag"
    assert got.entries == [Entry(10**9, {"k": b"\xff\xfe"})]


def test_text_that_is_not_utf8_survives() -> None:
    got = only(b"\x93\xa1\xff\x01\x81\xa1k\xa2\xc3\x28")
    assert got.tag.encode("utf-8", "surrogateescape") == b"\xff"
    assert got.entries[0].record["k"].encode("utf-8", "surrogateescape") == b"\xc3\x28"
    assert forward.pack_record(got.entries[0].record) == b"\x81\xa1k\xa2\xc3\x28"


def test_several_gzip_members_follow_each_other() -> None:
    data = gzip.compress(entries((1, {}))) + gzip.compress(entries((2, {}), (3, {})))
    got = only(msgpack.packb(["t", data, {"compressed": "gzip", "chunk": "c"}]))
    assert [e.time_ns for e in got.entries] == [10**9, 2 * 10**9, 3 * 10**9]
    assert got.chunk == "c"


def test_requests_heartbeats_and_data_share_a_connection_byte_by_byte() -> None:
    request = agent.ConfigurationRequest(request_id="r", tag="ChangeTracking-Linux")
    data = (
        agent.encode_request(request)
        + agent.encode_request(request, bare=True)
        + b"\r\n"
        + forward.encode_heartbeat()
        + agent.encode_request(request, bare=True)
        + forward.encode_forward("t", [(5, forward.pack_record({"a": 1}))], "c")
        + b'{"Request":"AgentTaggedData","RequestId":"\\\\\\"}{","Tag":"x","Version":"1"}'
        + forward.encode_heartbeat()
    )
    decoder = Decoder()
    got = [message for byte in data for message in decoder.feed(bytes([byte]))]
    assert got == decode(data)
    payload = json.dumps(
        {"Request": "AgentTaggedData", "RequestId": "r", "Tag": "ChangeTracking-Linux", "Version": "1"},
        separators=(",", ":"),
    ).encode()
    assert got[:4] == [
        ConfigRequest(payload, bare=False),
        ConfigRequest(payload, bare=True),
        Heartbeat(),
        ConfigRequest(payload, bare=True),
    ]
    assert got[4] == ForwardMessage("t", [Entry(5, {"a": 1})], "c", {"size": 1, "chunk": "c"})
    assert got[-1] == Heartbeat()
    last = got[-2]
    assert isinstance(last, ConfigRequest)
    assert agent.decode_request(last.payload).request_id == '\\"}{'


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_records = st.dictionaries(st.text(), _values, max_size=6)
_times = st.integers(0, 2**32 * 10**9 - 1)


@given(
    st.text(max_size=50), st.lists(st.tuples(_times, _records), max_size=5), st.none() | st.text(), st.integers(1, 50)
)
def test_what_is_encoded_comes_back_in_any_pieces(
    tag: str, sent: list[tuple[int, dict[str, Any]]], chunk: str | None, size: int
) -> None:
    data = forward.encode_forward(tag, [(time, forward.pack_record(record)) for time, record in sent], chunk)
    decoder = Decoder()
    (got,) = (m for i in range(0, len(data), size) for m in decoder.feed(data[i : i + size]))
    assert isinstance(got, ForwardMessage)
    assert (got.tag, got.chunk) == (tag, chunk)
    assert got.entries == [Entry(time, record) for time, record in sent]


@settings(max_examples=400)
@given(st.binary(max_size=300) | st.lists(_values, max_size=5).map(msgpack.packb), st.integers(1, 300))
def test_any_bytes_give_messages_or_wire_errors(data: bytes, size: int) -> None:
    decoder = Decoder()
    try:
        for i in range(0, len(data), size):
            for message in decoder.feed(data[i : i + size]):
                if isinstance(message, ConfigRequest):
                    agent.decode_request(message.payload)
    except WireError:
        pass


@settings(max_examples=300)
@given(st.data())
def test_damaged_messages_give_messages_or_wire_errors(data: st.DataObject) -> None:
    good = bytearray(
        forward.encode_forward("tag", [(1, forward.pack_record({"a": [1, {"b": "c"}]}))] * 3, "chunk")
        + msgpack.packb(["t", gzip.compress(entries((1, {"x": 1}))), {"compressed": "gzip"}])
    )
    for _ in range(data.draw(st.integers(1, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        decode(bytes(good))


_BOMBS = {
    "array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "entries of four thousand million": b"\x92\xa1t\xdd\xff\xff\xff\xff",
    "text of four gigabytes": b"\x92\xdb\xff\xff\xff\xff" + bytes(100),
    "binary of four gigabytes": b"\x92\xa1t\xc6\xff\xff\xff\xff" + bytes(100),
    "map of four thousand million": b"\x92\xa1t\x91\x92\x01\xdf\xff\xff\xff\xff",
    "extension of four gigabytes": b"\x92\xa1t\x91\x92\xc9\xff\xff\xff\xff\x00",
    "nested headers": b"\x92\xa1t" + b"\xdd\x00\xff\xff\xff" * 900,
    "deep": b"\x91" * 100_000,
    "deep request": b'{"a":' * 10_000,
    "endless request": b'{"' + b"a" * 100_000,
    "endless text": b"\xdb\x00\xff\xff\xff" + b"a" * 100_000,
    "unknown first byte": b"\x01",
}


@pytest.mark.parametrize("name", _BOMBS)
def test_small_headers_reserve_little(name: str) -> None:
    tracemalloc.start()
    try:
        decode(_BOMBS[name] * 2)
    except WireError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("message", "limits"),
    [
        (["t", [[1, {}]] * 6], Limits(entries=5)),
        (["t", entries(*[(1, {})] * 6)], Limits(entries=5)),
        (["t", [[1, {"a": "x" * 100}]]], Limits(record_bytes=50)),
        (["t", 1, {"a": "x" * 100}], Limits(record_bytes=50)),
        (["t", gzip.compress(b"") * 700_000, {"compressed": "gzip"}], Limits()),
        (["t", [[1, {"a": [[[[1]]]]}]]], Limits(nesting=3)),
        (["t", [[1, {"a": [[]] * 20}]]], Limits(containers=10)),
        (["t", gzip.compress(bytes(1_000_000)), {"compressed": "gzip"}], Limits(message_bytes=10_000)),
        (["t", "x" * 20_000], Limits(message_bytes=10_000)),
    ],
)
def test_limits(message: list[Any], limits: Limits) -> None:
    with pytest.raises(LimitExceeded):
        decode(msgpack.packb(message), limits)


@pytest.mark.parametrize(
    "message",
    [
        [],
        ["t"],
        ["t", 1],
        [1, 1, {}],
        ["t", [1]],
        ["t", [[1]]],
        ["t", [[1, 2]]],
        ["t", [["x", {}]]],
        ["t", [[True, {}]]],
        ["t", [[float("nan"), {}]]],
        ["t", 1, {}, {}, {}],
        ["t", [[1, {}]], {}, {}],
        ["t", [[1, {}]], 5],
        ["t", [[1, {}]], {"chunk": 5}],
        ["t", b"\x92\x01"],
        ["t", b"\xc1"],
        ["t", b"nonsense", {"compressed": "gzip"}],
        ["t", gzip.compress(b"\x92\x01\x80")[:-3], {"compressed": "gzip"}],
        ["t", b"", {"compressed": "zstd"}],
        ["t", [[1, {"a": msgpack.ExtType(5, b"x")}]]],
        ["t", [[1, {1: 2}]]],
    ],
)
def test_wrong_shapes_are_wire_errors(message: list[Any]) -> None:
    with pytest.raises(WireError):
        decode(msgpack.packb(message))


def test_acknowledgements() -> None:
    data = forward.encode_ack("one") + forward.encode_ack("two")
    reader = forward.AckReader()
    assert [chunk for byte in data for chunk in reader.feed(bytes([byte]))] == ["one", "two"]
    assert forward.decode_ack(forward.encode_ack("x")) == "x"
    for wrong in (b"\xc0", b"\x80", b"\x81\xa3ack\x01", b"", b"\xc1", b"\x81\xa3ack"):
        with pytest.raises(WireError):
            forward.decode_ack(wrong)


@given(st.binary(max_size=100))
def test_any_bytes_as_acknowledgement(data: bytes) -> None:
    with contextlib.suppress(WireError):
        list(forward.AckReader().feed(data))


def test_times_that_event_time_cannot_hold_are_refused() -> None:
    for time in (-1, 2**32 * 10**9):
        with pytest.raises(WireError):
            forward.encode_forward("t", [(time, b"\x80")], None)
    with pytest.raises(WireError):
        forward.pack_record({"a": object()})
