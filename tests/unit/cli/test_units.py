"""The systemd units, as systemd reads them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from whatchanged.cli.units import UNITS, render
from whatchanged.errors import SettingsError


def _settings(unit: str, *, audit: bool = False) -> dict[str, str]:
    text = render(
        unit, python="/opt/whatchanged/bin/python", data="/var/lib/whatchanged", account="whatchanged", audit=audit
    )
    assert "@PYTHON@" not in text
    assert "@DATA@" not in text
    assert "@ACCOUNT@" not in text
    assert "@AUDIT@" not in text
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def test_the_tracker_may_open_no_ip_socket() -> None:
    settings = _settings("whatchanged-tracker.service")
    assert settings["RestrictAddressFamilies"] == "AF_UNIX AF_NETLINK"
    assert settings["IPAddressDeny"] == "any"
    assert (
        settings["CapabilityBoundingSet"]
        == "CAP_DAC_READ_SEARCH CAP_SYS_ADMIN CAP_NET_ADMIN CAP_SYS_PTRACE CAP_SYS_NICE"
    )
    assert not {"@mount", "@privileged", "@module"} & set(settings["SystemCallFilter"].split())
    assert settings["ReadWritePaths"] == "/var/lib/whatchanged/tracker"
    assert "PrivateNetwork" not in settings, "it would cut off the kernel's process events"
    assert "PrivateTmp" not in settings, "the tracker must see the machine as it is"


def test_the_tracker_has_the_rights_to_audit_where_the_policy_asks_for_it() -> None:
    without = _settings("whatchanged-tracker.service")["CapabilityBoundingSet"]
    rights = _settings("whatchanged-tracker.service", audit=True)["CapabilityBoundingSet"]
    assert rights == f"{without} CAP_AUDIT_READ CAP_AUDIT_CONTROL"


@pytest.mark.parametrize("unit", ["whatchanged-forwarder.service", "whatchanged-server.service"])
def test_who_is_on_the_network_has_no_rights(unit: str) -> None:
    settings = _settings(unit)
    assert settings["User"] == "whatchanged"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["NoNewPrivileges"] == "yes"
    assert "/tracker" in settings["InaccessiblePaths"]


@pytest.mark.parametrize("path", ["/with space/python", "/a\nExecStart=/bin/sh", "relative", "/100%n", "/$HOME"])
def test_paths_that_a_unit_cannot_carry_are_refused(path: str) -> None:
    with pytest.raises(SettingsError):
        render(UNITS[0], python=path, data="/var/lib/whatchanged", account="whatchanged")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        (tmp_path / unit).write_text(render(unit, python=sys.executable, data="/var/lib/whatchanged", account="root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / unit) for unit in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if "whatchanged" in line]
    assert complaints == []
