"""Installed snaps, from snapd's state and the snaps' own metadata: what `snap list` says, without asking snapd.

`/var/lib/snapd/state.json` says which revision of which snap is current; `meta/snap.yaml` in the snap, mounted below
`/snap`, says its version. A version of a snap is free text and may stay while the snap changes; its revision never
does, so both make the version here: `VERSION+REVISION`. On an image nothing is mounted: `+REVISION` alone.
Earlier revisions that snapd keeps for going back are not installed. There is no registered package URL for snaps.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import re

import msgspec

from whatchanged.collectors.outcome import reason_of
from whatchanged.collectors.software.package_facts import PackageDatabaseError
from whatchanged.collectors.software.package_system import Look, Root
from whatchanged.collectors.software.yaml_scalars import top_level
from whatchanged.records.items import SoftwareItem

__all__ = ["Installed", "Snap", "installed_snaps"]

_SNAPD = b"/var/lib/snapd"
_MOUNTS = (b"/snap", b"/var/lib/snapd/snap")  # the latter on Fedora, SUSE and Arch
_LARGEST_STATE = 256 * 1024 * 1024
_NAME = re.compile(r"[a-z0-9-]{1,64}(?:_[a-z0-9]{1,10})?")
_REVISION = re.compile(r"x?[0-9]{1,18}")
_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_HEADER = re.compile(rb"^(publisher-id|display-name): (.*)$", re.MULTILINE)
_APPLICATION = "app"


class _Revision(msgspec.Struct):
    name: str = ""
    snap_id: str = msgspec.field(default="", name="snap-id")
    revision: str = ""


class _State(msgspec.Struct):
    current: str = ""
    sequence: list[_Revision] = []
    type: str = _APPLICATION


class _Data(msgspec.Struct):
    snaps: dict[str, _State] = {}


class _Document(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


class Installed(msgspec.Struct, frozen=True):
    """A snap as snapd's state has it."""

    name: str
    revision: str
    id: str = ""
    type: str = _APPLICATION


class Snap:
    """snapd's state."""

    source = "snap"
    owns_files = False

    def look(self, root: Root, owned: frozenset[bytes]) -> Look:
        """Return the installed snaps. Raises OSError, PackageDatabaseError."""
        folder = root.folder(_SNAPD)
        if folder is None or root.status(folder + b"/state.json") is None:
            return Look()
        items = []
        broken = False
        for snap in installed_snaps(root.content(folder + b"/state.json", _LARGEST_STATE)):
            try:
                items.append(_item(root, folder, snap))
            except OSError as error:
                # The current revision of a live machine is mounted, but for a moment at boot.
                root.fail(snap.name.encode(), f"its metadata cannot be read: {reason_of(error)}")
                broken = True
        return Look(items=tuple(items), incomplete=broken)


def installed_snaps(raw: bytes) -> list[Installed]:
    """Return the snaps of a state.json. Raises PackageDatabaseError. Pure."""
    try:
        snaps = msgspec.json.decode(raw, type=_Document).data.snaps
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackageDatabaseError(str(error)) from error
    found = []
    for name, state in sorted(snaps.items()):
        if _NAME.fullmatch(name) and _REVISION.fullmatch(state.current):
            ids = (r.snap_id for r in state.sequence if r.revision == state.current and _ID.fullmatch(r.snap_id))
            found.append(Installed(name, state.current, next(ids, ""), state.type))
    return found


def _item(root: Root, folder: bytes, snap: Installed) -> SoftwareItem:
    revision = snap.revision.encode()
    places = [mounts + b"/" + snap.name.encode() for mounts in filter(None, map(root.folder, _MOUNTS))]
    facts = _metadata(root, [place + b"/" + revision for place in places])
    package = root.status(b"%b/snaps/%b_%b.snap" % (folder, snap.name.encode(), revision))
    links = [status for place in places if (status := root.status(place + b"/current")) is not None]
    moments = [status.st_mtime_ns for status in (*links, package) if status is not None]
    return SoftwareItem(
        name=snap.name,
        version=f"{(facts.get('version') or [''])[0]}+{snap.revision}",
        architecture=",".join(facts.get("architectures", [])),
        source=Snap.source,
        software_type="Application" if snap.type == _APPLICATION else "Package",
        publisher=_publisher(root, folder, snap.id),
        description=(facts.get("summary") or [""])[0],
        installed_ns=moments[0] if moments else None,
        size=None if package is None else package.st_size,
    )


def _metadata(root: Root, places: list[bytes]) -> dict[str, list[str]]:
    missing: OSError = FileNotFoundError(2, "not mounted")
    for place in places:
        try:
            return top_level(root.content(place + b"/meta/snap.yaml"))
        except OSError as error:
            missing = error
    if root.live:
        raise missing
    return {}


def _publisher(root: Root, folder: bytes, snap_id: str) -> str:
    """Follow the snap's signed declaration to the account that publishes it; empty for snaps without one."""
    assertions = folder + b"/assertions/asserts-v0"
    try:
        declaration = root.content(b"%b/snap-declaration/16/%b/active" % (assertions, snap_id.encode()))
        account = _header(declaration, b"publisher-id")
        if not snap_id or not _ID.fullmatch(account):
            return ""
        text = root.content(b"%b/account/%b/active" % (assertions, account.encode()))
        return _header(text, b"display-name") or account
    except OSError:  # a snap that was installed from a file
        return ""


def _header(assertion: bytes, wanted: bytes) -> str:
    for match in _HEADER.finditer(assertion):
        if match[1] == wanted:
            return match[2].decode(errors="replace")
    return ""
