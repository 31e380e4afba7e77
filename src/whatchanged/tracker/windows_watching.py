r"""Watching on Windows: a thread that keeps the watchers, each of one kind, and hands what they say to its worker.

Of files a hint says which. Registry, software and services are looked at whole, so that of theirs only the kind counts.
What programs and services are is written in the registry: their keys are watched beside those of rules. Whatever goes
wrong here becomes a look at everything and a health record; the poll stays as the net below.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from whatchanged.collectors.files import PathLooker
from whatchanged.collectors.registry.source import CURRENT_CONTROL_SET
from whatchanged.collectors.software.windows_registry import KEYS as SOFTWARE_KEYS
from whatchanged.errors import WatchError
from whatchanged.records.items import Kind
from whatchanged.rules import FileScope, Policy, RegistryRule
from whatchanged.rules.registry_scope import RegistryScope
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.watch_news import WatchNews, keep_watching
from whatchanged.watchers.hints import Coverage, Hint, Reach
from whatchanged.watchers.windows import FolderWatcher, Port, RegistryWatcher, ServiceWatcher, can_watch_trees

__all__ = ["WindowsWatching"]

log = logging.getLogger(__name__)

_BATCH_SECONDS = 0.02
"""Pause before notifications are read: those of one change come together."""
_LONGEST_WAIT = 60.0
_PLACES: Mapping[Kind, Sequence[tuple[str, bool]]] = {
    Kind.SOFTWARE: tuple((key, True) for key in SOFTWARE_KEYS),
    # Not with all below: drivers keep counters there that never rest.
    Kind.WINDOWS_SERVICES: ((rf"{CURRENT_CONTROL_SET}\Services\*", False),),
}
"""Kind → keys, and whether all below counts, in which it is written what there is of it."""

Deliver = Callable[[Kind, Sequence[Hint]], None]


class _Watcher(Protocol):
    def read(self) -> Sequence[Hint]: ...

    def coverage(self) -> Coverage: ...


class _Watched(NamedTuple):
    kind: Kind
    watcher: _Watcher


class WindowsWatching:
    """Watches what the plan in force asks for."""

    def __init__(
        self, settings: TrackerSettings, policy: Policy, state: State, stop: threading.Event, deliver: Deliver
    ) -> None:
        """`deliver` hands hints to the worker of a kind."""
        self._stop = stop
        self._deliver = deliver
        self._policy = policy
        self._news = WatchNews(state, policy, enabled=settings.watch and policy.watch)
        self._plan = Plan()
        self._adopted = threading.Event()
        self._lock = threading.Lock()
        self._port: Port | None = None

    def adopt(self, plan: Plan) -> None:
        """Watch for another plan from now on."""
        self._news.begin_anew()
        self._plan = plan
        self._adopted.set()
        self.wake()

    def wake(self) -> None:
        """Let the thread notice that something is new."""
        with self._lock:
            if self._port is not None:
                self._port.post()

    @property
    def enabled(self) -> bool:
        """Whether anything is watched at all."""
        return self._news.enabled

    @property
    def coverage(self) -> Coverage | None:
        """What is watched and what is polled; None while watching has yet to begin."""
        return self._news.coverage

    def status(self) -> Mapping[str, Any]:
        """Return what is watched and what is polled, for `status`."""
        return self._news.status()

    def run(self) -> None:
        """Watch until stopped."""
        if not self._news.enabled:
            self._news.off()
            self._stop.wait()
            return
        keep_watching(self._session, self._died, self._stop)

    def _died(self, error: Exception) -> None:
        self._news.died(error)
        self._look_at_everything(self._plan.kinds())

    def _session(self) -> None:
        """One life of the watchers. Raises WatchError."""
        with contextlib.closing(Port()) as port, self._awake(port), _Watchers(port, self._policy) as watchers:
            self._adopted.clear()
            self._subscribe(watchers)
            while not self._stop.is_set():
                port.wait(min(_LONGEST_WAIT, watchers.longest_wait))
                if self._adopted.is_set():
                    self._adopted.clear()
                    self._subscribe(watchers)
                self._stop.wait(_BATCH_SECONDS)
                for kind, watcher in watchers.all():
                    self._hand_out(kind, watcher.read())
                self._cover(watchers)

    @contextlib.contextmanager
    def _awake(self, port: Port) -> Any:
        """Let other threads wake the wait at `port`."""
        with self._lock:
            self._port = port
        try:
            yield
        finally:
            with self._lock:
                self._port = None

    def _subscribe(self, watchers: _Watchers) -> None:
        """Watch for the plan in force. What happened before is found by a look at everything."""
        plan = self._plan
        watchers.subscribe(plan)
        self._cover(watchers, anew=True)
        self._look_at_everything(plan.kinds())

    def _cover(self, watchers: _Watchers, *, anew: bool = False) -> None:
        """Tell what is watched, where that changed: folders come and go."""
        known, coverage = self._news.coverage, watchers.coverage()
        if anew or (known is not None and _what(known) != _what(coverage)):
            self._news.cover(coverage)
            if self._plan.kinds():
                self._news.tell_coverage()

    def _hand_out(self, kind: Kind, hints: Sequence[Hint]) -> None:
        if hints:
            self._news.count(len(hints), sum(hint.reach is Reach.ALL for hint in hints))
            self._deliver(kind, hints)

    def _look_at_everything(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            self._deliver(kind, [Hint(b"/", time.monotonic(), Reach.ALL)])


class _Watchers:
    """The watchers of one session, all in the thread that waits at the port."""

    def __init__(self, port: Port, policy: Policy) -> None:
        self._port = port
        self._policy = policy
        self._stack = contextlib.ExitStack()
        self._folders: FolderWatcher | None = None
        self._keys: dict[Kind, RegistryWatcher] = {}
        self._services: ServiceWatcher | None = None

    def __enter__(self) -> _Watchers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def subscribe(self, plan: Plan) -> None:
        """Watch for a plan from now on. Raises WatchError."""
        self._subscribe_to_files(plan)
        for kind in (Kind.REGISTRY, *_PLACES):
            rules = list(plan.registry) if kind is Kind.REGISTRY else _rules(kind)
            watcher = self._keys.get(kind)
            if watcher is None and kind in plan.kinds():
                watcher = self._keys[kind] = RegistryWatcher(self._port)
                self._stack.callback(watcher.close)
            if watcher is not None:
                watcher.subscribe(RegistryScope(rules if kind in plan.kinds() else ()))
        if self._services is None and Kind.WINDOWS_SERVICES in plan.kinds():
            self._services = ServiceWatcher()
            self._stack.callback(self._services.close)
            self._services.subscribe()

    def _subscribe_to_files(self, plan: Plan) -> None:
        if self._folders is None and Kind.FILES in plan.kinds():
            self._folders = FolderWatcher(self._port, trees=_trees(), spelled=_spelled)
            self._stack.callback(self._folders.close)
        if self._folders is not None:
            scope = BoundedScope(plan.file_scope(), self._policy)
            self._folders.subscribe(scope, scope.roots())

    @property
    def longest_wait(self) -> float:
        """Seconds after which all want to be read, though nothing was told."""
        return _LONGEST_WAIT if self._services is None else self._services.longest_wait

    def all(self) -> list[_Watched]:
        """Return every watcher with the kind that it is for."""
        found: list[_Watched] = [_Watched(kind, watcher) for kind, watcher in self._keys.items()]
        if self._services is not None:
            found.append(_Watched(Kind.WINDOWS_SERVICES, self._services))
        if self._folders is not None:
            found.append(_Watched(Kind.FILES, self._folders))
        return found

    def coverage(self) -> Coverage:
        """Return what all of them watch."""
        each = [watcher.coverage() for _, watcher in self.all()]
        return Coverage(
            tuple(area for one in each for area in one.areas),
            sum(one.watches for one in each),
            tuple(limit for one in each for limit in one.limits),
        )


def _rules(kind: Kind) -> list[RegistryRule]:
    return [RegistryRule(name=key, key_name=key, recurse=recurse) for key, recurse in _PLACES[kind]]


def _what(coverage: Coverage) -> object:
    """Return what is watched how, whenever that began."""
    return [(area.path, area.method, area.reason) for area in coverage.areas], coverage.limits


@functools.cache
def _trees() -> bool:
    """Whether one watch tells of all below a folder; where that cannot be tried, each folder has its own."""
    try:
        return can_watch_trees()
    except WatchError as error:
        log.warning("%s", error)
        return False


def _spelled(paths: Sequence[bytes]) -> list[bytes | None]:
    """Return paths as their folders spell them; None for one that lies on another machine."""
    with PathLooker(FileScope(())) as looker:
        return [None if _is_elsewhere(looker, path) else looker.spelled(path) for path in paths]


def _is_elsewhere(looker: PathLooker, path: bytes) -> bool:
    obstacle = looker.trace(path).obstacle
    return obstacle is not None and obstacle.code in ("NetworkFileSystem", "LeadsOut")
