"""Listening to a real systemd: every unit that starts, stops or is changed is told; one that rests is not."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import select
import time
from collections.abc import Iterator

import pytest

from e2e import container as containers
from e2e.container import Container
from whatchanged.errors import WatchError
from whatchanged.watchers.systemd import SystemdBus

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.skipif(bool(containers.missing()), reason=f"missing: {containers.missing()}"),
]
SHOW = ("systemctl", "show", "*.service", "--all", "--property=Id,ActiveState")
UNIT = "[Unit]\nDescription=Mine\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    made = Container(tmp_path_factory.mktemp("debian"))
    try:
        made.boot()
        made.run("tee", "/etc/systemd/system/mine.service", stdin=UNIT)
        made.run("systemctl", "daemon-reload")
        yield made
    finally:
        made.end()


@pytest.fixture
def bus(debian: Container) -> Iterator[SystemdBus]:
    made = SystemdBus(debian.seen_from_here("/run/dbus/system_bus_socket"))
    quiet(made)
    yield made
    made.close()


def told(bus: SystemdBus, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([bus], [], [], left)[0] and bus.read():
            return True
    return False


def quiet(bus: SystemdBus) -> None:
    """Read until nothing came for a while."""
    while select.select([bus], [], [], 0.5)[0]:
        bus.read()


@pytest.mark.parametrize(
    "command",
    [
        "start mine",
        "restart mine",
        "kill mine",
        "enable mine",
        "disable mine",
        "mask --runtime mine",
        "unmask --runtime mine",
        "daemon-reload",
        "daemon-reexec",
    ],
)
def test_what_happens_to_a_service_is_told(debian: Container, bus: SystemdBus, command: str) -> None:
    debian.run("systemctl", *command.split())
    assert told(bus)


def test_a_machine_at_rest_and_our_own_looks_are_silent(debian: Container, bus: SystemdBus) -> None:
    for _ in range(3):
        debian.run(*SHOW)
    assert not told(bus, seconds=2.0)


def test_during_a_reload_nothing_is_said_until_its_end(debian: Container, bus: SystemdBus) -> None:
    debian.run("systemctl", "daemon-reload")
    said = 0
    while select.select([bus], [], [], 0.5)[0]:
        said += bus.read()
    assert 1 <= said <= 5


def test_after_systemd_was_executed_anew_it_still_tells(debian: Container, bus: SystemdBus) -> None:
    debian.run("systemctl", "daemon-reexec")
    assert told(bus)
    quiet(bus)
    debian.run("systemctl", "restart", "mine")
    assert told(bus)


def test_another_account_that_says_what_systemd_says_is_not_believed(debian: Container, bus: SystemdBus) -> None:
    unit = "/org/freedesktop/systemd1/unit/mine_2eservice"
    manager = "/org/freedesktop/systemd1"
    signals = (
        (unit, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", "a", "0", "0"),
        (manager, "org.freedesktop.systemd1.Manager", "Reloading", "b", "true"),
        (manager, "org.freedesktop.systemd1.Manager", "UnitFilesChanged"),
    )
    names = debian.run("busctl", "list", "--unique", "--no-legend", "--no-pager").stdout
    for name in [line.split()[0] for line in names.splitlines()]:
        for signal in signals:
            debian.run(
                "setpriv", "--reuid=nobody", "--clear-groups", "busctl", "emit", f"--destination={name}", *signal
            )
    assert not told(bus, seconds=0.5)
    assert bus.strangers >= len(signals), "they did not arrive"
    debian.run("systemctl", "restart", "mine")
    assert told(bus), "it was held back by a reload that was none"


def test_a_bus_that_ends_is_an_error(debian: Container, bus: SystemdBus) -> None:
    debian.run("systemctl", "restart", "dbus.service")
    with pytest.raises(WatchError, match="gone"):
        told(bus)
