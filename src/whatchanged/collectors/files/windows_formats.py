"""What the file systems of Windows answer, parsed: folders, status, reparse points, streams, allocated ranges. Pure.

The layouts are those of MS-FSCC (2.4 file information, 2.1.2 reparse data, 2.3.48 allocated ranges).
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from whatchanged.records.windows_paths import carried

__all__ = [
    "DIRECTORY",
    "READ_THROUGH_TAGS",
    "REPARSE_POINT",
    "SPARSE_FILE",
    "DirectoryEntry",
    "Status",
    "is_away",
    "is_surrogate",
    "link_of",
    "mode_of",
    "parse_all_information",
    "parse_directory",
    "parse_ranges",
    "parse_streams",
    "unix_ns",
    "wtf8",
]

DIRECTORY, REPARSE_POINT, SPARSE_FILE = 0x10, 0x400, 0x200
_NORMAL = 0x80
_OFFLINE, _RECALL_ON_OPEN, _RECALL_ON_DATA_ACCESS = 0x1000, 0x40000, 0x400000
_AWAY = _OFFLINE | _RECALL_ON_OPEN | _RECALL_ON_DATA_ACCESS

_SYMLINK, _MOUNT_POINT, _LX_SYMLINK = 0xA000000C, 0xA0000003, 0xA000001D
_SURROGATE = 0x20000000
"""Bit of a tag: the entry stands for another one (IsReparseTagNameSurrogate)."""
_SPECIAL = {
    0x80000023: stat.S_IFSOCK,  # IO_REPARSE_TAG_AF_UNIX
    0x80000024: stat.S_IFIFO,  # IO_REPARSE_TAG_LX_FIFO
    0x80000025: stat.S_IFCHR,  # IO_REPARSE_TAG_LX_CHR
    0x80000026: stat.S_IFBLK,  # IO_REPARSE_TAG_LX_BLK
}
READ_THROUGH_TAGS = frozenset({0x80000013, 0x80000017})
"""Deduplicated and compressed (WOF) files: what is behind the reparse point is the content, and it is on this disk."""

_UNIX_EPOCH = 116_444_736_000_000_000
"""1970 in units of 100 ns since 1601."""
_DIRECTORY_ENTRY = struct.Struct("<II48xII")
"""FILE_ID_BOTH_DIR_INFORMATION: next, index, times and sizes, attributes, bytes of the name; EaSize follows."""
_EA_SIZE_AT, _NAME_AT = 64, 104
_ALL = struct.Struct("<qqqqI4xqqIBBxxQ")
_STREAM = struct.Struct("<IIqq")
_RANGE = struct.Struct("<qq")
_REPARSE = struct.Struct("<IHxx")
_LINK = struct.Struct("<HHHH")
_RELATIVE = 1


class DirectoryEntry(msgspec.Struct, frozen=True):
    """One name of a folder."""

    name: str
    """May hold halves of surrogate pairs."""
    attributes: int
    tag: int
    """Reparse tag, 0 where the entry is no reparse point."""


class Status(msgspec.Struct, frozen=True):
    """FILE_ALL_INFORMATION without its name; times in nanoseconds since 1970."""

    created_ns: int
    accessed_ns: int
    modified_ns: int
    changed_ns: int
    """Of anything, also attributes and access; of file systems without one (FAT) that of the last write."""
    attributes: int
    size: int
    links: int
    file_id: int


def unix_ns(filetime: int) -> int:
    """Return a FILETIME as nanoseconds since 1970."""
    return (filetime - _UNIX_EPOCH) * 100


def is_surrogate(attributes: int, tag: int) -> bool:
    """Whether an entry stands for another one, as a link does."""
    return bool(attributes & REPARSE_POINT and tag & _SURROGATE)


def is_away(attributes: int) -> bool:
    """Whether the content (of a folder: its entries) is not here, so that reading would fetch it."""
    return bool(attributes & _AWAY)


def mode_of(attributes: int, tag: int) -> int:
    """Return the type of an entry as `st_mode` has it, without permissions."""
    if is_surrogate(attributes, tag):
        return stat.S_IFLNK
    if attributes & DIRECTORY:
        return stat.S_IFDIR
    return _SPECIAL.get(tag, stat.S_IFREG) if attributes & REPARSE_POINT else stat.S_IFREG


def parse_directory(raw: bytes) -> Iterator[DirectoryEntry]:
    """Yield the entries of a buffer of FILE_ID_BOTH_DIR_INFORMATION. Raises ValueError if it is none."""
    at = 0
    while raw:
        if at + _NAME_AT > len(raw):
            raise ValueError("an entry of a folder is cut off")
        following, _, attributes, length = _DIRECTORY_ENTRY.unpack_from(raw, at)
        begin = at + _NAME_AT
        if begin + length > len(raw) or length % 2:
            raise ValueError("a name in a folder is cut off")
        name = raw[begin : begin + length].decode("utf-16-le", "surrogatepass")
        # Of a reparse point EaSize is its tag (MS-FSCC 2.4.17).
        tag = (
            int.from_bytes(raw[at + _EA_SIZE_AT : at + _EA_SIZE_AT + 4], "little") if attributes & REPARSE_POINT else 0
        )
        if name not in (".", ".."):
            yield DirectoryEntry(name, attributes & ~_NORMAL, tag)
        if not following:
            return
        if following < _NAME_AT:
            raise ValueError("entries of a folder overlap")
        at += following


def parse_all_information(raw: bytes) -> Status:
    """Return the beginning of FILE_ALL_INFORMATION."""
    created, accessed, modified, changed, attributes, _, size, links, _, _, number = _ALL.unpack_from(raw)
    return Status(
        created_ns=unix_ns(created),
        accessed_ns=unix_ns(accessed),
        modified_ns=unix_ns(modified),
        changed_ns=unix_ns(changed or modified),
        attributes=attributes & ~_NORMAL,
        size=0 if attributes & DIRECTORY else size,
        links=links,
        file_id=number,
    )


def parse_streams(raw: bytes) -> list[tuple[bytes, int]]:
    """Return name (WTF-8) and bytes of the alternate data streams, sorted. Raises ValueError if it is no such list."""
    found: list[tuple[bytes, int]] = []
    at = 0
    while raw:
        if at + _STREAM.size > len(raw):
            raise ValueError("a stream is cut off")
        following, length, size, _ = _STREAM.unpack_from(raw, at)
        begin = at + _STREAM.size
        if begin + length > len(raw) or length % 2:
            raise ValueError("the name of a stream is cut off")
        name = wtf8(raw[begin : begin + length]).removeprefix(b":")
        stream, _, kind = name.rpartition(b":")
        if stream:  # without a name it is the content itself
            found.append((stream if kind == b"$DATA" else name, size))
        if not following:
            break
        if following < _STREAM.size:
            raise ValueError("streams overlap")
        at += following
    return sorted(found)


def parse_ranges(raw: bytes, size: int) -> list[tuple[int, int]]:
    """Return begin and end of the parts of a sparse file that hold data, in their order and within `size`."""
    parts: list[tuple[int, int]] = []
    for begin, length in _RANGE.iter_unpack(raw[: len(raw) // _RANGE.size * _RANGE.size]):
        end = min(begin + length, size)
        if 0 <= begin < end and (not parts or begin >= parts[-1][1]):
            parts.append((begin, end))
    return parts


def link_of(raw: bytes, drive: bytes = b"") -> bytes:
    r"""Return where reparse data lead, as carried: an absolute path, or one from the folder of the link.

    `drive`: the carried path of the volume that the link is on, for a target such as `\folder`. Empty if that cannot be
    told. Raises ValueError if it is no reparse data.
    """
    if len(raw) < _REPARSE.size:
        raise ValueError("reparse data are cut off")
    tag, length = _REPARSE.unpack_from(raw)
    data = raw[_REPARSE.size : _REPARSE.size + length]
    if len(data) < length:
        raise ValueError("reparse data are cut off")
    if tag == _LX_SYMLINK:  # version, then the text in UTF-8: a path of Linux, which leads nowhere here
        return b"" if data[4:].startswith(b"/") else data[4:]
    if tag not in (_SYMLINK, _MOUNT_POINT) or len(data) < _LINK.size + 4:
        return b""
    begin, size, _, _ = _LINK.unpack_from(data)
    flags = int.from_bytes(data[_LINK.size : _LINK.size + 4], "little") if tag == _SYMLINK else 0
    names = data[_LINK.size + (4 if tag == _SYMLINK else 0) :]
    if begin + size > len(names) or size % 2:
        raise ValueError("the target of a link is cut off")
    target = wtf8(names[begin : begin + size]).replace(b"\\", b"/")
    if flags & _RELATIVE:
        return drive + target if target.startswith(b"/") else target
    try:
        return carried(target).rstrip(b"/")
    except ValueError:
        return b""


def wtf8(raw: bytes) -> bytes:
    """Return UTF-16 (little endian), halves of pairs and all, as WTF-8."""
    return raw.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")
