"""Unix sockets: in the file system, with paths of any length, and in Linux's abstract namespace.

Owns the socket file while it listens: a stale file is taken away only if nobody listens on it, mode and group hold
before the first connection, and closing removes the file only if it is still ours.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator

from whatchanged.errors import PeerError
from whatchanged.ipc.endpoints import SEND_SECONDS, AbstractSocket, Channel, Listener, PathSocket, Peer, PeerTimeout

assert sys.platform != "win32"  # mypy's platform branch

__all__ = ["connect", "listen"]

_SUN_PATH = 108  # unix(7): size of sun_path on Linux
_UCRED = struct.Struct("iII")  # unix(7): struct ucred { pid_t pid; uid_t uid; gid_t gid; }
_BACKLOG = 64
# A configuration reply has no end marker and upstream's client reads it with one recv: it must fit one write.
_SEND_BUFFER = 4 * 1024 * 1024


def connect(endpoint: PathSocket | AbstractSocket, timeout: float | None) -> Channel:
    """Return a channel to the listener of `endpoint`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with _address(endpoint) as address:
            connection.connect(address)
        return _UnixChannel(connection)
    except OSError as error:
        connection.close()
        raise PeerError(f"cannot connect to {endpoint}: {_words(error)}") from error
    except PeerError:
        connection.close()
        raise


def listen(endpoint: PathSocket | AbstractSocket, *, mode: int, group: str | int | None) -> Listener:
    """Return a listener on `endpoint`."""
    if isinstance(endpoint, AbstractSocket):
        return _listen_abstract(endpoint)
    try:
        return _listen_path(endpoint, mode, group)
    except OSError as error:
        raise PeerError(f"cannot listen on {endpoint}: {_words(error)}") from error


class _UnixChannel(Channel):
    """The socket is non-blocking and every call waits with a poll of its own, so that two threads can use it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._socket = connection
        pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        self._peer = Peer(uid, pid, administrator=uid == 0)

    @property
    def peer(self) -> Peer:
        return self._peer

    def send(self, data: bytes, timeout: float | None = SEND_SECONDS) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                _wait(self._socket, select.POLLOUT, deadline, "the other end does not read")
            except OSError as error:
                raise PeerError(f"the other end is gone: {_words(error)}") from error

    def receive(self, limit: int, timeout: float | None) -> bytes:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self._socket.recv(limit)
            except BlockingIOError:
                _wait(self._socket, select.POLLIN, deadline, "nothing came")
            except ConnectionResetError:
                return b""  # it closed with our bytes unread: an end all the same
            except OSError as error:
                raise PeerError(f"the channel is closed: {_words(error)}") from error

    def close(self) -> None:
        # shutdown first: close alone does not wake a thread that waits (close(2), NOTES).
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class _UnixListener(Listener):
    def __init__(self, endpoint: PathSocket | AbstractSocket, listening: socket.socket) -> None:
        listening.setblocking(False)
        self._endpoint = endpoint
        self._socket = listening

    def accept(self, timeout: float | None) -> Channel:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                _wait(self._socket, select.POLLIN, deadline, "nobody connected")
            except ConnectionAbortedError:
                continue
            except OSError as error:
                raise PeerError(f"{self._endpoint} takes no connection: {_words(error)}") from error
            else:
                return _UnixChannel(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class _PathListener(_UnixListener):
    def __init__(self, endpoint: PathSocket, listening: socket.socket, file: tuple[int, int]) -> None:
        super().__init__(endpoint, listening)
        self._path = endpoint.path
        self._file = file

    def close(self) -> None:
        super().close()
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(self._path)
            if (found.st_dev, found.st_ino) == self._file:
                os.unlink(self._path)
        self._file = (0, 0)


def _listen_abstract(endpoint: AbstractSocket) -> Listener:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(endpoint) as address:
            listening.bind(address)
        listening.listen(_BACKLOG)
        return _UnixListener(endpoint, listening)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PeerError(f"somebody listens on {endpoint} already") from error
        raise PeerError(f"cannot listen on {endpoint}: {_words(error)}") from error
    except PeerError:
        listening.close()
        raise


def _listen_path(endpoint: PathSocket, mode: int, group: str | int | None) -> Listener:
    folder, name = _split(endpoint)
    gid = -1 if group is None else _gid(group)
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Two that start at once: only one looks at the stale file and binds at a time.
        fcntl.flock(folder_fd, fcntl.LOCK_EX)
        _remove_stale(endpoint, folder_fd, name)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # On Linux bind(2) gives the file the mode of the socket's own inode: nobody may connect at first, and
            # the umask, which belongs to every thread, need not be touched.
            os.fchmod(listening.fileno(), 0)
            listening.bind(f"/proc/self/fd/{folder_fd}/{name}")
            # Not asked for without need: a sandboxed service may not change owners at all.
            if gid not in (-1, os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_gid):
                os.chown(name, -1, gid, dir_fd=folder_fd, follow_symlinks=False)
            os.chmod(name, mode, dir_fd=folder_fd)
            made = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        return _PathListener(endpoint, listening, (made.st_dev, made.st_ino))
    finally:
        os.close(folder_fd)


def _remove_stale(endpoint: PathSocket, folder_fd: int, name: str) -> None:
    try:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise PeerError(f"{endpoint} is no socket; it is left alone")
    if stat.S_IMODE(found.st_mode) == 0:
        # Its maker died before it opened the socket: that happens under the lock that we hold.
        os.unlink(name, dir_fd=folder_fd)
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(f"/proc/self/fd/{folder_fd}/{name}")
        except ConnectionRefusedError:
            os.unlink(name, dir_fd=folder_fd)
        except FileNotFoundError:
            return
        else:
            raise PeerError(f"somebody listens on {endpoint} already")


@contextlib.contextmanager
def _address(endpoint: PathSocket | AbstractSocket) -> Iterator[str | bytes]:
    """Give the address that fits `sun_path`; a long path goes through a descriptor of its folder."""
    if isinstance(endpoint, AbstractSocket):
        yield _abstract_address(endpoint)
        return
    if len(os.fsencode(endpoint.path)) < _SUN_PATH:
        yield endpoint.path
        return
    folder, name = _split(endpoint)
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder_fd}/{name}"
    finally:
        os.close(folder_fd)


def _split(endpoint: PathSocket) -> tuple[str, str]:
    folder, name = os.path.split(endpoint.path)
    if name in ("", ".", "..") or "\0" in endpoint.path or len(os.fsencode(name)) > 80:
        raise PeerError(f"{endpoint} cannot be the path of a socket: its name is empty or longer than 80 bytes")
    return folder or ".", name


def _abstract_address(endpoint: AbstractSocket) -> bytes:
    address = b"\0" + os.fsencode(endpoint.name)
    if len(address) > _SUN_PATH:
        raise PeerError(f"{endpoint} is longer than {_SUN_PATH - 1} bytes")
    return address.ljust(_SUN_PATH, b"\0") if endpoint.padded else address


def _gid(group: str | int) -> int:
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise PeerError(f"there is no group {group!r}") from None


def _wait(waiting: socket.socket, event: int, deadline: float | None, why: str) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise PeerTimeout(f"{why} in time")
    descriptor = waiting.fileno()
    if descriptor < 0:
        raise PeerError("the channel is closed")
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll(None if left is None else max(left * 1000, 1))


def _words(error: OSError) -> str:
    return error.strerror or str(error)
