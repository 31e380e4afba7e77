"""Daemons that are scripts in /etc/init.d: those of SysV that no unit stands for, and those of OpenRC.

Both are one folder of executable files; they differ in where it is said when a script runs, and OpenRC also notes what
it started. OpenRC's layout is that of openrc(8), rc-update(8) and its `librc` (`rc_service_mark`): /etc/runlevels has a
folder for each run level, with a link for each script; /run/openrc has a folder for each state, with a link for each
script in it; a script in none of them is stopped.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import re
import stat

import msgspec

from whatchanged.collectors.files.links import Resolver
from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.outcome import Failure, Tally, reason_of
from whatchanged.collectors.services.unit_tree import ABSENT, Stamp, is_service_name, stamp_of
from whatchanged.records.items import DaemonItem

__all__ = ["is_openrc", "openrc_changes_run_level", "openrc_scripts", "sysv_enablement", "sysv_scripts"]

_SCRIPTS = b"/etc/init.d"
_RUNLEVELS = "2345"
_OPENRC_RUNLEVELS = b"/etc/runlevels"
_OPENRC = b"/run/openrc"
_SYSTEMD = (b"/usr/lib/systemd/systemd", b"/lib/systemd/systemd")
# What is about to become another state stands first: a script may be in several folders for a moment.
_OPENRC_STATES = {b"stopping": "StopPending", b"starting": "StartPending", b"started": "Running"}
_OPENRC_NAME = re.compile(rb"[A-Za-z0-9_.:@+-]{1,255}\Z")
_LITERAL = re.compile(
    rb"^(description|command_user)=(?:\"([^\"$`\\\n]*)\"|'([^'\n]*)'|([\w.:-]+))[ \t]*$", re.MULTILINE
)
_LARGEST = 64 * 1024


class _Script(msgspec.Struct, frozen=True):
    name: bytes
    path: bytes
    """Canonical: of a link (`net.eth0`) what it leads to."""


def is_openrc(tree: Tree, stamp: list[Stamp]) -> bool:
    """Whether OpenRC starts this system: its run levels are there, and systemd is not."""
    resolver = Resolver(tree)
    absent = [path for path in (_OPENRC_RUNLEVELS, *_SYSTEMD) if resolver.canonical(path) is None]
    stamp += [(path, *ABSENT) for path in absent]
    return absent == list(_SYSTEMD)


def openrc_changes_run_level(tree: Tree) -> tuple[bool, bool]:
    """Return whether OpenRC is starting services of a run level, and whether it is stopping them, just now."""
    resolver = Resolver(tree)
    starting, stopping = (resolver.canonical(_OPENRC + name) is not None for name in (b"/rc.starting", b"/rc.stopping"))
    return starting, stopping


def sysv_scripts(tree: Tree, units: set[str], tally: Tally, stamp: list[Stamp]) -> list[DaemonItem]:
    """Return the SysV scripts that none of `units` stands for, by the names that units would have."""
    try:
        links = {level: set(_folder(tree, b"/etc/rc%s.d" % level.encode(), stamp)) for level in _RUNLEVELS}
        found = _scripts(tree, stamp)
    except OSError as error:
        tally.deny(_SCRIPTS, reason_of(error))
        return []
    return [
        DaemonItem(
            name=f"{script.name.decode()}.service",
            display_name=script.name.decode(),
            path=f"/etc/init.d/{script.name.decode()}",
            account="root",
            controller="init",
            runlevels=sysv_enablement(script.name, links),
        )
        for script in found
        if is_service_name(script.name + b".service")
        and b"." not in script.name
        and f"{script.name.decode()}.service" not in units
    ]


def sysv_enablement(name: bytes, links: dict[str, set[bytes]]) -> str:
    """Return `enabled` if a start link exists in any multi-user run level, else `disabled`. Pure.

    The run levels themselves (and the two digits of order) differ from tool to tool and time to time.
    """
    for found in links.values():
        if any(link[:1] == b"S" and link[1:3].isdigit() and link[3:] == name for link in found):
            return "enabled"
    return "disabled"


def openrc_scripts(tree: Tree, life: str, tally: Tally, stamp: list[Stamp]) -> list[DaemonItem]:
    """Return the scripts of OpenRC, with what it says of them; `life` is another with every start of the machine."""
    try:
        levels = {
            level: set(_folder(tree, _OPENRC_RUNLEVELS + b"/" + level, stamp))
            for level in sorted(_folder(tree, _OPENRC_RUNLEVELS, stamp))
        }
        states = {name: _folder(tree, _OPENRC + b"/" + name, stamp) for name in _OPENRC_STATES}
        found = _scripts(tree, stamp)
    except OSError as error:
        tally.deny(_SCRIPTS, reason_of(error))
        return []
    items = []
    for script in found:
        # As OpenRC itself lists them: what ends so is there to be read by scripts.
        if not _OPENRC_NAME.match(script.name) or script.name.endswith(b".sh"):
            continue
        state = next((state for state in _OPENRC_STATES if script.name in states[state]), b"")
        started = states[b"started"].get(script.name)
        name = script.name.decode()
        literals = _literals(tree, script, tally, stamp)
        items.append(
            DaemonItem(
                name=name,
                display_name=name,
                description=literals.get("description", ""),
                state=_OPENRC_STATES.get(state, "Stopped"),
                path=f"/etc/init.d/{name}",
                account=literals.get("command_user", "").partition(":")[0] or "root",
                controller="openrc",
                runlevels=" ".join(os.fsdecode(level) for level, names in levels.items() if script.name in names)
                or "disabled",
                start=f"{life}/{started}" if state == b"started" and life else "",
            )
        )
    return items


def _literals(tree: Tree, script: _Script, tally: Tally, stamp: list[Stamp]) -> dict[str, str]:
    """Return what a script says of itself, as far as nobody must run it to know."""
    try:
        with os.fdopen(tree.open_file(script.path), "rb") as file:
            stamp.append(stamp_of(script.path, os.fstat(file.fileno())))
            text = file.read(_LARGEST)
    except OSError as error:
        tally.fail(Failure(script.path, reason_of(error)))
        return {}
    found = {}
    for match in _LITERAL.finditer(text):
        found[match[1].decode()] = (match[2] or match[3] or match[4] or b"").decode(errors="replace")
    return found


def _scripts(tree: Tree, stamp: list[Stamp]) -> list[_Script]:
    resolver = Resolver(tree)
    folder = resolver.canonical(_SCRIPTS)
    found = []
    for name in sorted(_folder(tree, _SCRIPTS, stamp)):
        target = resolver.resolve(folder or _SCRIPTS, name)
        if target is not None and stat.S_ISREG(target.status.st_mode) and target.status.st_mode & 0o111:
            found.append(_Script(name, target.path))
    return found


def _folder(tree: Tree, path: bytes, stamp: list[Stamp]) -> dict[bytes, int]:
    """Return the names in a folder, each with the change time of what stands there; none if it is not there."""
    real = Resolver(tree).canonical(path)
    if real is None:
        stamp.append((path, *ABSENT))
        return {}
    fd = tree.open_folder(real)
    try:
        stamp.append(stamp_of(real, os.fstat(fd)))
        with os.scandir(fd) as entries:
            return {os.fsencode(e.name): e.stat(follow_symlinks=False).st_ctime_ns for e in entries}
    finally:
        os.close(fd)
