"""Who holds a package manager's lock. Asks only and takes nothing: a lock taken here could fail a real operation."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import fcntl
import os
import struct

from whatchanged.collectors.files.system import Tree

__all__ = ["is_flocked", "is_write_locked"]

# struct flock of fcntl(2) on 64-bit Linux: type, whence, start, length, pid
_FLOCK = struct.Struct("hhqqi4x")


def is_write_locked(tree: Tree, path: bytes) -> bool:
    """Say whether somebody holds a write lock of fcntl(2) on the file; one that is not there is not locked.

    Raises OSError.
    """
    try:
        fd = tree.open_file(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        return _in_proc_locks(tree.lstat(path))
    try:
        # Closing the descriptor would drop a lock of this process, which holds none.
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def is_flocked(tree: Tree, path: bytes) -> bool:
    """Say whether somebody holds an exclusive flock(2) on the file: only /proc/locks tells without trying it.

    Raises OSError.
    """
    try:
        return _in_proc_locks(tree.lstat(path))
    except FileNotFoundError:
        return False


def _in_proc_locks(status: os.stat_result) -> bool:
    """Look the file up in /proc/locks (proc_locks(5))."""
    device = status.st_dev
    wanted = b"%02x:%02x:%d" % (os.major(device), os.minor(device), status.st_ino)
    with open("/proc/locks", "rb") as file:
        return any(wanted in fields and b"WRITE" in fields for fields in map(bytes.split, file))
