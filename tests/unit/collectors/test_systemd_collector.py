from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.collectors.conftest import without_rights
from whatchanged.collectors import RunStatus, Snapshot
from whatchanged.collectors.services import SystemdCollector
from whatchanged.collectors.services.systemd import MachineState, machine_state, parse_show
from whatchanged.collectors.services.unit_file import parse_unit
from whatchanged.records.items import DaemonItem
from whatchanged.tracker.differ import change_rows

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


def test_an_edit_that_keeps_its_time_is_seen(image: Path) -> None:
    path = image / LIB / "plain.service"
    collector = SystemdCollector(os.fsencode(image))
    collector.run()
    before = path.stat()
    path.write_text("[Service]\nUser=eve\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert {i.name: i for i in collector.run().items}["plain.service"].account == "eve"


def test_two_edits_within_a_tick_are_both_seen(image: Path) -> None:
    path = image / LIB / "plain.service"
    collector = SystemdCollector(os.fsencode(image))
    for number in range(50):
        path.write_text(f"[Service]\nUser=user{number}\n")
        assert {i.name: i for i in collector.run().items}["plain.service"].account == f"user{number}"


def test_a_link_whose_target_appears_is_read_then(image: Path) -> None:
    link(image, f"{ETC}/late.service", "/opt/late.service")
    collector = SystemdCollector(os.fsencode(image))
    assert {i.name: i for i in collector.run().items}["late.service"].runlevels == "bad"
    unit(image, "opt/late.service", "[Unit]\nDescription=late\n")
    assert {i.name: i for i in collector.run().items}["late.service"].description == "late"


def test_drop_ins_of_name_prefixes_apply(image: Path) -> None:
    unit(image, f"{LIB}/a-b-c.service")
    unit(image, f"{LIB}/a-.service.d/10.conf", "[Service]\nUser=a\n")
    unit(image, f"{LIB}/a-b-.service.d/20.conf", "[Service]\nUser=ab\n")
    items = {i.name: i for i in SystemdCollector(os.fsencode(image)).run().items}
    assert items["a-b-c.service"].account == "ab"
    unit(image, f"{LIB}/a-b-c.service.d/20.conf", "[Unit]\nDescription=the longest name wins\n")
    items = {i.name: i for i in SystemdCollector(os.fsencode(image)).run().items}
    assert (items["a-b-c.service"].account, items["a-b-c.service"].description) == ("a", "the longest name wins")


def test_a_generated_unit_of_a_script_is_the_same_loaded_or_not(image: Path) -> None:
    unit(
        image,
        "run/systemd/generator.late/old.service",
        "[Unit]\nSourcePath=/etc/init.d/old\nDescription=LSB: old\n[Service]\nExecStart=/etc/init.d/old start\n",
    )
    (old,) = (i for i in SystemdCollector(os.fsencode(image)).run().items if i.name == "old.service")
    assert (old.path, old.controller, old.runlevels) == ("/etc/init.d/old", "init", "generated")


@pytest.fixture
def closed_image(image: Path, open_folder: Path) -> Path:
    """The image where an account without rights can come to it."""
    copy = open_folder / "image"
    shutil.copytree(image, copy, symlinks=True)
    copy.chmod(0o755)
    return copy


def unprivileged(root: Path) -> Snapshot[DaemonItem]:
    with without_rights():
        return SystemdCollector(os.fsencode(root)).run()


def test_a_unit_that_cannot_be_read_is_not_gone(closed_image: Path) -> None:
    (closed_image / LIB / "plain.service").chmod(0o600)
    snapshot = unprivileged(closed_image)
    assert snapshot.unsettled == {b"plain.service"}
    assert snapshot.outcome.status is RunStatus.PARTIAL


def test_a_closed_folder_beside_the_units_hides_no_unit(closed_image: Path) -> None:
    before = {item.name for item in unprivileged(closed_image).items}
    (closed_image / LIB / "aaa.target.wants").mkdir(mode=0o700)
    (closed_image / LIB / "plain.service.d").mkdir(mode=0o700)
    snapshot = unprivileged(closed_image)
    assert {item.name for item in snapshot.items} == before
    assert snapshot.outcome.denied


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


TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"


def triggers(root: Path) -> dict[str, str | None]:
    found = SystemdCollector(os.fsencode(root)).run()
    return {item.name: item.triggered_by for item in found.items if item.triggered_by != ""}


def test_timers_sockets_and_paths_are_facts_of_what_they_start(tmp_path: Path) -> None:
    for name in ("clean", "talk", "each@", "other", "t@"):
        unit(tmp_path, f"{LIB}/{name}.service")
    unit(tmp_path, f"{LIB}/clean.timer", TIMER.replace("[Install]", "RandomizedDelaySec=1h\nOnBootSec=5m\n[Install]"))
    link(tmp_path, f"{ETC}/timers.target.wants/clean.timer", f"/{LIB}/clean.timer")
    unit(tmp_path, f"{LIB}/clean.path", "[Path]\nPathExists=/var/x\n")
    unit(tmp_path, f"{LIB}/talk.socket", "[Socket]\nListenStream=/run/talk\nListenDatagram=514\n")
    unit(tmp_path, f"{LIB}/each.socket", "[Socket]\nListenStream=23\nAccept=yes\n")
    unit(tmp_path, f"{LIB}/odd.timer", "[Timer]\nOnUnitActiveSec=1d\nUnit=other.service\n")
    unit(tmp_path, f"{LIB}/t@.timer", TIMER)
    unit(tmp_path, f"{LIB}/lone.timer", TIMER)
    unit(tmp_path, "run/systemd/transient/run-1.timer", TIMER + "[Timer]\nUnit=other.service\n")
    assert triggers(tmp_path) == {
        "clean.service": "clean.path (static; PathExists=/var/x), "
        "clean.timer (enabled; OnCalendar=daily; OnBootSec=5m; RandomizedDelaySec=1h)",
        "talk.service": "talk.socket (static; ListenStream=/run/talk; ListenDatagram=514)",
        "each@.service": "each.socket (static; ListenStream=23)",
        "other.service": "odd.timer (static; OnUnitActiveSec=1d)",
        "t@.service": "t@.timer (disabled; OnCalendar=daily)",
    }


def test_a_schedule_edited_by_a_drop_in_and_a_masked_timer_are_seen(tmp_path: Path) -> None:
    unit(tmp_path, f"{LIB}/clean.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    unit(tmp_path, f"{LIB}/clean.timer", TIMER)
    collector = SystemdCollector(os.fsencode(tmp_path))

    def now() -> str | None:
        return next(item.triggered_by for item in collector.run().items)

    assert now() == "clean.timer (disabled; OnCalendar=daily)"
    unit(tmp_path, f"{ETC}/clean.timer.d/a.conf", "[Timer]\nOnCalendar=\nOnCalendar=weekly\n")
    assert now() == "clean.timer (disabled; OnCalendar=weekly)"
    link(tmp_path, f"{ETC}/timers.target.wants/clean.timer", f"/{LIB}/clean.timer")
    assert now() == "clean.timer (enabled; OnCalendar=weekly)"
    link(tmp_path, f"{ETC}/clean.timer", "/dev/null")
    assert now() == "clean.timer (masked)"


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="no systemctl here")
def test_the_enablement_of_this_machines_timers_and_sockets_is_systemctls() -> None:
    command = ["systemctl", "--root=/", "list-unit-files", "--type=timer,socket,path", "--no-legend", "--no-pager"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    states = {line.split()[0]: line.split()[1] for line in said.splitlines()}
    told = re.findall(
        r"(\S+\.(?:timer|socket|path)) \(([a-z-]+)", " ".join(v or "" for v in triggers(Path("/")).values())
    )
    assert len(told) > 3
    assert {name: states[name] for name, _ in told} == dict(told)


def test_a_timer_that_cannot_be_read_says_nothing_of_its_service(closed_image: Path) -> None:
    unit(closed_image, f"{LIB}/on.timer", TIMER)
    (closed_image / LIB / "on.timer").chmod(0)
    with without_rights():
        found = SystemdCollector(os.fsencode(closed_image)).run()
    assert {item.name: item.triggered_by for item in found.items}["on.service"] is None
    assert found.unsettled == frozenset()


def test_a_version_that_knew_no_triggers_leaves_no_change_behind() -> None:
    before = DaemonItem(name="a.service")
    after = msgspec.structs.replace(before, triggered_by="a.timer (enabled; OnCalendar=daily)")
    assert change_rows(before, after) == []
    later = msgspec.structs.replace(before, triggered_by="a.timer (disabled; OnCalendar=daily)")
    (row,) = change_rows(after, later)
    assert (row["SvcChangeType"], row["FieldsChanged"]) == ("TriggeredBy", "SvcTriggeredBy")
    assert (row["SvcPreviousTriggeredBy"], row["SvcTriggeredBy"]) == (after.triggered_by, later.triggered_by)
    assert (row["Previous"], row["Current"]) == (after.triggered_by, later.triggered_by)
