"""Settings of the tracker process."""

from __future__ import annotations

import os
import socket
import threading

import msgspec

from whatchanged.collectors.files.budget import Pressure, Throttle
from whatchanged.ipc import AccountId, own_account
from whatchanged.records.windows_paths import path_of
from whatchanged.rules import Policy
from whatchanged.settings import DataFolder

__all__ = ["TrackerSettings"]


class TrackerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the tracker needs to know; rules come over the pipe."""

    data: DataFolder
    root: str = "/"
    """Root of the system that is looked at."""
    pipe: str = ""
    """Socket of the forwarder; empty = the data folder's."""
    forwarder_uid: AccountId = msgspec.field(default_factory=own_account)
    """Account that the forwarder must run as."""
    policy: str = "/etc/whatchanged/policy.toml"
    computer: str = msgspec.field(default_factory=socket.gethostname)
    outbox_quota_bytes: int = 512 * 1024 * 1024
    """When the outbox holds this much, the state stops advancing."""
    rehash_seconds: float = 7 * 86400
    """Every file's content is read again this often, whatever its times say; see `file_run.RehashSlice`."""
    configuration_seconds: float = 300
    """Period of the configuration request where the forwarder cannot hold it open."""
    watch: bool = True
    """Whether changes are noticed when they happen, and not only with the next poll."""
    core_share: float | None = None
    """Share of one core for looking; at most the policy's, which holds where nothing is said."""
    bytes_per_second: int | None = None
    """Read rate; at most the policy's, which holds where nothing is said."""
    silence_seconds: float = 30.0
    """A network file system that does not answer for so long is called silent, and its process left behind."""
    hash_threads: int = msgspec.field(default_factory=lambda: min(os.cpu_count() or 1, 4))

    def own_paths(self) -> list[bytes]:
        """Return the folders of our own data, as items name them; none where another system is looked at."""
        folders = (self.data.tracker, self.data.forwarder, self.data.server)
        paths = {path_of(path) for folder in folders for path in (os.path.abspath(folder), os.path.realpath(folder))}
        return sorted(paths) if self.root == "/" else []

    def rates(self, policy: Policy) -> tuple[float, int]:
        """Return share of a core and bytes a second for looking: what is asked for here, at most the policy's."""
        return (
            min(policy.core_share, self.core_share or policy.core_share),
            min(policy.bytes_per_second, self.bytes_per_second or policy.bytes_per_second),
        )

    def budget(self, policy: Policy, stop: threading.Event) -> Throttle:
        """Return the budget of the tracker: what is asked for here, at most what the policy allows."""
        core_share, bytes_per_second = self.rates(policy)
        return Throttle(
            bytes_per_second=bytes_per_second,
            core_share=core_share,
            pressure=Pressure() if policy.pressure_aware else None,
            stop=stop,
        )

    @property
    def pipe_socket(self) -> str:
        """Path of the forwarder's socket."""
        return self.pipe or self.data.pipe_socket
