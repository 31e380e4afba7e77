"""The portal's files, as its build (`packaging/build-portal`) left them in `server/portal`; kept in memory."""

from __future__ import annotations

import mimetypes
import os
import secrets
from functools import cached_property

import msgspec

__all__ = ["FOLDER", "Asset", "Portal"]

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "portal")
_NONCE = "__NONCE__"
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self'; style-src-elem 'self' 'nonce-{nonce}'; "
    "style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_MISSING = """<!doctype html>
<html lang="en"><title>whatchanged</title>
<h1>The portal is not built</h1>
<p>This server runs from a checkout whose page was not built yet. <code>make run</code> builds it,
and so does <code>packaging/build-portal</code>; then start the server anew.</p></html>
"""


class Asset(msgspec.Struct, frozen=True):
    """A file whose name says what is in it: it never changes."""

    media_type: str
    plain: bytes
    zipped: bytes | None
    """The same in gzip, where the build made it."""


class Portal:
    """What was built. Reads at the first use."""

    def __init__(self, folder: str = FOLDER) -> None:
        self._folder = folder

    @cached_property
    def assets(self) -> dict[str, Asset]:
        """Name → file below `assets/`."""
        folder = os.path.join(self._folder, "assets")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return {name: self._asset(folder, name, names) for name in names if not name.endswith(".gz")}

    @cached_property
    def _index(self) -> str | None:
        path = os.path.join(self._folder, "index.html")
        if not os.path.isfile(path):
            return None
        with open(path, encoding="utf-8") as stream:
            return stream.read()

    @property
    def is_built(self) -> bool:
        """Whether there is anything to show."""
        return self._index is not None

    def page(self) -> tuple[str, str]:
        """Return the page, and the policy that goes with it: a nonce is good for one answer."""
        nonce = secrets.token_urlsafe(16)
        return (self._index or _MISSING).replace(_NONCE, nonce), policy(nonce)

    def _asset(self, folder: str, name: str, names: list[str]) -> Asset:
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        zipped = _read(folder, f"{name}.gz") if f"{name}.gz" in names else None
        return Asset(media_type, _read(folder, name), zipped)


def policy(nonce: str) -> str:
    """Return the Content-Security-Policy of an answer."""
    return _POLICY.format(nonce=nonce)


def _read(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as stream:
        return stream.read()
