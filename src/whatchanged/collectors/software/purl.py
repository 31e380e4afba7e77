"""Package URLs: `pkg:type/namespace/name@version?qualifiers`, by the specification at github.com/package-url. Pure.

Types without a registered definition (snap, flatpak) get none.
"""

from __future__ import annotations

import re

from whatchanged.collectors.software.os_release import Distribution

__all__ = ["distribution_purl", "gem_purl", "npm_purl", "purl", "pypi_purl"]

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:")
# Namespaces that differ from the ID of os-release.
_VENDORS = {"rhel": "redhat"}


def purl(kind: str, namespace: str, name: str, version: str, **qualifiers: str) -> str:
    """Return the package URL; qualifiers without a value are left out."""
    path = "/".join(_quoted(part) for part in (*namespace.split("/"), name) if part)
    shown = f"pkg:{kind}/{path}"
    if version:
        shown += f"@{_quoted(version)}"
    pairs = [f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()) if value]
    return f"{shown}?{'&'.join(pairs)}" if pairs else shown


def distribution_purl(
    kind: str, distribution: Distribution, name: str, version: str, *, architecture: str, epoch: str = ""
) -> str:
    """Return the package URL of a distribution's package (`deb`, `rpm`, `apk`, `alpm`); empty if nobody says whose."""
    if not distribution.id:
        return ""
    vendor = _VENDORS.get(distribution.id, distribution.id)
    name = name.lower() if kind in ("deb", "apk", "alpm") else name
    return purl(kind, vendor, name, version, arch=architecture, epoch=epoch, distro=distribution.label())


def pypi_purl(name: str, version: str) -> str:
    """Return the package URL of a Python distribution: lower case, `-` for `_`."""
    return purl("pypi", "", re.sub(r"_", "-", name).lower(), version)


def npm_purl(name: str, version: str) -> str:
    """Return the package URL of an npm package: lower case; the scope is its namespace."""
    scope, _, bare = name.lower().rpartition("/")
    return purl("npm", scope, bare, version)


def gem_purl(name: str, version: str, platform: str) -> str:
    """Return the package URL of a gem; `ruby` is the platform that goes without saying."""
    return purl("gem", "", name, version, platform="" if platform == "ruby" else platform)


def _quoted(text: str) -> str:
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode(errors="replace"))
