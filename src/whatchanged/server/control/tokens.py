"""Secrets of the control plane: how they look, how they are kept, how they are compared.

Every secret is 256 random bits, so that a plain SHA-256 is enough to keep it (nothing to guess, no salt needed)
and looking it up costs no key stretching. A token carries its id, so that finding it is an index lookup and only
the hash is compared, in constant time.

```
wcp1.<id>.<secret>                      a person or program
wce1.<id>.<secret>.<CA digest or ->     enrolment
wcm1.<machine id>.<secret>              a machine
wcs1.<id>.<secret>                      a session of a browser
wcl1.<id>.<secret>                      a link that signs in once
wci1.<claims>.<mac>                     ingestion: signed, kept nowhere, lives an hour
```
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import sys
import time

import msgspec

from whatchanged.errors import CredentialError, StateError

__all__ = [
    "INGESTION_SECONDS",
    "IngestionClaims",
    "IngestionSigner",
    "enrollment_token",
    "machine_credential",
    "new_id",
    "new_secret",
    "person_token",
    "private_file",
    "same",
    "secret_hash",
    "split",
]

INGESTION_SECONDS = 3600
_LONGEST = 512


def new_id() -> str:
    """Return a random id: 16 hex digits."""
    return secrets.token_hex(8)


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(secret: str, kept: str) -> bool:
    """Say in constant time whether `kept` is the hash of `secret`."""
    return hmac.compare_digest(secret_hash(secret), kept)


def person_token(token_id: str, secret: str) -> str:
    """Return the token of a person or program."""
    return f"wcp1.{token_id}.{secret}"


def enrollment_token(token_id: str, secret: str, authority: str) -> str:
    """Return an enrolment token; `authority` is the SHA-256 of the CA certificate in DER, hex, or `-`."""
    return f"wce1.{token_id}.{secret}.{authority}"


def machine_credential(machine_id: str, secret: str) -> str:
    """Return a machine's credential."""
    return f"wcm1.{machine_id}.{secret}"


def split(token: str, prefix: str, parts: int) -> list[str]:
    """Return the parts behind `prefix`; raises CredentialError unless there are `parts` of them."""
    found = token.split(".") if len(token) <= _LONGEST and token.isascii() else []
    if len(found) != parts + 1 or found[0] != prefix or not all(found):
        raise CredentialError("the credential is not of the right kind")
    return found[1:]


class IngestionClaims(msgspec.Struct, frozen=True):
    """What an ingestion token says."""

    machine_id: str
    rule_id: str
    expires_at: int


class IngestionSigner:
    """Signs and reads ingestion tokens with the key of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, machine_id: str, rule_id: str) -> str:
        """Return a token for one machine and one rule."""
        claims = IngestionClaims(machine_id, rule_id, int(time.time()) + INGESTION_SECONDS)
        body = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=").decode()
        return f"wci1.{body}.{self._mac(body)}"

    def read(self, token: str) -> IngestionClaims:
        """Return the claims; raises CredentialError if the token is forged, broken or over its time."""
        body, mac = split(token, "wci1", 2)
        if not hmac.compare_digest(mac, self._mac(body)):
            raise CredentialError("the ingestion token is not of this server")
        try:
            claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=IngestionClaims)
        except (binascii.Error, msgspec.DecodeError) as error:
            raise CredentialError("the ingestion token is broken") from error
        if claims.expires_at < time.time():
            raise CredentialError("the ingestion token is over its time")
        return claims

    def _mac(self, body: str) -> str:
        return hmac.new(self._key, b"wci1." + body.encode(), hashlib.sha256).hexdigest()


def private_file(path: str, content: bytes) -> bytes:
    """Return the content of the file `path`; if there is none, make it (0600, atomically) with `content`.

    The file is linked into place, so that of two processes that start together one wins and both read the same.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    if not os.path.lexists(path):
        draft = f"{path}.{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            _link(draft, path)
        finally:
            os.unlink(draft)
    return _read_private(path)


def _link(draft: str, path: str) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first; its file holds


def _read_private(path: str) -> bytes:
    flags = os.O_RDONLY
    if sys.platform != "win32":
        flags |= os.O_NOFOLLOW
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_mode & 0o077:
            raise StateError(f"{path} may be read by others", hint=f"chmod 600 {path}, and make a new secret")
        content = stream.read(1 << 16)
    if not content:
        raise StateError(f"{path} is empty", hint="remove it; a new one is made at the next start")
    return content
