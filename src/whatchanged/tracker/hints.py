"""Pending hints: what watchers said of one kind, until its worker looks.

A path settles first: it is looked at a short while after its last event, and at the latest some time after its first.
The number of paths is bounded; beyond it a hint gets wider (the folder, then everything), never lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from whatchanged.watchers.hints import Hint, Reach

__all__ = ["Batch", "PendingHints"]

_SETTLE_SECONDS = 0.2
_LONGEST_SECONDS = 1.0
_CAPACITY = 20_000
_FOLDERS = 1_000
_TREES = 100
"""Folders and trees to look at; beyond it a look at everything costs less."""
_COOLING = 1_000

_Key = tuple[bytes, Reach]


class Batch(msgspec.Struct, kw_only=True):
    """What is to be looked at now."""

    entries: set[bytes] = msgspec.field(default_factory=set)
    folders: set[bytes] = msgspec.field(default_factory=set)
    trees: set[bytes] = msgspec.field(default_factory=set)
    everything: bool = False
    went: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    """Path → where a rename brought what was there: it may have gone on."""
    awaited: set[bytes] = msgspec.field(default_factory=set)
    """Paths whose files were on their way at an earlier look, and may still come to rest somewhere."""

    def __bool__(self) -> bool:
        return self.everything or bool(self.entries or self.folders or self.trees)


class PendingHints:
    """Hints of one kind; safe to be used by several threads."""

    def __init__(
        self,
        notify: Callable[[], None],
        *,
        settle: float = _SETTLE_SECONDS,
        longest: float = _LONGEST_SECONDS,
        capacity: int = _CAPACITY,
    ) -> None:
        """`notify` is called when there may be something due earlier than before."""
        self._notify = notify
        self._settle = settle
        self._longest = longest
        self._capacity = capacity
        self._lock = threading.Lock()
        # The same keys twice: in the order of their first and of their last hint, so that the next one due is in front.
        self._first: dict[_Key, float] = {}
        self._last: dict[_Key, float] = {}
        self._partners: dict[bytes, bytes] = {}
        self._went: dict[bytes, bytes] = {}
        self._cooling: dict[bytes, float] = {}
        self._held: set[bytes] = set()
        self._everything: float | None = None
        self._paused_until = 0.0
        self.widened = 0
        """How often there were too many paths."""

    def __len__(self) -> int:
        """How many paths wait."""
        with self._lock:
            return len(self._first) + len(self._held) + (self._everything is not None)

    def add(self, hints: Iterable[Hint]) -> None:
        """Take hints."""
        with self._lock:
            for hint in hints:
                self._add(hint)
            self._bound()
        self._notify()

    def _add(self, hint: Hint) -> None:
        if hint.reach is Reach.ALL:
            self._all(hint.when)
            return
        if hint.reach is Reach.ENTRY and self._cooling.get(hint.path, 0.0) > hint.when:
            self._held.add(hint.path)
            return
        key = (hint.path, hint.reach)
        self._first.setdefault(key, hint.when)
        self._last.pop(key, None)
        self._last[key] = hint.when
        if hint.renamed_from and (hint.renamed_from, hint.reach) in self._first:  # else nobody would take the pair
            self._partners[hint.path] = hint.renamed_from
            self._partners[hint.renamed_from] = hint.path
            self._went[hint.renamed_from] = hint.path

    def _all(self, when: float) -> None:
        if when <= time.monotonic():  # a look that shall come later makes nothing superfluous that is told now
            self._forget()
        self._everything = when if self._everything is None else min(self._everything, when)

    def _forget(self) -> None:
        self._first.clear()
        self._last.clear()
        self._partners.clear()
        self._went.clear()
        self._held.clear()

    def _bound(self) -> None:
        if len(self._first) + len(self._held) <= self._capacity:
            return
        self.widened += 1
        now = time.monotonic()
        trees = {path for path, reach in self._first if reach is Reach.TREE}
        folders = {path for path, reach in self._first if reach is Reach.FOLDER}
        entries = [path for path, reach in self._first if reach is Reach.ENTRY]
        folders.update(path.rpartition(b"/")[0] or b"/" for path in (*entries, *self._held))
        if len(trees) > _TREES or len(folders) > _FOLDERS:
            self._all(now)
            return
        self._forget()
        for reach, paths in ((Reach.TREE, trees), (Reach.FOLDER, folders)):
            for path in paths:
                self._first[path, reach] = self._last[path, reach] = now

    def due_at(self) -> float | None:
        """Return when something is to be looked at, on the monotonic clock, or None."""
        with self._lock:
            return self._due_at()

    def _due_at(self) -> float | None:
        times = [self._cooling.get(path, 0.0) for path in self._held]
        if self._everything is not None:
            times.append(self._everything + self._settle)
        if self._last:
            times.append(next(iter(self._last.values())) + self._settle)
            times.append(next(iter(self._first.values())) + self._longest)
        return max(min(times), self._paused_until) if times else None

    def take(self) -> Batch:
        """Return what is due, and forget it: a hint that comes from now on asks for another look."""
        now = time.monotonic()
        batch = Batch()
        with self._lock:
            due = self._due_at()
            if due is None or due > now:
                return batch
            if self._everything is not None:
                self._everything = None
                self._forget()
                batch.everything = True
                return batch
            for order, wait in ((self._last, self._settle), (self._first, self._longest)):
                while order and next(iter(order.values())) + wait <= now:
                    self._take(next(iter(order)), batch)
            for path in [path for path in self._held if self._cooling.get(path, 0.0) <= now]:
                self._held.discard(path)
                batch.entries.add(path)
        return batch

    def _take(self, key: _Key, batch: Batch) -> None:
        """Take one key, and the other paths of its renames with it: only together they are one change."""
        path, reach = key
        chosen = {Reach.ENTRY: batch.entries, Reach.FOLDER: batch.folders, Reach.TREE: batch.trees}[reach]
        following: bytes | None = path
        while following is not None and (following, reach) in self._first:
            del self._first[following, reach], self._last[following, reach]
            chosen.add(following)
            if (end := self._went.pop(following, None)) is not None:
                batch.went[following] = end
            following = self._partners.pop(following, None)

    def put_back(self, batch: Batch, pause: float) -> None:
        """Take back what could not be looked at; nothing is due for `pause` seconds."""
        now = time.monotonic()
        with self._lock:
            self._paused_until = now + pause
            if batch.everything:
                self._all(now)
            else:
                for reach, paths in (
                    (Reach.ENTRY, batch.entries),
                    (Reach.FOLDER, batch.folders),
                    (Reach.TREE, batch.trees),
                ):
                    for path in paths:
                        self._add(Hint(path, now, reach))
                self._bound()

    def cool(self, path: bytes, seconds: float) -> None:
        """Let the next look at `path` wait: it is expensive, and its writer may never pause."""
        now = time.monotonic()
        with self._lock:
            if len(self._cooling) >= _COOLING:
                self._cooling = {p: until for p, until in self._cooling.items() if until > now and p in self._held}
            self._cooling[path] = now + seconds

    def pause(self, seconds: float) -> None:
        """Let nothing be due for some seconds."""
        with self._lock:
            self._paused_until = time.monotonic() + seconds
