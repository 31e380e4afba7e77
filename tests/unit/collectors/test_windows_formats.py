"""What Windows' file systems answer, byte by byte as MS-FSCC lays it out."""

from __future__ import annotations

import stat
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whatchanged.collectors.files.windows_formats import (
    DirectoryEntry,
    is_away,
    is_surrogate,
    link_of,
    mode_of,
    parse_all_information,
    parse_directory,
    parse_ranges,
    parse_streams,
)

SYMLINK, MOUNT_POINT, DEDUP, CLOUD, AF_UNIX = 0xA000000C, 0xA0000003, 0x80000013, 0x9000301A, 0x80000023
HALF = "half\ud800pair"


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def chained(parts: list[bytes]) -> bytes:
    """Join entries that begin with the distance to the next one, each on a multiple of eight bytes."""
    padded = [part + bytes(-len(part) % 8) for part in parts]
    lengths = [*(len(part) for part in padded[:-1]), 0]
    return b"".join(struct.pack("<I", length) + part[4:] for length, part in zip(lengths, padded, strict=True))


def directory_entry(name: str, attributes: int, tag: int = 0) -> bytes:
    raw = utf16(name)
    fixed = struct.pack("<II6qIIIBx24s", 0, 0, *range(6), attributes, len(raw), tag, 0, b"")
    return fixed + bytes(96 - len(fixed)) + struct.pack("<Q", 7) + raw


def test_a_folder() -> None:
    entries = [(".", 0x10, 0), ("..", 0x10, 0), ("CON", 0x80, 0), (HALF, 0x20, 0), ("link", 0x410, MOUNT_POINT)]
    raw = chained([directory_entry(*entry) for entry in entries])
    assert list(parse_directory(raw)) == [
        DirectoryEntry("CON", 0, 0),
        DirectoryEntry(HALF, 0x20, 0),
        DirectoryEntry("link", 0x410, MOUNT_POINT),
    ]
    assert list(parse_directory(b"")) == []


def test_a_size_of_extended_attributes_is_no_tag() -> None:
    (entry,) = parse_directory(directory_entry("x", 0x20, SYMLINK))
    assert (entry.tag, is_surrogate(entry.attributes, entry.tag)) == (0, False)


@pytest.mark.parametrize(
    ("attributes", "tag", "kind"),
    [
        (0x20, 0, stat.S_IFREG),
        (0x10, 0, stat.S_IFDIR),
        (0x410, MOUNT_POINT, stat.S_IFLNK),
        (0x410, SYMLINK, stat.S_IFLNK),
        (0x400, SYMLINK, stat.S_IFLNK),
        (0x400, 0xA0001234, stat.S_IFLNK),
        (0x600, DEDUP, stat.S_IFREG),
        (0x400, CLOUD, stat.S_IFREG),
        (0x410, CLOUD, stat.S_IFDIR),
        (0x400, AF_UNIX, stat.S_IFSOCK),
        (0x20, AF_UNIX, stat.S_IFREG),
    ],
)
def test_types(attributes: int, tag: int, kind: int) -> None:
    assert mode_of(attributes, tag) == kind


@pytest.mark.parametrize(("attributes", "away"), [(0x20, False), (0x1020, True), (0x400400, True), (0x40000, True)])
def test_content_that_is_elsewhere(attributes: int, away: bool) -> None:
    assert is_away(attributes) is away


def test_status() -> None:
    at = 116_444_736_000_000_000
    raw = struct.pack("<qqqqI4xqqIBBxxQ", at + 1, at + 2, at + 3, at + 4, 0xA1, 4096, 5, 2, 0, 0, 99)
    found = parse_all_information(raw + b"more")
    assert (found.created_ns, found.accessed_ns, found.modified_ns, found.changed_ns) == (100, 200, 300, 400)
    assert (found.attributes, found.size, found.links, found.file_id) == (0x21, 5, 2, 99)
    without = struct.pack("<qqqqI4xqqIBBxxQ", at, at, at + 3, 0, 0x10, 4096, 4096, 1, 0, 1, 1)
    assert (parse_all_information(without).changed_ns, parse_all_information(without).size) == (300, 0)


def stream(name: str, size: int) -> bytes:
    return struct.pack("<IIqq", 0, len(utf16(name)), size, 0) + utf16(name)


def test_streams() -> None:
    raw = chained([stream("::$DATA", 5), stream(":b:$DATA", 1), stream(":a:$INDEX", 2), stream(f":{HALF}:$DATA", 3)])
    assert parse_streams(raw) == [(b"a:$INDEX", 2), (b"b", 1), (b"half\xed\xa0\x80pair", 3)]
    assert parse_streams(chained([stream("::$DATA", 5), stream(":Zone.Identifier:$DATA", 26)])) == [
        (b"Zone.Identifier", 26)
    ]
    assert parse_streams(b"") == []


def test_ranges() -> None:
    raw = struct.pack("<qqqqqq", 0, 10, 100, 50, 200, 900)
    assert parse_ranges(raw + b"cut", 400) == [(0, 10), (100, 150), (200, 400)]
    assert parse_ranges(struct.pack("<qqqq", 5, 10, 0, 3), 400) == [(5, 15)]
    assert parse_ranges(struct.pack("<qq", -5, 10), 400) == []


def reparse(tag: int, target: str, flags: int | None) -> bytes:
    names = utf16(target) + utf16("print name")
    data = struct.pack("<HHHH", 0, len(utf16(target)), len(utf16(target)), 20)
    data += b"" if flags is None else struct.pack("<I", flags)
    return struct.pack("<IHH", tag, len(data + names), 0) + data + names


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        (reparse(MOUNT_POINT, r"\??\C:\target\deep" + "\\", None), b"/C:/target/deep"),
        (reparse(MOUNT_POINT, r"\??\Volume{0-1}" + "\\", None), b"/Volume{0-1}"),
        (reparse(SYMLINK, r"\??\UNC\server\share\x", 0), b"/UNC/server/share/x"),
        (reparse(SYMLINK, r"\??\d:\x", 0), b"/D:/x"),
        (reparse(SYMLINK, r"..\up\file", 1), b"../up/file"),
        (reparse(SYMLINK, r"\rooted", 1), b"/E:/rooted"),
        (reparse(SYMLINK, HALF, 1), b"half\xed\xa0\x80pair"),
        (reparse(SYMLINK, r"\Device\Mup\x", 0), b""),
        (reparse(SYMLINK, r"\??\PIPE\x", 0), b""),
        (struct.pack("<IHH", 0xA000001D, 8, 0) + b"\2\0\0\0" + b"../a", b"../a"),
        (struct.pack("<IHH", 0xA000001D, 8, 0) + b"\2\0\0\0" + b"/etc", b""),
        (struct.pack("<IHH", DEDUP, 4, 0) + b"data", b""),
    ],
)
def test_links(raw: bytes, target: bytes) -> None:
    assert link_of(raw, b"/E:") == target


@given(st.binary(max_size=400))
@example(chained([directory_entry("x", 0x20)])[:-1])
@example(chained([stream("::$DATA", 1)])[:-1])
@example(reparse(SYMLINK, "x", 1)[:-30])
def test_no_bytes_are_anything_but_read_or_refused(raw: bytes) -> None:
    for parse in (lambda: list(parse_directory(raw)), lambda: parse_streams(raw), lambda: link_of(raw)):
        try:
            parse()
        except ValueError:
            continue
    assert all(begin < end <= 1000 for begin, end in parse_ranges(raw, 1000))
