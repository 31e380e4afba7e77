"""What /proc says, of processes with awkward names, and any bytes at all."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import shutil
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.watchers.processes.proc import command_line, parse_stat, read_process, unit_of

# Linux 6.18, `cat /proc/self/stat`, with another name.
STAT = (
    b"31348 (a) R 7 (b) S 31335 31335 3144 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 1 0 444416 3133440 415 "
    b"18446744073709551615 94730995970048 94730995989929 140737092775264 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 "
    b"94730996005936 94730996007552 94731219714048 140737092778720 140737092778740 140737092778740 140737092780011 0\n"
)


def test_a_name_with_brackets_and_spaces() -> None:
    stat = parse_stat(STAT)
    assert stat is not None
    assert (stat.name, stat.parent, stat.start_ticks) == (b"a) R 7 (b", 31335, 444416)
    assert stat.layout is not None
    assert stat.layout[:3] == (b"94730995970048", b"94730995989929", b"140737092775264")
    assert stat.layout[3:] == tuple(STAT.split()[-8:-1])


def test_a_layout_that_is_hidden_or_gone_is_none() -> None:
    hidden = STAT[: STAT.index(b"94730995970048")] + b"1 1" + b" 0" * 25
    stat = parse_stat(hidden)
    assert stat is not None
    assert stat.layout is None


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(raw: bytes) -> None:
    parse_stat(raw)
    parse_stat(STAT[:20] + raw)
    unit_of(raw)
    command_line(raw)


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (b"0::/system.slice/cron.service\n", "cron.service"),
        (b"0::/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        (b"0::/system.slice/docker-0a1b.scope/init", "docker-0a1b.scope"),
        (b"0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        (b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "user@1000.service"),
        (b"0::/init.scope", "init.scope"),
        (b"0::/system.slice/_cgroup.service", "cgroup.service"),
        (b"9:name=systemd:/system.slice/a.service\n4:memory:/other.service\n0::/", "a.service"),
        (b"4:memory:/system.slice/a.service\n0::/\n", None),
        (b"0::/", None),
        (b"0::/../../system.slice/a.service", None),
        (b"0::/docker/0a1b.service", None),
        (b"0::/system.slice/.service", None),
        (b"", None),
    ],
)
def test_units(cgroup: bytes, unit: str | None) -> None:
    assert unit_of(cgroup) == unit


def test_command_lines() -> None:
    assert command_line(b"cp\0-a\0b c\0\0") == "cp -a b c"
    assert command_line(b"\xff\0") == "\ufffd"
    assert command_line(b"\0") is None


def test_this_process() -> None:
    reading = read_process(os.getpid(), command_limit=4)
    assert reading is not None
    assert reading.stat is not None
    assert reading.stat.parent == os.getppid()
    assert reading.executable == os.readlink("/proc/self/exe")
    assert reading.effective_user == os.geteuid()
    assert reading.command_line is not None
    assert len(reading.command_line) <= 4
    assert reading.start_ns is not None
    assert reading.start_ns < reading.began_ns < reading.finished_ns


def test_a_process_that_is_gone() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert read_process(pid) is None


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_a_user_that_our_namespace_does_not_have_is_not_known() -> None:
    program = (
        "import sys\nfrom whatchanged.watchers.processes.proc import read_process\n"
        "print(*(read_process(int(pid)).effective_user for pid in sys.argv[1:]))"
    )
    other = subprocess.Popen(["setpriv", "--reuid", "2345", "sleep", "60"])
    ours = subprocess.Popen(["sleep", "60"])
    try:
        inside = ["unshare", "--user", "--map-root-user", sys.executable, "-c", program]
        until = time.monotonic() + 10
        while (found := read_process(other.pid)) is None or found.effective_user != 2345:
            assert time.monotonic() < until
        said = subprocess.check_output([*inside, str(other.pid), str(ours.pid)], text=True)
    finally:
        for process in (other, ours):
            process.kill()
            process.wait()
    assert said.split() == ["None", "0"]
