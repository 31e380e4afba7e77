"""What the words of the language are, in one line each: functions in `reference.txt`, operators here."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping
from typing import Final

from whatchanged.kql.syntax import tree

__all__ = [
    "CHARTS", "INFIX", "KEYWORD_DOCS", "OPERATORS", "SOURCES", "built_in_functions", "comments_of", "described",
    "is_function", "names", "signature_of",
]  # fmt: skip

_LINE = re.compile(r"(?P<name>\w+)(?:(?P<parameters>\(.*?\)): (?P<result>\w+) (?P<doc>.+)| = (?P<same>\w+))")


def _read() -> dict[str, dict[str, tuple[str, str]]]:
    text = importlib.resources.files(__package__).joinpath("reference.txt").read_text(encoding="utf-8")
    sections: dict[str, dict[str, tuple[str, str]]] = {}
    others: list[tuple[dict[str, tuple[str, str]], str, str]] = []
    section: dict[str, tuple[str, str]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("["):
            section = sections[line.strip("[]")] = {}
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"no line of the reference: {line!r}")
        if match["same"]:
            others.append((section, match["name"], match["same"]))
        else:
            section[match["name"]] = (f"{match['name']}{match['parameters']}: {match['result']}", match["doc"])
    for section, name, same in others:
        signature, doc = section[same]
        section[name] = (name + signature[len(same) :], doc)
    return sections


_SECTIONS: Final = _read()
_COMMENTED = re.compile(r"((?:^//.*\n)+)let (\w+)", re.MULTILINE)


@functools.lru_cache(maxsize=8)
def comments_of(functions_: str) -> Mapping[str, str]:
    """Return what the comments above `let` statements say of what these declare."""
    return {
        name: " ".join(line.lstrip("/").strip() for line in comment.splitlines())
        for comment, name in _COMMENTED.findall(functions_)
    }


def described(name: str, *, aggregate: bool = False) -> tuple[str, str]:
    """Return signature and meaning of a function or plugin; a name that is both is an aggregate only if asked for."""
    order = ("aggregate", "scalar") if aggregate else ("scalar", "aggregate")
    for section in (*order, "window", "plugin"):
        if name in _SECTIONS[section]:
            return _SECTIONS[section][name]
    return f"{name}(…)", ""


def names(section: str) -> list[str]:
    """Return the names of the functions of a section (`scalar`, `aggregate`, `window`, `plugin`)."""
    return sorted(_SECTIONS[section])


def built_in_functions() -> list[str]:
    """Return the names of all functions and plugins that are answered."""
    return sorted({name for section in _SECTIONS.values() for name in section})


def is_function(name: str) -> bool:
    """Whether a function or plugin has the name."""
    return any(name in section for section in _SECTIONS.values())


def signature_of(name: str, function: tree.FunctionDeclaration) -> str:
    """Return the signature of a function that was declared in the language itself."""
    return f"{name}({', '.join(map(_parameter, function.parameters))})"


def _parameter(parameter: tree.Parameter) -> str:
    if parameter.any_table or parameter.columns:
        return f"{parameter.name}: table"
    return f"{parameter.name}: {parameter.type or 'dynamic'}{'' if parameter.default is None else ' = …'}"


OPERATORS: Final[Mapping[str, str]] = {
    "where": "Keeps the rows for which a condition holds",
    "summarize": "Makes groups of rows, and a row of every group",
    "project": "Keeps columns, renames them and computes new ones",
    "extend": "Computes new columns beside those that are there",
    "order": "Puts the rows in an order; falling, unless asc stands there",
    "sort": "Puts the rows in an order; falling, unless asc stands there",
    "top": "Keeps the first rows of an order",
    "take": "Keeps so many rows, any of them",
    "limit": "Keeps so many rows, any of them",
    "count": "Tells how many rows there are",
    "distinct": "Keeps each combination of values once",
    "project-away": "Drops columns",
    "project-rename": "Renames columns",
    "project-reorder": "Puts columns to the front",
    "project-keep": "Keeps columns, in their order",
    "project-by-names": "Keeps the columns whose names are given as texts",
    "join": "Joins rows with those of another table that have equal values",
    "lookup": "Adds the columns of another table to the rows that have equal values",
    "union": "Puts the rows of several tables together",
    "mv-expand": "Makes a row of every element of an array",
    "mv-apply": "Makes a row of every element of an array, and runs a query over those of each row",
    "parse": "Takes a text apart into columns, as a pattern says",
    "parse-where": "Takes a text apart, and keeps the rows that fit the pattern",
    "parse-kv": "Takes a text of keys and values apart into columns",
    "make-series": "Makes a series over time of every group",
    "render": "Says how the answer is to be drawn",
    "evaluate": "Runs a plugin over the rows",
    "serialize": "Fixes the order of the rows, so that functions can look at other rows",
    "sample": "Keeps so many rows, chosen by chance",
    "sample-distinct": "Keeps so many values of a column",
    "top-nested": "Keeps the first values on every level of groups",
    "top-hitters": "Keeps the values that are met most often",
    "getschema": "Tells the names and types of the columns",
    "as": "Gives the rows a name",
    "invoke": "Calls a function with the rows",
    "partition": "Runs a query over the rows of every value of a column",
    "fork": "Runs several queries over the same rows",
    "facet": "Makes a table of every column, and one of the rows",
    "reduce": "Makes groups of texts that are alike",
    "search": "Looks for a text in all columns",
    "find": "Looks for rows in several tables",
    "print": "Makes one row of values",
    "range": "Makes rows of equal steps",
    "consume": "Runs the query and tells nothing",
}
"""Tabular operators, the usual ones first."""

SOURCES: Final = ("union", "search", "find", "print", "range")
"""Those that may begin a query."""

INFIX: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    name: (frozenset(sorts.split()), doc)
    for name, sorts, doc in (
        ("==", "any", "Equal; texts with case"),
        ("!=", "any", "Not equal; texts with case"),
        ("contains", "text", "Has a text in it, without case"),
        ("has", "text", "Has a term (a whole word) in it, without case"),
        ("startswith", "text", "Begins with a text, without case"),
        ("endswith", "text", "Ends with a text, without case"),
        ("=~", "text", "Equal without case"),
        ("!~", "text", "Not equal, without case"),
        ("in", "text order", "Is one of several values"),
        ("in~", "text", "Is one of several texts, without case"),
        ("!in", "text order", "Is none of several values"),
        ("!in~", "text", "Is none of several texts, without case"),
        ("has_any", "text", "Has one of several terms"),
        ("has_all", "text", "Has all of several terms"),
        ("matches regex", "text", "Matches a regular expression"),
        ("!contains", "text", "Does not have a text in it"),
        ("!has", "text", "Does not have a term in it"),
        ("!startswith", "text", "Does not begin with a text"),
        ("!endswith", "text", "Does not end with a text"),
        ("hasprefix", "text", "Has a term that begins so, without case"),
        ("!hasprefix", "text", "Has no term that begins so"),
        ("hassuffix", "text", "Has a term that ends so, without case"),
        ("!hassuffix", "text", "Has no term that ends so"),
        ("contains_cs", "text", "Has a text in it, with case"),
        ("!contains_cs", "text", "Does not have a text in it, with case"),
        ("has_cs", "text", "Has a term in it, with case"),
        ("!has_cs", "text", "Does not have a term in it, with case"),
        ("startswith_cs", "text", "Begins with a text, with case"),
        ("!startswith_cs", "text", "Does not begin with a text, with case"),
        ("endswith_cs", "text", "Ends with a text, with case"),
        ("!endswith_cs", "text", "Does not end with a text, with case"),
        ("hasprefix_cs", "text", "Has a term that begins so, with case"),
        ("hassuffix_cs", "text", "Has a term that ends so, with case"),
        ("<", "order", "Less"),
        ("<=", "order", "Less or equal"),
        (">", "order", "Greater"),
        (">=", "order", "Greater or equal"),
        ("between", "order", "Lies between two values, both included: between (a .. b)"),
        ("!between", "order", "Does not lie between two values"),
        ("and", "any", "Both conditions hold"),
        ("or", "any", "One of the conditions holds"),
    )
}
"""Words and signs between operands: for which sorts of values (`text`, `order`, `any`), and what they say."""

KEYWORD_DOCS: Final[Mapping[str, str]] = {
    "let": "Gives a name to a value, a table or a function",
    "by": "What the groups or the order are made of",
    "on": "What must be equal",
    "asc": "Rising order",
    "desc": "Falling order",
    "kind": "Which sort of join, union or search",
    "declare": "Declares what is given with the query",
    "set": "Sets an option of the query",
    "typeof": "The type of a column",
    "withsource": "A column that says from which table a row is",
    "datatable": "Rows that stand in the query",
    "materialize": "Computes a table once",
    "toscalar": "The first value of the first row of a query",
}

CHARTS: Final = (
    "table", "timechart", "barchart", "columnchart", "piechart", "linechart", "areachart", "stackedareachart",
    "scatterchart", "card", "anomalychart", "pivotchart", "ladderchart", "treemap",
)  # fmt: skip
