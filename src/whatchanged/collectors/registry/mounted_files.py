"""Files of a Windows disk that is mounted somewhere: found by their names in any case, never through links."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["MountedFile", "find", "is_windows"]

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


def is_windows(root: bytes) -> bool:
    """Whether the system disk of a Windows is mounted at `root`."""
    try:
        return find(root, "Windows", "System32", "config") is not None
    except OSError:
        return True  # there is something that cannot be looked at: whoever looks will say why


def find(root: bytes, *names: str) -> bytes | None:
    """Return the path that `names` lead to from `root`, or None. Raises OSError; ELOOP for a link on the way."""
    path = root
    for name in names:
        found = _entry(path, os.fsencode(name))
        if found is None:
            return None
        path = os.path.join(path, found)
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return path


def _entry(folder: bytes, name: bytes) -> bytes | None:
    """Return the entry of `folder` with this name, in this case or another."""
    if os.path.lexists(os.path.join(folder, name)):
        return name
    wanted = os.fsdecode(name).upper()
    try:
        with os.scandir(folder) as entries:
            return next((entry.name for entry in entries if os.fsdecode(entry.name).upper() == wanted), None)
    except (FileNotFoundError, NotADirectoryError):
        return None


class MountedFile:
    """A regular file that is opened for each read, so that a thousand hives take no descriptor."""

    def __init__(self, path: bytes) -> None:
        """Raises OSError."""
        self._path = path
        descriptor = os.open(path, _FLAGS)
        try:
            self._status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(self._status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        self.size = self._status.st_size

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`; fewer where the file ends. Raises OSError."""
        with open(os.open(self._path, _FLAGS), "rb", buffering=0) as file:
            if not os.path.samestat(os.fstat(file.fileno()), self._status):
                raise OSError(errno.ESTALE, "another file has taken its place", self._path)
            file.seek(offset)
            parts = []
            while length > 0 and (part := file.read(length)):
                parts.append(part)
                length -= len(part)
            return b"".join(parts)
