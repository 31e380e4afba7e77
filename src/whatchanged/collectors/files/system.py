"""The system calls that looking needs on POSIX: opening inside a tree without following links, and birth times.

`Tree` is a root folder. Everything in it is opened relative to the root's descriptor with openat2(2) and
RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, so that nobody can move a look elsewhere by swapping a folder for a link
while the walk is under way (the class of CVE-2018-6954, CVE-2017-18078). Where openat2 is missing (Linux < 5.6,
some container runtimes) each component is opened with O_NOFOLLOW, which is the same, slower. Paths longer than
PATH_MAX are opened in pieces.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

__all__ = [
    "FILE_FLAGS",
    "FOLDER_FLAGS",
    "LONGEST_NAME",
    "LONGEST_PATH",
    "VANISHED",
    "Entry",
    "Tree",
    "birth_time",
    "entries",
    "fstat",
    "is_away",
    "mount_id",
    "open_again",
    "open_bare_in",
    "open_in",
    "place_of",
    "read_at",
    "readlink_in",
    "readlink_of",
]

LONGEST_PATH, LONGEST_NAME = 4096, 255
"""PATH_MAX and NAME_MAX of Linux, in bytes."""
VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENXIO, errno.EINVAL})
"""Errors of opening a file that was listed which say that it is gone, or has become something else."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
# O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOCTTY: nor may a terminal become ours.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_BARE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_PIECE = 4000
"""Bytes of path a single call takes: PATH_MAX is 4096 with its NUL."""
_SYS_OPENAT2 = 437  # the same on every architecture (asm-generic/unistd.h; alpha is not one that Debian has)
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_OPEN_HOW = struct.Struct("=QQQ")
_RESOLVE = _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]

_STATX_BTIME = 0x800
_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_SIZE = 256
_STATX_BTIME_AT = 80
_STATX_MASK = struct.Struct("=I")
_STATX_TIME = struct.Struct("=qI")
_STATX_MNT_ID = 0x1000
_STATX_MNT_ID_UNIQUE = 0x4000
_STATX_MNT_ID_AT = 144
_STATX_NUMBER = struct.Struct("=Q")
_AT_FDCWD = -100
_AT_NO_AUTOMOUNT = 0x800
_AT_STATX_DONT_SYNC = 0x4000
_statx: Callable[..., int] | None
try:
    # PyDLL keeps the interpreter lock: the inode is in memory, and giving the lock away costs more than the call.
    _function = ctypes.PyDLL(None).statx
    _function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]
    _statx = _function
except AttributeError:  # a C library before glibc 2.28
    _statx = None


def _openat2(dir_fd: int, path: bytes, flags: int) -> int:
    how = _OPEN_HOW.pack(flags, 0, _RESOLVE)
    while True:
        fd = _syscall(_SYS_OPENAT2, dir_fd, path, how, len(how))
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        if number not in (errno.EINTR, errno.EAGAIN):  # EAGAIN: a rename raced with the look-up, openat2(2)
            raise OSError(number, os.strerror(number), path)


def _openat2_works() -> bool:
    try:
        os.close(_openat2(-100, b".", os.O_PATH | os.O_CLOEXEC))
    except OSError:
        return False
    return True


_HAVE_OPENAT2 = _openat2_works()


def _open_by_components(dir_fd: int, path: bytes, flags: int) -> int:
    *parents, last = path.split(b"/")
    current = os.dup(dir_fd)
    try:
        for name in parents:
            inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = inner
        return os.open(last, flags | os.O_NOFOLLOW, dir_fd=current)
    finally:
        os.close(current)


def _pieces(path: bytes) -> list[bytes]:
    pieces = []
    while len(path) > _PIECE:
        cut = path.rfind(b"/", 0, _PIECE)
        pieces.append(path[:cut])
        path = path[cut + 1 :]
    return [*pieces, path]


class Tree:
    """A root folder: paths are absolute in it, canonical (no link, `.` or `..` in them), and cannot leave it."""

    def __init__(self, root: bytes) -> None:
        self.root = os.path.realpath(root)
        self._fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open = _openat2 if _HAVE_OPENAT2 else _open_by_components
        self._prefix = b"" if self.root == b"/" else self.root

    def close(self) -> None:
        """Give the root's descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def outside(self, path: bytes) -> bytes:
        """Return `path` as the rest of this process names it."""
        return self._prefix + path

    def open(self, path: bytes, flags: int) -> int:
        """Open the canonical `path`; a link anywhere in it is ELOOP. Raises OSError."""
        relative = path.strip(b"/") or b"."
        if len(relative) <= _PIECE:
            return self._open(self._fd, relative, flags)
        *parents, last = _pieces(relative)
        current = os.dup(self._fd)
        try:
            for piece in parents:
                inner = self._open(current, piece, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                os.close(current)
                current = inner
            return self._open(current, last, flags)
        finally:
            os.close(current)

    def open_folder(self, path: bytes) -> int:
        """Open a folder for reading its entries."""
        return self.open(path, FOLDER_FLAGS)

    def open_bare(self, path: bytes) -> int:
        """Open whatever `path` is, a link itself, so that its facts can be asked for and nothing else."""
        return self.open(path, _BARE)

    def open_file(self, path: bytes) -> int:
        """Open a regular file for reading; anything else is EINVAL, and is never opened."""
        fd = self.open_bare(path)
        try:
            if os.fstat(fd).st_mode & 0o170000 != 0o100000:
                raise OSError(errno.EINVAL, "not a regular file", path)
            return _reopen(fd)
        finally:
            os.close(fd)

    def lstat(self, path: bytes) -> os.stat_result:
        """Return the status of `path`, a link itself if it is one."""
        fd = self.open_bare(path)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def status_and_link(self, path: bytes) -> tuple[os.stat_result, bytes | None]:
        """Return the status of `path`, and where it leads if it is a link: both of the very same inode."""
        fd = self.open_bare(path)
        try:
            status = os.fstat(fd)
            if status.st_mode & 0o170000 != 0o120000:
                return status, None
            return status, os.readlink(b"", dir_fd=fd)
        finally:
            os.close(fd)


def _reopen(fd: int) -> int:
    """Open for reading what the O_PATH descriptor `fd` stands for."""
    path = b"/proc/self/fd/%d" % fd
    flags = FILE_FLAGS & ~os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def open_in(name: bytes, dir_fd: int) -> int:
    """Open the entry `name` of a folder for reading, without touching its access time where that is allowed."""
    try:
        return os.open(name, FILE_FLAGS | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:  # O_NOATIME is for the owner and CAP_FOWNER, open(2)
        return os.open(name, FILE_FLAGS, dir_fd=dir_fd)


def open_bare_in(name: bytes, dir_fd: int) -> int:
    """Open the entry `name` of a folder, a link itself, for its facts: no driver is asked, no other end wakes."""
    return os.open(name, _BARE, dir_fd=dir_fd)


def readlink_in(name: bytes, dir_fd: int) -> bytes:
    """Return where the link `name` of a folder leads."""
    return os.readlink(name, dir_fd=dir_fd)


def readlink_of(fd: int) -> bytes:
    """Return where the link that was opened as `fd` leads."""
    return os.readlink(b"", dir_fd=fd)


def fstat(fd: int) -> os.stat_result:
    """Return the status of what `fd` stands for."""
    return os.fstat(fd)


def read_at(fd: int, size: int, place: int) -> bytes:
    """Return at most `size` bytes from `place` on."""
    return os.pread(fd, size, place)


def place_of(fd: int) -> bytes:
    """Return where what `fd` stands for can be opened again."""
    return os.readlink(b"/proc/self/fd/%d" % fd)


def open_again(place: bytes, status: os.stat_result) -> int | None:
    """Open the very file that had `status` for reading; None if another one is there now. Raises OSError."""
    fd = os.open(place, _BARE)
    try:
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != (status.st_dev, status.st_ino):
            return None
        return _reopen(fd)
    finally:
        os.close(fd)


def is_away(status: os.stat_result) -> bool:
    """Whether the content is not on this machine, so that reading would fetch it: nothing on POSIX says so."""
    return False


class Entry:
    """One name of a folder, in the shape of os.DirEntry."""

    def __init__(self, name: bytes, fd: int) -> None:
        self.name = os.fsdecode(name)
        self._status = os.lstat(name, dir_fd=fd)  # type: ignore[call-overload, unused-ignore]

    def is_symlink(self) -> bool:
        """Whether it is a link."""
        return stat.S_ISLNK(self._status.st_mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder itself."""
        return not follow_symlinks and stat.S_ISDIR(self._status.st_mode)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the status of the entry itself."""
        if follow_symlinks:
            raise NotImplementedError("only the entry itself was looked at")
        return self._status


def entries(fd: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    """List the folder that `fd` stands for."""
    return os.scandir(fd)


def birth_time(fd: int, name: bytes = b"") -> int | None:
    """Return the birth time of what `fd` stands for (or of its entry `name`, a link itself), or None."""
    if _statx is None:
        return None
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW if name else _AT_EMPTY_PATH
    if _statx(fd, name, flags, _STATX_BTIME, buffer) != 0:
        return None
    raw = buffer.raw
    if not _STATX_MASK.unpack_from(raw)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = _STATX_TIME.unpack_from(raw, _STATX_BTIME_AT)
    # 0 is what file systems say that were made without birth times (an unpacked image); stat(1) shows `-` for it.
    return int(seconds) * 10**9 + int(nanoseconds) or None


def mount_id(path: bytes) -> int | None:
    """Return the id of the mount that `path` lies on, or None where the kernel does not tell.

    Ids are never used twice since Linux 6.8 (STATX_MNT_ID_UNIQUE); before it they may be. Nothing is mounted for it.
    """
    call = getattr(_libc, "statx", None)
    if call is None:
        return None
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | _AT_STATX_DONT_SYNC
    for wanted in (_STATX_MNT_ID_UNIQUE, _STATX_MNT_ID):
        if call(_AT_FDCWD, path, flags, wanted, buffer) != 0:
            return None
        if _STATX_MASK.unpack_from(buffer.raw)[0] & wanted:
            return int(_STATX_NUMBER.unpack_from(buffer.raw, _STATX_MNT_ID_AT)[0])
    return None
