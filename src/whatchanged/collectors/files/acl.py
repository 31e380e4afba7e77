"""POSIX access control lists, from the bytes of the extended attribute. Pure.

The format is include/uapi/linux/posix_acl_xattr.h: a little-endian version (2), then entries of tag, permission
bits (16 bits each) and id (32 bits).
"""

from __future__ import annotations

import struct

__all__ = ["ACCESS", "DEFAULT", "acl_text", "parse_acl"]

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_TAGS = {0x01: "user:", 0x02: "user:", 0x04: "group:", 0x08: "group:", 0x10: "mask:", 0x20: "other:"}
_NAMED = {0x02: 0, 0x08: 1}
_PERMISSIONS = tuple(
    ("r" if bits & 4 else "-") + ("w" if bits & 2 else "-") + ("x" if bits & 1 else "-") for bits in range(8)
)


def parse_acl(raw: bytes, users: dict[int, str], groups: dict[int, str]) -> list[str]:
    """Return the entries as `getfacl --omit-header` writes them; ids without a name stay numbers.

    Raises ValueError if the bytes are no access control list.
    """
    if len(raw) < _HEADER.size or (len(raw) - _HEADER.size) % _ENTRY.size:
        raise ValueError(f"an access control list of {len(raw)} bytes")
    (version,) = _HEADER.unpack_from(raw)
    if version != _VERSION:
        raise ValueError(f"unknown version {version} of an access control list")
    names = (users, groups)
    entries = []
    for tag, permissions, number in _ENTRY.iter_unpack(raw[_HEADER.size :]):
        prefix = _TAGS.get(tag)
        if prefix is None:
            raise ValueError(f"unknown tag {tag:#x} in an access control list")
        qualifier = names[_NAMED[tag]].get(number, str(number)) if tag in _NAMED else ""
        entries.append(f"{prefix}{qualifier}:{_PERMISSIONS[permissions & 7]}")
    return entries


def acl_text(access: bytes, default: bytes, users: dict[int, str], groups: dict[int, str]) -> str:
    """Return both lists as the text of `FileItem.acl`; what cannot be understood is shown as hex."""
    return ",".join(_entries(access, "", users, groups) + _entries(default, "default:", users, groups))


def _entries(raw: bytes, prefix: str, users: dict[int, str], groups: dict[int, str]) -> list[str]:
    if not raw:
        return []
    try:
        return [prefix + entry for entry in parse_acl(raw, users, groups)]
    except ValueError:
        return [f"{prefix}0x{raw.hex()}"]
