"""Which file systems a walk may enter, from /proc/self/mountinfo (proc_pid_mountinfo(5)).

Pseudo file systems hold no files (reading one may never end, or do something); automounts would be mounted by the
look; a network file system can hang the process for ever, and belongs to another machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from enum import Enum

import msgspec

__all__ = ["Barrier", "Mount", "barriers", "network_mounts", "parse_mountinfo"]

_PSEUDO = frozenset(
    b"autofs bdev binder binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devpts efivarfs fuse.gvfsd-fuse "
    b"fuse.lxcfs fuse.portal fusectl hugetlbfs mqueue nfsd nsfs pipefs proc pstore resctrl rpc_pipefs securityfs "
    b"selinuxfs smackfs sockfs sysfs tracefs xenfs".split()
)
_NETWORK = frozenset(
    b"9p acfs afs beegfs ceph cifs coda davfs fhgfs gfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 "
    b"orangefs pvfs2 smb3 smbfs virtiofs vboxsf".split()
)
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Barrier(Enum):
    """Why a walk does not enter a mount."""

    PSEUDO = "pseudo file system"
    AUTOMOUNT = "automount"
    NETWORK = "network file system"


class Mount(msgspec.Struct, frozen=True):
    """One line of mountinfo: where, what, and its device number as `st_dev` shows it."""

    point: bytes
    fs_type: bytes
    major: int
    minor: int
    root: bytes = b"/"
    """Which folder of its file system is mounted there."""

    def barrier(self) -> Barrier | None:
        """Say why a walk must not enter, or None if it may."""
        if self.fs_type == b"autofs":
            return Barrier.AUTOMOUNT
        if self.fs_type in _PSEUDO:
            return Barrier.PSEUDO
        # fuseblk (ntfs-3g) is a local disk; every other fuse may be the far end of a network.
        if self.fs_type in _NETWORK or self.fs_type.startswith(b"fuse.") or self.fs_type == b"fuse":
            return Barrier.NETWORK
        return None

    @property
    def is_touchable(self) -> bool:
        """Whether even the status of its root may be asked for: the kernel itself answers, nobody else is waited for.

        Of a pseudo file system that some program serves (lxcfs), or of an automount, that is not so.
        """
        return self.barrier() in (None, Barrier.PSEUDO) and not self.fs_type.startswith((b"fuse", b"autofs"))


def parse_mountinfo(raw: bytes) -> Iterator[Mount]:
    """Yield the mounts; lines that cannot be understood are left out."""
    for line in raw.split(b"\n"):
        before, dash, after = line.partition(b" - ")
        fields = before.split(b" ")
        kind = after.split(b" ", 1)[0]
        if not dash or len(fields) < 6 or not kind:
            continue
        major, _, minor = fields[2].partition(b":")
        if major.isdigit() and minor.isdigit():
            yield Mount(_unescape(fields[4]), kind, int(major), int(minor), _unescape(fields[3]))


def network_mounts(root: bytes) -> dict[bytes, Mount]:
    """Return the mounts below `root` that are network file systems now, by their path without its prefix."""
    with open("/proc/self/mountinfo", "rb") as file:
        found = barriers(parse_mountinfo(file.read()), root)
    return {point: mount for point, (mount, barrier) in found.items() if barrier is Barrier.NETWORK}


def barriers(
    mounts: Iterator[Mount], root: bytes, *, network: Collection[bytes] = ()
) -> dict[bytes, tuple[Mount, Barrier]]:
    """Return mount point (below `root`, without its prefix) → mount and barrier.

    Of several mounts at one point the last is the visible one. The file system that `root` itself lies on is no
    barrier: a machine whose root is on the network is still this machine. The network file systems at `network` may be
    entered.
    """
    prefix = root.rstrip(b"/")
    visible: dict[bytes, Mount] = {mount.point: mount for mount in mounts}
    found = {}
    for point, mount in visible.items():
        barrier = mount.barrier()
        if barrier is None or not point.startswith(prefix + b"/") or point == b"/":
            continue
        inside = point[len(prefix) :]
        if barrier is not Barrier.NETWORK or inside not in network:
            found[inside] = (mount, barrier)
    return found


def _unescape(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
