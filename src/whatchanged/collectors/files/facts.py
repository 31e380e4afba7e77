"""What is told of an entry beside its status."""

from __future__ import annotations

import msgspec

__all__ = ["Facts"]


class Facts(msgspec.Struct, frozen=True):
    """Facts as `FileItem` has them; empty where they do not exist or may not be asked for."""

    created_ns: int | None
    owner: str = ""
    group: str = ""
    acl: str = ""
    file_attributes: int | None = None
    streams: tuple[tuple[bytes, int], ...] = ()
