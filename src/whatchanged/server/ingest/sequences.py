"""Watermarks: what of a stream was stored, and what an upload therefore adds.

One object for the whole server, used by the commit thread alone. Deciding changes nothing; `advance` is called
after the rows are on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from whatchanged.errors import RecordError
from whatchanged.records.carrier import Eviction
from whatchanged.server.ingest.prepare import NumberedRow, Upload
from whatchanged.server.ingest.stored import StoredRows

__all__ = ["Decision", "Missing", "Watermarks"]

_MAX_EPOCHS = 1000


@dataclass(slots=True)
class _Mark:
    last: int
    order: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Sequences of an epoch that did not arrive."""

    epoch: str
    first: int
    last: int
    count: int
    reason: str


@dataclass(slots=True)
class Decision:
    """What an upload adds."""

    rows: list[NumberedRow] = field(default_factory=list)
    forked: list[NumberedRow] = field(default_factory=list)
    """Rows whose sequence is stored with another digest."""
    late: list[NumberedRow] = field(default_factory=list)
    """Rows of a hole that was reported."""
    missing: list[Missing] = field(default_factory=list)
    duplicates: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)


class Watermarks:
    """Highest sequence per machine, stream and epoch, and the order in which epochs came."""

    def __init__(self, stored: Iterable[Mapping[str, object]]) -> None:
        self._marks: dict[tuple[str, str], dict[str, _Mark]] = {}
        for row in stored:
            streams = self._marks.setdefault((str(row["machine"]), str(row["stream"])), {})
            streams[str(row["epoch"])] = _Mark(int(str(row["last"])), int(str(row["order"])))

    def decide(self, upload: Upload, stored: StoredRows) -> Decision:
        """Return what `upload` adds; raises RecordError when a machine had too many epochs."""
        known = self._marks.get((upload.machine.machine_id, upload.name), {})
        decision = Decision()
        for entry in upload.entries:
            epoch = entry.epoch
            if epoch not in decision.marks:
                self._begin(known, epoch, decision)
            mark = decision.marks[epoch]
            if isinstance(entry, Eviction):
                _evicted(decision, entry, mark)
                if entry.first <= mark:
                    _evicted_below(decision, entry, min(entry.last, mark), upload, stored)
            elif entry.sequence > mark:
                if entry.sequence > mark + 1:
                    decision.missing.append(_hole(epoch, mark + 1, entry.sequence - 1))
                decision.rows.append(entry)
                decision.marks[epoch] = entry.sequence
            else:
                decision.late.append(entry)
        self._sort_late(upload, decision, stored)
        return decision

    def advance(self, upload: Upload, decision: Decision) -> None:
        """Take over what was decided: it is stored."""
        known = self._marks.setdefault((upload.machine.machine_id, upload.name), {})
        for epoch, last in decision.marks.items():
            known[epoch] = _Mark(last, decision.orders[epoch])

    @staticmethod
    def _begin(known: Mapping[str, _Mark], epoch: str, decision: Decision) -> None:
        mark = known.get(epoch)
        if mark is not None:
            decision.marks[epoch] = mark.last
        elif len(known) >= _MAX_EPOCHS:
            raise RecordError("this machine has begun too many epochs", hint="enrol it anew")
        else:
            decision.marks[epoch] = 0
        if mark is not None and mark.order:
            decision.orders[epoch] = mark.order
        else:
            taken = [m.order for m in known.values()] + list(decision.orders.values())
            decision.orders[epoch] = max(taken, default=0) + 1

    @staticmethod
    def _sort_late(upload: Upload, decision: Decision, stored: StoredRows) -> None:
        candidates, decision.late = decision.late, []
        spans: dict[str, list[int]] = {}
        for row in candidates:
            spans.setdefault(row.epoch, []).append(row.sequence)
        found = {
            epoch: stored.digests(upload.machine.machine_id, upload.stream, upload.name, epoch, min(span), max(span))
            for epoch, span in spans.items()
        }
        for row in candidates:
            digests = found[row.epoch].get(row.sequence, set())
            if row.digest in digests:
                decision.duplicates += 1
            elif digests:
                decision.forked.append(row)
            else:
                decision.late.append(row)


def _evicted(decision: Decision, eviction: Eviction, mark: int) -> None:
    if eviction.last <= mark:
        return
    if eviction.first > mark + 1:
        decision.missing.append(_hole(eviction.epoch, mark + 1, eviction.first - 1))
    first = max(eviction.first, mark + 1)
    count = min(eviction.count, eviction.last - first + 1)
    decision.missing.append(Missing(eviction.epoch, first, eviction.last, count, eviction.reason[:1000]))
    decision.marks[eviction.epoch] = eviction.last


def _evicted_below(decision: Decision, eviction: Eviction, last: int, upload: Upload, stored: StoredRows) -> None:
    """Take the part of an eviction that the watermark has passed: a repetition, or it tells of rows that are not here.

    Gap records are stored before the rows of their body. Where the rows then failed, the watermark stands behind the
    gap although rows before it never came; should the machine have to drop those, that must not be taken for known.
    """
    machine = upload.machine.machine_id
    lost = stored.unaccounted(machine, upload.stream, upload.name, eviction.epoch, eviction.first, last)
    decision.missing += [Missing(eviction.epoch, a, b, b - a + 1, eviction.reason[:1000]) for a, b in lost]
    if not lost and last == eviction.last:
        decision.duplicates += 1


def _hole(epoch: str, first: int, last: int) -> Missing:
    return Missing(epoch, first, last, last - first + 1, "the records never arrived")
