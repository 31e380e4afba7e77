"""`whatchanged doctor` on machines that lack something: what it says, and what to do about it."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.watchers.tracking import Tracking

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def doctor(data: str, *arguments: str, beside: tuple[str, ...] = ()) -> tuple[int, dict[str, dict[str, str]]]:
    command = [*beside, sys.executable, "-m", "whatchanged", "doctor", "--json", "--data", data, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(done.stdout)
    assert all(row["Advice"] for row in rows if row["Status"] != "Ok")
    return done.returncode, {row["Check"]: row for row in rows}


def test_a_tracker_that_has_everything(tracking: Tracking) -> None:
    (tracking.tree / "a").write_text("x")
    tracking.start()
    code, found = doctor(tracking.data.path, "--policy", str(tracking.policy))
    assert code == 1  # there is no forwarder
    for check in ("tracker", "policy", "open files", "inotify watches", "rights", "coverage", "watching"):
        assert found[check]["Status"] == "Ok", found[check]
    assert "defaults hold" in found["policy"]["Detail"]


def test_a_policy_that_keeps_the_tracker_from_starting(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("core_share = 0.1")
    policy.chmod(0o666)
    code, found = doctor(str(tmp_path), "--policy", str(policy))
    assert code == 1
    assert found["policy"]["Status"] == "Error"
    assert found["policy"]["Advice"] == f"chmod go-w {policy}"


def test_limits_of_inotify(tmp_path: Path) -> None:
    no_instances = ("unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"', "sh")
    if subprocess.run([*no_instances, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    _, found = doctor(str(tmp_path), beside=no_instances)
    assert found["inotify instances"]["Status"] == "Error"
    advice = found["inotify instances"]["Advice"]
    assert advice.startswith("echo 'fs.inotify.max_user_instances = ")
    assert advice.endswith(">> /etc/sysctl.d/90-whatchanged.conf && sysctl --system")


def test_a_tracker_with_too_few_rights_and_watches(tracking: Tracking) -> None:
    for number in range(10):
        (tracking.tree / str(number)).mkdir()
    tracking.configure()
    few = 'echo 3 > /proc/sys/user/max_inotify_watches; exec "$@"'
    command = ["unshare", "-Ur", "sh", "-c", few, "sh", sys.executable, "-m", "whatchanged", "tracker"]
    command += ["--data", tracking.data.path, "--root", str(tracking.root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            control = Path(tracking.data.tracker_control_socket)
            tracking.eventually(lambda: control.exists() or process.poll() is not None)
            if process.poll() is not None:
                pytest.skip("no user namespaces here")

            def limited() -> dict[str, dict[str, str]] | None:
                found = doctor(tracking.data.path)[1]
                return found if found["inotify watches"]["Status"] == "Error" else None

            found = tracking.eventually(limited)
        finally:
            process.terminate()
    assert "only polled" in found["inotify watches"]["Detail"]
    assert "fs.inotify.max_user_watches = " in found["inotify watches"]["Advice"]
    assert found["watching"]["Status"] == "Warning"
    assert "inotify" in found["watching"]["Detail"]
    assert found["who"]["Status"] == "Warning"
    assert "CAP_NET_ADMIN" in found["who"]["Advice"]
