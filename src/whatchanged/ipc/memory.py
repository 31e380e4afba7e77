"""Pipes inside one process: for tests, and for tracker and forwarder in one process.

Behaves as the others do: bounded buffers that push back, an end that is seen after the last byte, timeouts.
"""

from __future__ import annotations

import os
import queue
import threading
import time

from whatchanged.errors import PeerError
from whatchanged.ipc.accounts import own_account
from whatchanged.ipc.endpoints import SEND_SECONDS, Channel, Listener, MemoryPipe, Peer, PeerTimeout

__all__ = ["connect", "listen"]

_CAPACITY = 256 * 1024
_BACKLOG = 64

_listeners: dict[str, _MemoryListener] = {}
_registry = threading.Lock()


def _own_identity() -> Peer:
    """Return this process as a peer."""
    return Peer(own_account(), os.getpid())


class _Half:
    """One direction: a bounded buffer with an end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._buffer = bytearray()
        self._ended = False

    def write(self, data: bytes, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        rest = memoryview(data)
        with self._changed:
            while True:
                if self._ended:
                    raise PeerError("the other end is gone")
                room = max(_CAPACITY - len(self._buffer), 0)
                if room and rest:
                    self._buffer += rest[:room]
                    rest = rest[room:]
                    self._changed.notify_all()
                if not rest:
                    return
                self._wait(deadline, "the other end does not read")

    def read(self, limit: int, timeout: float | None) -> bytes:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._buffer:
                if self._ended:
                    return b""
                self._wait(deadline, "nothing came")
            taken = bytes(self._buffer[:limit])
            del self._buffer[:limit]
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait(self, deadline: float | None, why: str) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise PeerTimeout(f"{why} in time")
        self._changed.wait(left)


class _MemoryChannel(Channel):
    def __init__(self, inward: _Half, outward: _Half, peer: Peer) -> None:
        self._inward = inward
        self._outward = outward
        self._peer = peer
        self._closed = False

    @property
    def peer(self) -> Peer:
        return self._peer

    def send(self, data: bytes, timeout: float | None = SEND_SECONDS) -> None:
        self._outward.write(data, timeout)

    def receive(self, limit: int, timeout: float | None) -> bytes:
        if self._closed:
            raise PeerError("the channel is closed")
        return self._inward.read(limit, timeout)

    def close(self) -> None:
        self._closed = True
        self._inward.end()
        self._outward.end()


class _MemoryListener(Listener):
    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: queue.Queue[_MemoryChannel | None] = queue.Queue()
        self._closed = False

    def offer(self, channel: _MemoryChannel) -> None:
        if self._closed or self._waiting.qsize() >= _BACKLOG:
            raise PeerError(f"memory:{self._name}: nobody takes connections")
        self._waiting.put(channel)

    def accept(self, timeout: float | None) -> Channel:
        if self._closed:
            raise PeerError(f"memory:{self._name} is closed")
        try:
            channel = self._waiting.get(timeout=timeout)
        except queue.Empty:
            raise PeerTimeout("nobody connected in time") from None
        if channel is None:
            self._waiting.put(None)  # for other threads that wait
            raise PeerError(f"memory:{self._name} is closed")
        return channel

    def close(self) -> None:
        with _registry:
            if _listeners.get(self._name) is self:
                del _listeners[self._name]
            self._closed = True
        while not self._waiting.empty():
            waiting = self._waiting.get()
            if waiting is not None:
                waiting.close()
        self._waiting.put(None)


def connect(endpoint: MemoryPipe) -> Channel:
    """Return the connecting end of a new pair."""
    with _registry:
        listener = _listeners.get(endpoint.name)
        if listener is None:
            raise PeerError(f"{endpoint}: nobody listens")
        there, back = _Half(), _Half()
        listener.offer(_MemoryChannel(there, back, endpoint.peer or _own_identity()))
    return _MemoryChannel(back, there, _own_identity())


def listen(endpoint: MemoryPipe) -> Listener:
    """Return a listener under the endpoint's name."""
    with _registry:
        if endpoint.name in _listeners:
            raise PeerError(f"{endpoint}: somebody listens already")
        listener = _listeners[endpoint.name] = _MemoryListener(endpoint.name)
        return listener
