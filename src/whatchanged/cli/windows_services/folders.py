"""The folders of an installation on Windows: made with their lists, or refused when they may be somebody else's.

Every user may make `%ProgramData%\\whatchanged` before we do, keep it, and plant files, links to files and junctions
in it. So a folder that is there must belong to somebody who may change the machine anyway, it is closed first, and what
is in it is looked at before it gets the lists of ours (which would reach the far end of a hard link, too).
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import os
import stat
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ntsecuritycon
import pywintypes
import win32api
import win32file
import win32security

from whatchanged.cli.program import in_virtual_environment, places
from whatchanged.cli.windows_services.access import REPLACE, WRITE, Entry, inherited, strangers
from whatchanged.errors import OperationError, SettingsError
from whatchanged.ipc import own_account

if TYPE_CHECKING:
    from _win32typing import PySECURITY_DESCRIPTOR

__all__ = ["make_folders", "make_settings_folder", "require_safe_program", "strangers_at"]

_ALREADY_EXISTS = 183
_LIST = win32security.OWNER_SECURITY_INFORMATION | win32security.DACL_SECURITY_INFORMATION


def make_folders(lists: Mapping[str, str], accounts: Iterable[str]) -> None:
    """Make folders with their owners and lists (SDDL), the outer one first; close those that are there.

    What is in those may belong to `accounts` (SIDs). Raises SettingsError, OperationError.
    """
    with _prepared(next(iter(lists))):
        known = {str(own_account()), *accounts}
        there = []
        for path, text in lists.items():
            if not _make(path, text):
                _close(path, text, known)
                for entry, status in _below(path):
                    _require_ours(entry, status, known)
                there.append(path)
        for path in there:
            _pass_on(path, lists[path], lists)


def make_settings_folder(path: str, text: str, accounts: Iterable[str]) -> None:
    """Make the folder of the settings, or close it with the files in it; services may be at work in its folders.

    Raises SettingsError, OperationError.
    """
    with _prepared(path):
        known = {str(own_account()), *accounts}
        if _make(path, text):
            return
        _close(path, text, known)
        with os.scandir(path) as found:
            files = [entry.path for entry in found if not entry.is_dir(follow_symlinks=False)]
        for file in files:
            _require_ours(file, os.lstat(file), known)
        for file in files:
            _set_inherited(file, inherited(text, folder=False))


@contextlib.contextmanager
def _prepared(outer: str) -> Iterator[None]:
    """Make what `outer` stands in, and turn what goes wrong meanwhile into an error of ours."""
    parent = os.path.dirname(outer)
    try:
        _enable_privilege("SeRestorePrivilege")  # to give a folder to another account
        os.makedirs(parent, exist_ok=True)
        if found := _replaceable(parent):
            raise SettingsError(
                f"{found[0]} may be replaced by {', '.join(found[1])}", hint=r"use a folder in %ProgramData%"
            )
        yield
    except (OSError, pywintypes.error) as error:
        raise OperationError(f"cannot make {outer}: {error.strerror}", hint="choose another with --data") from error


def _make(path: str, text: str) -> bool:
    """Make a folder that has its list from its first moment; return False if there is one."""
    attributes = win32security.SECURITY_ATTRIBUTES()
    attributes.SECURITY_DESCRIPTOR = _descriptor(text)
    try:
        win32file.CreateDirectory(path, attributes)
    except pywintypes.error as error:
        if error.winerror == _ALREADY_EXISTS:
            return False
        raise
    return True


def _close(path: str, text: str, known: set[str]) -> None:
    """Give a folder that was there its list; what is in it has not been looked at, and keeps its own."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise SettingsError(f"{path} is no folder", hint="look at it, move it away, and install again")
    _require_ours(path, status, known)
    win32security.SetFileSecurity(path, _LIST, _descriptor(text))


def _pass_on(folder: str, text: str, but: Container[str]) -> None:
    """Give what is in a folder the list that it would have got there, and no other."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if path not in but:
            inside = inherited(text, folder=os.path.isdir(path))
            _set_inherited(path, inside)
            if os.path.isdir(path):
                _pass_on(path, inside, but)


def _set_inherited(path: str, text: str) -> None:
    # Not by SetNamedSecurityInfo, which leaves in place what was set on a file itself.
    win32security.SetFileSecurity(path, win32security.DACL_SECURITY_INFORMATION, _descriptor(text))


def _require_ours(path: str, status: os.stat_result, known: set[str]) -> None:
    why = ""
    if status.st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT:
        why = "leads somewhere else"
    elif stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        why = "has another name elsewhere"
    elif strangers(owner := _owner(path), (), 0, known):
        why = f"belongs to {_account_name(owner)}"
    if why:
        raise SettingsError(
            f"{path} {why}: it was not made by an installation", hint="look at it, move it away, and install again"
        )


def _below(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all below a folder; each is yielded before what is in it, so whoever takes them may refuse a junction."""
    with os.scandir(folder) as found:
        for entry in found:
            status = os.lstat(entry.path)  # of entry.stat() Windows leaves out the number of names
            yield entry.path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _below(entry.path)


def require_safe_program() -> None:
    """Raise SettingsError if others could change this program, which is about to run as LocalSystem."""
    if in_virtual_environment():
        raise SettingsError(
            "the Python of a virtual environment only starts another one, which is no service",
            hint="install into a Python of its own, in %ProgramFiles%",
        )
    for place in {os.path.abspath(place) for place in places()} | {os.path.realpath(place) for place in places()}:
        if found := _foreign_hands(place):
            raise SettingsError(
                f"{found[0]} may be changed by {', '.join(found[1])}: a service must not run it",
                hint="install the program into %ProgramFiles%",
            )


def _foreign_hands(place: str) -> tuple[str, list[str]] | None:
    names = strangers_at(place, WRITE)
    return (place, names) if names else _replaceable(os.path.dirname(place))


def _replaceable(folder: str) -> tuple[str, list[str]] | None:
    while True:
        if names := strangers_at(folder, REPLACE):
            return folder, names
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def strangers_at(path: str, rights: int, known: Iterable[str] = ()) -> list[str]:
    """Return the names of all but administrators, us and `known` (SIDs) who have any of `rights` to something.

    Raises OperationError.
    """
    try:
        descriptor = win32security.GetNamedSecurityInfo(path, win32security.SE_FILE_OBJECT, _LIST)
    except pywintypes.error as error:
        raise OperationError(f"cannot see who may change {path}: {error.strerror}") from error
    owner = win32security.ConvertSidToStringSid(descriptor.GetSecurityDescriptorOwner())
    found = strangers(owner, _entries(descriptor), rights, (str(own_account()), *known))
    return [_account_name(sid) for sid in found]


def _entries(descriptor: PySECURITY_DESCRIPTOR) -> list[Entry] | None:
    access = descriptor.GetSecurityDescriptorDacl()
    if access is None:
        return None
    found = []
    for number in range(access.GetAceCount()):
        (kind, flags), rights, *_, sid = access.GetAce(number)
        found.append(Entry(kind, flags, rights & 0xFFFF_FFFF, win32security.ConvertSidToStringSid(sid)))
    return found


def _owner(path: str) -> str:
    descriptor = win32security.GetFileSecurity(path, win32security.OWNER_SECURITY_INFORMATION)
    return win32security.ConvertSidToStringSid(descriptor.GetSecurityDescriptorOwner())


def _account_name(sid: str) -> str:
    try:
        name, domain, _ = win32security.LookupAccountSid(None, win32security.ConvertStringSidToSid(sid))
    except pywintypes.error:
        return sid  # of a deleted account, or of a domain that is out of reach
    return rf"{domain}\{name}" if domain else name


def _descriptor(text: str) -> PySECURITY_DESCRIPTOR:
    return win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(text, win32security.SDDL_REVISION_1)


def _enable_privilege(name: str) -> None:
    token = win32security.OpenProcessToken(
        win32api.GetCurrentProcess(), ntsecuritycon.TOKEN_ADJUST_PRIVILEGES | ntsecuritycon.TOKEN_QUERY
    )
    privilege = win32security.LookupPrivilegeValue("", name)
    wanted: Any = [(privilege, win32security.SE_PRIVILEGE_ENABLED)]  # its type stub knows no way to make one
    win32security.AdjustTokenPrivileges(token, False, wanted)
