"""What does being watched cost those who change files? Pairs of the same work, with and without us, in turns.

- `upgrade`: dpkg brings packages from one version to the next and back, on a machine with the default rule.
- `unpack`: `tar x` of a tree like that of a program's source, on the same machine: outside every rule, and inside one.

"With us" are tracker and forwarder. The server stands still meanwhile: it belongs on another machine.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.installation import file_rule, running
from benchmarks.table import Measure

__all__ = ["unpack", "upgrade"]

_PACKAGES = 20
_FILES_A_PACKAGE = 500
_FILE_BYTES = 2_000
_FILES_A_FOLDER = 15
_SIZE = (8.6, 1.3)
"""Mean and deviation of the logarithm of a source file's size: half have more than 5 kB, on average they have 13 kB."""
_STATUS = "/var/lib/dpkg"


def upgrade(pairs: int) -> list[Measure]:
    """Return how long package upgrades take with us, in units of the time without."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = [[_package(folder, n, version) for n in range(_PACKAGES)] for version in (1, 2)]
        root = folder / "root"
        for part in ("etc/systemd/system", f"{_STATUS[1:]}/info", f"{_STATUS[1:]}/updates"):
            (root / part).mkdir(parents=True)
        (root / _STATUS[1:] / "status").touch()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        _install(root, versions[0])
        turn = iter(range(1, 4 * pairs + 3))
        with_us, without = _pairs(pairs, folder, "", lambda: _install(root, versions[next(turn) % 2]), lambda: None)
    what = f"upgrade of {_PACKAGES} packages, {_PACKAGES * _FILES_A_PACKAGE} files"
    return [_measure(f"{what}, default rule", with_us, without, 1.05)]


def unpack(pairs: int, members: int) -> list[Measure]:
    """Return how long `tar x` takes with us, in units of the time without."""
    measures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "tree.tar"
        _archive(folder, archive, members)
        target = folder / "root/srv/unpacked"
        for what, rule, goal in (("in no rule", "/etc/*.conf", 1.15), ("in a rule", "/srv/*", None)):
            with_us, without = _pairs(
                pairs, folder, rule, lambda: _extract(archive, target), lambda: shutil.rmtree(target)
            )
            measures.append(_measure(f"tar x of {members} files, {what}", with_us, without, goal))
    return measures


def _measure(name: str, with_us: list[float], without: list[float], goal: float | None) -> Measure:
    """Return the median of the pairs' ratios, shown on the median time without us."""
    ratios = sorted(ours / peer for ours, peer in zip(with_us, without, strict=True))
    print(f"{name}: ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}", flush=True)
    peer = statistics.median(without)
    return Measure(name, statistics.median(ratios) * peer, peer, "s", goal=goal)


def _pairs(
    pairs: int, folder: Path, rule: str, work: Callable[[], None], undo: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Return the times with and without us; each pair begins with the other one of the two."""
    with_us: list[float] = []
    without: list[float] = []

    def alone() -> None:
        without.append(_timed(work))
        undo()

    def watched() -> None:
        with _watched(folder, rule):
            with_us.append(_timed(work))
        undo()

    work()  # the page cache knows the input
    undo()
    for number in range(pairs):
        for one in (alone, watched) if number % 2 else (watched, alone):
            one()
    return with_us, without


def _timed(work: Callable[[], None]) -> float:
    os.sync()
    began = time.monotonic()
    work()
    return time.monotonic() - began


@contextlib.contextmanager
def _watched(folder: Path, rule: str) -> Iterator[None]:
    wanted = file_rule(rule) if rule else None
    with tempfile.TemporaryDirectory() as data, running(str(folder), wanted, data=data) as up:
        up.idle()
        server = up.children()["server"]
        os.kill(server, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server, signal.SIGCONT)


def _install(root: Path, packages: list[Path]) -> None:
    options = ("--force-not-root", "--force-downgrade", "--force-script-chrootless", "--force-depends")
    command = ["dpkg", f"--root={root}", *options, "--install", *map(str, packages)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _package(folder: Path, number: int, version: int) -> Path:
    name = f"bench{number}"
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        "Description: a package of small files\n"
    )
    for file in range(_FILES_A_PACKAGE):
        place = tree / f"usr/share/{name}/d{file // 50}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{file}").write_text(f"{version} {file}\n" * (_FILE_BYTES // 8))
    (tree / "etc").mkdir()
    (tree / f"etc/{name}.conf").write_text(f"version = {version}\n")
    made = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(made)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)
    return made


def _archive(folder: Path, archive: Path, members: int) -> None:
    tree = folder / "tree"
    sizes = random.Random(members)
    for number in range(members):
        place = tree / f"d{number // _FILES_A_FOLDER}"
        if number % _FILES_A_FOLDER == 0:
            place.mkdir(parents=True)
        (place / f"f{number}.c").write_bytes(b"%08d" % number * (int(sizes.lognormvariate(*_SIZE)) // 8))
    subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
    shutil.rmtree(tree)


def _extract(archive: Path, target: Path) -> None:
    target.mkdir(parents=True)
    subprocess.run(["tar", "-C", str(target), "-xf", str(archive)], check=True)
