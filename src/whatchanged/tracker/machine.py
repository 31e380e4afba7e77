"""What tells this machine from others."""

from __future__ import annotations

import os

__all__ = ["machine_token", "vm_uuid"]


def machine_token(root: str) -> str:
    """Return `/etc/machine-id` (machine-id(5)), which a cloned image is supposed to make anew; empty if unset."""
    return _first_line(os.path.join(root, "etc/machine-id"))


def vm_uuid(root: str) -> str:
    """Return the hardware's UUID as its firmware tells it, lower case, or an empty string."""
    return _first_line(os.path.join(root, "sys/class/dmi/id/product_uuid")).lower()


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.readline(128).strip()
    except OSError:
        return ""
