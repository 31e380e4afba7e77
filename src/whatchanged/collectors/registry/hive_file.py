"""Bytes of a hive file at places: read in blocks, few of which are kept, with what its logs change laid over them.

Not mapped into memory: a disk with a bad sector, or a file that is cut short meanwhile, would end the process there.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Protocol

__all__ = ["BlockFile", "Bytes"]

_BLOCK = 64 * 1024
_MAX_BLOCKS = 128
"""Blocks kept in memory: 8 MiB."""


class Bytes(Protocol):
    """Bytes at places."""

    @property
    def size(self) -> int:
        """How many there are."""

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`; fewer where they end. Raises OSError."""


class BlockFile:
    """A file read in blocks, over which pieces of other files can be laid."""

    def __init__(self, file: Bytes) -> None:
        self._file = file
        self.size = file.size
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._laid: defaultdict[int, list[tuple[int, Bytes, int, int]]] = defaultdict(list)

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`; fewer where they end. Raises OSError."""
        number, start = divmod(offset, _BLOCK)
        if start + length <= _BLOCK:
            return self._block(number)[start : start + length]
        parts = [self._block(number)[start:]]
        length -= _BLOCK - start
        while length > 0 and len(parts[-1]):
            number += 1
            parts.append(self._block(number)[:length])
            length -= _BLOCK
        return b"".join(parts)

    def lay(self, offset: int, source: Bytes, start: int, length: int) -> None:
        """From now on `length` bytes at `offset` are those at `start` of `source`; the file grows where it must."""
        end = offset + length
        self.size = max(self.size, end)
        while offset < end:
            number, within = divmod(offset, _BLOCK)
            part = min(end - offset, _BLOCK - within)
            self._laid[number].append((within, source, start, part))
            self._kept.pop(number, None)
            offset, start = offset + part, start + part

    def _block(self, number: int) -> bytes:
        block = self._kept.get(number)
        if block is not None:
            self._kept.move_to_end(number)
            return block
        block = self._file.at(number * _BLOCK, _BLOCK)
        if number in self._laid:
            whole = bytearray(block)
            for within, source, start, length in self._laid[number]:
                if len(whole) < within:  # the file ends before what its log adds
                    whole.extend(bytes(within - len(whole)))
                whole[within : within + length] = source.at(start, length)
            block = bytes(whole)
        self._kept[number] = block
        if len(self._kept) > _MAX_BLOCKS:
            self._kept.popitem(last=False)
        return block
