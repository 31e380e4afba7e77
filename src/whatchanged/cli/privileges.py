"""Giving up root inside a process that root's `up` started, and dying with the parent.

The interpreter may stand where only root can go (`/root/.venv`), so the process first makes its modules reachable,
imports its room, and only then changes its account. Modules imported later are found through descriptors of the
folders on the search path: `/proc/self/fd/<n>/…` enters the folder itself and asks no permission of the folders above
it (proc(5): the links there are no ordinary symbolic links).

The parent says what it wants in the environment: `WHATCHANGED_DROP_TO=<uid>:<gid>` and `WHATCHANGED_PARENT=<pid>`.
Without a parent, `act_for_owner_of` wishes the first.
"""

from __future__ import annotations

import os
import signal
import stat
import sys

from whatchanged.errors import OperationError, SettingsError

__all__ = ["DROP_TO", "PARENT", "act_for_owner_of", "drop", "first_closed", "follow_parent", "keep_modules_reachable"]

DROP_TO = "WHATCHANGED_DROP_TO"
PARENT = "WHATCHANGED_PARENT"

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def act_for_owner_of(folder: str) -> None:
    """Wish to become the owner of `folder` when root acts for another account: what it writes there must be its own."""
    if sys.platform == "win32" or os.geteuid() != 0 or DROP_TO in os.environ:
        return
    try:
        status = os.lstat(folder)
    except OSError:
        return  # not there yet: who makes it owns it
    if status.st_uid != 0:
        os.environ[DROP_TO] = f"{status.st_uid}:{status.st_gid}"


def keep_modules_reachable() -> None:
    """Make modules in folders that only root may reach importable after `drop`. Does nothing without a wish to drop."""
    if sys.platform == "win32" or DROP_TO not in os.environ:
        return
    renamed: dict[str, str] = {}
    for folder in _search_folders():
        real = os.path.realpath(folder)
        if os.path.isdir(real) and first_closed(real) is not None:
            # The descriptor stays open for the life of the process, on purpose.
            descriptor = os.open(real, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            renamed[folder] = f"/proc/self/fd/{descriptor}"
    sys.path[:] = [renamed.get(folder, folder) for folder in sys.path]
    for module in list(sys.modules.values()):
        places = getattr(module, "__path__", None)
        if isinstance(places, list):
            places[:] = [renamed.get(place, place) for place in places]
    sys.path_importer_cache.clear()


def _search_folders() -> set[str]:
    folders = {folder for folder in sys.path if folder}
    for module in list(sys.modules.values()):
        places = getattr(module, "__path__", None)
        if isinstance(places, list):
            folders.update(place for place in places if isinstance(place, str))
    return folders


def first_closed(path: str, uid: int | None = None, gid: int | None = None) -> str | None:
    """Return the first folder on the way to `path` (itself included) that the account may not enter, or None.

    Without an account: that not everybody may enter. Access lists beyond the mode are not looked at.
    """
    folder = os.path.abspath(path)
    way = [folder]
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        way.append(folder)
    for step in reversed(way):
        try:
            status = os.stat(step)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode) and not _may_enter(status, uid, gid):
            return step
    return None


def _may_enter(status: os.stat_result, uid: int | None, gid: int | None) -> bool:
    if uid is not None and status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if gid is not None and status.st_gid == gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def drop() -> None:
    """Become the account that the parent asked for, for good; raises OperationError if that fails."""
    wish = os.environ.pop(DROP_TO, "")
    if sys.platform == "win32" or not wish:
        return
    try:
        uid, gid = (int(part) for part in wish.split(":"))
    except ValueError as error:
        raise SettingsError(f"{DROP_TO} must be <uid>:<gid>, not {wish!r}") from error
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise OperationError(f"cannot become account {uid}:{gid}: {error}") from error
    if uid != 0 and (os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid)):
        raise OperationError(f"still not account {uid}:{gid} after changing to it")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    os.umask(0o077)
    os.chdir("/")
    os.environ["HOME"] = "/"


def follow_parent() -> None:
    """Ask the kernel to end this process when its parent dies, however it dies.

    Called after `drop`: a change of account clears the wish (prctl(2), PR_SET_PDEATHSIG).
    """
    parent = os.environ.pop(PARENT, "")
    if sys.platform == "win32" or not parent:
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        # It died before the wish was in force.
        raise SystemExit(1)


def _prctl(option: int, value: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OperationError(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}")
