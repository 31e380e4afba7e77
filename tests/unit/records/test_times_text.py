from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.records.times import now_ns, parse_time, time_text

FIRST = -62_135_596_800 * 10**9
LAST = 253_402_300_799 * 10**9 + 999_999_900


@given(st.integers(FIRST // 100, LAST // 100).map(lambda n: n * 100))
def test_round_trip(nanoseconds: int) -> None:
    text = time_text(nanoseconds)
    assert len(text) == 28
    assert parse_time(text) == nanoseconds


@given(st.datetimes(timezones=st.just(UTC)))
def test_agrees_with_datetime(moment: datetime) -> None:
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution) * 1000
    assert time_text(whole) == moment.strftime("%Y").zfill(4) + moment.strftime("-%m-%dT%H:%M:%S.%f0Z")
    assert parse_time(moment.isoformat()) == whole


@given(st.integers(-(2**80), 2**80))
def test_forged_times_are_cut_to_what_can_be_written(nanoseconds: int) -> None:
    assert FIRST <= parse_time(time_text(nanoseconds)) <= LAST


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 00:00:01", 10**9),
        ("1970-01-01T01:00:00.5+01:00", 5 * 10**8),
        ("1970-01-01T00:00:00.123456789z", 123_456_789),
        ("1969-12-31T23:59:59.9999999Z", -100),
    ],
)
def test_forms_that_are_read(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds


@given(st.text(max_size=40))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_time("x" + text)


@pytest.mark.parametrize(
    "text",
    ["", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T24:61:00Z", "２026-01-01T00:00:00Z"],
)
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)


def test_now_is_cut_to_100_ns() -> None:
    assert now_ns() % 100 == 0
