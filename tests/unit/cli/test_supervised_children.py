"""Processes that `up` starts: started again when they die, and never outliving it."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from whatchanged.cli.account import make_folders
from whatchanged.cli.privileges import first_closed
from whatchanged.cli.supervise import Account, Child, Supervisor
from whatchanged.settings import DataFolder

# A parent that starts a child which follows it; the child tells its pid and waits.
_PARENT = """
import os, subprocess, sys
from whatchanged.cli.supervise import child_environment
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=dict(child_environment(None)))
child.wait()
"""
_CHILD = """
import signal, sys
from whatchanged.cli.privileges import follow_parent
follow_parent()
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Linux only")
def test_a_child_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, _CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        parent.wait()
        # The child holds the other end: end of file says that it is gone.
        assert parent.stdout.read() == ""


def test_a_dead_child_is_started_again_after_a_pause() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    child = Child("rules", ["--version"])
    supervisor.start(child)
    assert child.process is not None
    child.process.wait()
    supervisor.watch()
    assert said == ["rules ended with code 0; starting it again in 1 s"]
    assert child.process is None
    assert child.pause == 2.0
    child.again_at = 0.0
    supervisor.watch()
    assert child.process is not None
    supervisor.stop()
    assert not child.alive


def test_stopping_ends_the_loop(tmp_path: Path) -> None:
    stop = threading.Event()
    Supervisor(print).run(stop, stop.set)
    assert stop.is_set()


def test_folders_are_for_their_owners_only(tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    make_folders(data, None, server=True)
    make_folders(data, None, server=True)
    for folder in (data.path, data.tracker, data.forwarder, data.server):
        assert os.stat(folder).st_mode & 0o777 == 0o700
    assert os.stat(data.pipe_folder).st_mode & 0o777 == 0o750


@pytest.mark.root
def test_folders_of_the_service_account_change_hands_without_hard_links(tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path / "data"))
    make_folders(data, None, server=True)
    secret = tmp_path / "secret"
    secret.write_text("x")
    os.link(secret, os.path.join(data.server, "link"))
    (Path(data.server) / "own").write_text("x")
    make_folders(data, Account(61350, 61350), server=True)
    assert os.stat(data.server).st_uid == 61350
    assert os.stat(os.path.join(data.server, "own")).st_uid == 61350
    assert os.stat(secret).st_uid == 0
    assert os.stat(data.tracker).st_uid == 0


def test_the_folder_that_bars_the_way_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "inner").mkdir(mode=0o755)
    found = first_closed(str(closed / "inner"))
    assert found is not None
    assert str(closed).startswith(found)


_DROPPED = """
import os, sys
from whatchanged.cli.privileges import drop, keep_modules_reachable
keep_modules_reachable()
drop()
import later_module
print(os.getresuid(), os.getresgid(), os.getgroups(), later_module.__file__.startswith("/proc/self/fd/"))
"""


@pytest.mark.root
def test_after_the_drop_modules_in_closed_folders_are_still_found(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    inner = closed / "inner"
    inner.mkdir(mode=0o755)
    (inner / "later_module.py").write_text("")
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(inner)])
    environment = {**os.environ, "PYTHONPATH": path, "WHATCHANGED_DROP_TO": "61350:61350"}
    done = subprocess.run([sys.executable, "-c", _DROPPED], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "(61350, 61350, 61350) (61350, 61350, 61350) [] True\n", done.stderr


def test_signals_are_named(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    child = Child("tracker", ["--version"])
    supervisor.start(child)
    assert child.process is not None
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    supervisor.watch()
    assert said == ["tracker ended with signal 9; starting it again in 1 s"]
