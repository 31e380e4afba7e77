"""Package operations: the TransactionId that the rows of a package and of its files share.

It owns the table `operations`: of each package the last operation. One is *open* from the first file row that belongs
to it until the row of its package is written, *ended* then. Files and software are different workers and commit at
different times; whoever comes first makes the id, in the very transaction that holds its rows, and the other finds it.
"""

from __future__ import annotations

import uuid

import msgspec

from whatchanged.tracker.transaction import Transaction

__all__ = ["Operation", "end", "find", "finish", "let_go", "open_", "opened"]

_KEPT_NS = 3600 * 10**9
"""How long an ended operation is remembered: files that are looked at late join it."""


class Operation(msgspec.Struct, frozen=True):
    """The last operation of a package."""

    id: str
    opened_ns: int
    ended_ns: int | None
    """End of the look at the software that saw its end, or None: that did not come yet."""


def find(change: Transaction, package: bytes) -> Operation | None:
    """Return the last operation of a package (by the key of its item)."""
    row = change.execute("SELECT id, opened, ended FROM operations WHERE package = ?", (package,)).fetchone()
    return Operation(*row) if row else None


def open_(change: Transaction, package: bytes, now_ns: int) -> str:
    """Begin an operation; return its id."""
    made = str(uuid.uuid4())
    change.execute("INSERT OR REPLACE INTO operations VALUES (?, ?, ?, NULL)", (package, made, now_ns))
    return made


def finish(change: Transaction, package: bytes, seen_ns: int) -> str:
    """End the operation of a package whose row is being written; return its id.

    `seen_ns`: end of the look that saw the package changed: what happened to its files before belongs to it. (The
    package manager may have worked on them when the look had begun already.)
    """
    last = find(change, package)
    made = last.id if last is not None and last.ended_ns is None else str(uuid.uuid4())
    change.execute("INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?)", (package, made, seen_ns, seen_ns))
    return made


def end(change: Transaction, packages: list[bytes], seen_ns: int) -> None:
    """End operations that left their packages as they were (the same version was installed again)."""
    for package in packages:
        change.execute("UPDATE operations SET ended = ? WHERE package = ? AND ended IS NULL", (seen_ns, package))


def opened(change: Transaction, before_ns: int) -> list[bytes]:
    """Return the packages whose operations were opened before `before_ns` and did not end."""
    found = change.execute("SELECT package FROM operations WHERE ended IS NULL AND opened < ?", (before_ns,))
    return [bytes(row[0]) for row in found]


def let_go(change: Transaction, now_ns: int) -> None:
    """Forget operations that ended long ago."""
    change.execute("DELETE FROM operations WHERE ended < ?", (now_ns - _KEPT_NS,))
