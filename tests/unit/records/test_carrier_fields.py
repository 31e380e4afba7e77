from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RecordError
from whatchanged.records.carrier import Confirmation, Eviction, Position, chunk_id, new_epoch, parse_chunk_id
from whatchanged.records.items import Kind
from whatchanged.records.streams import RULE_STREAMS, DataType, data_type

STREAMS = st.sampled_from(DataType)
EPOCHS = st.text(alphabet="0123456789abcdef", min_size=32, max_size=32)
COUNTS = st.integers(0, 2**63 - 1)
CONFIRMATIONS = st.builds(
    Confirmation,
    kind=st.sampled_from(Kind),
    time_ns=st.integers(0, 2**62 // 100).map(lambda n: n * 100),
    items=COUNTS,
    checksum=st.text(alphabet="0123456789abcdef", min_size=64, max_size=64),
    not_confirmed=st.lists(st.binary(max_size=20), max_size=3).map(tuple),
)
EVICTIONS = st.builds(
    Eviction, stream=STREAMS, epoch=EPOCHS, first=COUNTS, last=COUNTS, count=COUNTS, reason=st.text(max_size=20)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(CONFIRMATIONS)
def test_confirmations_come_back(confirmation: Confirmation) -> None:
    arrived = msgspec.json.decode(msgspec.json.encode(confirmation.fields()))
    assert Confirmation.parse(arrived) == confirmation


@given(EVICTIONS)
def test_evictions_come_back(eviction: Eviction) -> None:
    assert Eviction.parse(msgspec.json.decode(msgspec.json.encode(eviction.fields()))) == eviction


@given(CONFIRMATIONS, st.sampled_from(["ConfigDataType", "TimeGenerated", "Items", "Checksum", "NotConfirmed"]), JSON)
def test_hostile_confirmations_raise_record_errors_alone(confirmation: Confirmation, field: str, value: Any) -> None:
    try:
        Confirmation.parse(confirmation.fields() | {field: value})
    except RecordError:
        return


@given(EVICTIONS, st.sampled_from(["_Stream", "_Epoch", "First", "Last", "Count", "Reason"]), JSON)
def test_hostile_evictions_raise_record_errors_alone(eviction: Eviction, field: str, value: Any) -> None:
    try:
        Eviction.parse(eviction.fields() | {field: value})
    except RecordError:
        return


def test_infinite_counts_are_refused() -> None:
    eviction = Eviction(stream=DataType.TRACKING_HEALTH, epoch="0" * 32, first=1, last=2, count=2, reason="r")
    with pytest.raises(RecordError):
        Eviction.parse(eviction.fields() | {"Count": float("inf")})
    confirmation = Confirmation(kind=Kind.FILES, time_ns=0, items=0, checksum="")
    with pytest.raises(RecordError):
        Confirmation.parse(confirmation.fields() | {"Items": float("-inf")})


@given(EPOCHS, STREAMS, st.integers(1, 10**18), st.integers(0, 10**6))
def test_chunk_ids_come_back(epoch: str, stream: DataType, first: int, more: int) -> None:
    assert parse_chunk_id(chunk_id(epoch, stream, first, first + more)) == (epoch, stream, first, first + more)


@pytest.mark.parametrize(
    "change",
    ["", "x", "{e}:NOPE:1-2", "{e}:TRACKING_HEALTH:2-1", "{e}:TRACKING_HEALTH:0-1", "{e}:TRACKING_HEALTH:1-2\n"],
)
def test_foreign_chunk_ids(change: str) -> None:
    assert parse_chunk_id(change.format(e="0" * 32)) is None


@given(st.text(max_size=60))
def test_any_text_is_a_chunk_id_or_not(text: str) -> None:
    assert parse_chunk_id(text) is None


def test_epochs_and_positions() -> None:
    epoch = new_epoch()
    assert epoch != new_epoch()
    position = Position(DataType.CONFIG_DATA_V2, epoch, 3)
    assert position.carrier() == {"_Stream": "CONFIG_DATA_BLOB_V2", "_Epoch": epoch, "_Sequence": 3}


def test_streams_by_either_name() -> None:
    for name, stream in RULE_STREAMS.items():
        assert data_type(name.upper()) is data_type(stream.value.lower()) is stream
    assert data_type("Microsoft-Perf") is None
