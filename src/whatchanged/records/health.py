"""Health records: the rows of TrackingHealth.

Health is data (the design's promise): whoever sees an empty page can find out why from these rows.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from whatchanged.records.items import Value
from whatchanged.records.times import time_text

__all__ = ["ENDED_BY", "Component", "HealthReason", "HealthRecord", "HealthStatus"]


class Component(StrEnum):
    """Who noticed."""

    TRACKER = "Tracker"
    FORWARDER = "Forwarder"
    SERVER = "Server"


class HealthStatus(StrEnum):
    """How bad it is."""

    OK = "Ok"
    WARNING = "Warning"
    ERROR = "Error"


class HealthReason(StrEnum):
    """What it is about. Names are part of the format: queries filter on them."""

    COLLECTED = "Collected"
    """A collector's run ended as `Status` says; written when the outcome changed."""
    ITEMS_ENTERED = "ItemsEntered"
    ITEMS_LEFT = "ItemsLeft"
    RULE_MATCHES_NOTHING = "RuleMatchesNothing"
    RULE_INVALID = "RuleInvalid"
    NO_RULE = "NoRule"
    DENIED = "Denied"
    ITEM_FAILED = "ItemFailed"
    LIMIT = "Limit"
    WATCH_LOST = "WatchLost"
    """A watch died or lost events; everything was looked at instead."""
    WATCHING = "Watching"
    """What is watched, and what is only polled, and why; written when that changed."""
    COVERAGE = "Coverage"
    """How a rule is watched or polled, and what of it is not looked into; written when that changed. ItemsSeen: items
    of the rule, ItemsFailed: paths that are not looked into."""
    MOUNT_SILENT = "MountSilent"
    """A network file system does not answer, or does again."""
    EXPORTED = "Exported"
    """An export could not be written, or was written again."""
    OUTBOX_FULL = "OutboxFull"
    STORE_FULL = "StoreFull"
    DISK_FULL = "DiskFull"
    EVICTED = "Evicted"
    REFUSED = "Refused"
    GAP = "Gap"
    FORK = "Fork"
    NEW_EPOCH = "NewEpoch"
    CLONED = "Cloned"
    RESYNC = "Resync"
    RESTORED = "Restored"
    """The server was set back to a backup: what arrived within the window is gone."""
    CLOCK_SKEW = "ClockSkew"
    SILENT = "Silent"
    REVOKED = "Revoked"
    STARTED = "Started"
    STATE_RECREATED = "StateRecreated"
    CONFIGURATION = "Configuration"
    CONNECTION = "Connection"


ENDED_BY = {
    HealthReason.NO_RULE: HealthReason.CONFIGURATION,
    HealthReason.RULE_INVALID: HealthReason.CONFIGURATION,
    HealthReason.OUTBOX_FULL: HealthReason.COLLECTED,
    HealthReason.RULE_MATCHES_NOTHING: HealthReason.COLLECTED,
    HealthReason.WATCH_LOST: HealthReason.WATCHING,
}
"""What speaks of the same thing as another reason, and is over with the next word about that (of the same component,
kind and rule). Words about watches that name no kind are about different watches: those do not end each other."""


class HealthRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of TrackingHealth, times in nanoseconds since 1970."""

    component: Component
    status: HealthStatus
    reason: HealthReason
    time_ns: int
    detail: str = ""
    kind: str = ""
    rule_name: str = ""
    items_seen: int | None = None
    items_failed: int | None = None
    duration_ms: int | None = None
    window_start_ns: int | None = None
    window_end_ns: int | None = None
    stream: str = ""
    epoch: str = ""
    first_sequence: int | None = None
    last_sequence: int | None = None
    lost_records: int | None = None

    def columns(self) -> dict[str, Value]:
        """Return the row, without empty columns."""
        row: dict[str, Value] = {
            "TimeGenerated": time_text(self.time_ns),
            "Component": self.component.value,
            "Kind": self.kind,
            "RuleName": self.rule_name,
            "Status": self.status.value,
            "Reason": self.reason.value,
            "Detail": self.detail,
            "ItemsSeen": self.items_seen,
            "ItemsFailed": self.items_failed,
            "DurationMs": self.duration_ms,
            "WindowStart": None if self.window_start_ns is None else time_text(self.window_start_ns),
            "WindowEnd": None if self.window_end_ns is None else time_text(self.window_end_ns),
            "Stream": self.stream,
            "Epoch": self.epoch,
            "FirstSequence": self.first_sequence,
            "LastSequence": self.last_sequence,
            "LostRecords": self.lost_records,
        }
        return {name: value for name, value in row.items() if value is not None and value != ""}
