"""The system calls of fanotify(7), which Python has no names for: fanotify_init(2), fanotify_mark(2),
name_to_handle_at(2), open_by_handle_at(2).

Handles are kept as the kernel writes them into an event: file system id, size, type and bytes of the handle. Two of
them are equal exactly when they stand for the same inode.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import ctypes
import errno
import os
import struct

__all__ = [
    "file_system_id",
    "handle_of",
    "initialise",
    "mark",
    "mark_folder",
    "open_handle",
    "unmark",
    "unmark_folder",
]

_FAN_CLOEXEC = 0x1
_FAN_NONBLOCK = 0x2
_FAN_UNLIMITED_QUEUE = 0x10
_FAN_UNLIMITED_MARKS = 0x20
_FAN_REPORT_PIDFD = 0x80
_FAN_REPORT_FID = 0x200
_FAN_REPORT_DFID_NAME = 0xC00
_FAN_REPORT_TARGET_FID = 0x1000
_FLAGS = (
    _FAN_CLOEXEC
    | _FAN_NONBLOCK
    | _FAN_UNLIMITED_QUEUE
    | _FAN_UNLIMITED_MARKS
    | _FAN_REPORT_FID
    | _FAN_REPORT_DFID_NAME
    | _FAN_REPORT_TARGET_FID
)
_FAN_MARK_ADD = 0x1
_FAN_MARK_REMOVE = 0x2
_FAN_MARK_FILESYSTEM = 0x100
_AT_FDCWD = -100
_MAX_HANDLE = 128  # MAX_HANDLE_SZ
_HEAD = struct.Struct("=Ii")

# The C library's functions, for the numbers of the calls differ by architecture. The interpreter lock is given away:
# a handle may have to be read from a disk.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
_libc.name_to_handle_at.argtypes = [
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_int),
    ctypes.c_int,
]
_libc.open_by_handle_at.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]


def _failed(path: bytes = b"") -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def initialise(*, pidfd: bool) -> int:
    """Return the descriptor of a new group; `pidfd`: each event opens a descriptor of its process, to be closed.

    Raises OSError: EPERM without CAP_SYS_ADMIN, EINVAL before Linux 5.17, ENOSYS where the kernel has no fanotify.
    """
    flags = _FLAGS | _FAN_REPORT_PIDFD if pidfd else _FLAGS
    fd = _libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC | os.O_LARGEFILE)
    if fd < 0:
        raise _failed()
    return int(fd)


def mark(group: int, mask: int, path: bytes) -> None:
    """Mark the whole file system that `path` lies on.

    Raises OSError: EOPNOTSUPP, ENODEV or EXDEV for file systems that cannot be marked (proc, most overlays, btrfs
    subvolumes).
    """
    if _libc.fanotify_mark(group, _FAN_MARK_ADD | _FAN_MARK_FILESYSTEM, mask, _AT_FDCWD, path) < 0:
        raise _failed(path)


def unmark(group: int, mask: int, path: bytes) -> None:
    """Take the mark off the file system that `path` lies on. Raises OSError: ENOENT if there is none."""
    if _libc.fanotify_mark(group, _FAN_MARK_REMOVE | _FAN_MARK_FILESYSTEM, mask, _AT_FDCWD, path) < 0:
        raise _failed(path)


def mark_folder(group: int, mask: int, fd: int) -> None:
    """Mark the folder that the descriptor `fd` (O_PATH will do) stands for. Raises OSError: ENOMEM, or as `mark`."""
    if _libc.fanotify_mark(group, _FAN_MARK_ADD, mask, fd, b".") < 0:
        raise _failed()


def unmark_folder(group: int, mask: int, fd: int) -> None:
    """Take the mark off a folder. Raises OSError: ENOENT if there is none."""
    if _libc.fanotify_mark(group, _FAN_MARK_REMOVE, mask, fd, b".") < 0:
        raise _failed()


def file_system_id(path: bytes) -> bytes:
    """Return the id of the file system of `path` as events bear it. Raises OSError."""
    return struct.pack("=Q", os.statvfs(path).f_fsid & 0xFFFFFFFFFFFFFFFF)


def handle_of(dir_fd: int, name: bytes) -> tuple[bytes, int]:
    """Return the handle (without file system id) of an entry, a link itself if it is one, and the id of its mount.

    Raises OSError.
    """
    buffer = ctypes.create_string_buffer(_HEAD.pack(_MAX_HANDLE, 0), _HEAD.size + _MAX_HANDLE)
    mount = ctypes.c_int()
    if _libc.name_to_handle_at(dir_fd, name, buffer, ctypes.byref(mount), 0) < 0:
        raise _failed(name)
    raw = buffer.raw
    return raw[: _HEAD.size + _HEAD.unpack_from(raw)[0]], mount.value


def open_handle(mount_fd: int, handle: bytes, flags: int = os.O_PATH) -> int:
    """Return a descriptor of what `handle` stands for; `mount_fd` is any open file of its mount.

    Raises OSError: ESTALE when it is gone.
    """
    if len(handle) < _HEAD.size or _HEAD.unpack_from(handle)[0] != len(handle) - _HEAD.size:
        raise OSError(errno.EINVAL, "not a file handle")
    fd = _libc.open_by_handle_at(mount_fd, handle, flags | os.O_CLOEXEC)
    if fd < 0:
        raise _failed()
    return int(fd)
