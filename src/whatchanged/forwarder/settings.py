"""What the forwarder is told when it starts."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from whatchanged.ipc import AbstractSocket, Endpoint, PathSocket
from whatchanged.settings import DataFolder

__all__ = ["DEFAULT_QUOTA", "ForwarderSettings"]

DEFAULT_QUOTA = 10_000 * 1024 * 1024
_UPSTREAM_NAMES = (
    "CAgentStream_CloudAgentInfo_config_default_fluent.socket",
    "CAgentStream_CloudAgentInfo_ChangeTracking-Linux_default_fluent.socket",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderSettings:
    """Settings of one forwarder; the times are seconds."""

    data: DataFolder
    tracker_uid: int
    """Account of the tracker: only it sends records of ours and gets the server's requests."""
    computer: str = field(default_factory=socket.gethostname)
    """Name of this machine in the rows that the forwarder makes itself."""
    instance: str = ""
    """Suffix of the abstract names; empty for the main instance."""
    main_instance: bool = False
    """Serve the upstream abstract names, without a suffix when `instance` is empty."""
    foreign_uids: tuple[int, ...] = ()
    """Accounts that may send records of their own."""
    pipe_group: str | int | None = None
    """Group that may connect to the path socket."""
    quota_bytes: int = DEFAULT_QUOTA
    proxy: str | None = None
    """Proxy for the server; None: as the environment says."""
    ca_file: str | None = None
    """Certificate authorities to trust when the enrolment pinned none."""
    poll: float = 300.0
    """Between two questions for the configuration, where the server has no long poll."""
    long_poll: float = 55.0
    heartbeat: float = 60.0
    rotation: float = 30 * 86_400.0
    """Between two credentials."""
    backoff: float = 1.0
    """The first pause after a failed upload; doubles up to `longest_backoff`, with full jitter."""
    longest_backoff: float = 300.0
    connection_timeout: float = 300.0
    """A connection of the pipe that is silent for so long is closed."""

    @property
    def tables(self) -> str:
        """Folder of the local store."""
        return os.path.join(self.data.forwarder, "Tables")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where the pipe server listens."""
        own: tuple[Endpoint, ...] = (PathSocket(self.data.pipe_socket),)
        if not (self.main_instance or self.instance):
            return own
        suffix = f"_{self.instance}" if self.instance else ""
        names = [name + suffix for name in _UPSTREAM_NAMES]
        return own + tuple(AbstractSocket(name, padded) for name in names for padded in (True, False))
