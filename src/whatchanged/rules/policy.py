"""The policy: what the machine's administrator lets any rule ask for.

Rules come from the network; this file does not. It belongs to root, and no rule overrides it:

```toml
network_file_systems = false      # may a rule that asks for it look into NFS, CIFS, …?
core_share = 0.25                 # of one core, for looking
bytes_per_second = 50_000_000     # read rate
pressure_aware = true             # less of both while others wait for a processor
command_lines = true              # tell the command lines of processes that make changes: they may hold secrets
audit = false                     # let the kernel's audit tell every execution: all command lines, slower system calls
watch = true                      # notice changes when they happen; false: only with the next poll
excluded_paths = ["/srv/scratch"] # folders and patterns that are never looked at
content_deny = ["/srv/app/keys/*"]   # whose content is never uploaded, beside the built-in list
content_deny_defaults = true         # keep the built-in list of account, key and secret files

[variables]                          # what ${NAME} in the path of a rule stands for, before /etc/environment
APP = "/opt/app"
```
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from whatchanged.errors import RuleError, SettingsError
from whatchanged.rules.items import FileRule, FileType
from whatchanged.rules.patterns import MAX_PATH
from whatchanged.rules.scope import FileScope
from whatchanged.rules.variables import NAME
from whatchanged.rules.windows_patterns import compared, windows_pattern

__all__ = ["CONTENT_DENY", "DEFAULT_PATH", "Policy"]

DEFAULT_PATH = "/etc/whatchanged/policy.toml"
_MAX_SIZE = 2**20
_MAX_PATHS = 1_000

CONTENT_DENY: tuple[bytes, ...] = (
    # accounts
    b"/etc/passwd*",
    b"/etc/group*",
    b"/etc/shadow*",
    b"/etc/gshadow*",
    b"/etc/security/opasswd*",
    b"/var/lib/sss/**",
    b"/var/lib/samba/private/**",
    b"/etc/krb5.keytab*",
    b"/**/*.keytab",
    # keys
    b"/etc/ssh/ssh_host_*_key*",
    b"/**/.ssh/**",
    b"/**/.gnupg/**",
    b"/etc/ssl/private/**",
    b"/etc/pki/tls/private/**",
    b"/etc/letsencrypt/archive/**",
    b"/etc/letsencrypt/live/**",
    b"/etc/letsencrypt/keys/**",
    b"/etc/wireguard/**",
    b"/etc/ipsec.d/private/**",
    b"/etc/swanctl/private/**",
    b"/etc/luks/**",
    b"/etc/cryptsetup-keys.d/**",
    b"/**/*.key",
    b"/**/*.pem",
    b"/**/*.p12",
    b"/**/*.pfx",
    b"/**/*.jks",
    b"/**/*.keystore",
    b"/**/*.kdbx",
    b"/**/id_rsa*",
    b"/**/id_dsa*",
    b"/**/id_ecdsa*",
    b"/**/id_ed25519*",
    # secrets
    b"/etc/*secrets*",
    b"/etc/ppp/*-secrets*",
    b"/etc/NetworkManager/system-connections/**",
    b"/etc/netplan/**",
    b"/etc/wpa_supplicant/**",
    b"/etc/credstore*/**",
    b"/etc/apt/auth.conf*",
    b"/etc/apt/auth.conf.d/**",
    b"/etc/mysql/debian.cnf",
    b"/**/.my.cnf",
    b"/**/.pgpass",
    b"/**/.netrc",
    b"/**/.git-credentials",
    b"/**/.npmrc",
    b"/**/.pypirc",
    b"/**/.env",
    b"/**/.env.*",
    b"/**/.vault-token",
    b"/**/.htpasswd*",
    b"/**/.*_history",
    b"/**/.aws/**",
    b"/**/.azure/**",
    b"/**/.config/gcloud/**",
    b"/**/.docker/config.json",
    b"/**/.kube/**",
    b"/etc/kubernetes/**",
    b"/etc/rancher/**",
    b"/var/lib/whatchanged/**",
    # of Windows, also on a disk of it that is mounted here
    b"/**/Windows/System32/config/**",
    b"/**/Windows/NTDS/**",
    b"/**/Windows/Panther/**",
    b"/**/Windows/System32/Microsoft/Protect/**",
    b"/**/Users/*/NTUSER.DAT*",
    b"/**/AppData/*/Microsoft/Credentials/**",
    b"/**/AppData/*/Microsoft/Crypto/**",
    b"/**/AppData/*/Microsoft/Protect/**",
    b"/**/AppData/*/Microsoft/Vault/**",
    b"/**/ProgramData/Microsoft/Crypto/**",
    b"/**/ProgramData/Microsoft/Vault/**",
    b"/**/ProgramData/ssh/ssh_host_*_key*",
    b"/**/ProgramData/whatchanged/**",
)
"""Files whose content is never uploaded: accounts, keys, secrets. Their changes are still recorded."""


def _scope(paths: Iterable[bytes]) -> FileScope:
    """Every path or pattern, and everything below it."""
    return FileScope(
        [FileRule(name="policy", destination_path=_exact(p), type=FileType.DIRECTORY, recurse=True) for p in paths]
    )


def _container(folder: bytes) -> bytes:
    """Return a folder with its closing slash, as this system compares paths."""
    return compared(folder).rstrip(b"/") + b"/"


def _exact(path: bytes) -> bytes:
    """Return `path` so that `.*` in its last segment is a dot and a wildcard: upstream's reading is for rules only."""
    folder, slash, last = path.rpartition(b"/")
    return folder + slash + last.replace(b".*", b"[.]*")


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds on what rules may ask; the defaults hold when there is no file."""

    network_file_systems: bool = False
    core_share: float = 0.25
    """Share of one core that looking may take, on average."""
    bytes_per_second: int = 50_000_000
    pressure_aware: bool = True
    """Whether looking takes less while others wait for a processor."""
    command_lines: bool = True
    """Whether the command line of a process that made a change is told."""
    audit: bool = False
    """Whether auditing is switched on, so that more is known of who made a change: it slows every system call."""
    watch: bool = True
    """Whether changes are noticed when they happen, by asking the kernel to tell of them."""
    excluded_paths: tuple[bytes, ...] = ()
    content_deny: tuple[bytes, ...] = CONTENT_DENY
    variables: tuple[tuple[str, str], ...] = ()
    """Name and value of what rules may name as `${NAME}`."""
    source: str = ""
    """The file it was read from; empty for the defaults."""
    own_paths: tuple[bytes, ...] = ()
    """Folders of the program's own data: excluded, too, for looking at them changes them."""
    _excluded: FileScope = field(init=False, repr=False, compare=False)
    _denied: FileScope = field(init=False, repr=False, compare=False)
    _own: dict[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Frozen, so the two compiled matchers are put in place the way dataclasses documents.
        object.__setattr__(self, "_excluded", _scope(self.excluded_paths))
        object.__setattr__(self, "_own", {_container(own): own for own in self.own_paths})
        object.__setattr__(self, "_denied", _scope(self.content_deny))

    @classmethod
    def load(cls, path: str = DEFAULT_PATH, *, owner: int = 0) -> Policy:
        """Read the file; without one the defaults hold.

        Raises SettingsError if it is not a regular file of `owner` that only the owner may write, or if anything
        in it is wrong: a policy that is half understood protects nobody.
        """
        content = _read(path, owner)
        return cls() if content is None else cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, source: str) -> Policy:
        """Read the text of a policy; raises SettingsError that lists everything wrong."""
        try:
            values = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{source} is no TOML: {error}") from error
        problems: list[str] = [f"unknown setting {key!r}" for key in values if key not in _KNOWN]
        own = _paths(values, "content_deny", problems)
        keep = _typed(values, "content_deny_defaults", True, problems)
        arguments: dict[str, Any] = {
            "network_file_systems": _typed(values, "network_file_systems", False, problems),
            "core_share": _between(values, "core_share", 0.25, 0.01, 64.0, problems),
            "bytes_per_second": int(_between(values, "bytes_per_second", 50_000_000, 65_536, 1e12, problems)),
            "pressure_aware": _typed(values, "pressure_aware", True, problems),
            "command_lines": _typed(values, "command_lines", True, problems),
            "audit": _typed(values, "audit", False, problems),
            "watch": _typed(values, "watch", True, problems),
            "excluded_paths": _paths(values, "excluded_paths", problems),
            "content_deny": (*CONTENT_DENY, *own) if keep else own,
            "variables": _variables(values, problems),
        }
        if problems:
            raise SettingsError(f"{source}: " + "; ".join(problems))
        return cls(source=source, **arguments)

    def excluded(self, path: bytes) -> bool:
        """Whether `path` is never looked at (nor, for a folder, anything below)."""
        return self._own_above(path) is not None or (bool(self.excluded_paths) and bool(self._excluded.match(path)))

    def excludes_below(self, folder: bytes) -> bool:
        """Whether anything in `folder`, or below, may be excluded."""
        if self.excluded_paths and self._excluded.descend(folder):
            return True
        place = _container(folder) if self._own else b""
        return any(own.startswith(place) or place.startswith(own) for own in self._own)

    def _own_above(self, path: bytes) -> bytes | None:
        """Return the folder of our own data that `path` is or lies in, or None."""
        place = _container(path) if self._own else b""
        return next((shown for own, shown in self._own.items() if place.startswith(own)), None)

    def with_own_paths(self, paths: Iterable[bytes]) -> Policy:
        """Return this policy without these folders of the program's own data either."""
        return dataclasses.replace(self, own_paths=tuple(paths))

    def excluded_by(self, path: bytes) -> bytes | None:
        """Return the entry of `excluded_paths` that keeps `path` out, or None."""
        return self._own_above(path) or next((e for e in self.excluded_paths if _scope([e]).match(path)), None)

    def version(self) -> str:
        """Return a fingerprint of what is excluded (8 hex digits), empty if nothing is."""
        excluded = b"\0".join(sorted((*self.excluded_paths, *self.own_paths)))
        return hashlib.sha256(excluded).hexdigest()[:8] if excluded else ""

    def content_allowed(self, path: bytes) -> bool:
        """Whether the content of `path` may be uploaded when a rule asks for it.

        The path must be the real one: resolve links first.
        """
        return not self._denied.match(path)


_KNOWN = frozenset(
    {
        "network_file_systems",
        "core_share",
        "bytes_per_second",
        "pressure_aware",
        "command_lines",
        "audit",
        "watch",
        "excluded_paths",
        "content_deny",
        "content_deny_defaults",
        "variables",
    }
)


def _read(path: str, owner: int) -> bytes | None:
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"cannot read the policy: {error}", hint=f"make {path} a regular file of root") from error
    try:
        # The descriptor is checked, not the path: the file cannot be exchanged in between.
        _check_owner(path, os.fstat(descriptor), owner)
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read(_MAX_SIZE + 1)
    except OSError as error:
        raise SettingsError(f"cannot read the policy {path}: {error}") from error
    finally:
        os.close(descriptor)
    if len(content) > _MAX_SIZE:
        raise SettingsError(f"{path} is larger than {_MAX_SIZE} bytes")
    return content


def _check_owner(path: str, status: os.stat_result, owner: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"{path} is no regular file")
    if sys.platform == "win32":
        return  # access lists decide there; the installer sets them
    if status.st_uid != owner:
        raise SettingsError(f"{path} belongs to user {status.st_uid}, not to {owner}", hint=f"chown {owner} {path}")
    if status.st_mode & 0o022:
        raise SettingsError(f"{path} can be written by others than its owner", hint=f"chmod go-w {path}")


def _typed(values: dict[str, Any], key: str, default: bool, problems: list[str]) -> bool:
    value = values.get(key, default)
    if not isinstance(value, bool):
        problems.append(f"{key} must be true or false, not {value!r}")
        return default
    return value


def _between(values: dict[str, Any], key: str, default: float, low: float, high: float, problems: list[str]) -> float:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        problems.append(f"{key} must be a number from {low:g} to {high:g}, not {value!r}")
        return default
    return value


def _variables(values: dict[str, Any], problems: list[str]) -> tuple[tuple[str, str], ...]:
    value = values.get("variables", {})
    if not isinstance(value, dict) or len(value) > _MAX_PATHS:
        problems.append(f"variables must be a table of at most {_MAX_PATHS} texts")
        return ()
    for name, text in value.items():
        wrong = not isinstance(text, str) or not text or len(text) > MAX_PATH or not text.isprintable()
        if wrong or not NAME.match(name):
            problems.append(f"variables.{name} must be a name of letters, digits and '_', and a line of text")
    return tuple(sorted((name, str(text)) for name, text in value.items()))


def _pattern(text: str) -> bytes:
    return windows_pattern(text) if sys.platform == "win32" else text.encode("utf-8", "surrogateescape")


def _paths(values: dict[str, Any], key: str, problems: list[str]) -> tuple[bytes, ...]:
    value = values.get(key, [])
    if not isinstance(value, list) or len(value) > _MAX_PATHS:
        problems.append(f"{key} must be a list of at most {_MAX_PATHS} paths")
        return ()
    paths: list[bytes] = []
    for number, text in enumerate(value):
        try:
            path = _pattern(text) if isinstance(text, str) else b""
            _scope([path])
        except (RuleError, ValueError) as error:
            problems.append(f"{key}[{number}] {error}: {text!r}")
        else:
            paths.append(path)
    return tuple(paths)
