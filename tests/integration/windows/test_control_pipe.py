"""Who is heard on the tracker's control pipe, and whose answers count."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import win32api
import win32con
import win32file
import win32pipe
import win32security

from whatchanged import ipc
from whatchanged.cli.options import Values
from whatchanged.cli.tracker_control import ask
from whatchanged.errors import PeerError
from whatchanged.ipc.access import ADMINISTRATORS, SYSTEM, access_list
from whatchanged.ipc.accounts import token_is_administrators
from whatchanged.tracker.control import ControlServer

ME = str(ipc.own_account())
STRANGER = "S-1-5-21-1-2-3-1001"


@pytest.fixture
def values(tmp_path: Path) -> Values:
    found = Values({"data": str(tmp_path)})
    Path(found.data.tracker).mkdir()
    return found


@contextlib.contextmanager
def served(values: Values, account: str) -> Iterator[None]:
    """A tracker of another account than ours, as the service is to an administrator."""
    stop = threading.Event()
    server = ControlServer(values.data.tracker_control_socket, {"status": lambda _: "fine"}, stop, account=account)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def token(*, denying: bool) -> int:
    """Return our token to be impersonated; `denying`: of an administrator who did not elevate."""
    access = win32con.TOKEN_DUPLICATE | win32con.TOKEN_QUERY | win32con.TOKEN_ASSIGN_PRIMARY
    own = win32security.OpenProcessToken(win32api.GetCurrentProcess(), access)
    group = win32security.ConvertStringSidToSid(ADMINISTRATORS)
    denied = ((group, 0),) if denying else ()
    made = win32security.CreateRestrictedToken(own, 0, denied, (), ())  # type: ignore[arg-type]  # a type of the stubs
    return win32security.DuplicateToken(made, win32security.SecurityIdentification)


def test_who_did_not_elevate_is_no_administrator() -> None:
    assert token_is_administrators(token(denying=False))
    assert not token_is_administrators(token(denying=True))


def test_an_administrator_is_heard_by_the_tracker_of_the_system(values: Values) -> None:
    with served(values, SYSTEM):
        assert ask(values, "status") == "fine"


def test_the_pipe_is_open_to_the_owner_the_system_and_administrators_only(values: Values) -> None:
    parts = win32security.OWNER_SECURITY_INFORMATION | win32security.DACL_SECURITY_INFORMATION
    as_text = win32security.ConvertSecurityDescriptorToStringSecurityDescriptor
    path = str(ipc.at(values.data.tracker_control_socket))
    with served(values, SYSTEM):
        handle = win32file.CreateFile(path, win32con.GENERIC_READ, 0, None, win32con.OPEN_EXISTING, 0, None)
        found = win32security.GetSecurityInfo(int(handle), win32security.SE_KERNEL_OBJECT, parts)
        handle.Close()
    asked = win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(access_list(ME, ()), 1)
    assert as_text(found, 1, parts) == as_text(asked, 1, parts)


def test_a_pipe_that_a_stranger_made_is_not_believed(values: Values) -> None:
    # On a real Windows only who has the right to restore files gives a pipe to another account.
    security = win32security.SECURITY_ATTRIBUTES()
    security.SECURITY_DESCRIPTOR = win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
        access_list(STRANGER, (ME,)), 1
    )
    pipe = win32pipe.CreateNamedPipe(
        str(ipc.at(values.data.tracker_control_socket)), win32pipe.PIPE_ACCESS_DUPLEX, 0, 2, 4096, 4096, 0, security
    )
    with pytest.raises(PeerError, match=f"belongs to {STRANGER}"):
        ask(values, "status")
    win32file.CloseHandle(pipe)
