"""`whatchanged query`: ask in KQL, once or line after line."""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from whatchanged.cli.connection import Connection, connect
from whatchanged.cli.options import add_settings, load_values
from whatchanged.cli.output import Output
from whatchanged.cli.saved_queries import add_saved_arguments, answer_of, list_saved, parameters_of, remove, save
from whatchanged.errors import OperationError, ServerError, SettingsError
from whatchanged.logs import printable

NAME = "query"
SUMMARY = "Ask in KQL"

_PATH = "/v1/workspaces/default/query"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the begin of a formula (OWASP, CSV injection)."""
_HISTORY = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_settings(parser, ("url", "ca"))
    parser.add_argument("query", nargs="?", metavar="KQL", help="the query; -: from standard input; none: ask for it")
    parser.add_argument("--file", metavar="FILE", help="read the query from a file")
    parser.add_argument("--timespan", metavar="SPAN", help="only this time: P1D, PT2H, or start/end in ISO 8601")
    parser.add_argument("--csv", action="store_true", help="write comma-separated values, harmless to spreadsheets")
    add_saved_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write the answer; without a query on a terminal, ask for queries until the end of the input."""
    if arguments.csv and output.as_json:
        raise SettingsError("--csv and --json do not go together")
    if arguments.query is not None and arguments.file is not None:
        raise SettingsError("give the query or --file, not both")
    named = arguments.saved or arguments.list or arguments.remove
    if named and (arguments.query is not None or arguments.file is not None):
        raise SettingsError("give a query, or say what to do with a saved one, not both")
    with connect(load_values(arguments)) as server:
        if arguments.list:
            return list_saved(server, output)
        if arguments.remove:
            return remove(server, arguments, output)
        if arguments.saved:
            return _tried(lambda: _write(answer_of(server, arguments), arguments, output), output)
        text = _text(arguments)
        if text is not None and arguments.save:
            return _tried(lambda: save(server, text, arguments, output), output)
        if text is not None:
            return _tried(lambda: _answer(server, text, arguments, output), output)
        if arguments.save:
            raise SettingsError("there is no query to save", hint="give it, name a --file, or - for standard input")
        return _interactive(server, arguments, output)


def _tried(do: Callable[[], int], output: Output) -> int:
    """Do something with a query, or say what is wrong with it, with the mark below its place."""
    try:
        return do()
    except ServerError as error:
        if error.status != 400:
            raise
        first, *rest = error.message.split("\n")
        output.error(first)
        for line in rest:
            output.message(line)
        return 1


def _text(arguments: argparse.Namespace) -> str | None:
    """Return the query that was given; None: it is to be asked for."""
    if arguments.file is not None:
        try:
            with open(arguments.file, encoding="utf-8") as stream:
                return stream.read()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read {arguments.file}: {error}") from error
    if arguments.query == "-" or (arguments.query is None and not sys.stdin.isatty()):
        return sys.stdin.read()
    text: str | None = arguments.query
    return text


def _answer(server: Connection, text: str, arguments: argparse.Namespace, output: Output) -> int:
    body = {"query": text, "timespan": arguments.timespan, "parameters": parameters_of(arguments)}
    return _write(server.post(_PATH, body), arguments, output)


def _write(answer: Any, arguments: argparse.Namespace, output: Output) -> int:
    table = answer["tables"][0]
    names = [column["name"] for column in table["columns"]]
    if arguments.csv:
        _write_csv(names, table["rows"])
    else:
        rows = (dict(zip(names, row, strict=True)) for row in table["rows"])
        output.rows(rows, names, empty="No rows.")
    if "error" in answer:
        details = "; ".join(detail["message"] for detail in answer["error"].get("details", []))
        output.message(f"This is not everything: {details or answer['error']['message']}.")
    return 0


def _write_csv(names: list[str], rows: list[list[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(_cell, names))
    for row in rows:
        writer.writerow(map(_cell, row))


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, and no terminal for a command."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


# Line after line


def _interactive(server: Connection, arguments: argparse.Namespace, output: Output) -> int:
    """Ask for queries; an empty line, or one that ends with `;`, sends what was written. Ctrl-D ends."""
    with _Editing(server) as editing:
        output.message("KQL; an empty line or ; sends it, Tab completes, Ctrl-D ends.")
        for text in _written(editing.lines):
            try:
                _tried(functools.partial(_answer, server, text, arguments, output), output)
            except OperationError as error:
                output.error(error.message, hint=error.hint)
    return 0


def _written(lines: list[str]) -> Iterator[str]:
    """Yield what is written; `lines` are those of the query that is not complete yet."""
    while True:
        try:
            line = input("... " if lines else "kql> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            lines.clear()
            sys.stderr.write("\n")
            continue
        finished = not line.strip() or line.rstrip().endswith(";")
        if line.strip():
            lines.append(line)
        if finished and lines:
            text = "\n".join(lines)
            lines.clear()
            yield text


def _readline() -> Any:
    """Return the module that edits lines, if this Python has it."""
    try:
        import readline
    except ImportError:
        return None
    return readline


class _Editing:
    """History and completion, where Python has readline."""

    def __init__(self, server: Connection) -> None:
        self._server = server
        self.lines: list[str] = []
        """What was written before the line that is being edited."""
        self._found: list[str] = []
        folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        self._history = os.path.join(folder, "whatchanged", "query-history")

    def __enter__(self) -> _Editing:
        if sys.platform != "win32" and (readline := _readline()) is not None:
            readline.set_completer(self._complete)
            readline.set_completer_delims(" \t\n|(),=<>!~.'\"[]")
            readline.parse_and_bind("tab: complete")
            readline.set_history_length(_HISTORY)
            with contextlib.suppress(OSError):  # there is none yet, or it is not to be read
                readline.read_history_file(self._history)
        return self

    def __exit__(self, *_: object) -> None:
        if sys.platform != "win32" and (readline := _readline()) is not None:
            with contextlib.suppress(OSError):  # a home that cannot be written has no history
                os.makedirs(os.path.dirname(self._history), mode=0o700, exist_ok=True)
                readline.write_history_file(self._history)
                os.chmod(self._history, 0o600)

    def _complete(self, _word: str, state: int) -> str | None:
        if state == 0:  # the others of the same place follow
            readline = _readline()
            before = "\n".join([*self.lines, ""])
            self._found = self._suggested(
                before, readline.get_line_buffer(), readline.get_begidx(), readline.get_endidx()
            )
        return self._found[state] if state < len(self._found) else None

    def _suggested(self, before: str, line: str, begin: int, end: int) -> list[str]:
        """Return what may take the place of a part of the line."""
        try:
            body = {"query": before + line, "offset": len(before) + end}
            answer = self._server.post("/api/v1/query/completions", body)
        except OperationError:  # nothing is completed then; the query itself will say why
            return []
        written = [_written_in(one, before + line, len(before) + begin, len(before) + end) for one in answer["value"]]
        return [one for one in written if one.lower().startswith(line[begin:end].lower())]


def _written_in(suggestion: dict[str, Any], text: str, begin: int, end: int) -> str:
    """Return a suggestion as what stands from `begin` on: readline has its own idea of where a word begins."""
    start, insert = int(suggestion["start"]), str(suggestion["insertText"])
    insert = insert.removesuffix(text[end : int(suggestion["end"])])  # readline leaves what is behind the cursor
    if start < begin:
        kept = text[start:begin]
        return insert[len(kept) :] if insert.lower().startswith(kept.lower()) else ""
    return text[begin : min(start, end)] + insert
