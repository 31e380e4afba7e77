"""Variables of the system, as the registry holds them: `%SystemRoot%` in a service's path is where Windows stands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from whatchanged.collectors.registry.source import (
    CURRENT_CONTROL_SET,
    MACHINE,
    RegistrySource,
    clean_text,
    text_at,
)

__all__ = ["expanded", "native_architecture", "system_variables"]

_WINDOWS = rf"{MACHINE}\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_FOLDERS = rf"{MACHINE}\SOFTWARE\Microsoft\Windows\CurrentVersion"
_PROFILES = rf"{_WINDOWS}\ProfileList"
_ENVIRONMENT = rf"{CURRENT_CONTROL_SET}\Control\Session Manager\Environment"
_ARCHITECTURES = {"AMD64": "x64", "ARM64": "arm64", "X86": "x86", "IA64": "ia64"}
_VARIABLE = re.compile(r"%([^%]+)%")


def system_variables(source: RegistrySource) -> dict[str, str]:
    """Return the variables that services see, by name in upper case."""
    root = text_at(source.open(_WINDOWS), "SystemRoot") or r"C:\Windows"
    found = {"SYSTEMROOT": root, "WINDIR": root, "SYSTEMDRIVE": root[:2]}
    folders, profiles = source.open(_FOLDERS), source.open(_PROFILES)
    for variable, key, value in (
        ("PROGRAMFILES", folders, "ProgramFilesDir"),
        ("PROGRAMFILES(X86)", folders, "ProgramFilesDir (x86)"),
        ("COMMONPROGRAMFILES", folders, "CommonFilesDir"),
        ("COMMONPROGRAMFILES(X86)", folders, "CommonFilesDir (x86)"),
        ("PROGRAMDATA", profiles, "ProgramData"),
    ):
        if text := text_at(key, value):
            found[variable] = expanded(text, found)
    environment = source.open(_ENVIRONMENT)
    for entry in () if environment is None else environment.values():
        if text := text_at(environment, entry.name):
            found.setdefault(clean_text(entry.name).upper(), expanded(text, found))
    return found


def native_architecture(variables: Mapping[str, str]) -> str:
    """Return the machine's architecture: `x64`, `arm64`, `x86`; empty if it is not told."""
    return _ARCHITECTURES.get(variables.get("PROCESSOR_ARCHITECTURE", "").upper(), "")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its variables filled in; those that are not known stay as they are."""
    return _VARIABLE.sub(lambda found: variables.get(found[1].upper(), found[0]), text)
