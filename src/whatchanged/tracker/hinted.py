"""Looking again at what watchers pointed at: by the same means as a poll, and recorded the same way."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from whatchanged.collectors import Failure, RunStatus
from whatchanged.collectors.files import (
    Budget,
    FileCollector,
    FolderLook,
    FolderScope,
    Known,
    Looked,
    Missing,
    PathLooker,
    Unchanged,
)
from whatchanged.collectors.files.signature import changed_ns, content_inode, inode
from whatchanged.records.items import Kind
from whatchanged.rules import Policy
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.contents import LargeContents, limit_of
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.observer import Observer, below_any, container
from whatchanged.tracker.plan import Plan, configuration_ids
from whatchanged.tracker.recorder import Found, Recorder, Removal, Renaming
from whatchanged.tracker.renames import Renames, stem
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.touches import Attribution, Touch, together

__all__ = ["HintedLook"]

_AT_ONCE = 2000
"""Findings that are kept until it is asked who made them."""
_OTHER_NAMES = 10_000
"""Other names that are looked at in one batch; more of them are left to the poll."""


class HintedLook:
    """One look at the paths, folders and trees of a batch."""

    def __init__(
        self,
        state: State,
        settings: TrackerSettings,
        policy: Policy,
        plan: Plan,
        recorder: Recorder,
        stop: threading.Event,
        attribution: Attribution,
        budget: Budget,
        large: LargeContents | None = None,
    ) -> None:
        self._large = large
        self._touches = _Touches(attribution)
        self._attribution = attribution
        self._found: list[Found] = []
        self._gone: list[bytes] = []
        self._absent: set[bytes] = set()
        """Where nothing is of what was pointed at."""
        self._renamed: set[bytes] = set()
        """Paths before a rename that was found."""
        self._quiet: list[bytes] = []
        """Paths of which there is nothing to tell."""
        self._inodes: dict[bytes, bytes] = {}
        """Inode number of what changed → the path by which that was seen."""
        self._state = state
        self._settings = settings
        self._root = os.fsencode(settings.root)
        self._scope = BoundedScope(plan.file_scope(), policy)
        self._excluded = policy.excluded
        self._recorder = recorder
        self._budget = budget
        self._stop = stop
        self._observer = Observer(state, plan, self._scope)
        self._renames = Renames(state, lambda: self._looker(content_limit=0))
        self._signatures: dict[bytes, dict[bytes, bytes]] = {}
        self.paths: set[bytes] = set()
        """Everything that was looked at, changed or not."""
        self.sizes: dict[bytes, int] = {}
        """Path → bytes that were read of it."""
        self.looked = 0
        self.touched = False
        self.packages_at_work = False
        """Whether a package manager was seen at work."""
        self.astray: set[bytes] = set()
        """Where something was that is on its way: neither is it gone, nor was it found elsewhere."""

    def run(self, batch: Batch) -> None:
        """Look. Raises StorageFull, OutboxFull."""
        self._touches.looked_ns = time.monotonic_ns()
        missing: set[bytes] = set()
        with self._renames:
            trees = self._still_there(_outermost(batch.trees), missing) if batch.trees else []
            for folder, deep in [(f, True) for f in trees] + [(f, False) for f in batch.folders]:
                missing.update(self._walk(folder, deep=deep))
            self._look_at(batch.entries | batch.trees | missing)
            self._look_at(self._other_names())
        self._remove(batch)
        self._attribute()
        for path in self._quiet:  # nothing to tell of him who came
            self._attribution.take(path, self._touches.looked_ns)

    def _still_there(self, trees: Sequence[bytes], missing: set[bytes]) -> list[bytes]:
        """Return what a walk may find something in; of what is gone add what was known below to `missing`.

        A watcher that cannot tell what went away (Windows) calls every file a tree.
        """
        found = []
        with self._looker() as looker:
            for folder in trees:
                obstacle = looker.trace(folder).obstacle if folder != b"/" else None
                if obstacle is None or obstacle.code != "Missing":
                    found.append(folder)
                else:
                    missing.update(self._known_below(folder, frozenset()))
        return found

    def _known_below(self, folder: bytes, visited: Collection[bytes]) -> Iterator[bytes]:
        """Yield what is known in a folder and below, but for the containers that were `visited`."""
        for place in self._state.containers(container(folder)):
            if place not in visited:
                yield from (place + name for name in self._state.names(place))

    def _other_names(self) -> set[bytes]:
        """Return the other names of what changed: hard links, and links that lead to it. A watcher names but one."""
        found: set[bytes] = set()
        for number, path in self._inodes.items():
            for other in self._state.sharing([number], _OTHER_NAMES - len(found)):
                if other not in self.paths:
                    found.add(other)
                    self._touches.through(other, path)
        self._inodes.clear()
        return found

    def _remove(self, batch: Batch) -> None:
        """Record what is gone, behind everything that was seen: what was renamed is not gone."""
        for path in self._gone:
            if path in self._renamed:
                continue
            if (top := self._on_its_way(path, batch)) is not None:
                self.astray.add(top)
                continue
            self._find(Removal(Kind.FILES, path, configuration_id=configuration_ids(self._scope.match(path))))

    def _on_its_way(self, path: bytes, batch: Batch) -> bytes | None:
        """Return what was renamed, `path` or a folder above it, if it was not found where that led."""
        while path and path not in batch.went and path not in batch.awaited:
            path = path.rpartition(b"/")[0]
        if not path or path in batch.awaited:
            return path or None
        end, passed = batch.went[path], {path}
        while end in batch.went and end not in passed:
            passed.add(end)
            end = batch.went[end]
        return path if end in self._absent else None

    def _find(self, what: Found) -> None:
        self._found.append(what)
        if len(self._found) >= _AT_ONCE:
            self._attribute()

    def _attribute(self) -> None:
        """Record what was found, with who did it.

        Asked for after the looks, and after all that happened until then is known: somebody else may have come between
        an event and the look that it led to.
        """
        inquiry = self._attribution.inquiry() if self._found else None
        for what in self._found:
            if isinstance(what, Removal):
                touch, changed = self._touches.of(what.key), None
            elif isinstance(what, Renaming):
                touch, changed = self._touches.of_rename(what), changed_ns(what.seen.signature)
            else:
                touch, changed = self._touches.of(what.item.key()), changed_ns(what.signature)
            actor = inquiry.columns(touch, changed) if inquiry is not None else {}
            if isinstance(what, Renaming):
                seen = msgspec.structs.replace(what.seen, actor=actor)
                self._recorder.add(msgspec.structs.replace(what, seen=seen))
            else:
                self._recorder.add(msgspec.structs.replace(what, actor=actor))
        self._found.clear()

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Name → signature of what is known in a folder: the collector's `Known`."""
        place = container(folder)
        return self._signatures[place] if place in self._signatures else self._state.folder(place)

    def _walk(self, folder: bytes, *, deep: bool) -> set[bytes]:
        """Walk a folder; return what is known there and was not seen."""
        collector = FileCollector(
            _Part(self._scope, folder, deep=deep),
            root=self._root,
            known=self,
            threads=self._settings.hash_threads,
            budget=self._budget,
            stop=self._stop,
            excluded=self._excluded,
            content_limit=limit_of(self._large),
            aside=self._large,
        )
        visited: set[bytes] = set()
        missing: set[bytes] = set()
        for seen in collector.run():
            if seen.complete and not seen.denied:
                visited.add(container(seen.folder))
            missing.update(self._take(seen))
        outcome = collector.outcome
        if outcome.status not in (RunStatus.OK, RunStatus.PARTIAL):
            return set()
        if deep or not visited:
            missing.update(self._known_below(folder, visited))
        closed = outcome.closed
        return {path for path in missing if not below_any(path, closed)}

    def _take(self, seen: FolderLook) -> Iterable[bytes]:
        prefix = container(seen.folder)
        # Of these names alone: a large folder comes in many parts.
        known = self._state.signatures(looked.item.path for looked in seen.looked).get(prefix, {})
        for looked in seen.looked:
            self._observe(looked, known=looked.item.path[len(prefix) :] in known)
        self.paths.update(prefix + name for name in seen.unchanged)
        return [prefix + name for name in seen.vanished]

    def _look_at(self, paths: set[bytes]) -> None:
        self._signatures = self._state.signatures(paths)
        with self._looker(known=self) as looker:
            todo = sorted(paths, reverse=True)
            while todo:
                path = todo.pop()
                if self._stop.is_set():
                    return
                self.paths.add(path)
                known = self._signature(path)
                if known is not None and self._large is not None and self._large.ready(path):
                    self._forget_signature(path)
                found = looker.look(path)
                if isinstance(found, Looked):
                    self._observe(found, known=known is not None)
                elif isinstance(found, Unchanged) or (known is None and not isinstance(found, Failure)):
                    self._quiet.append(path)
                elif known is not None and not isinstance(found, Failure):
                    # Renamed, it is looked at when its content was read; if it is gone the next poll finds that.
                    if self._large is None or not self._large.holds(inode(known), path):
                        self._gone.append(path)
                    self._note_inode(known, path)
                if isinstance(found, Missing):
                    self._absent.add(path)
                    # Who told of it may have had it from somebody who calls it in another letter case.
                    if (spelled := looker.spelled(path)) not in self.paths:
                        todo.append(spelled)

    def _looker(self, *, known: Known | None = None, content_limit: int | None = None) -> PathLooker:
        return PathLooker(
            self._scope,
            self._root,
            known=known,
            budget=self._budget,
            excluded=self._excluded,
            content_limit=limit_of(self._large) if content_limit is None else content_limit,
            aside=self._large,
            stop=self._stop,
        )

    def _signature(self, path: bytes) -> bytes | None:
        cut = path.rfind(b"/") + 1
        return self._signatures.get(path[:cut], {}).get(path[cut:])

    def _forget_signature(self, path: bytes) -> None:
        """Let `path` be looked at although it may seem unchanged."""
        cut = path.rfind(b"/") + 1
        del self._signatures[path[:cut]][path[cut:]]

    def _observe(self, looked: Looked, *, known: bool) -> None:
        self.looked += 1
        self.paths.add(looked.item.path)
        if looked.item.sha256:
            self.sizes[looked.item.path] = looked.item.size
        seen = self._observer.observe(looked)
        if known or looked.item.links > 1:
            self._note_inode(looked.signature, looked.item.path)
        renaming = None if known else self._renames.of(seen)
        if renaming is not None:
            self._renamed.add(renaming.previous)
        self._find(renaming or seen)

    def _note_inode(self, signature: bytes, path: bytes) -> None:
        number = content_inode(signature)
        if len(self._inodes) < _OTHER_NAMES and any(number):  # it leads somewhere
            self._inodes[number] = path


class _Touches:
    """Who touched what was found: also by another name, and by renaming a folder above it."""

    def __init__(self, attribution: Attribution) -> None:
        self._attribution = attribution
        self.looked_ns = 0
        """When the look began (monotonic clock): what was over then has been found."""
        self._through: dict[bytes, bytes] = {}
        self._kept: dict[bytes, Touch | None] = {}
        """Touches of paths that stand for others too."""

    def through(self, path: bytes, named: bytes) -> None:
        """Note that `path` is looked at because of what happened at `named`, another name of it."""
        self._through[path] = named
        self._kept[named] = None

    def of(self, path: bytes) -> Touch | None:
        """Return who touched `path`, None if nobody is known."""
        touch = self._attribution.take(path, self.looked_ns)
        if path in self._kept:
            touch = self._kept[path] = _joined(self._kept[path], touch)
        if path not in self._through:
            return touch
        named = self._kept[self._through[path]]
        return _joined(named, touch) if named is not None else None

    def of_rename(self, what: Renaming) -> Touch | None:
        """Return who renamed, or wrote into what was renamed."""
        path = what.seen.item.key()
        _, top = stem(what.previous, path)
        self._kept.setdefault(top, None)
        renamed = self.of(top)
        others = [self._attribution.take(other, self.looked_ns) for other in {path, what.previous} - {top}]
        return together([renamed, *(touch for touch in others if touch is not None)]) if renamed is not None else None


def _joined(one: Touch | None, other: Touch | None) -> Touch | None:
    return together([touch for touch in (one, other) if touch is not None])


class _Part:
    """A scope that begins at one folder, and ends there unless it is `deep`."""

    def __init__(self, scope: BoundedScope, folder: bytes, *, deep: bool) -> None:
        self._scope = scope
        self._folder = folder
        self._deep = deep

    def roots(self) -> list[bytes]:
        return [self._folder] if self._scope.descend(self._folder) else []

    def for_folder(self, folder: bytes) -> FolderScope:
        inner = self._scope.for_folder(folder)
        return inner if self._deep else _Flat(inner)


class _Flat:
    """A folder whose subfolders are not entered."""

    def __init__(self, inner: FolderScope) -> None:
        self._inner = inner
        self.take_all = inner.take_all
        self.links = inner.links
        self.link_policy = inner.link_policy
        self.matching = inner.matching

    def descend(self, name: bytes) -> object:
        return None


def _outermost(folders: Iterable[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for folder in sorted(folders, key=lambda path: path.split(b"/")):
        if not found or not below_any(folder, frozenset(found[-1:])):
            found.append(folder)
    return found
