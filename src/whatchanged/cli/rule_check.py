"""`whatchanged rules check FILE`: what is wrong with a rule, and what it would match on this machine.

Needs neither a server nor a tracker: it looks as whoever runs it, and says what it may not read.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from whatchanged.cli.options import Values, add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.errors import SettingsError
from whatchanged.records.windows_paths import path_text

if TYPE_CHECKING:
    from whatchanged import rules
    from whatchanged.collectors import Outcome
    from whatchanged.tracker.runner import WholeSnapshot

__all__ = ["add_check_arguments", "check", "problem_rows"]

_PROBLEMS = ("RuleName", "Severity", "Place", "Message")
_COUNTS = ("RuleName", "Kind", "Path", "Enabled", "Items", "Bytes", "Denied", "Detail")
_PROGRESS_SECONDS = 0.5
_SHOWN = 10


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the action."""
    parser.add_argument("file", metavar="FILE|-")
    parser.add_argument("--no-count", action="store_true", help="only read the document; do not look at this machine")
    add_settings(parser, ("root", "policy"))


def check(document: bytes, arguments: argparse.Namespace, output: Output) -> int:
    """Write the document's problems, then what each part of it takes here; fails when it has an error."""
    from whatchanged import rules

    values = load_values(arguments)
    counted = not arguments.no_count
    policy, trouble = _policy(values) if counted else (rules.Policy(), [])
    if counted:
        policy = policy.with_own_paths(_own_paths(values))
    variables = rules.Variables.load(values["root"], dict(policy.variables)) if counted else None
    found = rules.read(document, variables)
    problems = [*problem_rows(found), *trouble]
    wrong = any(row["Severity"] == "error" for row in problems)
    counts = list(_counts(found, policy, values["root"], output)) if counted else []
    if output.as_json:
        output.rows([*problems, *counts])
        return int(wrong)
    output.rows(problems, _PROBLEMS, empty="The rule is sound.")
    if counts:
        if problems:
            output.line("")
        output.rows([{**row, "Denied": row["DeniedTotal"] or ""} for row in counts], _COUNTS)
        _say_denied(counts, output)
    return int(wrong)


def problem_rows(found: Sequence[rules.Rule]) -> list[dict[str, Any]]:
    """Return the problems of rules as rows."""
    return [
        {
            "RuleName": rule.name,
            "Severity": problem.severity.value,
            "Place": problem.place,
            "Message": problem.message,
        }
        for rule in found
        for problem in rule.problems
    ]


def _policy(values: Values) -> tuple[rules.Policy, list[dict[str, Any]]]:
    """Return the policy of this machine; the defaults, and a warning, where it cannot be read."""
    from whatchanged import rules

    try:
        return rules.Policy.load(values["policy"]), []
    except SettingsError as error:
        message = f"{error.message}: counted by the default policy"
        return rules.Policy(), [{"RuleName": "", "Severity": "warning", "Place": values["policy"], "Message": message}]


def _own_paths(values: Values) -> list[bytes]:
    from whatchanged.tracker.settings import TrackerSettings

    return TrackerSettings(data=values.data, root=values["root"]).own_paths()


def _counts(found: Sequence[rules.Rule], policy: rules.Policy, root: str, output: Output) -> Iterator[dict[str, Any]]:
    """Yield what each part of the rules for this system takes."""
    from whatchanged.collectors.files import be_idle
    from whatchanged.rules import OWN_EXTENSION

    if not os.path.isdir(root):
        raise SettingsError(f"{root} is no folder", hint="mount the disk first, and name the folder")
    be_idle()
    settings = [(source.name, source.settings) for rule in found for source in rule.sources_of(OWN_EXTENSION)]
    wanted = [item for _, one in settings if one.enable_files for item in one.files]
    yield from _files(wanted, policy, os.fsencode(root), output)
    if sys.platform == "win32" and root != "/":
        output.message("Software, services and registry are those of the machine that runs: they are not counted.")
        return
    for kind, asking, look in (
        ("Software", [name for name, one in settings if one.enable_software], _software),
        (_SERVICES, [name for name, one in settings if one.enable_services], _services),
    ):
        if asking:
            _progress(output, f"looking at {kind.lower()}")
            snapshot = look(os.fsencode(root))
            for name in asking:
                yield _row(name, kind, "", True, len(snapshot.items), None, _failures(snapshot.outcome))
    if sys.platform == "win32":
        yield from _values([item for _, one in settings if one.enable_registry for item in one.registry], output)


if sys.platform == "win32":
    _SERVICES = "Services"

    def _software(root: bytes) -> WholeSnapshot:
        from whatchanged.collectors.software.windows_software import WindowsSoftware

        return WindowsSoftware().run()

    def _services(root: bytes) -> WholeSnapshot:
        from whatchanged.collectors.services.service_manager import ServiceManager

        return ServiceManager().run()

    def _values(wanted: Sequence[rules.RegistryRule], output: Output) -> Iterator[dict[str, Any]]:
        import msgspec

        from whatchanged.collectors.registry.collector import RegistryCollector
        from whatchanged.collectors.registry.live import LiveRegistry

        for rule in wanted:
            _progress(output, f"looking at {rule.key_name}")
            collector = RegistryCollector(LiveRegistry(), [msgspec.structs.replace(rule, enabled=True)])
            count = sum(1 for _ in collector.run())
            row = _row(rule.name, "Registry", rule.key_name, rule.enabled, count, None, _failures(collector.outcome))
            yield {**row, "Detail": "" if count else "matches nothing here"}

else:
    _SERVICES = "Daemons"

    def _software(root: bytes) -> WholeSnapshot:
        from whatchanged.collectors.software import SoftwareCollector

        return SoftwareCollector(root).run()

    def _services(root: bytes) -> WholeSnapshot:
        from whatchanged.collectors.services import SystemdCollector

        return SystemdCollector(root).run()


def _files(
    wanted: Sequence[rules.FileRule], policy: rules.Policy, root: bytes, output: Output
) -> Iterator[dict[str, Any]]:
    from whatchanged.tracker.preview import count_files

    told = time.monotonic()

    def progress(seen: int) -> None:
        nonlocal told
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            _progress(output, f"{seen} files so far")

    if not wanted:
        return
    counts, outcome = count_files(wanted, root, policy, threading.Event(), progress=progress)
    for count in counts:
        rule = count.rule
        row = _row(
            rule.name,
            "Files",
            os.fsencode(path_text(rule.destination_path)).decode(errors="backslashreplace"),
            rule.enabled,
            count.files,
            count.size,
            count.denied,
        )
        detail = ""
        if not count.files:
            detail = f"matches nothing here{': ' if count.obstacle else ''}{count.obstacle}"
        yield {**row, "DeniedTotal": count.denied_total, "Detail": detail, "Place": rule.place}
    if outcome.failures_total > len(outcome.failures):
        output.message(f"{outcome.failures_total} files and folders could not be looked at; not all are named")


def _row(
    name: str, kind: str, path: str, enabled: bool, items: int, size: int | None, denied: Sequence[str]
) -> dict[str, Any]:
    return {
        "RuleName": name,
        "Kind": kind,
        "Path": path,
        "Enabled": enabled,
        "Items": items,
        "Bytes": size,
        "Denied": list(denied),
        "DeniedTotal": len(denied),
        "Detail": "",
        "Place": "",
    }


def _progress(output: Output, text: str) -> None:
    if sys.stderr.isatty():
        output.progress(text)


def _failures(outcome: Outcome) -> list[str]:
    return [f"{path_text(failure.path)}: {failure.reason}" for failure in outcome.failures]


def _say_denied(counts: Sequence[dict[str, Any]], output: Output) -> None:
    """Name what could not be read, to people."""
    denied = list(dict.fromkeys(entry for row in counts for entry in row["Denied"]))
    for entry in denied[:_SHOWN]:
        output.message(f"denied: {entry}")
    if len(denied) > _SHOWN:
        output.message(f"and {len(denied) - _SHOWN} more (--json names them)")
    if denied and sys.platform != "win32" and os.geteuid() != 0:
        output.message("The tracker runs as root: it may read what this account may not.")
