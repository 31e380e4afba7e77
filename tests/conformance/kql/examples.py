"""The manual's self-contained examples: queries that bring their own data, with the rows that the manual prints.

Kept a file a page in `manual/`, with the page they come from (MicrosoftDocs/dataexplorer-docs, CC BY 4.0).

    python -m conformance.kql.examples [-v] [PAGE …]     (in tests/)

runs them on the engine, and says how many are right, different and refused.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from whatchanged.errors import OperationError
from whatchanged.kql.compile import Compiled, compile_query
from whatchanged.kql.errors import KqlError
from whatchanged.kql.sql import Statement
from whatchanged.kql.syntax.moments import datetime_ticks, span_ticks
from whatchanged.kql.types import Schema, Type

__all__ = ["FOLDER", "Engine", "Example", "Mark", "Outcome", "examples", "run"]

FOLDER = Path(__file__).with_name("manual")
_PART = re.compile(r"^## ", re.MULTILINE)
_MARK = re.compile(r"<!-- (name|misprint|form|excerpt|clock|random|manual)(?: \((.*?)\))?(?:: (.*?))? -->")
_QUERY = re.compile(r"```kql\n(.*?)```", re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\s*:?-+:?\s*")
_WORD = re.compile(r"[^\s\"'\[\]{},:\\]+")
_PRINTED_DIGITS = 1e-3
"""How far a number may be from one that the manual prints with three digits, and cuts or rounds as it likes."""


@dataclass(frozen=True)
class Mark:
    """What is to be known when rows are compared with the manual's; the kinds are in manual/README.md."""

    kind: str
    detail: str
    note: str

    @property
    def columns(self) -> list[str]:
        """Return the columns that it names."""
        return [name.strip() for name in self.detail.split(",")]

    @property
    def explains(self) -> bool:
        """Whether it says why an example differs, rather than how it is compared."""
        return bool(self.note) and (self.kind == "manual" or (self.kind == "random" and not self.detail))


@dataclass(frozen=True)
class Example:
    """A query and the rows that the manual prints for it."""

    page: str
    title: str
    query: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[Mark, ...]

    def mark(self, kind: str) -> Mark | None:
        """Return the mark of a kind, if there is one."""
        return next((mark for mark in self.marks if mark.kind == kind), None)

    @property
    def name(self) -> str:
        return f"{self.page}: {self.title}"


@dataclass(frozen=True)
class Outcome:
    """What came of an example."""

    verdict: str
    """right, different, refused, failed (the engine did not run what we made)."""
    detail: str = ""
    columns: tuple[str, ...] = ()
    """What the columns of our rows are called."""
    needless: tuple[Mark, ...] = field(default=())
    """Marks without which it would be right as well."""


def examples(pages: Sequence[str] = ()) -> Iterator[Example]:
    """Yield the examples of some pages, or of all."""
    for path in sorted(FOLDER.glob("*.md")):
        if pages and path.stem not in pages:
            continue
        for part in _PART.split(path.read_text(encoding="utf-8"))[1:]:
            yield _example(path.stem, part)


def _example(page: str, part: str) -> Example:
    title = part.split("\n", 1)[0].strip()
    query = _QUERY.search(part)
    assert query is not None, (page, title)
    marks = tuple(Mark(kind, detail, note) for kind, detail, note in _MARK.findall(part[: query.start()]))
    lines = [line for line in part[query.end() :].split("\n") if line.strip()]
    table = [_cells(line) for line in lines if "|" in line]
    rows = [row for row in table[1:] if not all(_RULE.fullmatch(cell) for cell in row)]
    header = tuple(table[0]) if table else ()
    return Example(page, title, query.group(1), header, tuple(map(tuple, rows)), marks)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip())[1:-1]]


class Engine:
    """The embedded engine; `run` runs a statement and returns its rows, a JSON array a line."""

    def __init__(self, run: Callable[[str, Mapping[str, Any]], bytes]) -> None:
        self._run = run

    def rows(self, compiled: Compiled) -> list[list[Any]]:
        return self.ask(compiled.statement)

    def ask(self, statement: Statement) -> list[list[Any]]:
        raw = self._run(statement.sql, statement.parameters)
        return [json.loads(line) for line in raw.decode().split("\n") if line]


def run(example: Example, engine: Engine) -> Outcome:
    """Run an example and compare what comes with what the manual prints."""
    clock = example.mark("clock")
    now = datetime_ticks(clock.detail) if clock is not None else None
    try:
        compiled = compile_query(example.query, Schema({}), now=now, ask=engine.ask)
    except KqlError as error:
        return Outcome("refused", error.explain(example.query))
    try:
        rows = engine.rows(compiled)
    except OperationError as error:
        return Outcome("failed", f"{str(error)[:600]}\n{compiled.statement.sql}\n{compiled.statement.parameters}")
    names = tuple(name for name, _ in compiled.columns)
    difference = _difference(example, compiled, rows)
    if difference:
        return Outcome("different", difference, names)
    without = {mark: replace(example, marks=tuple(m for m in example.marks if m != mark)) for mark in example.marks}
    needless = [
        mark for mark, less in without.items() if mark.kind != "clock" and not _difference(less, compiled, rows)
    ]
    return Outcome("right", "", names, tuple(needless))


def _difference(example: Example, compiled: Compiled, rows: list[list[Any]]) -> str:
    """Return in what rows differ from the manual's, as far as the marks let us compare them; empty: in nothing."""
    columns = list(compiled.columns)
    header, given_rows = example.header, rows
    order = example.mark("name") is not None and set(header) == {name for name, _ in columns}
    if order or (example.mark("excerpt") is not None and set(header) < {name for name, _ in columns}):
        at = [next(n for n, (name, _) in enumerate(columns) if name == wanted) for wanted in header]
        columns, given_rows = [columns[n] for n in at], [[row[n] for n in at] for row in rows]
    names = tuple(name for name, _ in columns)
    if names != header and example.mark("name") is None:
        return f"columns {names}, the manual has {header}; rows {rows[:5]}"
    if any(len(row) != len(columns) for row in example.rows):
        return f"{len(columns)} columns, the manual has others; rows {rows[:5]}"
    misprinted = example.mark("misprint")
    kept = [n for n, name in enumerate(names) if misprinted is None or name not in misprinted.columns]
    types = [columns[n][1] for n in kept]
    wanted = [[_expected(row[n], type_) for n, type_ in zip(kept, types, strict=True)] for row in example.rows]
    given = [[_given(row[n], type_) for n, type_ in zip(kept, types, strict=True)] for row in given_rows]
    if _agree(example, [names[n] for n in kept], wanted, given):
        return ""
    return f"given  {given[:8]}\nmanual {wanted[:8]}"


def _agree(example: Example, names: Sequence[str], wanted: list[list[Any]], given: list[list[Any]]) -> bool:
    if example.mark("form") is not None:
        return _alike([_words(row) for row in wanted if any(row)], [_words(row) for row in given], _printed_alike)
    chance = example.mark("random")
    if chance is not None and chance.detail.endswith("%"):
        return _near(wanted, given, float(chance.detail.rstrip("%")) / 100)
    if chance is not None:
        drawn = [n for n, name in enumerate(names) if name in chance.columns]
        wanted, given = _renamed(wanted, drawn), _renamed(given, drawn)
    if example.mark("excerpt") is not None:
        return all(any(_same(w, g) for g in given) for w in wanted)
    return _alike(wanted, given)


def _words(row: Sequence[Any]) -> list[str]:
    """Return what is written in a row, without quotes, brackets and the space around."""
    text = " ".join(value if isinstance(value, str) else json.dumps(value) for value in row).replace("\\n", "\n")
    return _WORD.findall(text)


def _printed_alike(wanted: Sequence[str], given: Sequence[str]) -> bool:
    return len(wanted) == len(given) and all(map(_printed_equal, wanted, given))


def _printed_equal(wanted: str, given: str) -> bool:
    try:
        return math.isclose(float(wanted), float(given), rel_tol=0, abs_tol=_PRINTED_DIGITS)
    except ValueError:
        return wanted == given


def _near(wanted: list[list[Any]], given: list[list[Any]], share: float) -> bool:
    """Whether the numbers of a single row are as near as chance lets them be."""
    [ours], [theirs] = given, wanted
    return all(math.isclose(left, right, rel_tol=share) for left, right in zip(ours, theirs, strict=True))


def _renamed(rows: list[list[Any]], drawn: Sequence[int]) -> list[list[Any]]:
    """Return rows in which values that are drawn are numbered as they come: only which of them are equal counts."""
    seen: dict[str, int] = {}
    return [
        [seen.setdefault(str(value), len(seen)) if n in drawn else value for n, value in enumerate(row)] for row in rows
    ]


def _same(wanted: Sequence[Any], given: Sequence[Any]) -> bool:
    return all(_equal(w, g) for w, g in zip(wanted, given, strict=True))


def _alike(
    wanted: list[list[Any]], given: list[list[Any]], same: Callable[[Sequence[Any], Sequence[Any]], bool] = _same
) -> bool:
    left = list(given)
    for row in wanted:
        found = next((n for n, other in enumerate(left) if same(row, other)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _equal(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, float) and isinstance(given, float):
        if math.isnan(wanted) or math.isnan(given):
            return math.isnan(wanted) and math.isnan(given)
        return wanted == given or math.isclose(wanted, given, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(map(_equal, wanted, given))
    if isinstance(wanted, dict) and isinstance(given, dict):
        return wanted.keys() == given.keys() and all(_equal(wanted[key], given[key]) for key in wanted)
    if isinstance(wanted, int | float) and isinstance(given, int | float) and not isinstance(wanted, bool):
        return not isinstance(given, bool) and math.isclose(wanted, given, rel_tol=1e-6, abs_tol=1e-9)
    return bool(wanted == given)


def _expected(cell: str, type_: Type) -> Any:
    """Return a cell of the manual as a value of the column's type."""
    text = cell.strip()
    if type_ is Type.STRING and text == "null":
        return text  # gettype(dynamic(null))
    if text in ("", "null", "`null`", "(null)", "&nbsp;"):
        return "" if type_ is Type.STRING else None
    match type_:
        case Type.BOOL:
            return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
        case Type.INT | Type.LONG | Type.REAL | Type.DECIMAL:
            try:
                return float(text.replace(",", "").replace("∞", "inf"))
            except ValueError:
                return text
        case Type.DATETIME:
            try:
                return datetime_ticks(text)
            except ValueError:
                return text
        case Type.TIMESPAN:
            try:
                return span_ticks(text)
            except ValueError:
                return text
        case Type.DYNAMIC:
            try:
                return json.loads(text)
            except ValueError:
                return text
        case _:
            return text


def _given(value: Any, type_: Type) -> Any:
    """Return a value of the engine in the same form."""
    if value is None:
        return None
    match type_:
        case Type.BOOL:
            return bool(value)
        case Type.INT | Type.LONG | Type.REAL | Type.DECIMAL:
            return float(value)
        case Type.DATETIME:
            return datetime_ticks(str(value))
        case Type.DYNAMIC:
            try:
                return json.loads(value)
            except ValueError:
                return value
        case Type.STRING:
            return str(value).strip()
        case _:
            return value


def main() -> None:
    """Run what is named, or everything."""
    import tempfile

    from whatchanged.server.storage import open_storage

    verbose = "-v" in sys.argv
    pages = [word for word in sys.argv[1:] if not word.startswith("-")]
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, open_storage(folder) as storage:
        engine = Engine(lambda sql, parameters: storage.ask(sql, parameters, "0"))
        for example in examples(pages):
            outcome = run(example, engine)
            kinds = ", ".join(mark.kind for mark in example.marks)
            verdict = f"{outcome.verdict} ({kinds})" if kinds else outcome.verdict
            verdicts[verdict] += 1
            if verbose and outcome.verdict != "right":
                sys.stdout.write(f"--- {verdict}: {example.name}\n{example.query}{outcome.detail}\n\n")
    sys.stdout.write(f"{dict(verdicts)}\n")


if __name__ == "__main__":
    main()
