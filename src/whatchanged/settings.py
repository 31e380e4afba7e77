"""Settings: a value with a name, a default, a unit and a help text.

Precedence: command line > environment (`WHATCHANGED_<NAME>`) > TOML file > default. Loading reports every
problem at once, so that an operator mends a file in one go.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from whatchanged.errors import SettingsError

__all__ = [
    "DataFolder", "Loaded", "Setting", "boolean", "load", "positive_float", "positive_int", "text", "whole_number",
]  # fmt: skip


def text(value: object) -> str:
    """Accept a string."""
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - collected and reported as a setting's problem
    return value


def positive_int(value: object) -> int:
    """Accept a whole number of at least 1, also as text."""
    return whole_number(value, 1, None, "must be a whole number of at least 1")


def whole_number(value: object, least: int, most: int | None, words: str) -> int:
    """Accept a whole number from `least` to `most`, also as text; else raise ValueError with `words`."""
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else least - 1
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        raise ValueError(words)
    return number


def positive_float(value: object) -> float:
    """Accept a number above 0, also as text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        number = 0.0
    if not number > 0:
        raise ValueError("must be a number above 0")
    return number


def boolean(value: object) -> bool:
    """Accept true/false, yes/no, on/off, 1/0."""
    if isinstance(value, bool):
        return value
    known = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `parse` turns a raw value (text, or a TOML value) into the typed one or raises ValueError."""

    name: str
    default: Any
    parse: Callable[[object], Any]
    help: str
    unit: str = ""
    secret: bool = False
    """It has no flag, and its value is never shown."""

    @property
    def environment(self) -> str:
        """Name of the environment variable, such as `WHATCHANGED_DATA`."""
        return "WHATCHANGED_" + self.name.upper().replace("-", "_")


class Loaded(NamedTuple):
    """Values of settings by name, and where they come from."""

    values: dict[str, Any]
    sources: dict[str, str]
    """`command line`, the environment variable, or the file; a setting that is not named has its default."""


def load(
    settings: Sequence[Setting],
    *,
    flags: Mapping[str, object | None],
    file: str | None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the value of every setting.

    `flags` holds what the command line gave (None = not given); `file` a TOML path or None.
    Raises SettingsError that lists every unknown key and every bad value.
    """
    environment = os.environ if environment is None else environment
    from_file = _read(file) if file else {}
    problems = [f"{file}: unknown setting {key!r}" for key in from_file if key not in {s.name for s in settings}]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in settings:
        raw, source = _raw(setting, flags, environment, from_file, file)
        if source is None:
            values[setting.name] = setting.default
            continue
        try:
            values[setting.name] = setting.parse(raw)
            sources[setting.name] = source
        except ValueError as error:
            problems.append(f"{source}: {setting.name} {error}" + ("" if setting.secret else f", not {raw!r}"))
    if problems:
        raise SettingsError("; ".join(problems))
    return Loaded(values, sources)


def _raw(
    setting: Setting,
    flags: Mapping[str, object | None],
    environment: Mapping[str, str],
    from_file: Mapping[str, object],
    file: str | None,
) -> tuple[object, str | None]:
    if (flag := flags.get(setting.name)) is not None:
        return flag, "command line"
    if (variable := environment.get(setting.environment)) is not None:
        return variable, setting.environment
    if setting.name in from_file:
        return from_file[setting.name], file
    return None, None


def _read(file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"cannot read settings: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no TOML: {error}") from error


if sys.platform == "win32":

    def _program_data() -> str:
        """Return %ProgramData% as Windows knows it: the variable may be missing, or whatever a caller set."""
        path = ctypes.create_unicode_buffer(260)  # MAX_PATH
        status = ctypes.windll.shell32.SHGetFolderPathW(None, _CSIDL_COMMON_APPDATA, None, 0, path)
        if status != 0:
            raise SettingsError(f"Windows does not say where %ProgramData% is ({status & 0xFFFF_FFFF:#x})")
        return path.value

    _CSIDL_COMMON_APPDATA = 0x23


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The data folder: where everything of one installation stands (docs/formats/data-folder.md).

    The default is `/var/lib/whatchanged` for root, else the user's state folder
    (XDG base directory specification); on Windows `%ProgramData%\\whatchanged`.
    """

    path: str

    @classmethod
    def default(cls) -> DataFolder:
        """Return the folder used when nothing else is said."""
        if sys.platform == "win32":
            return cls(os.path.join(_program_data(), "whatchanged"))
        if os.geteuid() == 0:
            return cls("/var/lib/whatchanged")
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return cls(os.path.join(state, "whatchanged"))

    @property
    def tracker(self) -> str:
        """The tracker's folder: only its account may enter."""
        return os.path.join(self.path, "tracker")

    @property
    def tracker_database(self) -> str:
        """`changetracking.db`."""
        return os.path.join(self.tracker, "db", "changetracking.db")

    @property
    def tracker_exports(self) -> str:
        """Folder of `File.json` and the other exports."""
        return os.path.join(self.tracker, "export")

    @property
    def tracker_scratch(self) -> str:
        """Folder of copies that live for the time of one look: the tracker may write nowhere else."""
        return os.path.join(self.tracker, "scratch")

    @property
    def tracker_control_socket(self) -> str:
        """Socket of `status`, `scan`, `why`."""
        return os.path.join(self.tracker, "control.socket")

    @property
    def pipe_folder(self) -> str:
        """Folder of the socket on which tracker and forwarder meet."""
        return os.path.join(self.path, "pipe")

    @property
    def pipe_socket(self) -> str:
        """The socket itself, by its upstream name."""
        return os.path.join(self.pipe_folder, "default_fluent.socket")

    @property
    def forwarder(self) -> str:
        """The forwarder's folder: identity, configuration, local store."""
        return os.path.join(self.path, "forwarder")

    @property
    def server(self) -> str:
        """The server's folder."""
        return os.path.join(self.path, "server")

    @property
    def local_token(self) -> str:
        """Owner token for commands of the same user, mode 0600."""
        return os.path.join(self.server, "local.token")
