r"""The system calls that looking needs on Windows, with the interface of `system`.

Files are opened by NtCreateFile, each name from the handle of its folder: nothing reads `CON`, `a.` or `a ` as
something else, no path is too long, and nobody can move a look elsewhere by putting a link in place of a folder:
every name is opened as itself (FILE_OPEN_REPARSE_POINT) and its handle is asked what it is. Everything is shared with
everybody, and nothing is fetched from afar (FILE_OPEN_NO_RECALL). A handle travels as a descriptor of the C runtime.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
import errno
import msvcrt
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import wintypes

from whatchanged.collectors.files import windows_formats
from whatchanged.collectors.files.facts import Facts
from whatchanged.collectors.files.windows_formats import (
    DIRECTORY,
    READ_THROUGH_TAGS,
    REPARSE_POINT,
    SPARSE_FILE,
    Status,
    is_surrogate,
    link_of,
    mode_of,
    parse_all_information,
    parse_directory,
    parse_ranges,
    parse_streams,
    wtf8,
)
from whatchanged.records.windows_paths import carried, is_windows

__all__ = [
    "LONGEST_NAME",
    "LONGEST_PATH",
    "PIECE",
    "VANISHED",
    "Entry",
    "FactReader",
    "Tree",
    "birth_time",
    "entries",
    "fstat",
    "is_away",
    "open_again",
    "open_bare_in",
    "open_in",
    "pieces",
    "place_of",
    "read_at",
    "readlink_in",
    "readlink_of",
    "use_backup_right",
]

LONGEST_PATH, LONGEST_NAME = 3 * 32_767, 3 * 255
"""Bytes of WTF-8 that the longest path and name can take: they have that many UTF-16 units."""
VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors of opening a file that was listed which say that it is gone, or has become something else.

Not EINVAL: it is what Python makes of every error that it does not know.
"""
PIECE = 1024 * 1024
"""Bytes of one piece at most."""
_ZEROS = memoryview(bytes(PIECE))

_DRIVE = re.compile(rb"[A-Z]:\Z")
_NO_NAME = re.compile(rb"[\\/:\0]")
"""No file can bear these: a slash would lead through folders, a colon to a stream."""

_SYNCHRONIZE, _READ_CONTROL = 0x100000, 0x20000
_READ_DATA, _TRAVERSE, _READ_ATTRIBUTES = 0x1, 0x20, 0x80
_BARE = _SYNCHRONIZE | _READ_ATTRIBUTES
_SHARE_ALL = 7
_OPEN = 1
_DIRECTORY_FILE, _SYNCHRONOUS, _NON_DIRECTORY_FILE = 0x1, 0x20, 0x40
_BACKUP_INTENT, _REPARSE_POINT, _NO_RECALL = 0x4000, 0x200000, 0x400000
_OPTIONS = _SYNCHRONOUS | _BACKUP_INTENT | _REPARSE_POINT | _NO_RECALL
_CASE_INSENSITIVE = 0x40

_NO_MORE_FILES, _NO_SUCH_FILE = 0x80000006, 0xC000000F
_BUFFER_OVERFLOW = 0x80000005
_END_OF_FILE = 0xC0000011
_TOO_SMALL = (_BUFFER_OVERFLOW, 0xC0000004, 0xC0000023)
_NOT_THERE = (2, 3)
"""ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND; Python also takes a server that does not answer for a missing file."""
_FILE_OFFLINE = 4350
_ERRNO = {
    0xC0000056: errno.ENOENT,  # STATUS_DELETE_PENDING, which others call a denied access
    0xC00000BA: errno.ENOTDIR,  # STATUS_FILE_IS_A_DIRECTORY: something else than was looked for
    0xC0000103: errno.ENOTDIR,  # STATUS_NOT_A_DIRECTORY
    0xC0000275: errno.ELOOP,  # STATUS_NOT_A_REPARSE_POINT
}
_NAME, _ALL, _STREAM, _ATTRIBUTE_TAG, _ID_BOTH_DIRECTORY, _NORMALIZED_NAME = 9, 18, 22, 35, 37, 48
_VOLUME = 1
_GET_REPARSE_POINT, _QUERY_ALLOCATED_RANGES = 0x900A8, 0x940CF
_MAX_REPARSE = 16 * 1024
_BUFFER = 64 * 1024
_MAX_STREAMS = 1024 * 1024
_BACKUP_PRIVILEGE = 17
_OWNER_GROUP_DACL = 7
_SE_FILE_OBJECT = 1
_SDDL_REVISION_1 = 1
_VOLUME_NAME_DOS, _VOLUME_NAME_GUID = 0, 1


class _UnicodeString(ctypes.Structure):
    _fields_ = [("length", wintypes.USHORT), ("maximum", wintypes.USHORT), ("buffer", ctypes.c_void_p)]


class _ObjectAttributes(ctypes.Structure):
    _fields_ = [
        ("length", wintypes.ULONG), ("root", wintypes.HANDLE), ("name", ctypes.POINTER(_UnicodeString)),
        ("attributes", wintypes.ULONG), ("security", ctypes.c_void_p), ("quality", ctypes.c_void_p),
    ]  # fmt: skip


class _IoStatus(ctypes.Structure):
    _fields_ = [("status", ctypes.c_void_p), ("information", ctypes.c_size_t)]


_ntdll = ctypes.WinDLL("ntdll")
_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_H, _U, _P = wintypes.HANDLE, wintypes.ULONG, ctypes.c_void_p
_IO = ctypes.POINTER(_IoStatus)
_create_file = _ntdll.NtCreateFile
_create_file.argtypes = (
    ctypes.POINTER(_H), _U, ctypes.POINTER(_ObjectAttributes), _IO, _P, _U, _U, _U, _U, _P, _U
)  # fmt: skip
_create_file.restype = _U
_query_directory = _ntdll.NtQueryDirectoryFile
_query_directory.argtypes = (
    _H, _P, _P, _P, _IO, _P, _U, ctypes.c_int, wintypes.BOOLEAN, ctypes.POINTER(_UnicodeString), wintypes.BOOLEAN
)  # fmt: skip
_query_directory.restype = _U
_query_information = _ntdll.NtQueryInformationFile
_query_information.argtypes = (_H, _IO, _P, _U, ctypes.c_int)
_query_information.restype = _U
_query_volume = _ntdll.NtQueryVolumeInformationFile
_query_volume.argtypes = (_H, _IO, _P, _U, ctypes.c_int)
_query_volume.restype = _U
_control = _ntdll.NtFsControlFile
_control.argtypes = (_H, _P, _P, _P, _IO, _U, _P, _U, _P, _U)
_control.restype = _U
_read_file = _ntdll.NtReadFile
_read_file.argtypes = (_H, _P, _P, _P, _IO, _P, _U, ctypes.POINTER(ctypes.c_longlong), _P)
_read_file.restype = _U
_close = _ntdll.NtClose
_close.argtypes = (_H,)
_to_winerror = _ntdll.RtlNtStatusToDosError
_to_winerror.argtypes = (_U,)
_to_winerror.restype = _U
_adjust_privilege = _ntdll.RtlAdjustPrivilege
_adjust_privilege.argtypes = (_U, wintypes.BOOLEAN, wintypes.BOOLEAN, ctypes.POINTER(wintypes.BOOLEAN))
_adjust_privilege.restype = _U
_final_path = _kernel32.GetFinalPathNameByHandleW
_final_path.argtypes = (_H, wintypes.LPWSTR, wintypes.DWORD, wintypes.DWORD)
_final_path.restype = wintypes.DWORD
_local_free = _kernel32.LocalFree
_local_free.argtypes = (_P,)
_get_security = _advapi32.GetSecurityInfo
_get_security.argtypes = (_H, ctypes.c_int, wintypes.DWORD, _P, _P, _P, _P, ctypes.POINTER(_P))
_get_security.restype = wintypes.DWORD
_sddl = _advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW
_sddl.argtypes = (_P, wintypes.DWORD, wintypes.DWORD, ctypes.POINTER(_P), _P)


def _error(status: int) -> OSError:
    number = _ERRNO.get(status)
    if number is None:
        code = _to_winerror(status)
        error = ctypes.WinError(code)
        if not isinstance(error, FileNotFoundError) or code in _NOT_THERE:
            return error
        number = errno.EIO
    return OSError(number, os.strerror(number))


def _open(root: int | None, name: str, access: int, options: int) -> int:
    """Return the handle of `name`, in the folder `root` or absolute (object manager). Raises OSError.

    `options`: those that differ from `_OPTIONS`.
    """
    raw = name.encode("utf-16-le", "surrogatepass")
    if len(raw) > 0xFFFE:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    buffer = ctypes.create_string_buffer(raw, len(raw) + 2)
    text = _UnicodeString(len(raw), len(raw), ctypes.addressof(buffer))
    # Folders that tell upper from lower case (NTFS, a flag a folder) do so whatever is asked for here.
    attributes = _ObjectAttributes(
        ctypes.sizeof(_ObjectAttributes), root, ctypes.pointer(text), _CASE_INSENSITIVE, None, None
    )
    handle = _H()
    status = _create_file(
        handle, access, attributes, _IoStatus(), None, 0, _SHARE_ALL, _OPEN, _OPTIONS ^ options, None, 0
    )
    if status & 0x80000000 or handle.value is None:
        raise _error(status)
    return handle.value


def _open_in(root: int, name: bytes, access: int, options: int = 0) -> int:
    if name in (b"", b".", b"..") or _NO_NAME.search(name):
        raise FileNotFoundError(errno.ENOENT, "no file can bear this name", name)
    return _open(root, name.decode("utf-8", "surrogatepass"), access, options)


def _open_for_facts(root: int, name: bytes, options: int = 0) -> int:
    try:
        return _open_in(root, name, _BARE | _READ_CONTROL, options)
    except PermissionError:  # who may list a folder may know the status of what is in it, but not its access list
        return _open_in(root, name, _BARE, options)


def _descriptor(handle: int) -> int:
    """Return a descriptor that owns `handle`."""
    try:
        return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
    except OSError:
        _close(handle)
        raise


def _query(handle: int, kind: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    status = _query_information(handle, _IoStatus(), buffer, size, kind)
    if status & 0x80000000 and status != _BUFFER_OVERFLOW:  # only the name, which is not asked for, is cut off
        raise _error(status)
    return buffer.raw


def _status(handle: int, device: int = 0, ignored: int = 0) -> os.stat_result:
    """Return the status of a handle, without the attributes `ignored`; `st_ctime` is when anything of it changed."""
    found: Status = parse_all_information(_query(handle, _ALL, 104))
    attributes = found.attributes & ~ignored
    tag = int.from_bytes(_query(handle, _ATTRIBUTE_TAG, 8)[4:], "little") if attributes & REPARSE_POINT else 0
    times = (found.accessed_ns, found.modified_ns, found.changed_ns)
    seconds = tuple(time // 10**9 for time in times)
    return os.stat_result(
        (mode_of(attributes, tag), found.file_id, device, found.links, 0, 0, found.size, *seconds),
        {
            "st_atime_ns": times[0],
            "st_mtime_ns": times[1],
            "st_ctime_ns": times[2],
            "st_file_attributes": attributes,
            "st_reparse_tag": tag,
        },
    )


def _volume_serial(handle: int) -> int:
    """Return the serial number of the volume: FILE_FS_VOLUME_INFORMATION holds it behind the volume's creation time."""
    buffer = ctypes.create_string_buffer(64)
    status = _query_volume(handle, _IoStatus(), buffer, len(buffer), _VOLUME)
    if status & 0x80000000 and status != _BUFFER_OVERFLOW:
        raise _error(status)
    return int.from_bytes(buffer.raw[8:12], "little")


def fstat(fd: int) -> os.stat_result:
    """Return the status of what `fd` stands for; its device is the serial number of the volume."""
    handle = msvcrt.get_osfhandle(fd)
    return _status(handle, _volume_serial(handle))


def is_away(status: os.stat_result) -> bool:
    """Whether the content is not on this machine, so that reading would fetch it (clouds, archives)."""
    return windows_formats.is_away(status.st_file_attributes)


def use_backup_right() -> bool:
    """Let this process read what no access list allows it, as root does elsewhere; whether it holds that right.

    SeBackupPrivilege: administrators and the system's own account have it, switched off.
    """
    was = wintypes.BOOLEAN()
    return not _adjust_privilege(_BACKUP_PRIVILEGE, True, False, was)


class Tree:
    """The machine, or a folder of it: paths are absolute in it, canonical (no link or `..`), and cannot leave it."""

    def __init__(self, root: bytes) -> None:
        """`root`: `/` for the machine with its drives, else a folder as Windows names it."""
        self.root = b"" if root == b"/" else carried(root if is_windows(root) else os.fsencode(os.path.abspath(root)))

    def close(self) -> None:
        """Nothing is kept open: an open folder would keep others from renaming those above it."""

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_folder(self, path: bytes) -> int:
        """Open a folder for reading its entries. Raises OSError, also for one whose entries are not on this machine."""
        fd = _descriptor(self._open(path, _BARE | _READ_DATA, _DIRECTORY_FILE))
        try:
            status = fstat(fd)
            if is_surrogate(status.st_file_attributes, status.st_reparse_tag) and _parts(self.root + path)[1]:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if is_away(status):
                raise ctypes.WinError(_FILE_OFFLINE)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def open_bare(self, path: bytes) -> int:
        """Open whatever `path` is, a link itself, so that its facts can be asked for and nothing else."""
        return _descriptor(self._open(path, _BARE | _READ_CONTROL, 0))

    def open_file(self, path: bytes) -> int:
        """Open a regular file for reading; anything else is ENOTDIR: a link is opened as itself, and not read."""
        folder, _, name = path.rpartition(b"/")
        folder_fd = self.open_folder(folder)
        try:
            fd = open_in(name, folder_fd)
        finally:
            os.close(folder_fd)
        try:
            if not stat.S_ISREG(fstat(fd).st_mode):
                raise OSError(errno.ENOTDIR, "not a regular file", path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def lstat(self, path: bytes) -> os.stat_result:
        """Return the status of `path`, a link itself if it is one."""
        handle = self._open(path, _BARE, 0)
        try:
            return self._status(handle, path)
        finally:
            _close(handle)

    def status_and_link(self, path: bytes) -> tuple[os.stat_result, bytes | None]:
        """Return the status of `path`, and where it leads if it is a link: both of the very same file."""
        handle = self._open(path, _BARE, 0)
        try:
            status = self._status(handle, path)
            if not is_surrogate(status.st_file_attributes, status.st_reparse_tag):
                return status, None
            target = _link(handle, _volume(handle))
            if not target:
                raise OSError(errno.EIO, "a link of which nobody can tell where it leads", path)
            return status, target
        finally:
            _close(handle)

    def _status(self, handle: int, path: bytes) -> os.stat_result:
        # The root of a volume stands for nothing else; Wine says so of one that is mounted on another.
        ignored = 0 if _parts(self.root + path)[1] else REPARSE_POINT
        return _status(handle, _volume_serial(handle), ignored)

    def true_path(self, path: bytes) -> bytes:
        """Return the canonical `path` as its folders spell it: long names in their own case. Raises OSError."""
        below = len(_parts(self.root + path)[1])
        handle = self._open(path, _BARE, 0)
        try:
            spelled = _spelling(handle).split(b"\\")
        finally:
            _close(handle)
        names = [name for name in path.split(b"/") if name]
        count = min(below, len(names))
        return b"/" + b"/".join([*names[: len(names) - count], *spelled[len(spelled) - count :]])

    def _open(self, path: bytes, access: int, options: int) -> int:
        """Open each name from the folder before it. Raises OSError; a link on the way is ELOOP."""
        top, names = _parts(self.root + path)
        handle = _open(None, top, _BARE | _TRAVERSE if names else access, _DIRECTORY_FILE)
        for left, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
            try:
                if left:
                    inner = _open_in(handle, name, _BARE | _TRAVERSE, _DIRECTORY_FILE)
                else:
                    inner = self._last(handle, name, access, options)
            finally:
                _close(handle)
            handle = inner
            if left and _stands_for_another(handle):
                _close(handle)
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return handle

    @staticmethod
    def _last(handle: int, name: bytes, access: int, options: int) -> int:
        if access & _READ_CONTROL:
            return _open_for_facts(handle, name, options)
        return _open_in(handle, name, access, options)


def _stands_for_another(handle: int) -> bool:
    try:
        raw = _query(handle, _ATTRIBUTE_TAG, 8)
        return is_surrogate(int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little"))
    except OSError:
        _close(handle)
        raise


def _parts(path: bytes) -> tuple[str, list[bytes]]:
    """Return the name of the volume for the object manager, and the names below it. Raises OSError."""
    names = [name for name in path.split(b"/") if name]
    count = 3 if names[:1] == [b"UNC"] else 1
    known = bool(names) and (_DRIVE.match(names[0]) or names[0].startswith(b"Volume{") or names[0] == b"UNC")
    if not known or len(names) < count:
        raise FileNotFoundError(errno.ENOENT, "no such volume", path)
    if any(b"\\" in name or b":" in name for name in names[1:count]):
        raise FileNotFoundError(errno.ENOENT, "no file can bear this name", path)
    top = b"\\".join(names[:count]).decode("utf-8", "surrogatepass")
    return f"\\??\\{top}\\", names[count:]


def _spelling(handle: int) -> bytes:
    """Return the path of a handle within its volume, normalized: long names in their own case. Raises OSError."""
    buffer = ctypes.create_string_buffer(_BUFFER + 8)
    status = _query_information(handle, _IoStatus(), buffer, len(buffer), _NORMALIZED_NAME)
    if status & 0x80000000:  # file systems that know one name a file need not have this form
        status = _query_information(handle, _IoStatus(), buffer, len(buffer), _NAME)
    if status & 0x80000000:
        raise _error(status)
    length = int.from_bytes(buffer.raw[:4], "little")
    return wtf8(buffer.raw[4 : 4 + length])


def _volume(handle: int) -> bytes:
    """Return the carried path of the volume that a handle is on; empty where nobody can tell."""
    try:
        names = _place(handle).split(b"/")
    except OSError:
        return b""
    return b"/".join(names[: 4 if names[1] == b"UNC" else 2])


def _place(handle: int) -> bytes:
    """Return the path of a handle as carried, by the letter of its volume if it has one. Raises OSError."""
    buffer = ctypes.create_unicode_buffer(_BUFFER // 2)
    for form in (_VOLUME_NAME_DOS, _VOLUME_NAME_GUID):
        if _final_path(handle, buffer, len(buffer), form):
            try:
                return carried(buffer.value.encode("utf-8", "surrogatepass"))
            except ValueError as error:
                raise OSError(errno.EIO, str(error)) from error
    raise ctypes.WinError(ctypes.get_last_error())


def _link(handle: int, volume: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(_MAX_REPARSE)
    io = _IoStatus()
    status = _control(handle, None, None, None, io, _GET_REPARSE_POINT, None, 0, buffer, _MAX_REPARSE)
    if status & 0x80000000:
        raise _error(status)
    try:
        return link_of(buffer.raw[: io.information], volume)
    except ValueError as error:
        raise OSError(errno.EIO, str(error)) from error


class Entry:
    """One name of a folder, in the shape of os.DirEntry, looked at through the folder's handle."""

    def __init__(self, name: bytes, fd: int) -> None:
        """Raises FileNotFoundError also where the folder spells the name otherwise: then it is another path."""
        self.name = name.decode("utf-8", "surrogatepass")
        handle = _open_in(msvcrt.get_osfhandle(fd), name, _BARE)
        try:
            self._status = _status(handle)
            if _spelling(handle).rpartition(b"\\")[2] != name:
                raise FileNotFoundError(errno.ENOENT, "it is spelled otherwise", name)
        finally:
            _close(handle)

    def is_symlink(self) -> bool:
        """Whether it stands for another entry: a symbolic link, a junction, a mounted volume."""
        return is_surrogate(self._status.st_file_attributes, self._status.st_reparse_tag)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder itself."""
        return not follow_symlinks and bool(self._status.st_file_attributes & DIRECTORY)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the status of the entry itself."""
        if follow_symlinks:
            raise NotImplementedError("only the entry itself was looked at")
        return self._status


class _Listed:
    """An entry as a folder lists it.

    Size and times in a folder are those of when the file was last closed under this very name (a write through
    another hard link does not show there), so the file itself is asked.
    """

    def __init__(self, folder: int, name: str, attributes: int, tag: int) -> None:
        self.name = name
        self._folder = folder
        self._attributes = attributes
        self._tag = tag

    def is_symlink(self) -> bool:
        return is_surrogate(self._attributes, self._tag)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return bool(self._attributes & DIRECTORY)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        name = self.name.encode("utf-8", "surrogatepass")
        if _NO_NAME.search(name):  # a file system of somebody else's making
            raise OSError(errno.EINVAL, "no file can bear this name", name)
        handle = _open_in(self._folder, name, _BARE)
        try:
            return _status(handle)
        finally:
            _close(handle)


@contextmanager
def entries(fd: int) -> Iterator[Iterator[_Listed]]:
    """List the folder that `fd` stands for. Raises OSError."""
    yield _list(msvcrt.get_osfhandle(fd))


def _list(folder: int) -> Iterator[_Listed]:
    buffer = ctypes.create_string_buffer(_BUFFER)
    restart = True
    while True:
        io = _IoStatus()
        status = _query_directory(
            folder, None, None, None, io, buffer, _BUFFER, _ID_BOTH_DIRECTORY, False, None, restart
        )
        if status in (_NO_MORE_FILES, _NO_SUCH_FILE):
            return
        if status & 0x80000000:
            raise _error(status)
        restart = False
        try:
            found = list(parse_directory(buffer.raw[: io.information]))
        except ValueError as error:
            raise OSError(errno.EIO, str(error)) from error
        for entry in found:
            yield _Listed(folder, entry.name, entry.attributes, entry.tag)


def open_in(name: bytes, dir_fd: int) -> int:
    """Open the file `name` of a folder for reading its content. Raises OSError."""
    folder = msvcrt.get_osfhandle(dir_fd)
    try:
        handle = _open_in(folder, name, _BARE | _READ_DATA | _READ_CONTROL, _NON_DIRECTORY_FILE)
    except PermissionError:
        handle = _open_in(folder, name, _BARE | _READ_DATA, _NON_DIRECTORY_FILE)
    try:
        status = _status(handle)
        if status.st_reparse_tag in READ_THROUGH_TAGS:
            # Opened as itself it has no content; opened again from its own handle it cannot be another one.
            whole = _open(handle, "", _BARE | _READ_DATA | _READ_CONTROL, _REPARSE_POINT | _NON_DIRECTORY_FILE)
            _close(handle)
            handle = whole
    except BaseException:
        _close(handle)
        raise
    return _descriptor(handle)


def place_of(fd: int) -> bytes:
    """Return where what `fd` stands for can be opened again, as carried. Raises OSError."""
    return _place(msvcrt.get_osfhandle(fd))


def open_again(place: bytes, status: os.stat_result) -> int | None:
    """Open the very file that had `status` for reading; None if another one is there now. Raises OSError."""
    fd = Tree(b"/").open_file(place)
    found = fstat(fd)
    if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
        return fd
    os.close(fd)
    return None


def open_bare_in(name: bytes, dir_fd: int) -> int:
    """Open the entry `name` of a folder, a link itself, for its facts."""
    return _descriptor(_open_for_facts(msvcrt.get_osfhandle(dir_fd), name))


def readlink_in(name: bytes, dir_fd: int) -> bytes:
    """Return where the link `name` of a folder leads, as carried; empty where nobody can tell."""
    folder = msvcrt.get_osfhandle(dir_fd)
    handle = _open_in(folder, name, _BARE)
    try:
        return _link(handle, _volume(handle))
    finally:
        _close(handle)


def readlink_of(fd: int) -> bytes:
    """Return where the link that was opened as `fd` leads, as carried; empty where nobody can tell."""
    handle = msvcrt.get_osfhandle(fd)
    return _link(handle, _volume(handle))


def read_at(fd: int, size: int, place: int) -> bytes:
    """Return at most `size` bytes from `place` on."""
    buffer = ctypes.create_string_buffer(size)
    count = _read(fd, buffer, size, place)
    return buffer.raw[:count]


def _read(fd: int, buffer: ctypes.Array[ctypes.c_char], size: int, place: int) -> int:
    io = _IoStatus()
    offset = ctypes.c_longlong(place)
    status = _read_file(msvcrt.get_osfhandle(fd), None, None, None, io, buffer, size, offset, None)
    if status == _END_OF_FILE:
        return 0
    if status & 0x80000000:
        raise _error(status)
    return int(io.information)


def pieces(fd: int, status: os.stat_result, begin: int = 0) -> Iterator[tuple[memoryview, bool]]:
    """Yield the first `st_size` bytes, from `begin` on, and whether they were read: holes are known to be zeros.

    A view is good until the next one is asked for. Ends early where the file does. Raises OSError.
    """
    buffer = ctypes.create_string_buffer(PIECE)
    view = memoryview(buffer).cast("B")
    place, size = begin, status.st_size
    for data, end in _allocated(fd, status):
        while place < data:
            count = min(PIECE, data - place)
            yield _ZEROS[:count], False
            place += count
        while place < end:
            count = _read(fd, buffer, min(PIECE, end - place), place)
            if count == 0:
                return
            yield view[:count], True
            place += count
    while place < size:
        count = min(PIECE, size - place)
        yield _ZEROS[:count], False
        place += count


def _allocated(fd: int, status: os.stat_result) -> list[tuple[int, int]]:
    """Return the parts of a file that hold data; all of it where it is not sparse, or its file system does not say."""
    size = status.st_size
    everything = [(0, size)]
    if not status.st_file_attributes & SPARSE_FILE:
        return everything
    asked = ctypes.create_string_buffer((0).to_bytes(8, "little") + size.to_bytes(8, "little"), 16)
    buffer = ctypes.create_string_buffer(_MAX_STREAMS)
    io = _IoStatus()
    handle = msvcrt.get_osfhandle(fd)
    result = _control(handle, None, None, None, io, _QUERY_ALLOCATED_RANGES, asked, 16, buffer, len(buffer))
    # Cut off (65,536 parts): what follows must not count as holes.
    return everything if result & 0x80000000 else parse_ranges(buffer.raw[: io.information], size)


def birth_time(fd: int, name: bytes = b"") -> int | None:
    """Return the creation time of what `fd` stands for (or of its entry `name`, a link itself), or None."""
    handle = msvcrt.get_osfhandle(fd)
    try:
        if not name:
            return _created(handle)
        inner = _open_in(handle, name, _BARE)
        try:
            return _created(inner)
        finally:
            _close(inner)
    except OSError:
        return None


def _created(handle: int) -> int | None:
    return parse_all_information(_query(handle, _ALL, 104)).created_ns


class FactReader:
    """Reads the facts of entries."""

    def read(self, fd: int | None, status: os.stat_result) -> Facts:
        """Return what can be told of what `fd` stands for; without one, of what has this status."""
        attributes = status.st_file_attributes
        if fd is None:
            return Facts(None, file_attributes=attributes)
        handle = msvcrt.get_osfhandle(fd)
        return Facts(birth_time(fd), acl=_security(handle), file_attributes=attributes, streams=_streams(handle))


def _security(handle: int) -> str:
    """Return owner, group and access list as SDDL, empty if they may not be read."""
    descriptor, text = _P(), _P()
    if _get_security(handle, _SE_FILE_OBJECT, _OWNER_GROUP_DACL, None, None, None, None, descriptor):
        return ""
    try:
        if not _sddl(descriptor, _SDDL_REVISION_1, _OWNER_GROUP_DACL, text, None) or text.value is None:
            return ""
        try:
            return ctypes.wstring_at(text.value)
        finally:
            _local_free(text)
    finally:
        _local_free(descriptor)


def _streams(handle: int) -> tuple[tuple[bytes, int], ...]:
    """Return the alternate data streams; none where the file system cannot tell, or tells of more than 1 MiB."""
    size = 4096
    while size <= _MAX_STREAMS:
        buffer = ctypes.create_string_buffer(size)
        io = _IoStatus()
        status = _query_information(handle, io, buffer, size, _STREAM)
        if status in _TOO_SMALL:
            size *= 16
            continue
        if status & 0x80000000:
            return ()
        try:
            return tuple(parse_streams(buffer.raw[: io.information]))
        except ValueError:  # a file system of somebody else's making
            return ()
    return ()
