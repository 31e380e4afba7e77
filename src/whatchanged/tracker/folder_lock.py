"""One tracker a data folder: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import os
import sys

from whatchanged.errors import StateError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FolderLock"]


class FolderLock:
    """Held until it is closed."""

    def __init__(self, folder: str) -> None:
        """Take the lock of a folder. Raises StateError where another process holds it."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(os.path.join(folder, "lock"), flags, 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)  # its first byte, which need not be there
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise StateError(
                f"another tracker works on {folder}", hint="stop it, or give this one a data folder of its own"
            ) from error

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
