"""Who may do what with the folders of an installation: access lists, as text (SDDL) and as entries. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whatchanged.settings import DataFolder

__all__ = [
    "ADMINISTRATORS",
    "ANY",
    "REPLACE",
    "TRUSTED",
    "WRITE",
    "Entry",
    "folder_lists",
    "inherited",
    "outer_list",
    "strangers",
]

ADMINISTRATORS = "S-1-5-32-544"
TRUSTED = frozenset(
    {
        "S-1-5-18",  # LocalSystem
        ADMINISTRATORS,
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",  # TrustedInstaller, owner of Windows' files
    }
)
"""Who may change anything anyway."""
_CREATOR_OWNER = "S-1-3-0"
_EVERYONE = "S-1-1-0"

# winnt.h
_ALLOWS = frozenset({0, 9})
"""ACCESS_ALLOWED_ACE_TYPE and its form with a condition."""
_INHERIT_ONLY = 0x8
_DELETE_CHILD, _DELETE, _WRITE_DAC, _WRITE_OWNER = 0x40, 0x1_0000, 0x4_0000, 0x8_0000
_GENERIC_ALL, _GENERIC_WRITE = 0x1000_0000, 0x4000_0000
REPLACE = _DELETE_CHILD | _DELETE | _WRITE_DAC | _WRITE_OWNER | _GENERIC_ALL
"""Rights to a folder that let its holder put another one in the place of what is in it."""
WRITE = REPLACE | 0x2 | 0x4 | _GENERIC_WRITE
"""And to write, or to add files and folders."""
ANY = 0xFFFF_FFFF

_PASS = 0x10_00A0
"""FILE_TRAVERSE, FILE_READ_ATTRIBUTES, SYNCHRONIZE."""
_READ_CONTROL = 0x2_0000
_MODIFY = 0x13_01BF
"""All but deleting what others own, the access list and the owner."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an access list: its type and flags (ACE_HEADER), the rights, and whose."""

    type: int
    flags: int
    rights: int
    sid: str


_ENTRY = re.compile(r"\(A;([A-Z]*);([^;]*);;;([^)]*)\)")
_FULL = f"(A;OICI;FA;;;SY)(A;OICI;FA;;;{ADMINISTRATORS})"


def outer_list(forwarder: str) -> str:
    """Return the list of the folder around: `forwarder` passes through, and reads the settings in it."""
    return f"O:{ADMINISTRATORS}D:P{_FULL}(A;;{_PASS:#x};;;{forwarder})(A;OINPIO;FR;;;{forwarder})"


def folder_lists(data: DataFolder, tracker: str, forwarder: str) -> dict[str, str]:
    """Return folder → owner and access list (SDDL), the data folder first; `tracker` and `forwarder` are SIDs.

    Nothing comes from %ProgramData%, where every user may write. The owner tells whose folder it is: tracker and
    forwarder know each other by it. The forwarder may see who owns the tracker's folder, and nothing in it.
    """
    own = f"(A;OICI;{_MODIFY:#x};;;{forwarder})"
    return {
        data.path: outer_list(forwarder),
        data.tracker: f"O:{tracker}D:P{_FULL}(A;;{_PASS | _READ_CONTROL:#x};;;{forwarder})",
        data.forwarder: f"O:{forwarder}D:P{_FULL}{own}",
        data.pipe_folder: f"O:{forwarder}D:P{_FULL}{own}",
    }


def inherited(text: str, *, folder: bool) -> str:
    """Return the list (SDDL) of a file or a folder inside one whose list is `text`, one of this module's.

    The rules are Windows' own ([MS-DTYP] 2.5.3.4). What is set so holds nothing else: no entry of an earlier time.
    """
    entries = ""
    for flags, rights, sid in _ENTRY.findall(text):
        kept = {flags[at : at + 2] for at in range(0, len(flags), 2)}
        if folder and "CI" in kept:
            entries += f"(A;OICIID;{rights};;;{sid})"
        elif not folder and "OI" in kept:
            entries += f"(A;ID;{rights};;;{sid})"
    return f"D:AI{entries}"


def strangers(owner: str, entries: Iterable[Entry] | None, rights: int, trusted: Iterable[str]) -> Sequence[str]:
    """Return whom the list of something gives any of `rights`, its owner too, but for `trusted` (SIDs).

    Entries that deny are not counted in favour of anything. No list at all (None) is everything for everyone.
    """
    if entries is None:
        return (_EVERYONE,)
    holders = [owner]
    holders += [e.sid for e in entries if e.type in _ALLOWS and not e.flags & _INHERIT_ONLY and e.rights & rights]
    # The creator of something is its owner, who is counted.
    known = {*TRUSTED, *trusted, _CREATOR_OWNER}
    return tuple(sid for sid in dict.fromkeys(holders) if sid not in known)
