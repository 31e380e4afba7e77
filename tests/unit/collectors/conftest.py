"""A scope of fixed decisions: what the walk asks of the rules, without rules."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from whatchanged.collectors.files import FileCollector, FolderLook, Looked

collect_ignore_glob: list[str] = []
"""Suites that this system has nothing for."""

if sys.platform == "win32":
    _ANYWHERE = {"test_file_walk_on_any_system.py", "test_windows_formats.py"}
    collect_ignore_glob = [path.name for path in Path(__file__).parent.glob("test_*") if path.name not in _ANYWHERE]
else:
    _PR_SET_DUMPABLE = 4

    @contextlib.contextmanager
    def without_rights() -> Iterator[None]:
        """Be an account without any right for a while; root only."""
        os.seteuid(65534)
        # The change of account hides /proc/self/fd from this process (prctl(2), PR_SET_DUMPABLE), unlike a real login.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)
        try:
            yield
        finally:
            os.seteuid(0)

    @pytest.fixture
    def open_folder() -> Iterator[Path]:
        """A folder that every account can come to."""
        if os.geteuid() != 0:
            pytest.skip("needs root to give it up")
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            yield Path(folder)


def write(path: str | bytes, content: bytes = b"content") -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


class FixedRule:
    def __init__(self, name: str = "all", kind: str = "Any") -> None:
        self.name = name
        self.type = kind


class FixedFolder:
    def __init__(self, rule: FixedRule, links: str, match: Callable[[bytes], bool] | None) -> None:
        self._rule = rule
        self._match = match
        self.links = links
        self.take_all: tuple[FixedRule, ...] | None = (rule,) if match is None else None

    def matching(self, name: bytes, *, folder: bool = False) -> tuple[FixedRule, ...]:
        if folder and self._rule.type == "File":
            return ()
        return (self._rule,) if self._match is None or self._match(name) else ()

    def link_policy(self, name: bytes) -> str:
        return self.links

    def descend(self, name: bytes) -> bool:
        return True


class FixedScope:
    def __init__(
        self,
        *roots: bytes,
        kind: str = "File",
        links: str = "Follow",
        match: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._roots = roots
        self._folder = FixedFolder(FixedRule("all", kind), links, match)

    def roots(self) -> tuple[bytes, ...]:
        return self._roots

    def for_folder(self, folder: bytes) -> FixedFolder:
        return self._folder


class Memory:
    """A known that keeps what the looks say, as the tracker does."""

    def __init__(self) -> None:
        self.folders: dict[bytes, dict[bytes, bytes]] = {}

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        return dict(self.folders.get(folder, {}))

    def keep(self, look: FolderLook) -> None:
        names = self.folders.setdefault(look.folder, {})
        for looked in look.looked:
            names[looked.item.path.rpartition(b"/")[2]] = looked.signature
        for name in look.vanished:
            del names[name]


class Machine:
    """Runs the collector again and again over one root, with memory."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.memory = Memory()
        self.looks: list[FolderLook] = []

    def collect(self, scope: FixedScope, **options: object) -> dict[bytes, Looked]:
        arguments = {"settle_ns": 0, "threads": 2, **options}
        self.collector = FileCollector(scope, root=self.root, known=self.memory, **arguments)  # type: ignore[arg-type]
        self.looks = []
        for look in self.collector.run():
            self.looks.append(look)
            self.memory.keep(look)
        self.outcome = self.collector.outcome
        return {looked.item.path: looked for look in self.looks for looked in look.looked}

    def vanished(self) -> list[bytes]:
        return sorted(look.folder.rstrip(b"/") + b"/" + name for look in self.looks for name in look.vanished)

    def path(self, inside: str) -> str:
        return self.root.decode() + inside


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(str(tmp_path_factory.mktemp("root")).encode())


@pytest.fixture
def fixed_scope() -> type[FixedScope]:
    return FixedScope
