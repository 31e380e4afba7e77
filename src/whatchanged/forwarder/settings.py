"""What the forwarder is told when it starts."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass, field

from whatchanged import ipc
from whatchanged.ipc import AbstractSocket, AccountId, Endpoint, NamedPipe
from whatchanged.records.streams import DataType
from whatchanged.settings import DataFolder

__all__ = ["DEFAULT_QUOTA", "ForwarderSettings"]

DEFAULT_QUOTA = 10_000 * 1024 * 1024
_UPSTREAM_SOCKETS = (
    "CAgentStream_CloudAgentInfo_config_default_fluent.socket",
    "CAgentStream_CloudAgentInfo_ChangeTracking-Linux_default_fluent.socket",
)
_UPSTREAM_PIPE = "CAgentStream_CloudAgentInfo_AzureMonitorAgent"
_UPSTREAM_STREAMS = (DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2, DataType.CONFIG_DATA_V2)
_UPSTREAM_STREAM_PIPE = "CAgentStream_ChangeTracking-Windows_{stream}_AzureMonitorAgent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderSettings:
    """Settings of one forwarder; the times are seconds."""

    data: DataFolder
    tracker_uid: AccountId
    """Account of the tracker: only it sends records of ours and gets the server's requests."""
    computer: str = field(default_factory=socket.gethostname)
    """Name of this machine in the rows that the forwarder makes itself."""
    instance: str = ""
    """Suffix of the upstream names; empty for the main instance."""
    main_instance: bool = False
    """Serve the upstream names, without a suffix when `instance` is empty."""
    foreign_uids: tuple[AccountId, ...] = ()
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
        senders = (self.tracker_uid, *self.foreign_uids)
        own: tuple[Endpoint, ...] = (ipc.at(self.data.pipe_socket, admits=senders),)
        if not (self.main_instance or self.instance):
            return own
        if sys.platform == "win32":
            sids = tuple(str(account) for account in senders)
            return own + tuple(
                NamedPipe(name, sids) for name in (self._suffixed(_UPSTREAM_PIPE), *self.stream_pipes.values())
            )
        names = [self._suffixed(name) for name in _UPSTREAM_SOCKETS]
        return own + tuple(AbstractSocket(name, padded) for name in names for padded in (True, False))

    @property
    def stream_pipes(self) -> dict[str, str]:
        """Data type → name of the pipe that upstream's extension sends it to; only on Windows there are such."""
        if sys.platform != "win32" or not (self.main_instance or self.instance):
            return {}
        return {
            stream.value: self._suffixed(_UPSTREAM_STREAM_PIPE.format(stream=stream.value))
            for stream in _UPSTREAM_STREAMS
        }

    def _suffixed(self, name: str) -> str:
        return f"{name}_{self.instance}" if self.instance else name
