"""Windows named pipes: message mode, of this machine only, and each end knows the other's account.

Every `send` is one message, as upstream's clients expect of a reply; reading is by bytes, for the protocol needs no
message boundaries. Whose word counts (docs/adr/0026): of a client its token, which the kernel hands over; of a
server the owner of the pipe, which no other account can be. Process ids are for messages to people: a process may
set the one that its peer reads.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import ntsecuritycon
import pywintypes
import win32api
import win32con
import win32event
import win32file
import win32pipe
import win32security
import winerror

from whatchanged.errors import PeerError
from whatchanged.ipc.access import ADMINISTRATORS, ANONYMOUS, SYSTEM, access_list
from whatchanged.ipc.accounts import own_account, token_account, token_is_administrators
from whatchanged.ipc.endpoints import SEND_SECONDS, Channel, Listener, NamedPipe, Peer, PeerTimeout

if TYPE_CHECKING:
    from _win32typing import PyOVERLAPPED, PySECURITY_ATTRIBUTES, PySECURITY_DESCRIPTOR

__all__ = ["connect", "listen"]

_LONGEST_NAME = 240
_BUFFER = 64 * 1024
_LARGEST_READ = 1024 * 1024
_ENDS = (winerror.ERROR_BROKEN_PIPE, winerror.ERROR_PIPE_NOT_CONNECTED, winerror.ERROR_NO_DATA)
# Generic writing would ask for the right to add instances, which the access list gives to nobody else.
_CLIENT_ACCESS = ntsecuritycon.FILE_GENERIC_READ | ntsecuritycon.FILE_WRITE_DATA | ntsecuritycon.FILE_WRITE_ATTRIBUTES
# A server learns who we are and cannot act as us: tracker and administrators connect to what a stranger may serve.
_CLIENT_FLAGS = win32con.FILE_FLAG_OVERLAPPED | win32con.SECURITY_SQOS_PRESENT | win32file.SECURITY_IDENTIFICATION
_DESCRIPTOR = win32security.OWNER_SECURITY_INFORMATION | win32security.DACL_SECURITY_INFORMATION


def connect(endpoint: NamedPipe, timeout: float | None) -> Channel:
    """Return a channel to the listener of `endpoint`."""
    path = _path(endpoint)
    deadline = _deadline(timeout)
    while True:
        try:
            pipe = _Pipe(_open(path))
            return _PipeChannel(pipe, _server_of)
        except pywintypes.error as error:
            if error.winerror != winerror.ERROR_PIPE_BUSY:
                raise PeerError(f"cannot connect to {endpoint}: {error.strerror}") from error
        left = _milliseconds(deadline)
        if left == 0:
            raise PeerError(f"cannot connect to {endpoint}: nobody takes the connection in time")
        # Its listener is between two connections. That the wait failed says nothing: the next attempt does.
        with contextlib.suppress(pywintypes.error):
            win32pipe.WaitNamedPipe(path, left)


def listen(endpoint: NamedPipe) -> Listener:
    """Return a listener on `endpoint`."""
    path = _path(endpoint)
    security = win32security.SECURITY_ATTRIBUTES()
    try:
        sddl = access_list(str(own_account()), endpoint.admits)
        security.SECURITY_DESCRIPTOR = win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
            sddl, win32security.SDDL_REVISION_1
        )
        if _is_served(path):
            raise PeerError(f"somebody listens on {endpoint} already")
        return _PipeListener(endpoint, security, _Pipe(_first_instance(path, security)))
    except pywintypes.error as error:
        raise PeerError(f"cannot listen on {endpoint}: {error.strerror}") from error


class _Pipe:
    """One end of a pipe, used by several threads: closing it ends what they wait for."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._closing = win32event.CreateEvent(None, True, False, None)
        self._closed = False
        self._users = 0
        self._left = threading.Condition()

    @contextlib.contextmanager
    def used(self) -> Iterator[int]:
        """Give the handle, which stays open for so long. Raises PeerError once closed."""
        with self._left:
            if self._closed:
                raise PeerError("the channel is closed")
            self._users += 1
        try:
            yield self._handle
        finally:
            with self._left:
                self._users -= 1
                self._left.notify_all()

    def finish(self, start: Callable[[int, PyOVERLAPPED], bool], deadline: float | None, why: str) -> int:
        """Start an operation, wait for its end and return how many bytes it moved.

        `start` gets the handle and an OVERLAPPED and returns whether there is something to wait for. Raises
        PeerTimeout, PeerError once closed, and pywintypes.error.
        """
        with self.used() as handle:
            overlapped = pywintypes.OVERLAPPED()
            overlapped.hEvent = win32event.CreateEvent(None, True, False, None)
            if not start(handle, overlapped):
                return 0
            ready = win32event.WAIT_TIMEOUT
            try:
                ready = win32event.WaitForMultipleObjects(
                    [overlapped.hEvent, self._closing], False, _milliseconds(deadline)
                )
            finally:
                if ready != win32event.WAIT_OBJECT_0:
                    win32file.CancelIo(handle)  # what this thread began, and no more
                # Also after an exception: the system writes into memory of ours until the operation has ended.
                moved = _result(handle, overlapped)
        if moved is not None:
            return moved
        if ready == win32event.WAIT_TIMEOUT:
            raise PeerTimeout(f"{why} in time")
        raise PeerError("the channel is closed")

    def close(self) -> None:
        with self._left:
            if self._closed:
                return
            self._closed = True
            win32event.SetEvent(self._closing)
            self._left.wait_for(lambda: self._users == 0)
        # Not disconnected: that would throw away what the other end has not read yet.
        win32file.CloseHandle(self._handle)


class _PipeChannel(Channel):
    def __init__(self, pipe: _Pipe, identify: Callable[[int], Peer]) -> None:
        self._pipe = pipe
        self._identify = identify
        with pipe.used() as handle:
            self._peer = identify(handle)

    @property
    def peer(self) -> Peer:
        return self._peer

    def send(self, data: bytes, timeout: float | None = SEND_SECONDS) -> None:
        if not data:
            return

        def write(handle: int, overlapped: PyOVERLAPPED) -> bool:
            win32file.WriteFile(handle, data, overlapped)
            return True

        try:
            self._pipe.finish(write, _deadline(timeout), "the other end does not read")
        except pywintypes.error as error:
            raise PeerError(f"the other end is gone: {error.strerror}") from error

    def receive(self, limit: int, timeout: float | None) -> bytes:
        buffer = bytearray(min(limit, _LARGEST_READ))

        def read(handle: int, overlapped: PyOVERLAPPED) -> bool:
            win32file.ReadFile(handle, buffer, overlapped)
            return True

        deadline = _deadline(timeout)
        count = 0
        try:
            while not count:  # an empty message is no end
                count = self._pipe.finish(read, deadline, "nothing came")
            if self._peer.account == ANONYMOUS:
                with self._pipe.used() as handle:
                    self._peer = self._identify(handle)
        except pywintypes.error as error:
            if error.winerror in _ENDS:
                return b""
            raise PeerError(f"the channel is closed: {error.strerror}") from error
        return bytes(memoryview(buffer)[:count])

    def close(self) -> None:
        self._pipe.close()


class _PipeListener(Listener):
    """Always has one instance more than there are connections, so that the name never ceases to be ours."""

    def __init__(self, endpoint: NamedPipe, security: PySECURITY_ATTRIBUTES, waiting: _Pipe) -> None:
        self._endpoint = endpoint
        self._security = security
        self._waiting = waiting
        self._closed = False
        self._lock = threading.Lock()

    def accept(self, timeout: float | None) -> Channel:
        deadline = _deadline(timeout)
        while True:
            try:
                self._waiting.finish(_await_client, deadline, "nobody connected")
                came = True
            except pywintypes.error as error:
                if error.winerror != winerror.ERROR_NO_DATA:
                    raise PeerError(f"{self._endpoint} takes no connection: {error.strerror}") from error
                came = False  # the client has left already
            pipe = self._replace()
            if came:
                return _PipeChannel(pipe, _client_of)
            pipe.close()

    def _replace(self) -> _Pipe:
        """Return the instance that waited, behind which another one waits now."""
        with self._lock:
            if self._closed:
                raise PeerError(f"{self._endpoint} is closed")
            try:
                following = _Pipe(_instance(_path(self._endpoint), self._security))
            except pywintypes.error as error:
                raise PeerError(f"{self._endpoint} takes no more connections: {error.strerror}") from error
            pipe, self._waiting = self._waiting, following
            return pipe

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting.close()


def _await_client(handle: int, overlapped: PyOVERLAPPED) -> bool:
    return bool(win32pipe.ConnectNamedPipe(handle, overlapped) != winerror.ERROR_PIPE_CONNECTED)


def _result(handle: int, overlapped: PyOVERLAPPED) -> int | None:
    """Wait for the end of an operation; return how many bytes it moved, None if it was cancelled before."""
    try:
        return win32file.GetOverlappedResult(handle, overlapped, True)
    except pywintypes.error as error:
        if error.winerror == winerror.ERROR_OPERATION_ABORTED:
            return None
        raise


def _open(path: str) -> int:
    opened = win32file.CreateFile(path, _CLIENT_ACCESS, 0, None, win32con.OPEN_EXISTING, _CLIENT_FLAGS, None)
    return int(opened.Detach())


def _is_served(path: str) -> bool:
    """Return whether somebody listens, without taking a place from those who want to connect where there is one."""
    try:
        win32pipe.WaitNamedPipe(path, 1)
        return True
    except pywintypes.error as error:
        if error.winerror != winerror.ERROR_SEM_TIMEOUT:
            return bool(error.winerror != winerror.ERROR_FILE_NOT_FOUND)
    # Every place is taken, or nobody is left who could free one: only connecting tells these apart.
    try:
        win32file.CloseHandle(_open(path))
        return True
    except pywintypes.error as error:
        return bool(error.winerror != winerror.ERROR_FILE_NOT_FOUND)


def _first_instance(path: str, security: PySECURITY_ATTRIBUTES) -> int:
    """Make the pipe. Raises pywintypes.error, and PeerError if it is there already and not of our making.

    It outlives its listener while a client keeps its end open (a tracker whose forwarder was killed). Then it has
    the owner and the access list that its maker gave it: unless they are the ones we ask for, it is somebody's trap.
    """
    try:
        return _instance(path, security, win32pipe.FILE_FLAG_FIRST_PIPE_INSTANCE)
    except pywintypes.error as error:
        if error.winerror != winerror.ERROR_ACCESS_DENIED:
            raise
    handle = _instance(path, security)
    found = win32security.GetSecurityInfo(handle, win32security.SE_KERNEL_OBJECT, _DESCRIPTOR)
    if _words(found) == _words(security.SECURITY_DESCRIPTOR):
        return handle
    win32file.CloseHandle(handle)
    raise PeerError(f"{path} is there already, and not of this account's making")


def _instance(path: str, security: PySECURITY_ATTRIBUTES, flags: int = 0) -> int:
    return win32pipe.CreateNamedPipe(
        path,
        win32pipe.PIPE_ACCESS_DUPLEX | win32con.FILE_FLAG_OVERLAPPED | flags,
        win32pipe.PIPE_TYPE_MESSAGE | win32pipe.PIPE_READMODE_BYTE | win32pipe.PIPE_REJECT_REMOTE_CLIENTS,
        win32pipe.PIPE_UNLIMITED_INSTANCES,
        _BUFFER,
        _BUFFER,
        0,
        security,
    )


def _server_of(handle: int) -> Peer:
    found = win32security.GetSecurityInfo(
        handle, win32security.SE_KERNEL_OBJECT, win32security.OWNER_SECURITY_INFORMATION
    )
    owner = win32security.ConvertSidToStringSid(found.GetSecurityDescriptorOwner())
    administrator = owner in (SYSTEM, ADMINISTRATORS)
    return Peer(owner, win32pipe.GetNamedPipeServerProcessId(handle), administrator)


def _client_of(handle: int) -> Peer:
    """Return who is at the other end; nobody, while that cannot be told.

    A client that asked for nothing else is known by the token under which it wrote, so not before its first bytes.
    """
    try:
        win32security.ImpersonateNamedPipeClient(handle)
        try:
            token = win32security.OpenThreadToken(win32api.GetCurrentThread(), win32security.TOKEN_QUERY, True)
        finally:
            _revert()
        return Peer(token_account(token), win32pipe.GetNamedPipeClientProcessId(handle), token_is_administrators(token))
    except pywintypes.error:
        return Peer(ANONYMOUS, 0)


def _revert() -> None:
    try:
        win32security.RevertToSelf()
    except pywintypes.error:
        os.abort()  # nothing may go on under the client's name


def _words(descriptor: PySECURITY_DESCRIPTOR) -> str:
    return win32security.ConvertSecurityDescriptorToStringSecurityDescriptor(
        descriptor, win32security.SDDL_REVISION_1, _DESCRIPTOR
    )


def _path(endpoint: NamedPipe) -> str:
    if not endpoint.name or "\\" in endpoint.name or "\0" in endpoint.name or len(endpoint.name) > _LONGEST_NAME:
        raise PeerError(f"{endpoint} cannot be the name of a pipe")
    return str(endpoint)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _milliseconds(deadline: float | None) -> int:
    """Return how long there is until then, as the system counts it; rounded up, or a wait would be a busy one."""
    if deadline is None:
        return win32event.INFINITE
    left = deadline - time.monotonic()
    return min(int(left * 1000) + 1, 0x7FFF_FFFF) if left > 0 else 0
