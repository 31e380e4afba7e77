"""What a run knows of a Windows machine: its tree, and which volumes it must not enter."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import ctypes
from collections.abc import Callable, Collection, Mapping
from ctypes import wintypes

from whatchanged.collectors.files.links import GONE_ERRORS, Resolver
from whatchanged.collectors.files.mounts import Barrier, Mount
from whatchanged.collectors.files.windows_system import FactReader, Tree, use_backup_right

__all__ = ["Machine", "network_mounts"]

_REMOTE = 4
"""DRIVE_REMOTE."""
_UNC = b"/UNC"
_CACHE = 100_000
"""Spellings that are remembered."""

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_drive_type = _kernel32.GetDriveTypeW
_drive_type.argtypes = (wintypes.LPCWSTR,)
_drive_type.restype = wintypes.UINT
_logical_drives = _kernel32.GetLogicalDrives
_logical_drives.restype = wintypes.DWORD


def network_mounts(root: bytes) -> dict[bytes, Mount]:
    """Return what lies on other machines: the drives that do, and every path with a server's name."""
    if root != b"/":
        return {}
    remote = [drive for drive in _drives(_logical_drives()) if _drive_type(f"{drive}:\\") == _REMOTE]
    return {point: Mount(point, b"network", 0, 0) for point in [_UNC, *(b"/%c:" % ord(drive) for drive in remote)]}


def _drives(bits: int) -> list[str]:
    return [chr(ord("A") + number) for number in range(26) if bits >> number & 1]


class Machine:
    """A tree, where it must not be entered, and how its facts are read."""

    def __init__(self, root: bytes, *, network: Collection[bytes], excluded: Callable[[bytes], bool]) -> None:
        use_backup_right()  # without it, what may not be read is told as that
        self._root = root
        self._network = network
        self.tree = Tree(root)
        self.barriers: dict[bytes, tuple[Mount, Barrier]] = {}
        self.untouchable: Mapping[bytes, Mapping[bytes, Barrier]] = {}
        self.barrier_devices: Mapping[int, Barrier] = {}
        self.resolver = Resolver(self.tree, self.barriers, excluded)
        self.facts = FactReader()
        self._drives = 0
        self._spelled: dict[bytes, bytes] = {}
        self.refresh()

    def close(self) -> None:
        """Give back what is kept open."""
        self.tree.close()

    def refresh(self) -> bool:
        """Look at the drives again if any came or went."""
        drives = _logical_drives()
        if drives == self._drives:
            return False
        self._drives = drives
        found = network_mounts(self._root)
        self.barriers.clear()  # in place: the resolver holds it too
        for point, mount in found.items():
            if point not in self._network:
                self.barriers[point] = (mount, Barrier.NETWORK)
        self.resolver.forget()
        self._spelled.clear()
        return True

    def spelled(self, path: bytes) -> bytes:
        """Return `path` as the folders on the way spell its names; from where nothing is there on, as it is.

        Raises OSError where that cannot be told. Links on the way stay what they are.
        """
        found = self._spelled.get(path)
        if found is None:
            if len(self._spelled) >= _CACHE:
                self._spelled.clear()
            found = self._spelled[path] = self._spell([name for name in path.split(b"/") if name]) or path
        return found

    def _spell(self, names: list[bytes]) -> bytes:
        shown = b""
        if names and self._root == b"/" and len(names[0]) == len(b"C:"):
            names[0] = names[0].upper()
        while names:
            real = self.resolver.canonical(shown) if shown else b""
            known = None if real is None else self._longest(real, names)
            if known is None:
                return b"/".join([shown, *names])
            count, spelled = known
            shown = b"/".join([shown, *spelled])
            names = names[count:]
        return shown

    def _longest(self, real: bytes, names: list[bytes]) -> tuple[int, list[bytes]] | None:
        """Return how many of `names` can be opened from `real` on, up to a link, and their spelling."""
        for count in range(len(names), 0, -1):
            try:
                path = self.tree.true_path(b"/".join([real, *names[:count]]))
            except OSError as error:
                if error.errno not in GONE_ERRORS:
                    raise
            else:
                return count, path.split(b"/")[-count:]
        return None
