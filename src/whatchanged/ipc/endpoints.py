"""What a local pipe is, on every system: endpoints, the peer, and the contract of a channel and a listener.

The contract is proved by one suite that runs on every implementation (`tests/unit/ipc`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from whatchanged.errors import PeerError

__all__ = [
    "AbstractSocket",
    "AccountId",
    "Channel",
    "Listener",
    "MemoryPipe",
    "NamedPipe",
    "PathSocket",
    "Peer",
    "PeerTimeout",
]

AccountId = int | str
"""An account: a uid, or on Windows a SID as text."""

SEND_SECONDS = 30.0
"""How long `Channel.send` waits for a peer that does not read, unless told otherwise."""


class PeerTimeout(PeerError):
    """Nothing happened within the time given; the channel or listener is still usable."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says (of a listener: who began to listen)."""

    account: AccountId
    pid: int
    """For messages to people; only on Linux the kernel vouches for it."""
    administrator: bool = field(default=False, compare=False)
    """Root; on Windows the system, or who has the rights of an administrator now (elevated)."""


@dataclass(frozen=True, slots=True)
class PathSocket:
    """A Unix socket in the file system; the path may be longer than `sun_path`."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class AbstractSocket:
    """A Unix socket in the abstract namespace; `padded` fills the name with NUL to the 108 bytes of `sun_path`.

    The kernel compares abstract names with their length (unix(7)), so a padded and an unpadded name are two names.
    """

    name: str
    padded: bool = False

    def __str__(self) -> str:
        return f"@{self.name}{' (padded)' if self.padded else ''}"


@dataclass(frozen=True, slots=True)
class NamedPipe:
    """A Windows named pipe; `admits` are the SIDs that its listener lets connect, beside itself and administrators."""

    name: str
    admits: tuple[str, ...] = ()

    def __str__(self) -> str:
        return rf"\\.\pipe\{self.name}"


@dataclass(frozen=True, slots=True)
class MemoryPipe:
    """A pipe inside this process; `peer` is who the listener finds at the other end (None: this process)."""

    name: str
    peer: Peer | None = None

    def __str__(self) -> str:
        return f"memory:{self.name}"


class Channel(ABC):
    """One connection. One thread may send while another receives; `close` from a third ends both."""

    @property
    @abstractmethod
    def peer(self) -> Peer:
        """Who is at the other end."""

    @abstractmethod
    def send(self, data: bytes, timeout: float | None = SEND_SECONDS) -> None:
        """Send all of `data`. Raises PeerError if the other end is gone, PeerTimeout if it does not read in time.

        After a PeerTimeout part of `data` may be on its way: close the channel.
        """

    @abstractmethod
    def receive(self, limit: int, timeout: float | None) -> bytes:
        """Return what is there, at most `limit` bytes; `b""` when the other end has closed.

        Waits up to `timeout` seconds for the first byte (None: for ever). Raises PeerTimeout, PeerError.
        """

    @abstractmethod
    def close(self) -> None:
        """End the connection; twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Listener(ABC):
    """Takes connections."""

    @abstractmethod
    def accept(self, timeout: float | None) -> Channel:
        """Return the next connection. Raises PeerTimeout after `timeout` seconds, PeerError once closed."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening; a waiting `accept` ends with PeerError. Twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
