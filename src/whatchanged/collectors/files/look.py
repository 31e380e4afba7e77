"""Looking at one entry: open, fstat the same descriptor, read, and make an item of it.

Only regular files are ever opened for reading. What else a rule takes (folders, FIFOs, sockets, devices) is opened
for its facts alone (O_PATH), which asks no driver and wakes no other end.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from typing import Protocol

import msgspec

from whatchanged.collectors.files import native
from whatchanged.collectors.files.budget import Budget
from whatchanged.collectors.files.links import Target
from whatchanged.collectors.files.native import PIECE, FactReader, Tree
from whatchanged.collectors.files.signature import NOWHERE, SETTLE_NS, mark_unread, pack_status, settled, unread
from whatchanged.collectors.outcome import Failure, Tally, reason_of
from whatchanged.records.items import FileItem

__all__ = ["AWAITED", "GONE", "Aside", "Candidate", "Looked", "Looker", "NoLook"]

_RETRY_LIMIT = 256 * 1024 * 1024
"""A file that changes while it is read is read again once, unless it is larger than this."""
_INT64_MAX = (1 << 63) - 1
_AWAY = "its content is not on this machine, and is not fetched"


class Looked(msgspec.Struct, frozen=True):
    """An item that was looked at because its signature is new."""

    item: FileItem
    signature: bytes
    rules: tuple[str, ...]


class NoLook:
    """Why there is no look at an entry."""


GONE = NoLook()
"""It vanished (or became something else) between listing and looking."""
AWAITED = NoLook()
"""It is so large that its content is read aside."""


class Aside(Protocol):
    """Who reads large contents while other files are looked at."""

    least: int
    """Bytes from which on a content is large."""

    def take(self, path: bytes, fd: int, status: os.stat_result) -> tuple[bytes, os.stat_result, str] | None:
        """Return the SHA-256 of what `fd` stands for, as of a status, and what went wrong.

        None: it will be read, ask again then.
        """


class Candidate(msgspec.Struct, frozen=True):
    """An entry whose signature has moved."""

    name: bytes
    rules: tuple[str, ...]
    status: os.stat_result
    previous: bytes | None
    target: Target | None = None
    """Where a followed link leads."""
    nowhere: bool = False
    """A followed link that leads to nothing that is taken: it is looked at alone."""


class _Link(msgspec.Struct, frozen=True):
    """A link itself."""

    text: bytes
    status: os.stat_result
    created_ns: int | None
    """Birth time, where the item's own is that of what it leads to."""

    @classmethod
    def of(cls, folder_fd: int, candidate: Candidate) -> _Link:
        text = native.readlink_in(candidate.name, folder_fd)
        created = native.birth_time(folder_fd, candidate.name)
        return cls(text, candidate.status, None if created is None else _int64(created))


class _Awaited(Exception):
    """The content is read aside."""


class _Stopped(Exception):
    """The run was told to stop in the middle of a file."""


class Looker:
    """Makes items of candidates; used by several threads at once."""

    def __init__(
        self,
        tree: Tree,
        facts: FactReader,
        budget: Budget,
        stop: threading.Event,
        tally: Tally,
        *,
        content_limit: int,
        settle_ns: int = SETTLE_NS,
        content: bool = True,
        aside: Aside | None = None,
    ) -> None:
        """Without `content` files are opened, so that what cannot be read is known, but not read."""
        self._with_content = content
        self._aside = aside
        self._tree = tree
        self._facts = facts
        self._budget = budget
        self._stop = stop
        self._tally = tally
        self._content_limit = content_limit
        self._settle_ns = settle_ns

    def look_at_all(
        self, folder_fd: int, prefix: bytes, candidates: list[Candidate]
    ) -> list[tuple[Looked | NoLook | None, Failure | None]]:
        """Look at several entries of one folder; stops early, with fewer results, when told to."""
        results = []
        for candidate in candidates:
            if self._stop.is_set():
                break
            try:
                results.append(self.look_at(folder_fd, prefix, candidate))
            except _Stopped:
                break
        return results

    def look_at(
        self, folder_fd: int, prefix: bytes, candidate: Candidate
    ) -> tuple[Looked | NoLook | None, Failure | None]:
        """Look at one entry: what came of it, and what went wrong. Neither: it is as it was."""
        path = prefix + candidate.name
        try:
            mode = candidate.status.st_mode
            if native.is_away(candidate.status if candidate.target is None else candidate.target.status):
                return self._unread(folder_fd, path, candidate, _AWAY)
            if candidate.target is not None:
                return self._followed(folder_fd, path, candidate, candidate.target)
            if stat.S_ISREG(mode):
                return self._regular(folder_fd, path, candidate)
            return self._bare(folder_fd, path, candidate)
        except _Awaited:
            return AWAITED, None
        except OSError as error:
            if error.errno in native.VANISHED:
                return GONE, None
            return self._unread(folder_fd, path, candidate, reason_of(error))

    def _regular(
        self, folder_fd: int, path: bytes, candidate: Candidate
    ) -> tuple[Looked | NoLook | None, Failure | None]:
        fd = native.open_in(candidate.name, folder_fd)
        try:
            status = native.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return GONE, None
            digest, status, problem = self._content(path, fd, status)
            item = self._item(fd, path, status, sha256=digest)
        finally:
            os.close(fd)
        return self._result(candidate, item, pack_status(status), status, problem)

    def _followed(
        self, folder_fd: int, path: bytes, candidate: Candidate, target: Target
    ) -> tuple[Looked | NoLook | None, Failure | None]:
        link = _Link.of(folder_fd, candidate)
        problem = ""
        if stat.S_ISREG(target.status.st_mode):
            fd = self._tree.open_file(target.path)
            try:
                digest, status, problem = self._content(path, fd, native.fstat(fd))
                item = self._item(fd, path, status, sha256=digest, link=link)
            finally:
                os.close(fd)
        else:
            fd = self._tree.open_bare(target.path)
            try:
                status = native.fstat(fd)
                item = self._item(fd, path, status, link=link)
            finally:
                os.close(fd)
        signature = pack_status(candidate.status) + pack_status(status)
        return self._result(candidate, item, signature, status, problem)

    def _bare(self, folder_fd: int, path: bytes, candidate: Candidate) -> tuple[Looked | NoLook | None, Failure | None]:
        fd = native.open_bare_in(candidate.name, folder_fd)
        try:
            status = native.fstat(fd)
            if stat.S_IFMT(status.st_mode) != stat.S_IFMT(candidate.status.st_mode):
                return GONE, None
            if stat.S_ISLNK(status.st_mode):
                item = self._item(fd, path, status, link=_Link(native.readlink_of(fd), status, None))
            else:
                item = self._item(fd, path, status)
        finally:
            os.close(fd)
        signature = pack_status(status) + (NOWHERE if candidate.nowhere else b"")
        return self._result(candidate, item, signature, status, "")

    def _unread(
        self, folder_fd: int, path: bytes, candidate: Candidate, reason: str
    ) -> tuple[Looked | NoLook | None, Failure | None]:
        """An entry that could not be opened: new ones become items without a checksum, known ones stay as known."""
        failure = Failure(path, reason)
        target = candidate.target
        signature = pack_status(candidate.status)
        if target is not None:
            signature += pack_status(target.status)
        signature = mark_unread(signature)
        known = candidate.previous
        if known is not None and (not unread(known) or known == signature):
            return None, failure
        return Looked(self._unopened(folder_fd, path, candidate), signature, candidate.rules), failure

    def _unopened(self, folder_fd: int, path: bytes, candidate: Candidate) -> FileItem:
        """Return what can be told of an entry that must not be opened for reading: all but its content."""
        target = candidate.target
        link: _Link | None = None
        try:
            if target is None:
                fd = native.open_bare_in(candidate.name, folder_fd)
            else:
                link = _Link.of(folder_fd, candidate)
                fd = self._tree.open_bare(target.path)
            try:
                return self._item(fd, path, native.fstat(fd), link=link)
            finally:
                os.close(fd)
        except OSError:
            status = candidate.status if target is None else target.status
            return self._item(None, path, status, link=link)

    def _result(
        self, candidate: Candidate, item: FileItem, signature: bytes, status: os.stat_result, problem: str
    ) -> tuple[Looked | NoLook | None, Failure | None]:
        failure = Failure(item.path, problem) if problem else None
        known = candidate.previous
        if stat.S_ISREG(item.mode) and not item.sha256:
            too_large = item.size > self._content_limit  # but what else it is counts
            if known is not None and (known.startswith(signature) or not (unread(known) or too_large)):
                return None, failure
            signature = mark_unread(signature)
        else:
            signature = settled(signature, status, self._settle_ns)
        return Looked(item, signature, candidate.rules), failure

    def _content(self, path: bytes, fd: int, status: os.stat_result) -> tuple[bytes, os.stat_result, str]:
        """Return the digest, the status it belongs to, and what went wrong."""
        digest, problem = b"", ""
        if not self._with_content:
            return b"", status, ""
        if self._aside is not None and self._aside.least <= status.st_size <= self._content_limit:
            found = self._aside.take(path, fd, status)
            if found is None:
                raise _Awaited
            return found
        for again in (True, False):
            if status.st_size > self._content_limit:
                return b"", status, f"larger than the limit of {self._content_limit} bytes: not hashed"
            try:
                digest, whole = self._digest(fd, status)
            except OSError as error:
                return b"", status, reason_of(error)
            after = native.fstat(fd)
            if whole and (pack_status(after) == pack_status(status) or _only_grew(status, after)):
                return digest, status, ""
            problem = "changed while it was read"
            if not again or status.st_size > _RETRY_LIMIT:
                break
            status = after
        # The digest belongs to `status`, the look before the read (or is a mixture). The signature made of it
        # differs from what is there now, so the next run reads the file again.
        return digest, status, problem

    def _digest(self, fd: int, status: os.stat_result) -> tuple[bytes, bool]:
        """Return the SHA-256 of the bytes that there were by `status`, and whether all of them were there."""
        size = status.st_size
        if size <= PIECE:
            data = native.read_at(fd, size, 0) if size else b""
            self._spent(len(data))
            return hashlib.sha256(data).digest(), len(data) == size
        state = hashlib.sha256()
        place = 0
        for piece, was_read in native.pieces(fd, status):
            state.update(piece)
            place += len(piece)
            self._spent(len(piece) if was_read else 0)
        return state.digest(), place == size

    def _spent(self, count: int) -> None:
        self._tally.read(count)
        self._budget.spend(count)
        if self._stop.is_set():
            raise _Stopped

    def _item(
        self,
        fd: int | None,
        path: bytes,
        status: os.stat_result,
        *,
        sha256: bytes = b"",
        link: _Link | None = None,
    ) -> FileItem:
        own = link.status if link is not None else status
        facts = self._facts.read(fd, status)
        return FileItem(
            path=path,
            mode=status.st_mode,
            size=status.st_size,
            # Times beyond 64 bits of nanoseconds (year 2262) are forged; the state keeps 64.
            modified_ns=_int64(status.st_mtime_ns),
            created_ns=None if facts.created_ns is None else _int64(facts.created_ns),
            uid=status.st_uid,
            gid=status.st_gid,
            owner=facts.owner,
            group=facts.group,
            acl=facts.acl,
            sha256=sha256,
            link_target=link.text if link is not None else None,
            link_mode=link.status.st_mode if link is not None else None,
            # The links to a folder are its subfolders' entries.
            links=1 if stat.S_ISDIR(own.st_mode) else own.st_nlink,
            link_created_ns=link.created_ns if link is not None else None,
            file_attributes=facts.file_attributes,
            streams=facts.streams,
        )


def _only_grew(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file became longer while it was read, as a log does: what was read is what it was.

    Should it have been another change as well, the next look shows it: its signature is that of `before`.
    """
    owner = (before.st_mode, before.st_uid, before.st_gid)
    return after.st_size > before.st_size and owner == (after.st_mode, after.st_uid, after.st_gid)


def _int64(value: int) -> int:
    return max(-_INT64_MAX - 1, min(value, _INT64_MAX))
