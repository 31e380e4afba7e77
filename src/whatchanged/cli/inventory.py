"""`whatchanged inventory KIND`: what is on the machines now, or was at a time; or on a mounted disk (`--root`).

On Windows, where there is no server, what is on this machine, unless a server is named.
"""

from __future__ import annotations

import argparse
import os
import sys

from whatchanged.cli.changes import positive, say_limit
from whatchanged.cli.collect import look_now
from whatchanged.cli.connection import connect
from whatchanged.cli.moments import moment
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError

NAME = "inventory"
SUMMARY = "What is on the machines"

_DAEMONS = ("Computer", "SvcName", "SvcState", "SvcRunlevels", "SvcController", "SvcPath", "TimeGenerated")
_SOFTWARE = ("Computer", "SoftwareName", "CurrentVersion", "Architecture", "Publisher", "SoftwareType")
_COLUMNS = {
    "files": ("Computer", "FileSystemPath", "Size", "DateModified", "Attributes", "Acls"),
    "software": _SOFTWARE,
    "patches": _SOFTWARE,
    "daemons": _DAEMONS,
    "services": ("Computer", "SvcName", "SvcDisplayName", "SvcState", "SvcStartupType", "SvcAccount", "SvcPath"),
    "registry": ("Computer", "RegistryKey", "ValueName", "ValueType", "ValueData"),
}
_PATCH_TYPES = ("Patch", "Update", "WindowsUpdate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("kind", choices=tuple(_COLUMNS), metavar="KIND", help=", ".join(_COLUMNS))
    add_settings(parser, ("url", "ca"))
    parser.add_argument("--machine", metavar="NAME|ID", help="only of this machine")
    parser.add_argument("--name", help="only items whose name contains this")
    parser.add_argument("--at", type=moment, metavar="TIME", help="as it was then: 24h (ago), or ISO 8601")
    parser.add_argument("--root", metavar="DIR", help="of the system mounted there, without a server")
    parser.add_argument("--rule", metavar="FILE", help="without a server, files and registry: the rule that says which")
    parser.add_argument("--limit", type=positive, metavar="N", help="at most so many (default: 1000; --json: all)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write the inventory."""
    if arguments.root is not None:
        return _offline(arguments, output)
    values = load_values(arguments)
    if sys.platform == "win32" and values["url"] is None:
        from whatchanged.cli.running_windows import look_at_this_windows

        _refuse_questions(arguments, "and none is named", hint="name it with --url")
        return look_at_this_windows(arguments.kind, arguments.rule, output)
    kind = "software" if arguments.kind == "patches" else arguments.kind
    wanted = {"machine": arguments.machine, "name": arguments.name, "at": arguments.at}
    limit = arguments.limit or (None if output.as_json else 1000)
    with connect(values) as server:
        rows = server.pages(f"/api/v1/inventory/{kind}", wanted, None if arguments.kind == "patches" else limit)
        if arguments.kind == "patches":
            rows = (row for row in rows if row.get("SoftwareType") in _PATCH_TYPES)
        count = output.rows(rows, _COLUMNS[arguments.kind])
    say_limit(count, limit, output)
    return 0


def _offline(arguments: argparse.Namespace, output: Output) -> int:
    from whatchanged.cli.mounted_windows import look_at_windows
    from whatchanged.collectors.registry.mounted_files import is_windows

    _refuse_questions(arguments, "--root looks at a disk", hint="give one of the two")
    if is_windows(os.fsencode(arguments.root)):
        return look_at_windows(arguments.kind, arguments.root, arguments.rule, output)
    if arguments.kind not in ("files", "software", "daemons"):
        raise SettingsError(f"{arguments.kind} of a mounted Linux system: there are files, software, daemons")
    return look_now(arguments.kind.capitalize(), arguments.root, arguments.rule, output)


def _refuse_questions(arguments: argparse.Namespace, instead: str, *, hint: str) -> None:
    """Raise SettingsError where something was given that only a server can answer."""
    for name in ("machine", "name", "at", "limit"):
        if getattr(arguments, name) is not None:
            raise SettingsError(f"--{name} asks a server, {instead}", hint=hint)
