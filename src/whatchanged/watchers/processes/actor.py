"""Who: the answer to a question about a process."""

from __future__ import annotations

import msgspec

__all__ = ["Actor"]


class Actor(msgspec.Struct, frozen=True):
    """The process that made a change. What is not known for certain is None.

    Text is lossy where the kernel's bytes are no UTF-8, and holds whatever control characters the process has put
    there. Accounts are numbers of the machine's own user namespace: their names are in its passwd(5).
    """

    pid: int
    name: str | None = None
    """The kernel's name of the process, 15 bytes at most: of a script its own, not its interpreter's."""
    command_line: str | None = None
    """Its arguments with a space between them, cut after 4 KiB. It may hold secrets."""
    executable: str | None = None
    """The program file as the process sees it (a container's in its own root); ` (deleted)` behind it: it is gone."""
    account: int | None = None
    """Effective user."""
    login_account: int | None = None
    """The user who logged in (loginuid of pam_loginuid(8)); None also when nobody did."""
    parent_pid: int | None = None
    """The process that started it, or when it began before we did, its parent then."""
    parent_name: str | None = None
    service: str | None = None
    """The unit of systemd that it runs in: a service, or the scope of a session or container."""
    followed: bool = True
    """All that it was is known. Else this is what it is now: it may have run another program before."""
