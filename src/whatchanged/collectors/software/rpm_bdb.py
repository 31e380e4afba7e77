"""Berkeley DB's hash file `Packages`, where rpm kept its headers up to 4.15 (RHEL 8, SUSE 12). Pure.

Only what is needed to go through all values: the metadata page, the buckets' pages and their chains, values on
overflow pages. Formats: Berkeley DB's src/dbinc/db_page.h (HMETA33, PAGE, HOFFPAGE), and rpm's own reader
lib/backend/bdb_ro.c. The file has the byte order of the machine that made it. No page is visited twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.page_reader import Reader
from whatchanged.collectors.software.rpm_header import LARGEST_HEADER

__all__ = ["bdb_values"]

_MAGIC = 0x061561
_VERSIONS = range(8, 11)
_META_SIZE = 512
_PAGE_SIZES = frozenset(512 << shift for shift in range(8))
_HEAD = 26
_HASH_META, _HASH_UNSORTED, _HASH, _OVERFLOW = 8, 2, 13, 7
_ON_PAGE, _OFF_PAGE = 1, 3
_OFF_PAGE_SIZE = 12
_COUNTER_KEY = bytes(4)
"""rpm keeps the highest number it gave under the number 0."""


def bdb_values(file: Reader) -> Iterator[bytes | PackageDatabaseError]:
    """Yield the values, or what is wrong with one. Raises PackageDatabaseError, OSError."""
    database = _Database(file)
    for page in database.bucket_pages():
        yield from database.values(page)


class _Database:
    def __init__(self, file: Reader) -> None:
        self._file = file
        raw = file.at(0, _META_SIZE)
        if len(raw) < _META_SIZE:
            raise PackageDatabaseError("the database ends in its first page")
        for order in "<>":
            if struct.unpack_from(f"{order}I", raw, 12)[0] == _MAGIC:
                break
        else:
            raise PackageDatabaseError("no hash database of Berkeley DB")
        version, self._page_size = struct.unpack_from(f"{order}II", raw, 16)
        (self._last_page,) = struct.unpack_from(f"{order}I", raw, 32)
        (self._last_bucket,) = struct.unpack_from(f"{order}I", raw, 72)
        self._spares = struct.unpack_from(f"{order}32I", raw, 96)
        # Byte 24 is the encryption algorithm, 25 the type of the page.
        if version not in _VERSIONS or raw[24] or raw[25] != _HASH_META or self._page_size not in _PAGE_SIZES:
            raise PackageDatabaseError(f"a hash database of version {version} that cannot be read")
        if self._last_page >= file.size // self._page_size or self._last_bucket > self._last_page:
            raise PackageDatabaseError("the database is shorter than its first page says")
        self._numbers = struct.Struct(f"{order}IIIHHBB")  # from offset 8: page, previous, next, entries, free, …, type
        self._index = struct.Struct(f"{order}H")
        self._place = struct.Struct(f"{order}II")

    def bucket_pages(self) -> Iterator[bytes]:
        visited: set[int] = set()
        for bucket in range(self._last_bucket + 1):
            number = bucket + self._spares[bucket.bit_length()]
            while number:
                if number in visited:
                    raise PackageDatabaseError(f"page {number} is in two chains")
                visited.add(number)
                page = self._page(number)
                if page[25] not in (_HASH, _HASH_UNSORTED):
                    raise PackageDatabaseError(f"page {number} is none of a hash")
                yield page
                number = self._numbers.unpack_from(page, 8)[2]

    def values(self, page: bytes) -> Iterator[bytes | PackageDatabaseError]:
        """Yield the values of a page, whose items are key, value, key, value, … from its end."""
        entries = self._numbers.unpack_from(page, 8)[3]
        if _HEAD + 2 * entries > self._page_size:
            raise PackageDatabaseError("a page has more items than fit")
        starts = [offset for (offset,) in self._index.iter_unpack(page[_HEAD : _HEAD + 2 * entries])]
        ends = [self._page_size, *starts]
        for number in range(0, entries - 1, 2):
            try:
                key = self._item(page, starts[number], ends[number])
                if key != _COUNTER_KEY:
                    yield self._item(page, starts[number + 1], ends[number + 1])
            except PackageDatabaseError as error:
                yield error

    def _item(self, page: bytes, start: int, end: int) -> bytes:
        if not _HEAD <= start < end <= self._page_size:
            raise PackageDatabaseError("an item lies outside of its page")
        if page[start] == _ON_PAGE:
            return page[start + 1 : end]
        if page[start] == _OFF_PAGE and end - start == _OFF_PAGE_SIZE:
            return self._overflow(*self._place.unpack_from(page, start + 4))
        raise PackageDatabaseError(f"an item is of the kind {page[start]}")

    def _overflow(self, number: int, length: int) -> bytes:
        if not 0 < length <= LARGEST_HEADER:
            raise PackageDatabaseError(f"a value has {length} bytes")
        parts = []
        while length:
            page = self._page(number)
            used = self._numbers.unpack_from(page, 8)[4]
            # An empty page in the chain would let it be followed for ever.
            if page[25] != _OVERFLOW or not 0 < used <= min(length, self._page_size - _HEAD):
                raise PackageDatabaseError(f"page {number} is no part of a value")
            parts.append(page[_HEAD : _HEAD + used])
            length -= used
            number = self._numbers.unpack_from(page, 8)[2]
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        if not 0 < number <= self._last_page:
            raise PackageDatabaseError(f"there is no page {number}")
        page = self._file.at(number * self._page_size, self._page_size)
        if len(page) < self._page_size or self._numbers.unpack_from(page, 8)[0] != number:
            raise PackageDatabaseError(f"page {number} has another number")
        return page
