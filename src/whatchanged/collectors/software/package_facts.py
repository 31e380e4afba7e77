"""What the parsers of package databases share. Pure."""

from __future__ import annotations

from whatchanged.errors import ItemError

__all__ = ["METADATA_NAMES", "PackageDatabaseError", "whole_number"]

METADATA_NAMES = (b"/METADATA", b"/PKG-INFO", b".egg-info", b"/package.json", b".gemspec")
"""How the paths of files end by which language package managers know a package."""


class PackageDatabaseError(ItemError):
    """A package database, or an entry of it, is not what its format says."""


def whole_number(text: str) -> int | None:
    """Return the decimal number that `text` is, if it fits a column; else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
