"""Reading a queue of the kernel's events, as long as that may take at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

__all__ = ["read_queue"]

_READS = 64
_SECONDS = 0.25
"""A queue that fills as fast as it is read must not keep the caller from handing out what was read."""


def read_queue(descriptor: int, size: int, take: Callable[[bytes], None]) -> bool:
    """Hand what waits to `take`, `size` bytes at a time; return whether the queue was emptied. Raises OSError.

    `descriptor` does not block.
    """
    end = time.monotonic() + _SECONDS
    for _ in range(_READS):
        if time.monotonic() > end:
            break
        try:
            buffer = os.read(descriptor, size)
        except BlockingIOError:
            return True
        take(buffer)
    return False
