from __future__ import annotations

import sys

assert sys.platform != "win32"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors.files.accounts import parse_names
from whatchanged.collectors.files.acl import acl_text, parse_acl
from whatchanged.collectors.files.mounts import Barrier, barriers, parse_mountinfo
from whatchanged.collectors.outcome import covering

MOUNTS = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - nfs4 server:/ rw
40 27 0:50 / /srv/a\040b rw - nfs server:/x rw
41 27 0:51 / /misc rw - autofs systemd-1 rw
42 27 0:52 / /mnt/image/proc rw - proc proc rw
43 27 0:53 / /home/me/far rw - fuse.sshfs x rw
broken line
"""


def test_barriers_of_the_machine_and_of_an_image() -> None:
    found = {point: why for point, (_, why) in barriers(parse_mountinfo(MOUNTS), b"/").items()}
    assert found == {
        b"/proc": Barrier.PSEUDO,
        b"/srv/a b": Barrier.NETWORK,
        b"/misc": Barrier.AUTOMOUNT,
        b"/mnt/image/proc": Barrier.PSEUDO,
        b"/home/me/far": Barrier.NETWORK,
    }
    assert list(barriers(parse_mountinfo(MOUNTS), b"/mnt/image")) == [b"/proc"]
    chosen = barriers(parse_mountinfo(MOUNTS), b"/", network={b"/home/me/far", b"/proc"})
    assert b"/srv/a b" in chosen
    assert b"/home/me/far" not in chosen
    assert b"/proc" in chosen


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(raw: bytes) -> None:
    list(parse_mountinfo(raw))
    parse_names(raw)
    acl_text(raw, raw, {}, {})


def test_broken_acl_is_told() -> None:
    with pytest.raises(ValueError, match="version"):
        parse_acl(b"\x03\0\0\0", {}, {})


def test_names_of_ids() -> None:
    assert parse_names(b"root:x:0:0::/:\ntoor:x:0:0::/:\n+nis\nx:y:z\n") == {0: "root"}


def test_covering_never_loses_a_folder() -> None:
    folders = {b"/a/%d/%d" % (n % 7, n) for n in range(100)}
    covers = covering(folders, 10)
    assert len(covers) <= 10
    assert all(any((f + b"/").startswith(c + b"/") for c in covers) for f in folders)
