"""What people are told who ask a tracker that they cannot reach."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import subprocess
from pathlib import Path

MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Root without its rights over files is a user."""


def ask(data: Path) -> str:
    command = [*MORTAL, sys.executable, "-m", "whatchanged", "why", "/etc/passwd", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_where_no_tracker_has_run(tmp_path: Path) -> None:
    said = ask(tmp_path / "data")
    assert f"no tracker has run on {tmp_path}/data/tracker" in said
    assert "--data" in said


def test_whose_folder_is_closed(tmp_path: Path) -> None:
    """Whether there is a tracker nobody else can tell: so it is not said that there is none."""
    (tmp_path / "data/tracker").mkdir(parents=True)
    (tmp_path / "data").chmod(0)
    try:
        said = ask(tmp_path / "data")
    finally:
        (tmp_path / "data").chmod(0o700)
    assert f"may not enter {tmp_path}/data/tracker" in said
    assert "run as the tracker's account or root" in said
