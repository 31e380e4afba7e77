"""Looking again at what watchers pointed at: by the same means as a poll, and recorded the same way."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from whatchanged.collectors import Failure, RunStatus
from whatchanged.collectors.files import FileCollector, FolderLook, FolderScope, Looked, PathLooker, Unchanged
from whatchanged.collectors.files.signature import changed_ns
from whatchanged.records.items import Kind
from whatchanged.rules import Policy
from whatchanged.tracker.actors import Inquiry, Touch
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.file_run import budget_of, closed_folders
from whatchanged.tracker.hints import Batch
from whatchanged.tracker.observer import Observer, below_any, configuration_ids, container
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.recorder import Observation, Recorder, Removal
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["Attribution", "HintedLook"]


class Attribution(Protocol):
    """Who touched paths of late."""

    def inquiry(self) -> Inquiry | None:
        """Wait until all that happened so far is known; return a way to ask, None if nobody can say."""

    def take(self, path: bytes) -> Touch | None:
        """Return the touch of `path`, and forget it."""


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
    ) -> None:
        self._attribution = attribution
        self._found: list[Observation | Removal] = []
        self._state = state
        self._settings = settings
        self._root = os.fsencode(settings.root)
        self._scope = BoundedScope(plan.file_scope(), policy)
        self._excluded = policy.excluded
        self._recorder = recorder
        self._network = policy.network_file_systems
        self._budget = budget_of(policy, stop)
        self._stop = stop
        self._observer = Observer(state, plan, self._scope)
        self._signatures: dict[bytes, dict[bytes, bytes]] = {}
        self.paths: set[bytes] = set()
        """Everything that was looked at, changed or not."""
        self.sizes: dict[bytes, int] = {}
        """Path → bytes that were read of it."""
        self.looked = 0
        self.touched = False

    def run(self, batch: Batch) -> None:
        """Look. Raises StorageFull, OutboxFull."""
        known: set[bytes] = set()
        for folder, deep in [(f, True) for f in _outermost(batch.trees)] + [(f, False) for f in batch.folders]:
            known.update(self._walk(folder, deep=deep))
        self._look_at(batch.entries | batch.trees | known)
        self._attribute()

    def _attribute(self) -> None:
        """Record what was found at single paths, with who did it.

        Asked for after the looks, and after all that happened until then is known: somebody else may have come between
        an event and the look that it led to.
        """
        inquiry = self._attribution.inquiry() if self._found else None
        for what in self._found:
            if isinstance(what, Removal):
                touch, changed = self._attribution.take(what.key), None
            else:
                touch, changed = self._attribution.take(what.item.key()), changed_ns(what.signature)
            actor = inquiry.columns(touch, changed) if inquiry is not None else {}
            self._recorder.add(msgspec.structs.replace(what, actor=actor))

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
            network_filesystems=self._network,
            excluded=self._excluded,
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
            for place in self._state.containers(container(folder)):
                if place not in visited:
                    missing.update(place + name for name in self._state.names(place))
        closed = frozenset(closed_folders(outcome))
        return {path for path in missing if not below_any(path, closed)}

    def _take(self, seen: FolderLook) -> Iterable[bytes]:
        prefix = container(seen.folder)
        for looked in seen.looked:
            self._recorder.add(self._observe(looked))
        self.paths.update(prefix + name for name in seen.unchanged)
        return [prefix + name for name in seen.vanished]

    def _look_at(self, paths: set[bytes]) -> None:
        self._signatures = self._state.signatures(paths)
        with PathLooker(
            self._scope,
            self._root,
            known=self,
            budget=self._budget,
            network_filesystems=self._network,
            excluded=self._excluded,
            stop=self._stop,
        ) as looker:
            for path in sorted(paths):
                if self._stop.is_set():
                    return
                self.paths.add(path)
                found = looker.look(path)
                if isinstance(found, Looked):
                    self._found.append(self._observe(found))
                elif not isinstance(found, Failure | Unchanged) and self._is_known(path):
                    ids = configuration_ids(self._scope.match(path))
                    self._found.append(Removal(Kind.FILES, path, configuration_id=ids))
                elif isinstance(found, Unchanged):
                    self._attribution.take(path)

    def _is_known(self, path: bytes) -> bool:
        cut = path.rfind(b"/") + 1
        return path[cut:] in self._signatures.get(path[:cut], {})

    def _observe(self, looked: Looked) -> Observation:
        self.looked += 1
        self.paths.add(looked.item.path)
        if looked.item.sha256:
            self.sizes[looked.item.path] = looked.item.size
        return self._observer.observe(looked)


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
