"""systemd's bus: being told that a service started, stopped, was enabled, masked or loaded anew.

It only listens. What a unit is now, the collector finds out by its own means; here every signal says no more than
"look". While systemd reloads it says hundreds of things (org.freedesktop.systemd1(5), `Reloading`): then nothing is
passed on until it has done.

Match rules do not keep out what another sender addresses to us by name, and any account may do that. So a signal
counts only if its sender, which the bus writes, is the one that owns systemd's name, and that one runs as root.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import errno
import os
import socket
import time

from whatchanged.errors import WatchError
from whatchanged.watchers.systemd.messages import ERROR, METHOD_RETURN, SIGNAL, Message, Messages, call

__all__ = ["BusAbsent", "SystemdBus"]

SOCKET = "/run/dbus/system_bus_socket"
_SYSTEMD = "org.freedesktop.systemd1"
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_MANAGER = (_SYSTEMD, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_MATCHES = (
    f"type='signal',sender='{_BUS[0]}',interface='{_BUS[2]}',member='NameOwnerChanged',arg0='{_SYSTEMD}'",
    f"type='signal',sender='{_SYSTEMD}',interface='{_MANAGER[2]}'",
    f"type='signal',sender='{_SYSTEMD}',interface='org.freedesktop.DBus.Properties',"
    "member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit',arg0='org.freedesktop.systemd1.Unit'",
)
_ALREADY = b"org.freedesktop.systemd1.AlreadySubscribed"
_NO_OWNER = b"org.freedesktop.DBus.Error.NameHasNoOwner"
_TOLD = frozenset({b"UnitFilesChanged", b"StartupFinished"})
_JOBS = frozenset({b"JobNew", b"JobRemoved"})
_SERVICE = b".service\0"
_SERVICE_PATH = b"_2eservice"
"""How the path of a service ends: `.` is escaped."""
_SECONDS = 5.0
_LONGEST_RELOAD = 60.0
"""Seconds after which a reload whose end was not heard counts as over."""
_PART = 65536
_PARTS = 16
"""How much is read at once: who sends more waits."""
_STRANGERS = 1000
"""Messages of others that one connection bears: nobody has a reason to address us."""


class BusAbsent(WatchError):
    """There is no bus here, or no systemd on it."""


class SystemdBus:
    """The open connection; `fileno` becomes readable when there is something."""

    def __init__(self, path: str = SOCKET) -> None:
        """Raises BusAbsent where there is none, WatchError when it cannot be heard."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._messages = Messages()
        self._serial = 0
        self._waiting: dict[int, str] = {}
        """Serial number of a call → its member, until it was answered."""
        self._owner = b""
        self.strangers = 0
        """Messages of others: they were read and not believed."""
        self._reloading: float | None = None
        try:
            self._begin(path)
        except OSError as error:
            self._socket.close()
            kind = BusAbsent if error.errno in (errno.ENOENT, errno.ECONNREFUSED) else WatchError
            raise kind(f"systemd's bus cannot be heard: {error.strerror or error}") from error
        except WatchError:
            self._socket.close()
            raise

    def _begin(self, path: str) -> None:
        self._socket.settimeout(_SECONDS)
        self._socket.connect(path)
        early = self._sign_in()
        self._call(*_BUS, "Hello")
        for match in _MATCHES:
            self._call(*_BUS, "AddMatch", match)
        self._call(*_BUS, "GetNameOwner", _SYSTEMD)
        self._take(early)
        end = time.monotonic() + _SECONDS
        while self._waiting:
            data = self._socket.recv(_PART) if time.monotonic() < end else b""
            if not data:
                raise WatchError("systemd's bus cannot be heard: it does not answer")
            self._take(data)
        self._socket.setblocking(False)

    def _sign_in(self) -> bytes:
        """Say who we are; return what came behind the answer."""
        name = str(os.geteuid()).encode().hex().encode()
        self._socket.sendall(b"\0AUTH EXTERNAL " + name + b"\r\n")
        answer = b""
        while b"\r\n" not in answer:
            part = self._socket.recv(4096)
            if not part or len(answer) > 4096:
                raise WatchError("systemd's bus cannot be heard: it ended the conversation")
            answer += part
        line, _, rest = answer.partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise WatchError(f"systemd's bus cannot be heard: it says {line[:100]!r}")
        self._socket.sendall(b"BEGIN\r\n")
        return rest

    def _call(self, destination: str, path: str, interface: str, member: str, *texts: str) -> None:
        self._serial += 1
        self._waiting[self._serial] = member
        self._socket.sendall(call(self._serial, destination, path, interface, member, *texts))

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def read(self) -> bool:
        """Read what there is, within bounds; return whether a service may have changed. Never waits.

        Raises WatchError when the bus is gone, or is no source to listen to.
        """
        told = False
        try:
            for _ in range(_PARTS):
                data = self._socket.recv(_PART)
                if not data:
                    raise WatchError("systemd's bus is gone: it ended the connection")
                told = self._take(data) or told
        except BlockingIOError:
            pass
        except OSError as error:
            raise WatchError(f"systemd's bus is gone: {error.strerror or error}") from error
        if self._reloading is not None:
            if time.monotonic() - self._reloading < _LONGEST_RELOAD:
                return False
            self._reloading, told = None, True
        return told

    def _take(self, data: bytes) -> bool:
        told = False
        for message in self._messages.feed(data):
            told = self._heard(message) or told
        return told

    def _heard(self, message: Message) -> bool:
        """Return whether a message says that a service may have changed."""
        if message.sender == _BUS[0].encode():
            if message.kind == SIGNAL:
                return self._passed_on(message)
            self._answered(message)
        elif message.sender and message.sender == self._owner:
            if message.kind == SIGNAL:
                return self._concerns(message)
            self._answered(message)
        else:
            self.strangers += 1
            if self.strangers > _STRANGERS:
                raise WatchError("systemd's bus is left: somebody else sends us messages there")
        return False

    def _answered(self, message: Message) -> None:
        member = self._waiting.pop(message.reply_to, "") if message.kind in (METHOD_RETURN, ERROR) else ""
        if not member:
            return
        if message.kind == ERROR and message.error != _ALREADY:
            kind = BusAbsent if message.error == _NO_OWNER else WatchError
            raise kind(f"systemd's bus cannot be heard: {member}: {message.error.decode(errors='replace')[:200]}")
        if member == "GetNameOwner":
            self._adopt(*message.texts(1))
        elif member == "GetConnectionUnixUser" and (user := message.number()) != 0:
            raise WatchError(f"systemd's bus cannot be heard: the name of systemd is held by the account {user}")

    def _adopt(self, owner: bytes) -> None:
        """Believe the one that owns systemd's name from now on, and let it tell us."""
        self._owner = owner
        self._call(*_BUS, "GetConnectionUnixUser", _SYSTEMD)
        self._call(*_MANAGER, "Subscribe")

    def _passed_on(self, message: Message) -> bool:
        """Systemd's name went to another connection: it executed itself anew, and what it said meanwhile is lost."""
        if message.member != b"NameOwnerChanged":
            return False
        name, _, owner = message.texts(3)
        if name != _SYSTEMD.encode():
            return False
        self._reloading = None
        self._owner = b""
        # It will not answer what it was asked; its name may change hands while we ask.
        self._waiting = {serial: member for serial, member in self._waiting.items() if member != "Subscribe"}
        if owner:
            self._adopt(owner)
        return bool(owner)

    def _concerns(self, message: Message) -> bool:
        if message.member == b"Reloading":
            reloading = message.number() != 0
            self._reloading = time.monotonic() if reloading else None
            return not reloading
        if message.member == b"PropertiesChanged":
            return message.path.endswith(_SERVICE_PATH)
        if message.member in _JOBS:
            return _SERVICE in message.body
        return message.member in _TOLD

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
