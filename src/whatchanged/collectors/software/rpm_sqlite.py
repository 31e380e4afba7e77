"""rpm's SQLite database `rpmdb.sqlite` (since 4.16), read without leaving a trace beside it.

SQLite opens it immutable: no locks, no `-wal` and no `-shm` file. Immutable readers ignore the write-ahead log, so a
log with committed transactions in it (rpm is at work, or died) is merged here, in a private copy.
The database may be anybody's when it comes from an image: size of a value, steps and time are bounded.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO

from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Root
from whatchanged.collectors.software.page_reader import BytesReader, FileReader, Reader
from whatchanged.collectors.software.rpm_header import LARGEST_HEADER
from whatchanged.collectors.software.sqlite_wal import Committed, committed

__all__ = ["sqlite_blobs"]

_SECONDS = 60.0
_STEPS = 100_000
_TABLE = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'Packages' AND sql LIKE 'CREATE TABLE%'"
_VERSIONS_AT = 18
"""Offset of the two bytes that say whether a database wants a write-ahead log (2) or not (1)."""


def sqlite_blobs(root: Root, path: bytes) -> Iterator[bytes]:
    """Yield the header blobs of the database at a canonical path. Raises PackageDatabaseError, OSError."""
    tree = root.tree
    with _opened(tree, path + b"-wal") as file:
        log = FileReader(file) if file is not None else BytesReader(b"")
        content = committed(log)
        if content is None:
            os.close(tree.open_file(path))  # a regular file, and no link; SQLite itself would follow one
            yield from _read(tree.outside(path))
            return
        with root.scratch_file(b"rpmdb.sqlite") as copy:
            _merge(tree, path, log, content, copy)
            yield from _read(copy)


@contextmanager
def _opened(tree: Tree, path: bytes) -> Iterator[BinaryIO | None]:
    try:
        fd = tree.open_file(path)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(fd, "rb") as file:
        yield file


def _merge(tree: Tree, path: bytes, log: Reader, content: Committed, copy: bytes) -> None:
    with open(copy, "xb") as target, os.fdopen(tree.open_file(path), "rb") as source:
        shutil.copyfileobj(source, target, 1024 * 1024)
        for number, place in content.places.items():
            if number <= content.pages:
                target.seek((number - 1) * content.page_size)
                target.write(log.at(place, content.page_size))
        target.truncate(content.pages * content.page_size)
        target.seek(_VERSIONS_AT)
        target.write(b"\x01\x01")


def _read(path: bytes) -> Iterator[bytes]:
    address = "".join(f"%{byte:02X}" for byte in path)
    try:
        with closing(sqlite3.connect(f"file:{address}?mode=ro&immutable=1", uri=True)) as database:
            _bound(database)
            if database.execute(_TABLE).fetchone() != (1,):
                raise PackageDatabaseError("it has no table Packages")
            for (blob,) in database.execute("SELECT blob FROM Packages ORDER BY hnum"):
                if not isinstance(blob, bytes):
                    raise PackageDatabaseError("a header is no blob")
                yield blob
    except (sqlite3.Error, OverflowError) as error:
        raise PackageDatabaseError(str(error)) from error


def _bound(database: sqlite3.Connection) -> None:
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_HEADER)
    database.execute("PRAGMA trusted_schema = OFF")
    deadline = time.monotonic() + _SECONDS
    database.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
