"""Network file systems, each looked at by a process of its own that is left behind when nobody answers.

A thread that waits for a dead mount cannot be ended, keeps its process from ending, and with it the lock on the data
folder; a system call that keeps the interpreter's lock stops every other thread as well. So nothing in the tracker
touches such a mount. A process that was left behind is the probe: when it gets its answer, it is looked at again.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from whatchanged.collectors import Outcome, RunStatus
from whatchanged.collectors.files import FolderLook, network_mounts
from whatchanged.errors import OperationError, PeerError
from whatchanged.logs import printable
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.times import now_ns, time_text
from whatchanged.rules import FileRule, Policy
from whatchanged.tracker.remote_messages import Answer, AskKnown, Ended, Found, Job, Link, LookAt, Names, Seen
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State

__all__ = ["MountSilent", "RemoteLook", "RemoteMounts"]

log = logging.getLogger(__name__)

_BEATS = 5
"""Signs of life within the time after which a mount is called silent."""
_SLICE = 0.2
_START_SECONDS = 30.0
"""How long a process may take until it begins, on a machine that is busy."""
_MOST_SILENT = 16
"""Processes that are left behind at most."""
_MODULE = "whatchanged.tracker.remote_look"


class MountSilent(OperationError):
    """A mount does not answer, or the process that looked at it ended."""


class _Key(msgspec.Struct, frozen=True):
    """One mount: another one at the same point has another device."""

    point: bytes
    device: tuple[int, int]


class _Process:
    """A process that looks."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            arguments = [sys.executable, "-P", "-m", _MODULE]
            actions = [(os.POSIX_SPAWN_DUP2, its.fileno(), 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
            self.pid = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)
        self.link: Link[Answer] = Link(ours, Answer)  # type: ignore[arg-type]

    def kill(self) -> None:
        """End it: at once, or when the kernel lets it."""
        self.link.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether it is gone for good. Never waits."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True


class _Silent(msgspec.Struct):
    process: _Process
    since_ns: int


class RemoteMounts:
    """Which network mounts there are, and which of them do not answer."""

    def __init__(self, settings: TrackerSettings, policy: Policy, state: State, stop: threading.Event) -> None:
        self._settings = settings
        self._root = os.path.realpath(os.fsencode(settings.root))
        self._policy = policy
        self._state = state
        self._stop = stop
        self._lock = threading.Lock()
        self._silent: dict[_Key, _Silent] = {}
        self._killed: list[_Process] = []
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.answered: Callable[[], object] = lambda: None
        """Called when a mount that was silent answers."""

    @property
    def allowed(self) -> bool:
        """Whether the policy lets rules look into network file systems."""
        return self._policy.network_file_systems

    def silent(self) -> dict[bytes, int]:
        """Return the mount points that do not answer, and since when."""
        with self._lock:
            return {key.point: silent.since_ns for key, silent in self._silent.items()}

    # The thread

    def run(self) -> None:
        """Wait for answers of mounts that were silent, until stopped."""
        try:
            while not self._stop.is_set():
                for key in self._speaking():
                    self._speaks(key)
        finally:
            with self._lock:
                left = [silent.process for silent in self._silent.values()]
                self._silent.clear()
            for process in left:
                process.kill()

    def wake(self) -> None:
        """Let the thread notice that something is new."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _speaking(self) -> list[_Key]:
        """Wait; return the mounts whose process has something to say, or ended."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        with self._lock:
            by_fd = {silent.process.link.fileno(): key for key, silent in self._silent.items()}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        happened = [fd for fd, _ in poll.poll(60_000)]
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        return [by_fd[fd] for fd in happened if fd in by_fd]

    def _speaks(self, key: _Key) -> None:
        with self._lock:
            silent = self._silent.pop(key)
        self._end(silent.process)
        log.info("%s answers again", os.fsdecode(key.point))
        self._report(key.point, HealthStatus.OK, "answers again")
        self.answered()

    def _end(self, process: _Process) -> None:
        process.kill()
        with self._lock:
            self._killed = [one for one in (*self._killed, process) if not one.ended()]

    # Looking

    @contextlib.contextmanager
    def open(
        self, point: bytes, places: Sequence[bytes], rules: Sequence[FileRule], whole: Sequence[FileRule]
    ) -> Iterator[RemoteLook]:
        """Begin to look into the mount at `point`. Raises MountSilent, also from within the block."""
        key = self._key(point)
        with self._lock:
            silent = self._silent.get(key)
            many = len(self._silent) >= _MOST_SILENT
        if silent is not None:
            raise MountSilent(f"does not answer since {time_text(silent.since_ns)}")
        if many:
            raise MountSilent(f"{_MOST_SILENT} others do not answer: it is not tried")
        core_share, bytes_per_second = self._settings.rates(self._policy)
        job = Job(
            root=self._root,
            point=point,
            places=tuple(places),
            rules=tuple(rules),
            whole=tuple(whole),
            excluded_paths=self._policy.excluded_paths,
            own_paths=self._policy.own_paths,
            threads=self._settings.hash_threads,
            bytes_per_second=bytes_per_second,
            core_share=core_share,
            pressure_aware=self._policy.pressure_aware,
            beat_seconds=self._settings.silence_seconds / _BEATS,
        )
        process = _Process()
        try:
            look = RemoteLook(process.link, job, self._stop, self._settings.silence_seconds)
        except BaseException:
            self._end(process)
            raise
        try:
            yield look
        except MountSilent as error:
            if look.gone:
                self._end(process)
            else:
                self._abandon(key, process, look.heard_ns)
            raise MountSilent(f"{error.message} since {time_text(look.heard_ns)}") from error
        except BaseException:
            self._end(process)
            raise
        self._end(process)
        if look.outcome.status is not RunStatus.STOPPED and _subject(point) in self._state.said("mount:"):
            self._report(point, HealthStatus.OK, "answers again")  # a tracker before this one was told nothing

    def _key(self, point: bytes) -> _Key:
        mount = network_mounts(self._root).get(point)
        if mount is None:
            raise MountSilent("is not mounted any more")
        return _Key(point, (mount.major, mount.minor))

    def _abandon(self, key: _Key, process: _Process, since_ns: int) -> None:
        log.warning("%s does not answer", os.fsdecode(key.point))
        with self._lock:
            self._silent[key] = _Silent(process, since_ns)
        self.wake()
        self._report(
            key.point,
            HealthStatus.ERROR,
            f"does not answer since {time_text(since_ns)}: what is known below it is kept, and it is looked at again "
            "when it answers",
            since_ns,
        )

    def _report(self, point: bytes, status: HealthStatus, what: str, since_ns: int | None = None) -> None:
        text = os.fsdecode(point)
        with contextlib.suppress(OperationError):  # told again with the next occasion
            self._state.report(
                HealthRecord(
                    component=Component.TRACKER,
                    status=status,
                    reason=HealthReason.MOUNT_SILENT,
                    time_ns=now_ns(),
                    kind=Kind.FILES.value,
                    detail=printable(f"the network file system at {text} {what}"),
                    window_start_ns=since_ns,
                ),
                subject=_subject(point),
            )


def _subject(point: bytes) -> str:
    return f"mount:{printable(os.fsdecode(point))}"


class RemoteLook:
    """One look into one mount."""

    def __init__(self, link: Link[Answer], job: Job, stop: threading.Event, patience: float) -> None:
        """`patience`: seconds without any sign of life after which a mount is called silent."""
        self._link = link
        self._stop = stop
        self._patience = patience
        self._wait = max(patience, _START_SECONDS)
        self.gone = False
        """The process ended by itself."""
        self.heard_ns = now_ns()
        """When it was heard of last."""
        self.outcome = Outcome(status=RunStatus.STOPPED)
        """Complete when the walk is over."""
        self._send(job)

    def walk(
        self,
        known: Callable[[bytes], Mapping[bytes, bytes]],
        rehash: Callable[[bytes], bool],
        idle: Callable[[], object],
    ) -> Iterator[FolderLook]:
        """Yield what is found; `idle` is called while there is nothing. Raises MountSilent.

        Ends early, with an outcome that says so, when the tracker stops.
        """
        while (message := self._hear(idle)) is not None:
            if isinstance(message, AskKnown):
                self._send(Names(dict(known(message.folder)), rehash(message.folder)))
            elif isinstance(message, Seen):
                yield message.look
            elif isinstance(message, Ended):
                self.outcome = message.outcome
                return

    def look(self, path: bytes) -> Found | None:
        """Look at one path, after the walk; None when the tracker stops. Raises MountSilent."""
        self._send(LookAt(path))
        while (message := self._hear(lambda: None)) is not None:
            if isinstance(message, Found):
                return message
        return None

    def _send(self, message: Job | Names | LookAt) -> None:
        try:
            self._link.send(message)
        except PeerError as error:
            self.gone = True
            raise MountSilent("could not be looked at: its process ended") from error

    def _hear(self, idle: Callable[[], object]) -> Answer | None:
        """Return the next message; None when the tracker stops."""
        waited_since = time.monotonic()
        while not self._stop.is_set():
            try:
                message = self._link.receive_within(_SLICE)
            except PeerError as error:
                self.gone = True
                raise MountSilent("could not be looked at: its process ended") from error
            if message is not None:
                self.heard_ns, self._wait = now_ns(), self._patience
                return message
            if time.monotonic() - waited_since > self._wait:
                raise MountSilent("does not answer")
            idle()
        return None
