"""Names of owners and groups from the machine's own files.

Never through NSS: it would load foreign libraries into a privileged process, ask the network (LDAP), and answer
for this machine when a mounted image is looked at.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os

from whatchanged.collectors.files.system import Tree

__all__ = ["Accounts", "names_of_users", "parse_names"]

_LARGEST = 16 * 1024 * 1024


class Accounts:
    """uid → name and gid → name of one machine."""

    def __init__(self, users: dict[int, str], groups: dict[int, str]) -> None:
        self.users = users
        self.groups = groups

    @classmethod
    def of(cls, tree: Tree) -> Accounts:
        """Read them; a machine (or image) without these files has numbers only."""
        return cls(parse_names(_read(tree, b"/etc/passwd")), parse_names(_read(tree, b"/etc/group")))


def names_of_users(root: bytes) -> dict[int, str]:
    """Return uid → name of the machine below `root`."""
    with Tree(root) as tree:
        return Accounts.of(tree).users


def parse_names(raw: bytes) -> dict[int, str]:
    """Return id → name of passwd(5) or group(5) lines; the first of several names wins, as with getpwuid(3)."""
    names: dict[int, str] = {}
    for line in raw.splitlines():
        fields = line.split(b":")
        if len(fields) < 3 or not fields[0] or fields[0][:1] in b"+-#" or not fields[2].isdigit():
            continue
        names.setdefault(int(fields[2][:20]), fields[0].decode(errors="replace"))
    return names


def _read(tree: Tree, path: bytes) -> bytes:
    try:
        fd = tree.open_file(path)
    except OSError:
        return b""
    with os.fdopen(fd, "rb") as file:
        return file.read(_LARGEST)
