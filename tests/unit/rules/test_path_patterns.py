"""One segment of a pattern, against fnmatch(3) of the C library."""

import ctypes
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whatchanged.errors import RuleError
from whatchanged.rules.items import FileRule, FileType
from whatchanged.rules.patterns import Segment, Wild, expand, segment_of

_LIBC = ctypes.CDLL(None)


def fnmatch(pattern: bytes, name: bytes) -> bool:
    return bool(_LIBC.fnmatch(pattern, name, 0) == 0)


def fits(segment: Segment, name: bytes) -> bool:
    if isinstance(segment, Wild):
        return True
    if isinstance(segment, re.Pattern):
        return segment.match(name) is not None
    return segment == name


# ASCII only, because the C library reads multibyte characters in a UTF-8 locale and we read bytes.
NAMES = st.text(alphabet="abc.-x]^!", min_size=1, max_size=8).map(str.encode)
PIECES = st.sampled_from(
    ["a", "b", "c", ".", "-", "*", "?", "**", "[ab]", "[!ab]", "[^a]", "[a-c]", "[]a]", "[!]a]", "[a-]", "\\*", "\\a",
     "[[:alpha:]]", "[![:punct:]]", "[b-c.]", "]", "!", "["]
)  # fmt: skip
PATTERNS = st.lists(PIECES, min_size=1, max_size=6).map("".join).map(str.encode)


@given(PATTERNS, NAMES)
@example(b"*a*a", b"aa")
@example(b"*ab", b"aab")
@example(b"a*", b"a")
@example(b"*a*b*", b"ba")
@example(b"[", b"[")
@example(b"a[bc", b"a[bc")
def test_agrees_with_the_c_library(pattern: bytes, name: bytes) -> None:
    assert fits(segment_of(pattern), name) == fnmatch(pattern, name)


@given(st.binary(min_size=1, max_size=20).filter(lambda b: not set(b) & set(b"/\0")))
def test_any_bytes_are_a_pattern(pattern: bytes) -> None:
    fits(segment_of(pattern), b"name")


@given(st.binary(min_size=1, max_size=20).filter(lambda b: not set(b) & set(b"/\0*?[\\")))
def test_a_plain_name_is_itself_alone(name: bytes) -> None:
    assert segment_of(name) == name


def test_hostile_patterns_take_no_time() -> None:
    segment = segment_of(b"*a" * 100 + b"b")
    started = time.process_time()
    assert not fits(segment, b"a" * 255)
    assert time.process_time() - started < 0.5


def test_bytes_that_are_no_text() -> None:
    assert fits(segment_of(b"?\xff*"), b"\xfe\xff\xc3")
    assert not fits(segment_of(b"?\xff*"), b"\xfe\xfe")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"", "empty"),
        (b"etc/passwd", "absolute"),
        (b"./x", "absolute"),
        (b"/a/../b", r"'\.\.'"),
        (b"/a\0b", "NUL"),
        (b"/" + b"x" * 256, "255"),
        (b"/" + b"x/" * 3000, "4096"),
        (b"/" + b"x/" * 300, "segments"),
    ],
)
def test_paths_that_cannot_work(path: bytes, why: str) -> None:
    with pytest.raises(RuleError, match=why):
        expand(FileRule(name="r", destination_path=path))


@given(st.binary(max_size=40), st.booleans(), st.sampled_from(FileType))
def test_expand_raises_nothing_but_rule_errors(path: bytes, recurse: bool, kind: FileType) -> None:
    try:
        lists = expand(FileRule(name="r", destination_path=b"/" + path, recurse=recurse, type=kind))
    except RuleError:
        return
    assert lists
    assert all(lists)
