"""The script that runs on a real Windows: here it can at least be read as PowerShell."""

from __future__ import annotations

from pathlib import Path

import tree_sitter
import tree_sitter_powershell

SCRIPT = Path(__file__).parents[2] / "tools/windows-acceptance.ps1"


def has_errors(text: bytes) -> bool:
    """Whether the grammar of PowerShell does not take a text."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    return parser.parse(text).root_node.has_error


def test_the_acceptance_script_is_powershell() -> None:
    text = SCRIPT.read_bytes()
    assert not has_errors(text)
    assert has_errors(text.replace(b"finally {", b"finally", 1))
