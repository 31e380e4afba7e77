"""Daemons of a Linux machine: service units and SysV scripts, or the scripts of OpenRC.

What a unit *is* (name, file, account, description, enablement) is always read from the unit files, so that it does
not depend on whether systemd has the unit loaded; what it *does* is asked of the running systemd. A poll is one
`systemctl show` (no shell, fixed language, bounded output); the unit files are read again only when a folder of
them, or one of them, has moved.

Judgements, so that a poll of an idle machine is silent:

- transient units (`systemd-run`) are nobody's configuration and are left out; generated ones stay;
- a loaded instance (`getty@tty1.service`) is an item when its template can be enabled; instances of others
  (`user@1000`, `systemd-fsck@…`, a socket's connections) come and go with their cause;
- a oneshot that ends by itself is always `Stopped`: being started by a timer is no change; which timer, and when, is
  a fact of it all the same;
- reloading is `Running`; starting, stopping, and waiting for either are *unsettled*: what comes of it is the change;
- while the machine itself starts or stops, nothing is said of its daemons: a reboot is no change of any of them.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from enum import Enum

import msgspec

from whatchanged.collectors.files.signature import SETTLE_NS
from whatchanged.collectors.files.system import Tree
from whatchanged.collectors.outcome import Failure, Snapshot, Tally, reason_of
from whatchanged.collectors.services.scripts import (
    is_openrc,
    openrc_changes_run_level,
    openrc_scripts,
    sysv_scripts,
)
from whatchanged.collectors.services.unit_tree import ABSENT, Stamp, UnitFile, UnitTree, stamp_of, template_of
from whatchanged.records.items import DaemonItem

__all__ = ["Loaded", "MachineState", "SystemdCollector", "machine_state", "parse_show"]

_SYSTEMCTL = ("/usr/bin/systemctl", "/bin/systemctl")
_PROPERTIES = (
    "Id,LoadState,ActiveState,Job,InvocationID,Type,RemainAfterExit,FragmentPath,SourcePath,Description,User,Transient"
)
_STOPPING = "shutdown.target"
_STARTED = "default.target"
_BOOT_PATIENCE = 120.0
"""Seconds that a machine may take to start; then its daemons are looked at as they are."""
_TIMEOUT = 30
_ATTEMPTS = 10
_LARGEST = 64 * 1024 * 1024
_STATES = {
    "active": "Running",
    "reloading": "Running",
    "refreshing": "Running",
    "inactive": "Stopped",
    "failed": "Stopped",
    "maintenance": "Stopped",
    "activating": "StartPending",
    "deactivating": "StopPending",
}
_PENDING = frozenset({"StartPending", "StopPending"})


class Loaded(msgspec.Struct, frozen=True):
    """A unit that systemd has loaded."""

    name: str
    active: str
    type: str
    remain_after_exit: bool
    fragment: str
    source: str
    description: str
    user: str
    load: str
    transient: bool
    job: bool = False
    """Something is to be done with it, or being done."""
    invocation: str = ""
    """Which of its starts this is."""

    def state(self) -> str:
        """Return the state as the tables say it."""
        if self.type == "oneshot" and not self.remain_after_exit:
            return "Stopped"
        return _STATES.get(self.active, "Stopped")

    @property
    def pending(self) -> bool:
        """Whether it is about to be another state."""
        return self.state() in _PENDING or self.job


class MachineState(Enum):
    """What the machine as a whole is doing."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class _Found(msgspec.Struct, frozen=True):
    items: dict[str, DaemonItem]
    pending: set[bytes]
    machine: MachineState


def machine_state(units: Iterable[Loaded]) -> MachineState:
    """Return what the jobs of `default.target` (by whatever name) and `shutdown.target` say; bootup(7). Pure."""
    targets = {unit.name: unit for unit in units if unit.name.endswith(".target")}
    stopping = targets.pop(_STOPPING, None)
    if stopping is not None and (stopping.job or stopping.active in ("active", "activating")):
        return MachineState.STOPPING
    return MachineState.STARTING if any(target.job for target in targets.values()) else MachineState.RUNNING


def _openrc_state(tree: Tree) -> MachineState:
    starting, stopping = openrc_changes_run_level(tree)
    return MachineState.STOPPING if stopping else MachineState.STARTING if starting else MachineState.RUNNING


def parse_show(raw: bytes) -> Iterator[Loaded]:
    """Yield the units of `systemctl show` output: blocks of `Property=value` between empty lines. Pure."""
    for block in raw.decode(errors="replace").split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.split("\n") if "=" in line)
        if name := values.get("Id", ""):
            yield Loaded(
                name=name,
                active=values.get("ActiveState", ""),
                type=values.get("Type", ""),
                remain_after_exit=values.get("RemainAfterExit") == "yes",
                fragment=values.get("FragmentPath", ""),
                source=values.get("SourcePath", ""),
                description=values.get("Description", ""),
                user=values.get("User", ""),
                load=values.get("LoadState", ""),
                transient=values.get("Transient") == "yes",
                job=values.get("Job", "") not in ("", "0"),
                invocation=values.get("InvocationID", ""),
            )


class SystemdCollector:
    """Looks at the daemons below `root`; keeps the unit files it read between runs."""

    name = "systemd"

    def __init__(self, root: bytes = b"/") -> None:
        self._root = root
        self._stamp: list[Stamp] = []
        self._whole = False
        self._units: list[UnitFile] = []
        self._unreadable: set[bytes] = set()
        self._scripts: list[DaemonItem] = []
        self._openrc = False
        self._triggers: dict[str, str | None] = {}
        self._starting_since: float | None = None

    def run(self) -> Snapshot[DaemonItem]:
        """Return all daemons; none, and the outcome `Stopped`, while the machine itself starts or stops."""
        tally = Tally()
        found = self._look(tally)
        for _ in range(_ATTEMPTS - 1):
            if found is not None:
                break
            tally = Tally()
            found = self._look(tally)
        if found is None:
            tally.broken = True
            tally.fail(Failure(self._root, "the unit files change faster than they can be read"), item=False)
        if found is not None and self._in_between(found.machine):
            return Snapshot(items=(), outcome=tally.outcome(stopped=True))
        items, pending = (found.items, found.pending) if found is not None else ({}, set())
        tally.seen = tally.looked = len(items)
        sorted_items = tuple(items[name] for name in sorted(items))
        # What failed may well have met systemd while it executed itself anew.
        return Snapshot(items=sorted_items, outcome=tally.outcome(), unsettled=frozenset(pending), soon=tally.broken)

    def _in_between(self, machine: MachineState) -> bool:
        if machine is MachineState.STOPPING:
            return True
        if machine is MachineState.RUNNING:
            self._starting_since = None
            return False
        self._starting_since = self._starting_since or time.monotonic()
        return time.monotonic() - self._starting_since < _BOOT_PATIENCE

    def _look(self, tally: Tally) -> _Found | None:
        """Return the daemons and which of them are pending, or None if the unit files moved while they were read.

        `systemctl daemon-reload` (and enable, and every package operation) deletes what the generators made and runs
        them again. Meanwhile systemd answers nobody: files that are the same before and after its answer are whole.
        """
        try:
            with Tree(self._root) as tree:
                self._read_files(tree, tally)
                machine = _openrc_state(tree) if self._openrc else None
                loaded = self._loaded(tally)
                if loaded and self._stamp != _restamp(tree, self._stamp):
                    return None
            services = [unit for unit in loaded if unit.name.endswith(".service")]
            items, pending = _join(self._units, self._scripts, services, _life_of_the_machine() if loaded else "")
            items = {name: _with_triggers(item, self._triggers) for name, item in items.items()}
            return _Found(items, pending | self._unreadable, machine or machine_state(loaded))
        except OSError as error:
            tally.broken = True
            tally.fail(Failure(self._root, reason_of(error)), item=False)
            return _Found({}, set(), MachineState.RUNNING)

    def _read_files(self, tree: Tree, tally: Tally) -> None:
        # Reading is a few hundred small files; listing the folders alone tells most changes, but an edit in place
        # moves no folder, so everything that was read is asked for its time.
        if self._whole and self._stamp == _restamp(tree, self._stamp):
            return
        begun = time.time_ns()
        stamp: list[Stamp] = []
        self._openrc = is_openrc(tree, stamp)
        if self._openrc:
            self._units, self._triggers, self._unreadable = [], {}, set()
            self._scripts = openrc_scripts(tree, _life_of_the_machine(), tally, stamp)
        else:
            units = UnitTree(tree, tally)
            self._units, self._triggers, self._unreadable = units.units(), units.triggers(), units.unreadable
            stamp += units.stamp
            self._scripts = sysv_scripts(tree, {unit.name for unit in self._units}, tally, stamp)
        # What changed just before it was read may change again within the same tick of the clock, unseen.
        newest = max((changed for _, changed, _ in stamp), default=0)
        self._whole = tally.outcome().failures_total == 0 and not newest - begun > -SETTLE_NS
        self._stamp = stamp

    def _loaded(self, tally: Tally) -> list[Loaded]:
        if os.path.realpath(self._root) != b"/" or not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
            return []
        program = next((path for path in _SYSTEMCTL if os.path.exists(path)), None)
        if program is None:
            raise FileNotFoundError(2, "systemctl is missing")
        options = ("--all", "--no-pager", f"--property={_PROPERTIES}")
        command = [program, "show", *options, "--", "*.service", _STARTED, _STOPPING]
        try:
            done = subprocess.run(  # noqa: S603 - absolute path, fixed arguments
                command,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT,
                stdin=subprocess.DEVNULL,
                env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0"},
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(110, "systemctl did not answer") from None
        if done.returncode != 0 or len(done.stdout) > _LARGEST:
            tally.broken = True
            reason = done.stderr.decode(errors="replace").strip()[:500]
            raise OSError(5, f"systemctl show: {reason}")
        loaded = list(parse_show(done.stdout))
        if not loaded:
            raise OSError(5, "systemctl show named no service")
        return loaded


def _join(
    units: list[UnitFile], scripts: list[DaemonItem], loaded: list[Loaded], life: str
) -> tuple[dict[str, DaemonItem], set[bytes]]:
    running = {service.name: service for service in loaded if not service.transient and service.load != "not-found"}
    items: dict[str, DaemonItem] = {}
    pending: set[bytes] = set()
    by_name = {unit.name: unit for unit in units}
    for unit in units:
        if unit.state == "transient":
            continue
        service = running.get(unit.name)
        if unit.text.source_path.startswith("/etc/init.d/"):
            items[unit.name] = _script(unit, service)
        else:
            items[unit.name] = _item(unit, unit.name, service)
    for script in scripts:
        items.setdefault(script.name, script)
        if script.state in _PENDING:
            pending.add(script.key())
    for name, service in running.items():
        if name not in items and (owner := _template(name, by_name)) is not None:
            items[name] = _item(owner, name, service)
        if name in items and service.pending:
            pending.add(items[name].key())
        if name in items and items[name].state == "Running" and service.invocation:
            items[name] = msgspec.structs.replace(items[name], start=f"{life}/{service.invocation}")
    return items, pending


def _life_of_the_machine() -> str:
    """Return what is another with every boot: of the kernel, and of process 1, which a container has of its own."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with open("/proc/1/stat", "rb") as file:
        # proc_pid_stat(5): the name may hold anything, so the fields are counted from its closing parenthesis.
        return f"{boot}.{file.read().rpartition(b')')[2].split()[19].decode()}"


def _template(name: str, units: dict[str, UnitFile]) -> UnitFile | None:
    template = template_of(name.encode())
    unit = units.get(template.decode()) if template is not None else None
    return unit if unit is not None and (unit.text.wanted_by or unit.text.alias) else None


def _item(unit: UnitFile, name: str, service: Loaded | None) -> DaemonItem:
    return DaemonItem(
        name=name,
        display_name=unit.text.description or name,
        description=unit.text.description,
        state=service.state() if service is not None else "Stopped",
        path=unit.path,
        account="" if unit.state.startswith("masked") else unit.text.user or "root",
        controller="systemd",
        runlevels=unit.state,
    )


def _with_triggers(item: DaemonItem, triggers: dict[str, str | None]) -> DaemonItem:
    """Say what starts it: of an instance what starts it alone, or any of its template."""
    template = template_of(item.name.encode())
    name = item.name if item.name in triggers or template is None else template.decode()
    return msgspec.structs.replace(item, triggered_by=triggers.get(name, ""))


def _script(unit: UnitFile, service: Loaded | None) -> DaemonItem:
    """A unit that a generator made of a SysV script: the script is what the daemon is."""
    return msgspec.structs.replace(
        _item(unit, unit.name, service), path=os.path.normpath(unit.text.source_path), controller="init"
    )


def _restamp(tree: Tree, stamp: list[Stamp]) -> list[Stamp]:
    now = []
    for path, _, _ in stamp:
        try:
            now.append(stamp_of(path, os.stat(tree.outside(path))))
        except OSError:
            now.append((path, *ABSENT))
    return now
