"""The calls of the operating system that this runs on: one module a platform, the rest of `files` is the same."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from whatchanged.collectors.files.windows_machine import Machine, network_mounts
    from whatchanged.collectors.files.windows_system import (
        LONGEST_NAME,
        LONGEST_PATH,
        PIECE,
        VANISHED,
        Entry,
        FactReader,
        Tree,
        birth_time,
        entries,
        fstat,
        is_away,
        open_again,
        open_bare_in,
        open_in,
        pieces,
        place_of,
        read_at,
        readlink_in,
        readlink_of,
    )
else:
    from whatchanged.collectors.files.content import PIECE, pieces
    from whatchanged.collectors.files.machine import FactReader, Machine
    from whatchanged.collectors.files.mounts import network_mounts
    from whatchanged.collectors.files.system import (
        LONGEST_NAME,
        LONGEST_PATH,
        VANISHED,
        Entry,
        Tree,
        birth_time,
        entries,
        fstat,
        is_away,
        open_again,
        open_bare_in,
        open_in,
        place_of,
        read_at,
        readlink_in,
        readlink_of,
    )

__all__ = [
    "LONGEST_NAME",
    "LONGEST_PATH",
    "PIECE",
    "VANISHED",
    "Entry",
    "FactReader",
    "Machine",
    "Tree",
    "birth_time",
    "entries",
    "fstat",
    "is_away",
    "network_mounts",
    "open_again",
    "open_bare_in",
    "open_in",
    "pieces",
    "place_of",
    "read_at",
    "readlink_in",
    "readlink_of",
]
