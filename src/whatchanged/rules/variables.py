"""Variables in the paths of Linux file rules: `${NAME}`, filled in on the machine from fixed places.

The places are the `[variables]` of the policy file and, for absolute paths alone, the machine's `/etc/environment`
(pam_env(8)): never the environment of a process, which depends on who started it. A rule comes from the network and
what it resolves to is told there, so other values of `/etc/environment` (a proxy with its password) stay out of reach.
A variable that is not known is an error of the rule, not a path that matches nothing. `windows_variables` has those of
Windows (`%NAME%`).
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping

import msgspec

from whatchanged.errors import RuleError
from whatchanged.rules import windows_variables
from whatchanged.rules.items import FileRule

__all__ = ["NAME", "Variables", "lookalike", "parse_environment", "placeholder"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_ENVIRONMENT = b"etc/environment"
_MAX_SIZE = 256 * 1024
_MAX_VALUE = 4096
_REFERENCE = re.compile(rb"\\.|\$\{([^}]*)\}?", re.DOTALL)
_LOOKALIKE = re.compile(rb"(?<!\\)(?:\$([A-Za-z_]\w*)|%([A-Za-z_]\w*)%)")
_SPECIAL = re.compile(rb"[*?\[\\$]")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_OF_USERS = frozenset({"HOME", "USER", "LOGNAME", "PWD", "XDG_CONFIG_HOME", "XDG_DATA_HOME"})


class Variables(msgspec.Struct, frozen=True):
    """What a machine sets. Values are taken literally: a `*` in one is no wildcard."""

    declared: Mapping[str, str] = {}
    """Of the policy."""
    environment: Mapping[str, str] = {}
    """Of `/etc/environment`."""
    trouble: str = ""
    """Why `/etc/environment` was not read."""
    windows: Mapping[str, str] | None = None
    """What a Windows machine sets, by names in upper case; None on other machines."""

    @classmethod
    def load(cls, root: str = "/", declared: Mapping[str, str] | None = None) -> Variables:
        """Return what the system at `root` sets, beside what its policy has `declared`."""
        if sys.platform == "win32":
            try:
                return cls(declared or {}, windows=windows_variables.machine_environment())
            except OSError as error:
                return cls(declared or {}, trouble=str(error), windows={})
        environment, trouble = {}, ""
        try:
            environment = parse_environment(_read(os.fsencode(root)))
        except FileNotFoundError:
            pass
        except OSError as error:
            trouble = str(error)
        return cls(declared or {}, environment, trouble)

    def resolve(self, rule: FileRule) -> FileRule:
        """Return `rule` with every variable filled in. Raises RuleError for one that cannot be."""
        path, exclude = self.fill(rule.destination_path), tuple(self.fill(entry) for entry in rule.exclude)
        if path == rule.destination_path and exclude == rule.exclude:
            return rule
        return msgspec.structs.replace(rule, destination_path=path, exclude=exclude)

    def fill(self, path: bytes) -> bytes:
        """Return `path` with every variable filled in. Raises RuleError."""
        return _REFERENCE.sub(self._value, path)

    def fill_windows(self, path: str) -> str | None:
        """Return the Windows `path` with every variable filled in; None on other machines. Raises RuleError."""
        if self.windows is None and sys.platform != "win32":
            return None
        declared = {name.upper(): text for name, text in self.declared.items()}
        return windows_variables.fill(path, self.windows or {}, declared)

    def _value(self, found: re.Match[bytes]) -> bytes:
        if found[1] is None:  # something with a backslash: as it stands
            return found[0]
        name = _name(found)
        value = self.declared.get(name)
        if value is None:
            value = self._of_environment(name)
        return _SPECIAL.sub(lambda special: b"\\" + special[0], value.encode("utf-8", "surrogateescape"))

    def _of_environment(self, name: str) -> str:
        value = self.environment.get(name)
        if value is None:
            advice = "set it in /etc/environment, or under [variables] in the policy"
            if name in _OF_USERS:
                advice = "it is another one for every user: write /home/*/… or /root/…"
            elif self.trouble:
                advice = f"/etc/environment was not read: {self.trouble}"
            raise RuleError(f"names the variable {name}, which this machine does not set ({advice})")
        if not value.startswith("/") or len(value) > _MAX_VALUE or not value.isprintable():
            raise RuleError(f"names the variable {name}, which holds no path in /etc/environment")
        return value


def placeholder(path: bytes) -> bytes:
    """Return `path` with a name in the place of every variable, to be checked where no variable is known.

    Raises RuleError for a reference that names none.
    """

    def stand_in(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            return found[0]
        _name(found)
        return b"/x" if found.start() == 0 else b"x"

    return _REFERENCE.sub(stand_in, path)


def lookalike(path: bytes) -> str:
    """Return the name of a variable as it is written elsewhere (`$NAME`, `%NAME%`), which is none here; else ''."""
    found = _LOOKALIKE.search(path)
    return (found[1] or found[2]).decode() if found else ""


def _name(found: re.Match[bytes]) -> str:
    name = found[1].decode(errors="replace")
    if not NAME.match(name) or not found[0].endswith(b"}"):
        raise RuleError("holds a '${' that is no ${NAME}: write \\$ for a dollar sign that belongs to a name")
    return name


def parse_environment(raw: bytes) -> dict[str, str]:
    """Return the assignments of an `/etc/environment` (pam_env(8)); other lines are left out. Pure."""
    found: dict[str, str] = {}
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        assignment = _ASSIGNMENT.match(line.rstrip())
        if assignment is None:
            continue
        name, value = assignment.groups()
        if value[:1] in ("'", '"'):
            value = value[1:].removesuffix(value[0])
        found[name] = value
    return found


def _read(root: bytes) -> bytes:
    """Return the text of the file; raises OSError, also where others than its owner may write it."""
    path = os.path.join(root, _ENVIRONMENT)
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_SIZE:
            raise OSError("it is no regular file of a bearable size")
        if status.st_uid not in (0, os.stat(root).st_uid) or status.st_mode & 0o022:
            raise OSError("others than root may write it")
        return os.read(descriptor, _MAX_SIZE)
    finally:
        os.close(descriptor)
