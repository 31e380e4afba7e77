"""The sender: takes records from the outbox over the pipe to the forwarder, a chunk at a time.

A chunk is forgotten only when it was acknowledged, which the forwarder does after its disk has it; a chunk that
was sent and not acknowledged is sent again, with the same id where the outbox did not grow, and the forwarder
recognises what it has (`docs/formats/local-pipe.md`).
"""

from __future__ import annotations

import logging
import random
import threading
import time

from whatchanged import ipc
from whatchanged.errors import PeerError, StateError, StorageFull, WireError
from whatchanged.records.carrier import chunk_id
from whatchanged.records.streams import DataType
from whatchanged.tracker.state import Outbound, State
from whatchanged.wire import forward

__all__ = ["Sender"]

log = logging.getLogger(__name__)

_CHUNK_ROWS = 1000
_CHUNK_BYTES = 512 * 1024
_ACK_SECONDS = 60.0
_ACK_BYTES = 4096
_LONGEST_PAUSE = 30.0
_JITTER = random.Random()  # noqa: S311 - no secret; not the one that the whole process shares


class Sender:
    """Owns the data connection to the forwarder."""

    def __init__(
        self, state: State, endpoint: ipc.Endpoint, *, forwarder_uid: ipc.AccountId, stop: threading.Event
    ) -> None:
        self._state = state
        self._endpoint = endpoint
        self._forwarder_uid = forwarder_uid
        self._stop = stop
        self._channel: ipc.Channel | None = None
        self.tags: dict[DataType, str] = {}
        """Tag of each stream by the configuration in force; set by the process."""
        self.error = "not connected yet"
        """Why nothing can be sent; empty when all is well."""

    def run(self) -> None:
        """Send until stopped."""
        pause, busy = 0.0, False
        while not self._stop.is_set():
            seen = self._state.outbox_grew
            try:
                sent = self._round()
                pause = 0.0
                self.error = ""
            except (PeerError, WireError, StorageFull, StateError) as error:
                self._disconnect()
                if not self.error:
                    log.warning("cannot hand records to the forwarder: %s", error)
                self.error = str(error)
                pause = min(max(pause * 2, 0.2), _LONGEST_PAUSE)
                self._stop.wait(pause * _JITTER.uniform(0.5, 1.0))
                continue
            if not sent:
                if busy:
                    self._state.shrink()  # the last of what a large look asks for
                self._wait(seen)
            busy = sent
        self._disconnect()

    def _wait(self, seen: int) -> None:
        """Wait until the outbox grows once more than `seen`, or the tracker stops."""
        with self._state.committed:
            self._state.committed.wait_for(lambda: self._state.outbox_grew != seen or self._stop.is_set())

    def _round(self) -> bool:
        """Send one chunk of every stream that has one; return whether there was any."""
        sent = False
        for stream in DataType:
            outbound = self._state.outbound(stream, rows=_CHUNK_ROWS, size=_CHUNK_BYTES)
            if outbound is not None and not self._stop.is_set():
                self._send(outbound)
                sent = True
        return sent

    def _send(self, outbound: Outbound) -> None:
        channel = self._connected()
        chunk = chunk_id(outbound.epoch, outbound.stream, outbound.first, outbound.last)
        tag = self.tags.get(outbound.stream, outbound.stream.value)
        channel.send(forward.encode_forward(tag, outbound.entries, chunk))
        reader = forward.AckReader()
        deadline = time.monotonic() + _ACK_SECONDS
        while part := channel.receive(_ACK_BYTES, max(deadline - time.monotonic(), 0.0)):
            if chunk in reader.feed(part):
                self._state.acknowledged(outbound)
                return
        raise PeerError("the forwarder did not take the records")

    def _connected(self) -> ipc.Channel:
        if self._channel is None:
            channel = ipc.connect(self._endpoint, 10.0)
            check_forwarder(channel, self._forwarder_uid)
            self._channel = channel
        return self._channel

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def check_forwarder(channel: ipc.Channel, account: ipc.AccountId) -> None:
    """Raise PeerError, and close the channel, if someone else than the forwarder listens."""
    if channel.peer.account != account:
        channel.close()
        raise PeerError(
            f"the pipe is served by account {channel.peer.account}, not by the forwarder's account {account}",
            hint="someone else may have taken its place: look who listens there",
        )
