"""What a rule asks to be looked at: file rules, registry rules, and problems of a rule."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum

import msgspec

__all__ = ["FileRule", "FileType", "Links", "Problem", "RegistryRule", "Severity", "links_of"]


class Severity(StrEnum):
    """How bad a problem is."""

    ERROR = "error"
    """The part cannot work and is left out."""
    WARNING = "warning"
    """It works, but perhaps not as its author thinks."""
    NOTE = "note"
    """Harmless, such as a key nobody knows."""


class Problem(msgspec.Struct, frozen=True):
    """Something wrong in a rule; `place` is its JSON path."""

    place: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.place}: {self.message}"


class FileType(StrEnum):
    """What a file rule takes."""

    FILE = "File"
    """Everything but folders."""
    DIRECTORY = "Directory"
    """The path is a folder: the folder itself and what is in it, folders too."""
    ANY = "Any"
    """Whatever matches the path."""


class Links(StrEnum):
    """What to do with a symbolic link."""

    FOLLOW = "Follow"
    """Look at the link and at what it leads to."""
    IGNORE = "Ignore"
    """Leave links out."""
    MANAGE = "Manage"
    """Look at the link itself."""


_WATCHFULNESS = {Links.IGNORE: 0, Links.MANAGE: 1, Links.FOLLOW: 2}


def links_of(rules: Iterable[FileRule]) -> Links:
    """Return the most watchful policy among `rules`: Follow, then Manage, then Ignore (also for no rule)."""
    return max((rule.links for rule in rules), key=_WATCHFULNESS.__getitem__, default=Links.IGNORE)


class FileRule(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a `fileInfo` list. `frequency` is in seconds and comes from the settings around it."""

    name: str
    destination_path: bytes
    """As the rule writes it, wildcards and all; a byte that is no UTF-8 may stand as a lone `\\udcXX`.

    Of a Windows rule as `whatchanged.records.windows_paths` carries it.
    """
    recurse: bool = False
    type: FileType = FileType.FILE
    links: Links = Links.FOLLOW
    enabled: bool = True
    upload_content: bool = False
    exclude: tuple[bytes, ...] = ()
    """Patterns of what this rule leaves out, with everything below; other rules are not concerned."""
    network: bool = False
    """Whether it asks for network file systems; the policy decides."""
    frequency: float = 900.0
    checksum: str = "Sha256"
    """What the rule says; a file's checksum is SHA-256 either way."""
    max_contents_returnable: int = 5_000_000
    max_output_size: int = 500_000
    use_sudo: bool = True
    group_tag: str = ""
    description: str = ""
    configuration_id: str = ""
    """Immutable id of the data collection rule it comes from."""
    place: str = ""
    """JSON path of the item in its document."""
    written: str = ""
    """The path of a Windows rule as it stands there."""

    def identity(self) -> str:
        """Return a stable fingerprint (32 hex digits) of what the rule selects and how it treats links.

        A rule that is renamed, or that gets another frequency, selects the same items; so those do not count.
        """
        parts = [self.destination_path, str(self.recurse).encode(), self.type.encode(), self.links.encode()]
        parts += sorted(self.exclude)
        parts += [b"network"] if self.network else []
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]

    def __str__(self) -> str:
        path = self.written or self.destination_path.decode(errors="backslashreplace")
        return f"{self.name} ({path}{', recursive' if self.recurse else ''})"


class RegistryRule(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a `registryInfo` list; an empty `value_name` means every value of the key."""

    name: str
    key_name: str
    value_name: str = ""
    recurse: bool = False
    enabled: bool = True
    frequency: float = 3000.0
    group_tag: str = ""
    description: str = ""
    configuration_id: str = ""

    def identity(self) -> str:
        """Return a stable fingerprint (32 hex digits) of which values the rule takes."""
        parts = [self.key_name.upper(), self.value_name.upper(), str(self.recurse)]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def __str__(self) -> str:
        value = f", value {self.value_name}" if self.value_name else ""
        return f"{self.name} ({self.key_name}{value}{', recursive' if self.recurse else ''})"
