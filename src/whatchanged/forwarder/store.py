"""The local store: `Tables/<stream>.db`, one SQLite database a stream, not before its first row.

Owns what was accepted until the server has it. `append` returns after the rows are on disk (`synchronous=FULL`).
A row that was stored before is not stored again: the last stored sequence of every epoch outlives the rows. Over the
quota the oldest rows of all streams go first; an eviction, in their place, says which. A damaged database is kept as
`<stream>.db.damaged` and begun anew; `take_damages` says so, and the server sees the hole in the sequences.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from whatchanged import memory
from whatchanged.errors import StateError, StorageFull
from whatchanged.records.carrier import new_epoch

__all__ = ["Damage", "EvictionNote", "Store", "StoredRow"]

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_CHUNKS_KEPT = 10_000
_ROW_COST = 64
"""Bytes a row is counted for beside its record."""
_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z", re.ASCII)
_MIGRATIONS = (
    """
CREATE TABLE rows (
  place INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  count INTEGER NOT NULL, reason TEXT, record BLOB, size INTEGER NOT NULL, stored INTEGER NOT NULL);
CREATE TABLE positions (epoch TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE own (epoch TEXT NOT NULL);
""",
    "CREATE TABLE chunks (number INTEGER PRIMARY KEY AUTOINCREMENT, chunk BLOB NOT NULL UNIQUE)",
)
"""Step n leads to `user_version` n + 1."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A record (`reason` is None), or an eviction that stands where `count` records stood."""

    place: int
    epoch: str
    first: int
    last: int
    count: int
    reason: str | None
    record: bytes | None


@dataclass(frozen=True, slots=True)
class EvictionNote:
    """What was dropped, for health."""

    stream: str
    epoch: str
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A database that was set aside; `rows` were in it, as far as that was known (None: it could not be opened)."""

    stream: str
    kept_as: str
    rows: int | None
    why: str


class Store:
    """All streams; safe for several threads."""

    def __init__(self, folder: str, quota_bytes: int) -> None:
        self._folder = folder
        self._quota = quota_bytes
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._generation = 0
        self._databases: dict[str, sqlite3.Connection] = {}
        self._rows: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._leased: dict[str, int] = {}
        self._dropped: list[EvictionNote] = []
        self._damages: list[Damage] = []
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise StateError(f"cannot use the store {folder}: {error.strerror}") from error
        for name in names:
            if name.endswith(".db") and _STREAM.match(name[:-3]):
                self._database(name[:-3])

    def shrink(self) -> None:
        """Give memory back to the system, that of pages too: after work that will not come again soon.

        Raises StateError, StorageFull.
        """
        with self._lock:
            for stream, database in list(self._databases.items()):
                try:
                    database.execute("PRAGMA shrink_memory")
                except sqlite3.Error as error:
                    raise self._failed(stream, error) from error
        memory.give_back()

    def close(self) -> None:
        """Close every database."""
        with self._lock:
            for database in self._databases.values():
                database.close()
            self._databases.clear()

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that exist, in order of their names."""
        with self._lock:
            return tuple(sorted(self._databases))

    def depth(self) -> dict[str, tuple[int, int]]:
        """Return rows and bytes of every stream."""
        with self._lock:
            return {stream: (self._rows[stream], self._bytes[stream]) for stream in sorted(self._databases)}

    def set_quota(self, quota_bytes: int) -> None:
        """Set the quota; holds from the next row on."""
        with self._lock:
            self._quota = quota_bytes

    def wait(self, generation: int, stop: threading.Event, timeout: float | None = None) -> int:
        """Wait until something was appended after `generation`, or `stop` is set; return the generation now.

        Who sets `stop` calls `wake` after it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._generation != generation or stop.is_set(), timeout)
            return self._generation

    def wake(self) -> None:
        """Let who waits notice that it shall stop."""
        with self._changed:
            self._changed.notify_all()

    def append(self, stream: str, epoch: str, first: int, records: Sequence[bytes]) -> int:
        """Store records `first`, `first` + 1, …; return how many were new. They are on disk when this returns.

        Raises StorageFull, StateError; nothing of `records` is stored then.
        """
        with self._lock, self._writing(stream) as database:
            known = database.execute("SELECT last FROM positions WHERE epoch = ?", (epoch,)).fetchone()
            skip = 0 if known is None else max(known[0] + 1 - first, 0)
            fresh = records[skip:]
            if not fresh:
                return 0
            self._insert(database, stream, epoch, first + skip, fresh)
        self._enforce_quota()
        return len(fresh)

    def append_own(self, stream: str, *makes: Callable[[str, int], bytes], chunk: str | None = None) -> None:
        """Store records that the forwarder numbers itself: each of `makes` returns one packed, of (epoch, sequence).

        All of them or none; and none if `chunk` was stored before (of a stream's last 10,000). Raises StorageFull,
        StateError.
        """
        with self._lock, self._writing(stream) as database:
            if not makes or (chunk is not None and not _remember(database, chunk)):
                return
            epoch = database.execute("SELECT epoch FROM own").fetchone()[0]
            known = database.execute("SELECT last FROM positions WHERE epoch = ?", (epoch,)).fetchone()
            first = 1 if known is None else known[0] + 1
            self._insert(database, stream, epoch, first, [make(epoch, first + i) for i, make in enumerate(makes)])
        self._enforce_quota()

    def renew_own_epochs(self) -> None:
        """Number own records anew in every stream: the store was found to be a copy or rolled back."""
        with self._lock:
            for stream in self.streams:
                with self._writing(stream) as database:
                    database.execute("UPDATE own SET epoch = ?", (new_epoch(),))

    def lease(self, stream: str, max_rows: int, max_bytes: int) -> list[StoredRow]:
        """Return the oldest rows (at least one if there is any); they are not evicted until `release`."""
        with self._lock:
            database = self._databases.get(stream)
            if database is None or not self._rows[stream]:
                return []
            rows: list[StoredRow] = []
            size = 0
            try:
                for values in database.execute(
                    "SELECT place, epoch, first, last, count, reason, record, size FROM rows ORDER BY place LIMIT ?",
                    (max_rows,),
                ):
                    size += values[7]
                    if rows and size > max_bytes:
                        break
                    rows.append(StoredRow(*values[:7]))
            except sqlite3.Error as error:
                raise self._failed(stream, error) from error
            if rows:
                self._leased[stream] = rows[-1].place
            return rows

    def release(self, stream: str) -> None:
        """Give leased rows back."""
        with self._lock:
            self._leased.pop(stream, None)

    def settle(self, stream: str, rows: Sequence[StoredRow]) -> None:
        """Remove rows that the server has."""
        with self._lock, self._writing(stream) as database:
            self._delete(database, stream, rows[0].place, rows[-1].place)

    def refuse(self, stream: str, rows: Sequence[StoredRow], reason: str, *, evict: bool) -> None:
        """Replace rows that the server will never take by an eviction (`evict`), or drop them."""
        with self._lock, self._writing(stream) as database:
            for run in _runs(rows):
                self._delete(database, stream, run[0].place, run[-1].place)
                if evict and any(row.reason is None for row in run):
                    count = sum(row.count for row in run)
                    self._insert_eviction(
                        database, stream, run[0].place, run[0].epoch, run[0].first, run[-1].last, count, reason
                    )

    def take_dropped(self) -> list[EvictionNote]:
        """Return what the quota has cost since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
            return dropped

    def take_damages(self) -> list[Damage]:
        """Return which databases were set aside since the last call."""
        with self._lock:
            damages, self._damages = self._damages, []
            return damages

    # --- inside the lock ---

    def _database(self, stream: str) -> sqlite3.Connection:
        if (database := self._databases.get(stream)) is not None:
            return database
        if not _STREAM.match(stream):
            raise StateError(f"{stream!r} cannot be the name of a stream")
        try:
            database, rows, size = self._open(stream)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
                raise _trouble(stream, error) from error
            self._set_aside(stream, str(error))
            try:
                database, rows, size = self._open(stream)
            except sqlite3.Error as again:
                raise _trouble(stream, again) from again
        self._databases[stream], self._rows[stream], self._bytes[stream] = database, rows, size
        return database

    def _open(self, stream: str) -> tuple[sqlite3.Connection, int, int]:
        """Return the database with its rows and bytes."""
        path = self._path(stream)
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > len(_MIGRATIONS):
                raise StateError(f"{path} is of a newer version", hint="update whatchanged")
            if version == 0:
                database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA journal_size_limit = 16777216")
            if version < len(_MIGRATIONS):
                _migrate(database, version)
            rows, size = database.execute("SELECT count(*), coalesce(sum(size), 0) FROM rows").fetchone()
        except BaseException:
            database.close()
            raise
        return database, rows, size

    def _path(self, stream: str) -> str:
        return os.path.join(self._folder, f"{stream}.db")

    def _failed(self, stream: str, error: sqlite3.Error) -> StateError | StorageFull:
        """Return the error in our words; a damaged database is set aside, so that the next try begins anew."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            self._set_aside(stream, str(error))
        return _trouble(stream, error)

    def _set_aside(self, stream: str, why: str) -> None:
        if (database := self._databases.pop(stream, None)) is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()
        path = self._path(stream)
        aside = f"{path}.damaged"
        try:
            for suffix in ("-wal", "-shm", ""):
                if os.path.exists(path + suffix):
                    os.replace(path + suffix, aside + suffix)
        except OSError as error:
            raise StateError(f"{path} is damaged and cannot be set aside: {error.strerror}") from error
        self._bytes.pop(stream, None)
        self._leased.pop(stream, None)
        self._damages.append(Damage(stream, aside, self._rows.pop(stream, None), why))

    @contextlib.contextmanager
    def _writing(self, stream: str) -> Iterator[sqlite3.Connection]:
        """One transaction; the counters follow it."""
        database = self._database(stream)
        rows, size = self._rows[stream], self._bytes[stream]
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        except BaseException as error:
            self._rows[stream], self._bytes[stream] = rows, size
            with contextlib.suppress(sqlite3.Error):
                if database.in_transaction:
                    database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._failed(stream, error) from error
            raise

    def _insert(
        self, database: sqlite3.Connection, stream: str, epoch: str, first: int, records: Sequence[bytes]
    ) -> None:
        now = time.time_ns()
        database.executemany(
            "INSERT INTO rows (epoch, first, last, count, record, size, stored) VALUES (?, ?, ?, 1, ?, ?, ?)",
            [(epoch, first + i, first + i, r, len(r) + _ROW_COST, now) for i, r in enumerate(records)],
        )
        database.execute(
            "INSERT INTO positions VALUES (?, ?) ON CONFLICT (epoch) DO UPDATE SET last = excluded.last",
            (epoch, first + len(records) - 1),
        )
        self._rows[stream] += len(records)
        self._bytes[stream] += sum(map(len, records)) + _ROW_COST * len(records)
        self._generation += 1
        self._changed.notify_all()

    def _insert_eviction(
        self,
        database: sqlite3.Connection,
        stream: str,
        place: int,
        epoch: str,
        first: int,
        last: int,
        count: int,
        reason: str,
    ) -> None:
        database.execute(
            "INSERT INTO rows (place, epoch, first, last, count, reason, size, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (place, epoch, first, last, count, reason, _ROW_COST, time.time_ns()),
        )
        self._rows[stream] += 1
        self._bytes[stream] += _ROW_COST

    def _delete(self, database: sqlite3.Connection, stream: str, first: int, last: int) -> None:
        rows, size = database.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM rows WHERE place BETWEEN ? AND ?", (first, last)
        ).fetchone()
        database.execute("DELETE FROM rows WHERE place BETWEEN ? AND ?", (first, last))
        database.execute("PRAGMA incremental_vacuum(256)").fetchall()
        self._rows[stream] -= rows
        self._bytes[stream] -= size

    def _enforce_quota(self) -> None:
        with self._lock:
            while sum(self._bytes.values()) > self._quota:
                oldest = [(row[0], stream) for stream in self._databases if (row := self._oldest(stream)) is not None]
                if not oldest:
                    return
                self._evict(min(oldest)[1], sum(self._bytes.values()) - self._quota)

    def _oldest(self, stream: str) -> tuple[int] | None:
        try:
            row: tuple[int] | None = (
                self._databases[stream]
                .execute(
                    "SELECT stored FROM rows WHERE reason IS NULL AND place > ? ORDER BY place LIMIT 1",
                    (self._leased.get(stream, 0),),
                )
                .fetchone()
            )
        except sqlite3.Error as error:
            raise self._failed(stream, error) from error
        return row

    def _evict(self, stream: str, too_much: int) -> None:
        """Drop the oldest rows of `stream` that are worth `too_much` bytes; at most 1,000 at a time."""
        leased = self._leased.get(stream, 0)
        with self._writing(stream) as database:
            gone: dict[str, list[int]] = {}  # epoch → place, first, last, count
            freed = 0
            last_place = leased
            for place, epoch, first, size in database.execute(
                "SELECT place, epoch, first, size FROM rows"
                " WHERE reason IS NULL AND place > ? ORDER BY place LIMIT 1000",
                (leased,),
            ).fetchall():
                if freed > too_much + _ROW_COST * len(gone):
                    break
                freed += size
                last_place = place
                run = gone.setdefault(epoch, [place, first, first, 0])
                run[1], run[2], run[3] = min(run[1], first), max(run[2], first), run[3] + 1
            notes = [EvictionNote(stream, epoch, run[1], run[2], run[3]) for epoch, run in gone.items()]
            older = database.execute(
                "SELECT place, epoch, first, last, count FROM rows WHERE reason = 'Quota' AND place > ? AND place <= ?",
                (leased, last_place),
            ).fetchall()
            for place, epoch, first, last, count in older:
                run = gone.setdefault(epoch, [place, first, last, 0])
                run[0], run[1], run[2] = min(run[0], place), min(run[1], first), max(run[2], last)
                run[3] += count
            size, rows = database.execute(
                "SELECT coalesce(sum(size), 0), count(*) FROM rows WHERE place > ? AND place <= ?"
                " AND (reason IS NULL OR reason = 'Quota')",
                (leased, last_place),
            ).fetchone()
            database.execute(
                "DELETE FROM rows WHERE place > ? AND place <= ? AND (reason IS NULL OR reason = 'Quota')",
                (leased, last_place),
            )
            self._rows[stream] -= rows
            self._bytes[stream] -= size
            for epoch, (place, first, last, count) in gone.items():
                self._insert_eviction(database, stream, place, epoch, first, last, count, "Quota")
            database.execute("PRAGMA incremental_vacuum(1024)").fetchall()
        self._dropped.extend(notes)


def _migrate(database: sqlite3.Connection, version: int) -> None:
    database.execute("BEGIN IMMEDIATE")
    for step in _MIGRATIONS[version:]:
        for statement in filter(str.strip, step.split(";")):
            database.execute(statement)
    if version == 0:
        database.execute("INSERT INTO own VALUES (?)", (new_epoch(),))
        # A store that was begun anew uses no place of the one before: an upload may still be under way from there.
        database.execute("INSERT INTO sqlite_sequence VALUES ('rows', ?)", (time.time_ns() // 1000,))
    database.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
    database.execute("COMMIT")


def _remember(database: sqlite3.Connection, chunk: str) -> bool:
    """Return whether `chunk` is new, and know it from now on."""
    digest = hashlib.sha256(chunk.encode("utf-8", "surrogateescape")).digest()
    made = database.execute("INSERT OR IGNORE INTO chunks (chunk) VALUES (?)", (digest,))
    if not made.rowcount:
        return False
    database.execute("DELETE FROM chunks WHERE number <= ?", ((made.lastrowid or 0) - _CHUNKS_KEPT,))
    return True


def _runs(rows: Sequence[StoredRow]) -> list[list[StoredRow]]:
    """Cut rows where the epoch changes."""
    runs: list[list[StoredRow]] = []
    for row in rows:
        if runs and runs[-1][-1].epoch == row.epoch:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _trouble(what: str, error: sqlite3.Error) -> StateError | StorageFull:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"no space to store {what}: {error}", hint="free space on the disk of the data folder")
    return StateError(f"the store of {what} fails: {error}")
