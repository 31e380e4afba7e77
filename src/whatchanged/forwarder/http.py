"""HTTP as the forwarder speaks it: whom it trusts, which proxy it takes, and how much of an answer it reads."""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from whatchanged.errors import OperationError, ServerError, SettingsError, StateError

__all__ = ["RetryLater", "ask", "check_url", "error_of", "open_client", "tls_context", "unverified_context"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MAX_ANSWER = 16 * 1024 * 1024


class RetryLater(ServerError):
    """The server is there and does not do now what was asked; `retry_after` are the seconds it names, if it does."""

    def __init__(self, message: str, answer: httpx.Response) -> None:
        super().__init__(f"{message}: {answer.status_code} {': '.join(error_of(answer))}", status=answer.status_code)
        self.retry_after = _retry_after(answer)


def check_url(server: str) -> str:
    """Return the server's address without a trailing slash; plain http is for loopback only."""
    try:
        scheme, host = urlsplit(server).scheme, httpx.URL(server).host
    except (ValueError, httpx.InvalidURL):
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        raise OperationError(f"{server!r} is no address of a server", hint="such as https://changes.example.com")
    if scheme == "http" and host not in _LOOPBACK:
        raise OperationError(f"{server} is plain http, which is refused beyond this machine", hint="use https")
    return server.rstrip("/")


def tls_context(ca_path: str) -> ssl.SSLContext:
    """Return a context that trusts the authority in `ca_path` only, or the system's if it is empty."""
    try:
        return ssl.create_default_context(cafile=ca_path or None)
    except (OSError, ssl.SSLError) as error:
        raise StateError(f"cannot read the certificate authority {ca_path}: {error}") from error


def unverified_context() -> ssl.SSLContext:
    """Return a context that trusts anybody, for an answer that is checked by other means."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def open_client(server: str, context: ssl.SSLContext, proxy: str | None) -> httpx.Client:
    """Return a client for `server`; without `proxy` the environment names one (HTTPS_PROXY, NO_PROXY).

    A proxy has no business between us and our own machine. Raises SettingsError for a proxy that cannot be one.
    """
    local = httpx.URL(server).host in _LOOPBACK
    try:
        return httpx.Client(verify=context, proxy=None if local else proxy, trust_env=not local, timeout=30)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise SettingsError(f"cannot use the proxy: {error}", hint="it looks like http://proxy:3128") from error


def ask(client: httpx.Client, method: str, url: str, **arguments: Any) -> httpx.Response:
    """Return the answer, read to its end and bounded. Raises ServerError if there is none."""
    body = bytearray()
    try:
        with client.stream(method, url, **arguments) as answer:
            for part in answer.iter_bytes(65_536):
                body += part
                if len(body) > _MAX_ANSWER:
                    raise ServerError(f"the answer of {url} is longer than {_MAX_ANSWER} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        # RuntimeError: the client was closed to end the process.
        host = httpx.URL(url).host
        raise ServerError(f"{host} does not answer: {str(error) or type(error).__name__}") from error
    # The body was decoded while it was read.
    headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() != "content-encoding"]
    return httpx.Response(answer.status_code, headers=headers, content=bytes(body))


def error_of(answer: httpx.Response) -> tuple[str, str]:
    """Return code and message of an error answer; the code is empty if it is not in the shape of our server's."""
    try:
        error = answer.json()["error"]
        return str(error["code"])[:200], str(error["message"])[:1000]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", f"status {answer.status_code}"


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after")
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
