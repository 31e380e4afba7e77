"""All software of the running Windows: what the registry knows, hot fixes by WMI, and Windows Update's history.

The registry answers always; the other two come from services that hang, are switched off, or are not there. Each has
its time, and without an answer its items are kept. The later ones tell only of what the earlier do not know, so where
an earlier one failed, the later ones are left out as well.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import threading
from typing import TypeVar

import msgspec

from whatchanged.collectors.deadline import Question, Unanswered
from whatchanged.collectors.management import ComError, instances
from whatchanged.collectors.outcome import Snapshot, Tally
from whatchanged.collectors.registry.live import LiveRegistry
from whatchanged.collectors.software.update_history import update_history
from whatchanged.collectors.software.windows_registry import SOURCES, RegistrySoftware
from whatchanged.collectors.software.windows_updates import (
    HISTORY,
    HOT_FIX_PROPERTIES,
    HOT_FIXES,
    history_updates,
    hot_fixes,
    kb_numbers,
)
from whatchanged.records.items import SoftwareItem

__all__ = ["WindowsSoftware"]

_SECONDS = 30.0
"""For an answer. Hot fixes take seconds on a machine with hundreds of updates."""
_MOST_HOT_FIXES = 10_000

Answer = TypeVar("Answer")


class WindowsSoftware:
    """Looks at the software of this machine. Keep one: it remembers who did not answer."""

    name = "software"

    def __init__(self, stop: threading.Event | None = None) -> None:
        """`stop`: when it is set, nobody is waited for."""
        self._hot_fixes = Question(
            HOT_FIXES,
            lambda: instances("Win32_QuickFixEngineering", HOT_FIX_PROPERTIES, _MOST_HOT_FIXES),
            _SECONDS,
            stop,
        )
        self._history = Question(HISTORY, update_history, _SECONDS, stop)

    def run(self) -> Snapshot[SoftwareItem]:
        """Return all software."""
        tally = Tally()
        looked = RegistrySoftware(LiveRegistry(tally)).run()
        items = {item.key(): item for item in looked.items}
        known = kb_numbers(looked.items)
        told: set[str] = set()
        if looked.scopes >= SOURCES and (rows := _answer(self._hot_fixes, HOT_FIXES, tally)) is not None:
            told.add(HOT_FIXES)
            found = list(hot_fixes(rows, known))
            items.update((item.key(), item) for item in found)
            # One whose log was cleared knows nothing, which is not that nothing is installed.
            if entries := _answer(self._history, HISTORY, tally):
                told.add(HISTORY)
                later = history_updates(entries, known | kb_numbers(found))
                items.update((item.key(), item) for item in later)
        tally.seen = tally.looked = len(items)
        unasked = (source.encode() for source in (HOT_FIXES, HISTORY) if source not in told)
        return msgspec.structs.replace(
            looked,
            items=tuple(item for _, item in sorted(items.items())),
            outcome=tally.outcome(),
            kept=tuple(sorted((*looked.kept, *unasked))),
            scopes=looked.scopes | told,
        )


def _answer(question: Question[Answer], source: str, tally: Tally) -> Answer | None:
    """Return the answer, or None and say why."""
    try:
        return question.answer()
    except (Unanswered, ComError) as error:
        tally.deny(source.encode(), str(error))
        return None
