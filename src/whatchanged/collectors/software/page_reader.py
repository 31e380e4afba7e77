"""Reading a file of pages at given places: what the pure parsers of database files are handed."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

__all__ = ["BytesReader", "FileReader", "Reader"]


class Reader(Protocol):
    """Bytes at places."""

    size: int

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`; fewer where the file ends."""


class FileReader:
    """An open file, which its owner closes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`. Raises OSError."""
        self._file.seek(offset)
        return self._file.read(length)


class BytesReader:
    """Bytes in memory."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.size = len(raw)

    def at(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`."""
        return self._raw[offset : offset + length]
