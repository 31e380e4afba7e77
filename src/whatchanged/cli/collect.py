"""`whatchanged collect KIND`: what the collector sees now, with no state and no server."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.rules import read_document
from whatchanged.errors import SettingsError
from whatchanged.records.windows_paths import path_text

NAME = "collect"
SUMMARY = "What the collector sees now: no state, no server"

_FILES = ("FileSystemPath", "Size", "DateModified", "Attributes", "Acls", "FileContentChecksum")
_SOFTWARE = ("SoftwareName", "CurrentVersion", "Architecture", "Location", "Publisher")
_DAEMONS = ("SvcName", "SvcState", "SvcRunlevels", "SvcController", "SvcPath")
_COLUMNS = {"Files": _FILES, "Software": _SOFTWARE, "Daemons": _DAEMONS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("kind", type=str.capitalize, choices=tuple(_COLUMNS), metavar="KIND", help=", ".join(_COLUMNS))
    parser.add_argument("--rule", metavar="FILE", help="files: the rule that says which (default: the default rule)")
    add_settings(parser, ("root",))


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the collector and write its items as rows of ConfigurationData."""
    return look_now(arguments.kind, load_values(arguments)["root"], arguments.rule, output)


def look_now(kind: str, root: str, rule: str | None, output: Output) -> int:
    """Look at one kind below `root` (files: those of the rule document `rule`), write rows, then what went wrong."""
    if not os.path.isdir(root):
        raise SettingsError(f"{root} is no folder", hint="mount the disk first, and name the folder")
    collectors = {"Files": _files, "Software": _software, "Daemons": _daemons}
    problems: list[str] = []
    output.rows(collectors[kind](rule, os.fsencode(root), problems), _COLUMNS[kind])
    for problem in problems:
        output.message(problem)
    return 0


_NOT_YET = "this kind is not collected on Windows yet"


class _NothingKnown:
    """The last look that never was."""

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Nothing is known of any folder."""
        return {}


def _files(rule: str | None, root: bytes, problems: list[str]) -> Iterator[dict[str, Any]]:
    from whatchanged.collectors.files import FileCollector
    from whatchanged.rules.scope import FileScope

    scope = FileScope(_file_rules(rule, os.fsdecode(root)))
    collector = FileCollector(scope, root=root, known=_NothingKnown(), stop=threading.Event())
    for look in collector.run():
        for looked in look.looked:
            yield {"ConfigDataType": "Files", **looked.item.columns(), "RuleName": ", ".join(looked.rules)}
    say_outcome(collector.outcome, problems)


def _file_rules(file: str | None, root: str) -> list[Any]:
    from whatchanged import rules

    document = rules.DEFAULT_RULE if file is None else read_document(file)
    found = rules.read(document, rules.Variables.load(root))
    return [
        entry for rule in found for source in rule.sources_of(rules.OWN_EXTENSION) for entry in source.settings.files
    ]


def _software(rule: str | None, root: bytes, problems: list[str]) -> Iterator[dict[str, Any]]:
    if sys.platform == "win32":
        raise SettingsError("of Windows there is more than packages", hint="ask `whatchanged inventory software`")
    else:
        from whatchanged.collectors.software import SoftwareCollector

        snapshot = SoftwareCollector(root).run()
        for item in snapshot.items:
            yield {"ConfigDataType": "Software", **item.columns()}
        say_outcome(snapshot.outcome, problems)


def _daemons(rule: str | None, root: bytes, problems: list[str]) -> Iterator[dict[str, Any]]:
    if sys.platform == "win32":
        raise SettingsError(_NOT_YET)
    else:
        from whatchanged.collectors.services import SystemdCollector

        snapshot = SystemdCollector(root=root).run()
        for item in snapshot.items:
            yield {"ConfigDataType": "Daemons", **item.columns()}
        say_outcome(snapshot.outcome, problems)


def say_outcome(outcome: Any, problems: list[str]) -> None:
    """Put what could not be looked at into words."""
    for failure in outcome.failures:
        path = failure.path
        if isinstance(path, bytes):
            path = os.fsencode(path_text(path)).decode(errors="replace")
        problems.append(f"{path}: {failure.reason}")
    if outcome.failures_total > len(outcome.failures):
        problems.append(f"and {outcome.failures_total - len(outcome.failures)} more failures")
    problems.append(f"{outcome.status}: {outcome.seen} items seen, {outcome.failed} failed, {outcome.duration_ms} ms")
