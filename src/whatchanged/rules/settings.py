"""Extension settings: what a `ChangeTracking-…` data source says about how often and what to look at.

Nobody publishes a schema, and real rules differ, so the reader takes every spelling that is known (see
`docs/formats/rules.md`), fills in the defaults of the operating system, and reports what it cannot use with its
place. It never raises for content: a rule with one bad entry still does the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from whatchanged.errors import RuleError
from whatchanged.records.items import Kind
from whatchanged.rules.fields import MAX_TEXT, Fields, Problems, is_expression, show, text_of
from whatchanged.rules.items import (
    FileRule,
    FileType,
    Links,
    Problem,
    RegistryRule,
    Severity,
)
from whatchanged.rules.patterns import excluded, expand
from whatchanged.rules.variables import Variables, lookalike, placeholder
from whatchanged.rules.windows_patterns import windows_exclusion, windows_pattern

__all__ = [
    "EXTENSION_NAMES",
    "LINUX",
    "OWN_EXTENSION",
    "WINDOWS",
    "ExtensionSettings",
    "canonical_extension_name",
    "merge",
    "read_extension_settings",
]

WINDOWS = "ChangeTracking-Windows"
LINUX = "ChangeTracking-Linux"
EXTENSION_NAMES = (WINDOWS, LINUX)
OWN_EXTENSION = WINDOWS if sys.platform == "win32" else LINUX
"""Name of the extension whose settings are for this system."""

_T = TypeVar("_T")


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
    """File rules that can work, the disabled ones too."""
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
    settings: object,
    extension_name: str,
    *,
    place: str = "extensionSettings",
    configuration_id: str = "",
    variables: Variables | None = None,
) -> ExtensionSettings:
    """Read `extensionSettings`; what cannot be used is left out or defaulted, and listed in `problems`.

    `configuration_id` (immutable id of the data collection rule) is noted on every rule item. `variables` are filled
    in, and one that is not known is a problem; without them, where no machine is looked at, they stay as written.
    Raises RuleError for an extension that is none of ours.
    """
    name = canonical_extension_name(extension_name)
    if name is None:
        raise RuleError(f"is none of {', '.join(EXTENSION_NAMES)}: {extension_name!r}", place="extensionName")
    problems = Problems()
    top = Fields(settings, place, problems)
    defaults = _DEFAULTS[name]
    files = top.object("fileSettings")
    registry = top.object("registrySettings", "registrySettingsObjectList")
    software = top.object("softwareSettings")
    services = top.object("servicesSettings", "serviceSettings")
    inventory = top.object("inventorySettings")
    file_frequency = files.frequency("fileCollectionFrequency", default=defaults.file_frequency)
    registry_frequency = registry.frequency("registryCollectionFrequency", default=defaults.registry_frequency)
    file_rule = _file_rule if name == LINUX else _windows_rule
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
        files=_each(file_items, file_rule(file_frequency, configuration_id, variables), problems),
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
        registry=tuple(rule for one in settings if one.enable_registry for rule in one.registry),
        problems=tuple(problem for one in settings for problem in one.problems),
    )


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


def _each(items: list[Fields], build: Callable[[Fields, str], _T | None], problems: Problems) -> tuple[_T, ...]:
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


def _file_type(item: Fields) -> FileType:
    """`pathType` and `type` say the same; where they differ the one that takes more wins."""
    named = [item.choice(_TYPES, key, default=FileType.FILE) for key in ("type", "pathType") if item.find(key)]
    return max(named, key=_BREADTH.__getitem__, default=FileType.FILE)


def _contents(item: Fields) -> dict[str, Any]:
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


_MAX_EXCLUDED = 1_000
"""Exclusions of one file item that are read."""


def _file_rule(
    frequency: float, configuration_id: str, variables: Variables | None
) -> Callable[[Fields, str], FileRule | None]:
    def build(item: Fields, name: str) -> FileRule | None:
        contents = _contents(item)
        links = item.choice(_LINKS, "links", default=Links.FOLLOW)
        use_sudo = item.boolean("useSudo", default=True)
        key, text = item.one("destinationPath", "path")
        place = f"{item.place}.{key}"
        exclude = _exclude(item, variables)
        network = item.boolean("networkFileSystems", default=False)
        try:
            path = _path(text_of("" if text is None else text), variables)
            rule = FileRule(
                name=name or str(text or ""),
                destination_path=path,
                links=links,
                use_sudo=use_sudo,
                exclude=exclude,
                network=network,
                frequency=frequency,
                configuration_id=configuration_id,
                place=item.place,
                **contents,
            )
            expand(msgspec.structs.replace(rule, destination_path=placeholder(path)))
        except (ValueError, RuleError) as error:
            item.problems.add(place, f"{_why(error, text)}: {show(text)}")
            return None
        if path.startswith((b"/proc/", b"/sys/")):
            item.problems.add(place, "is below a pseudo file system, whose files change all the time", Severity.WARNING)
        if other := lookalike(path):
            message = f"is taken as it stands: a variable is written ${{{other}}}"
            item.problems.add(place, f"{message}: {show(text)}", Severity.WARNING)
        return rule

    return build


def _exclude(item: Fields, variables: Variables | None, *, windows: bool = False) -> tuple[bytes, ...]:
    """Read what an item leaves out. A wrong entry is left out itself: the rule then takes more, never less."""
    entries: list[bytes] = []
    listed = item.texts("exclude", "excludes")
    if len(listed) > _MAX_EXCLUDED:
        message = f"only the first {_MAX_EXCLUDED} exclusions of an item are used"
        item.problems.add(listed[_MAX_EXCLUDED][0], message)
    for place, text in listed[:_MAX_EXCLUDED]:
        try:
            if windows:
                entry = windows_exclusion(text_of(text), variables)
                excluded(entry)
            else:
                entry = _path(text_of(text), variables)
                excluded(placeholder(entry))
        except (ValueError, RuleError) as error:
            item.problems.add(place, f"{_why(error, text)}; nothing is excluded by it: {show(text)}")
        else:
            entries.append(entry)
    return tuple(dict.fromkeys(entries))


def _path(text: str, variables: Variables | None) -> bytes:
    """Return the bytes of a path or pattern; raises ValueError, RuleError."""
    path = text.encode("utf-8", "surrogateescape")
    return path if variables is None else variables.fill(path)


def _why(error: Exception, text: object) -> str:
    if is_expression(text):
        return "is a template expression that nobody has filled in"
    # UnicodeEncodeError is a ValueError whose text nobody wants to read.
    return "holds half a surrogate pair" if isinstance(error, UnicodeError) else str(error)


def _windows_rule(
    frequency: float, configuration_id: str, variables: Variables | None
) -> Callable[[Fields, str], FileRule | None]:
    def build(item: Fields, name: str) -> FileRule | None:
        contents = _contents(item)
        # Upstream has no such key: a link is told of, and what it leads to belongs to the rule that names it.
        links = item.choice(_LINKS, "links", default=Links.MANAGE)
        key, text = item.one("path", "destinationPath")
        place = f"{item.place}.{key}"
        exclude = _exclude(item, variables, windows=True)
        network = item.boolean("networkFileSystems", default=False)
        try:
            written = text_of("" if text is None else text)
            rule = FileRule(
                name=name or written,
                destination_path=windows_pattern(written, variables),
                links=links,
                exclude=exclude,
                network=network,
                frequency=frequency,
                configuration_id=configuration_id,
                place=item.place,
                written=written,
                **contents,
            )
            expand(rule)
        except (ValueError, RuleError) as error:
            item.problems.add(place, f"{_why(error, text)}: {show(text)}")
            return None
        if rule.destination_path.startswith(b"/UNC/") and not network:
            message = (
                "is on another machine: looked at only where an item says networkFileSystems and the policy allows it"
            )
            item.problems.add(place, message, Severity.WARNING)
        return rule

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


def _registry_rule(frequency: float, configuration_id: str) -> Callable[[Fields, str], RegistryRule | None]:
    def build(item: Fields, name: str) -> RegistryRule | None:
        key, text = item.one("keyName")
        recurse = item.boolean("recurse", "recursive", default=False)
        enabled = item.boolean("enabled", default=True)
        value_name, group_tag, description = (item.text(k) for k in ("valueName", "groupTag", "description"))
        place = f"{item.place}.{key}"
        if not isinstance(text, str) or text.partition("\\")[0].upper() not in _HIVES or "\0" in text:
            item.problems.add(place, f"does not begin with a hive such as HKEY_LOCAL_MACHINE: {show(text)}")
            return None
        return RegistryRule(
            name=name or text[:MAX_TEXT],
            key_name=text[:MAX_TEXT],
            value_name=value_name,
            recurse=recurse,
            enabled=enabled,
            frequency=frequency,
            group_tag=group_tag,
            description=description,
            configuration_id=configuration_id,
        )

    return build
