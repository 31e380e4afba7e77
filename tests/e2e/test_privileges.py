"""Started as root: server and forwarder give their rights up, wherever the program stands."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import re
import shutil
import stat
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
