"""Rows that the forwarder makes itself: TrackingHealth. Health is data; it goes through the store as all else."""

from __future__ import annotations

import logging

from whatchanged.errors import StateError, StorageFull
from whatchanged.forwarder.store import Store
from whatchanged.records.carrier import Position
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns
from whatchanged.wire.forward import pack_record

__all__ = ["Health"]

_log = logging.getLogger(__name__)


class Health:
    """Writes health rows of `computer` into the store."""

    def __init__(self, store: Store, computer: str) -> None:
        self._store = store
        self._computer = computer

    def note(
        self,
        status: HealthStatus,
        reason: HealthReason,
        detail: str,
        *,
        stream: str = "",
        epoch: str = "",
        first: int | None = None,
        last: int | None = None,
        lost: int | None = None,
    ) -> None:
        """Store one row; when even that is impossible, the log has it."""
        level = {HealthStatus.OK: logging.INFO, HealthStatus.WARNING: logging.WARNING}.get(status, logging.ERROR)
        _log.log(level, "%s: %s", reason.value, detail)
        record = HealthRecord(
            component=Component.FORWARDER,
            status=status,
            reason=reason,
            time_ns=now_ns(),
            detail=detail,
            stream=stream,
            epoch=epoch,
            first_sequence=first,
            last_sequence=last,
            lost_records=lost,
        )
        row = {**record.columns(), "Computer": self._computer}

        def make(own_epoch: str, sequence: int) -> bytes:
            return pack_record({**row, **Position(DataType.TRACKING_HEALTH, own_epoch, sequence).carrier()})

        try:
            self._store.append_own(DataType.TRACKING_HEALTH.value, make)
        except (StorageFull, StateError) as error:
            _log.error("a health row is lost: %s", error)
