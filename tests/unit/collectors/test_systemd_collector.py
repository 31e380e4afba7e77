from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.collectors import RunStatus
from whatchanged.collectors.services import SystemdCollector
from whatchanged.collectors.services.systemd import MachineState, machine_state, parse_show
from whatchanged.collectors.services.unit_file import parse_unit

LIB = "usr/lib/systemd/system"
ETC = "etc/systemd/system"
INSTALL = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


def unit(root: Path, place: str, text: str = INSTALL) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link(root: Path, place: str, target: str) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    for name in ("on", "off", "masked", "both", "over", "t@", "cups"):
        unit(tmp_path, f"{LIB}/{name}.service")
    unit(tmp_path, f"{LIB}/plain.service", "[Unit]\nDescription=a \\\n# comment\n b\n[Service]\nUser=www\n")
    unit(tmp_path, f"{LIB}/also.service", "[Service]\nExecStart=/bin/true\n[Install]\nAlso=on.service\n")
    unit(tmp_path, f"{LIB}/ssh.service", INSTALL + "Alias=sshd.service\n")
    unit(tmp_path, f"{LIB}/dm.service", "[Service]\nExecStart=/bin/true\n[Install]\nAlias=display-manager.service\n")
    unit(tmp_path, f"{LIB}/g@.service", INSTALL + "DefaultInstance=tty1\n")
    unit(tmp_path, f"{LIB}/empty.service", "")
    unit(tmp_path, f"{ETC}/over.service")
    unit(tmp_path, f"{ETC}/own.service")
    unit(tmp_path, "opt/linked.service")
    link(tmp_path, f"{ETC}/multi-user.target.wants/on.service", f"/{LIB}/on.service")
    link(tmp_path, f"{ETC}/multi-user.target.wants/ssh.service", f"/{LIB}/ssh.service")
    link(tmp_path, f"{ETC}/sshd.service", f"/{LIB}/ssh.service")
    link(tmp_path, f"{ETC}/display-manager.service", f"/{LIB}/dm.service")
    link(tmp_path, f"{ETC}/getty.target.wants/g@tty1.service", f"/{LIB}/g@.service")
    link(tmp_path, f"{ETC}/getty.target.wants/t@one.service", f"/{LIB}/t@.service")
    link(tmp_path, f"{ETC}/masked.service", "/dev/null")
    link(tmp_path, f"{ETC}/linked.service", "/opt/linked.service")
    link(tmp_path, "run/systemd/system/multi-user.target.wants/off.service", f"/{LIB}/off.service")
    link(tmp_path, f"{LIB}/alias.service", "on.service")
    link(tmp_path, f"{LIB}/multi-user.target.wants/both.service", "../both.service")
    unit(tmp_path, "etc/init.d/old", "#!/bin/sh\n")
    (tmp_path / "etc/init.d/old").chmod(0o755)
    link(tmp_path, "etc/rc3.d/S01old", "../init.d/old")
    return tmp_path


def oracle(root: Path) -> dict[str, str]:
    command = ["systemctl", f"--root={root}", "list-unit-files", "--type=service", "--no-legend", "--no-pager"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.split()[0]: line.split()[1] for line in said.splitlines()}


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="no systemctl here")
def test_names_and_enablement_are_systemctls(image: Path) -> None:
    snapshot = SystemdCollector(os.fsencode(image)).run()
    assert snapshot.outcome.status is RunStatus.OK
    assert {i.name: i.runlevels for i in snapshot.items if i.controller == "systemd"} == oracle(image)


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="no systemctl here")
def test_this_machines_units_are_systemctls() -> None:
    items = SystemdCollector().run().items
    said = oracle(Path("/"))
    assert {i.name: i.runlevels for i in items if i.name in said} == said


def test_facts_scripts_and_changes(image: Path) -> None:
    collector = SystemdCollector(os.fsencode(image))
    items = {i.name: i for i in collector.run().items}
    plain = items["plain.service"]
    assert (plain.description, plain.account, plain.path) == ("a  b", "www", f"/{LIB}/plain.service")
    assert items["on.service"].account == "root"
    old = items["old.service"]
    assert (old.controller, old.runlevels, old.path) == ("init", "enabled", "/etc/init.d/old")
    assert collector.run().items == tuple(items.values())
    unit(image, f"{LIB}/plain.service.d/user.conf", "[Service]\nUser=other\n")
    unit(image, f"{LIB}/on.service", INSTALL + "# edited in place\n[Unit]\nDescription=edited\n")
    again = {i.name: i for i in collector.run().items}
    assert again["plain.service"].account == "other"
    assert again["on.service"].description == "edited"


def test_show_output_becomes_states() -> None:
    raw = (
        b"Id=a.service\nActiveState=active\nType=oneshot\nRemainAfterExit=no\n\n"
        b"Id=b.service\nActiveState=activating\nType=notify\nDescription=x=y\n\n"
        b"Id=c.service\nActiveState=active\nType=oneshot\nRemainAfterExit=yes\n"
    )
    assert [(s.name, s.state()) for s in parse_show(raw)] == [
        ("a.service", "Stopped"),
        ("b.service", "StartPending"),
        ("c.service", "Running"),
    ]


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (b"Id=multi-user.target\nActiveState=inactive\nJob=7\n\nId=shutdown.target\nJob=\n", MachineState.STARTING),
        (b"Id=graphical.target\nActiveState=active\nJob=\n\nId=shutdown.target\nJob=0\n", MachineState.RUNNING),
        (b"Id=default.target\nLoadState=not-found\n", MachineState.RUNNING),
        (b"Id=multi-user.target\nJob=3\n\nId=shutdown.target\nJob=9\n", MachineState.STOPPING),
        (b"Id=shutdown.target\nActiveState=active\n", MachineState.STOPPING),
    ],
)
def test_the_machine_starts_runs_or_stops(raw: bytes, state: MachineState) -> None:
    assert machine_state(parse_show(raw)) is state


def test_a_service_that_waits_for_its_job_is_pending() -> None:
    raw = b"Id=a.service\nActiveState=inactive\nJob=84\n\nId=b.service\nActiveState=inactive\nJob=\n"
    assert [unit.pending for unit in parse_show(raw)] == [True, False]


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_any_unit_text_is_survived(texts: list[bytes]) -> None:
    parse_unit([*texts, b"[Install\nWantedBy=x\n[Install]\nAlias=y \\\n z\n"])
    list(parse_show(b"\n".join(texts)))
