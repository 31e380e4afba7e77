"""Who may do what with a Windows named pipe: its access list as text (SDDL). Pure.

The list is the pipe's fence: an account that it does not name cannot even connect. The listener's own account alone
may add instances to the pipe, which is how another program would take connections away from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from whatchanged.errors import PeerError

__all__ = ["ADMINISTRATORS", "ANONYMOUS", "CONNECT_RIGHTS", "SYSTEM", "access_list"]

ANONYMOUS = "S-1-5-7"
"""The account of nobody: who cannot be told (yet)."""

CONNECT_RIGHTS = 0x12019B
"""Read and write, without FILE_CREATE_PIPE_INSTANCE (4): that is FILE_APPEND_DATA too, so generic writing has it."""

SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
_NETWORK = "S-1-5-2"
_SID = re.compile(r"S-1-\d{1,15}(-\d{1,10}){1,15}", re.ASCII)


def access_list(owner: str, admits: Iterable[str]) -> str:
    """Return the SDDL of a pipe that `owner` serves to `admits`, the system and administrators; all are SIDs.

    Nobody comes from another machine: a pipe is reachable by SMB unless its list says no.
    """
    others = [sid for sid in dict.fromkeys((SYSTEM, ADMINISTRATORS, *admits)) if sid != owner]
    for sid in (owner, *others):
        if not _SID.fullmatch(sid):
            raise PeerError(f"{sid!r} is no SID", hint="an account on Windows is named as S-1-5-…")
    entries = "".join(f"(A;;{CONNECT_RIGHTS:#x};;;{sid})" for sid in others)
    return f"O:{owner}D:P(D;;FA;;;{_NETWORK})(A;;FA;;;{owner}){entries}"
