"""Renames: what appeared at one path and was known by another, at which it is no more, is one change.

Whether a watcher told of it or a poll found it makes no difference. It is the same file if it has the same inode
number, the same birth time and no other name, on the same file system. What leaves any doubt (hard links, a file system
without birth times) is told as added and removed: never is a pair made of two files.
"""

from __future__ import annotations

import stat
import time
import uuid
from collections.abc import Callable

from whatchanged.collectors import Failure
from whatchanged.collectors.files import Looked, PathLooker, Unchanged
from whatchanged.collectors.files.signature import SETTLE_NS, changed_ns, content_inode, inode, unsettled
from whatchanged.records.items import FileItem, Kind
from whatchanged.tracker.recorder import Observation, Renaming
from whatchanged.tracker.state import Known, State

__all__ = ["Renames", "same_file", "stem"]

_NAMES = 64
"""Known names of one inode number that are compared: with more of them it is a file of many links."""
_LOOKER_SECONDS = 1.0
"""How long a looker is used: it remembers the mounts and links of the time it was made."""
_STEMS = 1000
_APPEARED = 4000
"""More than are ever found and not yet recorded."""


class Renames:
    """Finds for what appeared in one run where it was before."""

    def __init__(self, state: State, looker: Callable[[], PathLooker]) -> None:
        """`looker` makes a looker at everything that any rule asks for."""
        self._state = state
        self._make = looker
        self._looker: PathLooker | None = None
        self._made = 0.0
        self._transactions: dict[tuple[bytes, bytes], str] = {}
        self._appeared: dict[tuple[bytes, int], bytes] = {}
        """Inode number and birth time of what appeared in this run → where it was seen last."""

    def close(self) -> None:
        """Give the looker back."""
        if self._looker is not None:
            self._looker.close()
            self._looker = None

    def __enter__(self) -> Renames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, seen: Observation) -> Renaming | None:
        """Return the rename that brought `seen` to a path which was not known, or None if it was none."""
        if seen.entering or not isinstance(seen.item, FileItem) or not _is_one_name(seen.item):
            return None
        path, born = seen.item.path, seen.item.born_ns()
        if born is None:
            return None
        identity = (inode(seen.signature), born)
        # It may have gone on while the run was under way.
        old = self._appeared.pop(identity, None) or self._known(seen)
        if _is_certain(seen.signature, born):
            self._appeared[identity] = path
            if len(self._appeared) > _APPEARED:
                del self._appeared[next(iter(self._appeared))]
        if old is None or old == path or not self._left(old, path):
            return None
        return Renaming(seen, old, self._transaction(stem(old, path)))

    def _known(self, seen: Observation) -> bytes | None:
        """Return the one path by which the file that is seen was known."""
        paths = self._state.sharing([content_inode(seen.signature)], _NAMES)
        if not paths or len(paths) == _NAMES:
            return None
        known = self._state.known_among(Kind.FILES, paths)
        same = [path for path, one in known.items() if path != seen.item.key() and same_file(one, seen)]
        return same[0] if len(same) == 1 else None

    def _left(self, old: bytes, new: bytes) -> bool:
        """Whether nothing of what rules take is at `old` now, and it was on the file system of `new`.

        A copy of a whole file system bears the same numbers and times.
        """
        looker = self._current()
        if isinstance(looker.look(old), Looked | Unchanged | Failure):
            return False
        before, after = looker.file_system(old), looker.file_system(new)
        return before is not None and before == after

    def _current(self) -> PathLooker:
        now = time.monotonic()
        if self._looker is None or now - self._made > _LOOKER_SECONDS:
            self.close()
            self._looker, self._made = self._make(), now
        return self._looker

    def _transaction(self, cause: tuple[bytes, bytes]) -> str:
        if cause not in self._transactions and len(self._transactions) >= _STEMS:
            del self._transactions[next(iter(self._transactions))]
        return self._transactions.setdefault(cause, str(uuid.uuid4()))


def same_file(known: Known, seen: Observation) -> bool:
    """Whether what is seen is, without any doubt, the very entry that was known: an inode number is soon given anew."""
    old, new = known.item, seen.item
    if not isinstance(old, FileItem) or not isinstance(new, FileItem) or not _is_one_name(old):
        return False
    born = old.born_ns()
    if inode(known.signature) != inode(seen.signature) or born is None or born != new.born_ns():
        return False
    if stat.S_IFMT(old.link_mode or old.mode) != stat.S_IFMT(new.link_mode or new.mode):
        return False
    return _is_certain(known.signature, born)


def stem(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Return what was renamed: both paths without the end that they have in common. One folder, one cause."""
    before, after = old.split(b"/"), new.split(b"/")
    while before[-1] == after[-1] and len(before) > 1 and len(after) > 1:
        before.pop()
        after.pop()
    return b"/".join(before), b"/".join(after)


def _is_certain(signature: bytes, born: int) -> bool:
    """Whether the look was later than the clock tick of the birth.

    Until then it may be removed, and another be born with the same number and time.
    """
    return not unsettled(signature) or changed_ns(signature) - born >= SETTLE_NS


def _is_one_name(item: FileItem) -> bool:
    return item.links == 1
