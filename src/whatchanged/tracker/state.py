"""The state database `changetracking.db`: the last collected state, and the outbox.

It owns the promise's first half: a state and the records that follow from it are committed together, with
`synchronous=FULL`; sequences have no holes per stream and epoch; a row leaves the outbox when its chunk was
acknowledged. The format is described in `docs/formats/changetracking.md`.

One connection, one lock: whoever reads or writes holds it, and every transaction is bounded by its caller.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from whatchanged import memory
from whatchanged.collectors.files.signature import INODE_AT, STATUS_SIZE, content_size, unread
from whatchanged.errors import StateError, StorageFull
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import DaemonItem, FileItem, Item, Kind, RegistryItem, ServiceItem, SoftwareItem
from whatchanged.records.keys import checksum
from whatchanged.records.streams import DataType
from whatchanged.records.tables import table_of
from whatchanged.records.times import now_ns
from whatchanged.tracker.transaction import ROW_OVERHEAD, Transaction, place_of, split_path
from whatchanged.tracker.witness import Witness

__all__ = ["Known", "Outbound", "OutboxFull", "State", "Tally"]

_VERSION = 2
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    kind TEXT NOT NULL, container BLOB NOT NULL, name BLOB NOT NULL,
    signature BLOB NOT NULL, digest BLOB NOT NULL, rules TEXT NOT NULL, item BLOB NOT NULL,
    PRIMARY KEY (kind, container, name)) WITHOUT ROWID;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
    time INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX outbox_stream ON outbox (stream, id);
CREATE TABLE sequences (stream TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE baselines (kind TEXT NOT NULL, scope TEXT NOT NULL, PRIMARY KEY (kind, scope)) WITHOUT ROWID;
CREATE TABLE blind (
    kind TEXT NOT NULL, job TEXT NOT NULL, folder BLOB NOT NULL, PRIMARY KEY (kind, job, folder)) WITHOUT ROWID;
CREATE TABLE runs (
    kind TEXT NOT NULL, job TEXT NOT NULL, started INTEGER NOT NULL, PRIMARY KEY (kind, job)) WITHOUT ROWID;
CREATE TABLE health (subject TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
"""
_OPERATIONS = """
CREATE TABLE operations (package BLOB PRIMARY KEY, id TEXT NOT NULL, opened INTEGER NOT NULL, ended INTEGER)
    WITHOUT ROWID;
"""
_MIGRATIONS = {1: _OPERATIONS}
"""Format → what makes the next one of it."""
_ITEM_TYPES: dict[Kind, Any] = {
    item_type.kind: item_type for item_type in (FileItem, RegistryItem, SoftwareItem, ServiceItem, DaemonItem)
}
_DECODERS = {kind: msgspec.msgpack.Decoder(item_type) for kind, item_type in _ITEM_TYPES.items()}
_NAMES_A_QUERY = 100
_CONTENT_INODE = f"substr(signature, (length(signature) / {STATUS_SIZE} - 1) * {STATUS_SIZE} + {INODE_AT + 1}, 8)"
"""SQL of `signature.content_inode`."""
_SHARING_MOST = 10_000
_TALLY_PAGE = 5000
_HEALTH_RESERVE = 1024 * 1024
"""Room beyond the quota for health records, which must be able to say that the outbox is full."""


class OutboxFull(StorageFull):
    """The outbox has reached its quota; the state must not advance."""


class Known(msgspec.Struct, frozen=True):
    """An item as it was last seen."""

    item: Item
    signature: bytes
    digest: bytes
    rules: str


class Tally(msgspec.Struct, frozen=True):
    """Items counted."""

    items: int = 0
    size: int = 0
    """Bytes of content that were read."""
    unread: int = 0
    """Items whose content could not be read."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.items + other.items, self.size + other.size, self.unread + other.unread)


class Outbound(msgspec.Struct, frozen=True):
    """Consecutive records of one stream and epoch, ready for the pipe."""

    stream: DataType
    epoch: str
    first: int
    last: int
    last_id: int
    entries: list[tuple[int, bytes]]
    """Time in nanoseconds and packed record."""


class State:
    """The open state database."""

    def __init__(self, path: str, *, quota_bytes: int, machine: str, identity: Mapping[str, str]) -> None:
        """Open or create `path`; `machine` tells this machine from others (`/etc/machine-id`).

        `identity` holds the columns that every record of this machine carries (Computer and the like).

        Raises StateError when the database is damaged or newer than this program, StorageFull when there is no space.
        """
        self.path = path
        self.identity = {
            stream: {name: value for name, value in identity.items() if value and name in table_of(stream).names}
            for stream in DataType
        }
        self.lock = threading.RLock()
        self.committed = threading.Condition()
        """Notified after a commit that put rows into the outbox."""
        self.outbox_grew = 0
        """How often that was, in this process; guarded by `committed`."""
        self._quota = quota_bytes
        self._witness_path = os.path.join(os.path.dirname(os.path.dirname(path)), "epoch.json")
        self._checksums: dict[Kind, tuple[int, str]] = {}
        self.revisions: dict[Kind, int] = {}
        """Kind → how many transactions of this process changed its items."""
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self.recreated = ""
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if _is_space(error):
                raise StorageFull(f"cannot open {path}: {error}") from error
            if not _is_damage(error):
                raise StateError(f"cannot open {path}: {error}") from error
            self._set_aside(str(error))
            self._open()
        self._start_life(machine)

    # Life of the database

    def _open(self) -> None:
        exists = os.path.exists(self.path)
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        os.chmod(self.path, 0o600)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "cache_size=-2048",
            "temp_store=FILE",
            "wal_autocheckpoint=4000",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StateError(
                f"{self.path} has format {version}, this program knows {_VERSION}",
                hint="install the newer version again, or move the file away to begin a new epoch",
            )
        if exists and version:
            (result,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                raise sqlite3.DatabaseError(str(result))
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} {_OPERATIONS} PRAGMA user_version={_VERSION}; COMMIT;")
        for step in range(version or _VERSION, _VERSION):
            self._db.executescript(f"BEGIN; {_MIGRATIONS[step]} PRAGMA user_version={step + 1}; COMMIT;")
        self._inodes_indexed = bool(
            self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'items_inode'").fetchall()
        )

    def _set_aside(self, reason: str) -> None:
        """Keep a damaged database for those who want to look, and begin anew."""
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        aside = f"{self.path}.damaged"
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.path + suffix):
                os.replace(self.path + suffix, aside + suffix)
        self.recreated = f"the state database was damaged ({reason}); it is kept as {aside}"

    def _start_life(self, machine: str) -> None:
        self._sequences: dict[str, int] = dict(self._db.execute("SELECT stream, last FROM sequences"))
        rows, size = self._db.execute("SELECT COUNT(*), COALESCE(SUM(LENGTH(record)), 0) FROM outbox").fetchone()
        self._outbox_bytes: int = size + rows * ROW_OVERHEAD
        self.epoch = self._meta("epoch")
        opened = int(self._meta("opened") or 0)
        objection = self._objection(opened, machine)
        self._witness = Witness.of(self.path, epoch=self.epoch, opened=opened)
        with self.transaction(limited=False) as change:
            if objection:
                self._begin_anew(change, objection, machine)
            opened += 1
            change.set_meta("opened", str(opened))
            if machine:
                change.set_meta("machine", machine)
        self._witness.opened = opened
        self._witness.sent = dict(self._sequences)
        self._witness.save(self._witness_path)

    def _objection(self, opened: int, machine: str) -> str:
        witness = Witness.load(self._witness_path)
        if not self.epoch:
            if witness is not None and not self.recreated:
                self.recreated = "the state database is missing"
            return self.recreated or "the state database is new"
        known_machine = self._meta("machine")
        if machine and known_machine and machine != known_machine:
            return "the state database is another machine's"
        if witness is None:
            # A crash before the very first witness was written is no reason to begin anew: nothing was numbered yet.
            return "the state database came without its witness" if self._sequences else ""
        return witness.objection(
            epoch=self.epoch,
            opened=opened,
            path=self.path,
            last=dict(self._sequences),
            before=self._meta("epoch_before"),
        )

    def _begin_anew(self, change: Transaction, reason: str, machine: str) -> None:
        """Forget the state and begin a new epoch.

        Records of this machine that wait in the outbox keep their epoch and still go out: the server knows
        which of them it has. Those of another machine are not ours to send.
        """
        known_machine = self._meta("machine")
        dropped = 0
        if known_machine and known_machine != machine:
            dropped = change.execute("DELETE FROM outbox").rowcount
        last_run = change.execute("SELECT MIN(started) FROM runs").fetchone()[0]
        for table in ("items", "baselines", "blind", "runs", "health", "operations"):
            change.execute(f"DELETE FROM {table}")  # noqa: S608 - names from this line
        change.execute("DELETE FROM meta WHERE name LIKE 'snapshot:%' OR name LIKE 'resend:%'")
        first_life = not self.epoch
        change.new_epoch()
        if first_life and not self.recreated:
            return
        change.report(
            HealthRecord(
                component=Component.TRACKER,
                status=HealthStatus.WARNING,
                reason=HealthReason.STATE_RECREATED if self.recreated else HealthReason.NEW_EPOCH,
                time_ns=now_ns(),
                detail=f"{reason}: the machine is looked at as for the first time; changes since "
                "WindowStart are in the inventory, but have no rows of their own",
                window_start_ns=last_run,
                window_end_ns=now_ns(),
                lost_records=dropped or None,
            ),
            subject="epoch",
        )

    def shrink(self) -> None:
        """Give memory back to the system, that of pages too: after work that will not come again soon."""
        self.query("PRAGMA shrink_memory")
        memory.give_back()

    def close(self) -> None:
        """Close the database."""
        with self.lock:
            self._db.close()

    # Reading

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with self.lock:
            return self._db.execute(statement, parameters).fetchall()

    def _meta(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def meta(self, name: str) -> str:
        """Return a remembered value, or an empty string."""
        with self.lock:
            return self._meta(name)

    def folder(self, container: bytes) -> dict[bytes, bytes]:
        """Return name → signature of the files known in a folder (given with its closing slash)."""
        with self.lock:
            return dict(
                self._db.execute(
                    "SELECT name, signature FROM items WHERE kind = 'Files' AND container = ?", (container,)
                )
            )

    def known(self, kind: Kind, key: bytes) -> Known | None:
        """Return an item as it was last seen."""
        container, name = place_of(kind, key)
        with self.lock:
            row = self._db.execute(
                "SELECT item, signature, digest, rules FROM items WHERE kind = ? AND container = ? AND name = ?",
                (kind.value, container, name),
            ).fetchone()
        return Known(_DECODERS[kind].decode(row[0]), row[1], row[2], row[3]) if row else None

    def known_among(self, kind: Kind, keys: Iterable[bytes]) -> dict[bytes, Known]:
        """Return key → item of those among `keys` that are known: one look a folder, not one an item."""
        places: dict[bytes, list[bytes]] = {}
        for key in keys:
            container, name = place_of(kind, key)
            places.setdefault(container, []).append(name)
        decode = _DECODERS[kind].decode
        found: dict[bytes, Known] = {}
        with self.lock:
            for container, names in places.items():
                for start in range(0, len(names), _NAMES_A_QUERY):
                    some = names[start : start + _NAMES_A_QUERY]
                    rows = self._db.execute(
                        "SELECT name, item, signature, digest, rules FROM items WHERE kind = ? AND container = ? "  # noqa: S608
                        f"AND name IN ({','.join('?' * len(some))})",
                        (kind.value, container, *some),
                    )
                    for name, item, signature, digest, rules in rows:
                        found[container + name] = Known(decode(item), signature, digest, rules)
        return found

    def items(self, kind: Kind) -> Iterator[tuple[bytes, Known]]:
        """Yield key and item of everything known of a kind, in pages, so that nobody is kept waiting."""
        after: tuple[bytes, bytes] = (b"", b"")  # no item has an empty name
        while True:
            rows = self.query(
                "SELECT container, name, item, signature, digest, rules FROM items WHERE kind = ? AND "
                "(container, name) > (?, ?) ORDER BY container, name LIMIT 1000",
                (kind.value, *after),
            )
            for container, name, item, signature, digest, rules in rows:
                yield container + name, Known(_DECODERS[kind].decode(item), signature, digest, rules)
            if len(rows) < 1000:
                return
            after = (rows[-1][0], rows[-1][1])

    def snapshot(self, kind: Kind) -> Iterator[tuple[bytes, Known]]:
        """Yield key and item of everything known of a kind at this moment, whatever is committed meanwhile.

        By a connection of its own: nobody waits for it. Raises StateError.
        """
        try:
            with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as database:
                database.execute("PRAGMA query_only=1")
                rows = database.execute(
                    "SELECT container, name, item, signature, digest, rules FROM items WHERE kind = ? "
                    "ORDER BY container, name",
                    (kind.value,),
                )
                for container, name, item, signature, digest, rules in rows:
                    yield container + name, Known(_DECODERS[kind].decode(item), signature, digest, rules)
        except sqlite3.Error as error:
            raise StateError(f"cannot read {self.path}: {error}") from error

    def containers(self, below: bytes = b"/") -> list[bytes]:
        """Return the folders in which files are known: `below` (given with its closing slash) and deeper."""
        end = below[:-1] + b"0"  # the character behind the slash
        return [
            row[0]
            for row in self.query(
                "SELECT DISTINCT container FROM items WHERE kind = 'Files' AND container >= ? AND container < ?",
                (below, end),
            )
        ]

    def signatures(self, paths: Iterable[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        """Return folder (with its closing slash) → name → signature of those of `paths` that are known."""
        places: dict[bytes, list[bytes]] = {}
        for path in paths:
            container, name = split_path(path)
            places.setdefault(container, []).append(name)
        found: dict[bytes, dict[bytes, bytes]] = {}
        with self.lock:
            for container, names in places.items():
                known = found.setdefault(container, {})
                for start in range(0, len(names), _NAMES_A_QUERY):
                    some = names[start : start + _NAMES_A_QUERY]
                    known.update(
                        self._db.execute(
                            "SELECT name, signature FROM items WHERE kind = 'Files' AND container = ? "  # noqa: S608
                            f"AND name IN ({','.join('?' * len(some))})",
                            (container, *some),
                        )
                    )
        return found

    def index_inodes(self) -> None:
        """Let files be found by their inode numbers from now on.

        To be called when the first look is over: an index that is made of everything at once costs a tenth of one
        that follows every item. It takes a tenth of a second for 100,000 files, once.
        """
        if not self._inodes_indexed:
            with self.transaction(limited=False) as change:
                change.execute(
                    f"CREATE INDEX IF NOT EXISTS items_inode ON items ({_CONTENT_INODE}) WHERE kind = 'Files'"
                )
            self._inodes_indexed = True

    def sharing(self, inodes: Iterable[bytes], most: int = _SHARING_MOST) -> list[bytes]:
        """Return the paths, `most` at most, of the known files whose content is in one of `inodes` (packed numbers).

        A number alone does not tell a file: another file system may have the same, and it may have been given anew.
        """
        if not self._inodes_indexed:
            return []
        found: list[bytes] = []
        with self.lock:
            for inode in inodes:
                found += [
                    container + name
                    for container, name in self._db.execute(
                        f"SELECT container, name FROM items WHERE kind = 'Files' AND {_CONTENT_INODE} = ? LIMIT ?",  # noqa: S608
                        (inode, most - len(found)),
                    )
                ]
        return found

    def names(self, container: bytes) -> list[bytes]:
        """Return the names of the files known in a folder."""
        return [
            row[0] for row in self.query("SELECT name FROM items WHERE kind = 'Files' AND container = ?", (container,))
        ]

    def tallies(self, kind: Kind) -> Iterator[dict[str, Tally]]:
        """Count the items of a kind by their RuleName, page by page: to be added up."""
        after: tuple[bytes, bytes] = (b"", b"")
        while True:
            rows = self.query(
                "SELECT rules, signature, container, name FROM items WHERE kind = ? AND "
                "(container, name) > (?, ?) ORDER BY container, name LIMIT ?",
                (kind.value, *after, _TALLY_PAGE),
            )
            found: dict[str, list[int]] = {}
            for rules, signature, _, _ in rows:
                tally = found.get(rules) or found.setdefault(rules, [0, 0, 0])
                tally[0] += 1
                if signature:
                    tally[1] += content_size(signature)
                    tally[2] += unread(signature)
            yield {rules: Tally(*counts) for rules, counts in found.items()}
            if len(rows) < _TALLY_PAGE:
                return
            after = (rows[-1][2], rows[-1][3])

    def inventory_checksum(self, kind: Kind) -> tuple[int, str]:
        """Return count and checksum over everything known of a kind."""
        with self.lock:
            if kind not in self._checksums:
                cursor = self._db.execute(
                    "SELECT CAST(container || name AS BLOB) AS key, digest FROM items WHERE kind = ? ORDER BY key",
                    (kind.value,),
                )
                count = 0

                def counted() -> Iterator[tuple[bytes, bytes]]:
                    nonlocal count
                    for key, digest in cursor:
                        count += 1
                        yield key, digest

                result = checksum(counted())
                self._checksums[kind] = (count, result)
            return self._checksums[kind]

    def inventory_count(self, kind: Kind) -> int:
        """Return how many items of a kind are known."""
        return int(self.query("SELECT COUNT(*) FROM items WHERE kind = ?", (kind.value,))[0][0])

    def baselines(self, kind: Kind) -> frozenset[str]:
        """Return the scopes of a kind whose first look was completed."""
        return frozenset(row[0] for row in self.query("SELECT scope FROM baselines WHERE kind = ?", (kind.value,)))

    def blind(self, kind: Kind) -> tuple[bytes, ...]:
        """Return the folders that could not be looked into last time."""
        return tuple(row[0] for row in self.query("SELECT DISTINCT folder FROM blind WHERE kind = ?", (kind.value,)))

    def last_run(self, kind: Kind, job: str) -> int | None:
        """Return when the last completed run of a job began, in nanoseconds, or None."""
        rows = self.query("SELECT started FROM runs WHERE kind = ? AND job = ?", (kind.value, job))
        return int(rows[0][0]) if rows else None

    def last_runs(self, kind: Kind) -> dict[str, int]:
        """Return job → when its last completed run began."""
        return {j: int(s) for j, s in self.query("SELECT job, started FROM runs WHERE kind = ?", (kind.value,))}

    # The outbox

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait for an acknowledgement."""
        return self._outbox_bytes

    @property
    def outbox_full(self) -> bool:
        """Whether the state must not advance."""
        return self._outbox_bytes >= self._quota

    def outbox_rows(self) -> dict[str, int]:
        """Return stream → rows that wait."""
        return dict(self.query("SELECT stream, COUNT(*) FROM outbox GROUP BY stream"))

    def outbound(self, stream: DataType, *, rows: int, size: int) -> Outbound | None:
        """Return the oldest waiting records of a stream, at most `rows` and about `size` bytes, or None."""
        found = self.query(
            "SELECT id, epoch, sequence, time, record FROM outbox WHERE stream = ? ORDER BY id LIMIT ?",
            (stream.value, rows),
        )
        if not found:
            return None
        epoch, first = found[0][1], found[0][2]
        entries: list[tuple[int, bytes]] = []
        last_id = last = total = 0
        for number, (row_id, row_epoch, sequence, when, record) in enumerate(found):
            total += len(record)
            if row_epoch != epoch or sequence != first + number or (entries and total > size):
                break
            entries.append((when, record))
            last_id, last = row_id, sequence
        self._remember_sent(stream, epoch, last)
        return Outbound(stream, epoch, first, last, last_id, entries)

    def _remember_sent(self, stream: DataType, epoch: str, last: int) -> None:
        with self.lock:
            if epoch == self.epoch and last > self._witness.sent.get(stream.value, 0):
                self._witness.sent[stream.value] = last
                self._witness.save(self._witness_path)

    def acknowledged(self, sent: Outbound) -> None:
        """Forget records that are safe with the forwarder."""
        with self.transaction(limited=False) as change:
            change.execute("DELETE FROM outbox WHERE stream = ? AND id <= ?", (sent.stream.value, sent.last_id))
            change.freed += sum(len(record) + ROW_OVERHEAD for _, record in sent.entries)

    # Writing

    @contextlib.contextmanager
    def transaction(self, *, limited: bool = True) -> Iterator[Transaction]:
        """Commit what the block does, or nothing.

        `limited`: raise OutboxFull if the outbox is over its quota. Raises StorageFull when the disk is full.
        """
        with self.lock:
            if limited and self.outbox_full:
                raise OutboxFull(f"the outbox holds {self._outbox_bytes} bytes, its quota is {self._quota}")
            change = Transaction(self._db, epoch=self.epoch, sequences=self._sequences, identity=self.identity)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield change
                change.write()
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._rollback()
                if _is_space(error):
                    raise StorageFull(f"cannot write {self.path}: {error}", hint="free some space") from error
                raise StateError(f"cannot write {self.path}: {error}") from error
            except BaseException:
                self._rollback()
                raise
            self._sequences = change.sequences
            self.epoch = change.epoch
            self._outbox_bytes += change.added - change.freed
            for kind in change.touched:
                self._checksums.pop(kind, None)
                self.revisions[kind] = self.revisions.get(kind, 0) + 1
            if change.reset_witness:
                self._witness.epoch, self._witness.sent = self.epoch, {}
                self._witness.save(self._witness_path)
        if change.added:
            with self.committed:
                self.outbox_grew += 1
                self.committed.notify_all()

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def said(self, prefix: str) -> frozenset[str]:
        """Return the subjects that begin with `prefix` and of which something was said."""
        rows = self.query("SELECT subject FROM health WHERE substr(subject, 1, ?) = ?", (len(prefix), prefix))
        return frozenset(row[0] for row in rows)

    def report(self, record: HealthRecord, *, subject: str | None) -> None:
        """Put a health record into the outbox if it says something new of `subject`; without one it is an event.

        A full disk or an exhausted reserve must not stop the work that wanted to report: then the record is
        made again with the next occasion, because its subject was not remembered.
        """
        if self._outbox_bytes >= self._quota + _HEALTH_RESERVE:
            return
        with self.transaction(limited=False) as change:
            change.report(record, subject=subject)


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken. A lock, a missing right or a failing disk says nothing about the content."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_space(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL or "disk is full" in str(error)
