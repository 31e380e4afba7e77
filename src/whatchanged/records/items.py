"""Items: what a collector found, one value an item, by kind.

An item knows its identity (`key`), its facts as columns (`columns`) and which facts count as a change
(`compared`). It knows nothing of rules, machines or state. Fields are only ever added, at the end and with
defaults: the tracker's state database keeps items as msgpack arrays.
"""

from __future__ import annotations

import base64
import hashlib
import re
import stat
from enum import StrEnum
from typing import ClassVar, Protocol

import msgspec

from whatchanged.records.registry_values import MAX_SHOWN, data_text, name_bytes, type_name
from whatchanged.records.times import time_text
from whatchanged.records.windows_paths import is_windows, shown, shown_link

__all__ = [
    "DaemonItem",
    "FileItem",
    "Item",
    "Kind",
    "RegistryItem",
    "ServiceItem",
    "SoftwareItem",
    "Value",
    "clean_text",
    "path_columns",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ATTRIBUTES = {
    0x1: "ReadOnly",
    0x2: "Hidden",
    0x4: "System",
    0x10: "Directory",
    0x20: "Archive",
    0x40: "Device",
    0x100: "Temporary",
    0x200: "SparseFile",
    0x400: "ReparsePoint",
    0x800: "Compressed",
    0x1000: "Offline",
    0x2000: "NotContentIndexed",
    0x4000: "Encrypted",
    0x8000: "IntegrityStream",
    0x20000: "NoScrubData",
    0x40000: "RecallOnOpen",
    0x80000: "Pinned",
    0x100000: "Unpinned",
    0x400000: "RecallOnDataAccess",
}
"""Attributes by the names of .NET's FileAttributes, which are those that people know from the table."""
_STREAMS_SHOWN = 20

Value = str | int | float | bool | None


class Kind(StrEnum):
    """Kind of an item: the values of ConfigChangeType and ConfigDataType."""

    FILES = "Files"
    REGISTRY = "Registry"
    SOFTWARE = "Software"
    WINDOWS_SERVICES = "WindowsServices"
    DAEMONS = "Daemons"


class Item(Protocol):
    """What every item offers."""

    @property
    def kind(self) -> Kind:
        """Kind of the item."""

    def key(self) -> bytes:
        """Identity of the item among those of its kind on one machine; see `whatchanged.records.keys`."""

    def columns(self) -> dict[str, Value]:
        """Facts as columns of ConfigurationData, without empty ones."""

    def compared(self) -> dict[str, object]:
        """Column name → the value that decides whether it changed. A fact that could not be told is left out."""


def clean_text(raw: bytes) -> str | None:
    """Return `raw` as text if text can carry it without loss or trickery, else None.

    That is: valid UTF-8 without control characters. (JSON carries control characters, but terminals, CSV
    readers and people do not.)
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _readable(raw: bytes) -> str:
    text = clean_text(raw)
    return text if text is not None else raw.decode(errors="replace")


def path_columns(path: bytes) -> dict[str, Value]:
    """Return FileSystemPath, Name, Location and, when the path is not clean text, PathBytes.

    `path` is as people write it; of Windows in WTF-8.
    """
    text = clean_text(path)
    readable = text if text is not None else path.decode(errors="replace")
    location, _, name = readable.rpartition("\\" if is_windows(path) else "/")
    columns: dict[str, Value] = {"FileSystemPath": readable, "Name": name, "Location": location or "/"}
    if text is None:
        columns["PathBytes"] = base64.b64encode(path).decode("ascii")
    return columns


class FileItem(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A file, folder or link, as one look saw it.

    Of a link whose rule says Follow, size, times, owner and checksum are those of the file it leads to,
    and `link_target` and `link_mode` tell of the link.
    """

    path: bytes
    """Exact path: `os.fsencode` of it; of Windows as `whatchanged.records.windows_paths` carries it."""
    mode: int
    """`st_mode`: type and permission bits; of Windows the type alone."""
    size: int = 0
    modified_ns: int = 0
    created_ns: int | None = None
    """Birth time where the file system has one."""
    uid: int = 0
    gid: int = 0
    owner: str = ""
    group: str = ""
    acl: str = ""
    """POSIX access (and default) ACL in `getfacl --omit-header` entries joined by commas; empty if trivial.

    Of Windows owner, group and access list as SDDL; empty if they may not be read.
    """
    sha256: bytes = b""
    """Digest of the content; empty when there is none (no regular file, or it could not be read)."""
    link_target: bytes | None = None
    link_mode: int | None = None
    links: int = 0
    """How many names (hard links) the entry itself has; 1 of a folder, 0 when it is not known."""
    link_created_ns: int | None = None
    """Birth time of a followed link itself."""
    file_attributes: int | None = None
    """FILE_ATTRIBUTE_… bits (MS-FSCC 2.6); None where there are none: the item is not of Windows."""
    streams: tuple[tuple[bytes, int], ...] = ()
    """Alternate data streams by name: name (WTF-8, such as `Zone.Identifier`) and bytes."""

    kind: ClassVar[Kind] = Kind.FILES

    def key(self) -> bytes:
        """Return the exact path."""
        return self.path

    def born_ns(self) -> int | None:
        """Return the birth time of the entry itself: with its inode number it tells one entry from every other."""
        followed = self.link_target is not None and not stat.S_ISLNK(self.mode)
        return self.link_created_ns if followed else self.created_ns

    def attributes(self) -> str:
        """Type and mode as `ls -l` shows them, of Windows the attributes and streams; of a link also where it leads."""
        if self.file_attributes is not None:
            return self._windows_attributes(self.file_attributes)
        if self.link_target is None:
            return stat.filemode(self.mode)
        target = clean_text(self.link_target)
        shown = f"{stat.filemode(self.link_mode or stat.S_IFLNK | 0o777)} -> "
        shown += target if target is not None else self.link_target.decode(errors="replace")
        return shown if stat.S_ISLNK(self.mode) else f"{shown} ({stat.filemode(self.mode)})"

    def columns(self) -> dict[str, Value]:
        """Facts as columns of ConfigurationData."""
        columns = path_columns(self.path if self.file_attributes is None else shown(self.path))
        columns["Size"] = self.size
        columns["DateModified"] = time_text(self.modified_ns)
        if self.created_ns is not None:
            columns["DateCreated"] = time_text(self.created_ns)
        columns["Attributes"] = self.attributes()
        columns["Acls"] = self._acls()
        if self.sha256:
            columns["FileContentChecksum"] = self.sha256.hex().upper()
        return columns

    def compared(self) -> dict[str, object]:
        """Facts that count. A folder's size and time move with its entries, which have rows of their own."""
        folder = stat.S_ISDIR(self.mode)
        facts: dict[str, object] = {
            "Size": None if folder else self.size,
            "DateCreated": self.created_ns,
            "DateModified": None if folder else self.modified_ns // 100,
            "Attributes": (self.mode, self.link_mode, self.link_target, self.file_attributes, self.streams),
            # Ids, not names: renaming an account is no change of its ten thousand files.
            "Acls": (self.uid, self.gid, self.acl),
            "FileContentChecksum": self.sha256,
        }
        if stat.S_ISREG(self.mode) and not self.sha256:
            del facts["FileContentChecksum"]
        if self.created_ns is None:
            del facts["DateCreated"]
        return facts

    def _windows_attributes(self, bits: int) -> str:
        names = [name for bit, name in _ATTRIBUTES.items() if bits & bit] or ["Normal"]
        text = ", ".join(names)
        if self.streams:
            listed = [f"{_readable(name)} ({size})" for name, size in self.streams[:_STREAMS_SHOWN]]
            left = len(self.streams) - _STREAMS_SHOWN
            text += f"; streams: {', '.join([*listed, *([f'{left} more'] if left > 0 else [])])}"
        return text if self.link_target is None else f"{text} -> {_readable(shown_link(self.link_target))}"

    def _acls(self) -> str:
        if self.file_attributes is not None:
            return self.acl
        owner = f"{self.owner or self.uid}:{self.group or self.gid}"
        return f"{owner} {self.acl}" if self.acl else owner


class SoftwareItem(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An installed package, program or update."""

    name: str
    version: str
    architecture: str = ""
    source: str = ""
    """The package database it stands in, such as `dpkg`."""
    software_type: str = "Package"
    publisher: str = ""
    description: str = ""
    instance: str = ""
    """Tells apart what a source keeps side by side: a version, a folder, a branch; empty where a new version
    replaces the old."""
    installed_ns: int | None = None
    """When it was installed or last upgraded, in nanoseconds since 1970."""
    size: int | None = None
    """Bytes it takes when installed."""
    purl: str = ""
    """Package URL (github.com/package-url/purl-spec), where the source has a registered type."""

    kind: ClassVar[Kind] = Kind.SOFTWARE

    def key(self) -> bytes:
        """Return location, name and architecture, separated by NUL: those of one source stand together."""
        return "\0".join((self.location(), self.name, self.architecture)).encode()

    def location(self) -> str:
        """Return the source, and the instance where a source keeps several."""
        return f"{self.source}/{self.instance}" if self.instance else self.source

    def columns(self) -> dict[str, Value]:
        """Facts as columns of ConfigurationData."""
        return _filled(
            Name=self.name,
            Location=self.location(),
            SoftwareName=self.name,
            SoftwareType=self.software_type,
            SoftwareDescription=self.description,
            Publisher=self.publisher,
            CurrentVersion=self.version,
            Architecture=self.architecture,
            Size=self.size,
            InstalledAt=None if self.installed_ns is None else time_text(self.installed_ns),
            PackageUrl=self.purl,
        )

    def compared(self) -> dict[str, object]:
        """Facts that count. Size and URL follow from the version; installing the same version again is no change."""
        return {
            "CurrentVersion": self.version,
            "SoftwareType": self.software_type,
            "Publisher": self.publisher,
            "SoftwareDescription": self.description,
        }


class DaemonItem(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A systemd service unit, SysV script or OpenRC script."""

    name: str
    """Unit name, such as `ssh.service`; of OpenRC the script's, `sshd`."""
    display_name: str = ""
    description: str = ""
    state: str = "Stopped"
    """`Running`, `Stopped` or a pending state; a oneshot that ends by itself is always `Stopped`."""
    path: str = ""
    """Unit file (FragmentPath) or script."""
    account: str = ""
    controller: str = "systemd"
    runlevels: str = ""
    """Enablement as `systemctl is-enabled` says it, or the run levels of an OpenRC script."""
    start: str = ""
    """Life of the machine and start of the service within it, of one that runs: another one was stopped in between."""
    triggered_by: str | None = None
    """Units that start it, their enablement and when: `a.timer (enabled; OnCalendar=daily), …`. None: not known."""

    kind: ClassVar[Kind] = Kind.DAEMONS

    def key(self) -> bytes:
        """Return the name."""
        return self.name.encode()

    def columns(self) -> dict[str, Value]:
        """Facts as columns of ConfigurationData."""
        return _filled(
            Name=self.name,
            Location=self.path.rpartition("/")[0],
            SvcName=self.name,
            SvcDisplayName=self.display_name or self.description or self.name,
            SvcState=self.state,
            SvcAccount=self.account,
            SvcPath=self.path,
            SvcDescription=self.description,
            SvcController=self.controller,
            SvcRunlevels=self.runlevels,
            SvcTriggeredBy=self.triggered_by,
        )

    def compared(self) -> dict[str, object]:
        """Facts that count."""
        facts: dict[str, object] = {
            "SvcState": self.state,
            "SvcPath": self.path,
            "SvcAccount": self.account,
            "SvcDescription": self.description,
            "SvcController": self.controller,
            "SvcRunlevels": self.runlevels,
        }
        if self.triggered_by is not None:
            facts["SvcTriggeredBy"] = self.triggered_by
        return facts

    def restarted_since(self, before: DaemonItem) -> bool:
        """Whether it ran at both looks and was stopped between them; a restart of the machine does not count."""
        return self.state == before.state == "Running" and _is_another_start(before.start, self.start)


class ServiceItem(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A Windows service: what Win32_Service says of it, its library, and what is done when it fails."""

    name: str
    """Name of its key."""
    display_name: str = ""
    description: str = ""
    """As the registry holds it: `@C:\\x.dll,-101` is a text in a program's resources, which are not opened."""
    state: str = ""
    """`Running`, `Stopped`, `Paused` or a pending state; empty where nobody can tell (a mounted disk)."""
    start_type: str = ""
    """`Auto`, `Manual`, `Disabled`; of what the loader starts `Boot`, `System`."""
    delayed: bool | None = False
    """An automatic start that waits until the others have started. None, as of the library and the actions on
    failure: the key that says so could not be read."""
    account: str = ""
    path: str = ""
    """Image path with its arguments, variables filled in."""
    service_dll: str | None = ""
    """Library that svchost.exe loads for it."""
    failure_actions: str | None = ""
    """Such as `restart after 60 s, none; reset after 86400 s`."""
    process_id: int | None = None
    """Of one that runs. It is no fact that counts: each start has another."""
    start: str = ""
    """Of one that runs, which start it is: the service control manager's own process, a slash, and its process."""

    kind: ClassVar[Kind] = Kind.WINDOWS_SERVICES

    def key(self) -> bytes:
        """Return the name."""
        return self.name.encode()

    def columns(self) -> dict[str, Value]:
        """Facts as columns of ConfigurationData."""
        return _filled(
            Name=self.name,
            SvcName=self.name,
            SvcDisplayName=self.display_name or self.name,
            SvcState=self.state,
            SvcStartupType=self.start_type,
            SvcDelayedStart=self.delayed if self.start_type == "Auto" else None,
            SvcAccount=self.account,
            SvcPath=self.path,
            SvcDescription=self.description,
            SvcServiceDll=self.service_dll,
            SvcFailureActions=self.failure_actions,
        )

    def restarted_since(self, before: ServiceItem) -> bool:
        """Whether it had a process at both looks (also one that was stopping, or starting), and another one each time.

        A restart of the machine does not count.
        """
        return _is_another_start(before.start, self.start)

    def compared(self) -> dict[str, object]:
        """Facts that count."""
        facts: dict[str, object] = {
            "SvcStartupType": self.start_type,
            "SvcDelayedStart": self.delayed,
            "SvcPath": self.path,
            "SvcAccount": self.account,
            "SvcDescription": self.description,
            "SvcServiceDll": self.service_dll,
            "SvcFailureActions": self.failure_actions,
        }
        if self.state:
            facts["SvcState"] = self.state
        return {name: fact for name, fact in facts.items() if fact is not None}


class RegistryItem(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A value of the Windows registry."""

    key_name: bytes
    """Full key path, beginning with the hive's long name, in `registry_values.name_bytes`. The 32-bit view of a key
    stands under its own path, below `Wow6432Node`."""
    value_name: bytes = b""
    """Likewise; empty for a key's default value."""
    type: int = 0
    data: bytes = b""
    """Data as it is; when it is long only its beginning, and when it is `secret` none."""
    size: int = 0
    """Bytes of the whole data."""
    sha256: bytes = b""
    """Digest of the whole data, where `data` is not all of it."""
    secret: bool = False
    """The data is of those that are never shown: password hashes and the like."""

    kind: ClassVar[Kind] = Kind.REGISTRY

    @classmethod
    def of(cls, key: str, name: str, number: int, data: bytes, *, secret: bool = False) -> RegistryItem:
        """Return the item for the value `name` of `key`."""
        whole = not secret and len(data) <= MAX_SHOWN
        return cls(
            key_name=name_bytes(key),
            value_name=name_bytes(name),
            type=number,
            data=b"" if secret else data[:MAX_SHOWN],
            size=len(data),
            sha256=b"" if whole else hashlib.sha256(data).digest(),
            secret=secret,
        )

    def key(self) -> bytes:
        """Return key and name, separated by NUL."""
        return self.key_name + b"\0" + self.value_name

    def columns(self) -> dict[str, Value]:
        """Facts as columns of ConfigurationData."""
        key, name = clean_text(self.key_name), clean_text(self.value_name)
        shown_key = self.key_name.decode(errors="replace") if key is None else key
        shown_name = self.value_name.decode(errors="replace") if name is None else name
        exact_names = key is not None and name is not None
        text, exact = self._data()
        return _filled(
            Name=shown_name,
            Location=shown_key,
            Hive=shown_key.partition("\\")[0],
            RegistryKey=shown_key,
            ValueName=shown_name,
            ValueType=type_name(self.type),
            ValueData=text,
            ValueBytes="" if exact else base64.b64encode(self.data).decode("ascii"),
            PathBytes="" if exact_names else base64.b64encode(self.key()).decode("ascii"),
        )

    def compared(self) -> dict[str, object]:
        """Facts that count."""
        return {"ValueType": self.type, "ValueData": (self.size, self.sha256 or self.data)}

    def _data(self) -> tuple[str, bool]:
        if self.secret:
            return f"not shown: {self.size} bytes, SHA-256 {self.sha256.hex().upper()}", True
        text, exact = data_text(self.type, self.data)
        if self.sha256:
            return f"{text} … ({self.size} bytes, SHA-256 {self.sha256.hex().upper()})", True
        return text, exact


def _is_another_start(before: str, now: str) -> bool:
    """Whether a start (`boot/start`) is another one than before, since the same boot."""
    return bool(now) and now != before and now.partition("/")[0] == before.partition("/")[0]


def _filled(**columns: Value) -> dict[str, Value]:
    return {name: value for name, value in columns.items() if value not in ("", None)}
