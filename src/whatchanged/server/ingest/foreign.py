"""Records of others: what a sender uploads, and what a machine's forwarder passes on for a program beside it. Pure.

Their rows say nothing but columns of the table. A sender numbers none: what was stored is known by the request that
brought it. What is passed on was numbered by the forwarder and is a stream of the machine like the tracker's, under
a name of its own.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from typing import Any

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.carrier import RecordType
from whatchanged.records.streams import DataType
from whatchanged.records.tables import table_of
from whatchanged.records.times import parse_time, time_text
from whatchanged.rules import Intake
from whatchanged.server.identity import MachineIdentity, SenderIdentity
from whatchanged.server.ingest.prepare import NumberedRow, Upload, advance, check_stream, identity_json, item_key
from whatchanged.server.ingest.shape import decode_plain, decode_records, encode_row, eviction, plain_row

__all__ = ["prepare_passed_on", "prepare_request"]

_CARRIER = ("_Stream", "_Epoch", "_Sequence", "_TimeNs")
_EPOCH = re.compile(r"[0-9a-f]{32}", re.ASCII)


def prepare_request(sender: SenderIdentity, intake: Intake, payload: bytes, request_id: str) -> Upload:
    """Validate the body of a sender's request and make its rows. Raises RecordError.

    Requests with one id and one body are one request. The same id with another body is another request: clients that
    cut a long list give every piece the id that they were called with.
    """
    stream = intake.data_type
    request = _request_key(intake.stream, request_id, payload) if request_id else secrets.token_hex(16)
    upload = Upload(sender, stream, stream.value, [], {}, set(), set(), request=request)
    tail = identity_json(sender, stream) + b"," + _object({"_Stream": stream.value, "_Request": request})
    inventory = stream is DataType.CONFIG_DATA_V2
    taken: Counter[tuple[bytes, int]] = Counter()
    for index, row in enumerate(decode_plain(table_of(stream), payload, intake.columns)):
        if inventory:
            sequence, extra = _item(row, index, taken)
        else:
            sequence = index + 1
            extra = {"ChangeId": f"{sender.machine_id}:{stream.value}:{request}:{sequence}"}
        _add(upload, row, tail, "", sequence, extra)
    return upload


def prepare_passed_on(machine: MachineIdentity, name: str, intake: Intake, payload: bytes) -> Upload:
    """Validate what a machine passes on under the stream `name` and make its rows. Raises RecordError.

    A row without a time has that of its entry on the pipe, one without a computer is of this machine.
    """
    table = table_of(intake.data_type)
    upload = Upload(machine, intake.data_type, name, [], {}, set(), set())
    tail = identity_json(machine, intake.data_type) + b"," + _object({"_Stream": name})
    last: dict[str, int] = {}
    for index, record in enumerate(decode_records(payload)):
        place = f"[{index}]"
        if not isinstance(record, dict):
            raise RecordError("a record is a JSON object", place=place)
        if record.get("_Record") == RecordType.EVICTION.value:
            gone = eviction(record, place)
            check_stream(gone.stream, name, index)
            advance(last, gone.epoch, gone.first, index)
            last[gone.epoch] = gone.last
            upload.entries.append(gone)
            continue
        check_stream(str(record.get("_Stream")), name, index)
        epoch, sequence = _position(record, index)
        advance(last, epoch, sequence, index)
        fields = {key: value for key, value in record.items() if key not in _CARRIER}
        fields.setdefault("TimeGenerated", _entry_time(record))
        fields.setdefault("Computer", machine.name)
        row = plain_row(fields, table, intake.columns, place, strict=False)
        _add(upload, row, tail, epoch, sequence, {"_Epoch": epoch})
    return upload


def _add(upload: Upload, row: Any, tail: bytes, epoch: str, sequence: int, extra: dict[str, Any]) -> None:
    text = encode_row(row)
    digest = hashlib.blake2b(text, digest_size=16).hexdigest()
    more = _object({**extra, "_Sequence": sequence, "_BilledSize": len(text), "_Digest": digest})
    line = text[:-1] + tail + b"," + more
    upload.entries.append(NumberedRow(epoch, sequence, digest, line))
    upload.size += len(line)
    upload.latest = max(upload.latest, row.TimeGenerated)


def _item(row: Any, index: int, taken: Counter[tuple[bytes, int]]) -> tuple[int, dict[str, str]]:
    """Return where a row of the inventory stands among those of its item, and its key.

    Of an item the row with the latest time counts, whichever came first: senders repeat and send side by side.
    """
    # One sender speaks of many computers; a machine's own key has no name in front.
    key = row.Computer.lower().encode("utf-8", "replace") + b"\0" + item_key(row, index)
    sequence = max(parse_time(row.TimeGenerated), 1)
    taken[key, sequence] += 1
    return sequence + taken[key, sequence] - 1, {"_KeyHex": key.hex()}


def _position(record: dict[str, Any], index: int) -> tuple[str, int]:
    epoch, sequence = record.get("_Epoch"), record.get("_Sequence")
    if not isinstance(epoch, str) or not _EPOCH.fullmatch(epoch):
        raise RecordError("an epoch is 32 lower-case hex digits", place=f"[{index}]._Epoch")
    if type(sequence) is not int or not 1 <= sequence < 2**63:
        raise RecordError("a sequence is a number from 1", place=f"[{index}]._Sequence")
    return epoch, sequence


def _entry_time(record: dict[str, Any]) -> str:
    nanoseconds = record.get("_TimeNs")
    return time_text(nanoseconds) if type(nanoseconds) is int else ""


def _request_key(stream: str, request_id: str, payload: bytes) -> str:
    digest = hashlib.sha256(payload).digest()
    return hashlib.sha256(f"{stream.lower()}\n{request_id}\n".encode("utf-8", "replace") + digest).hexdigest()[:32]


def _object(columns: dict[str, Any]) -> bytes:
    """Return the middle of a JSON object."""
    return msgspec.json.encode(columns)[1:-1]
