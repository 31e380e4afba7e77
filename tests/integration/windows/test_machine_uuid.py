"""The machine's UUID as the firmware tables of this Windows have it."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

from whatchanged.collectors.management import instances
from whatchanged.firmware import vm_uuid
from whatchanged.forwarder.heartbeat import machine_facts

NONE = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "")


def test_it_is_what_wmi_says() -> None:
    (said,) = [row["UUID"].lower() for row in instances("Win32_ComputerSystemProduct", ("UUID",), 10)]
    found = vm_uuid()
    assert found == ("" if said in NONE else said)
    assert machine_facts()["vmUuid"] == found
