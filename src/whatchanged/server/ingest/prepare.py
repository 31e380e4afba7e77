"""From a body to numbered rows ready to be inserted: identity, keys, digests, the checks between records. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.carrier import Confirmation, Eviction
from whatchanged.records.items import Kind
from whatchanged.records.keys import DIGEST_SIZE, row_key
from whatchanged.records.streams import DataType
from whatchanged.records.tables import table_of
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest.shape import decode_body, encode_facts, encode_row

__all__ = [
    "Confirmed", "NumberedRow", "Upload", "advance", "check_stream", "identity_json", "item_key", "prepare",
]  # fmt: skip

_MAX_EPOCHS = 8


@dataclass(slots=True)
class NumberedRow:
    """One row: where it stands, what it was (`digest`), and its JSON without the closing brace."""

    epoch: str
    sequence: int
    digest: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A confirmation in the body: what to check once it is stored."""

    kind: str
    epoch: str
    sequence: int
    items: int
    checksum: str


@dataclass(slots=True)
class Upload:
    """A validated body of one machine and stream."""

    machine: MachineIdentity
    stream: DataType
    name: str
    """Of the stream: its data type, or what a machine passes on calls it."""
    entries: list[NumberedRow | Eviction]
    confirmations: dict[str, Confirmed]
    """The last one of each kind."""
    touched: set[str]
    """Kinds of which items, tombstones or snapshots arrived."""
    unconfirmed: set[str]
    """Kinds of which some arrived after their last confirmation."""
    latest: str = ""
    """Latest TimeGenerated, as text."""
    size: int = 0
    request: str = ""
    """Of a sender that numbers no records: what a repetition is known by. Empty: every row says itself what it is."""


def prepare(machine: MachineIdentity, stream: DataType, payload: bytes, now: str) -> Upload:
    """Validate `payload` and make its rows. `now` stands in for the time of a Snapshot. Raises RecordError."""
    body = decode_body(stream, payload)
    upload = Upload(machine, stream, stream.value, [], {}, set(), set())
    suffix = identity_json(machine, stream)
    inventory = stream is DataType.CONFIG_DATA_V2
    billed = "_BilledSize" in table_of(stream).names
    last: dict[str, int] = {}
    latest = ""
    for index, entry in enumerate(body.entries):
        if type(entry) is Eviction:
            check_stream(entry.stream, stream, index)
            advance(last, entry.epoch, entry.first, index)
            last[entry.epoch] = entry.last
            upload.entries.append(entry)
            continue
        check_stream(entry._Stream, stream, index)
        advance(last, entry._Epoch, entry._Sequence, index)
        extra = _inventory(upload, entry, body.facts[index], index, now) if inventory else b""
        text = encode_row(entry)
        if entry.TimeGenerated > latest:
            latest = entry.TimeGenerated
        digest = hashlib.blake2b(text, digest_size=16).hexdigest()
        size = b',"_BilledSize":%d' % len(text) if billed else b""
        line = b'%b%b%b%b,"_Digest":"%b"' % (text[:-1], suffix, extra, size, digest.encode())
        upload.size += len(line)
        upload.entries.append(NumberedRow(entry._Epoch, entry._Sequence, digest, line))
    upload.latest = latest
    return upload


def identity_json(machine: MachineIdentity, stream: DataType) -> bytes:
    """Return the identity columns as the middle of a JSON object, with a leading comma."""
    columns = {
        "SourceComputerId": machine.machine_id,
        "_ResourceId": machine.resource_id,
        "_SubscriptionId": machine.workspace_id,
    }
    if stream is DataType.HEALTH_ASSESSMENT:
        columns |= {
            "Resource": machine.name,
            "ResourceGroup": machine.group,
            "ResourceId": machine.resource_id,
            "ResourceProvider": "Microsoft.HybridCompute",
            "ResourceType": "machines",
            "SubscriptionId": machine.workspace_id,
        }
    return b"," + msgspec.json.encode(columns)[1:-1]


def check_stream(found: str, stream: str, index: int) -> None:
    """Raise RecordError for a record of another stream than its upload is of."""
    if found != stream:
        raise RecordError(f"a record of {found[:64]!r} in an upload of {stream}", place=f"[{index}]._Stream")


def advance(last: dict[str, int], epoch: str, sequence: int, index: int) -> None:
    """Note in `last` where an epoch stands now; raises RecordError unless it goes forward."""
    if sequence <= last.get(epoch, 0):
        raise RecordError("sequences must increase within an epoch", place=f"[{index}]._Sequence")
    if epoch not in last and len(last) >= _MAX_EPOCHS:
        raise RecordError(f"more than {_MAX_EPOCHS} epochs in one body", place=f"[{index}]._Epoch")
    last[epoch] = sequence


def _inventory(upload: Upload, entry: Any, facts: Any, index: int, now: str) -> bytes:
    """Check what a record of the inventory stream says; return its key and digest as JSON, with a leading comma."""
    kind = entry.ConfigDataType
    if kind not in Kind._value2member_map_:
        raise RecordError("no kind of item", place=f"[{index}].ConfigDataType")
    record = entry._Record
    if record == "Confirmation":
        _confirmation(upload, entry, index)
        return b""
    upload.touched.add(kind)
    upload.unconfirmed.add(kind)
    if record == "Snapshot":
        entry.TimeGenerated = entry.TimeGenerated or now
        return b""
    if not entry.TimeGenerated:
        raise RecordError("missing", place=f"[{index}].TimeGenerated")
    if record == "Item" and (entry.Checksum or entry.Items is not None or entry.NotConfirmed):
        raise RecordError("an item has no Items, Checksum or NotConfirmed", place=f"[{index}]")
    key = item_key(entry, index)
    digest = hashlib.sha256(encode_facts(facts)).digest()[:DIGEST_SIZE].hex() if record == "Item" else ""
    # JSON cannot carry a key that is not UTF-8; hex does, and the engine turns it back.
    return b',"_KeyHex":"%b","_ItemDigest":"%b"' % (key.hex().encode(), digest.encode())


_IDENTITY = ("ConfigDataType", "FileSystemPath", "PathBytes", "SoftwareName", "Architecture", "Location", "SvcName")
_NAMING = (*_IDENTITY, "RegistryKey", "ValueName")


def item_key(entry: Any, index: int) -> bytes:
    """Return the key of the item that a row of the inventory is about. Raises RecordError."""
    try:
        return row_key({name: getattr(entry, name) for name in _NAMING})[1]
    except RecordError as error:
        raise RecordError(error.message, place=f"[{index}]") from error


def _confirmation(upload: Upload, entry: Any, index: int) -> None:
    try:
        confirmation = Confirmation.parse(
            {
                "ConfigDataType": entry.ConfigDataType,
                "TimeGenerated": entry.TimeGenerated,
                "Items": entry.Items,
                "Checksum": entry.Checksum,
                "NotConfirmed": entry.NotConfirmed,
            }
        )
    except RecordError as error:
        raise RecordError(error.message, place=f"[{index}]") from error
    if not confirmation.checksum:
        raise RecordError("missing", place=f"[{index}].Checksum")
    kind = confirmation.kind.value
    upload.unconfirmed.discard(kind)
    upload.confirmations[kind] = Confirmed(
        kind, entry._Epoch, entry._Sequence, confirmation.items, confirmation.checksum
    )
