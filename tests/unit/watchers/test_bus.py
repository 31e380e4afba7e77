"""Whom the listener believes, against a bus that says what a test wants."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.watchers.bus_bytes import message, texts
from whatchanged.errors import WatchError
from whatchanged.watchers.systemd import BusAbsent, SystemdBus
from whatchanged.watchers.systemd.messages import ERROR, METHOD_RETURN, SIGNAL, Messages

BUS = b"org.freedesktop.DBus"
OWNER, OTHER = ":1.7", ":1.66"
UNIT = b"/org/freedesktop/systemd1/unit/mine_2eservice"


class FakeBus:
    """Answers the calls of one client; its replies are those of dbus-daemon and systemd."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.user = 0
        self.owner = OWNER
        self.refuse = b""
        self._serial = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self.peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self.peer, _ = self._listener.accept()
        with contextlib.suppress(ConnectionError):  # a client that leaves is nothing to a bus
            self._talk(self.peer)

    def _talk(self, peer: socket.socket) -> None:
        head = b""
        while b"\r\n" not in head:
            head += peer.recv(4096)
        peer.sendall(b"OK 1234deadbeef\r\n")
        begun = False
        messages = Messages()
        while data := peer.recv(65536):
            if not begun:
                data = data.removeprefix(b"BEGIN\r\n")
                begun = True
            for called in messages.feed(data):
                peer.sendall(self._answer(called.member))

    def _answer(self, member: bytes) -> bytes:
        self._serial += 1  # the client numbers its calls from 1
        if member == self.refuse:
            return message(ERROR, error=b"org.example.No", reply_to=self._serial, sender=BUS)
        if member == b"GetNameOwner" and not self.owner:
            return message(ERROR, error=b"org.freedesktop.DBus.Error.NameHasNoOwner", reply_to=self._serial, sender=BUS)
        body = {
            b"GetNameOwner": texts("<", self.owner),
            b"GetConnectionUnixUser": struct.pack("<I", self.user),
        }.get(member, b"")
        sender = self.owner.encode() if member == b"Subscribe" else BUS
        return message(METHOD_RETURN, reply_to=self._serial, sender=sender, body=body)

    def say(self, raw: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(raw)

    def end(self) -> None:
        assert self.peer is not None
        with contextlib.suppress(OSError):  # the client was faster
            self.peer.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)  # before anything is closed under its hands
        self.peer.close()
        self._listener.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeBus]:
    made = FakeBus(tmp_path / "bus")
    yield made
    made.end()


@pytest.fixture
def bus(fake: FakeBus) -> Iterator[SystemdBus]:
    made = SystemdBus(fake.path)
    yield made
    made.close()


def signal(member: bytes, *, sender: str = OWNER, path: bytes = UNIT, body: bytes = b"") -> bytes:
    return message(SIGNAL, path=path, member=member, sender=sender.encode(), body=body)


def heard(bus: SystemdBus) -> bool:
    assert select.select([bus], [], [], 10)[0]
    return bus.read()


def owner_changed(old: str, new: str) -> bytes:
    body = texts("<", "org.freedesktop.systemd1", old, new)
    return message(SIGNAL, member=b"NameOwnerChanged", sender=BUS, body=body)


def test_only_systemd_itself_is_believed(fake: FakeBus, bus: SystemdBus) -> None:
    fake.say(signal(b"PropertiesChanged", sender=OTHER) + signal(b"UnitFilesChanged", sender=OTHER))
    assert not heard(bus)
    fake.say(signal(b"PropertiesChanged"))
    assert heard(bus)


def test_what_concerns_no_service_is_not_passed_on(fake: FakeBus, bus: SystemdBus) -> None:
    job = struct.pack("<I", 7) + texts("<", "/org/freedesktop/systemd1/job/7", "a.mount", "done")
    fake.say(signal(b"PropertiesChanged", path=UNIT[:-10] + b"_2emount") + signal(b"JobRemoved", body=job))
    assert not heard(bus)
    fake.say(signal(b"JobRemoved", body=job.replace(b"a.mount\0", b"a.service\0")))
    assert heard(bus)


def test_a_reload_is_told_when_it_has_ended(fake: FakeBus, bus: SystemdBus) -> None:
    fake.say(signal(b"Reloading", body=struct.pack("<I", 1)) + 100 * signal(b"PropertiesChanged"))
    assert not heard(bus)
    fake.say(signal(b"Reloading", body=struct.pack("<I", 0)))
    assert heard(bus)


def test_a_systemd_that_was_executed_anew_is_the_one_to_believe(fake: FakeBus, bus: SystemdBus) -> None:
    fake.say(signal(b"Reloading", body=struct.pack("<I", 1)) + owner_changed(OWNER, ""))
    assert not heard(bus)
    fake.owner = ":1.9"
    fake.say(owner_changed("", ":1.9"))
    assert heard(bus), "what happened meanwhile was told to nobody"
    fake.say(signal(b"PropertiesChanged"))
    assert not heard(bus), "its old name may be anybody's"
    fake.say(signal(b"PropertiesChanged", sender=":1.9"))
    assert heard(bus)


def test_somebody_who_talks_to_us_all_the_time_is_left(fake: FakeBus, bus: SystemdBus) -> None:
    with pytest.raises(WatchError, match="somebody else"):
        for _ in range(100):
            fake.say(20 * signal(b"PropertiesChanged", sender=OTHER))
            assert not heard(bus)


@pytest.mark.parametrize(
    "said",
    [b"\0" * 100, signal(b"Reloading"), message(SIGNAL, member=b"NameOwnerChanged", sender=BUS, body=b"\xff" * 9)],
)
def test_what_is_no_message_ends_the_connection_and_nothing_else(fake: FakeBus, bus: SystemdBus, said: bytes) -> None:
    fake.say(said)
    with pytest.raises(WatchError, match="D-Bus"):
        heard(bus)


def test_a_systemd_that_is_not_roots_is_refused(fake: FakeBus) -> None:
    fake.user = 1000
    with pytest.raises(WatchError, match="the account 1000"):
        SystemdBus(fake.path)


def test_a_refused_subscription_is_no_silence(fake: FakeBus) -> None:
    fake.refuse = b"Subscribe"
    with pytest.raises(WatchError, match="Subscribe"):
        SystemdBus(fake.path)


def test_no_bus_and_no_systemd_are_told_apart_from_trouble(fake: FakeBus, tmp_path: Path) -> None:
    with pytest.raises(BusAbsent):
        SystemdBus(str(tmp_path / "none"))
    fake.owner = ""
    with pytest.raises(BusAbsent):
        SystemdBus(fake.path)


def test_a_bus_that_ends_is_an_error(fake: FakeBus, bus: SystemdBus) -> None:
    assert fake.peer is not None
    fake.peer.shutdown(socket.SHUT_RDWR)
    with pytest.raises(WatchError, match="gone"):
        heard(bus)
