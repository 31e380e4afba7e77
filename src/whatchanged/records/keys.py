"""Identity and digest of an item, computed alike from an item and from its row.

The tracker and the server both need them: the tracker to confirm what it sees, the server to check that it
holds the same. So they are functions of the row as it travels, and of nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.items import Kind, Value
from whatchanged.records.tables import CONFIGURATION_DATA
from whatchanged.records.windows_paths import carried, is_windows

__all__ = ["DIGEST_SIZE", "FACT_COLUMNS", "checksum", "item_digest", "row_key"]

DIGEST_SIZE = 16
"""Bytes of an item's digest: SHA-256 cut to 128 bits, enough against accident, small in a million rows."""

_NO_FACTS = frozenset(
    {
        "TimeGenerated",
        "Stream",
        "Epoch",
        "Sequence",
        "IngestedAt",
        "RuleName",
        "ConfigurationId",
        "Computer",
        "VMUUID",
        "SourceSystem",
        "ManagementGroupName",
    }
)
FACT_COLUMNS = frozenset(c.name for c in CONFIGURATION_DATA.columns if not c.server_set and c.name not in _NO_FACTS)
"""Columns of ConfigurationData that an item's digest covers."""
_encode = msgspec.json.Encoder(order="sorted").encode


def row_key(row: Mapping[str, Value]) -> tuple[Kind, bytes]:
    """Return kind and key of the item that a row of ConfigurationChange or ConfigurationData is about.

    Raises RecordError if the row does not say.
    """
    kind_text = row.get("ConfigDataType") or row.get("ConfigChangeType")
    try:
        kind = Kind(str(kind_text))
    except ValueError:
        raise RecordError(f"no kind of item: {kind_text!r}", place="ConfigDataType") from None
    match kind:
        case Kind.FILES:
            key = _exact(row) or _encoded(_text(row, "FileSystemPath"))
            key = _carried(key) if is_windows(key) else key
        case Kind.SOFTWARE:
            key = _encoded("\0".join(_text(row, c) for c in ("Location", "SoftwareName", "Architecture")))
        case Kind.DAEMONS | Kind.WINDOWS_SERVICES:
            key = _encoded(_text(row, "SvcName"))
        case _:  # Kind.REGISTRY
            key = _exact(row) or _encoded("\0".join((_text(row, "RegistryKey"), _text(row, "ValueName"))))
    if not key.strip(b"\0"):
        raise RecordError("the row does not name its item")
    return kind, key


def item_digest(row: Mapping[str, Value]) -> bytes:
    """Return the digest of the facts in an inventory row: `DIGEST_SIZE` bytes.

    Columns that are empty, that the server sets, or that say how the row travelled do not count.
    """
    facts = {name: value for name, value in row.items() if name in FACT_COLUMNS and value not in (None, "")}
    return hashlib.sha256(_encode(facts)).digest()[:DIGEST_SIZE]


def checksum(pairs: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the checksum over (key, digest) pairs **sorted by key**: lower-case hex.

    SHA-256 over length of key (4 bytes, big endian), key, digest of each pair. The server computes the same
    in SQL.
    """
    state = hashlib.sha256()
    for key, digest in pairs:
        state.update(len(key).to_bytes(4, "big") + key + digest)
    return state.hexdigest()


def _exact(row: Mapping[str, Value]) -> bytes:
    """Return the key that the row carries as bytes, because text cannot; empty where text can."""
    encoded = row.get("PathBytes")
    if not encoded:
        return b""
    try:
        return base64.b64decode(str(encoded), validate=True)
    except ValueError:  # binascii.Error is one; letters beyond ASCII give a plain one
        raise RecordError("no base64", place="PathBytes") from None


def _carried(path: bytes) -> bytes:
    try:
        return carried(path)
    except ValueError as error:
        raise RecordError(str(error), place="FileSystemPath") from None


def _text(row: Mapping[str, Value], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RecordError("the name of the item holds half a surrogate pair") from None
