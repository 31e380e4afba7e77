"""Whose commands a tracker takes."""

from __future__ import annotations

import pytest

from whatchanged.ipc import AccountId, Peer
from whatchanged.tracker.control import hears

SYSTEM, PERSON, OTHER = "S-1-5-18", "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"


@pytest.mark.parametrize(
    ("peer", "account", "heard"),
    [
        (Peer(PERSON, 1, administrator=True), SYSTEM, True),
        (Peer(PERSON, 1), SYSTEM, False),
        (Peer(PERSON, 1), PERSON, True),
        (Peer(OTHER, 1), PERSON, False),
        (Peer(0, 1, administrator=True), 1000, True),
        (Peer(1000, 1), 1000, True),
        (Peer(1001, 1), 1000, False),
        (Peer(1000, 1), 0, False),
    ],
)
def test_its_own_account_and_administrators(peer: Peer, account: AccountId, heard: bool) -> None:
    assert hears(peer, account) is heard
