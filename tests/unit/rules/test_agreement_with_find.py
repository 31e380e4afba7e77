"""The matcher against find(1) on a real tree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatchanged.rules import FileRule, FileScope, FolderScope


def walk(folder: bytes, scope: FolderScope) -> Iterator[bytes]:
    """Walk as a collector does: only where the scope leads."""
    entries = list(os.scandir(folder))
    for name in scope.names([e.name for e in entries if not e.is_dir(follow_symlinks=False)]):
        yield os.path.join(folder, name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and (below := scope.descend(entry.name)) is not None:
            yield from walk(entry.path, below)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = os.fsencode(tmp_path_factory.mktemp("tree"))
    for folder in (b"", b"a", b"a/b", b"a/b/c.d", b".hidden", b"x y", b"a/.conf"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
        for name in (b"one.conf", b"two.conf.bak", b".conf.conf", b"new\nline.conf", b"\xff.conf", b"x[1]", b"z"):
            Path(os.fsdecode(os.path.join(root, folder, name))).touch()
        os.symlink(b"one.conf", os.path.join(root, folder, b"link.conf"))
    return root


@pytest.mark.parametrize("pattern", [b"*", b"*.conf", b"o*", b".*", b"[!o]*", b"x[[]1]", b"?", b"*.*f", b"one.conf"])
@pytest.mark.parametrize("recurse", [True, False])
def test_agrees_with_find(tree: bytes, pattern: bytes, recurse: bool) -> None:
    command = [b"find", tree, b"-mindepth", b"1", *([] if recurse else [b"-maxdepth", b"1"]), b"!", b"-type", b"d"]
    # `.*` in the last segment is upstream's "anything"; a plain name with recurse is that path and what is below
    named = {b".*": b"*", b"*.*f": b"*f"}.get(pattern, pattern)
    condition = [b"-path", os.path.join(tree, named)] if pattern == b"one.conf" else [b"-name", named]
    found = subprocess.run(
        [*command, *condition, b"-print0"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    ).stdout
    scope = FileScope([FileRule(name="r", destination_path=os.path.join(tree, pattern), recurse=recurse)])
    walked = [path for root in scope.roots() for path in walk(root, scope.for_folder(root))]
    assert sorted(walked) == sorted(p for p in found.split(b"\0") if p)
    assert walked
