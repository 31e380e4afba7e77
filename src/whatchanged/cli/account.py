"""The account of server and forwarder, and the folders that it owns."""

from __future__ import annotations

import os
import stat
import sys

from whatchanged.cli.supervise import Account
from whatchanged.errors import SettingsError
from whatchanged.settings import DataFolder

__all__ = ["ACCOUNT_NAME", "make_folders", "service_account"]

ACCOUNT_NAME = "whatchanged"
_UNALLOCATED = 61_350
"""A uid that distributions leave free (systemd's UIDS-GIDS: 60578 to 61183 and 61488 to 65519 are spoken for)."""


def service_account() -> Account | None:
    """Return the account `whatchanged`, else a number nobody has; None if we are not root anyway."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        return Account(_UNALLOCATED, _UNALLOCATED)
    return Account(entry.pw_uid, entry.pw_gid)


def make_folders(data: DataFolder, account: Account | None, *, server: bool) -> None:
    """Make the data folder and what is in it, with the right owners and modes; mend those that differ."""
    # Of the data folder itself the service account needs only the way through.
    _folder(data.path, None, 0o700 if account is None else 0o711, parents=True)
    _folder(data.tracker, None, 0o700)
    _folder(data.forwarder, account, 0o700)
    _folder(data.pipe_folder, account, 0o750)
    if server:
        _folder(data.server, account, 0o700)


if sys.platform == "win32":

    def _folder(path: str, account: Account | None, mode: int, *, parents: bool = False) -> None:
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"cannot make {path}: {error.strerror}", hint="choose another folder with --data"
            ) from error

else:

    def _folder(path: str, account: Account | None, mode: int, *, parents: bool = False) -> None:
        try:
            if parents:
                os.makedirs(path, exist_ok=True)
            elif not os.path.lexists(path):
                os.mkdir(path, 0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | (0 if parents else os.O_NOFOLLOW))
        except OSError as error:
            raise SettingsError(
                f"cannot make {path}: {error.strerror}", hint="choose another folder with --data"
            ) from error
        try:
            _own(descriptor, account)
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                os.fchmod(descriptor, mode)
        except PermissionError as error:
            raise SettingsError(
                f"{path} belongs to another account", hint="choose another folder with --data"
            ) from error
        finally:
            os.close(descriptor)

    def _own(descriptor: int, account: Account | None) -> None:
        """Give a folder and all in it to the account; the account may have changed since the last start."""
        if account is None or os.fstat(descriptor).st_uid == account.uid:
            return
        os.fchown(descriptor, account.uid, account.gid)
        for _, folders, files, folder in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
            for name in [*folders, *files]:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                # A hard link may lead to a file of somebody else (/etc/shadow): it does not change hands.
                if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
                    os.chown(name, account.uid, account.gid, dir_fd=folder, follow_symlinks=False)
