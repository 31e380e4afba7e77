"""Accounts as this system names them: a uid, or a SID as text."""

from __future__ import annotations

import os
import sys

from whatchanged.ipc.endpoints import AccountId

__all__ = ["folder_owner", "own_account"]

if sys.platform == "win32":
    import pywintypes
    import win32api
    import win32security

    from whatchanged.ipc.access import ADMINISTRATORS

    def own_account() -> AccountId:
        """Return the account that this process runs as."""
        token = win32security.OpenProcessToken(win32api.GetCurrentProcess(), win32security.TOKEN_QUERY)
        return token_account(token)

    def folder_owner(path: str) -> AccountId:
        """Return who owns a folder; ours, of one that belongs to all administrators, which says nothing.

        Raises OSError.
        """
        try:
            found = win32security.GetFileSecurity(path, win32security.OWNER_SECURITY_INFORMATION)
        except pywintypes.error as error:
            raise OSError(None, error.strerror, path, error.winerror) from error
        owner = win32security.ConvertSidToStringSid(found.GetSecurityDescriptorOwner())
        return own_account() if owner == ADMINISTRATORS else owner

    def token_account(token: int) -> str:
        """Return whose token it is."""
        user, _ = win32security.GetTokenInformation(token, win32security.TokenUser)
        return win32security.ConvertSidToStringSid(user)

    def token_is_administrators(token: int) -> bool:
        """Return whether an impersonation token has the rights of administrators.

        Not that of one who would first have to elevate: there the group is only to deny.
        """
        group = win32security.ConvertStringSidToSid(ADMINISTRATORS)
        return bool(win32security.CheckTokenMembership(token, group))

else:

    def own_account() -> AccountId:
        """Return the account that this process runs as."""
        return os.geteuid()

    def folder_owner(path: str) -> AccountId:
        """Return who owns a folder. Raises OSError."""
        return os.lstat(path).st_uid
