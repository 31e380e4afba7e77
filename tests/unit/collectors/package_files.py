"""Writers of package databases, from their documented formats: what the parsers are tested with.

They are written from the documents that the parsers name, not from the parsers. What rpm, Berkeley DB and flatpak
themselves write is tested in `tests/integration/collectors`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

NAME, VERSION, RELEASE, EPOCH, SUMMARY, INSTALL_TIME = 1000, 1001, 1002, 1003, 1004, 1008
SIZE, VENDOR, PACKAGER, ARCH, PROVIDES = 1009, 1011, 1015, 1022, 1047
DIR_INDEXES, BASE_NAMES, DIR_NAMES, INSTALL_TID, LONG_SIZE = 1116, 1117, 1118, 1128, 5009

TagValue = str | int | Sequence[str] | Sequence[int]


def rpm_header(tags: Mapping[int, TagValue]) -> bytes:
    """Write an rpm header without its magic: INT32 for numbers (INT64 for LONG_SIZE), STRING, STRING_ARRAY."""
    index = data = b""
    for tag, value in tags.items():
        kind, count, content, alignment = _encoded(tag, value)
        data += bytes(-len(data) % alignment)
        index += struct.pack(">iIiI", tag, kind, len(data), count)
        data += content
    return struct.pack(">II", len(tags), len(data)) + index + data


def _encoded(tag: int, value: TagValue) -> tuple[int, int, bytes, int]:
    if isinstance(value, str):
        return (9 if tag == SUMMARY else 6), 1, value.encode() + b"\0", 1
    if isinstance(value, int):
        return (5, 1, struct.pack(">Q", value), 8) if tag == LONG_SIZE else (4, 1, struct.pack(">I", value), 4)
    if value and all(isinstance(entry, int) for entry in value):
        return 4, len(value), b"".join(struct.pack(">I", entry) for entry in value), 4
    return 8, len(value), b"".join(str(entry).encode() + b"\0" for entry in value), 1


def package(name: str, version: str = "1", release: str = "1", **more: TagValue) -> bytes:
    """Write the header of a package; `more` by the names of this module."""
    tags: dict[int, TagValue] = {NAME: name, VERSION: version, RELEASE: release, ARCH: "noarch"}
    tags.update({globals()[key]: value for key, value in more.items()})
    return rpm_header(tags)


def ndb(blobs: Sequence[bytes]) -> bytes:
    """Write a Packages.db with the blobs under the numbers from 1, each behind a free slot."""
    slot_pages = 2
    slots = []
    body = b""
    for number, blob in enumerate(blobs, 1):
        head = struct.pack("<4sIII", b"BlbS", number, 1_700_000_000, len(blob)) + blob
        head += bytes(-(len(head) + 12) % 16)
        full = head + struct.pack("<II4s", zlib.adler32(head), len(blob), b"BlbE")
        first = slot_pages * 256 + len(body) // 16
        slots.append(struct.pack("<4sIII", b"Slot", 0, 0, 0))
        slots.append(struct.pack("<4sIII", b"Slot", number, first, len(full) // 16))
        body += full
    header = struct.pack("<4sIIIIIII", b"RpmP", 0, 7, slot_pages, len(blobs) + 1, 0, 0, 0)
    table = header + b"".join(slots)
    while len(table) < slot_pages * 4096:
        table += struct.pack("<4sIII", b"Slot", 0, 0, 0)
    return table + body


def bdb(blobs: Sequence[bytes], order: str = "<", page_size: int = 512) -> bytes:
    """Write a hash file of two buckets; every value on overflow pages, the counter of rpm on the page of its bucket."""
    pages: dict[int, bytes] = {}
    numbers = iter(range(3, 1_000_000))

    def page(number: int, following: int, entries: int, free: int, kind: int, content: bytes) -> None:
        head = struct.pack(f"{order}QIIIHHBB", 0, number, 0, following, entries, free, 0, kind)
        pages[number] = (head + content).ljust(page_size, b"\0")

    def overflow(value: bytes) -> int:
        room = page_size - 26
        parts = [value[at : at + room] for at in range(0, len(value), room)]
        places = [next(numbers) for _ in parts]
        for part, number, following in zip(parts, places, [*places[1:], 0], strict=True):
            page(number, following, 1, len(part), 7, part)
        return places[0]

    def items(pairs: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
        index = b""
        content = b""
        for item in (item for pair in pairs for item in pair):
            content = item + content
            index += struct.pack(f"{order}H", page_size - len(content))
        filler = page_size - 26 - len(index) - len(content)
        assert filler >= 0
        return len(pairs) * 2, index + bytes(filler) + content

    buckets: list[list[tuple[bytes, bytes]]] = [[(b"\1" + bytes(4), b"\1" + bytes(4))], []]
    for number, blob in enumerate(blobs, 1):
        place = struct.pack(f"{order}B3xII", 3, overflow(blob), len(blob))
        buckets[number % 2].append((b"\1" + struct.pack(f"{order}I", number), place))
    for bucket, pairs in enumerate(buckets):
        entries, content = items(pairs)
        page(bucket + 1, 0, entries, 0, 13, content)
    last = max(pages)
    meta = struct.pack(f"{order}QIIIIBBBBIIII", 0, 0, 0x061561, 9, page_size, 0, 8, 0, 0, 0, last, 0, len(blobs))
    meta = meta.ljust(72, b"\0") + struct.pack(f"{order}IIIII", 1, 1, 0, 0, len(blobs))
    meta = meta.ljust(96, b"\0") + struct.pack(f"{order}32I", *[1] * 32)
    return meta.ljust(page_size, b"\0") + b"".join(pages[number] for number in range(1, last + 1))
