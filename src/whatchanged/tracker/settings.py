"""Settings of the tracker process."""

from __future__ import annotations

import os
import socket
import sys

import msgspec

from whatchanged.settings import DataFolder

__all__ = ["TrackerSettings", "own_uid"]


def own_uid() -> int:
    """Return the account of this process; 0 where the system has no such numbers."""
    if sys.platform == "win32":
        return 0
    return os.getuid()


class TrackerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the tracker needs to know; rules come over the pipe."""

    data: DataFolder
    root: str = "/"
    """Root of the system that is looked at."""
    pipe: str = ""
    """Socket of the forwarder; empty = the data folder's."""
    forwarder_uid: int = msgspec.field(default_factory=own_uid)
    """Account that the forwarder must run as."""
    policy: str = "/etc/whatchanged/policy.toml"
    computer: str = msgspec.field(default_factory=socket.gethostname)
    outbox_quota_bytes: int = 512 * 1024 * 1024
    """When the outbox holds this much, the state stops advancing."""
    rehash_seconds: float = 7 * 86400
    """Every file's content is read again at least this often, whatever its times say."""
    configuration_seconds: float = 300
    """Period of the configuration request where the forwarder cannot hold it open."""
    watch: bool = True
    """Whether changes are noticed when they happen, and not only with the next poll."""
    hash_threads: int = msgspec.field(default_factory=lambda: min(os.cpu_count() or 1, 4))

    @property
    def pipe_socket(self) -> str:
        """Path of the forwarder's socket."""
        return self.pipe or self.data.pipe_socket
