"""A hive file that lies on the disk of the running Windows and is not loaded.

Windows opens a hive for itself alone when it loads it, and gives a user whose hive it cannot open so a temporary
profile. So a file is open only while a piece of it is read, everybody may do everything with it meanwhile, and one that
is in use is left alone.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import errno
import os
from collections.abc import Iterator

import pywintypes
import win32con
import win32file
import winerror

__all__ = ["UnloadedFile"]

_SHARED = win32con.FILE_SHARE_READ | win32con.FILE_SHARE_WRITE | win32con.FILE_SHARE_DELETE
_FLAGS = win32con.FILE_FLAG_BACKUP_SEMANTICS | 0x00200000  # FILE_FLAG_OPEN_REPARSE_POINT
"""With the right to make backups, access lists do not count; a link is opened itself, and refused."""
_NO_FILE = win32con.FILE_ATTRIBUTE_DIRECTORY | win32con.FILE_ATTRIBUTE_REPARSE_POINT
_ERRORS = {
    winerror.ERROR_FILE_NOT_FOUND: errno.ENOENT,
    winerror.ERROR_PATH_NOT_FOUND: errno.ENOENT,
    winerror.ERROR_ACCESS_DENIED: errno.EACCES,
    winerror.ERROR_SHARING_VIOLATION: errno.EBUSY,
    winerror.ERROR_LOCK_VIOLATION: errno.EBUSY,
}


class UnloadedFile:
    """Bytes of such a file. Raises OSError; EBUSY of one that is in use."""

    def __init__(self, path: bytes) -> None:
        self._path = os.fsdecode(path)
        with self._opened() as (_, identity, size):
            self._identity = identity
            self.size = size

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`; fewer where the file ends. Raises OSError."""
        with self._opened() as (handle, identity, _):
            if identity != self._identity:
                raise OSError(errno.ESTALE, "another file has taken its place", self._path)
            win32file.SetFilePointer(handle, offset, win32con.FILE_BEGIN)
            return bytes(win32file.ReadFile(handle, length)[1])

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, tuple[int, ...], int]]:
        """Give the handle, what tells the file from others, and its size."""
        try:
            opened = win32file.CreateFile(
                self._path, win32con.GENERIC_READ, _SHARED, None, win32con.OPEN_EXISTING, _FLAGS, None
            )
            handle = int(opened.Detach())
            try:
                attributes, _, _, _, volume, high, low, _, above, below = win32file.GetFileInformationByHandle(handle)
                if attributes & _NO_FILE or win32file.GetFileType(handle) != win32file.FILE_TYPE_DISK:
                    raise OSError(errno.EINVAL, "not a regular file", self._path)
                yield handle, (volume, above, below), high << 32 | low
            finally:
                win32file.CloseHandle(handle)
        except pywintypes.error as error:
            number = _ERRORS.get(error.winerror, errno.EIO)
            raise OSError(number, f"error {error.winerror}", self._path) from None
