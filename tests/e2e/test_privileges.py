"""Started as root: server and forwarder give their rights up, wherever the program stands."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import whatchanged
from e2e.conftest import Installation, eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def installation() -> Iterator[Installation]:
    """In a folder that every account can reach, as /var/lib is; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="whatchanged-", dir="/var/tmp"))
    folder.chmod(0o755)
    made = Installation(folder)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


def processes(installation: Installation) -> dict[str, int]:
    """Name of each child of `up` → its user id."""
    assert installation.process is not None
    found = {}
    for child in Path(f"/proc/{installation.process.pid}/task/{installation.process.pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found[words[words.index(b"whatchanged") + 1].decode()] = os.stat(f"/proc/{child}").st_uid
    return found


def test_a_program_that_other_accounts_cannot_reach(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `git clone` into /root."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(whatchanged.__path__[0], closed / "src" / "whatchanged")
    monkeypatch.setenv("PYTHONPATH", str(closed / "src"))
    (installation.real_tree / "a").write_text("a")
    installation.start()
    installation.looked()
    accounts = processes(installation)
    assert accounts.keys() == {"server", "forwarder", "tracker"}
    assert accounts["tracker"] == 0
    assert accounts["server"] == accounts["forwarder"] != 0
    (installation.real_tree / "b").write_text("b")
    eventually(lambda: [r["Name"] for r in installation.changes()] == ["b"], what="the change")
    for name in ("server", "forwarder"):
        assert stat.S_IMODE((installation.data / name).stat().st_mode) == 0o700
        assert (installation.data / name).stat().st_uid == accounts[name]
    assert (installation.data / "tracker").stat().st_uid == 0
    assert "warning" not in installation.log.read_text()
    page = installation.client().get("/")
    assert page.status_code == 200, page.text
    (script,) = re.findall(r'<script[^>]* src="([^"]+)"', page.text)
    assert installation.client().get(script).status_code == 200
    (made,) = [Path(path) for path in installation.command("backup").stdout.split()]
    assert made.is_dir()
    assert installation.stop() == 0


_WITHOUT_ANYTHING_BEHIND_THE_ENVIRONMENT = """
import ctypes, mmap, os, sys
from whatchanged.cli import processes
from whatchanged.cli.main import main

def drop(given_up=processes.drop):
    given_up()
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    page, word = mmap.PAGESIZE, ctypes.sizeof(ctypes.c_void_p)
    pages = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    assert libc.mprotect(start + page, page, 0) == 0
    name = ctypes.create_string_buffer(b"TMPDIR=/tmp")
    environment = (ctypes.c_void_p * 2).from_address(start + page - 2 * word)
    environment[0], environment[1] = ctypes.addressof(name), None
    ctypes.c_void_p.in_dll(libc, "environ").value = ctypes.addressof(environment)
    kept.extend((pages, name))

kept = []
processes.drop = drop
sys.exit(main(sys.argv[1:]))
"""


def test_the_engine_needs_nothing_of_root_once_root_is_given_up(installation: Installation) -> None:
    """The words behind the environment are the kernel's until the environment moves; then they may be no memory."""
    folder = installation.data / "server"
    folder.mkdir(parents=True)
    for path in (installation.data, folder):
        os.chown(path, 65534, 65534)
    with installation.log.open("wb") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-c", _WITHOUT_ANYTHING_BEHIND_THE_ENVIRONMENT, "server"),
                *("--data", str(installation.data), "--port", "0", "--tls", "off"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "WHATCHANGED_DROP_TO": "65534:65534"},
        )
    try:
        eventually(lambda: (folder / "address.json").exists() or server.poll() is not None, what="started or ended")
        assert server.poll() is None, installation.log.read_text()
    finally:
        server.terminate()
        assert server.wait(60) == 0, installation.log.read_text()
