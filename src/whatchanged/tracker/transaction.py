"""What may be done within one transaction of the state database: state and records that belong together."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from whatchanged.records.carrier import Position, new_epoch
from whatchanged.records.health import HealthRecord
from whatchanged.records.items import Item, Kind
from whatchanged.records.streams import DataType

__all__ = ["ROW_OVERHEAD", "Transaction", "place_of", "split_path"]

ROW_OVERHEAD = 160
"""Bytes a row of the outbox costs beside its record, roughly."""
_encode = msgspec.msgpack.Encoder().encode


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """Return container (with its closing slash) and name of a path: joined they are the path."""
    cut = path.rfind(b"/") + 1
    return path[:cut], path[cut:]


def place_of(kind: Kind, key: bytes) -> tuple[bytes, bytes]:
    """Return container and name under which an item of `key` is kept."""
    return split_path(key) if kind is Kind.FILES else (b"", key)


class Transaction:
    """What may be done within one transaction of the state database.

    Records and items are gathered and written together: before the next statement of `execute`, or with the commit.
    Until then a reader of the same transaction does not see them.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        epoch: str,
        sequences: Mapping[str, int],
        identity: Mapping[DataType, Mapping[str, str]],
    ) -> None:
        self._db = db
        self.sequences = dict(sequences)
        self._sequences_before = dict(sequences)
        self.epoch = epoch
        self.added = 0
        self.freed = 0
        self.touched: set[Kind] = set()
        self.reset_witness = False
        self._identity = identity
        self._records: list[tuple[str, str, int, int, bytes]] = []
        self._items: list[tuple[str, bytes, bytes, bytes, bytes, str, bytes]] = []

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement, after everything that was put or saved before it."""
        self._write_gathered()
        return self._db.execute(statement, parameters)

    def set_meta(self, name: str, value: str) -> None:
        """Remember a value."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def new_epoch(self) -> None:
        """Begin a new epoch: sequences start at 1 again."""
        self.set_meta("epoch_before", self.epoch)
        self.epoch = new_epoch()
        self.sequences.clear()
        self.execute("DELETE FROM sequences")
        self.set_meta("epoch", self.epoch)
        self.reset_witness = True

    def put(self, stream: DataType, record: Mapping[str, object], time_ns: int) -> Position:
        """Number a record and put it into the outbox."""
        name = stream.value
        position = Position(stream, self.epoch, self.sequences.get(name, 0) + 1)
        self.sequences[name] = position.sequence
        packed = _encode({**self._identity[stream], **record, **position.carrier()})
        self._records.append((name, position.epoch, position.sequence, time_ns, packed))
        self.added += len(packed) + ROW_OVERHEAD
        return position

    def report(self, record: HealthRecord, *, subject: str | None) -> None:
        """Put a health record into the outbox, unless it says of `subject` what was said last.

        Without a subject it is an event: always told, nothing is remembered of it.
        """
        if subject is not None:
            said = f"{record.status}|{record.reason}|{record.rule_name}|{record.detail}"
            row = self.execute("SELECT state FROM health WHERE subject = ?", (subject,)).fetchone()
            if row and row[0] == said:
                return
            self.execute("INSERT OR REPLACE INTO health VALUES (?, ?)", (subject, said))
        self.put(DataType.TRACKING_HEALTH, record.columns(), record.time_ns)

    def save(self, item: Item, *, signature: bytes, digest: bytes, rules: str) -> None:
        """Remember an item."""
        kind = item.kind
        self._items.append((kind.value, *place_of(kind, item.key()), signature, digest, rules, _encode(item)))
        self.touched.add(kind)

    def forget(self, kind: Kind, key: bytes) -> None:
        """Forget an item."""
        container, name = place_of(kind, key)
        self.execute("DELETE FROM items WHERE kind = ? AND container = ? AND name = ?", (kind.value, container, name))
        self.touched.add(kind)

    def write(self) -> None:
        """Write what was gathered, and the sequences that this transaction reached."""
        self._write_gathered()
        moved = [(name, last) for name, last in self.sequences.items() if last != self._sequences_before.get(name)]
        if moved or self.reset_witness:
            reached = self.sequences.items() if self.reset_witness else moved
            self._db.executemany("INSERT OR REPLACE INTO sequences VALUES (?, ?)", reached)

    def _write_gathered(self) -> None:
        if self._records:
            self._db.executemany(
                "INSERT INTO outbox (stream, epoch, sequence, time, record) VALUES (?, ?, ?, ?, ?)", self._records
            )
            self._records.clear()
        if self._items:
            self._db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", self._items)
            self._items.clear()
