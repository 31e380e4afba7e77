"""The text of a unit file (systemd.syntax(7)). Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = ["UnitText", "parse_unit", "truth"]

_MAX_LINES = 100_000
# systemd.timer(5), systemd.socket(5), systemd.path(5). An empty value of any of them takes all of its section back.
_CAUSES = {
    "Timer": {"OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec", "OnCalendar"},
    "Socket": {"ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial",
               "ListenNetlink", "ListenMessageQueue", "ListenUSBFunction"},
    "Path": {"PathExists", "PathExistsGlob", "PathChanged", "PathModified", "DirectoryNotEmpty"},
}  # fmt: skip


class UnitText(msgspec.Struct):
    """What a unit file and its drop-ins say, as far as it matters here."""

    description: str = ""
    user: str = ""
    type: str = ""
    remain_after_exit: bool = False
    alias: list[str] = msgspec.field(default_factory=list)
    wanted_by: list[str] = msgspec.field(default_factory=list)
    """WantedBy=, RequiredBy= and UpheldBy= together: any makes a unit one that can be enabled."""
    also: list[str] = msgspec.field(default_factory=list)
    default_instance: str = ""
    source_path: str = ""
    """SourcePath=: what a generator made the unit of."""
    causes: list[str] = msgspec.field(default_factory=list)
    """When a timer, socket or path unit starts what it starts, such as `OnCalendar=daily`."""
    delay: str = ""
    """RandomizedDelaySec= of a timer."""
    starts: str = ""
    """Unit= of a timer or path unit, Service= of a socket; empty where the name says it."""
    accept: bool = False
    """Accept= of a socket: an instance of a template for each connection."""


def truth(value: str) -> bool:
    """Return a boolean as systemd reads it; what it does not understand is false."""
    return value.strip().lower() in ("1", "yes", "y", "true", "t", "on")


def parse_unit(texts: Iterable[bytes]) -> UnitText:
    """Read a unit file followed by its drop-ins, in the order in which they apply."""
    unit = UnitText()
    for raw in texts:
        section = ""
        for line in _logical_lines(raw.decode(errors="replace")):
            if line.startswith("["):
                section = line[1 : line.index("]")] if "]" in line else ""
                continue
            key, equals, value = line.partition("=")
            if equals:
                _apply(unit, section, key.strip(), value.strip())
    return unit


def _logical_lines(text: str) -> Iterable[str]:
    held = ""
    for number, raw in enumerate(text.split("\n")):
        if number >= _MAX_LINES:
            return
        line = raw.strip()
        if not held and not line:
            continue
        if line[:1] in ("#", ";"):  # comments may stand between the lines of one value
            continue
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        yield (held + line).strip()
        held = ""
    if held.strip():
        yield held.strip()


def _apply(unit: UnitText, section: str, key: str, value: str) -> None:
    match section, key:
        case "Unit", "Description":
            unit.description = value
        case "Unit", "SourcePath":
            unit.source_path = value
        case "Service", "User":
            unit.user = value
        case "Service", "Type":
            unit.type = value
        case "Service", "RemainAfterExit":
            unit.remain_after_exit = truth(value)
        case "Install", "DefaultInstance":
            unit.default_instance = value
        case "Install", "Alias":
            unit.alias += value.split()
        case "Install", "WantedBy" | "RequiredBy" | "UpheldBy":
            unit.wanted_by += value.split()
        case "Install", "Also":
            unit.also += value.split()
        case "Timer", "RandomizedDelaySec":
            unit.delay = value
        case ("Timer" | "Path", "Unit") | ("Socket", "Service"):
            unit.starts = value
        case "Socket", "Accept":
            unit.accept = truth(value)
        case _ if key in _CAUSES.get(section, ()):
            unit.causes = [*unit.causes, f"{key}={value}"] if value else []
        case _:
            pass
