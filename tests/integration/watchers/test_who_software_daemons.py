"""Who installed a package and who changed a daemon: real dpkg and systemctl on a tree of their own."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.watchers.tracking import Tracking

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (shutil.which("dpkg") and shutil.which("systemctl")), reason="no dpkg, or no systemctl"),
]
UNIT = "[Unit]\nDescription={}\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[Tracking]:
    made = Tracking(tmp_path)
    (made.root / "etc/systemd/system/multi-user.target.wants").mkdir()
    for name in ("a", "b"):
        (made.root / f"etc/systemd/system/{name}.service").write_text(UNIT.format("one"))
    made.start(kinds=("software", "daemons"))
    yield made
    made.end()


def logged_in(*command: str) -> None:
    """Run a program as one whom `nobody` started after logging in."""
    subprocess.run(["sh", "-c", 'echo 65534 > /proc/self/loginuid && exec "$@"', "-", *command], check=True)


def deb(folder: Path, version: str) -> str:
    source = folder / version
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN/control").write_text(
        f"Package: wanted\nVersion: {version}\nArchitecture: all\nMaintainer: Jo <j@example.org>\nDescription: x\n"
    )
    made = folder / f"wanted_{version}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", source, made], check=True, capture_output=True)
    return str(made)


def row(tracking: Tracking, **wanted: str) -> dict[str, Any]:
    """Wait for the row with these columns."""
    found: dict[str, Any] = tracking.eventually(
        lambda: next((r for r in tracking.changes() if all(r.get(n) == v for n, v in wanted.items())), None)
    )
    return found


def who(found: dict[str, Any]) -> tuple[Any, ...]:
    columns = ("InitiatingProcessName", "InitiatingProcessAccountName", "InitiatingProcessLoginAccountName")
    return tuple(found.get(column) for column in columns)


def test_a_package_is_installed_and_removed_by_the_program_that_wrote_the_database(
    tracking: Tracking, tmp_path: Path
) -> None:
    dpkg = ("dpkg", f"--root={tracking.root}", "--force-script-chrootless")
    logged_in(*dpkg, "--install", deb(tmp_path, "1.0"))
    installed = row(tracking, SoftwareName="wanted", ChangeCategory="Added")
    assert who(installed) == ("dpkg", "root", "nobody")
    assert "--install" in installed["InitiatingProcessCommandLine"]
    tracking.idle()
    subprocess.run([*dpkg, "--purge", "wanted"], check=True, capture_output=True)
    assert who(row(tracking, SoftwareName="wanted", ChangeCategory="Removed")) == ("dpkg", "root", None)


def test_a_link_that_enables_a_daemon_is_of_the_program_that_made_it(tracking: Tracking) -> None:
    logged_in("systemctl", f"--root={tracking.root}", "enable", "a.service")
    enabled = row(tracking, SvcName="a.service", SvcChangeType="Runlevels")
    assert who(enabled) == ("systemctl", "root", "nobody")


def test_units_that_two_programs_changed_between_two_looks_have_one_each(tracking: Tracking) -> None:
    units = tracking.root / "etc/systemd/system"
    for name in ("x", "y"):
        (tracking.root / name).write_text(UNIT.format("two"))
    (tracking.root / "x.conf").write_text("[Unit]\nDescription=three\n")
    script = (
        "cp ../../../x a.service; mv ../../../y b.service; mkdir c.service.d; cp ../../../x c.service;"
        "mv ../../../x.conf c.service.d/x.conf"
    )
    subprocess.run(["sh", "-c", script], cwd=units, check=True)
    assert who(row(tracking, SvcName="a.service", SvcChangeType="Description"))[:2] == ("cp", "root")
    assert who(row(tracking, SvcName="b.service", SvcChangeType="Description"))[:2] == ("mv", "root")
    assert who(row(tracking, SvcName="c.service", ChangeCategory="Added")) == (None, None, None)


def test_a_drop_in_for_every_unit_makes_nobody_certain(tracking: Tracking) -> None:
    (tracking.root / "x").write_text(UNIT.format("two"))
    (tracking.root / "y").write_text("[Service]\nUser=nobody\n")
    script = "mkdir service.d; cp ../../../y service.d/y.conf; mv ../../../x a.service"
    subprocess.run(["sh", "-c", script], cwd=tracking.root / "etc/systemd/system", check=True)
    assert who(row(tracking, SvcName="a.service", SvcChangeType="Description")) == (None, None, None)
    # The folder is one program's, the file in it another's.
    assert who(row(tracking, SvcName="b.service", SvcChangeType="ServiceAccount")) == (None, None, None)
