"""What `doctor` looks at on a Linux machine: limits, the kernel, rights, the clock, and what is not looked into.

A running tracker is asked what it got; without one the same is tried here, as far as whoever asks may. Every finding
that is not fine says what to do, to the line and the file.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import ctypes
import os
import resource
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from whatchanged.cli.finding import Finding, Subject
from whatchanged.errors import OperationError, SettingsError
from whatchanged.rules import Policy
from whatchanged.watchers.processes.audit import COST, AuditControl
from whatchanged.watchers.processes.audit_rules import ENABLED_KEY, KEY, is_ours

__all__ = ["MACHINE_CHECKS"]

_SYSCTL_FILE = "/etc/sysctl.d/90-whatchanged.conf"
_WATCHES, _INSTANCES = "/proc/sys/fs/inotify/max_user_watches", "/proc/sys/fs/inotify/max_user_instances"
_ENOUGH_WATCHES = 1_048_576
_ENOUGH_INSTANCES = 1024
_NEARLY = 0.8
_DESCRIPTORS = 1024
_FREE_INODES = 10_000
_UNIT = "whatchanged-tracker.service"
_RIGHTS = {
    2: ("CAP_DAC_READ_SEARCH", "read every file that a rule names, and watch file systems"),
    12: ("CAP_NET_ADMIN", "hear of processes: who made a change"),
    19: ("CAP_SYS_PTRACE", "tell the program of other accounts' processes"),
    21: ("CAP_SYS_ADMIN", "watch whole file systems (fanotify)"),
    23: ("CAP_SYS_NICE", "hear of short-lived processes in time"),
}
"""Bit of the capability (linux/capability.h) → name, and what it is for."""
_AUDIT_RIGHTS = {
    30: ("CAP_AUDIT_CONTROL", "let audit tell executions"),
    37: ("CAP_AUDIT_READ", "hear what audit tells"),
}
_TIME_ERROR = 5
_SHOWN = 5


def _policy(subject: Subject) -> Iterator[Finding]:
    path = subject.values["policy"]
    try:
        policy = Policy.load(path)
    except SettingsError as error:
        yield Finding("policy", "Error", f"{error.message}: the tracker does not start", error.hint or f"mend {path}")
    else:
        yield Finding("policy", "Ok", policy.source or f"{path} does not exist: the defaults hold")


def _watches(subject: Subject) -> Iterator[Finding]:
    """The limits of inotify, against what is used of them."""
    most = _number(_WATCHES)
    if most is None:
        yield Finding("inotify watches", "Warning", "this kernel has no inotify", "changes are found by polls only")
        return
    watch = subject.tracker["watch"] if subject.tracker else {}
    used = watch.get("watches", 0) if any(area["method"] == "inotify" for area in watch.get("areas", ())) else 0
    detail = f"{used} of {most} watches used"
    hit = [limit for limit in watch.get("limits", ()) if "max_user_watches" in limit]
    advice = _sysctl("fs.inotify.max_user_watches", max(_ENOUGH_WATCHES, 2 * most)) + " (a watch costs about 1 kB)"
    if hit:
        yield Finding("inotify watches", "Error", f"{detail}: {hit[0]}; what is beyond is only polled", advice)
    elif used > _NEARLY * most:
        yield Finding("inotify watches", "Warning", f"{detail}: nearly all", advice)
    else:
        yield Finding("inotify watches", "Ok", detail)


def _instances(subject: Subject) -> Iterator[Finding]:
    from whatchanged.watchers.inotify import InotifyWatcher

    most = _number(_INSTANCES)
    try:
        InotifyWatcher(stop=threading.Event()).close()
    except OperationError as error:
        advice = _sysctl("fs.inotify.max_user_instances", max(_ENOUGH_INSTANCES, 2 * (most or 0)))
        yield Finding("inotify instances", "Error", f"{error.message} (limit {most})", advice)
    else:
        yield Finding("inotify instances", "Ok", f"one more of {most} can be had")


def _descriptors(subject: Subject) -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    whose = "here"
    if pid := _pid(subject):
        whose = "of the tracker"
        for line in _text(f"/proc/{pid}/limits").splitlines():
            if line.startswith("Max open files"):
                words = line.split()
                soft = int(words[3]) if words[3].isdigit() else resource.RLIM_INFINITY
    low = soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS
    yield Finding(
        "open files",
        "Warning" if low else "Ok",
        f"limit {'none' if soft == resource.RLIM_INFINITY else soft} {whose}",
        _unit_setting(f"LimitNOFILE={_DESCRIPTORS * 8}") if low else "",
    )


def _inodes(subject: Subject) -> Iterator[Finding]:
    data = subject.values.data.path
    if not os.path.isdir(data):
        return
    status = os.statvfs(data)
    if status.f_files and status.f_favail < _FREE_INODES:
        detail = f"{status.f_favail} files can still be made in {data}"
        yield Finding(
            "disk space", "Warning", detail, "remove small files from this file system, or move the data folder"
        )


def _fanotify(subject: Subject) -> Iterator[Finding]:
    """Whether whole file systems can be watched, with the process that made a change."""
    from whatchanged.watchers.fanotify import FanotifyWatcher

    release = os.uname().release
    advice = (
        "Linux 5.17 or newer, and CAP_SYS_ADMIN for the tracker; until then folders are watched one by one (inotify)"
    )
    if subject.tracker:
        areas = subject.tracker["watch"]["areas"]
        lesser = [area for area in areas if area["method"] != "fanotify"]
        state = subject.tracker["watch"]["state"]
        if state == "Off":
            yield Finding(
                "watching", "Warning", "switched off: changes are found by polls only", "`watch` in the policy"
            )
        elif state == "Failed":
            yield Finding(
                "watching", "Error", subject.tracker["watch"]["error"], "see the tracker's log; it tries again"
            )
        elif lesser:
            named = "; ".join(f"{area['path']}: {area['method']}, {area['reason']}" for area in lesser[:_SHOWN])
            more = f"; and {len(lesser) - _SHOWN} more" if len(lesser) > _SHOWN else ""
            polled = any(area["method"] == "poll" for area in lesser)
            yield Finding("watching", "Warning" if polled else "Ok", named + more, advice if polled else "")
        elif not areas:
            yield Finding("watching", "Ok", "there is nothing to watch: no rule asks for anything, or none is there")
        else:
            yield Finding("watching", "Ok", f"fanotify on {len(areas)} file systems and folders, kernel {release}")
        return
    if os.geteuid() != 0:
        yield Finding("watching", "Ok", "not tried: that needs root")
        return
    try:
        FanotifyWatcher(stop=threading.Event()).close()
    except OperationError as error:
        yield Finding("watching", "Warning", f"{error.message} (kernel {release})", advice)
    else:
        yield Finding("watching", "Ok", f"fanotify can be had, kernel {release}")


def _who(subject: Subject) -> Iterator[Finding]:
    """Whether it can be known who makes changes: process events and exit records."""
    if subject.tracker:
        who = subject.tracker["watch"]["who"]
        troubles = {"process events": who["events"], "exit records": who["records"]}
    elif os.geteuid() != 0:
        yield Finding("who", "Ok", "not tried: that needs root")
        return
    else:
        troubles = _try_processes()
    missing = "; ".join(f"{name}: {why}" for name, why in troubles.items() if why)
    if subject.tracker and subject.tracker["watch"]["state"] == "Off":
        return
    advice = (
        "give the tracker CAP_NET_ADMIN and the machine's own pid namespace; the kernel needs CONFIG_PROC_EVENTS and "
        "CONFIG_TASKSTATS"
    )
    if missing:
        yield Finding("who", "Warning", f"who made a change is not always known: {missing}", advice)
    else:
        yield Finding("who", "Ok", "process events and exit records can be had")


def _try_processes() -> dict[str, str]:
    from whatchanged.watchers.processes.connector import Connector
    from whatchanged.watchers.processes.taskstats import ExitRecords

    troubles: dict[str, str] = {}
    attempts: tuple[tuple[str, Callable[[], Any]], ...] = (("process events", Connector), ("exit records", ExitRecords))
    for name, attempt in attempts:
        try:
            attempt().close()
        except OperationError as error:
            troubles[name] = error.message
    return troubles


def _audit(subject: Subject) -> Iterator[Finding]:
    """Whether audit tells executions, where the policy asks for it; what it costs; and what another tracker left."""
    try:
        asked = Policy.load(subject.values["policy"]).audit
    except SettingsError:  # said by the check of the policy
        return
    if told := _tells(subject):
        yield _audit_in_use(told)
    elif asked and subject.tracker:
        advice = f"`systemctl restart {_UNIT}`; it takes `watch = true`, too"
        yield Finding("audit", "Warning", "asked for by the policy, and not used by the tracker", advice)
    elif asked:
        yield Finding("audit", "Ok", f"asked for by the policy: {COST}")
    elif os.geteuid() == 0 and _rules_are_left():
        keys = "; ".join(f"auditctl -D -k {key.decode()}" for key in (KEY, ENABLED_KEY))
        detail = f"a rule of a tracker stands, though the policy does not ask for it: {COST}"
        yield Finding("audit", "Warning", detail, f"unless another tracker uses it: `{keys}; auditctl -e 0`")


def _audit_in_use(told: Mapping[str, Any]) -> Finding:
    advice = (
        "audit needs CAP_AUDIT_READ and CAP_AUDIT_CONTROL, which `whatchanged install` gives while the policy says "
        "`audit = true`, and rules that are not locked"
    )
    if told["trouble"]:
        return Finding("audit", "Warning", told["detail"], advice)
    if told["losses"]:
        advice = "more room for records: `auditctl -b 8192`"
        return Finding("audit", "Warning", f"{told['losses']} records were lost; {told['detail']}", advice)
    return Finding("audit", "Ok", told["detail"])


def _tells(subject: Subject) -> Mapping[str, Any]:
    """Return what a tracker says of audit; empty where none runs, or it does not use it."""
    found: Mapping[str, Any] = (subject.tracker or {}).get("watch", {}).get("audit", {})
    return found


def _rules_are_left() -> bool:
    try:
        with AuditControl() as control:
            return any(is_ours(rule) for rule in control.rules())
    except (OSError, OperationError):  # no audit here, so no rule
        return False


def _rights(subject: Subject) -> Iterator[Finding]:
    """The capabilities of the running tracker."""
    pid = _pid(subject)
    if not pid:
        return
    effective = next(
        (int(line.split()[1], 16) for line in _text(f"/proc/{pid}/status").splitlines() if line.startswith("CapEff:")),
        None,
    )
    if effective is None:
        yield Finding("rights", "Warning", f"cannot read /proc/{pid}/status", "run as root")
        return
    if effective >> 1 & 1:  # more than CAP_DAC_READ_SEARCH
        effective |= 1 << 2
    needed = _RIGHTS | (_AUDIT_RIGHTS if _tells(subject) else {})
    missing = [f"{name} ({purpose})" for bit, (name, purpose) in needed.items() if not effective >> bit & 1]
    if missing:
        advice = "run the tracker as the unit that `whatchanged install` writes; a drop-in may take rights away: "
        yield Finding(
            "rights", "Warning", f"the tracker lacks {', '.join(missing)}", f"{advice}`systemctl cat {_UNIT}`"
        )
    else:
        yield Finding("rights", "Ok", "the tracker has every right that it uses")


def _pressure(subject: Subject) -> Iterator[Finding]:
    try:
        with open("/proc/pressure/cpu", "rb") as file:
            file.read(1)
    except OSError as error:
        detail = f"others' need of the processor is not heard: /proc/pressure/cpu: {os.strerror(error.errno or 0)}"
        yield Finding("pressure", "Warning", detail, "add psi=1 to the kernel's command line (CONFIG_PSI)")
    else:
        yield Finding("pressure", "Ok", "the budget gives way to others (PSI)")


def _clock(subject: Subject) -> Iterator[Finding]:
    synchronised = _is_synchronised()
    if synchronised is None:
        return
    if synchronised:
        yield Finding("clock of this machine", "Ok", "synchronised")
    else:
        advice = "`timedatectl set-ntp true`, or install chrony (in a container: see to the host's clock)"
        yield Finding("clock of this machine", "Warning", "the kernel says that nobody synchronises it", advice)


def _coverage(subject: Subject) -> Iterator[Finding]:
    """What rules ask for and what is not looked into, with a hint at what forbids it."""
    if not subject.tracker or "coverage" not in subject.tracker:  # a tracker of an older version
        return
    rules = subject.tracker["coverage"]["rules"]
    denied = list(dict.fromkeys(path for rule in rules for path in rule["DeniedPaths"]))
    unread = sum(rule["Unread"] for rule in rules)
    if not denied and not unread:
        yield Finding("coverage", "Ok", f"{len(rules)} file rules, nothing is denied")
        return
    parts = [f"{', '.join(denied[:_SHOWN])}{' …' if len(denied) > _SHOWN else ''} not looked into"] if denied else []
    parts += [f"{unread} files could not be read"] if unread else []
    advice = "`whatchanged why PATH` says what is in the way"
    if hint := _forbidding(_pid(subject)):
        advice += f"; {hint}"
    yield Finding("coverage", "Warning", "; ".join(parts), advice)


def _forbidding(pid: int) -> str:
    """Return how to see whether SELinux or AppArmor forbade something, if one of them is at work."""
    if _text("/sys/fs/selinux/enforce").strip() == "1":
        return "SELinux enforces: `ausearch -m AVC -ts today | grep whatchanged` names what it forbade"
    profile = _text(f"/proc/{pid}/attr/apparmor/current" if pid else "/proc/self/attr/apparmor/current").strip("\0\n ")
    if profile and not profile.startswith("unconfined"):
        return f"AppArmor confines the tracker ({profile}): `journalctl -k | grep apparmor` names what it forbade"
    return ""


def _is_synchronised() -> bool | None:
    """Return what adjtimex(2) says of the clock; None where it cannot be asked."""
    buffer = ctypes.create_string_buffer(512)  # struct timex, modes = 0: only read
    struct.pack_into("=I", buffer, 0, 0)
    result = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return None if result < 0 else result != _TIME_ERROR


def _sysctl(name: str, value: int) -> str:
    return f"echo '{name} = {value}' >> {_SYSCTL_FILE} && sysctl --system"


def _unit_setting(line: str) -> str:
    return f"`systemctl edit {_UNIT}`, under [Service]: {line}; then `systemctl restart {_UNIT}`"


def _pid(subject: Subject) -> int:
    tracker: Mapping[str, Any] = subject.tracker or {}
    return int(tracker.get("pid") or 0)


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    """Return a small file of the kernel's; empty if it is not there or may not be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65_536)
    except OSError:
        return ""


MACHINE_CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    _policy,
    _inodes,
    _descriptors,
    _watches,
    _instances,
    _fanotify,
    _who,
    _audit,
    _rights,
    _pressure,
    _clock,
    _coverage,
)
