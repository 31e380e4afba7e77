"""The pipe server: takes connections, answers configuration requests, stores records and acknowledges them.

Trust: a request for configuration is answered to anyone who may connect; records of ours and the server's requests
are for the tracker's account only; a foreign account that is configured writes streams of its own. Wrong bytes end
the connection they came on and nothing else.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from whatchanged import ipc
from whatchanged.errors import OperationError, PeerError, StorageFull, WireError
from whatchanged.forwarder.configuration import Configuration
from whatchanged.forwarder.health import Health
from whatchanged.forwarder.settings import ForwarderSettings
from whatchanged.forwarder.store import Store
from whatchanged.records.carrier import parse_chunk_id
from whatchanged.records.health import HealthReason, HealthStatus
from whatchanged.records.times import now_ns
from whatchanged.wire import agent, forward

__all__ = ["PipeServer"]

_log = logging.getLogger(__name__)
_CONNECTIONS_OF_AN_ACCOUNT = 16
_CONNECTIONS_OF_OTHERS = 48
# Who may send no records sends requests only; larger messages are not even read.
_STRANGER = forward.Limits(message_bytes=64 * 1024)
_FOREIGN_STREAMS = 32
_LONGEST_POLL = 60.0
_LONGEST_WAIT = 60.0
_SILENCE_NS = int(2 * _LONGEST_POLL) * 10**9
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class PipeServer:
    """Threads: one a listener, one a connection, at most 16 connections of an account, 48 of all but the tracker's."""

    def __init__(
        self,
        settings: ForwarderSettings,
        store: Store,
        configuration: Configuration,
        health: Health,
        stop: threading.Event,
        endpoints: tuple[ipc.Endpoint, ...] | None = None,
        guarded: Callable[[Callable[[], None]], None] = lambda work: work(),
        tracker_came: Callable[[], None] = lambda: None,
    ) -> None:
        """`guarded` runs the work of a listening thread and sees to it that its end is noticed.

        `tracker_came` is called when the tracker speaks for the first time, or after a silence.
        """
        self._settings = settings
        self._store = store
        self._configuration = configuration
        self._health = health
        self._stop = stop
        self._endpoints = settings.endpoints if endpoints is None else endpoints
        self._listeners: list[ipc.Listener] = []
        self._threads: list[threading.Thread] = []
        self._channels: set[ipc.Channel] = set()
        self._lock = threading.Lock()
        self._guarded = guarded
        self._closed = False
        self._full = False
        self._refused: set[ipc.AccountId] = set()
        self._tracker_came = tracker_came
        self.tracker_contact: int | None = None
        """When the tracker last spoke, nanoseconds since 1970."""

    def start(self) -> None:
        """Listen everywhere; raises PeerError, and listens nowhere then."""
        mode = 0o600 if self._settings.pipe_group is None else 0o660
        try:
            for endpoint in self._endpoints:
                self._listeners.append(ipc.listen(endpoint, mode=mode, group=self._settings.pipe_group))
        except PeerError:
            self.close()
            raise
        for listener in self._listeners:
            thread = threading.Thread(
                target=self._guarded, args=(partial(self._accept, listener),), name="pipe", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """End every connection and stop listening."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
        with self._lock:
            for channel in self._channels:
                channel.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self, listener: ipc.Listener) -> None:
        while not self._stop.is_set():
            try:
                channel = listener.accept(_LONGEST_WAIT)  # `close` ends it at once
            except ipc.PeerTimeout:
                continue
            except PeerError:
                if self._closed:
                    return
                raise
            with self._lock:
                room = self._has_room(channel.peer.account)
                if room:
                    self._channels.add(channel)
            if not room:
                _log.warning("too many connections: one of account %s is closed", channel.peer.account)
                channel.close()
                continue
            threading.Thread(target=self._serve, args=(channel,), name="connection", daemon=True).start()

    def _has_room(self, account: ipc.AccountId) -> bool:
        """Whether one more connection of an account is taken; nobody can take the tracker's places."""
        accounts = [channel.peer.account for channel in self._channels]
        others = len(accounts) - accounts.count(self._settings.tracker_uid)
        return accounts.count(account) < _CONNECTIONS_OF_AN_ACCOUNT and (
            account == self._settings.tracker_uid or others < _CONNECTIONS_OF_OTHERS
        )

    def _serve(self, channel: ipc.Channel) -> None:
        sends = (self._settings.tracker_uid, *self._settings.foreign_uids)
        decoder: forward.Decoder | None = None
        try:
            while not self._stop.is_set() and (data := channel.receive(65_536, self._settings.connection_timeout)):
                if decoder is None:  # a Windows client may be known by its first bytes only
                    decoder = forward.Decoder(None if channel.peer.account in sends else _STRANGER)
                for message in decoder.feed(data):
                    self._take(channel, message)
        except ipc.PeerTimeout:
            _log.info("a connection of account %s was silent and is closed", channel.peer.account)
        except PeerError as error:
            _log.debug("connection of account %s: %s", channel.peer.account, error)
        except OperationError as error:
            _log.warning(
                "connection of account %s (pid %d) is closed: %s", channel.peer.account, channel.peer.pid, error
            )
        finally:
            channel.close()
            with self._lock:
                self._channels.discard(channel)

    def _take(self, channel: ipc.Channel, message: forward.Message) -> None:
        if isinstance(message, forward.ConfigRequest):
            self._answer(channel, agent.decode_request(message.payload))
        elif isinstance(message, forward.ForwardMessage):
            self._keep(channel, message)

    def _answer(self, channel: ipc.Channel, request: agent.AgentRequest) -> None:
        if isinstance(request, agent.ConfigurationRequest):
            _, text = self._configuration.tagged_data(request.tag)
            reply: agent.AgentReply = agent.ConfigurationReply(
                request_id=request.request_id, version=request.version, success=True, tagged_data=text
            )
        elif channel.peer.account != self._settings.tracker_uid:
            self._refuse(channel, "asked what only the tracker may")
        elif isinstance(request, agent.PollRequest):
            self._heard()
            seconds = min(max(request.wait_seconds, 0.0), _LONGEST_POLL)
            version, changed, due, connected = self._configuration.poll(request.tag, request.known, seconds, self._stop)
            reply = agent.PollReply(
                request_id=request.request_id, version=version, tagged_data=changed, requests=due, connected=connected
            )
        else:
            self._configuration.answer(request)
            reply = agent.ResultReply(request_id=request.request_id)
        channel.send(agent.encode_reply(reply))

    def _keep(self, channel: ipc.Channel, message: forward.ForwardMessage) -> None:
        ours = parse_chunk_id(message.chunk or "")
        account = channel.peer.account
        try:
            if ours is not None and account == self._settings.tracker_uid:
                self._keep_ours(message, *ours)
            elif account in self._settings.foreign_uids:
                self._keep_foreign(account, message)
            else:
                self._refuse(channel, f"sent records as {message.tag[:100]!r}")
        except StorageFull as error:
            if not self._full:
                self._full = True
                self._health.note(HealthStatus.ERROR, HealthReason.DISK_FULL, error.message)
            raise
        self._full = False
        if message.chunk is not None:
            channel.send(forward.encode_ack(message.chunk))

    def _keep_ours(self, message: forward.ForwardMessage, epoch: str, stream: str, first: int, last: int) -> None:
        if message.tag.rpartition(":")[2] != stream:
            raise WireError(f"the tag {message.tag!r} is not of stream {stream}")
        if len(message.entries) != last - first + 1:
            raise WireError("a chunk does not hold the records that its id says")
        records: list[bytes] = []
        for sequence, entry in enumerate(message.entries, first):
            record = entry.record
            if (record.get("_Stream"), record.get("_Epoch"), record.get("_Sequence")) != (stream, epoch, sequence):
                raise WireError(f"record {sequence} of a chunk is not numbered as the chunk's id says")
            records.append(forward.pack_record(record))
        self._store.append(str(stream), epoch, first, records)
        self._heard()

    def _keep_foreign(self, account: ipc.AccountId, message: forward.ForwardMessage) -> None:
        # A SID takes much of the room that the name of a stream has.
        name = _UNSAFE.sub("-", message.tag)[: min(48, 92 - len(str(account)))] or "untagged"
        stream = f"Custom-{account}-{name}"
        existing = [s for s in self._store.streams if s.startswith(f"Custom-{account}-")]
        if stream not in existing and len(existing) >= _FOREIGN_STREAMS:
            raise WireError(f"account {account} has {_FOREIGN_STREAMS} streams already")
        makes = [partial(_foreign_record, stream, entry) for entry in message.entries]
        self._store.append_own(stream, *makes, chunk=message.chunk)

    def _heard(self) -> None:
        before, self.tracker_contact = self.tracker_contact, now_ns()
        if before is None or self.tracker_contact - before > _SILENCE_NS:
            self._tracker_came()

    def _refuse(self, channel: ipc.Channel, what: str) -> NoReturn:
        account = channel.peer.account
        with self._lock:
            new = account not in self._refused and len(self._refused) < 1000
            if new:
                self._refused.add(account)
        if new:
            self._health.note(
                HealthStatus.WARNING,
                HealthReason.REFUSED,
                f"account {account} {what} on the local pipe; it is not permitted",
            )
        raise WireError(f"account {account} {what}; it is not permitted")


def _foreign_record(stream: str, entry: forward.Entry, epoch: str, sequence: int) -> bytes:
    fields = {name: value for name, value in entry.record.items() if not name.startswith("_")}
    carrier = {"_Stream": stream, "_Epoch": epoch, "_Sequence": sequence}
    return forward.pack_record({"_TimeNs": entry.time_ns, **fields, **carrier})
