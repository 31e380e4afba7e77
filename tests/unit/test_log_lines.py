import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged import logs


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@given(st.text())
def test_printable_has_nothing_hidden(text: str) -> None:
    shown = logs.printable(text)
    assert not any(c in shown for c in "\n\r\x1b\x7f\x9b\u202e\u2028\ud800")
    shown.encode()


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "Zs"))))
def test_ordinary_text_stays(text: str) -> None:
    assert logs.printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\x0ab"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202egpj", r"\u202egpj"),
        ("\U000e0001", r"\U000e0001"),
        ("é", "é"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert logs.printable(text) == shown


def test_a_hostile_name_cannot_forge_a_line(root_logger: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("whatchanged.test").warning("denied: %s", "x\n2026-01-01 ERROR all is lost\x1b[2J")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING whatchanged\.test: denied: x\\x0a", lines[0])
    assert "\x1b" not in lines[0]


def test_a_hostile_name_in_an_exception_cannot_forge_a_line(
    root_logger: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z ERROR all is lost\x1b[2J")
    except ValueError:
        logging.getLogger("whatchanged.test").exception("it failed")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert [line for line in shown.splitlines() if line.startswith("2026-01-01")] == []
