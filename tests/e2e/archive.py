"""A package archive of many small Debian packages, written without dpkg-deb: hundreds of them in a second."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Archive"]

_BUILT = 1_700_000_000
"""When everything in a package was last modified: long before it is installed, as in real ones."""


class Archive:
    """Packages in a folder, and the index that apt reads (`deb [trusted=yes] file:FOLDER ./`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._index: list[str] = []

    def add(self, name: str, version: str, files: Mapping[str, str], conffiles: Mapping[str, str]) -> Path:
        """Write a package (deb(5)); conffiles are files too. `write_index` is due afterwards."""
        fields = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Jo Doe <jo@example.org>\n"
            f"Description: {name}\n"
        )
        control = {"./control": fields, "./conffiles": "".join(f"{path}\n" for path in conffiles)}
        data = {f".{path}": content for path, content in {**files, **conffiles}.items()}
        members = {"debian-binary": b"2.0\n", "control.tar": _tar(control), "data.tar": _tar(data)}
        target = self._folder / f"{name}_{version}.deb"
        raw = _ar(members)
        target.write_bytes(raw)
        digest = hashlib.sha256(raw).hexdigest()
        self._index.append(f"{fields}Filename: ./{target.name}\nSize: {len(raw)}\nSHA256: {digest}\n")
        return target

    def write_index(self) -> None:
        """Let apt see what was added."""
        (self._folder / "Packages").write_text("\n".join(self._index))


def _tar(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        folders: dict[str, None] = {}
        for path in files:
            parts = path.split("/")[:-1]
            folders.update(dict.fromkeys("/".join(parts[: i + 1]) for i in range(len(parts))))
        for folder in folders:
            tar.addfile(_member(f"{folder}/", tarfile.DIRTYPE, 0o755))
        for path, content in files.items():
            entry = _member(path, tarfile.REGTYPE, 0o644)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    return stream.getvalue()


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, _BUILT
    entry.uname = entry.gname = "root"
    return entry


def _ar(members: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{_BUILT:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)
