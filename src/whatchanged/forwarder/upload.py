"""Uploads: batches of the store to the server, oldest first, every stream in turn.

Only 204 is success. A batch keeps its id while it is tried again. What the server refuses for good is narrowed down
by halving, becomes an eviction, and never blocks its stream.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
import uuid
from collections.abc import Sequence
from typing import Any

import httpx
import msgpack

from whatchanged.errors import OperationError, RecordError, StateError, StorageFull
from whatchanged.forwarder.client import ServerClient
from whatchanged.forwarder.health import Health
from whatchanged.forwarder.http import RetryLater, error_of
from whatchanged.forwarder.store import Store, StoredRow
from whatchanged.records.carrier import Eviction
from whatchanged.records.health import HealthReason, HealthStatus
from whatchanged.records.streams import DataType
from whatchanged.wire.ingestion import MAX_COMPRESSED, MAX_DECOMPRESSED, encode_batch, encode_record

__all__ = ["Backoff", "Uploader"]

_log = logging.getLogger(__name__)
_JITTER = random.Random()  # noqa: S311 - no secret; not the one that the whole process shares
_ROWS = 5_000
_STORED_BYTES = 1_536 * 1024
_FOREIGN_PIECE = 64
"""Foreign records that are refused together: a program that sends nonsense only must not hold up the tracker."""
_BATCH = uuid.UUID("0b9f4a0e-67c6-4c38-8c0e-6a55a0a6d9c1")
_FOR_GOOD = frozenset({400, 404, 413, 415, 422})
_EVERYBODY = frozenset({401, 403, 429, 502, 503, 504})
"""What concerns every stream."""
_LONGEST_RETRY_AFTER = 3600.0


class Backoff:
    """Pauses that double, with full jitter; what the server says wins, within an hour."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def failed(self, retry_after: float | None) -> float:
        """Return how long to wait now."""
        self._failures = min(self._failures + 1, 30)
        if retry_after is not None:
            return min(retry_after, _LONGEST_RETRY_AFTER)
        ceiling = min(self._longest, self._first * 2 ** (self._failures - 1))
        return _JITTER.uniform(0, ceiling)


class Uploader:
    """Used by one thread."""

    def __init__(self, store: Store, client: ServerClient, health: Health) -> None:
        self._store = store
        self._client = client
        self._health = health
        self.last_upload = 0.0

    def cycle(self) -> int:
        """Upload one batch of every stream; return how many were sent or settled.

        Raises RetryLater, ServerError, StateError, StorageFull when to try again later, CredentialError for good. What
        fails for one stream only does not keep the others.
        """
        sent = 0
        trouble: OperationError | None = None
        for stream in self._store.streams:
            try:
                sent += self._stream(stream)
            except RetryLater as error:
                if error.retry_after is not None or error.status in _EVERYBODY:
                    raise
                trouble = error
            except (StateError, StorageFull) as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return sent

    def _stream(self, stream: str) -> int:
        rows = self._store.lease(stream, _ROWS, _STORED_BYTES)
        if not rows:
            return 0
        try:
            self._upload(stream, rows)
        finally:
            self._store.release(stream)
        return 1

    def _upload(self, stream: str, rows: Sequence[StoredRow]) -> None:
        """Upload rows in as many requests as the limits ask for, halving what is too much or refused."""
        texts: list[bytes] = []
        try:
            texts = [_text(stream, row) for row in rows]
            too_large = sum(map(len, texts)) + len(texts) + 1 > MAX_DECOMPRESSED
            body = b"" if too_large else encode_batch(texts)
        except RecordError as error:
            self._narrow(stream, rows, error.message)
            return
        if too_large or len(body) > MAX_COMPRESSED:
            self._narrow(stream, rows, "larger than an upload may be")
            return
        answer = self._send(stream, rows, body)
        if answer.status_code == 204:
            self._store.settle(stream, rows)
            self.last_upload = time.time()
            return
        code, message = error_of(answer)
        # A word without a code is not the server's: a proxy in between has no say over records.
        servers = code or answer.status_code == 413
        if answer.status_code not in _FOR_GOOD or "retry-after" in answer.headers or not servers:
            raise RetryLater("the server does not take records now", answer)
        why = f"{answer.status_code} {code}: {message}"
        ours = stream in DataType.__members__.values()
        if answer.status_code != 404:
            self._narrow(stream, rows, why, least=1 if ours else _FOREIGN_PIECE)
        else:
            self._refuse(stream, rows, why, unknown=not ours)

    def _narrow(self, stream: str, rows: Sequence[StoredRow], why: str, least: int = 1) -> None:
        if len(rows) <= least:
            self._refuse(stream, rows, why)
            return
        middle = len(rows) // 2
        self._upload(stream, rows[:middle])
        self._upload(stream, rows[middle:])

    def _refuse(self, stream: str, rows: Sequence[StoredRow], why: str, *, unknown: bool = False) -> None:
        # Where no rule takes the stream, nobody would take an eviction either.
        self._store.refuse(stream, rows, "Refused", evict=not unknown)
        if stream == DataType.TRACKING_HEALTH:
            _log.error("the server refuses %d health rows for good: %s", len(rows), why)
            return  # a health row about a health row would go on for ever
        self._health.note(
            HealthStatus.ERROR,
            HealthReason.REFUSED,
            f"the server refuses {len(rows)} records for good: {why}",
            stream=stream,
            epoch=rows[0].epoch,
            first=rows[0].first,
            last=rows[-1].last,
            lost=sum(row.count for row in rows),
        )

    def _send(self, stream: str, rows: Sequence[StoredRow], body: bytes) -> httpx.Response:
        rule = self._client.identity().implicit_rule_id
        return self._client.request(
            "POST",
            f"/dataCollectionRules/{rule}/streams/{stream}",
            params={"api-version": "2023-01-01"},
            headers={
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
                "x-ms-client-request-id": batch_id(stream, rows, body),
            },
            content=body,
        )


def batch_id(stream: str, rows: Sequence[StoredRow], body: bytes) -> str:
    """Return the id of a batch: the same for the same rows."""
    digest = hashlib.sha256(body).hexdigest()
    return str(uuid.uuid5(_BATCH, f"{rows[0].epoch}:{stream}:{rows[0].first}-{rows[-1].last}:{digest}"))


def _text(stream: str, row: StoredRow) -> bytes:
    if row.reason is None:
        try:
            record: dict[str, Any] = msgpack.unpackb(
                row.record or b"\x80", raw=False, unicode_errors="surrogateescape", strict_map_key=False
            )
        except (ValueError, msgpack.UnpackException) as error:
            raise RecordError(f"a stored record is damaged: {error}") from error
        return encode_record(record)
    return encode_record(
        Eviction(
            stream=stream,
            epoch=row.epoch,
            first=row.first,
            last=row.last,
            count=row.count,
            reason=row.reason,
        ).fields()
    )
