"""Where the kinds that are looked at whole have their files: a change there means that the kind may have changed."""

from __future__ import annotations

from whatchanged.records.items import Kind
from whatchanged.rules import FileRule, FileScope, FileType

__all__ = ["place_scope"]

_PLACES: dict[Kind, tuple[bytes, ...]] = {
    Kind.SOFTWARE: (
        b"/var/lib/dpkg/status",
        b"/var/lib/dpkg/status.d/*",
        b"/var/lib/dpkg/updates/*",
        b"/var/lib/rpm/*",
        b"/usr/lib/sysimage/rpm/*",
        b"/lib/apk/db/installed",
        b"/usr/lib/apk/db/installed",
        b"/var/lib/pacman/local/*",
        b"/var/lib/snapd/state.json",
        b"/var/lib/flatpak/.changed",
    ),
    Kind.DAEMONS: (
        b"/etc/systemd/system/**",
        b"/etc/systemd/system.control/**",
        b"/usr/lib/systemd/system/**",
        b"/usr/local/lib/systemd/system/**",
        b"/lib/systemd/system/**",
        b"/run/systemd/system/**",
        b"/run/systemd/system.control/**",
        b"/run/systemd/generator/**",
        b"/run/systemd/generator.early/**",
        b"/run/systemd/generator.late/**",
        b"/etc/init.d/*",
        b"/etc/rc?.d/*",
    ),
}


def place_scope(kind: Kind) -> FileScope | None:
    """Return the paths that mark a kind, or None if no file does."""
    places = _PLACES.get(kind)
    if places is None:
        return None
    return FileScope([FileRule(name=kind.value, destination_path=place, type=FileType.ANY) for place in places])
