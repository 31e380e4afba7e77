"""Who this machine is for its server: `identity.json`, enrolment, and final words.

Credentials are never logged. Rotation survives a crash at any point: the new credential is written beside the old
one before it is used, and replaces it once the server has taken it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
import threading
import time
from collections.abc import Mapping

import httpx
import msgspec

from whatchanged.errors import CredentialError, ServerError, StateError
from whatchanged.forwarder import files
from whatchanged.forwarder.http import ask, check_url, error_of, open_client, tls_context, unverified_context
from whatchanged.settings import DataFolder

__all__ = ["FINAL_CODES", "Identity", "IdentityKeeper", "enroll", "load", "move", "save"]

FINAL_CODES = frozenset({"InvalidCredential", "MachineRevoked", "MachineCloned"})


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What enrolment gave.

    `pending_credential` is a newer one that the server has not seen in use yet; `previous_credential` the one before,
    which a server knows that was restored from a backup older than the last rotation.
    """

    server: str
    machine_id: str
    resource_id: str
    workspace_id: str
    machine_group: str
    implicit_rule_id: str
    credential: str
    credential_time: float
    pending_credential: str = ""
    ca_path: str = ""
    previous_credential: str = ""

    def __repr__(self) -> str:  # a credential must not reach a log by way of a traceback
        return f"Identity(server={self.server!r}, machine_id={self.machine_id!r})"

    @property
    def credentials(self) -> tuple[str, ...]:
        """Return what may be accepted, in the order in which to try."""
        known = (self.pending_credential, self.credential, self.previous_credential)
        return tuple(credential for credential in known if credential)

    def settled_on(self, credential: str) -> Identity:
        """Return the identity after the server took `credential`, one of `credentials`."""
        if credential == self.credential:
            return msgspec.structs.replace(self, pending_credential="")
        if credential == self.pending_credential:
            return msgspec.structs.replace(
                self,
                credential=credential,
                credential_time=time.time(),
                pending_credential="",
                previous_credential=self.credential,
            )
        # An old one that may have leaked meanwhile: a new one is due at once.
        return msgspec.structs.replace(
            self, credential=credential, credential_time=0.0, pending_credential="", previous_credential=""
        )

    @property
    def fingerprint(self) -> str:
        """Return what tells this enrolment from another, without a secret."""
        return hashlib.sha256(f"{self.server} {self.machine_id} {self.credential}".encode()).hexdigest()


def _path(data: DataFolder) -> str:
    return os.path.join(data.forwarder, "identity.json")


def load(data: DataFolder) -> Identity | None:
    """Return the identity, None before enrolment. Raises StateError."""
    text = files.read(_path(data), 1024 * 1024)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{_path(data)} is damaged: {error}", hint="enrol the machine again") from error


def save(data: DataFolder, identity: Identity) -> None:
    """Write the identity, on disk before this returns."""
    files.write_atomically(_path(data), msgspec.json.encode(identity))


def move(data: DataFolder, machine_id: str, server: str) -> None:
    """Keep the enrolment of `machine_id` and write the server's new address; another identity stays as it is."""
    identity = load(data)
    address = check_url(server)
    if identity is not None and identity.machine_id == machine_id and identity.server != address:
        save(data, msgspec.structs.replace(identity, server=address))


def enroll(
    server: str,
    token: str,
    data: DataFolder,
    *,
    facts: Mapping[str, str],
    ca_file: str | None = None,
    proxy: str | None = None,
) -> Identity:
    """Enrol this machine and write `identity.json`; `facts` are the fields of the request (docs/formats/server-api.md).

    The certificate authority comes from the server and must be the one that the token pins; without a pin the
    system's authorities (or `ca_file`) are trusted. Raises CredentialError, ServerError, OperationError.
    """
    server = check_url(server)
    parts = token.strip().split(".")
    if len(parts) != 4 or parts[0] != "wce1":
        raise CredentialError("this is no enrolment token", hint="it begins with wce1.")
    pin = parts[3]
    ca_path = os.path.abspath(ca_file) if ca_file else ""
    authority = ""
    if server.startswith("https:") and pin != "-":
        authority = _pinned_authority(server, pin, proxy)
        ca_path = os.path.join(data.forwarder, "ca.pem")
    context = ssl.create_default_context(cadata=authority) if authority else tls_context(ca_path)
    with open_client(server, context, proxy) as client:
        answer = ask(
            client,
            "POST",
            f"{server}/api/v1/enroll",
            headers={"Authorization": f"Bearer {token.strip()}"},
            json=dict(facts),
        )
    identity = _enrolled(server, answer, ca_path)
    if authority:
        # Not before the server took the token: an enrolment that fails leaves the one before it whole.
        files.write_atomically(ca_path, authority.encode("ascii"))
    save(data, identity)
    return identity


def _enrolled(server: str, answer: httpx.Response, ca_path: str) -> Identity:
    if answer.status_code in (401, 403):
        raise CredentialError(f"{server} does not take the enrolment token: {error_of(answer)[1]}")
    if answer.status_code != 201:
        code, message = error_of(answer)
        raise ServerError(f"{server} does not enrol: {message}", status=answer.status_code, code=code)
    try:
        given = answer.json()
        return Identity(
            server=server,
            machine_id=str(given["machineId"]),
            resource_id=str(given["resourceId"]),
            workspace_id=str(given["workspaceId"]),
            machine_group=str(given["machineGroup"]),
            implicit_rule_id=str(given["implicitRuleId"]),
            credential=str(given["credential"]),
            credential_time=time.time(),
            ca_path=ca_path,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{server} answers an enrolment in a way that is not understood: {error!r}") from error


def _pinned_authority(server: str, pin: str, proxy: str | None) -> str:
    # Unverified on purpose: the answer is public, and only what has the pinned hash is used.
    with open_client(server, unverified_context(), proxy) as client:
        answer = ask(client, "GET", f"{server}/api/v1/ca")
    if answer.status_code != 200:
        raise ServerError(f"{server} does not show its certificate authority", status=answer.status_code)
    try:
        der = ssl.PEM_cert_to_DER_cert(answer.text.strip())
    except ValueError as error:
        raise ServerError(f"{server} shows no certificate authority in PEM: {error}") from error
    if not hmac.compare_digest(hashlib.sha256(der).hexdigest().encode(), pin.lower().encode()):
        raise CredentialError(
            f"the certificate authority of {server} is not the one that the enrolment token names",
            hint="somebody may be in between, or the token is of another server",
        )
    return ssl.DER_cert_to_PEM_cert(der)


class IdentityKeeper:
    """The identity as it is on disk now, and whether the server has said a final word about it."""

    def __init__(self, data: DataFolder) -> None:
        self._data = data
        self._lock = threading.RLock()
        self._seen: tuple[int, int] | None = None
        self._identity: Identity | None = None
        self._refused_path = os.path.join(data.forwarder, "refused.json")

    def current(self) -> Identity | None:
        """Return the identity; a new enrolment is noticed. Raises StateError."""
        with self._lock:
            try:
                found = os.stat(_path(self._data))
            except FileNotFoundError:
                self._seen = self._identity = None
                return None
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._seen:
                self._identity, self._seen = load(self._data), stamp
            return self._identity

    def refusal(self) -> str:
        """Return the final word of the server about the identity now: its code, or empty."""
        identity = self.current()
        try:
            text = files.read(self._refused_path)
            said = msgspec.json.decode(text or b"{}", type=dict[str, str])
        except (StateError, msgspec.DecodeError, UnicodeDecodeError):
            return ""  # damaged: the server will say it again
        return said.get("code", "") if identity and said.get("fingerprint") == identity.fingerprint else ""

    def refuse(self, identity: Identity, code: str) -> bool:
        """Keep the server's final word until the machine is enrolled anew, unless it was about an older credential."""
        said = {"code": code, "fingerprint": identity.fingerprint, "server": identity.server}
        with self._lock:
            if self.current() != identity:
                return False
            files.write_atomically(self._refused_path, msgspec.json.encode(said))
            return True

    def change(self, old: Identity, new: Identity) -> bool:
        """Write `new` unless the file is no longer `old`."""
        with self._lock:
            if self.current() != old:
                return False
            save(self._data, new)
            return True
