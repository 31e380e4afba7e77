"""Extension settings: what a `ChangeTracking-…` data source says about how often and what to look at.

Nobody publishes a schema, and real rules differ, so the reader takes every spelling that is known (see
`docs/formats/rules.md`), fills in the defaults of the operating system, and reports what it cannot use with its
place. It never raises for content: a rule with one bad entry still does the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from whatchanged.errors import RuleError
from whatchanged.records.items import Kind
from whatchanged.rules.items import (
    FileRule,
    FileType,
    Links,
    Problem,
    RegistryRule,
    Severity,
    WindowsFileRule,
)
from whatchanged.rules.patterns import expand

__all__ = [
    "EXTENSION_NAMES",
    "LINUX",
    "WINDOWS",
    "ExtensionSettings",
    "canonical_extension_name",
    "merge",
    "read_extension_settings",
]

WINDOWS = "ChangeTracking-Windows"
LINUX = "ChangeTracking-Linux"
EXTENSION_NAMES = (WINDOWS, LINUX)

MAX_ITEMS = 10_000
"""Entries of one list that are read; a rule comes from the network and must not fill the memory."""
_MAX_FREQUENCY = 366 * 86_400.0
_MAX_TEXT = 32_768
_MAX_PROBLEMS = 1_000


class ExtensionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one data source (or of several, merged); frequencies in seconds, at least 1."""

    extension_name: str = LINUX
    enable_files: bool = True
    enable_software: bool = True
    enable_services: bool = True
    enable_registry: bool = False
    enable_inventory: bool = True
    file_frequency: float = 900.0
    software_frequency: float = 300.0
    service_frequency: float = 300.0
    registry_frequency: float = 3000.0
    inventory_frequency: float = 36_000.0
    files: tuple[FileRule, ...] = ()
    """Linux file rules that can work, the disabled ones too."""
    windows_files: tuple[WindowsFileRule, ...] = ()
    registry: tuple[RegistryRule, ...] = ()
    problems: tuple[Problem, ...] = ()

    def enabled(self, kind: Kind) -> bool:
        """Whether items of `kind` are to be looked at."""
        return {
            Kind.FILES: self.enable_files,
            Kind.SOFTWARE: self.enable_software,
            Kind.DAEMONS: self.enable_services,
            Kind.WINDOWS_SERVICES: self.enable_services,
            Kind.REGISTRY: self.enable_registry,
        }[kind]

    def frequency(self, kind: Kind) -> float:
        """Seconds between two looks at items of `kind`; of files see also each rule."""
        return {
            Kind.FILES: self.file_frequency,
            Kind.SOFTWARE: self.software_frequency,
            Kind.DAEMONS: self.service_frequency,
            Kind.WINDOWS_SERVICES: self.service_frequency,
            Kind.REGISTRY: self.registry_frequency,
        }[kind]


_DEFAULTS = {
    LINUX: ExtensionSettings(),
    WINDOWS: ExtensionSettings(
        extension_name=WINDOWS,
        enable_registry=True,
        file_frequency=2700.0,
        software_frequency=1800.0,
        service_frequency=1800.0,
    ),
}


def canonical_extension_name(name: str) -> str | None:
    """Return the extension's name in its usual spelling, or None if it is none of ours."""
    return next((known for known in EXTENSION_NAMES if known.lower() == name.strip().lower()), None)


def read_extension_settings(
    settings: object, extension_name: str, *, place: str = "extensionSettings", configuration_id: str = ""
) -> ExtensionSettings:
    """Read `extensionSettings`; what cannot be used is left out or defaulted, and listed in `problems`.

    `configuration_id` (immutable id of the data collection rule) is noted on every rule item.
    Raises RuleError for an extension that is none of ours.
    """
    name = canonical_extension_name(extension_name)
    if name is None:
        raise RuleError(f"is none of {', '.join(EXTENSION_NAMES)}: {extension_name!r}", place="extensionName")
    problems = _Problems()
    top = _Fields(settings, place, problems)
    defaults = _DEFAULTS[name]
    files = top.object("fileSettings")
    registry = top.object("registrySettings", "registrySettingsObjectList")
    software = top.object("softwareSettings")
    services = top.object("servicesSettings", "serviceSettings")
    inventory = top.object("inventorySettings")
    file_frequency = files.frequency("fileCollectionFrequency", default=defaults.file_frequency)
    registry_frequency = registry.frequency("registryCollectionFrequency", default=defaults.registry_frequency)
    linux = name == LINUX
    file_items = files.items("fileInfo")
    registry_items = registry.items("registryInfo", "registrySettingsObjectList")
    result = ExtensionSettings(
        extension_name=name,
        enable_files=top.boolean("enableFiles", default=defaults.enable_files),
        enable_software=top.boolean("enableSoftware", default=defaults.enable_software),
        enable_services=top.boolean("enableServices", default=defaults.enable_services),
        enable_registry=top.boolean("enableRegistry", default=defaults.enable_registry),
        enable_inventory=top.boolean("enableInventory", default=defaults.enable_inventory),
        file_frequency=file_frequency,
        software_frequency=software.frequency("softwareCollectionFrequency", default=defaults.software_frequency),
        service_frequency=services.frequency(
            "serviceCollectionFrequency", "servicesCollectionFrequency", default=defaults.service_frequency
        ),
        registry_frequency=registry_frequency,
        inventory_frequency=inventory.frequency("inventoryCollectionFrequency", default=defaults.inventory_frequency),
        files=_each(file_items, _file_rule(file_frequency, configuration_id), problems) if linux else (),
        windows_files=() if linux else _each(file_items, _windows_rule(file_frequency, configuration_id), problems),
        registry=_each(registry_items, _registry_rule(registry_frequency, configuration_id), problems),
    )
    for fields in (top, files, registry, software, services, inventory):
        fields.report_unknown()
    return msgspec.structs.replace(result, problems=problems.found())


def merge(settings: Sequence[ExtensionSettings]) -> ExtensionSettings:
    """Return the union: what any of them enables is enabled, at the highest frequency of those that enable it.

    Every file and registry rule keeps its own frequency; rules of settings that disable files are left out.
    """
    if not settings:
        raise ValueError("nothing to merge")
    if len(settings) == 1:
        return settings[0]

    def fastest(enabled: str, frequency: str) -> float:
        chosen = [one for one in settings if getattr(one, enabled)] or settings
        return min(float(getattr(one, frequency)) for one in chosen)

    return ExtensionSettings(
        extension_name=settings[0].extension_name,
        enable_files=any(one.enable_files for one in settings),
        enable_software=any(one.enable_software for one in settings),
        enable_services=any(one.enable_services for one in settings),
        enable_registry=any(one.enable_registry for one in settings),
        enable_inventory=any(one.enable_inventory for one in settings),
        file_frequency=fastest("enable_files", "file_frequency"),
        software_frequency=fastest("enable_software", "software_frequency"),
        service_frequency=fastest("enable_services", "service_frequency"),
        registry_frequency=fastest("enable_registry", "registry_frequency"),
        inventory_frequency=fastest("enable_inventory", "inventory_frequency"),
        files=tuple(rule for one in settings if one.enable_files for rule in one.files),
        windows_files=tuple(rule for one in settings if one.enable_files for rule in one.windows_files),
        registry=tuple(rule for one in settings if one.enable_registry for rule in one.registry),
        problems=tuple(problem for one in settings for problem in one.problems),
    )


class _Problems:
    """Collects problems, a bounded number of them."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._more = 0

    def add(self, place: str, message: str, severity: Severity = Severity.ERROR) -> None:
        if len(self._found) < _MAX_PROBLEMS:
            self._found.append(Problem(place, message, severity))
        else:
            self._more += 1

    def found(self) -> tuple[Problem, ...]:
        more = [Problem("", f"{self._more} more problems", Severity.WARNING)] if self._more else []
        return (*self._found, *more)


_EXPRESSION = re.compile(r"(\[[^\[].*\]|<(expr|param|var):.*>|\$\{.*\})\Z", re.DOTALL)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


_T = TypeVar("_T")


class _Fields:
    """A JSON object that is read key by key, whatever the case of its keys; remembers what nobody asked for."""

    def __init__(self, value: object, place: str, problems: _Problems) -> None:
        self.place = place
        self.problems = problems
        self._values: Mapping[str, Any] = {}
        self._asked: set[str] = set()
        if isinstance(value, Mapping):
            self._values = {key: found for key, found in value.items() if isinstance(key, str)}
        elif value is not None:
            problems.add(place, f"{_what(value)} where an object should be; the defaults hold")

    def find(self, *names: str) -> list[tuple[str, Any]]:
        """Return key and value of every filled key that is one of `names`, exact spelling first."""
        wanted = {name.lower(): rank for rank, name in enumerate(names)}
        found = [(key, value) for key, value in self._values.items() if key.lower() in wanted]
        self._asked.update(key for key, _ in found)
        found.sort(key=lambda pair: (pair[0] not in names, wanted[pair[0].lower()]))
        return [(key, value) for key, value in found if value is not None]

    def one(self, *names: str) -> tuple[str, Any]:
        found = self.find(*names)
        for key, _ in found[1:]:
            self.problems.add(f"{self.place}.{key}", f"{found[0][0]!r} is used instead", Severity.WARNING)
        return found[0] if found else (names[0], None)

    def object(self, *names: str) -> _Fields:
        """Read a settings object; a bare list stands for an object that holds it."""
        key, value = self.one(*names)
        place = f"{self.place}.{key}"
        if isinstance(value, list):
            value = {key: value}
        return _Fields(value, place, self.problems)

    def items(self, *names: str) -> list[_Fields]:
        """Read a list of objects; several spellings of it are joined."""
        read: list[_Fields] = []
        for key, value in self.find(*names):
            place = f"{self.place}.{key}"
            entries = value
            if isinstance(value, Mapping):
                entries = [value]
            elif not isinstance(value, list):
                self.problems.add(place, f"{_what(value)} where a list should be; nothing is taken from it")
                continue
            if len(entries) > MAX_ITEMS:
                self.problems.add(place, f"only the first {MAX_ITEMS} of {len(entries)} entries are used")
            for number, entry in enumerate(entries[:MAX_ITEMS]):
                entry_place = f"{place}[{number}]"
                if isinstance(entry, Mapping):
                    read.append(_Fields(entry, entry_place, self.problems))
                else:
                    self.problems.add(entry_place, f"{_what(entry)} where an object should be; left out")
        return read

    def _typed(self, names: tuple[str, ...], default: _T, parse: Callable[[Any], _T]) -> _T:
        key, value = self.one(*names)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            why, severity = str(error), Severity.ERROR
        if isinstance(value, str) and _EXPRESSION.match(value):
            why, severity = "is a template expression that nobody has filled in", Severity.WARNING
        self.problems.add(f"{self.place}.{key}", f"{why}: {_show(value)}; {default!s} is used", severity)
        return default

    def boolean(self, *names: str, default: bool) -> bool:
        return self._typed(names, default, _boolean)

    def number(self, *names: str, default: int) -> int:
        return self._typed(names, default, _whole)

    def frequency(self, *names: str, default: float) -> float:
        return self._typed(names, default, _seconds)

    def text(self, *names: str) -> str:
        return self._typed(names, "", _string)

    def choice(self, known: Mapping[str, _T], *names: str, default: _T) -> _T:
        def parse(value: object) -> _T:
            try:
                return known[str(value).strip().lower()]
            except KeyError:
                raise ValueError(f"is none of {', '.join(sorted(known))}") from None

        return self._typed(names, default, parse)

    def report_unknown(self) -> None:
        for key in self._values:
            if key not in self._asked:
                self.problems.add(f"{self.place}.{key}", "is a key nobody knows; kept, not used", Severity.NOTE)


def _what(value: object) -> str:
    if isinstance(value, str) and _EXPRESSION.match(value):
        return f"an unfilled template expression ({_show(value)})"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "1": True, "0": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise ValueError("is neither true nor false")
    return found


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is no number")  # noqa: TRY004 - collected as a problem of the rule
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("is no number") from None
    if not math.isfinite(number):
        raise ValueError("is no finite number")
    return number


def _whole(value: object) -> int:
    number = _number(value)
    if number < 0 or number != int(number) or number > 2**53:
        raise ValueError("is no whole number of at least 0")
    return int(number)


def _seconds(value: object) -> float:
    number = _number(value)
    if not 1 <= number <= _MAX_FREQUENCY:
        raise ValueError("is no number of seconds between 1 and a year")
    return number


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is no text")  # noqa: TRY004 - collected as a problem of the rule
    if len(value) > _MAX_TEXT:
        raise ValueError(f"is longer than {_MAX_TEXT} characters")
    return value


_TYPES = {
    "file": FileType.FILE,
    "directory": FileType.DIRECTORY,
    "folder": FileType.DIRECTORY,
    "any": FileType.ANY,
    "*": FileType.ANY,
}
_LINKS = {link.value.lower(): link for link in Links}
_CHECKSUMS = {"md5": "Md5", "sha256": "Sha256", "sha-256": "Sha256"}
_BREADTH = {FileType.FILE: 0, FileType.ANY: 1, FileType.DIRECTORY: 2}


def _each(items: list[_Fields], build: Callable[[_Fields, str], _T | None], problems: _Problems) -> tuple[_T, ...]:
    """Build each item; report unknown keys, and names that are missing or stand twice."""
    built: list[_T] = []
    seen: set[str] = set()
    for item in items:
        key, name = item.one("name")[0], item.text("name").strip()
        if not name:
            problems.add(
                f"{item.place}.{key}", "is empty: records would not say which rule they are from", Severity.WARNING
            )
        elif name in seen:
            problems.add(f"{item.place}.{key}", f"{name!r} stands twice in this list", Severity.WARNING)
        seen.add(name)
        rule = build(item, name)
        item.report_unknown()
        if rule is not None:
            built.append(rule)
    return tuple(built)


def _file_type(item: _Fields) -> FileType:
    """`pathType` and `type` say the same; where they differ the one that takes more wins."""
    named = [item.choice(_TYPES, key, default=FileType.FILE) for key in ("type", "pathType") if item.find(key)]
    return max(named, key=_BREADTH.__getitem__, default=FileType.FILE)


def _contents(item: _Fields) -> dict[str, Any]:
    return {
        "recurse": item.boolean("recurse", "recursive", default=False),
        "type": _file_type(item),
        "enabled": item.boolean("enabled", default=True),
        "upload_content": item.boolean("uploadContent", default=False),
        "checksum": item.choice(_CHECKSUMS, "checksum", default="Sha256"),
        "max_contents_returnable": item.number("maxContentsReturnable", default=5_000_000),
        "max_output_size": item.number("maxOutputSize", default=500_000),
        "group_tag": item.text("groupTag"),
        "description": item.text("description"),
    }


def _file_rule(frequency: float, configuration_id: str) -> Callable[[_Fields, str], FileRule | None]:
    def build(item: _Fields, name: str) -> FileRule | None:
        contents = _contents(item)
        links = item.choice(_LINKS, "links", default=Links.FOLLOW)
        use_sudo = item.boolean("useSudo", default=True)
        key, text = item.one("destinationPath", "path")
        place = f"{item.place}.{key}"
        try:
            path = _string("" if text is None else text).encode("utf-8", "surrogateescape")
            rule = FileRule(
                name=name or str(text or ""),
                destination_path=path,
                links=links,
                use_sudo=use_sudo,
                frequency=frequency,
                configuration_id=configuration_id,
                **contents,
            )
            expand(rule)
        except (ValueError, RuleError) as error:
            # UnicodeEncodeError is a ValueError whose text nobody wants to read.
            why = "holds half a surrogate pair" if isinstance(error, UnicodeError) else str(error)
            if isinstance(text, str) and _EXPRESSION.match(text):
                why = "is a template expression that nobody has filled in"
            item.problems.add(place, f"{why}: {_show(text)}")
            return None
        if path.startswith((b"/proc/", b"/sys/")):
            item.problems.add(place, "is below a pseudo file system, whose files change all the time", Severity.WARNING)
        return rule

    return build


_WINDOWS_PATH = re.compile(r"([A-Za-z]:[\\/]|%[^%\\/]+%|\\\\[^\\/]+[\\/])", re.DOTALL)


def _windows_rule(frequency: float, configuration_id: str) -> Callable[[_Fields, str], WindowsFileRule | None]:
    def build(item: _Fields, name: str) -> WindowsFileRule | None:
        contents = _contents(item)
        key, text = item.one("path", "destinationPath")
        place = f"{item.place}.{key}"
        if not isinstance(text, str) or not _WINDOWS_PATH.match(text) or "\0" in text or len(text) > _MAX_TEXT:
            item.problems.add(place, f"is no absolute Windows path: {_show(text)}")
            return None
        return WindowsFileRule(
            name=name or text, path=text, frequency=frequency, configuration_id=configuration_id, **contents
        )

    return build


_HIVES = frozenset(
    [
        "HKEY_LOCAL_MACHINE",
        "HKLM",
        "HKEY_USERS",
        "HKU",
        "HKEY_CURRENT_USER",
        "HKCU",
        "HKEY_CLASSES_ROOT",
        "HKCR",
        "HKEY_CURRENT_CONFIG",
        "HKCC",
    ]
)


def _registry_rule(frequency: float, configuration_id: str) -> Callable[[_Fields, str], RegistryRule | None]:
    def build(item: _Fields, name: str) -> RegistryRule | None:
        key, text = item.one("keyName")
        recurse = item.boolean("recurse", "recursive", default=False)
        enabled = item.boolean("enabled", default=True)
        value_name, group_tag, description = (item.text(k) for k in ("valueName", "groupTag", "description"))
        place = f"{item.place}.{key}"
        if not isinstance(text, str) or text.partition("\\")[0].upper() not in _HIVES or "\0" in text:
            item.problems.add(place, f"does not begin with a hive such as HKEY_LOCAL_MACHINE: {_show(text)}")
            return None
        return RegistryRule(
            name=name or text[:_MAX_TEXT],
            key_name=text[:_MAX_TEXT],
            value_name=value_name,
            recurse=recurse,
            enabled=enabled,
            frequency=frequency,
            group_tag=group_tag,
            description=description,
            configuration_id=configuration_id,
        )

    return build
