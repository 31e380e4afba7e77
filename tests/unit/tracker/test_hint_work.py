"""When a kind that is looked at whole is looked at."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import time

import pytest

from whatchanged.tracker.hint_work import WholeHints
from whatchanged.tracker.hints import PendingHints
from whatchanged.watchers.hints import Hint, Reach


@pytest.mark.parametrize("during", [True, False])
def test_what_shall_be_looked_at_again_later_holds_back_nothing_that_is_told_before(*, during: bool) -> None:
    waiting = PendingHints(lambda: None)
    told = [Hint(b"/", time.monotonic() - 10, Reach.TREE)]

    def look() -> tuple[float, bool]:
        waiting.add(told if during else [])
        return 3600.0, True

    work = WholeHints(waiting, look, lambda: True)
    waiting.add(told)
    work.run()
    if not during:
        later = work.due_at()
        assert later is not None
        assert later > time.monotonic() + 3000
        waiting.add(told)
    sooner = work.due_at()
    assert sooner is not None
    assert sooner < time.monotonic() + 10
