"""The local pipe between tracker and forwarder: blocking, with timeouts, for plain threads.

`connect(endpoint, timeout) -> Channel`, `listen(endpoint, mode=, group=) -> Listener`. Every failure is a
PeerError (PeerTimeout when only time ran out). Who is at the other end is `Channel.peer`; whether it may be there
is for the caller to decide.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable

from whatchanged.errors import PeerError
from whatchanged.ipc import memory
from whatchanged.ipc.accounts import folder_owner, own_account
from whatchanged.ipc.endpoints import (
    AbstractSocket,
    AccountId,
    Channel,
    Listener,
    MemoryPipe,
    NamedPipe,
    PathSocket,
    Peer,
    PeerTimeout,
)

if sys.platform == "win32":
    from whatchanged.ipc import named_pipe
else:
    from whatchanged.ipc import unix

__all__ = [
    "AbstractSocket",
    "AccountId",
    "Channel",
    "Endpoint",
    "Listener",
    "MemoryPipe",
    "NamedPipe",
    "PathSocket",
    "Peer",
    "PeerTimeout",
    "at",
    "connect",
    "folder_owner",
    "listen",
    "own_account",
]

Endpoint = PathSocket | AbstractSocket | NamedPipe | MemoryPipe


def at(path: str, *, admits: Iterable[AccountId] = ()) -> PathSocket | NamedPipe:
    """Return the endpoint that belongs to `path`: a socket there, or the pipe that is named after it.

    Windows pipes have no place in the file system, so their fence is the access list, to which `admits` belongs;
    a socket has the folder that it stands in.
    """
    if sys.platform == "win32":
        place = os.path.normcase(os.path.abspath(path))
        digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return NamedPipe(f"whatchanged_{digest}_{os.path.basename(place)}", tuple(str(account) for account in admits))
    return PathSocket(path)


def connect(endpoint: Endpoint, timeout: float | None = 10.0) -> Channel:
    """Return a channel to whoever listens on `endpoint`; raises PeerError."""
    if isinstance(endpoint, MemoryPipe):
        return memory.connect(endpoint)
    if sys.platform == "win32":
        if isinstance(endpoint, NamedPipe):
            return named_pipe.connect(endpoint, timeout)
    elif not isinstance(endpoint, NamedPipe):
        return unix.connect(endpoint, timeout)
    raise PeerError(f"{endpoint}: this system has no such endpoints")


def listen(endpoint: Endpoint, *, mode: int = 0o600, group: str | int | None = None) -> Listener:
    """Return a listener on `endpoint`; raises PeerError, also if somebody else listens there.

    `mode` and `group` are those of the socket file and hold before the first connection can be made.
    """
    if isinstance(endpoint, MemoryPipe):
        return memory.listen(endpoint)
    if sys.platform == "win32":
        if isinstance(endpoint, NamedPipe):
            return named_pipe.listen(endpoint)
    elif not isinstance(endpoint, NamedPipe):
        return unix.listen(endpoint, mode=mode, group=group)
    raise PeerError(f"{endpoint}: this system has no such endpoints")
