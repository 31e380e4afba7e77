"""The reference page of the tables, `docs/tables.md`.

`python -m whatchanged.records.reference docs/tables.md` writes it; a test says when it is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from whatchanged.records.columns import Column, Origin, Table
from whatchanged.records.ddl import column_type
from whatchanged.records.tables import TABLES

__all__ = ["main", "page"]

_HEAD = """# The tables

Made by `python -m whatchanged.records.reference docs/tables.md` from `whatchanged.records.tables`; not edited by hand.

Times are UTC with seven digits. An empty string stands for "nothing there"; numbers and times may be null.
**Own** columns are not in the public Azure Monitor Logs tables; they stand behind the upstream ones. What a column
*set by the server* holds is never taken from a sender.
"""


def page(tables: Iterable[Table] = TABLES) -> str:
    """Return the page in Markdown."""
    return _HEAD + "".join(_section(table) for table in tables)


def _section(table: Table) -> str:
    lines = [
        "",
        f"## {table.name}",
        "",
        table.meaning,
        "",
        f"{len(table.columns)} columns. Streams: {', '.join(f'`{stream}`' for stream in table.streams)}.",
        "",
        "| Column | Type | For | Meaning | Stored as |",
        "|---|---|---|---|---|",
        *(_row(column) for column in table.columns),
        "",
    ]
    return "\n".join(lines)


def _row(column: Column) -> str:
    marks = ["own"] if column.origin is Origin.OWN else []
    marks += ["set by the server"] if column.server_set else []
    meaning = f"{column.meaning} *({', '.join(marks)})*" if marks else column.meaning
    cells = (f"`{column.name}`", column.type.value, column.kinds, meaning, f"`{column_type(column)}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named by the only argument, or to standard output."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m whatchanged.records.reference [FILE]\n")
        return 2
    if not arguments:
        sys.stdout.write(page())
        return 0
    with open(arguments[0], "w", encoding="utf-8") as stream:
        stream.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
