"""Being told of mounts: /proc/self/mountinfo is polled for POLLPRI, which the kernel raises when the table changed
(proc_pid_mountinfo(5)).
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import select

from whatchanged.errors import WatchError

__all__ = ["MountTable"]

_LARGEST = 64 * 1024 * 1024


class MountTable:
    """The open table; `fileno` is to be waited on for `EVENTS`."""

    EVENTS = select.POLLPRI

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        """Raises WatchError when there is no such table."""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise WatchError(f"cannot watch the mounts: {error}") from error

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def read(self) -> bytes:
        """Return the table as it is now; a change after that raises the event again. Raises WatchError."""
        parts: list[bytes] = []
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while part := os.read(self._fd, 65536):
                parts.append(part)
                if len(parts) * 65536 > _LARGEST:
                    raise WatchError("the table of mounts is too large")
        except OSError as error:
            raise WatchError(f"cannot read the mounts: {error}") from error
        return b"".join(parts)

    def close(self) -> None:
        """Close the table."""
        os.close(self._fd)
