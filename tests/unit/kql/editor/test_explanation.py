"""What is said of the word at a place, marked with `^`."""

from __future__ import annotations

import pytest

from unit.kql.editor.test_completion import SCHEMA
from whatchanged.kql.editor import explain


@pytest.mark.parametrize(
    ("text", "title", "words"),
    [
        ("Fi^les | take 1", "Files: table of 6 columns", "A row is a file"),
        ("Files | wh^ere Size > 1", "where", "condition holds"),
        ("Files | ^where Size > 1", "where", "condition holds"),
        ("Files | project-a^way Size", "project-away", "Drops"),
        ("un^ion Files, Machines", "union", "together"),
        ("Files | where Pa^th == 'x'", "Path: string", "Where it is"),
        ("Files | where Path^ == 'x'", "Path: string", "Where it is"),
        ("Files | extend Size = strcat(Path) | where Si^ze == ''", "Size: string", ""),
        ("Files | summarize n = count() by Path | where ^n > 1", "n: long", ""),
        ("Files | where str^len(Path) > 1", "strlen(text): long", "characters"),
        ("Files | summarize cou^nt()", "count(): long", "rows"),
        ("Files | summarize arg_m^ax(When, *) by Path", "arg_max(value, column, … or *): any", "greatest"),
        ("Files | where Path h^as 'x'", "has", "term"),
        ("Files | where Path !h^as 'x'", "!has", "term"),
        ("Files | order by Size de^sc", "desc", "Falling"),
        ("Files | evaluate pi^vot(Path)", "pivot(column, aggregate?, column, …): table", "columns"),
        ("bi^g(5)", "big(least: long)", "Big files."),
        ("let x = 5; print ^x", "x: long", ""),
        ("let x = Files; ^x", "x: table", ""),
        ("let f = (a: string) { print ^a }; f('x')", "a: string", ""),
        ("Files | join (Machines | where O^s == '') on Path", "Os: string", ""),
        ("Files | whre x | where Pa^th ==", "Path: string", "Where it is"),
        ("Files | cou^nt", "count", "how many rows"),
    ],
)
def test_a_word_is_explained(text: str, title: str, words: str) -> None:
    found = explain(text.replace("^", ""), text.index("^"), SCHEMA)
    assert found is not None
    assert found.title == title
    assert words in found.doc


@pytest.mark.parametrize(
    "text", ["Files | where Path == 'Pa^th'", "Files ^| take 1", "Files | take 1^0", "Not^hing", "^"]
)
def test_nothing_is_said_of_what_is_unknown(text: str) -> None:
    assert explain(text.replace("^", ""), text.index("^"), SCHEMA) is None
