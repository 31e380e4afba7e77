"""Who, seen by a tracker on the machine: cron, sudo, systemd and dpkg in a booted Debian with accounts of its own."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import container as containers
from e2e.container import Container
from integration.watchers.tracking import Tracking
from whatchanged.watchers.processes.proc import unit_of

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(containers.missing()), reason=f"containers need {containers.missing()}"),
]
ALICE, BOB = 2_345_001, 2_345_002
"""Accounts that only the container's passwd knows."""
SCOPE = "machine-whatchanged.scope"


class Outside(Tracking):
    """A tracker on the machine that looks at the root folder of a container."""

    def __init__(self, folder: Path, root: Path) -> None:
        super().__init__(folder)
        self.root = root
        # Processes that are gone are known for half a minute: a look must not wait longer for an idle processor.
        self.policy.write_text("core_share = 64.0\npressure_aware = false\n")


@pytest.fixture(scope="module")
def cgroups() -> Iterator[tuple[Path, ...]]:
    """The scope that machined would make for a container, in every hierarchy that tells units."""
    hierarchies = [path for path in map(Path, _HIERARCHIES) if (path / "cgroup.procs").exists()]
    made = [path / "machine.slice" / SCOPE for path in hierarchies]
    for path in made:
        path.mkdir(parents=True, exist_ok=True)
    yield tuple(made)
    for path in made:
        for folder in sorted((f for f in path.rglob("*") if f.is_dir()), reverse=True):
            folder.rmdir()
        path.rmdir()
        with contextlib.suppress(OSError):  # somebody else's machines are in it
            path.parent.rmdir()


_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory, cgroups: tuple[Path, ...]) -> Iterator[Container]:
    made = Container(tmp_path_factory.mktemp("debian"))
    try:
        made.boot(cgroups=cgroups)
        for name, uid in (("alice", ALICE), ("bob", BOB)):
            made.run("useradd", "--uid", str(uid), "--create-home", name)
        made.run("tee", "/etc/sudoers.d/alice", stdin="alice ALL=(bob) NOPASSWD: ALL\n")
        made.run("chmod", "777", "/srv")
        made.run("sh", "-c", 'echo "127.0.1.1 $(hostname)" >> /etc/hosts')  # sudo asks for it
        made.run("tee", "/etc/systemd/system/a.service", stdin="[Service]\nExecStart=/bin/true\n" + INSTALL)
        yield made
    finally:
        made.end()


INSTALL = "[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture
def tracking(debian: Container, tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path, debian.root)
    made.start(kinds=("files", "software", "daemons"))
    yield made
    made.end()


def who(row: dict[str, Any]) -> tuple[Any, ...]:
    columns = ("Name", "AccountName", "LoginAccountName", "Service")
    return tuple(row.get(f"InitiatingProcess{column}") for column in columns)


UNTIL_TOLD = "while [ ! -e /srv/told ]; do sleep 0.05; done"
"""What a writer of one file waits for: who had logged in is known of processes that can be read, not of all."""


@pytest.fixture
def told(debian: Container) -> Iterator[None]:
    """Lets a writer wait by `UNTIL_TOLD`, to the end of the test."""
    path = debian.root / "srv/told"
    path.unlink(missing_ok=True)
    yield
    path.touch()


def crontab(debian: Container, account: str, command: str) -> None:
    """Let cron run a command now, as at the start of the machine."""
    debian.run("crontab", "-u", account, "-", stdin=f"@reboot ({command}) >/dev/null 2>&1\n")
    debian.run("rm", "-f", "/run/crond.reboot")
    debian.run("systemctl", "restart", "cron")


@pytest.mark.usefixtures("told")
def test_by_cron(tracking: Outside, debian: Container) -> None:
    # The shell itself, which can be read until then; a `cp` has ended.
    crontab(debian, "alice", f"echo x > /srv/cron; {UNTIL_TOLD}")
    assert who(tracking.change("/srv/cron", "Added")) == ("sh", str(ALICE), str(ALICE), SCOPE)


@pytest.mark.usefixtures("told")
def test_by_sudo_of_somebody_whom_cron_logged_in(tracking: Outside, debian: Container) -> None:
    crontab(debian, "alice", f"sudo -u bob sh -c 'echo x > /srv/sudo; {UNTIL_TOLD}'")
    row = tracking.change("/srv/sudo", "Added")
    assert who(row) == ("sh", str(BOB), str(ALICE), SCOPE)
    assert row["InitiatingProcessParentName"] == "sudo"


def test_a_service_of_the_container_is_the_machines_scope(tracking: Outside, debian: Container) -> None:
    debian.run("systemd-run", "--wait", "--uid=bob", "cp", "/etc/hostname", "/srv/service")
    assert who(tracking.change("/srv/service", "Added")) == ("cp", str(BOB), None, SCOPE)
    leader = Path(f"/proc/{debian.leader}/cgroup").read_bytes()
    assert unit_of(leader) == SCOPE


def test_a_daemon_is_enabled_by_process_1_which_makes_the_link(tracking: Outside, debian: Container) -> None:
    debian.run("systemctl", "enable", "a.service")

    def enabled() -> dict[str, Any] | None:
        return next((r for r in tracking.changes() if r.get("SvcChangeType") == "Runlevels"), None)

    row = tracking.eventually(enabled)
    assert (row["SvcName"], who(row)) == ("a.service", ("systemd", "root", None, SCOPE))


WRITERS = """
[ -z "$1" ] || cd "$1"
become=$2 how=$3 number=0
while [ $number -lt $4 ]; do
    life=$((number % 4)) file=$how.$number
    case $life in
        0) $become cp /etc/hostname $file & ;;
        1) $become sh -c "echo x > $file; sleep 0.01" & ;;
        2) $become sh -c "echo x > $file; sleep 0.05" & ;;
        3) $become sh -c "echo x > $file; sleep 0.2" & ;;
    esac
    number=$((number + 1))
    [ $((number % 40)) -ne 0 ] || wait
done
wait
"""
"""Makes files in a folder, or where it stands: with a program that becomes another account, their name, how many."""
EXPECTED = {
    "cron": (250, (str(ALICE), str(ALICE), SCOPE)),
    "sudo": (80, (str(BOB), str(ALICE), SCOPE)),
    "service": (300, (str(BOB), None, SCOPE)),
    "host": (370, ("nobody", str(BOB), None)),
}
"""How → count, and account, login account and service."""


def test_a_thousand_changes_of_cron_sudo_services_and_the_machine(tracking: Outside, debian: Container) -> None:
    script = debian.root / "srv/writers"
    script.write_text(WRITERS)
    run = "sh /srv/writers /srv"
    cron, sudo, service, host = (str(count) for count, _ in EXPECTED.values())
    crontab(debian, "alice", f'{run} "" cron {cron} & {run} "sudo -u bob" sudo {sudo}')
    started = subprocess.Popen(
        ["sh", "-c", 'echo $0 > /proc/self/loginuid && exec setpriv --reuid 65534 --clear-groups sh "$@"', str(BOB),
         "writers", "", "", "host", host],
        cwd=debian.root / "srv",
    )  # fmt: skip
    debian.run("systemd-run", "--wait", "--uid=bob", *run.split(), "", "service", service)
    assert started.wait(60) == 0
    rows = tracking.eventually(lambda: found if len(found := written(tracking)) == 1000 else None, seconds=60)
    wrong, known, logins = [], 0, 0
    for how, (count, (account, login, unit)) in EXPECTED.items():
        for number in range(count):
            expected = ("sh" if number % 4 else "cp", account, login, unit)
            said = rows[f"/srv/{how}.{number}"]
            if any(is_said not in (fact, None) for is_said, fact in zip(said, expected, strict=True)):
                wrong.append((how, number, said))
            known += said[:2] == expected[:2]
            logins += said[2] == login
    assert wrong == []
    assert known >= 990
    assert logins >= 700  # of a process that ends before it is read nothing tells who had logged in


def written(tracking: Outside) -> dict[str, tuple[Any, ...]]:
    """Path → who, of the files that were made."""
    paths = {f"/srv/{how}.{number}" for how, (count, _) in EXPECTED.items() for number in range(count)}
    added = [row for row in tracking.changes() if row["ChangeCategory"] == "Added"]
    return {row["FileSystemPath"]: who(row) for row in added if row["FileSystemPath"] in paths}
