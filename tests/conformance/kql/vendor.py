"""The vendor's own parser of KQL (npm's @kusto/language-service-next), run in node over many texts at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Function",
    "Meaning",
    "Parameter",
    "Problem",
    "Signatures",
    "functions",
    "meanings",
    "structures",
    "syntax_problems",
]

_SCRIPTS = Path(__file__).parent / "vendor"
_PACKAGES = Path(sys.prefix) / "vendor-parser"
"""Where tests/vendor-parser installs it."""


class Problem(NamedTuple):
    """What the vendor's parser says of a text; the place in characters of UTF-16."""

    code: str
    start: int
    length: int
    message: str


class Meaning(NamedTuple):
    """What the vendor's binder says of a text."""

    problems: tuple[Problem, ...]
    columns: tuple[tuple[str, str], ...] | None
    """Names and types of the result; None: it is no table."""
    open: bool
    """Whether there may be more columns, which only the data tell."""


class Parameter(NamedTuple):
    """What a function of the vendor's table takes at one place; the words are the vendor's."""

    kind: str
    types: tuple[str, ...]
    argument: str
    values: tuple[str, ...]
    least: int
    most: int


Signatures = Sequence[Sequence[Parameter]]


class Function(NamedTuple):
    """A function of the vendor's tables."""

    kind: str
    """scalar, aggregate or plugin."""
    name: str
    signatures: Signatures


def syntax_problems(texts: Sequence[str]) -> list[list[Problem]]:
    """Return for each text what is wrong with its syntax."""
    return [[Problem(*problem) for problem in answer] for answer in _ask("syntax.js", texts)]


def structures(texts: Sequence[str]) -> list[str]:
    """Return each text with brackets around every operation and no others."""
    return [str(answer) for answer in _ask("structure.js", texts)]


def meanings(texts: Sequence[str], tables: Mapping[str, Mapping[str, str]]) -> list[Meaning]:
    """Return what each text means, given tables as name → column → type."""
    return [
        Meaning(
            tuple(Problem(*problem) for problem in answer["problems"]),
            None if answer["columns"] is None else tuple((name, type_) for name, type_ in answer["columns"]),
            answer["open"],
        )
        for answer in _ask("semantics.js", texts, json.dumps(tables))
    ]


def functions() -> list[Function]:
    """Return all functions that the vendor knows."""
    return [
        Function(
            entry["kind"], entry["name"], [[Parameter(**parameter) for parameter in one] for one in entry["signatures"]]
        )
        for entry in _run("functions.js", "")
    ]


def _ask(script: str, texts: Sequence[str], *arguments: str) -> list[Any]:
    """Return the answer of a script to each text."""
    answers = _run(script, "\n".join(map(json.dumps, texts)), *arguments)
    assert len(answers) == len(texts)
    return answers


def _run(script: str, given: str, *arguments: str) -> list[Any]:
    """Return what a script answers, a JSON value a line."""
    node = shutil.which("node", path=f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', '')}")
    assert node, "node is missing: run tests/vendor-parser"
    assert (_PACKAGES / "node_modules").is_dir(), "the vendor's parser is missing: run tests/vendor-parser"
    command = [node, str(_SCRIPTS / script), str(_PACKAGES), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
