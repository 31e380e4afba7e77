"""Bodies of uploads: a JSON array of records, gzip on the wire, bounded while it is decompressed."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from whatchanged.errors import LimitExceeded, RecordError, WireError
from whatchanged.wire import compression

__all__ = ["MAX_COMPRESSED", "MAX_DECOMPRESSED", "decompress", "encode_batch", "encode_record"]

MAX_COMPRESSED = 1024 * 1024
MAX_DECOMPRESSED = 2 * 1024 * 1024

_encoder = msgspec.json.Encoder()
_WINDOWS = {"gzip": compression.GZIP, "deflate": compression.DEFLATE}


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Return one record in JSON; bytes that are no text become U+FFFD. Raises RecordError."""
    try:
        return _encoder.encode(record)
    except UnicodeEncodeError:
        return _encoder.encode(_clean(record))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RecordError(f"a record cannot be written as JSON: {error}") from error


def encode_batch(records: Iterable[Mapping[str, Any] | bytes]) -> bytes:
    """Return the body: records (or records already in JSON) as a JSON array, gzip; the same bytes every time."""
    texts = [record if isinstance(record, bytes) else encode_record(record) for record in records]
    return gzip.compress(b"[" + b",".join(texts) + b"]", 5, mtime=0)


def decompress(body: bytes, encoding: str, limit: int = MAX_DECOMPRESSED) -> bytes:
    """Return the body decoded: `encoding` is the Content-Encoding (``, `identity`, `gzip`, `deflate`).

    Raises LimitExceeded as soon as it grows over `limit`, WireError if it is not what the encoding says.
    """
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        if len(body) > limit:
            raise LimitExceeded(f"a body is longer than {limit} bytes")
        return body
    if coding not in _WINDOWS:
        raise WireError(f"a body has the unknown encoding {encoding!r}")
    return compression.decompress(body, _WINDOWS[coding], limit)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if _escaped(value) else value
    if isinstance(value, Mapping):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


def _escaped(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
