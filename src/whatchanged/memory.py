"""What the C library's allocator keeps for itself: little of it, in processes that wait nearly all of their life.

Only glibc has these knobs (mallopt(3), malloc_trim(3)); elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

__all__ = ["give_back", "use_one_arena"]

_M_ARENA_MAX = -8


def use_one_arena() -> bool:
    """Let all threads allocate from one arena; return whether that is so from now on. Call it before they start.

    By default every thread gets one of its own, up to eight a processor, and each keeps what was its largest. Arenas
    save threads that allocate at once from waiting; ours hold the interpreter's lock while they do.
    """
    mallopt = _function("mallopt")
    return mallopt is not None and mallopt(_M_ARENA_MAX, 1) == 1


def give_back() -> None:
    """Return free memory to the system: after work that used much, which will not come again soon.

    glibc does so by itself only at the end of the heap, and one small block that is in use there keeps everything.
    """
    if (trim := _function("malloc_trim")) is not None:
        trim(ctypes.c_size_t(0))


@functools.cache
def _function(name: str) -> Callable[..., int] | None:
    """Return a function of the C library that takes plain integers; None where it has none of that name."""
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - mypy follows sys.platform only in a branch of its own
        found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
        return found
