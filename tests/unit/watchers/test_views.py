"""Which parts of which file systems are seen under which paths."""

from __future__ import annotations

import msgspec
import pytest

from whatchanged.rules import FileRule, FileScope, FileType
from whatchanged.watchers.hints import View, views


class Mount(msgspec.Struct, frozen=True):
    point: bytes
    root: bytes = b"/"
    fs_type: bytes = b"ext4"


def scope(*patterns: bytes) -> FileScope:
    return FileScope([FileRule(name="r", destination_path=p, recurse=True, type=FileType.ANY) for p in patterns])


MOUNTS = [
    Mount(b"/"),
    Mount(b"/proc", fs_type=b"proc"),
    Mount(b"/srv/data"),
    Mount(b"/srv/www", root=b"/home/www"),
    Mount(b"/mnt/image"),
    Mount(b"/mnt/image/boot"),
]


def test_mounts_into_which_no_rule_reaches_are_left_alone() -> None:
    found = views(MOUNTS, {b"/proc"}, b"/", scope(b"/etc/*", b"/srv/data/**"))
    assert [view.shown for view in found] == [b"/", b"/srv/data"]


def test_a_barred_mount_is_no_view_but_a_hole() -> None:
    found = views(MOUNTS, {b"/proc"}, b"/", scope(b"/proc/*"))
    assert [view.shown for view in found] == [b"/"]
    assert b"/proc" in found[0].holes


def test_of_several_mounts_at_one_point_the_last_is_seen() -> None:
    found = views([*MOUNTS, Mount(b"/srv/data", root=b"/over")], (), b"/", scope(b"/srv/data/*"))
    assert [(v.shown, v.inner) for v in found] == [(b"/", b"/"), (b"/srv/data", b"/over")]


def test_a_bind_mount_shows_paths_of_the_same_file_system_elsewhere() -> None:
    root, bind = views(MOUNTS, {b"/proc"}, b"/", scope(b"/srv/www/*"))
    assert root.show(b"/home/www/a") == b"/home/www/a"
    assert bind.show(b"/home/www/a") == b"/srv/www/a"
    assert bind.show(b"/home/www") == b"/srv/www"
    assert bind.show(b"/home/www2") is None
    assert bind.locate(b"/srv/www/a") == b"/srv/www/a"


@pytest.mark.parametrize("root", [b"/mnt/image", b"/opt/tree"])
def test_paths_begin_at_the_root_that_is_looked_at(root: bytes) -> None:
    found = views(MOUNTS, (), root, scope(b"/etc/*", b"/boot/*"))
    assert [view.shown for view in found] == ([b"/", b"/boot"] if root == b"/mnt/image" else [b"/"])
    assert found[0].locate(b"/etc/passwd") == root + b"/etc/passwd"
    inner = found[0].inside(root + b"/etc/passwd")
    assert inner is not None
    assert found[0].show(inner) == b"/etc/passwd"


def test_a_view_that_is_not_the_whole_file_system() -> None:
    view = View(b"/", b"/@root", b"/@root/opt/tree", b"/")
    assert view.place == b"/opt/tree"
    assert view.show(b"/@root/opt/tree/etc/a") == b"/etc/a"
    assert view.inside(b"/opt/tree/etc/a") == b"/@root/opt/tree/etc/a"
    assert view.outside(b"/@root/usr/bin/touch") == b"/usr/bin/touch"
