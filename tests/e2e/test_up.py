"""`whatchanged up` when a child dies on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.conftest import Installation

# Read by the interpreter before the program itself: the first server dies, the next one finds the mark.
_DIES_ONCE = """
import os, signal, sys
mark = {mark!r}
if "server" in sys.orig_argv and not os.path.exists(mark):
    open(mark, "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_that_is_killed_while_it_starts_is_started_again(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(_DIES_ONCE.format(mark=str(tmp_path / "died")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    installation.start()
    assert (tmp_path / "died").exists()
    assert "server ended with signal 9; starting it again in 1 s" in installation.log.read_text()


def test_a_server_that_refuses_to_start_ends_it(installation: Installation) -> None:
    (installation.data / "server").mkdir(parents=True)
    (installation.data / "server/control.db").write_bytes(b"no database" * 1000)
    with pytest.raises(pytest.fail.Exception, match="the server did not start"):
        installation.start()
