"""Decompression that is bounded while it happens: in bytes, and in members that follow each other."""

from __future__ import annotations

import zlib

from whatchanged.errors import LimitExceeded, WireError

__all__ = ["DEFLATE", "GZIP", "decompress"]

GZIP = 16 + zlib.MAX_WBITS
DEFLATE = zlib.MAX_WBITS
_PIECE = 64 * 1024
_MEMBERS = 10_000


def decompress(data: bytes, window: int, limit: int) -> bytes:
    """Return every member of `data`, one behind the other; `window` is GZIP or DEFLATE (the zlib format).

    Raises LimitExceeded as soon as it grows over `limit` bytes, WireError if it is something else or ends too early.
    """
    whole = bytearray()
    at = members = 0
    while at < len(data):
        members += 1
        if members > _MEMBERS:
            raise LimitExceeded(f"compressed data has more than {_MEMBERS} members")
        member = zlib.decompressobj(window)
        while not member.eof:
            # In pieces, because what is left behind the end of a member is copied each time.
            piece = data[at : at + _PIECE]
            if not piece:
                raise WireError("compressed data ends too early")
            try:
                whole += member.decompress(piece, limit + 1 - len(whole))
            except zlib.error as error:
                raise WireError(f"compressed data is damaged: {error}") from error
            if len(whole) > limit:
                raise LimitExceeded(f"data is longer than {limit} bytes decompressed")
            at += len(piece) - len(member.unused_data)
    return bytes(whole)
