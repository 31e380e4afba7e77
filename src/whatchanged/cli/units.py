"""The systemd units: templates beside this module, filled for one installation."""

from __future__ import annotations

import importlib.resources
import re

from whatchanged.errors import SettingsError

__all__ = ["AGENT_UNITS", "SERVER_UNIT", "UNITS", "render"]

AGENT_UNITS = ("whatchanged-forwarder.service", "whatchanged-tracker.service")
SERVER_UNIT = "whatchanged-server.service"
UNITS = (*AGENT_UNITS, SERVER_UNIT)

# Unit files have quoting, specifiers and variables of their own; a path that needs none of them needs no care.
_PLAIN = re.compile(r"/[A-Za-z0-9_./+@~-]*\Z", re.ASCII)


_AUDIT_RIGHTS = " CAP_AUDIT_READ CAP_AUDIT_CONTROL"


def render(unit: str, *, python: str, data: str, account: str, audit: bool = False) -> str:
    """Return the text of a unit; raises SettingsError for paths that a unit file cannot carry as they are.

    `audit`: the policy asks for audit, so that the tracker needs the rights to it.
    """
    for path in (python, data):
        if not _PLAIN.match(path):
            raise SettingsError(f"{path!r} cannot stand in a unit file", hint="use a path of letters, digits, and ._+-")
    template = importlib.resources.files("whatchanged.cli").joinpath("systemd", unit).read_text(encoding="utf-8")
    rights = _AUDIT_RIGHTS if audit else ""
    for name, value in (("PYTHON", python), ("DATA", data), ("ACCOUNT", account), ("AUDIT", rights)):
        template = template.replace(f"@{name}@", value)
    return template
