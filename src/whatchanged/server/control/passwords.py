"""Passwords as they are kept: scrypt (RFC 7914) with a salt each, and the costs beside it, so that they can grow.

The costs are those that OWASP's password storage cheat sheet names for 32 MiB: a guess costs what a sign-in does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

__all__ = ["MOST_CHARACTERS", "kept", "matches", "nobodys"]

MOST_CHARACTERS = 1024
_N, _R, _P = 1 << 15, 8, 3
_SALT, _KEY = 16, 32


def kept(password: str) -> str:
    """Return what is kept of a password. Takes about a quarter of a second."""
    salt = os.urandom(_SALT)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(_derived(password, salt, _N, _R, _P))}"


def matches(password: str, what: str) -> bool:
    """Say whether `what` was kept of `password`. Takes as long as `kept`."""
    _, n, r, p, salt, key = what.split("$")
    found = _derived(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(key))


def nobodys(password: str) -> None:
    """Take the time of `matches`: whether there is an account must not be heard from how long a refusal takes."""
    _derived(password, b"\0" * _SALT, _N, _R, _P)


def _derived(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    memory = 128 * r * (n + p + 2)
    raw = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=_KEY)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
