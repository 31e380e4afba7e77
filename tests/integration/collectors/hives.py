"""Hive files for tests: built by hivexregedit, read back by it as an independent reader, and written into by hand."""

from __future__ import annotations

import lzma
import os
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from whatchanged.collectors.registry.hive import Hive, HiveKey
from whatchanged.collectors.registry.hive_format import parse_base_block
from whatchanged.collectors.registry.hive_log import marvin32, open_hive_file
from whatchanged.collectors.registry.mounted_files import MountedFile

PREFIX = "HKEY_LOCAL_MACHINE\\X"
Values = dict[tuple[str, str], tuple[int, bytes]]
"""(Key below the root, value name) → (type, data)."""
_NO_CELL = 0xFFFFFFFF
_TIME = 131_000_000_000_000_000
_SECURITY = bytes.fromhex(
    "0100048014000000240000000000000034000000"  # self-relative; owner and group: Administrators; all rights: Everyone
    "01020000000000052000000020020000" + "01020000000000052000000020020000"
    "02001c000100000000021400ff000f00010100000000000100000000"
)


def sample_hives() -> Path | None:
    """Return the folder of real hives, xz-compressed, that a machine may have beside the project."""
    named = os.environ.get("WHATCHANGED_SAMPLE_HIVES", "")
    return Path(named) if named and Path(named).is_dir() else None


def unpacked(name: str, target: Path) -> Path:
    """Unpack one of the real hives."""
    folder = sample_hives()
    assert folder is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(lzma.decompress((folder / f"{name}.xz").read_bytes()))
    return target


def cell(body: bytes) -> bytes:
    """Return an allocated cell."""
    size = -(-(len(body) + 4) // 8) * 8
    return struct.pack("<i", -size) + body.ljust(size - 4, b"\0")


def laid_out(bodies: Mapping[int, bytes]) -> bytes:
    """Return cells at these offsets, the first at 0x20, with free cells between them."""
    cells = b""
    for offset, body in bodies.items():
        if gap := offset - 0x20 - len(cells):
            assert gap >= 8
            cells += struct.pack("<i", gap) + bytes(gap - 4)
        cells += cell(body)
    return cells


def key_record(
    name: str,
    parent: int,
    *,
    keys: int = 0,
    key_list: int = _NO_CELL,
    values: int = 0,
    value_list: int = _NO_CELL,
    security: int = _NO_CELL,
) -> bytes:
    """Return a key record."""
    flags = 0x2C if parent == 0 else 0x20
    fixed = struct.pack("<2sHQIIIIII", b"nk", flags, _TIME, 0, parent, keys, 0, key_list, _NO_CELL)
    rest = struct.pack("<IIII", values, value_list, security, _NO_CELL) + bytes(20) + struct.pack("<HH", len(name), 0)
    return fixed + rest + name.encode("latin-1")


def hive_of(cells: bytes, *, sequences: tuple[int, int] = (1, 1), pages: int = 1) -> bytes:
    """Return a hive with these cells, the first of them the root key, in one bin."""
    size = pages * 4096
    free = size - 32 - len(cells)
    page = struct.pack("<4sIIQQI", b"hbin", 0, size, 0, 0, 0) + cells + struct.pack("<i", free) + bytes(free - 4)
    head = struct.pack("<4sIIQIIIIIII", b"regf", *sequences, _TIME, 1, 5, 0, 1, 0x20, size, 1)
    return base_block(head).ljust(4096, b"\0") + page


def base_block(head: bytes) -> bytes:
    """Return a base block of 512 bytes with its checksum."""
    body = head[:508].ljust(508, b"\0")
    total = 0
    for (word,) in struct.iter_unpack("<I", body):
        total ^= word
    return body + struct.pack("<I", total)


def empty_hive() -> bytes:
    """Return a hive with a root key and nothing else."""
    name = "ROOT"
    security_at = 0x20 + len(cell(key_record(name, 0)))
    security = struct.pack("<2sHIIII", b"sk", 0, security_at, security_at, 1, len(_SECURITY)) + _SECURITY
    return hive_of(cell(key_record(name, 0, security=security_at)) + cell(security))


Data = str | int | tuple[int, bytes]
"""A string, a number, or type and data."""
Content = Mapping[str, Mapping[str, Data]]
"""Key below the root → value name → data."""


class _Cells:
    """Cells of a hive that is being written, one behind the other."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._end = 0x20

    def add(self, body: bytes) -> int:
        """Return the offset of a new cell."""
        at, self._end = self._end, self._end + len(cell(body))
        self._bodies.append(body)
        return at

    def add_key(self, name: str, parent: int, content: Content) -> int:
        """Return the offset of a new key with everything in and below it."""
        place = len(self._bodies)
        at = self.add(key_record(name, parent))
        values = [self._add_value(*value) for value in content.get("", {}).items()]
        inner: dict[str, dict[str, Mapping[str, Data]]] = {}
        for path, found in content.items():
            first, _, rest = path.partition("\\")
            if path:
                inner.setdefault(first, {})[rest] = found
        keys = [self.add_key(key, at, inner[key]) for key in sorted(inner, key=str.upper)]
        self._bodies[place] = key_record(
            name,
            parent,
            keys=len(keys),
            key_list=self.add(struct.pack("<2sH", b"li", len(keys)) + _offsets(keys)) if keys else _NO_CELL,
            values=len(values),
            value_list=self.add(_offsets(values)) if values else _NO_CELL,
        )
        return at

    def _add_value(self, name: str, value: Data) -> int:
        if isinstance(value, int):
            number, data = 4, value.to_bytes(4, "little")
        else:
            number, data = (1, wide(value)) if isinstance(value, str) else value
        if len(data) > 4:
            size, place = len(data), self.add(data)
        else:
            size, place = len(data) | 0x80000000, int.from_bytes(data, "little")
        return self.add(struct.pack("<2sHIIIHH", b"vk", len(name), size, place, number, 1, 0) + name.encode("latin-1"))

    def hive(self) -> bytes:
        """Return the hive."""
        return hive_of(b"".join(cell(body) for body in self._bodies), pages=(self._end + 8) // 4096 + 1)


def _offsets(cells: list[int]) -> bytes:
    return struct.pack(f"<{len(cells)}I", *cells)


def written(content: Content) -> bytes:
    """Return a hive with this content, names in Latin-1, values of up to 16,344 bytes; where hivex is not at hand."""
    cells = _Cells()
    cells.add_key("ROOT", 0, content)
    return cells.hive()


def merge(hive: Path, content: Content) -> Path:
    """Let hivexregedit write `content` into `hive`, which is made if it is not there."""
    hive.parent.mkdir(parents=True, exist_ok=True)
    if not hive.exists():
        hive.write_bytes(empty_hive())
    lines = ["Windows Registry Editor Version 5.00", ""]
    made = {""}
    for key, values in content.items():
        names = key.split("\\") if key else []
        for depth in range(1, len(names)):
            if (parent := "\\".join(names[:depth])) not in made:
                made.add(parent)
                lines += [f"[{PREFIX}\\{parent}]", ""]
        made.add(key)
        lines.append(f"[{PREFIX}\\{key}]" if key else f"[{PREFIX}]")
        lines += [_line(name, value) for name, value in values.items()] + [""]
    reg = hive.with_suffix(".reg")
    reg.write_text("\n".join(lines), encoding="utf-8")
    _hivexregedit("--merge", "--prefix", PREFIX, str(hive), str(reg))
    reg.unlink()
    return hive


def _line(name: str, value: Data) -> str:
    shown = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' if name else "@"
    if isinstance(value, int):
        return f"{shown}=dword:{value:08x}"
    number, data = (1, wide(value)) if isinstance(value, str) else value
    return f"{shown}=hex({number:x}):" + ",".join(f"{byte:02x}" for byte in data)


def wide(text: str) -> bytes:
    """Return the data of a string."""
    return (text + "\0").encode("utf-16-le")


def by_hivex(hive: Path) -> Values:
    """Return what hivex reads in a hive."""
    found: Values = {}
    key = ""
    for line in _hivexregedit("--export", str(hive), "\\").splitlines():
        if line.startswith("["):
            key = line[1:-1].strip("\\")
        elif line.startswith(("@=", '"')):
            name, data = _parsed(line)
            found[key, name] = data
    return found


def _parsed(line: str) -> tuple[str, tuple[int, bytes]]:
    match = re.match(r'(?:@|"((?:[^"\\]|\\.)*)")=(?:dword:([0-9a-f]{8})|hex\(([0-9a-f]+)\):(.*))\Z', line)
    assert match is not None, line
    name = re.sub(r"\\(.)", r"\1", match[1] or "")
    if match[2] is not None:
        return name, (4, int(match[2], 16).to_bytes(4, "little"))
    return name, (int(match[3], 16), bytes.fromhex(match[4].replace(",", "")))


def _hivexregedit(*arguments: str) -> str:
    done = subprocess.run(
        ["hivexregedit", *arguments], capture_output=True, env={**os.environ, "PERL_UNICODE": "SD"}, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape")


def by_us(hive: Path, *logs: Path, damages: list[tuple[str, str]] | None = None) -> Values:
    """Return what our own reader reads; no damage may be met unless `damages` takes it."""
    opened = open_hive_file(MountedFile(os.fsencode(hive)), tuple(MountedFile(os.fsencode(log)) for log in logs))
    met: list[tuple[str, str]] = [] if damages is None else damages
    reader = Hive(opened.file, opened.base, lambda path, reason: met.append((path, reason)))
    found = {(key.path, value.name): (value.type, value.data) for key in walk(reader.root()) for value in key.values()}
    assert damages is not None or not met, met
    return found


def walk(key: HiveKey) -> Iterator[HiveKey]:
    """Yield a key and all below."""
    waiting = [key]
    while waiting:
        key = waiting.pop()
        yield key
        waiting.extend(key.subkeys())


def sequenced(hive: bytes, primary: int, secondary: int) -> bytes:
    """Return a hive that says these numbers of its last write."""
    head = hive[:4] + struct.pack("<II", primary, secondary) + hive[12:512]
    return base_block(head) + hive[512:]


def log_of(hive: bytes, first: int, *changes: Mapping[int, bytes], cells_size: int = 0) -> bytes:
    """Return a log of today's kind for `hive`: an entry for each of `changes`, offset behind the base block → bytes."""
    size = cells_size or parse_base_block(hive[:4096]).cells_size
    head = hive[:4] + struct.pack("<II", first, first) + hive[12:28] + struct.pack("<I", 6) + hive[32:512]
    log = base_block(head)
    for sequence, change in enumerate(changes, first):
        body = b"".join(struct.pack("<II", offset, len(page)) for offset, page in change.items())
        body += b"".join(change.values())
        length = -(-(40 + len(body)) // 512) * 512
        body = body.ljust(length - 40, b"\0")
        start = struct.pack("<4sIIIIIQ", b"HvLE", length, 0, sequence, size, len(change), marvin32(body))
        log += start + struct.pack("<Q", marvin32(start)) + body
    return log


def old_log_of(hive: bytes, sequence: int, change: Mapping[int, bytes], *, cells_size: int) -> bytes:
    """Return a log as Windows 7 writes it; the pages of `change` have 512 bytes."""
    head = hive[:4] + struct.pack("<II", sequence, sequence) + hive[12:28] + struct.pack("<I", 1) + hive[32:40]
    head += struct.pack("<I", cells_size) + hive[44:512]
    bits = bytearray(cells_size // 4096)
    for offset in change:
        bits[offset // 512 // 8] |= 1 << offset // 512 % 8
    vector = b"DIRT" + bits
    vector = vector.ljust(-(-len(vector) // 512) * 512, b"\0")
    return base_block(head) + vector + b"".join(page for _, page in sorted(change.items()))


def differing(before: bytes, after: bytes, page: int) -> dict[int, bytes]:
    """Return the pages, by offset behind the base block, in which two hives differ."""
    return {
        offset - 4096: after[offset : offset + page]
        for offset in range(4096, len(after), page)
        if after[offset : offset + page] != before[offset : offset + page]
    }
