"""Small files of the forwarder: written whole or not at all, readable by their owner only."""

from __future__ import annotations

import contextlib
import os
import sys

from whatchanged.errors import StateError, StorageFull

__all__ = ["read", "write_atomically"]


def write_atomically(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by a file with `data`, on disk before this returns. Raises StorageFull, StateError."""
    folder = os.path.dirname(path)
    temporary = f"{path}.new"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise StorageFull(f"cannot write {path}: {error.strerror}") from error
        raise StateError(f"cannot write {path}: {error.strerror}") from error


def read(path: str, limit: int = 16 * 1024 * 1024) -> bytes | None:
    """Return what is in `path`, None if it is not there. Raises StateError."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise StateError(f"{path} is longer than {limit} bytes")
    return data


def _sync_folder(folder: str) -> None:
    if sys.platform == "win32":
        return  # NTFS journals the rename; a folder cannot be opened for that there
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
