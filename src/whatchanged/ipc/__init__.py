"""The local pipe between tracker and forwarder: blocking, with timeouts, for plain threads.

`connect(endpoint, timeout) -> Channel`, `listen(endpoint, mode=, group=) -> Listener`. Every failure is a
PeerError (PeerTimeout when only time ran out). Who is at the other end is `Channel.peer`; whether it may be there
is for the caller to decide.
"""

from __future__ import annotations

import sys

from whatchanged.errors import PeerError
from whatchanged.ipc import memory
from whatchanged.ipc.endpoints import AbstractSocket, Channel, Listener, MemoryPipe, PathSocket, Peer, PeerTimeout

if sys.platform != "win32":
    from whatchanged.ipc import unix

__all__ = [
    "AbstractSocket",
    "Channel",
    "Endpoint",
    "Listener",
    "MemoryPipe",
    "PathSocket",
    "Peer",
    "PeerTimeout",
    "connect",
    "listen",
]

Endpoint = PathSocket | AbstractSocket | MemoryPipe


def connect(endpoint: Endpoint, timeout: float | None = 10.0) -> Channel:
    """Return a channel to whoever listens on `endpoint`; raises PeerError."""
    if isinstance(endpoint, MemoryPipe):
        return memory.connect(endpoint)
    if sys.platform == "win32":
        raise PeerError(f"{endpoint}: this system has no Unix sockets")
    else:  # noqa: RET506 - mypy follows sys.platform only in a branch of its own
        return unix.connect(endpoint, timeout)


def listen(endpoint: Endpoint, *, mode: int = 0o600, group: str | int | None = None) -> Listener:
    """Return a listener on `endpoint`; raises PeerError, also if somebody else listens there.

    `mode` and `group` are those of the socket file and hold before the first connection can be made.
    """
    if isinstance(endpoint, MemoryPipe):
        return memory.listen(endpoint)
    if sys.platform == "win32":
        raise PeerError(f"{endpoint}: this system has no Unix sockets")
    else:  # noqa: RET506 - mypy follows sys.platform only in a branch of its own
        return unix.listen(endpoint, mode=mode, group=group)
