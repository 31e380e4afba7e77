"""Services of a booted Debian, told as they change: the tracker's own unit in it, whose polls come once an hour."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import re
import sqlite3
import statistics
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from e2e import container as containers
from e2e.conftest import eventually
from e2e.container import Container
from whatchanged.cli.units import render
from whatchanged.settings import DataFolder

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(containers.missing()), reason=f"containers need {containers.missing()}"),
]
PYTHON = "/opt/whatchanged/bin/python"
DATA = DataFolder("/var/lib/whatchanged")
TRACKER = "whatchanged-tracker.service"
UNIT = "[Unit]\nDescription=Mine\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
HOUR = {"servicesSettings": {"serviceCollectionFrequency": 3600}}
RULE = {"extensionConfigurations": [{"id": "dcr-1:s", "extensionSettings": {"enableServices": True, **HOUR}}]}
CONFIGURE = f"""
import sys
from whatchanged.tracker.machine import machine_token
from whatchanged.tracker.state import State
state = State({DATA.tracker_database!r}, quota_bytes=10**9, machine=machine_token("/"), identity={{}})
with state.transaction() as change:
    change.set_meta("configuration", sys.argv[1])
state.close()
"""
SECONDS = 10.0
"""A busy machine may take so long; polls would take an hour."""


class Debian(Container):
    """A booted system with the tracker's unit, without a forwarder: its outbox is read."""

    def start(self) -> None:
        self.run("python3", "-m", "venv", "/opt/whatchanged")
        self.run(PYTHON, "-m", "pip", "install", "-q", "--no-index", "--find-links=/wheels", "whatchanged")
        self.run("tee", "/lib/systemd/system/mine.service", stdin=UNIT)
        text = render(TRACKER, python=PYTHON, data=DATA.path, account="root")
        self.run("tee", f"/etc/systemd/system/{TRACKER}", stdin=text)
        self.run("mkdir", "-p", DATA.tracker)
        self.run(PYTHON, "-c", CONFIGURE, json.dumps(RULE))
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "start", TRACKER)
        self.heard()

    def status(self) -> Any:
        code = f"from whatchanged.cli import tracker_control as t; from whatchanged.cli.options import Values\n\
import json; print(json.dumps(t.ask(Values({{'data': {DATA.path!r}}}), timeout=30, command='status')))"
        done = self.run(PYTHON, "-c", code, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def heard(self) -> None:
        """Wait until systemd is heard and nothing is left to look at."""

        def is_idle() -> bool:
            status = self.status()
            watch = status["watch"] if status else {"systemd": {}}
            heard = watch["systemd"].get("state") == "Heard"
            return heard and not any(watch["pending"].values()) and status["next"]["Daemons"] > 60

        eventually(is_idle, what="systemd is heard, and all was looked at")

    def records(self, stream: str) -> list[dict[str, Any]]:
        database = sqlite3.connect(f"file:{self.root}{DATA.tracker_database}?mode=ro", uri=True, timeout=30)
        try:
            rows = database.execute("SELECT record FROM outbox WHERE stream = ? ORDER BY id", (stream,)).fetchall()
        finally:
            database.close()
        return [msgspec.msgpack.decode(row[0]) for row in rows]

    def changes(self) -> list[dict[str, Any]]:
        return self.records("CONFIG_CHANGE_BLOB_V2")

    def invocations(self) -> dict[str, str]:
        """Service → which of its starts it is in."""
        shown = self.run("systemctl", "show", "*.service", "--property=Id,InvocationID").stdout
        blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
        return {block["Id"]: block["InvocationID"] for block in blocks if "Id" in block}


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    folder = tmp_path_factory.mktemp("debian")
    made = Debian(folder)
    try:
        made.boot(f"{containers.wheels(folder)}:/wheels")
        made.start()
        yield made
    finally:
        made.end()


def words(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row.get("SvcChangeType", row["ChangeCategory"]), row.get("Previous", ""), row.get("Current", ""))


class Steps:
    """What is done to a service, one thing after the other, and the rows that it must give."""

    def __init__(self, debian: Debian, service: str = "mine.service") -> None:
        self.debian = debian
        self.service = service
        self.before = len(debian.changes())
        self.expected: list[tuple[Any, ...]] = []
        self.took: list[float] = []

    def rows(self) -> list[dict[str, Any]]:
        return [row for row in self.debian.changes()[self.before :] if row["SvcName"] == self.service]

    def do(self, command: str, *rows: tuple[Any, ...]) -> None:
        """Do something, and wait for its rows: these and no others, from the watch."""
        self.debian.run("sh", "-c", command)
        began = time.monotonic()
        self.expected += rows
        eventually(lambda: len(self.rows()) >= len(self.expected), seconds=SECONDS, what=f"rows after {command}")
        self.took.append(time.monotonic() - began)
        assert [words(row) for row in self.rows()] == self.expected, command
        assert {row["DetectedBy"] for row in self.rows()} == {"Watch"}

    def end(self) -> None:
        """A poll, and another, find nothing that was not told."""
        self.debian.heard()
        for _ in range(2):
            self.debian.run("/opt/whatchanged/bin/whatchanged", "scan", "daemons", "--data", DATA.path)
        assert [words(row) for row in self.rows()] == self.expected
        assert statistics.median(self.took) < 5.0, self.took


def others(debian: Debian, steps: Steps) -> set[str]:
    return {row["SvcName"] for row in debian.changes()[steps.before :]} - {steps.service}


def test_each_change_of_a_service_is_told_once_and_long_before_the_poll(debian: Debian) -> None:
    steps = Steps(debian)
    stopped, started = ("State", "Running", "Stopped"), ("State", "Stopped", "Running")
    steps.do("systemctl start mine", started)
    steps.do("systemctl restart mine", stopped, started)
    steps.do("systemctl enable mine", ("Runlevels", "disabled", "enabled"))
    steps.do("systemctl disable mine", ("Runlevels", "enabled", "disabled"))
    steps.do("sed -i s/=Mine/=Edited/ /lib/systemd/system/mine.service", ("Description", "Mine", "Edited"))
    drop_in = "/etc/systemd/system/mine.service.d"
    steps.do(f"mkdir {drop_in}; printf '[Service]\\nUser=nobody\\n' >{drop_in}/user.conf",
             ("ServiceAccount", "root", "nobody"))  # fmt: skip
    steps.do(f"rm -r {drop_in}", ("ServiceAccount", "nobody", "root"))
    steps.do("systemctl stop mine", stopped)
    paths = ("/lib/systemd/system/mine.service", "/etc/systemd/system/mine.service")
    steps.do("systemctl mask mine", ("Path", *paths), ("ServiceAccount", "root", ""),
             ("Description", "Edited", ""), ("Runlevels", "disabled", "masked"))  # fmt: skip
    steps.do("systemctl unmask mine", ("Path", *reversed(paths)), ("ServiceAccount", "", "root"),
             ("Description", "", "Edited"), ("Runlevels", "masked", "disabled"))  # fmt: skip
    steps.do("systemctl start mine", started)
    steps.do("systemctl kill --signal=KILL mine", stopped)
    steps.end()
    assert others(debian, steps) == set()


def test_a_timer_is_a_fact_of_its_service_and_what_it_starts_is_no_change(debian: Debian) -> None:
    folder = "/etc/systemd/system"
    service = "[Service]\nType=oneshot\nExecStart=/bin/touch /run/ticked\n"
    timer = "[Timer]\nOnCalendar=yearly\n[Install]\nWantedBy=timers.target\n"
    debian.run("tee", f"{folder}/tick.service", stdin=service)
    debian.run("tee", f"{folder}/tick.timer", stdin=timer)
    debian.run("systemctl", "daemon-reload")
    steps = Steps(debian, "tick.service")
    texts = [f"tick.timer ({text})" for text in ("disabled; OnCalendar=yearly", "enabled; OnCalendar=yearly",
             "enabled; OnCalendar=*:*:0/1", "disabled; OnCalendar=*:*:0/1")]  # fmt: skip
    eventually(steps.rows, what="the service is told")
    steps.expected = [words(row) for row in steps.rows()]
    steps.do("systemctl enable --now tick.timer", ("TriggeredBy", *texts[:2]))
    steps.do(f"sed -i s,yearly,*:*:0/1, {folder}/tick.timer; systemctl daemon-reload; systemctl restart tick.timer",
             ("TriggeredBy", *texts[1:3]))  # fmt: skip
    for _ in range(3):
        debian.run("rm", "-f", "/run/ticked")
        eventually(lambda: debian.run("test", "-e", "/run/ticked", check=False).returncode == 0, what="it ticks")
    steps.do("systemctl disable --now tick.timer", ("TriggeredBy", *texts[2:]))
    steps.end()
    assert others(debian, steps) == set()


def test_what_triggers_a_service_is_what_systemd_says(debian: Debian) -> None:
    collected = debian.run("/opt/whatchanged/bin/whatchanged", "collect", "daemons", "--json").stdout
    found = {
        row["SvcName"]: set(re.findall(r"(\S+\.(?:timer|socket|path)) \(", row.get("SvcTriggeredBy", "")))
        for row in json.loads(collected)
    }
    shown = debian.run("systemctl", "show", "*.service", "--all", "--property=Id,TriggeredBy").stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    # Of some that are not installed systemd knows all the same that a socket would start them.
    said = {b["Id"]: set(b["TriggeredBy"].split()) for b in blocks if b.get("TriggeredBy") and b["Id"] in found}
    assert len(said) > 3
    assert {name: found[name] for name in said} == said


def test_nothing_is_lost_or_made_up_when_the_bus_and_systemd_begin_anew(debian: Debian) -> None:
    debian.heard()
    stopped, started = ("State", "Running", "Stopped"), ("State", "Stopped", "Running")
    steps = Steps(debian)
    steps.do("systemctl start mine", started)
    before = debian.invocations()
    steps.do("systemctl daemon-reexec; systemctl stop mine", stopped)
    steps.do("systemctl start mine; systemctl daemon-reexec", started)
    steps.do("systemctl restart dbus; systemctl stop mine", stopped)
    steps.do("systemctl start mine", started)
    debian.heard()
    debian.run("systemctl", "daemon-reload")
    steps.do("systemctl stop mine", stopped)
    steps.end()
    after = debian.invocations()
    really = {name for name in after if before.get(name) != after[name]}
    assert "dbus.service" in really
    assert others(debian, steps) <= really
    said = [row["Reason"] for row in debian.records("TRACKING_HEALTH") if "systemd" in row.get("Detail", "")]
    assert said == ["Watching", "WatchLost", "Watching"]
