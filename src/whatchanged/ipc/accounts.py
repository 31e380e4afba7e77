"""Accounts as this system names them: a uid, or a SID as text."""

from __future__ import annotations

import os
import sys

from whatchanged.ipc.endpoints import AccountId

__all__ = ["own_account"]

if sys.platform == "win32":
    import win32api
    import win32security

    def own_account() -> AccountId:
        """Return the account that this process runs as."""
        token = win32security.OpenProcessToken(win32api.GetCurrentProcess(), win32security.TOKEN_QUERY)
        return token_account(token)

    def token_account(token: int) -> str:
        """Return whose token it is."""
        user, _ = win32security.GetTokenInformation(token, win32security.TokenUser)
        return win32security.ConvertSidToStringSid(user)

else:

    def own_account() -> AccountId:
        """Return the account that this process runs as."""
        return os.geteuid()
