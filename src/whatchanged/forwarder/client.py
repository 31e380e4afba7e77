"""Requests of this machine to its server: credential, instance, TLS, final words."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

import httpx
import msgspec

from whatchanged.errors import CredentialError, ServerError
from whatchanged.forwarder.http import RetryLater, ask, check_url, error_of, open_client, tls_context
from whatchanged.forwarder.identity import FINAL_CODES, Identity, IdentityKeeper
from whatchanged.forwarder.settings import ForwarderSettings

__all__ = ["ServerClient"]

_log = logging.getLogger(__name__)


class ServerClient:
    """One thread uses one client; `instance` is the same for all of a process."""

    def __init__(self, settings: ForwarderSettings, keeper: IdentityKeeper, instance: uuid.UUID) -> None:
        self._settings = settings
        self._keeper = keeper
        self._instance = str(instance)
        self._client: httpx.Client | None = None
        self._for: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def request(self, method: str, path: str, *, timeout: float = 60.0, **arguments: Any) -> httpx.Response:
        """Ask the server; `path` is below its address, or a whole address (a redirect of the control plane).

        Raises CredentialError after a final word (nothing is asked from then on), ServerError if there is no answer.
        """
        identity = self.identity()
        answer, credential = self._ask(identity, method, path, timeout, arguments)
        if answer.status_code < 400 and (settled := identity.settled_on(credential)) != identity:
            self._keeper.change(identity, settled)
        if answer.status_code in (401, 403):
            code, message = error_of(answer)
            if code in FINAL_CODES:
                if not self._keeper.refuse(identity, code):
                    raise ServerError("the credential was changed while it was used", status=answer.status_code)
                _log.error("the server refuses this machine for good (%s): %s; enrol it anew", code, message)
                raise CredentialError(f"{code}: {message}", hint="enrol the machine anew")
        return answer

    def identity(self) -> Identity:
        """Return the identity; raises CredentialError if there is none or it is refused."""
        identity = self._keeper.current()
        if identity is None:
            raise CredentialError("this machine is not enrolled", hint="whatchanged enroll --server URL --token-file F")
        if code := self._keeper.refusal():
            raise CredentialError(f"the server refuses this machine for good ({code})", hint="enrol the machine anew")
        return identity

    def rotate(self) -> None:
        """Take a new credential when the one in use is old. Raises CredentialError, ServerError."""
        identity = self.identity()
        if identity.pending_credential or time.time() - identity.credential_time < self._settings.rotation:
            return
        answer = self.request("POST", "/api/v1/machine/credential")
        if answer.status_code != 201:
            raise RetryLater("the server gives no new credential", answer)
        try:
            fresh = str(answer.json()["credential"])
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError("the server gives a credential that is not understood") from error
        self._keeper.change(identity, msgspec.structs.replace(identity, pending_credential=fresh))

    def _ask(
        self, identity: Identity, method: str, path: str, timeout: float, arguments: dict[str, Any]
    ) -> tuple[httpx.Response, str]:
        """Return the answer, and the credential that it was given to: the first that the server knows."""
        *others, last = identity.credentials
        for credential in others:
            answer = self._send(identity, credential, method, path, timeout, arguments)
            if answer.status_code != 401 or error_of(answer)[0] != "InvalidCredential":
                return answer, credential
        return self._send(identity, last, method, path, timeout, arguments), last

    def _send(
        self, identity: Identity, credential: str, method: str, path: str, timeout: float, arguments: dict[str, Any]
    ) -> httpx.Response:
        headers = {
            **arguments.get("headers", {}),
            "Authorization": f"Bearer {credential}",
            "x-whatchanged-instance": self._instance,
        }
        url = check_url(path if path.startswith(("http://", "https://")) else identity.server + path)
        return ask(self._connected(identity), method, url, timeout=timeout, **{**arguments, "headers": headers})

    def _connected(self, identity: Identity) -> httpx.Client:
        with self._lock:
            wanted = (identity.server, identity.ca_path)
            if self._client is None or self._for != wanted:
                if self._client is not None:
                    self._client.close()
                context = tls_context(identity.ca_path or self._settings.ca_file or "")
                self._client = open_client(identity.server, context, self._settings.proxy)
                self._for = wanted
            return self._client
