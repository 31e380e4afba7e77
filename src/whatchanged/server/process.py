"""The server as a process: opens the rooms, serves until told to stop, closes them in order.

Everything is made by the account that calls `run`; whoever starts as root gives its rights up before.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import uvicorn

from whatchanged.errors import SettingsError
from whatchanged.server.api.app import create
from whatchanged.server.api.context import Context
from whatchanged.server.backup import restore
from whatchanged.server.certificates import Authority, TlsFiles, server_context
from whatchanged.server.control import Control
from whatchanged.server.control.people import LOCAL_TOKEN_ID
from whatchanged.server.control.tokens import IngestionSigner, new_secret, person_token, private_file
from whatchanged.server.housekeeping import Housekeeping, renewer
from whatchanged.server.ingest import Ingestor
from whatchanged.server.query import FUNCTIONS, Limits, Questions, Reader
from whatchanged.server.settings_in_force import SettingsInForce
from whatchanged.server.storage import open_storage
from whatchanged.settings import DataFolder

__all__ = ["ServerSettings", "TlsFiles", "restore", "run"]

_LOG = logging.getLogger(__name__)
_STOP_SECONDS = 20
_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How one server runs."""

    data: DataFolder
    host: str = "127.0.0.1"
    port: int = 8350
    """0: any free port; `<data>/server/address.json` says which."""
    tls: Literal["auto", "off"] | TlsFiles = "auto"
    """`auto`: own authority and certificate; `off`: plain http, on loopback addresses only."""
    names: Sequence[str] = ()
    """Further names and addresses by which machines reach the server; they stand in its certificate."""
    public_url: str = ""
    """Where machines reach the server, if not by its host and port."""
    telemetry: str = ""
    """DSN of a ClickHouse server, or a folder; empty: `<data>/server/telemetry`."""
    control: str = ""
    """SQLAlchemy URL of the control plane's database; empty: `<data>/server/control.db`.

    `postgresql+psycopg://…` needs the extra `postgresql`."""
    backups: str = ""
    """Folder for backups; empty: `<data>/server/backups`."""
    silence_seconds: float = 900.0
    housekeeping_seconds: float = 10.0
    questions: Limits = field(default_factory=Limits)
    """What questions in KQL may take."""
    in_force: SettingsInForce = field(default_factory=SettingsInForce)
    """What people are shown of these settings, and the retention that they fix."""
    associate_default: Mapping[str, Any] | None = None
    """A rule document to associate with the group `default`, once."""


def run(settings: ServerSettings, stop: threading.Event, ready: Callable[[str], None] | None = None) -> int:
    """Serve until `stop` is set; `ready` hears the address once the server answers. Returns the exit code.

    Raises SettingsError, StateError or StorageFull if the server cannot start.
    """
    check(settings)
    _make_folder(settings.data.server)
    authority, files = _tls(settings)
    tls = None if files is None else server_context(files())
    with _bound(settings) as listener, _context(settings, listener, authority, tls) as context:
        renew = None if tls is None or files is None else renewer(files, tls)
        housekeeping = Housekeeping(
            context,
            silence_seconds=settings.silence_seconds,
            pace_seconds=settings.housekeeping_seconds,
            renew=renew,
        )
        asyncio.run(_serve(settings, context, housekeeping, listener, tls, stop, ready))
    return 0


def check(settings: ServerSettings) -> None:
    """Raise SettingsError for settings that cannot work together."""
    if settings.tls == "off" and not _is_loopback(settings.host):
        raise SettingsError(
            f"plain http is refused on {settings.host}: tokens would cross the network in clear text",
            hint="use TLS (the server makes its own certificate), or listen on 127.0.0.1",
        )
    if settings.public_url and not settings.public_url.startswith(("http://", "https://")):
        raise SettingsError("public_url begins with https:// or http://")
    if not 0 <= settings.port <= 65535:
        raise SettingsError("port is a number from 0 to 65535")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever embeds it decides about signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve(
    settings: ServerSettings,
    context: Context,
    housekeeping: Housekeeping,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    stop: threading.Event,
    ready: Callable[[str], None] | None,
) -> None:
    config = uvicorn.Config(
        create(context, housekeeping.lifespan),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
        ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def end() -> None:
        # Held requests are let go first, or the server would wait for them.
        context.arrivals.close()
        context.waiting.close()
        server.should_exit = True

    def watch() -> None:
        stop.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server ended by itself
            loop.call_soon_threadsafe(end)

    threading.Thread(target=watch, name="server-stop", daemon=True).start()
    announced = asyncio.create_task(_announce(server, settings, context.public_url, listener, ready))
    try:
        await server.serve(sockets=[listener])
    finally:
        announced.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await announced


async def _announce(
    server: uvicorn.Server,
    settings: ServerSettings,
    url: str,
    listener: socket.socket,
    ready: Callable[[str], None] | None,
) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    address = {"url": url, "host": settings.host, "port": listener.getsockname()[1], "pid": os.getpid()}
    await asyncio.to_thread(_write_address, os.path.join(settings.data.server, "address.json"), address)
    _LOG.info("serving on %s", url)
    if ready is not None:
        ready(url)


def _write_address(path: str, address: dict[str, object]) -> None:
    draft = f"{path}.new"
    with open(draft, "w", encoding="utf-8") as stream:
        json.dump(address, stream)
    os.replace(draft, path)


@contextmanager
def _bound(settings: ServerSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(f"cannot listen on {settings.host} port {settings.port}: {error}") from error
        yield listener


@contextmanager
def _context(
    settings: ServerSettings, listener: socket.socket, authority: Authority | None, tls: ssl.SSLContext | None
) -> Iterator[Context]:
    folder = settings.data.server
    port = listener.getsockname()[1]
    scheme = "http" if tls is None else "https"
    names = _names(settings)
    with contextlib.ExitStack() as stack:
        control = Control(settings.control or os.path.join(folder, "control.db"))
        stack.callback(control.close)
        storage = open_storage(
            settings.telemetry or os.path.join(folder, "telemetry"),
            askers=settings.questions.at_once,
            question_memory=settings.questions.memory,
        )
        stack.callback(storage.close)
        _sign_in(control, settings)
        if settings.associate_default is not None:
            control.ensure_default(settings.associate_default)
        ingestor = Ingestor(storage, control)
        stack.callback(ingestor.close)
        reader = Reader(storage)
        stack.callback(reader.close)
        questions = Questions(storage, FUNCTIONS, settings.questions)
        stack.callback(questions.close)
        context = Context(
            control=control,
            storage=storage,
            ingestor=ingestor,
            reader=reader,
            questions=questions,
            signer=IngestionSigner(private_file(os.path.join(folder, "ingestion.key"), os.urandom(32))),
            public_url=settings.public_url.rstrip("/") or f"{scheme}://{_bracketed(names[0])}:{port}",
            hosts=frozenset(f"{_bracketed(name)}:{port}".lower() for name in names),
            authority_pem=None if authority is None else authority.pem,
            authority_digest="-" if authority is None else authority.digest,
            server_folder=folder,
            backups=settings.backups or os.path.join(folder, "backups"),
            settings=settings.in_force,
        )
        stack.callback(context.threads.shutdown)
        yield context


def _sign_in(control: Control, settings: ServerSettings) -> None:
    fresh = person_token(LOCAL_TOKEN_ID, new_secret()).encode()
    control.people.ensure_local(private_file(settings.data.local_token, fresh).decode().strip())


def _tls(settings: ServerSettings) -> tuple[Authority | None, Callable[[], TlsFiles] | None]:
    """Return the server's own authority, and what says which certificate is current; None without."""
    if settings.tls == "off":
        return None, None
    if isinstance(given := settings.tls, TlsFiles):
        return None, lambda: given
    authority = Authority(os.path.join(settings.data.server, "tls"))
    return authority, partial(authority.server_files, _names(settings))


def _names(settings: ServerSettings) -> list[str]:
    """Return the names of this server, the one to be told to machines first."""
    if settings.host in _ANY:
        own = [*settings.names, socket.getfqdn(), socket.gethostname(), "localhost", "127.0.0.1", "::1"]
    elif _is_loopback(settings.host):
        own = [settings.host, *settings.names, "localhost", "127.0.0.1", "::1"]
    else:
        own = [*settings.names, settings.host]
    return list(dict.fromkeys(name for name in own if name))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        os.chmod(path, 0o700)
    except OSError as error:
        raise SettingsError(f"cannot use {path}: {error}", hint="--data names a folder of this account") from error
