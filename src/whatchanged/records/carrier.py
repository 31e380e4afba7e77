"""Carrier fields: how a record travels, beside the columns of its table.

A record on its way is a flat map: columns of its table, and carrier fields whose names begin with an
underscore and a capital letter. The format is described in `docs/formats/records.md`.

- `_Stream`, `_Epoch`, `_Sequence`: who numbered it. TrackingHealth has columns `Stream` and `Epoch` of its own
  (what a gap is about), which is why the carrier's are separate.
- `_Record`: absent for a row of the table, else a `RecordType`.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.items import Kind
from whatchanged.records.streams import DataType
from whatchanged.records.times import parse_time, time_text

__all__ = ["Confirmation", "Eviction", "Position", "RecordType", "chunk_id", "new_epoch", "parse_chunk_id"]


class RecordType(StrEnum):
    """Value of `_Record`."""

    TOMBSTONE = "Tombstone"
    """The item named by the row is gone: `Reason` is `Removed` or `LeftRules`."""
    SNAPSHOT = "Snapshot"
    """All items of ConfigDataType follow; what is not among them by the next confirmation is gone."""
    CONFIRMATION = "Confirmation"
    EVICTION = "Eviction"


class Position(msgspec.Struct, frozen=True, order=True):
    """Place of a record: stream, epoch and sequence (from 1, without holes)."""

    stream: DataType
    epoch: str
    sequence: int

    def carrier(self) -> dict[str, str | int]:
        """Return the carrier fields."""
        return {"_Stream": self.stream.value, "_Epoch": self.epoch, "_Sequence": self.sequence}


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """The machine looked at everything of one kind at `time_ns` and holds `items` items with `checksum`.

    `not_confirmed`: exact path prefixes (folders) that were denied or failed; their items keep their older
    confirmation but do count in `items` and `checksum`.
    """

    kind: Kind
    time_ns: int
    items: int
    checksum: str
    scope: str = "All"
    not_confirmed: tuple[bytes, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return the record's fields, without its position."""
        return {
            "_Record": RecordType.CONFIRMATION.value,
            "ConfigDataType": self.kind.value,
            "TimeGenerated": time_text(self.time_ns),
            "Items": self.items,
            "Checksum": self.checksum,
            "Scope": self.scope,
            "NotConfirmed": [base64.b64encode(prefix).decode("ascii") for prefix in self.not_confirmed],
        }

    @classmethod
    def parse(cls, record: Mapping[str, Any]) -> Confirmation:
        """Read it back; raises RecordError."""
        try:
            return cls(
                kind=Kind(record["ConfigDataType"]),
                time_ns=parse_time(record["TimeGenerated"]),
                items=int(record["Items"]),
                checksum=str(record["Checksum"]),
                scope=str(record.get("Scope", "All")),
                not_confirmed=tuple(base64.b64decode(p, validate=True) for p in record.get("NotConfirmed", ())),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"no confirmation: {error}") from error


class Eviction(msgspec.Struct, frozen=True, kw_only=True):
    """Records `first` to `last` of a stream and epoch were dropped on the machine; `count` of them existed."""

    stream: str
    """A data type, or the name of a foreign sender's stream."""
    epoch: str
    first: int
    last: int
    count: int
    reason: str

    def fields(self) -> dict[str, Any]:
        """Return the record; it has no sequence of its own, it stands where the dropped ones stood."""
        return {
            "_Record": RecordType.EVICTION.value,
            "_Stream": str(self.stream),
            "_Epoch": self.epoch,
            "First": self.first,
            "Last": self.last,
            "Count": self.count,
            "Reason": self.reason,
        }

    @classmethod
    def parse(cls, record: Mapping[str, Any]) -> Eviction:
        """Read it back; raises RecordError."""
        try:
            return cls(
                stream=str(record["_Stream"]),
                epoch=str(record["_Epoch"]),
                first=int(record["First"]),
                last=int(record["Last"]),
                count=int(record["Count"]),
                reason=str(record["Reason"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"no eviction: {error}") from error


_CHUNK = re.compile(r"([0-9a-f]{32}):([A-Z0-9_]{1,64}):(\d{1,19})-(\d{1,19})\Z", re.ASCII)


def new_epoch() -> str:
    """Return a new random epoch: 32 lower-case hex digits."""

    return secrets.token_hex(16)


def chunk_id(epoch: str, stream: DataType, first: int, last: int) -> str:
    """Return the id of the chunk that carries `first` to `last`: `epoch:stream:first-last`."""
    return f"{epoch}:{stream.value}:{first}-{last}"


def parse_chunk_id(text: str) -> tuple[str, DataType, int, int] | None:
    """Return epoch, stream, first and last of a chunk id of ours; None if it is not one."""
    match = _CHUNK.match(text)
    if match is None or match[2] not in DataType.__members__.values():
        return None
    first, last = int(match[3]), int(match[4])
    return (match[1], DataType(match[2]), first, last) if 1 <= first <= last else None
