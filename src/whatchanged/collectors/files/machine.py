"""What a run knows of a POSIX machine: its tree, mounts and accounts."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os
import select
import stat
from collections.abc import Callable, Collection

from whatchanged.collectors.files.accounts import Accounts
from whatchanged.collectors.files.acl import ACCESS, DEFAULT, acl_text
from whatchanged.collectors.files.facts import Facts
from whatchanged.collectors.files.links import Resolver
from whatchanged.collectors.files.mounts import Barrier, Mount, barriers, parse_mountinfo
from whatchanged.collectors.files.system import Tree, birth_time

__all__ = ["FactReader", "Machine"]


class FactReader:
    """Reads the facts of entries, with the account names of one machine."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def read(self, fd: int | None, status: os.stat_result) -> Facts:
        """Return what can be told of what `fd` stands for; without one, of what has this status."""
        owner = self._accounts.users.get(status.st_uid, "")
        group = self._accounts.groups.get(status.st_gid, "")
        if fd is None:
            return Facts(None, owner, group)
        acl = "" if stat.S_ISLNK(status.st_mode) else self._acl(fd, status)
        return Facts(birth_time(fd), owner, group, acl)

    def _acl(self, fd: int, status: os.stat_result) -> str:
        # An O_PATH descriptor takes no fgetxattr (EBADF); its entry in /proc leads to the very same inode.
        place: int | bytes = fd if stat.S_ISREG(status.st_mode) else b"/proc/self/fd/%d" % fd
        access = _attribute(place, ACCESS)
        default = _attribute(place, DEFAULT) if stat.S_ISDIR(status.st_mode) else b""
        if not access and not default:
            return ""
        return acl_text(access, default, self._accounts.users, self._accounts.groups)


class Machine:
    """A tree, where it must not be entered, and how its facts are read."""

    def __init__(self, root: bytes, *, network: Collection[bytes], excluded: Callable[[bytes], bool]) -> None:
        self._network = network
        self.tree = Tree(root)
        self.barriers: dict[bytes, tuple[Mount, Barrier]] = {}
        self.untouchable: dict[bytes, dict[bytes, Barrier]] = {}
        """Folder → the names in it that are mount points of which not even the status may be asked for."""
        self.barrier_devices: dict[int, Barrier] = {}
        self.resolver = Resolver(self.tree, self.barriers, excluded)
        self._mounts = open("/proc/self/mountinfo", "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._changed = select.poll()
        self._changed.register(self._mounts, select.POLLPRI)
        self._read_mounts()
        self.facts = FactReader(Accounts.of(self.tree))

    def close(self) -> None:
        """Give the descriptors back."""
        self.tree.close()
        self._mounts.close()

    def refresh(self) -> bool:
        """Read the mounts again if any came or went: a run may take minutes, and what came may not answer."""
        changed = bool(self._changed.poll(0))
        if changed:
            self._read_mounts()
            self.resolver.forget()
        return changed

    def _read_mounts(self) -> None:
        self._mounts.seek(0)
        found = barriers(parse_mountinfo(self._mounts.read()), self.tree.root, network=self._network)
        self.barriers.clear()  # in place: the resolver holds it too
        self.barriers.update(found)
        self.untouchable.clear()
        for point, (mount, barrier) in found.items():
            if not mount.is_touchable:
                folder, _, name = point.rpartition(b"/")
                self.untouchable.setdefault(folder or b"/", {})[name] = barrier
        own = os.stat(self.tree.root).st_dev
        self.barrier_devices = {
            device: barrier
            for mount, barrier in found.values()
            if (device := os.makedev(mount.major, mount.minor)) != own
        }

    def spelled(self, path: bytes) -> bytes:
        """Return `path` as the file system spells its names: here every spelling is another name."""
        return path


def _attribute(place: int | bytes, name: str) -> bytes:
    try:
        return os.getxattr(place, name)
    except OSError as error:  # ENODATA: none; ENOTSUP: the file system knows none
        if error.errno == errno.EBADF and isinstance(place, int):
            return _attribute(b"/proc/self/fd/%d" % place, name)
        return b""
