"""The rpm header: an index of tagged entries and their data, as the package database keeps it. Pure.

Format (rpm's docs/manual/format_header.md): number of entries and bytes of data (4 bytes each, big endian), then the
entries (tag, type, offset into the data, count; 4 bytes each), then the data. In the database the header's magic is
left out. Behind the region that a package came with stand the entries rpm added; of twins the last counts.
Every offset and count is checked against the data before it is followed.
"""

from __future__ import annotations

import struct

import msgspec

from whatchanged.collectors.software.package_facts import METADATA_NAMES, PackageDatabaseError

__all__ = ["LARGEST_HEADER", "Header", "read_files", "read_header"]

LARGEST_HEADER = 64 * 1024 * 1024
"""Bytes; a kernel's sources with 80,000 files need about 10 MB."""
_MOST_ENTRIES = 0xFFFF  # the bound of rpm's own hdrblobVerifyInfo
_LENGTHS = struct.Struct(">II")
_ENTRY = struct.Struct(">iIiI")
_INT32, _INT64, _STRING, _STRINGS, _I18N = 4, 5, 6, 8, 9

_NAME, _VERSION, _RELEASE, _EPOCH, _SUMMARY = 1000, 1001, 1002, 1003, 1004
_INSTALL_TIME, _SIZE, _VENDOR, _PACKAGER, _ARCH = 1008, 1009, 1011, 1015, 1022
_PROVIDES, _DIR_INDEXES, _BASE_NAMES, _DIR_NAMES = 1047, 1116, 1117, 1118
_INSTALL_TID, _LONG_SIZE = 1128, 5009
_FILE_DIGESTS, _FILE_DIGEST_ALGORITHM = 1035, 5011
_SHA256 = 8  # PGPHASHALGO_SHA256
_TEXTS = frozenset({_NAME, _VERSION, _RELEASE, _SUMMARY, _VENDOR, _PACKAGER, _ARCH})
_NUMBERS = frozenset({_EPOCH, _INSTALL_TIME, _SIZE, _INSTALL_TID, _LONG_SIZE})
_FILES = (_DIR_INDEXES, _BASE_NAMES, _DIR_NAMES, _FILE_DIGESTS, _FILE_DIGEST_ALGORITHM)
_WANTED = _TEXTS | _NUMBERS | {_PROVIDES, *_FILES}


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a header. Absent tags are empty or None."""

    name: str
    version: str
    release: str
    epoch: int | None = None
    architecture: str = ""
    summary: str = ""
    vendor: str = ""
    packager: str = ""
    size: int | None = None
    """Bytes of the installed files."""
    installed: int | None = None
    """Seconds since 1970."""
    transaction: int = 0
    provides: frozenset[str] = frozenset()
    metadata_files: frozenset[bytes] = frozenset()
    """Files by which language package managers know a package."""

    @property
    def evr(self) -> str:
        """`epoch:version-release`; without an epoch where the package has none."""
        plain = f"{self.version}-{self.release}" if self.release else self.version
        return plain if self.epoch is None else f"{self.epoch}:{plain}"


def read_header(blob: bytes) -> Header:
    """Return what is wanted of the header. Raises PackageDatabaseError."""
    try:
        data = _Data(blob)
    except struct.error as error:
        raise PackageDatabaseError("the header ends early") from error
    name = data.text(_NAME)
    if not name:
        raise PackageDatabaseError("the header has no name")
    size = data.number(_LONG_SIZE)
    return Header(
        name=name,
        version=data.text(_VERSION),
        release=data.text(_RELEASE),
        epoch=data.number(_EPOCH),
        architecture=data.text(_ARCH),
        summary=data.text(_SUMMARY),
        vendor=data.text(_VENDOR),
        packager=data.text(_PACKAGER),
        size=data.number(_SIZE) if size is None else size,
        installed=data.number(_INSTALL_TIME),
        transaction=data.number(_INSTALL_TID) or 0,
        provides=frozenset(text.decode(errors="replace") for text in data.strings(_PROVIDES)),
        metadata_files=data.metadata_files(),
    )


def read_files(blob: bytes) -> list[tuple[bytes, bytes]]:
    """Return path and SHA-256 of the files of a header; the digest is empty where there is none of that kind.

    Raises PackageDatabaseError.
    """
    try:
        data = _Data(blob)
    except struct.error as error:
        raise PackageDatabaseError("the header ends early") from error
    paths = data.paths()
    digests = data.strings(_FILE_DIGESTS) if data.number(_FILE_DIGEST_ALGORITHM) == _SHA256 else []
    if len(digests) != len(paths):
        return [(path, b"") for path in paths]
    return [(path, _digest(text)) for path, text in zip(paths, digests, strict=True)]


def _digest(text: bytes) -> bytes:
    try:
        digest = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""
    return digest if len(digest) == 32 else b""


class _Data:
    """The data of a header, reached through its index."""

    def __init__(self, blob: bytes) -> None:
        if len(blob) > LARGEST_HEADER:
            raise PackageDatabaseError("the header is larger than any")
        entries, length = _LENGTHS.unpack_from(blob)
        self._begin = _LENGTHS.size + _ENTRY.size * entries
        self._end = self._begin + length
        if not 0 < entries <= _MOST_ENTRIES or self._end > len(blob):
            raise PackageDatabaseError("the header's index is longer than the header")
        self._blob = blob
        index = _ENTRY.iter_unpack(blob[_LENGTHS.size : self._begin])
        self._index = {tag: (kind, offset, count) for tag, kind, offset, count in index if tag in _WANTED}

    def text(self, tag: int) -> str:
        found = self._find(tag, {_STRING, _I18N})  # of translations the first is the untranslated text
        if found is None:
            return ""
        start, _ = found
        end = self._blob.find(b"\0", start, self._end)
        if end < 0:
            raise PackageDatabaseError(f"the text of tag {tag} does not end")
        return self._blob[start:end].decode(errors="replace")

    def number(self, tag: int) -> int | None:
        found = self._find(tag, {_INT32, _INT64})
        if found is None or not found[1]:
            return None
        start = found[0]
        width = 4 if self._index[tag][0] == _INT32 else 8
        if start + width > self._end:
            raise PackageDatabaseError(f"the number of tag {tag} lies outside of the data")
        return int.from_bytes(self._blob[start : start + width], "big")

    def strings(self, tag: int) -> list[bytes]:
        found = self._find(tag, {_STRINGS, _STRING})
        if found is None:
            return []
        start, count = found
        if count > self._end - start:  # each has at least its NUL
            raise PackageDatabaseError(f"the texts of tag {tag} are more than fit")
        texts = self._blob[start : self._end].split(b"\0", count)
        if len(texts) <= count:
            raise PackageDatabaseError(f"the texts of tag {tag} do not end")
        return texts[:count]

    def metadata_files(self) -> frozenset[bytes]:
        """Join the paths of METADATA_NAMES, which few packages have."""
        plain = [name.lstrip(b"/") for name in METADATA_NAMES]
        if not any(self._blob.find(name, self._begin, self._end) >= 0 for name in plain):
            return frozenset()
        return frozenset(path for path in self.paths() if path.endswith(METADATA_NAMES))

    def paths(self) -> list[bytes]:
        """Join the paths of the files; none if their parts do not fit together."""
        names, folders = self.strings(_BASE_NAMES), self.strings(_DIR_NAMES)
        found = self._find(_DIR_INDEXES, {_INT32})
        if found is None or found[1] != len(names) or found[0] + 4 * len(names) > self._end:
            return []
        indexes = struct.unpack_from(f">{len(names)}I", self._blob, found[0])
        if any(index >= len(folders) for index in indexes):
            return []
        return [folders[index] + name for index, name in zip(indexes, names, strict=True)]

    def _find(self, tag: int, kinds: set[int]) -> tuple[int, int] | None:
        entry = self._index.get(tag)
        if entry is None:
            return None
        kind, offset, count = entry
        if kind not in kinds:
            raise PackageDatabaseError(f"tag {tag} has the type {kind}")
        if not 0 <= offset < self._end - self._begin:
            raise PackageDatabaseError(f"tag {tag} lies outside of the data")
        return self._begin + offset, count
