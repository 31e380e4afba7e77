"""Watching: the thread that keeps the watchers, and hands what they say to the kinds concerned.

It owns no item and writes no state but health. Whatever goes wrong here becomes a look at everything and a health
record: a watcher that died, events that were lost, a mount that came or went. Then it begins again, with a growing
pause. Between two polls the machine is watched as well as it can be; the poll stays as the net below.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from whatchanged.collectors.files.mounts import Barrier, Mount, barriers, parse_mountinfo
from whatchanged.collectors.files.system import mount_id
from whatchanged.errors import WatchError
from whatchanged.records.health import HealthReason, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns
from whatchanged.rules import FileScope, Policy
from whatchanged.tracker import audit_news
from whatchanged.tracker.actors import Actors
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.places import place_scope
from whatchanged.tracker.plan import Plan
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State
from whatchanged.tracker.touches import Inquiry, Touch
from whatchanged.tracker.visits import Visited
from whatchanged.tracker.watch_news import WatchNews, keep_watching
from whatchanged.watchers.fanotify import FanotifyWatcher
from whatchanged.watchers.hints import Area, Coverage, Executed, Hint, Reach, Scope, View, Watcher, views
from whatchanged.watchers.inotify import InotifyWatcher
from whatchanged.watchers.mounts import MountTable
from whatchanged.watchers.processes.audit import Audit
from whatchanged.watchers.processes.observer import ProcessObserver

__all__ = ["Watching"]

log = logging.getLogger(__name__)

_BATCH_SECONDS = 0.02
"""Pause before a queue is read: events of one file melt into one, which costs its writer and us less."""
_MOUNT_SECONDS = 0.5
_LONGEST_WAIT = 60.0
_ASK_SECONDS = 5.0
_CATCH_UP_SECONDS = 1.0

Deliver = Callable[[Kind, Sequence[Hint]], None]


class Watching:
    """Watches what the plan in force asks for."""

    def __init__(
        self, settings: TrackerSettings, policy: Policy, state: State, stop: threading.Event, deliver: Deliver
    ) -> None:
        """`deliver` hands hints to the worker of a kind."""
        self._root = os.path.realpath(os.fsencode(settings.root))
        self._policy = policy
        self._stop = stop
        self.deliver = deliver
        self._news = WatchNews(state, policy, enabled=settings.watch and policy.watch)
        self._plan = Plan()
        self._adopted = threading.Event()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._read_condition = threading.Condition()
        self._read_until = time.monotonic()
        self._observer = ProcessObserver(audit=Audit(self.wake) if policy.audit else None)
        self._audit_news = audit_news.AuditNews(self._news.report)
        self._actors = Actors(
            self._observer, partial(self.caught_up, _CATCH_UP_SECONDS), command_lines=policy.command_lines
        )

    # Who

    def inquiry(self) -> Inquiry | None:
        """Wait until all that happened so far is known; return a way to ask who did it, None if nobody can say."""
        return self._actors.inquiry() if self.caught_up(_CATCH_UP_SECONDS) else None

    def take(self, path: bytes, looked_ns: int) -> Touch | None:
        """Return who touched `path`, and forget what was over when the look at it began, at `looked_ns`."""
        return self._actors.take(path, looked_ns)

    def visited(self, kind: Kind) -> Visited:
        """Return who touched the files of a kind since a look at it was settled."""
        return self._actors.visited(kind)

    def settle(self, kind: Kind, before_ns: int, held: frozenset[bytes] = frozenset()) -> None:
        """Forget who came to a kind before a look that began at `before_ns`, but for `held` subjects."""
        self._actors.settle(kind, before_ns, held)

    # What

    def adopt(self, plan: Plan) -> None:
        """Watch for another plan from now on."""
        self._news.begin_anew()
        self._plan = plan
        self._adopted.set()
        self.wake()

    def wake(self) -> None:
        """Let the thread notice that something is new."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def run(self) -> None:
        """Watch until stopped."""
        if not self.enabled:
            self._news.off()
            self._stop.wait()
            return
        with self._observer:
            self._report_who()
            keep_watching(self._watch, self._died, self._stop)

    def _watch(self) -> None:
        with _Session(self) as session:
            session.run()

    def caught_up(self, timeout: float) -> bool:
        """Wait until everything that happened before this call was read and delivered; whether that came about."""
        now = time.monotonic()
        with self._read_condition:
            if self._read_until < now:
                self.wake()
            return self._read_condition.wait_for(lambda: self._read_until >= now, timeout)

    @property
    def enabled(self) -> bool:
        """Whether anything is watched at all."""
        return self._news.enabled

    @property
    def coverage(self) -> Coverage | None:
        """What is watched and what is polled; None while watching has yet to begin."""
        return self._news.coverage

    def status(self) -> Mapping[str, Any]:
        """Return what is watched and what is polled, and whether it is known who changes things, for `status`."""
        who = self._observer.health()
        return {
            **self._news.status(),
            "who": {name: said for name, said in msgspec.structs.asdict(who).items() if name != "audit"},
            "audit": audit_news.told(who.audit),
        }

    # For the session

    def parts(self) -> dict[Kind, Scope]:
        """Return what concerns each kind that is looked at."""
        plan, found = self._plan, dict[Kind, Scope]()
        for kind in plan.kinds():
            scope = BoundedScope(FileScope(plan.file_rules), self._policy) if kind is Kind.FILES else place_scope(kind)
            if scope is not None:
                found[kind] = scope
        return found

    def hand_out(self, parts: Mapping[Kind, Scope], events: Sequence[Hint | Executed]) -> None:
        """Hand hints to the kinds that they concern."""
        if not events:
            return
        with self._read_condition:
            since = self._read_until
        concerned = [
            (e, () if isinstance(e, Executed) else [kind for kind, scope in parts.items() if _concerns(scope, e)])
            for e in events
        ]
        self._actors.note(concerned, since)
        hints = [event for event in events if not isinstance(event, Executed)]
        self._news.count(len(hints), sum(hint.reach is Reach.ALL for hint in hints))
        for kind in parts:
            wanted = [hint for hint, kinds in concerned if not isinstance(hint, Executed) and kind in kinds]
            if wanted:
                self.deliver(kind, wanted)

    def ask_who(self) -> bool:
        """Ask who touched package databases and unit files some time ago; whether to do so again soon."""
        self._audit_news.tell(self._observer.health().audit)
        return self._actors.tell()

    def look_at_everything(self, kinds: Iterable[Kind], *, blind: bool = False) -> None:
        """Let kinds be looked at whole: what happened to them until now may not have been told.

        `blind`: nor will be what happens until this is called again without.
        """
        self._actors.lose(blind=blind)
        everything = [Hint(b"/", time.monotonic(), Reach.ALL)]
        for kind in kinds:
            self.deliver(kind, everything)

    def read_until(self, moment: float) -> None:
        """Note that everything before `moment` was read and handed out."""
        with self._read_condition:
            self._read_until = moment
            self._read_condition.notify_all()

    def covered(self, coverage: Coverage) -> None:
        """Note what is watched now, and say so."""
        self._news.cover(coverage)
        if not self._plan.kinds():
            return
        unseen = [Hint(area.path, 0.0, Reach.TREE) for area in coverage.polled]
        self._actors.watched([k for k, s in self.parts().items() if not any(_concerns(s, hint) for hint in unseen)])
        self._news.tell_coverage()

    # Health

    def _died(self, error: Exception) -> None:
        self._news.died(error)
        self.look_at_everything(self.parts(), blind=True)

    def _report_who(self) -> None:
        health = self._observer.health()
        missing = "; ".join(f"{what}: {why}" for what, why in (
            ("process events", health.events), ("exit records", health.records), ("priority", health.real_time),
        ) if why and why != "not started")  # fmt: skip
        detail = f"who makes changes is not always known: {missing}" if missing else "who makes changes is known"
        status = HealthStatus.WARNING if health.events else HealthStatus.OK
        self._news.report(status, HealthReason.WATCHING, detail, "who")

    # What the session reads of us

    @property
    def root(self) -> bytes:
        """The root that is looked at, without links."""
        return self._root

    @property
    def stop(self) -> threading.Event:
        """Set when the tracker ends."""
        return self._stop

    @property
    def wake_fd(self) -> int:
        """Readable when something is new."""
        return self._wake_read

    def take_plan(self) -> bool:
        """Whether there is a plan that was not taken yet."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        new = self._adopted.is_set()
        self._adopted.clear()
        return new


def _concerns(scope: Scope, hint: Hint) -> bool:
    if hint.reach is Reach.ALL:
        return True
    if hint.reach is not Reach.ENTRY and scope.descend(hint.path):
        return True
    return bool(scope.match(hint.path) or scope.match(hint.path, folder=True))


class _Union:
    """The scopes of all kinds together."""

    def __init__(self, parts: Iterable[Scope]) -> None:
        self._parts = tuple(parts)

    def descend(self, folder: bytes) -> bool:
        return any(part.descend(folder) for part in self._parts)

    def match(self, path: bytes, *, folder: bool | None = None) -> Sequence[object]:
        for part in self._parts:
            if found := part.match(path, folder=folder):
                return found
        return ()


class _Session:
    """One life of the watchers."""

    def __init__(self, owner: Watching) -> None:
        self._owner = owner
        self._stack = contextlib.ExitStack()
        self._parts: dict[Kind, Scope] = {}
        self._union = _Union(())
        self._views: list[View] = []
        self._seen: set[tuple[bytes, bytes, bytes, int | None]] = set()
        self._remote: frozenset[bytes] = frozenset()
        """Network file systems that rules ask for."""

    def __enter__(self) -> _Session:
        try:
            self._mounts = MountTable()
            self._stack.callback(self._mounts.close)
            self._watchers = list(self._open())
            self._poll = select.poll()
            self._poll.register(self._owner.wake_fd, select.POLLIN)
            self._poll.register(self._mounts.fileno(), MountTable.EVENTS)
            for watcher in self._watchers:
                self._poll.register(watcher.fileno(), select.POLLIN)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> Iterable[Watcher]:
        """Open every watcher that is allowed here, the better first."""
        refusals: list[WatchError] = []
        opened = 0
        makers: tuple[Callable[..., Watcher], ...] = (partial(FanotifyWatcher, executions=True), InotifyWatcher)
        for make in makers:
            try:
                watcher = make(stop=self._owner.stop)
            except WatchError as error:
                log.info("%s", error)
                refusals.append(error)
            else:
                opened += 1
                self._stack.callback(watcher.close)
                yield watcher
        if not opened:
            raise refusals[-1]

    def run(self) -> None:
        """Watch until stopped. Raises WatchError."""
        self._owner.take_plan()
        self._subscribe("watching began")
        while not self._owner.stop.is_set():
            wait = _ASK_SECONDS if self._owner.ask_who() else _LONGEST_WAIT
            happened = {fd for fd, _ in self._poll.poll(wait * 1000)}
            if self._owner.stop.is_set():
                return
            if self._owner.take_plan():
                self._subscribe("another plan")
            if self._mounts.fileno() in happened:
                self._remount()
            self._owner.stop.wait(_BATCH_SECONDS)
            if any(fd == self._mounts.fileno() for fd, _ in self._poll.poll(0)):
                self._remount()  # before a new folder is looked into that may be the mount point
            self._read()

    def _read(self) -> None:
        now = time.monotonic()
        for watcher in self._watchers:
            self._owner.hand_out(self._parts, watcher.read())
        if all(watcher.drained for watcher in self._watchers):
            self._owner.read_until(now)

    def _subscribe(self, why: str) -> None:
        """Watch anew. What happened before it is found by a look at everything."""
        self._parts = self._owner.parts()
        self._union = _Union(self._parts.values())
        self._views, barred = self._see()
        self._divide(barred)
        log.info("%s: %d file systems and folders are watched", why, self._owner.status()["watches"])
        self._owner.look_at_everything(self._parts)

    def _see(self) -> tuple[list[View], list[Area]]:
        """Return the views that can be watched, and areas that only a poll can look at."""
        mounts = list(parse_mountinfo(self._mounts.read()))
        barred: dict[bytes, tuple[Mount, Barrier]] = barriers(iter(mounts), b"/")
        found = views(mounts, barred, self._owner.root, self._union)
        # Another file system may have been mounted where one was a moment ago: by the same names.
        self._seen = {(view.point, view.shown, view.mounted, mount_id(view.point)) for view in found}
        remote = [point for point, (_, barrier) in barred.items() if barrier is Barrier.NETWORK]
        shown = views([m for m in mounts if m.point in remote], (), self._owner.root, self._union)
        files = self._parts.get(Kind.FILES)
        entered = [view.shown for view in shown if isinstance(files, BoundedScope) and files.network(view.shown)]
        self._remote = frozenset(entered)
        reason = "a network file system: others change it unseen"
        return found, [Area(path, "poll", now_ns(), reason) for path in entered]

    def _divide(self, polled: Sequence[Area]) -> None:
        """Give every view to the first watcher that can watch it."""
        left = list(self._views)
        areas: list[Area] = []
        watches = 0
        limits: list[str] = []
        for watcher in self._watchers:
            coverage = watcher.subscribe(self._union, left)
            areas = [area for area in areas if area.method != "poll"] + list(coverage.areas)
            watches += coverage.watches
            limits += coverage.limits
            refused = {area.path for area in coverage.polled}
            left = [view for view in left if view.shown in refused]
        self._owner.covered(Coverage((*areas, *polled), watches, tuple(limits)))

    def _remount(self) -> None:
        """A mount came or went: watch what is there now, and look at what is below it."""
        self._owner.stop.wait(_MOUNT_SECONDS)  # they come in flocks
        before = self._views, self._seen, self._remote
        self._views, areas = self._see()
        if (self._views, self._seen, self._remote) == before:
            return
        self._divide(areas)
        views_, seen, remote = before
        moved = sorted({shown for _, shown, *_ in seen ^ self._seen} | _moved(views_, self._views))
        log.info("mounts changed: %s", ", ".join(map(os.fsdecode, moved)))
        now = time.monotonic()
        self._owner.hand_out(self._parts, [Hint(shown, now, Reach.TREE) for shown in moved])
        if self._remote - remote and Kind.FILES in self._parts:  # only a poll looks into it
            self._owner.deliver(Kind.FILES, [Hint(b"/", now, Reach.ALL)])


def _moved(before: Sequence[View], after: Sequence[View]) -> set[bytes]:
    """Return the paths at which something else is seen than before."""
    old, new = ({(view.point, view.mounted, view.shown): view for view in views_} for views_ in (before, after))
    moved = {shown for _, _, shown in old.keys() ^ new.keys()}
    for key in old.keys() & new.keys():
        for hole in old[key].holes ^ new[key].holes:
            inner = new[key].inside(hole)
            shown = None if inner is None else new[key].show(inner)
            if shown is not None:
                moved.add(shown)
    return moved
