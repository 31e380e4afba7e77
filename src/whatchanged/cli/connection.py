"""The server that a command asks: the local installation, or the one that `WHATCHANGED_URL` names.

Locally the address stands in `<data>/server/address.json`, the owner's token in `<data>/server/local.token` and the
certificate authority in `<data>/server/tls/ca.pem`: whoever may read them is the owner of the installation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from whatchanged.cli.options import Values
from whatchanged.errors import CredentialError, ServerError, SettingsError

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["Connection", "connect", "local_address", "local_ca"]

_TIMEOUT = 60.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Connection:
    """Requests to one server; errors of any kind come out as ServerError or CredentialError."""

    def __init__(self, url: str, token: str, *, ca: str | None = None) -> None:
        import httpx

        self.url = url.rstrip("/")
        try:
            scheme, host = urlsplit(self.url).scheme, httpx.URL(self.url).host
        except (ValueError, httpx.InvalidURL):
            scheme, host = "", ""
        if scheme not in ("http", "https") or not host:
            raise SettingsError(f"{url!r} is no address of a server", hint="it looks like https://host:8350")
        if scheme == "http" and host not in _LOOPBACK:
            raise SettingsError(
                f"{url} would send the token unprotected", hint="use https; plain http is for loopback only"
            )
        verify: ssl.SSLContext | bool = _context(ca) if ca else True
        # A proxy has no business between us and our own machine.
        trust_env = host not in _LOOPBACK
        try:
            self._client: httpx.Client = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                verify=verify,
                timeout=_TIMEOUT,
                trust_env=trust_env,
            )
        except (ValueError, ImportError) as error:
            raise SettingsError(
                f"cannot use the proxy or the token: {error}", hint="look at HTTPS_PROXY and WHATCHANGED_TOKEN"
            ) from error

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, object | None] | None = None) -> Any:
        """GET; `parameters` that are None are left out."""
        given = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
        return self._ask("GET", path, params=given)

    def post(self, path: str, body: object) -> Any:
        """POST a JSON body."""
        return self._ask("POST", path, json=body)

    def put(self, path: str, body: object) -> Any:
        """PUT a JSON body."""
        return self._ask("PUT", path, json=body)

    def put_document(self, path: str, document: bytes) -> Any:
        """PUT a JSON document exactly as it is."""
        return self._ask("PUT", path, content=document, headers={"Content-Type": "application/json"})

    def delete(self, path: str, parameters: Mapping[str, object | None] | None = None) -> Any:
        """DELETE."""
        given = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
        return self._ask("DELETE", path, params=given)

    def pages(self, path: str, parameters: Mapping[str, object | None], limit: int | None) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list, page after page, until `limit`."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = 1000 if left is None else min(left, 1000)
            page = self.get(path, {**parameters, "limit": size, "cursor": cursor})
            rows = _value(page)[:left]
            yield from rows
            left = None if left is None else left - len(rows)
            cursor = page.get("nextCursor")
            if not cursor:
                return

    def date(self) -> str | None:
        """Return what the server thinks the time is (the Date header), if it says so."""
        import httpx

        try:
            response = self._client.get("/healthz")
        except httpx.HTTPError as error:
            raise ServerError(f"no answer from {self.url}: {str(error) or type(error).__name__}") from error
        if not response.is_success:
            raise _refusal(response)
        date: str | None = response.headers.get("date")
        return date

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of a list that has no pages."""
        return _value(self.get(path))

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        import httpx

        try:
            response = self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise ServerError(
                f"no answer from {self.url}: {str(error) or type(error).__name__}",
                hint="is the server running? `whatchanged doctor` looks",
            ) from error
        if response.is_success:
            return _body(response) if response.content else None
        raise _refusal(response)


def _value(page: Any) -> list[dict[str, Any]]:
    rows = page.get("value") if isinstance(page, dict) else None
    if not isinstance(rows, list):
        raise ServerError("the server's answer is no list", hint="is this address a whatchanged server?")
    return rows


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _refusal(response: httpx.Response) -> ServerError | CredentialError:
    body = _body(response)
    error = body.get("error") if isinstance(body, dict) else None
    detail = error if isinstance(error, dict) else {}
    message = str(detail.get("message") or f"the server answered {response.status_code}")
    if detail.get("target"):
        message = f"{message} ({detail['target']})"
    inner = detail.get("innererror")
    if isinstance(inner, dict) and inner.get("message"):
        message = str(inner["message"])  # of a wrong query: with the line, and a mark below the place
    if response.status_code == 401:
        return CredentialError(message, hint="check the token (WHATCHANGED_TOKEN, or <data>/server/local.token)")
    return ServerError(message, status=response.status_code, code=str(detail.get("code", "")))


def _context(ca: str) -> ssl.SSLContext:
    import ssl  # the tracker's process imports this module too, and holds no network client

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use {ca} as certificate authority: {error}") from error


def connect(values: Values) -> Connection:
    """Return the connection that the settings name; raises SettingsError when there is none."""
    if values["url"]:
        if not values["token"]:
            raise SettingsError(f"no token for {values['url']}", hint="set WHATCHANGED_TOKEN")
        return Connection(values["url"], values["token"], ca=values["ca"])
    token = values["token"] or _local_token(values)
    address = local_address(values.data.server)
    return Connection(address, token, ca=values["ca"] or local_ca(values.data.server))


def local_address(server_folder: str) -> str:
    """Return the address of the server whose folder this is; raises SettingsError."""
    path = os.path.join(server_folder, "address.json")
    try:
        with open(path, encoding="utf-8") as stream:
            url = json.load(stream)["url"]
    except FileNotFoundError as error:
        raise _nothing_here(server_folder) from error
    except PermissionError as error:
        raise SettingsError(f"may not read {path}", hint="run as the account of the server, or as root") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} does not name an address: {error}", hint="start the server anew") from error
    return str(url)


def local_ca(server_folder: str) -> str | None:
    """Return the file of the local certificate authority, if there is one."""
    path = os.path.join(server_folder, "tls", "ca.pem")
    return path if os.path.exists(path) else None


def _local_token(values: Values) -> str:
    path = values.data.local_token
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read(4096).strip()
    except FileNotFoundError as error:
        raise _nothing_here(values.data.server) from error
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"cannot read the owner token: {error}", hint="run as the server's owner or root"
        ) from error


def _nothing_here(server_folder: str) -> SettingsError:
    return SettingsError(
        f"no server has run on {server_folder}",
        hint="start one with `whatchanged up`, name its folder with --data, or a remote one with WHATCHANGED_URL",
    )
