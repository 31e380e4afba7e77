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
from e2e.archive import Archive
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


HELD = "many-held"
APT = (
    "-o",
    "Dir::Etc::SourceList=/etc/apt/many.list",
    "-o",
    "Dir::Etc::SourceParts=-",
    "-o",
    "APT::Sandbox::User=root",
)


def versions(name: str) -> tuple[tuple[dict[str, str], dict[str, str]], ...]:
    """Files and conffiles of the two versions of a package."""
    place = f"/srv/tree/{name}"
    return tuple(
        (
            {f"{place}/data": f"{name} {version}", f"{place}/{('old', 'new')[version - 1]}": name},
            {f"{place}/conf": f"version={version}\n", f"{place}/kept": "a=1\n"},
        )
        for version in (1, 2)
    )


def begin_upgrade(server: Machine, debian: Container, prefix: str, count: int) -> list[str]:
    """Install version 1 of many packages, wait until it is told, and let apt know version 2; return their names."""
    # The budget makes looks wait while others want the processor: that is not what is tested here.
    debian.run("mkdir", "-p", "/etc/whatchanged")
    debian.run("tee", "/etc/whatchanged/policy.toml", stdin="core_share = 1.0\npressure_aware = false\n")
    debian.run("systemctl", "restart", UNITS[0])
    debian.run("tee", "/etc/dpkg/dpkg.cfg.d/fast", stdin="force-unsafe-io\n")
    names = [f"{prefix}-{number:03}" for number in range(count)]
    archive = Archive(debian.root.parent / "debs" / prefix)
    first = [archive.add(name, "1", *versions(name)[0]) for name in [*names, HELD]]
    debian.run("dpkg", "--install", *(f"/debs/{prefix}/{path.name}" for path in first))
    write_and_see(server, debian, f"installed-{prefix}")
    eventually(lambda: {r["SoftwareName"] for r in rows_of(server, prefix) if r["ConfigChangeType"] == "Software"}
               >= set(names), what="the packages are told")  # fmt: skip
    for name in [*names, HELD]:
        archive.add(name, "2", *versions(name)[1])
    archive.write_index()
    debian.run("apt-mark", "hold", HELD)
    debian.run("tee", "/etc/apt/many.list", stdin=f"deb [trusted=yes] file:/debs/{prefix} ./\n")
    debian.run("apt-get", *APT, "update")
    return names


def rows_of(server: Machine, prefix: str) -> list[dict[str, Any]]:
    """The changes of the packages whose names begin so, and of their files; the oldest first."""
    rows = [r for r in server.changes() if prefix in (r.get("SoftwareName") or r.get("FileSystemPath") or "")]
    return list(reversed(rows))


def operations(rows: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """TransactionId → what its rows say."""
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for r in rows:
        about = r.get("FileSystemPath") or (r["SoftwareName"], r.get("Previous"), r.get("Current"))
        groups.setdefault(r["TransactionId"], []).append((r["ChangeCategory"], about))
    return {key: sorted(group, key=repr) for key, group in groups.items()}


def upgrade_of(name: str) -> list[tuple[Any, ...]]:
    place = f"/srv/tree/{name}"
    return sorted(
        [
            ("Added", f"{place}/new"),
            ("Modified", (name, "1", "2")),
            ("Modified", f"{place}/conf"),
            ("Modified", f"{place}/data"),
            ("Removed", f"{place}/old"),
        ],
        key=repr,
    )


def nothing_failed(debian: Container, *since: str) -> None:
    """The journal of both services tells of no trouble."""
    journal = debian.run("journalctl", "--no-pager", "-u", "whatchanged*", *since).stdout
    assert not re.findall(r".* (?:ERROR|CRITICAL) .*|.*(?:Traceback|Failed with result).*", journal)


def test_apt_upgrades_200_packages_in_200_transactions(server: Machine, debian: Container) -> None:
    """One that is held back has no row; what is edited by hand meanwhile belongs to none of them."""
    names = begin_upgrade(server, debian, "many", 200)
    before = len(rows_of(server, "many"))
    edit = f"sleep 1; echo mine > /srv/tree/{HELD}/kept"
    debian.run("sh", "-c", f"({edit}) & apt-get {' '.join(APT)} -y -q upgrade > /tmp/apt.log; wait")
    write_and_see(server, debian, "upgraded")
    expected = len(names) * 5 + 1
    eventually(lambda: len(rows_of(server, "many")) - before >= expected, what=f"{expected} rows")
    write_and_see(server, debian, "upgraded-and-settled")
    rows = rows_of(server, "many")[before:]
    wanted = [*(upgrade_of(name) for name in names), [("Modified", f"/srv/tree/{HELD}/kept")]]
    assert sorted(operations(rows).values(), key=repr) == sorted(wanted, key=repr)


def test_a_tracker_killed_during_an_upgrade_misses_nothing(server: Machine, debian: Container) -> None:
    """What a version has no more is known only to a tracker that saw the list of the one before."""
    names = begin_upgrade(server, debian, "some", 60)
    before = len(rows_of(server, "some"))
    (epoch,) = {row["Epoch"] for row in server.changes()}
    restarts = ("systemctl", "show", "-p", "NRestarts", "--value", UNITS[0])
    lives = debian.run(*restarts).stdout
    kill = f"until dpkg-query -W {names[20]} | grep -q 2$; do :; done; systemctl kill -s KILL {UNITS[0]}"
    debian.run("sh", "-c", f"({kill}) & apt-get {' '.join(APT)} -y -q upgrade > /tmp/apt.log; wait")
    eventually(lambda: debian.run(*restarts).stdout != lives, what="the tracker was started again")
    expected = len(names) * 5
    eventually(lambda: len(rows_of(server, "some")) - before >= expected, what=f"{expected} rows")
    write_and_see(server, debian, "killed-and-settled")
    rows = rows_of(server, "some")[before:]
    assert {row["Epoch"] for row in rows} == {epoch}
    groups = list(operations(rows).values())
    assert sorted((row for group in groups for row in group), key=repr) == sorted(
        (row for name in names for row in upgrade_of(name)), key=repr
    )
    tied = [[row for row in group if row[0] != "Removed"] for group in groups]
    assert sorted(filter(None, tied), key=repr) == sorted(
        ([row for row in upgrade_of(name) if row[0] != "Removed"] for name in names), key=repr
    )


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
    nothing_failed(debian, "--boot")


def test_audit_comes_and_goes_with_the_policy(server: Machine, debian: Container) -> None:
    """The kernel's audit speaks with no container: the tracker has the rights for it, says that, and goes on."""
    shown = ("systemctl", "show", UNITS[0], "--property=CapabilityBoundingSet", "--value")
    assert "cap_audit" not in debian.run(*shown).stdout
    debian.run("mkdir", "-p", "/etc/whatchanged")
    debian.run("tee", "/etc/whatchanged/policy.toml", stdin="audit = true\n")
    debian.run(PROGRAM, "install")
    assert {"cap_audit_control", "cap_audit_read"} <= set(debian.run(*shown).stdout.split())
    write_and_see(server, debian, "with-audit")
    said = [row.get("Detail", "") for row in server.rows("/api/v1/health")]
    assert [text for text in said if text.startswith("executions are not told by audit")], said
    debian.run("rm", "/etc/whatchanged/policy.toml")
    debian.run(PROGRAM, "install")
    assert "cap_audit" not in debian.run(*shown).stdout
    write_and_see(server, debian, "without-audit")
    nothing_failed(debian, "--boot")


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
