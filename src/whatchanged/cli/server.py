"""`whatchanged server`: ingestion, storage, control plane and HTTP interfaces."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from whatchanged.cli.options import SETTINGS, Values, add_settings, load_values, shown_value
from whatchanged.cli.output import Output
from whatchanged.cli.processes import run_process
from whatchanged.errors import SettingsError

if TYPE_CHECKING:
    from whatchanged.server.process import ServerSettings, TlsFiles
    from whatchanged.server.settings_in_force import SettingsInForce

NAME = "server"
SUMMARY = "Run the server: takes records in, keeps them, answers questions"

SERVER_PACKAGES = ("alembic", "chdb", "clickhouse_connect", "cryptography", "litestar", "sqlalchemy", "uvicorn")
_SERVER_SETTINGS = (
    "address",
    "port",
    "server_names",
    "tls_certificate",
    "tls_key",
    "tls",
    "public_url",
    "database",
    "telemetry",
    "backups",
    "queries_at_once",
    "queries_of_one",
    "queries_waiting",
    "queries_rate",
    "query_memory",
    "retention_changes",
    "retention_inventory",
    "retention_health",
    "retention_heartbeats",
)
_RETENTION = {
    "ConfigurationChange": "retention_changes",
    "ConfigurationData": "retention_inventory",
    "TrackingHealth": "retention_health",
    "Heartbeat": "retention_heartbeats",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, _SERVER_SETTINGS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run until stopped."""
    require_server_packages()
    values = load_values(arguments)

    def load() -> Callable[[threading.Event], int]:
        from whatchanged.server.process import run as run_server
        from whatchanged.server.storage import load_engine

        settings = server_settings(values)
        load_engine(settings.telemetry)
        return lambda stop: run_server(settings, stop)

    return run_process(values, load)


def require_server_packages() -> None:
    """Raise SettingsError when this is the base install, which is the agents only."""
    if sys.platform == "win32":
        raise SettingsError("the server runs on Linux only", hint="this machine can be tracked: `whatchanged enroll`")
    missing = [name for name in SERVER_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"this is the base install, without the server ({', '.join(missing)} missing)",
            hint=f"{sys.executable} -m pip install 'whatchanged[server]'",
        )


def server_settings(values: Values) -> ServerSettings:
    """Return the server's own form of the settings."""
    from whatchanged.server.process import ServerSettings
    from whatchanged.server.query import Limits

    return ServerSettings(
        data=values.data,
        host=values["address"],
        port=values["port"],
        tls=_tls(values),
        names=values["server_names"],
        public_url=values["public_url"],
        telemetry=values["telemetry"] or "",
        control=values["database"] or "",
        backups=values["backups"] or "",
        questions=Limits(
            at_once=values["queries_at_once"],
            of_one_at_once=values["queries_of_one"],
            of_one_waiting=values["queries_waiting"],
            of_one_in_window=values["queries_rate"],
            memory=values["query_memory"],
        ),
        in_force=_in_force(values),
    )


def _in_force(values: Values) -> SettingsInForce:
    from whatchanged.server.settings_in_force import SettingsInForce, ShownSetting

    known = {setting.name: setting for setting in SETTINGS}
    return SettingsInForce(
        shown=tuple(
            ShownSetting(
                name=setting.name,
                value=shown_value(setting, values),
                default=setting.default,
                unit=setting.unit,
                help=setting.help,
                source=values.sources.get(setting.name, "default"),
                environment=setting.environment,
            )
            for setting in (known[name] for name in ("data", *_SERVER_SETTINGS, "log_level"))
        ),
        fixed_retention={table: values[name] for table, name in _RETENTION.items() if values[name] is not None},
        retention_names=_RETENTION,
    )


def _tls(values: Values) -> Literal["auto", "off"] | TlsFiles:
    from whatchanged.server.process import TlsFiles

    certificate, key = values["tls_certificate"], values["tls_key"]
    if bool(certificate) != bool(key):
        raise SettingsError("tls_certificate and tls_key go together")
    if certificate:
        return TlsFiles(certificate, key)
    return "auto" if values["tls"] else "off"
