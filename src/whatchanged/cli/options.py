"""The settings of every command, in one tuple: a settings file is shared by all of them.

Precedence: flags, `WHATCHANGED_<NAME>`, the TOML file (`--config`, else `DEFAULT_FILE` if it exists).
Secrets have no flag: anyone may read the command line of a process (/proc/<pid>/cmdline).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from whatchanged.errors import SettingsError
from whatchanged.settings import DataFolder, Setting, boolean, load, positive_float, positive_int, text, whole_number

__all__ = [
    "DEFAULT_FILE",
    "SETTINGS",
    "SETTINGS_FOLDER",
    "Values",
    "add_common",
    "add_common_to_actions",
    "add_settings",
    "load_values",
    "read_secret",
    "shown_value",
]

SETTINGS_FOLDER = DataFolder.default().path if sys.platform == "win32" else "/etc/whatchanged"
"""Where the machine's settings and its policy stand."""
DEFAULT_FILE = os.path.join(SETTINGS_FOLDER, "config.toml")
_DSNS = ("database", "telemetry", "proxy")
_SIZE = re.compile(r"(\d{1,15})\s*([KMGT]i?B?)?\Z", re.ASCII | re.IGNORECASE)
_SIZE_STEPS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SECRET_LIMIT = 64 * 1024
_SID = re.compile(r"S-1-\d+(-\d+)+\Z", re.ASCII | re.IGNORECASE)
_ACCOUNT_WORDS = ("a SID (S-1-5-…)", "SIDs") if sys.platform == "win32" else ("a numeric user id", "numeric user ids")


def _port(value: object) -> int:
    return whole_number(value, 0, 65_535, "must be a port from 0 (any free one) to 65535")


def _days(value: object) -> int:
    return whole_number(value, 1, 36_500, "must be a number of days from 1 to 36500; leave it out to keep everything")


def _size(value: object) -> int:
    match = _SIZE.match(str(value).strip())
    if match is None or isinstance(value, bool) or int(match[1]) < 1:
        raise ValueError("must be a size such as 500MB or 2GiB")
    size: int = int(match[1]) * 1024 ** _SIZE_STEPS[(match[2] or "")[:1].upper()]
    return size


def _level(value: object) -> str:
    level = str(value).upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return level


def _names(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be names separated by commas")
    return tuple(part.strip() for part in parts if part.strip())


def _account(value: object, words: str = f"must be {_ACCOUNT_WORDS[0]}") -> int | str:
    if sys.platform != "win32":
        return whole_number(value, 0, 2**32 - 2, words)
    if not isinstance(value, str) or _SID.match(value.strip()) is None:
        raise ValueError(words)
    return value.strip().upper()


def _accounts(value: object) -> tuple[int | str, ...]:
    words = f"must be {_ACCOUNT_WORDS[1]} separated by commas"
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise ValueError(words)  # noqa: TRY004 - collected by settings.load
    return tuple(_account(part, words) for part in parts)


_POLICY = os.path.join(SETTINGS_FOLDER, "policy.toml")

SETTINGS: tuple[Setting, ...] = (
    Setting("data", None, text, "data folder (default: /var/lib/whatchanged for root, else the user's state folder)"),
    Setting("log_level", "INFO", _level, "DEBUG, INFO, WARNING or ERROR"),
    # Commands that ask a server
    Setting("url", None, text, "address of the server to ask (default: the local installation)"),
    Setting("token", None, text, "token for that server", secret=True),
    Setting("ca", None, text, "file with the certificate authority of that server (PEM)"),
    # Server
    Setting("address", "127.0.0.1", text, "address the server listens on"),
    Setting("port", 8350, _port, "port the server listens on; 0 = any free one"),
    Setting("server_names", (), _names, "further names and addresses in the server's own certificate"),
    Setting("tls_certificate", None, text, "certificate chain of the server (PEM); default: one of its own making"),
    Setting("tls_key", None, text, "key of that certificate (PEM)"),
    Setting("tls", True, boolean, "false: plain http, on loopback addresses only"),
    Setting("public_url", "", text, "where machines reach the server, if not by its address and port"),
    Setting("backups", None, text, "folder for backups; default: backups in the server's folder"),
    Setting("database", None, text, "control plane database (SQLAlchemy URL); default: SQLite in the data folder"),
    Setting("telemetry", None, text, "ClickHouse DSN; default: chDB in the data folder"),
    Setting("retention_changes", None, _days, "how long changes are kept; default: as the portal says", "days"),
    Setting("retention_inventory", None, _days, "how long superseded inventory is kept; likewise", "days"),
    Setting("retention_health", None, _days, "how long health records are kept; likewise", "days"),
    Setting("retention_heartbeats", None, _days, "how long heartbeats are kept; likewise", "days"),
    Setting("queries_at_once", 6, positive_int, "queries that run at once, of all askers"),
    Setting("queries_of_one", 5, positive_int, "queries of one token that run at once; more wait for their turn"),
    Setting("queries_waiting", 200, positive_int, "queries of one token that wait for their turn; more are refused"),
    Setting("queries_rate", 200, positive_int, "queries of one token in 30 seconds; more are refused"),
    Setting("query_memory", 2 * 1024**3, _size, "memory that one query may take", "bytes"),
    # Forwarder
    Setting("store_quota", 10_000 * 1024**2, _size, "space for records not uploaded yet", "bytes"),
    Setting("proxy", None, text, "proxy for the way to the server; default: HTTPS_PROXY"),
    Setting("foreign_uids", (), _accounts, "accounts whose programs may send records of their own"),
    # Tracker
    Setting("root", "/", text, "root of the system to look at"),
    Setting("policy", _POLICY, text, "policy file that bounds what rules may ask"),
    Setting("outbox_quota", 512 * 1024**2, _size, "space for records not handed over yet", "bytes"),
    Setting("core_share", None, positive_float, "share of one core for looking at files, at most the policy's"),
    Setting("bytes_per_second", None, _size, "rate of reading files, at most the policy's", "bytes"),
    Setting("computer", None, text, "name of this machine in the records; default: its host name"),
    Setting("instance", "", text, "suffix of an instance beside the machine's main one"),
    Setting("forwarder_uid", None, _account, "account of the forwarder; default: that of the pipe's folder"),
    Setting("tracker_uid", None, _account, "account of the tracker; default: that of the tracker's folder"),
    Setting("main_instance", False, boolean, "serve the upstream names of the pipe, as the one instance of a machine"),
)


@dataclass(frozen=True, slots=True)
class Values:
    """Loaded settings by name."""

    by_name: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    """Where a value comes from, if it is not the default."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of the setting `name`."""
        return self.by_name[name]

    @property
    def data(self) -> DataFolder:
        """The data folder."""
        given = self.by_name["data"]
        return DataFolder(os.path.abspath(given)) if given else DataFolder.default()


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes."""
    _add_common(parser)


def add_common_to_actions(parser: argparse.ArgumentParser) -> None:
    """Let the actions of a command take the common flags too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _add_common(sub)
                # Without defaults: they would overwrite what stood before the action.
                for option in sub._actions:
                    if option.dest in ("json", "config", "data", "log_level"):
                        option.default = argparse.SUPPRESS


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("common")
    group.add_argument("--json", action="store_true", help="one JSON array of rows instead of a table")
    group.add_argument("--config", metavar="FILE", help=f"TOML file of settings (default: {DEFAULT_FILE} if it exists)")
    add_settings(group, ("data", "log_level"))


def add_settings(parser: argparse._ActionsContainer, names: Sequence[str]) -> None:
    """Add a flag for each of the settings."""
    by_name = {setting.name: setting for setting in SETTINGS}
    for name in names:
        setting = by_name[name]
        default = f" (default: {setting.default})" if setting.default not in (None, "", (), False) else ""
        parser.add_argument(
            "--" + name.replace("_", "-"),
            metavar="VALUE",
            help=(setting.help + default + f" [{setting.environment}]").replace("%", "%%"),
        )


def load_values(arguments: argparse.Namespace) -> Values:
    """Load all settings for a command; raises SettingsError."""
    file = arguments.config or (DEFAULT_FILE if os.path.exists(DEFAULT_FILE) else None)
    given = vars(arguments)
    flags = {s.name: given.get(s.name) for s in SETTINGS if not s.secret}
    for name in _DSNS:
        if re.search(r"://[^/@]*:[^/@]+@", str(flags[name] or "")):
            raise SettingsError(
                f"a password in --{name} could be read by every process of this machine",
                hint=f"give it by WHATCHANGED_{name.upper()} or in the file of settings",
            )
    loaded = load(SETTINGS, flags=flags, file=file)
    return Values(loaded.values, loaded.sources)


def shown_value(setting: Setting, values: Values) -> Any:
    """Return the value of a setting as people may see it: of a DSN neither password nor options."""
    if setting.secret:
        return None
    if setting.name == "data":
        return values.data.path
    value = values[setting.name]
    if setting.name in _DSNS and isinstance(value, str):
        scheme, _, rest = value.partition("://")
        if "?" in rest[: rest.rfind("@") + 1]:
            return f"{scheme}://…"  # of the password, or of the options: nobody can tell
        return re.sub(r"\?.*", "?…", re.sub(r"://.*@", "://…@", value, flags=re.DOTALL), flags=re.DOTALL)
    return value


def read_secret(source: str | None, variable: str) -> str:
    """Return a secret from the file `source`, `-` for standard input, or else the environment `variable`."""
    if source is None:
        secret = os.environ.get(variable, "")
        where = variable
    elif source == "-":
        secret = sys.stdin.buffer.read(_SECRET_LIMIT).decode("ascii", "replace")
        where = "standard input"
    else:
        where = source
        try:
            with open(source, encoding="ascii") as stream:
                secret = stream.read(_SECRET_LIMIT)
        except (OSError, ValueError) as error:
            raise SettingsError(f"cannot read the token file: {error}") from error
    if not secret.strip():
        hint = f"give it by --token-file FILE, --token-file - or {variable}"
        raise SettingsError(f"no token in {where}", hint=hint)
    return secret.strip()
