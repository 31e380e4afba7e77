"""Which distribution a root holds, from os-release(5). Pure."""

from __future__ import annotations

import re

import msgspec

__all__ = ["Distribution", "parse_os_release"]

_LINE = re.compile(r"""^(ID|VERSION_ID)=(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#]*))\s*$""", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9._-]{1,64}")


class Distribution(msgspec.Struct, frozen=True):
    """A distribution as os-release names it; empty when the root does not say."""

    id: str = ""
    version: str = ""

    def label(self) -> str:
        """Return it as package URLs have it, such as `debian-12`."""
        return f"{self.id}-{self.version}" if self.id and self.version else self.id


def parse_os_release(raw: bytes) -> Distribution:
    """Return ID and VERSION_ID; values that are none (no lower-case name) are left empty. The last of a twin counts."""
    values = {
        match[1]: match[2] or match[3] or match[4] or "" for match in _LINE.finditer(raw.decode(errors="replace"))
    }
    wanted = (values.get("ID", "").lower(), values.get("VERSION_ID", "").lower())
    return Distribution(*(text if _NAME.fullmatch(text) else "" for text in wanted))
