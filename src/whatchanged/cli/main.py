"""The command line: finds the command, runs it, and turns what went wrong into a message and an exit code.

Command modules are light to import; what is heavy (network client, server, collectors) they import when they run.
So `whatchanged tracker` never loads a network client, and `whatchanged --help` is quick.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

import whatchanged
from whatchanged.cli import (
    backup,
    changes,
    collect,
    doctor,
    enroll,
    forwarder,
    install,
    inventory,
    machines,
    query,
    restore,
    rules,
    scan,
    senders,
    server,
    service,
    status,
    tokens,
    tracker,
    uninstall,
    up,
    users,
    why,
)
from whatchanged.cli.options import add_common, add_common_to_actions
from whatchanged.cli.output import Output
from whatchanged.errors import OperationError, SettingsError, WhatchangedError

__all__ = ["COMMANDS", "main", "parser"]


class Command(Protocol):
    """What a module of a command offers."""

    NAME: str
    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace, output: Output) -> int:
        """Do it; return the exit code."""


COMMANDS: tuple[Command, ...] = (
    up,
    server,
    forwarder,
    tracker,
    service,
    install,
    uninstall,
    enroll,
    changes,
    inventory,
    query,
    machines,
    status,
    scan,
    collect,
    why,
    rules,
    tokens,
    users,
    senders,
    backup,
    restore,
    doctor,
)


class _Parser(argparse.ArgumentParser):
    """Writes its complaint without control characters: an argument may be a hostile file name."""

    def error(self, message: str) -> NoReturn:
        Output().error(message, hint=f"see {self.prog} --help")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = _Parser(
        prog="whatchanged",
        description="What changed on my machines, when, by whom, and what is on them now?",
    )
    top.add_argument("--version", action="version", version=f"whatchanged {whatchanged.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.SUMMARY, description=command.SUMMARY)
        add_common(sub)
        command.add_arguments(sub)
        add_common_to_actions(sub)
        sub.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = parser().parse_args(argv)
    output = Output(as_json=arguments.json)
    try:
        code: int = arguments.run(arguments, output)
        sys.stdout.flush()
    except SettingsError as error:
        output.error(error.message, hint=error.hint)
        return 2
    except OperationError as error:
        output.error(str(error), hint=error.hint)
        return 1
    except WhatchangedError as error:
        output.error(str(error))
        return 1
    except OSError as error:
        # Python would complain once more when it flushes at exit what could not be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader (`| head`) went away and wants no words
            output.error(str(error))
        return 1
    except KeyboardInterrupt:
        output.message("interrupted")
        return 130
    return code
