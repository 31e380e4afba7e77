"""The access list of a Windows pipe, as text: what Wine stores and does not enforce."""

import re

import pytest

from whatchanged.errors import PeerError
from whatchanged.ipc.access import access_list

FORWARDER, TRACKER, STRANGER = "S-1-5-80-1-2-3-4-5", "S-1-5-18", "S-1-5-21-1-2-3-1001"
ENTRY = re.compile(r"\((\w);;(\w+);;;([\w-]+)\)")
FILE_CREATE_PIPE_INSTANCE = 4


def entries(sddl: str) -> list[tuple[str, ...]]:
    owner, _, rest = sddl.partition("D:P")
    assert owner == f"O:{FORWARDER}"
    found = ENTRY.findall(rest)
    assert "".join(f"({kind};;{rights};;;{sid})" for kind, rights, sid in found) == rest
    return found


def test_the_list_names_the_owner_the_system_administrators_and_who_is_admitted() -> None:
    assert entries(access_list(FORWARDER, (TRACKER, STRANGER))) == [
        ("D", "FA", "S-1-5-2"),
        ("A", "FA", FORWARDER),
        ("A", "0x12019b", TRACKER),
        ("A", "0x12019b", "S-1-5-32-544"),
        ("A", "0x12019b", STRANGER),
    ]


def test_nobody_comes_from_another_machine() -> None:
    assert entries(access_list(FORWARDER, ()))[0] == ("D", "FA", "S-1-5-2"), "a denial counts only before what allows"


def test_only_the_owner_may_add_instances_of_the_pipe() -> None:
    for kind, rights, sid in entries(access_list(FORWARDER, (TRACKER, STRANGER))):
        if kind == "A" and sid != FORWARDER:
            assert not int(rights, 16) & FILE_CREATE_PIPE_INSTANCE


def test_an_owner_that_is_admitted_too_keeps_its_rights() -> None:
    assert [entry for entry in entries(access_list(FORWARDER, (FORWARDER,))) if entry[2] == FORWARDER] == [
        ("A", "FA", FORWARDER)
    ]


@pytest.mark.parametrize("sid", ["", "SY", "1001", "S-1-5-18)(A;;FA;;;WD", "S-1-5-18\n", "S-1-5-１８"])
def test_what_is_no_sid_does_not_get_into_the_list(sid: str) -> None:
    with pytest.raises(PeerError, match="no SID"):
        access_list(FORWARDER, (sid,))
