"""Records of every kind of item are taken, and their facts have the digest that the tracker confirms."""

import hashlib

import msgspec
import pytest

from whatchanged.records.carrier import Position
from whatchanged.records.items import DaemonItem, Item, RegistryItem, ServiceItem, SoftwareItem
from whatchanged.records.keys import DIGEST_SIZE, item_digest
from whatchanged.records.streams import DataType
from whatchanged.server.ingest.shape import decode_body, encode_facts
from whatchanged.tracker.differ import change_rows

TIME = "2026-01-02T03:04:05.1234567Z"
SERVICE = ServiceItem(name="Spooler", state="Running", start_type="Auto", account="LocalSystem", path=r"C:\s.exe")
ITEMS: list[tuple[Item, Item]] = [
    (SERVICE, msgspec.structs.replace(SERVICE, delayed=True, failure_actions="restart after 60 s")),
    (SERVICE, msgspec.structs.replace(SERVICE, start_type="Manual")),
    (SoftwareItem(name="p", version="1", size=5), SoftwareItem(name="p", version="2", size=6)),
    (DaemonItem(name="a.service"), DaemonItem(name="a.service", state="Running")),
    (RegistryItem.of(r"HKLM\x", "v", 4, b"\1\0\0\0"), RegistryItem.of(r"HKLM\x", "v", 3, b"\1\0\0\0")),
]


@pytest.mark.parametrize(("before", "after"), ITEMS)
def test_changes_of_an_item_are_taken(before: Item, after: Item) -> None:
    rows = [*change_rows(None, before), *change_rows(before, after), *change_rows(after, None)]
    stream = DataType.CONFIG_CHANGE_V2
    records = [
        {"TimeGenerated": TIME, **row, **Position(stream, "0" * 32, number).carrier()}
        for number, row in enumerate(rows, 1)
    ]
    assert len(decode_body(stream, msgspec.json.encode(records)).entries) == len(rows) >= 3


@pytest.mark.parametrize("item", [item for pair in ITEMS for item in pair])
def test_the_facts_of_an_item_keep_their_digest(item: Item) -> None:
    stream = DataType.CONFIG_DATA_V2
    row = {"ConfigDataType": item.kind.value, "TimeGenerated": TIME, **item.columns()}
    body = decode_body(stream, msgspec.json.encode([{**row, **Position(stream, "0" * 32, 1).carrier()}]))
    assert hashlib.sha256(encode_facts(body.facts[0])).digest()[:DIGEST_SIZE] == item_digest(row)
