"""The recorder: turns looks at items into state and records, in bounded transactions.

Every item passes through here, whatever found it (poll, watch, start), so that there is one place that decides
what is a change, what is only an entry into the inventory, and what is nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from whatchanged.collectors.files.signature import followed
from whatchanged.records.carrier import Confirmation, RecordType
from whatchanged.records.items import FileItem, Item, Kind, Value
from whatchanged.records.keys import item_digest
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, time_text
from whatchanged.tracker.differ import change_rows, rename_row
from whatchanged.tracker.state import Known, State
from whatchanged.tracker.transaction import Transaction

__all__ = [
    "Causes",
    "Found",
    "Observation",
    "Recorder",
    "Removal",
    "Renaming",
    "confirm",
    "request_resend",
    "resend",
    "resend_due",
]

_STREAMS = {Kind.REGISTRY: DataType.CONFIG_CHANGE}
"""Kind → the stream of its changes, of those that do not go where the others go."""
_BATCH_ITEMS = 2000
_BATCH_SECONDS = 1.0
_IDENTITY_COLUMNS = (
    "Name",
    "Location",
    "FileSystemPath",
    "PathBytes",
    "SoftwareName",
    "SoftwareType",
    "Architecture",
    "SvcName",
)


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """An item that was seen."""

    item: Item
    signature: bytes
    rules: str
    configuration_id: str
    entering: bool
    """The last run could not see it: if it is not known, it was there all the same, so it is no addition."""
    actor: Mapping[str, Value] = {}
    """Columns that say who changed it."""


class Removal(msgspec.Struct, frozen=True):
    """An item that is known and no longer seen, or that no rule wants any more."""

    kind: Kind
    key: bytes
    left_rules: bool = False
    configuration_id: str = ""
    actor: Mapping[str, Value] = {}
    """Columns that say who removed it."""
    transaction_id: str = ""
    """Shared by everything that went with it, if that is known."""


class Renaming(msgspec.Struct, frozen=True):
    """A file that was known by another path."""

    seen: Observation
    previous: bytes
    """The path before, at which there is nothing of it any more."""
    transaction_id: str
    """Shared by everything that was renamed with it."""


Found = Observation | Removal | Renaming


class Causes(Protocol):
    """Says which changes have a cause in common with others."""

    def weigh(self, seen: Sequence[Observation | Removal]) -> Mapping[bytes, Any]:
        """Return key → tie of those that may share a cause with others. Outside of any transaction."""

    def passing(self, what: Observation | Removal) -> bool:
        """Whether it will be gone in a moment, so that it is no item. Of what was weighed last."""

    def join(self, change: Transaction, key: bytes, tie: Any, previous_ns: int | None) -> str | None:
        """Return the TransactionId of the cause, or None if it has none in common."""


class Recorder:
    """Collects what one run found and commits it in batches."""

    def __init__(
        self,
        state: State,
        kind: Kind,
        *,
        detected_by: str,
        previous_run_ns: int | None,
        inventory: bool,
        causes: Causes | None = None,
    ) -> None:
        """`previous_run_ns`: begin of the last completed run of the same job; changes lie after it."""
        self._causes = causes
        self._ties: Mapping[bytes, Any] = {}
        self._state = state
        self._kind = kind
        self._detected_by = detected_by
        self._previous_ns = previous_run_ns
        self._inventory = inventory
        self._pending: list[Found] = []
        self._known: dict[bytes, Known] = {}
        """What is known of the items of the batch in hand; follows what the batch itself saves and forgets."""
        self._since = 0.0
        self.changes = 0
        self.entered = 0
        self.left = 0
        self.touched = False

    def add(self, what: Found) -> None:
        """Take what was found; commits when a batch is full. Raises StorageFull, OutboxFull."""
        if not self._pending:
            self._since = time.monotonic()
        self._pending.append(what)
        if len(self._pending) >= _BATCH_ITEMS or time.monotonic() - self._since > _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what is pending."""
        if not self._pending:
            return
        if self._causes is not None:
            self._ties = self._causes.weigh([_as_seen(what) for what in self._pending])
            self._pending = [kept for what in self._pending if (kept := self._kept(what, self._causes)) is not None]
        counts = (0, 0, 0)
        with self._state.transaction() as change:
            keys = {key for what in self._pending for key in _keys_of(what)}
            self._known = self._state.known_among(self._kind, keys)
            for what in self._pending:
                step = self._record(change, what)
                counts = (counts[0] + step[0], counts[1] + step[1], counts[2] + step[2])
        self._pending.clear()
        self._known.clear()
        self.touched = self.touched or bool(change.touched)
        self.changes += counts[0]
        self.entered += counts[1]
        self.left += counts[2]

    def _kept(self, what: Found, causes: Causes) -> Found | None:
        """Return what is to be recorded of it: nothing of what will be gone in a moment, but that it left its path."""
        if not causes.passing(_as_seen(what)):
            return what
        if not isinstance(what, Renaming):
            return None
        seen = what.seen
        return Removal(self._kind, what.previous, configuration_id=seen.configuration_id, actor=seen.actor)

    def _record(self, change: Transaction, what: Found) -> tuple[int, int, int]:
        if isinstance(what, Observation):
            return self._observe(change, what)
        if isinstance(what, Removal):
            return self._remove(change, what)
        before = self._known.get(what.previous)
        if before is not None and what.seen.item.key() not in self._known:
            return self._rename(change, what, before)
        # Another look came in between: then they are two items.
        seen = self._observe(change, what.seen)
        gone = self._remove(change, Removal(self._kind, what.previous, configuration_id=what.seen.configuration_id))
        return seen[0] + gone[0], seen[1], 0

    def _rename(self, change: Transaction, what: Renaming, before: Known) -> tuple[int, int, int]:
        now = now_ns()
        seen = what.seen
        rows = [{**rename_row(before.item, seen.item), **seen.actor}]
        key, rules, ids = seen.item.key(), seen.rules, seen.configuration_id
        self._put_changes(change, key, rows, now, rules, ids, self._previous_ns, what.transaction_id)
        if self._inventory:
            change.put(DataType.CONFIG_DATA_V2, _tombstone(self._kind, before, now, left_rules=False), now)
        change.forget(self._kind, what.previous)
        del self._known[what.previous]
        self._put_item(change, seen, None, now)
        return 1, 0, 0

    def _observe(self, change: Transaction, seen: Observation) -> tuple[int, int, int]:
        now = now_ns()
        known = self._known.get(seen.item.key())
        entering = known is None and seen.entering
        quiet = entering or (known is not None and _is_other_view(known, seen))
        rows = [] if quiet else change_rows(known.item if known else None, seen.item)
        previous = None if seen.entering else self._previous_ns
        # A service runs or does not for reasons that are in no file: whoever changed its files is not named for it.
        rows = [row if row.get("SvcChangeType") == "State" else {**row, **seen.actor} for row in rows]
        self._put_changes(change, seen.item.key(), rows, now, seen.rules, seen.configuration_id, previous)
        self._put_item(change, seen, known, now)
        return len(rows), int(entering), 0

    def _put_item(self, change: Transaction, seen: Observation, known: Known | None, now: int) -> None:
        """Remember an item, and put it into the inventory if it is another than before."""
        row = _inventory_row(self._kind, seen.item.columns(), now, seen.rules, seen.configuration_id)
        digest = item_digest(row)
        if self._inventory and (known is None or known.digest != digest or known.rules != seen.rules):
            change.put(DataType.CONFIG_DATA_V2, row, now)
        if known is None or (known.signature, known.rules, known.digest, known.item) != (
            seen.signature,
            seen.rules,
            digest,
            seen.item,
        ):
            change.save(seen.item, signature=seen.signature, digest=digest, rules=seen.rules)
            self._known[seen.item.key()] = Known(seen.item, seen.signature, digest, seen.rules)

    def _remove(self, change: Transaction, gone: Removal) -> tuple[int, int, int]:
        known = self._known.pop(gone.key, None)
        if known is None:
            return 0, 0, 0
        now = now_ns()
        rows = [] if gone.left_rules else [{**row, **gone.actor} for row in change_rows(known.item, None)]
        ids, transaction_id = gone.configuration_id, gone.transaction_id
        self._put_changes(change, gone.key, rows, now, known.rules, ids, self._previous_ns, transaction_id)
        if self._inventory:
            change.put(DataType.CONFIG_DATA_V2, _tombstone(self._kind, known, now, gone.left_rules), now)
        change.forget(self._kind, gone.key)
        return len(rows), 0, int(gone.left_rules)

    def _put_changes(
        self,
        change: Transaction,
        key: bytes,
        rows: list[dict[str, Value]],
        now: int,
        rules: str,
        configuration_id: str,
        previous_ns: int | None,
        transaction_id: str = "",
    ) -> None:
        transaction_id = self._transaction_id(change, key, previous_ns, transaction_id) if rows else ""
        for row in rows:
            row["TimeGenerated"] = time_text(now)
            row["TransactionId"] = transaction_id
            row["DetectedBy"] = self._detected_by
            row["RuleName"] = rules
            if configuration_id:
                row["ConfigurationId"] = configuration_id
            if previous_ns is not None:
                row["PreviousSeen"] = time_text(min(previous_ns, now))  # the clock may have been set back
                row["LastSnapshotAge"] = max(now - previous_ns, 0) // 10**9
            change.put(_STREAMS.get(self._kind, DataType.CONFIG_CHANGE_V2), row, now)

    def _transaction_id(self, change: Transaction, key: bytes, previous_ns: int | None, otherwise: str) -> str:
        tie = self._ties.get(key)
        shared = self._causes.join(change, key, tie, previous_ns) if self._causes is not None and tie else None
        return shared or otherwise or str(uuid.uuid4())


def _is_other_view(known: Known, seen: Observation) -> bool:
    """Whether the very same link is only looked at in another way, because rules that follow links came or went."""
    before, after = known.item, seen.item
    if not isinstance(before, FileItem) or not isinstance(after, FileItem) or before.link_target is None:
        return False
    link = (after.link_target, after.link_mode)
    return (before.link_target, before.link_mode) == link and followed(known.signature) != followed(seen.signature)


def _as_seen(what: Found) -> Observation | Removal:
    return what.seen if isinstance(what, Renaming) else what


def _keys_of(what: Found) -> tuple[bytes, ...]:
    if isinstance(what, Observation):
        return (what.item.key(),)
    return (what.key,) if isinstance(what, Removal) else (what.seen.item.key(), what.previous)


def confirm(state: State, kind: Kind, *, time_ns: int, not_confirmed: tuple[bytes, ...]) -> None:
    """Put a confirmation of everything known of a kind into the outbox, unless its inventory must be sent first."""
    with state.transaction() as change:
        # A new epoch may have begun since the run: confirmed without its items, the server would drop them all.
        if resend_due(state, kind):
            return
        items, checksum = state.inventory_checksum(kind)
        record = Confirmation(kind=kind, time_ns=time_ns, items=items, checksum=checksum, not_confirmed=not_confirmed)
        change.put(DataType.CONFIG_DATA_V2, record.fields(), time_ns)
        change.set_meta(f"confirmed:{kind.value}", str(now_ns()))


def resend(state: State, kind: Kind, configuration_of: Callable[[Known], str]) -> int:
    """Send everything known of a kind again, behind a new snapshot mark; return the number of items.

    `configuration_of` tells which rules' ids an item bears.

    Bounded transactions; raises OutboxFull or StorageFull in between, then the caller begins again later: a
    second snapshot mark makes the first one meaningless, and until the next confirmation nothing is dropped.
    """
    with state.transaction() as change:
        change.put(DataType.CONFIG_DATA_V2, _snapshot(kind), now_ns())
        change.set_meta(f"snapshot:{kind.value}", change.epoch)
        change.set_meta(f"resend:{kind.value}", "begun")
    count = 0
    batch: list[Known] = []
    for _, known in state.items(kind):
        batch.append(known)
        if len(batch) >= _BATCH_ITEMS:
            count += _resend_batch(state, kind, batch, configuration_of)
            batch = []
    count += _resend_batch(state, kind, batch, configuration_of)
    with state.transaction() as change:
        change.set_meta(f"resend:{kind.value}", "")
    return count


def request_resend(state: State, kind: Kind) -> None:
    """Let the next run of a kind send everything known of it again: only its own worker writes an inventory."""
    with state.transaction(limited=False) as change:
        change.set_meta(f"resend:{kind.value}", "asked")


def resend_due(state: State, kind: Kind) -> bool:
    """Whether this epoch's inventory of a kind was not opened, or its sending was interrupted."""
    return bool(state.meta(f"resend:{kind.value}")) or state.meta(f"snapshot:{kind.value}") != state.epoch


def _resend_batch(state: State, kind: Kind, batch: list[Known], configuration_of: Callable[[Known], str]) -> int:
    with state.transaction() as change:
        for known in batch:
            now = now_ns()
            row = _inventory_row(kind, known.item.columns(), now, known.rules, configuration_of(known))
            change.put(DataType.CONFIG_DATA_V2, row, now)
            digest = item_digest(row)
            if digest != known.digest:  # another version of ours renders the item differently
                change.save(known.item, signature=known.signature, digest=digest, rules=known.rules)
    return len(batch)


def _snapshot(kind: Kind) -> dict[str, Value]:
    return {
        "_Record": RecordType.SNAPSHOT.value,
        "ConfigDataType": kind.value,
        "TimeGenerated": time_text(now_ns()),
    }


def _inventory_row(
    kind: Kind, columns: Mapping[str, Value], now: int, rules: str, configuration_id: str
) -> dict[str, Value]:
    row: dict[str, Value] = {"ConfigDataType": kind.value, "TimeGenerated": time_text(now), **columns}
    if rules:
        row["RuleName"] = rules
    if configuration_id:
        row["ConfigurationId"] = configuration_id
    return row


def _tombstone(kind: Kind, known: Known, now: int, left_rules: bool) -> dict[str, Value]:
    columns = known.item.columns()
    return {
        "_Record": RecordType.TOMBSTONE.value,
        "ConfigDataType": kind.value,
        "TimeGenerated": time_text(now),
        "Reason": "LeftRules" if left_rules else "Removed",
        **{name: columns[name] for name in _IDENTITY_COLUMNS if columns.get(name)},
    }
