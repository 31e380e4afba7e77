"""Daemons of OpenRC. The layout of /etc and /run is a fixture, made as openrc(8), rc-update(8) and librc say."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import time
from pathlib import Path

import pytest

from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.collectors.services import SystemdCollector
from whatchanged.records.items import DaemonItem

SCRIPT = '#!/sbin/openrc-run\n\nname=sshd\ndescription="OpenBSD Secure Shell server"\ndescription_reload="Reload"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    scripts = tmp_path / "etc/init.d"
    scripts.mkdir(parents=True)
    for name in ("sshd", "cron", "net.lo", "functions.sh"):
        (scripts / name).write_text(SCRIPT if name == "sshd" else "#!/sbin/openrc-run\n")
        (scripts / name).chmod(0o755)
    (scripts / "web").write_text("#!/sbin/openrc-run\ncommand_user='www:www'\ndescription=\"$NAME of `hostname`\"\n")
    (scripts / "web").chmod(0o755)
    (scripts / "net.eth0").symlink_to("net.lo")
    (scripts / "README").write_text("none of them\n")
    for level in ("boot", "default"):
        (tmp_path / "etc/runlevels" / level).mkdir(parents=True)
    (tmp_path / "etc/runlevels/default/boot").symlink_to("../boot")  # stacked: rc-update add --stack boot default
    for state in ("started", "starting", "stopping", "inactive", "failed"):
        (tmp_path / "run/openrc" / state).mkdir(parents=True)
    add(tmp_path, "sshd", "default")
    add(tmp_path, "net.lo", "boot")
    add(tmp_path, "net.lo", "default")
    mark(tmp_path, "sshd", "started")
    return tmp_path


def add(root: Path, name: str, level: str) -> None:
    (root / "etc/runlevels" / level / name).symlink_to(f"/etc/init.d/{name}")


def mark(root: Path, name: str, state: str) -> None:
    """As `rc_service_mark` does: a link in the folder of the new state, then none in those of the others."""
    if state != "stopped":
        (root / "run/openrc" / state / name).symlink_to(f"/etc/init.d/{name}")
    for folder in (root / "run/openrc").iterdir():
        if folder.is_dir() and folder.name != state:
            (folder / name).unlink(missing_ok=True)


def look(root: Path) -> Snapshot[DaemonItem]:
    return SystemdCollector(os.fsencode(root)).run()


def item(root: Path, name: str) -> DaemonItem:
    return next(item for item in look(root).items if item.name == name)


def test_scripts_their_run_levels_and_states(root: Path) -> None:
    found = look(root)
    assert found.outcome.status is RunStatus.OK
    assert {i.name: (i.runlevels, i.state) for i in found.items} == {
        "cron": ("disabled", "Stopped"),
        "net.eth0": ("disabled", "Stopped"),
        "net.lo": ("boot default", "Stopped"),
        "sshd": ("default", "Running"),
        "web": ("disabled", "Stopped"),
    }
    sshd = item(root, "sshd")
    assert (sshd.description, sshd.path, sshd.account) == (
        "OpenBSD Secure Shell server", "/etc/init.d/sshd", "root",
    )  # fmt: skip
    assert (sshd.controller, found.unsettled) == ("openrc", frozenset())
    assert (item(root, "web").account, item(root, "web").description) == ("www", "")


def test_states_and_run_levels_follow_at_once(root: Path) -> None:
    collector = SystemdCollector(os.fsencode(root))

    def now(name: str) -> tuple[str, str]:
        return next((i.state, i.runlevels) for i in collector.run().items if i.name == name)

    assert now("cron") == ("Stopped", "disabled")
    mark(root, "cron", "started")
    add(root, "cron", "default")
    assert now("cron") == ("Running", "default")
    mark(root, "cron", "stopped")
    (root / "etc/runlevels/default/cron").unlink()
    assert now("cron") == ("Stopped", "disabled")
    assert now("sshd")[0] == "Running"


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_what_is_about_to_change_is_unsettled(root: Path, state: str) -> None:
    mark(root, "sshd", state)
    assert look(root).unsettled == {b"sshd"}


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_what_waits_or_failed_does_not_run(root: Path, state: str) -> None:
    mark(root, "sshd", state)
    assert item(root, "sshd").state == "Stopped"


def test_a_restart_between_two_looks_is_seen(root: Path) -> None:
    before = item(root, "sshd")
    assert not item(root, "sshd").restarted_since(before)
    mark(root, "sshd", "stopped")
    time.sleep(0.02)  # a tick of the clock that file systems use
    mark(root, "sshd", "started")
    assert item(root, "sshd").restarted_since(before)


@pytest.mark.parametrize("change", ["rc.starting", "rc.stopping"])
def test_nothing_is_said_while_the_run_level_changes(root: Path, change: str) -> None:
    (root / "run/openrc" / change).mkdir()
    assert look(root).outcome.status is RunStatus.STOPPED


def test_where_systemd_is_installed_its_units_are_the_daemons(root: Path) -> None:
    (root / "usr/lib/systemd/system").mkdir(parents=True)
    (root / "usr/lib/systemd/system/a.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert "a.service" not in {i.name for i in look(root).items}, "Gentoo installs unit files that nobody reads"
    (root / "usr/lib/systemd/systemd").write_text("")
    names = {i.name for i in look(root).items}
    assert {"a.service", "sshd.service"} <= names
    assert "sshd" not in names
