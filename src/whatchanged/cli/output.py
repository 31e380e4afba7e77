r"""What commands write: results on standard output, messages on standard error.

Results are rows keyed by the tables' column names: with `--json` one array, else a table. Names on a machine may
hold anything, so every cell is made harmless with `logs.printable` (CVE-2025-54389 is the class of attack); in JSON
every character that is not printable ASCII is written as `\uNNNN`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from whatchanged.logs import printable

__all__ = ["Output", "Row", "json_text"]

Row = Mapping[str, Any]

_CATEGORY_STYLES = {
    "Added": "green",
    "Removed": "red",
    "Modified": "yellow",
    "Ok": "green",
    "Warning": "yellow",
    "Error": "red",
}
_SAMPLE = 500
"""Rows that decide the columns of a table of unknown shape."""


def json_text(value: object) -> str:
    """Return JSON that is safe on a terminal."""
    # ensure_ascii covers everything but DEL, which JSON leaves alone.
    return json.dumps(value, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


class Output:
    """Writes rows and messages."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._in_progress = False

    def message(self, text: str) -> None:
        """Say something to the person, on standard error."""
        sys.stderr.write(f"{self._over_progress()}{printable(text)}\n")
        sys.stderr.flush()

    def progress(self, text: str) -> None:
        """Say how long work fares: on a terminal in one line that moves, elsewhere in a line of its own."""
        if not sys.stderr.isatty():
            self.message(text)
            return
        sys.stderr.write(f"{self._over_progress()}{printable(text)}")
        sys.stderr.flush()
        self._in_progress = True

    def _over_progress(self) -> str:
        """Return what takes a line of progress away, if one stands there."""
        erase, self._in_progress = ("\r\x1b[K" if self._in_progress else ""), False
        return erase

    def done(self, row: Row, text: str) -> None:
        """Say that something was done: as a row to programs, in words to people."""
        if self.as_json:
            self.rows([row])
        else:
            self.message(text)

    def error(self, text: str, *, hint: str = "") -> None:
        """Say what went wrong and what to do about it."""
        sys.stderr.write(f"{self._over_progress()}error: {printable(text)}\n")
        if hint:
            sys.stderr.write(f"hint: {printable(hint)}\n")
        sys.stderr.flush()

    def line(self, text: str) -> None:
        """Write one line of a result that is no table (a token, a line of a document)."""
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()

    def rows(self, rows: Iterable[Row], columns: Sequence[str] = (), *, empty: str = "Nothing found.") -> int:
        """Write rows and return how many; `columns` are those that people see (default: all that are filled)."""
        if self.as_json:
            return self._json(rows)
        listed = list(rows)
        if not listed:
            self.message(empty)
            return 0
        self._table(listed, columns or _filled_columns(listed))
        return len(listed)

    def _json(self, rows: Iterable[Row]) -> int:
        count = 0
        for row in rows:
            # Nothing before the first row is there: a server that is away leaves no half of an array.
            sys.stdout.write((",\n" if count else "[\n") + json_text(row))
            count += 1
        sys.stdout.write("\n]\n" if count else "[\n]\n")
        return count

    def _table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        terminal = sys.stdout.isatty()
        # Into a file or a pipe nothing is folded to a width that nobody looks at.
        console = Console(file=sys.stdout, width=None if terminal else 1_000_000, highlight=False, markup=False)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=not terminal)
        for row in rows:
            # Text objects: rich must not take `[red]` in a file name for its markup.
            cells = [_cell(row.get(column)) for column in columns]
            table.add_row(*(Text(cell, style=_CATEGORY_STYLES.get(cell, "")) for cell in cells))
        console.print(table)


def _filled_columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows[:_SAMPLE] for name, value in row.items() if value not in (None, "")))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    return printable(json_text(value))
