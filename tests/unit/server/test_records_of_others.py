"""Bodies of senders and of what machines pass on, as far as they need no database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.errors import RecordError
from whatchanged.records.streams import DataType
from whatchanged.rules import Intake
from whatchanged.server.identity import MachineIdentity, SenderIdentity
from whatchanged.server.ingest.data_items import DataItems
from whatchanged.server.ingest.foreign import prepare_passed_on, prepare_request
from whatchanged.server.ingest.prepare import Upload

SENDER = SenderIdentity(
    machine_id="11111111-0000-0000-0000-000000000000", workspace_id="w", group="g", name="cmdb", rule_id="dcr-1",
    rule_name="taking",
)  # fmt: skip
MACHINE = MachineIdentity(machine_id="2", workspace_id="w", group="g", name="web")
CHANGES = Intake("Microsoft-ConfigurationChange", DataType.CONFIG_CHANGE)
INVENTORY = Intake("Microsoft-ConfigurationData", DataType.CONFIG_DATA_V2)
TIME = "2026-01-02T03:04:05Z"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["TimeGenerated", "Size", "Name", "Computer", "ConfigDataType", "SvcName", "_Stream", "_Epoch", "_Sequence",
     "_TimeNs", "_Record", "SourceComputerId", "PathBytes", "DateModified"]
)  # fmt: skip
VALUES = JSON | st.sampled_from([TIME, "Daemons", "Files", "c", "0" * 32, "Custom-1-a", 1, "Eviction"])
RECORDS = st.lists(st.dictionaries(NAMES, VALUES) | JSON, max_size=4)


def lines(upload: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(entry.line + b"}") for entry in upload.entries]


def test_the_key_of_a_request_is_its_stream_id_and_body() -> None:
    body = msgspec.json.encode([{"TimeGenerated": TIME}])
    one = prepare_request(SENDER, CHANGES, body, "id").request
    assert one == prepare_request(SENDER, CHANGES, body, "id").request
    others = {
        prepare_request(SENDER, CHANGES, body, "other").request,
        prepare_request(SENDER, CHANGES, body + b" ", "id").request,
        prepare_request(SENDER, Intake("Custom-A", DataType.CONFIG_CHANGE), body, "id").request,
        prepare_request(SENDER, CHANGES, body, "").request,
        prepare_request(SENDER, CHANGES, body, "").request,
    }
    assert len(others) == 5
    assert one not in others


def test_identity_is_never_the_bodys() -> None:
    forged = {"TimeGenerated": TIME, "SourceComputerId": "x", "_ResourceId": "x", "TenantId": "x", "Stream": "x"}
    [line] = lines(prepare_request(SENDER, CHANGES, msgspec.json.encode([forged]), "id"))
    assert line["SourceComputerId"] == SENDER.machine_id
    assert line["_ResourceId"].endswith("/dataCollectionRules/taking")
    assert "x" not in line.values()


def test_the_same_item_twice_in_a_body_has_an_order() -> None:
    item = {"TimeGenerated": TIME, "ConfigDataType": "Daemons", "SvcName": "cron", "Computer": "A"}
    body = msgspec.json.encode([item, {**item, "Computer": "a"}, {**item, "Computer": "b"}])
    first, second, other = lines(prepare_request(SENDER, INVENTORY, body, "id"))
    assert second["_Sequence"] == first["_Sequence"] + 1
    assert other["_Sequence"] == first["_Sequence"]
    assert first["_KeyHex"] == second["_KeyHex"] != other["_KeyHex"]


def test_what_is_passed_on_has_its_entrys_time_and_its_machines_name() -> None:
    record = {"_Stream": "Custom-1-a", "_Epoch": "0" * 32, "_Sequence": 3, "_TimeNs": 10**18, "Size": "7"}
    [line] = lines(prepare_passed_on(MACHINE, "Custom-1-a", CHANGES, msgspec.json.encode([record])))
    assert (line["TimeGenerated"], line["Computer"], line["Size"]) == ("2001-09-09T01:46:40.0000000Z", "web", 7)
    assert (line["_Stream"], line["_Epoch"], line["_Sequence"]) == ("Custom-1-a", "0" * 32, 3)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"_Stream": "CONFIG_CHANGE_BLOB"}, "[0]._Stream"),
        ({"_Epoch": "x"}, "[0]._Epoch"),
        ({"_Sequence": True}, "[0]._Sequence"),
        ({"_Sequence": 2**63}, "[0]._Sequence"),
        ({"_Colour": 1}, "[0]._Colour"),
        ({"_TimeNs": "x"}, "[0]"),
    ],
)
def test_what_is_passed_on_is_checked(change: dict[str, Any], place: str) -> None:
    record = {"_Stream": "Custom-1-a", "_Epoch": "0" * 32, "_Sequence": 3, "_TimeNs": 10**18, **change}
    with pytest.raises(RecordError) as caught:
        prepare_passed_on(MACHINE, "Custom-1-a", CHANGES, msgspec.json.encode([record]))
    assert caught.value.place == place


@given(RECORDS, st.sampled_from([CHANGES, INVENTORY]))
def test_hostile_records_raise_record_errors_alone(records: Any, intake: Intake) -> None:
    body = msgspec.json.encode(records)
    makes: tuple[Callable[[], Upload], ...] = (
        lambda: prepare_request(SENDER, intake, body, "id"),
        lambda: prepare_passed_on(MACHINE, "Custom-1-a", CHANGES, body),
    )
    for make in makes:
        try:
            upload = make()
        except RecordError:
            continue
        assert len(upload.entries) == len(records)


@given(st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_hostile_bytes_raise_record_errors_alone(body: bytes) -> None:
    makes: tuple[Callable[[], object], ...] = (
        lambda: prepare_request(SENDER, CHANGES, body, ""),
        lambda: DataItems.read(body),
    )
    for make in makes:
        try:
            make()
        except RecordError:
            continue


ENTRIES = st.dictionaries(
    st.sampled_from(["Name", "Size", "Owner", "Timestamp", "CollectionName", "FileSystemPath"]), JSON
)
ITEMS = st.fixed_dictionaries(
    {"ConfigChangeType": st.sampled_from(["Software.Packages", "Daemons", "Files"]) | JSON,
     "Collections": st.lists(ENTRIES | JSON, max_size=3)}
)  # fmt: skip


@given(st.fixed_dictionaries({"DataType": st.just("CONFIG_CHANGE_BLOB"), "DataItems": st.lists(ITEMS | JSON)}))
def test_hostile_sets_raise_record_errors_alone(body: Any) -> None:
    try:
        items = DataItems.read(msgspec.json.encode(body))
        prepare_request(SENDER, INVENTORY, items.rows, "")
    except RecordError:
        return
