"""PROCESS 2: the forwarder. Pipe server, configuration, upload, heartbeat and status, each a thread."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from typing import Any

import msgspec

from whatchanged import memory
from whatchanged.errors import CredentialError, OperationError, ServerError, StateError
from whatchanged.forwarder import files, heartbeat
from whatchanged.forwarder.client import ServerClient
from whatchanged.forwarder.configuration import Configuration, Fetcher, fetch, pass_on_results
from whatchanged.forwarder.health import Health
from whatchanged.forwarder.identity import IdentityKeeper
from whatchanged.forwarder.pipe_server import PipeServer
from whatchanged.forwarder.settings import ForwarderSettings
from whatchanged.forwarder.store import Store
from whatchanged.forwarder.upload import Backoff, Uploader
from whatchanged.records.health import HealthReason, HealthStatus

__all__ = ["run"]

_log = logging.getLogger(__name__)
_MB = 1024 * 1024
_DROPPED_SECONDS = 60.0
_IDLE = 2.0


def run(settings: ForwarderSettings, stop: threading.Event) -> int:
    """Run until `stop` is set; return 0, or 1 when a part of it died. Raises OperationError when it cannot start."""
    memory.use_one_arena()
    for folder in (settings.data.forwarder, settings.data.pipe_folder):
        os.makedirs(folder, mode=0o750 if folder == settings.data.pipe_folder else 0o700, exist_ok=True)
    forwarder = _Forwarder(settings, stop)
    try:
        forwarder.start()
        stop.wait()
    finally:
        stop.set()
        forwarder.close()
    return 1 if forwarder.died else 0


class _Forwarder:
    def __init__(self, settings: ForwarderSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._keeper = IdentityKeeper(settings.data)
        self._store = Store(settings.tables, settings.quota_bytes)
        self._health = Health(self._store, settings.computer)
        self._configuration = Configuration(settings.data, settings.quota_bytes // _MB, settings.stream_pipes)
        instance = uuid.uuid4()
        self._upload_client = ServerClient(settings, self._keeper, instance)
        self._control_client = ServerClient(settings, self._keeper, instance)
        self._result_client = ServerClient(settings, self._keeper, instance)
        self._uploader = Uploader(self._store, self._upload_client, self._health)
        self._beat_now = threading.Event()
        self._pipe = PipeServer(
            settings,
            self._store,
            self._configuration,
            self._health,
            stop,
            guarded=self._guarded,
            tracker_came=self._beat_now.set,
        )
        self._threads: list[threading.Thread] = []
        self._last_error = ""
        self._waiting_said = False
        self._dropped: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._say_dropped_at = 0.0
        self.died = False
        """A thread ended that should not have."""
        self._contact = threading.Event()
        """The server answers again."""

    def start(self) -> None:
        self._take_quota()
        self._pipe.start()
        self._health.note(HealthStatus.OK, HealthReason.STARTED, "the forwarder started")
        for work in (self._configure, self._upload, self._beat, self._report, self._pass_on):
            thread = threading.Thread(target=self._guarded, args=(work,), name=work.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        self._store.wake()
        self._configuration.wake()
        self._beat_now.set()
        self._pipe.close()
        for client in (self._upload_client, self._control_client, self._result_client):
            client.close()
        for thread in self._threads:
            thread.join(3)
        self._write_status()
        self._store.close()

    def _guarded(self, work: Any) -> None:
        """A thread that dies would be silence: the process ends instead, and its supervisor starts it anew."""
        try:
            work()
            if not self._stop.is_set():
                raise StateError("it ended by itself")
        except Exception:  # noqa: BLE001 - the last line of a thread; it ends the process
            if not self._stop.is_set():
                _log.exception("%s failed; the forwarder ends", threading.current_thread().name)
                self.died = True
                self._stop.set()

    # --- threads ---

    def _configure(self) -> None:
        fetcher = Fetcher(self._control_client)
        backoff = Backoff(self._settings.backoff, self._settings.longest_backoff)
        wait = 0.0  # the first answer is wanted at once
        while not self._stop.is_set():
            begin = time.monotonic()
            try:
                changed, requests = fetch(fetcher, self._configuration, wait)
                self._rotate()
            except CredentialError as error:
                self._say_waiting(error)
                self._stop.wait(_IDLE)
                continue
            except OperationError as error:
                self._lost(error)
                self._stop.wait(backoff.failed(getattr(error, "retry_after", None)))
                continue
            backoff.succeeded()
            self._regained()
            if changed:
                self._take_quota()
                self._health.note(HealthStatus.OK, HealthReason.CONFIGURATION, "the configuration changed")
            if any(request.request == "newEpoch" for request in requests):
                self._store.renew_own_epochs()
            quick = time.monotonic() - begin < wait / 2
            if wait and quick and not fetcher.news:
                self._stop.wait(self._settings.poll)  # a server without long poll answers at once
            wait = self._settings.long_poll

    def _rotate(self) -> None:
        try:
            self._control_client.rotate()
        except ServerError as error:
            _log.warning("no new credential, the old one stays in use: %s", error)

    def _upload(self) -> None:
        backoff = Backoff(self._settings.backoff, self._settings.longest_backoff)
        generation, busy = -1, False
        while not self._stop.is_set():
            pause, until_contact = 0.0, False
            try:
                if self._uploader.cycle():
                    busy = True
                else:
                    if busy:
                        busy = False
                        self._store.shrink()
                    generation = self._store.wait(generation, self._stop)
                backoff.succeeded()
            except CredentialError as error:
                self._say_waiting(error)
                pause = _IDLE
            except OperationError as error:
                self._last_error = error.message
                _log.info("upload: %s", error.message)
                retry_after = getattr(error, "retry_after", None)
                pause, until_contact = backoff.failed(retry_after), retry_after is None
            if until_contact:
                self._until_contact(pause)
            else:
                self._stop.wait(pause)

    def _until_contact(self, pause: float) -> None:
        """Pause, but no longer than until another question of ours is answered: then records follow at once."""
        end = time.monotonic() + pause
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._contact.wait(min(left, _IDLE)):
                self._contact.clear()
                return

    def _beat(self) -> None:
        while True:
            try:
                heartbeat.beat(self._store, self._settings.computer, self._pipe.tracker_contact)
            except OperationError as error:
                _log.error("no heartbeat: %s", error.message)
            self._beat_now.wait(self._settings.heartbeat)
            self._beat_now.clear()
            if self._stop.is_set():
                return

    def _pass_on(self) -> None:
        backoff = Backoff(self._settings.backoff, self._settings.longest_backoff)
        while not self._stop.is_set():
            self._configuration.wait_for_results(self._stop)
            try:
                pass_on_results(self._result_client, self._configuration)
                backoff.succeeded()
            except OperationError as error:
                _log.info("answers to requests: %s", error.message)
                self._stop.wait(backoff.failed(getattr(error, "retry_after", None)))

    def _report(self) -> None:
        last: dict[str, Any] = {}
        while True:
            self._note_dropped()
            self._note_damages()
            if (now := self._status()) != last:
                self._write_status()
                last = now
            if self._stop.wait(1.0):
                return

    # --- what they say ---

    def _status(self) -> dict[str, Any]:
        identity, refused, error = None, "", self._last_error
        try:
            identity, refused = self._keeper.current(), self._keeper.refusal()
        except StateError as trouble:
            error = trouble.message
        return {
            "enrolled": identity is not None,
            "server": "" if identity is None else identity.server,
            "machineId": "" if identity is None else identity.machine_id,
            "refused": refused,
            "connected": self._configuration.connected,
            "streams": {s: {"rows": rows, "bytes": size} for s, (rows, size) in self._store.depth().items()},
            "lastUpload": self._uploader.last_upload,
            "lastError": error,
            "pid": os.getpid(),
        }

    def _write_status(self) -> None:
        try:
            path = os.path.join(self._settings.data.forwarder, "status.json")
            files.write_atomically(path, msgspec.json.encode(self._status()))
        except OperationError as error:
            _log.error("no status: %s", error.message)

    def _take_quota(self) -> None:
        quota = self._configuration.quota_mb
        self._store.set_quota(self._settings.quota_bytes if quota is None else quota * _MB)

    def _say_waiting(self, error: CredentialError) -> None:
        self._last_error = error.message
        self._configuration.set_connected(False)
        if not self._waiting_said:
            self._waiting_said = True
            _log.warning("%s; records are kept. %s", error.message, error.hint)

    def _lost(self, error: OperationError) -> None:
        if self._stop.is_set():
            return  # the connection was closed to end the process
        self._last_error = error.message
        if self._configuration.set_connected(False):
            self._health.note(HealthStatus.WARNING, HealthReason.CONNECTION, f"connection lost: {error.message}")
        elif not isinstance(error, ServerError):
            _log.warning("configuration: %s", error.message)

    def _regained(self) -> None:
        self._waiting_said = False
        if self._configuration.set_connected(True):
            self._last_error = ""
            self._contact.set()
            self._health.note(HealthStatus.OK, HealthReason.CONNECTION, "the server answers")

    def _note_damages(self) -> None:
        for damage in self._store.take_damages():
            rows = "the records in it are" if damage.rows is None else f"{damage.rows} records are"
            self._health.note(
                HealthStatus.ERROR,
                HealthReason.STATE_RECREATED,
                f"the local store was damaged ({damage.why}) and is begun anew; {rows} lost to the server, "
                f"the file is kept as {damage.kept_as}",
                stream=damage.stream,
                lost=damage.rows,
            )

    def _note_dropped(self) -> None:
        """Say what the quota has cost: at once, then at most once a minute, or the news would fill the store."""
        for gone in self._store.take_dropped():
            first, last, count = self._dropped.get((gone.stream, gone.epoch), (gone.first, gone.last, 0))
            self._dropped[(gone.stream, gone.epoch)] = (
                min(first, gone.first),
                max(last, gone.last),
                count + gone.count,
            )
        if not self._dropped or time.monotonic() < self._say_dropped_at:
            return
        self._say_dropped_at = time.monotonic() + _DROPPED_SECONDS
        dropped, self._dropped = self._dropped, {}
        for (stream, epoch), (first, last, count) in dropped.items():
            self._health.note(
                HealthStatus.ERROR,
                HealthReason.EVICTED,
                f"the local store is over its quota: {count} records were dropped",
                stream=stream,
                epoch=epoch,
                first=first,
                last=last,
                lost=count,
            )
