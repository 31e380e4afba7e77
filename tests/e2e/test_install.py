"""A real Debian with systemd: install, enrol over TLS, real apt and systemctl, reboot, upgrade, revoke, uninstall."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import container as containers
from e2e.conftest import eventually, linux_rule
from e2e.container import Container
from e2e.promise import Machine

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(containers.missing()), reason=f"containers need {containers.missing()}"),
]
PROGRAM = "/opt/whatchanged/bin/whatchanged"
UNITS = ("whatchanged-tracker.service", "whatchanged-forwarder.service")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A server with TLS on this machine."""
    made = Machine(tmp_path_factory.mktemp("server"))
    made.arguments["server"] = ["--port", "0"]
    made.rule_file.write_text(json.dumps(linux_rule(Path("/srv/tree"))))
    made.launch("server")
    try:
        eventually(made._answers, seconds=90, what="the server is ready")
        made.command("rules", "apply", str(made.rule_file))
        made.command("rules", "associate", "test-rule", "--group", "default")
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def debian(server: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A machine that was installed and enrolled; every kind was looked at once."""
    folder = tmp_path_factory.mktemp("debian")
    wheels = containers.wheels(folder)
    debs = folder / "debs"
    debs.mkdir()
    for version in ("1.0", "2.0"):
        package(debs, "wanted", version)
    made = Container(folder)
    try:
        made.boot(f"{wheels}:/wheels", f"{debs}:/debs")
        made.run("python3", "-m", "venv", "/opt/whatchanged")
        made.run("/opt/whatchanged/bin/pip", "install", "-q", "--no-index", "--find-links=/wheels", "whatchanged")
        made.run("mkdir", "-p", "/srv/tree")
        enrol(server, made)
        yield made
    finally:
        made.end()


def enrol(server: Machine, debian: Container) -> None:
    token = json.loads(server.command("tokens", "enroll", "--json").stdout)[0]["token"]
    url = json.loads((server.data / "server" / "address.json").read_text())["url"]
    assert url.startswith("https://")
    debian.run("tee", "/root/token", stdin=token)
    debian.run(PROGRAM, "install", "--server", url, "--token-file", "/root/token")
    server.looked()


def package(folder: Path, name: str, version: str) -> None:
    source = folder / f".{name}-{version}"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Jo <j@example.org>\nDescription: x\n"
    )
    unit = source / "lib/systemd/system"
    unit.mkdir(parents=True)
    (unit / "wanted.service").write_text(
        "[Unit]\nDescription=Wanted\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    )
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(source), str(folder / f"{name}_{version}.deb")],
        check=True,
        capture_output=True,
    )


def software_changes(server: Machine) -> list[tuple[Any, ...]]:
    rows = [r for r in reversed(server.changes()) if r["ConfigChangeType"] == "Software"]
    return [(r["ChangeCategory"], r["SoftwareName"], r.get("Previous"), r.get("Current")) for r in rows]


def daemon_changes(server: Machine) -> list[tuple[Any, ...]]:
    return [
        (r["ChangeCategory"], r["SvcName"], r.get("SvcChangeType"), r.get("Previous"), r.get("Current"))
        for r in reversed(server.changes())
        if r["ConfigChangeType"] == "Daemons"
    ]


def write_and_see(server: Machine, debian: Container, name: str) -> None:
    """Make a file and wait until the server tells it: everything before it has arrived then."""
    debian.run("sh", "-c", f"echo new > /srv/tree/{name}")
    eventually(lambda: name in file_names(server), what=f"the change of {name}")


def file_names(server: Machine) -> list[str]:
    return [r["FileSystemPath"].rpartition("/")[2] for r in server.changes() if r["ConfigChangeType"] == "Files"]


def runs_of_daemons(debian: Container) -> Any:
    status = debian.run(PROGRAM, "status", "--json").stdout
    values = {row["Name"]: row["Value"] for row in json.loads(status) if "Name" in row}
    return next(values[f"runs.{i}.Started"] for i in range(9) if values.get(f"runs.{i}.Kind") == "Daemons")


def settled_daemons(server: Machine, debian: Container) -> list[tuple[Any, ...]]:
    """Return the changes of daemons once two more looks at them have arrived."""
    looks = {runs_of_daemons(debian)}
    while len(looks) < 3:
        looks.add(runs_of_daemons(debian))
    write_and_see(server, debian, f"settled{len(server.changes())}")
    return daemon_changes(server)


def test_both_services_run_and_the_inventory_is_the_machines(server: Machine, debian: Container) -> None:
    for unit in UNITS:
        assert debian.run("systemctl", "is-active", unit).stdout.strip() == "active"
    installed = debian.run(
        "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
    ).stdout
    expected = sorted(line.split()[1:] for line in installed.splitlines() if line.startswith("installed "))
    inventory = eventually(lambda: server.inventory("software"))
    assert sorted([r["SoftwareName"], r["CurrentVersion"], r["Architecture"]] for r in inventory) == expected
    listed = debian.run("systemctl", "list-unit-files", "--type=service", "--no-legend", "--no-pager").stdout
    units = {line.split()[0]: line.split()[1] for line in listed.splitlines()}
    found = {r["SvcName"]: r["SvcRunlevels"] for r in server.inventory("daemons")}
    assert {name: found.get(name) for name in units} == units
    pipe = debian.run("stat", "-c", "%U:%G %a", "/var/lib/whatchanged/pipe/default_fluent.socket").stdout.strip()
    assert pipe == "whatchanged:whatchanged 660"


def test_an_idle_machine_and_reloads_of_systemd_are_silent(server: Machine, debian: Container) -> None:
    """A reload deletes what the generators made, for a moment; timers run oneshots; nothing of it is a change."""
    before = len(server.changes())
    looks = {runs_of_daemons(debian)}
    while len(looks) < 12:
        debian.run("systemctl", "daemon-reload")
        debian.run("systemctl", "start", "systemd-tmpfiles-clean.service")
        looks.add(runs_of_daemons(debian))
    debian.run("systemd-run", "--wait", "--quiet", "true")
    write_and_see(server, debian, "after-idling")
    assert len(server.changes()) == before + 1


def test_apt_and_systemctl_give_their_rows_and_no_others(server: Machine, debian: Container) -> None:
    expected: list[tuple[Any, ...]] = daemon_changes(server)
    wanted = "wanted.service"

    def step(row: tuple[Any, ...], *command: str) -> None:
        debian.run(*command)
        expected.append(row)
        eventually(lambda: len(daemon_changes(server)) >= len(expected), seconds=30, what=f"a row after {command}")
        assert daemon_changes(server) == expected

    step(("Added", wanted, None, None, None), "apt-get", "install", "-y", "/debs/wanted_1.0.deb")
    debian.run("apt-get", "install", "-y", "/debs/wanted_2.0.deb")
    eventually(lambda: len(software_changes(server)) == 2, what="the upgrade is told")
    step(("Modified", wanted, "State", "Stopped", "Running"), "systemctl", "start", "wanted")
    step(("Modified", wanted, "Runlevels", "disabled", "enabled"), "systemctl", "enable", "wanted")
    expected.append(("Modified", wanted, "State", "Running", "Stopped"))
    step(("Modified", wanted, "State", "Stopped", "Running"), "systemctl", "restart", "wanted")
    step(("Modified", wanted, "State", "Running", "Stopped"), "systemctl", "stop", "wanted")
    edit = "sed -i s/Description=.*/Description=Edited/ /lib/systemd/system/wanted.service; systemctl daemon-reload"
    step(("Modified", wanted, "Description", "Wanted", "Edited"), "sh", "-c", edit)
    step(("Removed", wanted, None, None, None), "apt-get", "purge", "-y", "wanted")
    eventually(lambda: len(software_changes(server)) == 3, what="the removal is told")
    assert software_changes(server) == [
        ("Added", "wanted", None, "1.0"),
        ("Modified", "wanted", "1.0", "2.0"),
        ("Removed", "wanted", "2.0", None),
    ]


def test_the_trackers_unit_reads_everything_and_has_no_network(debian: Container) -> None:
    """The tracker's own unit, with another program in it: what is refused was tried."""
    attempt = (
        "import os, socket\n"
        "for family in (socket.AF_INET, socket.AF_INET6):\n"
        "    try: socket.socket(family)\n"
        "    except OSError as error: print('refused', error)\n"
        "    else: print('OPENED')\n"
        "open('/etc/shadow').read(); open('/home/jo/private/file').read(); print('reads')\n"
        "for path in ('/etc/mine', '/home/jo/private/mine', '/srv/mine'):\n"
        "    try: open(path, 'w')\n"
        "    except OSError as error: print('refused', error)\n"
        "    else: print('OPENED')\n"
        "from ctypes import CDLL, get_errno\n"
        "libc = CDLL(None, use_errno=True)\n"
        "mounted = libc.mount(b'none', b'/srv', b'tmpfs', 0, None)\n"
        "print('OPENED' if mounted == 0 else f'refused mount {get_errno()}')\n"
        "from threading import Event\n"
        "from whatchanged.watchers.fanotify import FanotifyWatcher\n"
        "FanotifyWatcher(stop=Event()).close(); print('watches')\n"
        "pipe = socket.socket(socket.AF_UNIX)\n"
        "pipe.connect('/var/lib/whatchanged/pipe/default_fluent.socket'); print('connects')\n"
    )
    debian.run("sh", "-c", "mkdir -p /home/jo/private; echo x > /home/jo/private/file; "
               "chmod -R go= /home/jo; chown -R 1000 /home/jo")  # fmt: skip
    folder = f"/etc/systemd/system/{UNITS[0]}.d"
    debian.run("mkdir", "-p", folder)
    debian.run("tee", "/srv/attempt.py", stdin=attempt)
    debian.run("tee", f"{folder}/attempt.conf", stdin="[Service]\nType=oneshot\nRestart=no\nExecStart=\n"
               "ExecStart=/opt/whatchanged/bin/python /srv/attempt.py\n")  # fmt: skip
    debian.run("systemctl", "daemon-reload")
    try:
        debian.run("systemctl", "restart", UNITS[0], check=False)
        said = debian.run("journalctl", "--no-pager", "-u", UNITS[0], "-n", "30").stdout
    finally:
        debian.run("rm", "-r", folder)
        debian.run("systemctl", "daemon-reload")
        debian.run("systemctl", "restart", UNITS[0])
    assert "OPENED" not in said, said
    assert said.count("refused") == 6, said
    assert "watches" in said, said
    assert "reads" in said, said
    assert "connects" in said, said


def test_reboot_and_upgrade_keep_the_machine(server: Machine, debian: Container) -> None:
    (machine,) = server.rows("/api/v1/machines")
    write_and_see(server, debian, "before-boot")
    (epoch,) = {r["Epoch"] for r in server.changes()}
    daemons = settled_daemons(server, debian)
    debian.reboot()
    write_and_see(server, debian, "after-boot")
    settled_daemons(server, debian)
    assert daemon_changes(server) == daemons, "that a machine was started anew is no change of its daemons"
    debian.run("/opt/whatchanged/bin/pip", "install", "-q", "--no-index", "--find-links=/wheels", "--force-reinstall",
               "--no-deps", "whatchanged")  # fmt: skip
    debian.run(PROGRAM, "install")
    write_and_see(server, debian, "after-upgrade")
    assert file_names(server).count("before-boot") == 1
    assert {r["Epoch"] for r in server.changes()} == {epoch}
    assert [m["id"] for m in server.rows("/api/v1/machines")] == [machine["id"]]
    journal = debian.run("journalctl", "--no-pager", "-u", "whatchanged*").stdout
    assert not re.findall(r".* (?:ERROR|CRITICAL) .*|.*(?:Traceback|Failed with result).*", journal)


def test_revoking_and_uninstalling_end_it(server: Machine, debian: Container) -> None:
    """The last of the machine's life."""
    (machine,) = server.rows("/api/v1/machines")
    server.command("machines", "revoke", machine["id"])
    journal = ("journalctl", "--no-pager", "-u", UNITS[1])
    eventually(lambda: re.search("(?i)revoked", debian.run(*journal).stdout), what="the forwarder says it")
    assert [m["status"] for m in server.rows("/api/v1/machines")] == ["revoked"]

    debian.run(PROGRAM, "uninstall")
    for unit in UNITS:
        assert debian.run("systemctl", "is-active", unit, check=False).stdout.strip() == "inactive"
    assert "whatchanged" not in debian.run("ls", "-R", "/etc/systemd/system").stdout
    assert debian.run("ls", "/var/lib/whatchanged/tracker/db").stdout.strip()
    debian.run(PROGRAM, "uninstall", "--purge")
    for folder in ("tracker", "forwarder", "pipe"):
        assert debian.run("ls", f"/var/lib/whatchanged/{folder}", check=False).returncode != 0
