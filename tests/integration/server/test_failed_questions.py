"""A question that failed leaves nothing behind for the next one, whose asker may not see its rows."""

from __future__ import annotations

import secrets
import threading

import pytest

from e2e.conftest import eventually
from whatchanged.errors import LimitExceeded, OperationError
from whatchanged.server.storage import Storage

# Every part is a block of its own: what was read until the end comes is written already.
SLOW = " UNION ALL ".join(f"SELECT {part} AS part, sleep(0.005) AS slept" for part in range(400))
RUNS = (
    "SELECT count() AS running FROM system.processes "
    "WHERE position(query, {mark:String}) > 0 AND read_rows >= {most:UInt8}"
)


def answers(storage: Storage) -> list[bytes]:
    """Ask by every handle."""
    return [storage.ask("SELECT 'mine'", {}, secrets.token_hex(16)).strip() for _ in range(storage.askers)]


@pytest.mark.parametrize("most", range(1, 11))
def test_rows_of_a_cancelled_question_are_not_in_the_next_answer(storage: Storage, most: int) -> None:
    mark = secrets.token_hex(16)
    failed: list[OperationError] = []

    def ask() -> None:
        try:
            storage.ask(SLOW, {}, mark)
        except OperationError as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        eventually(lambda: storage.query(RUNS, {"mark": mark, "most": most})[0]["running"], what="it runs")
    finally:
        while asking.is_alive():
            storage.cancel(mark)
            asking.join(0.01)
    (error,) = failed
    assert isinstance(error, LimitExceeded)
    assert answers(storage) == [b'["mine"]'] * storage.askers


def test_rows_of_a_question_that_went_wrong_are_not_in_the_next_answer(storage: Storage) -> None:
    wrong = f"{SLOW} UNION ALL SELECT throwIf(sleep(0.05) = 0), 0"
    for _ in range(storage.askers):
        with pytest.raises(OperationError):
            storage.ask(wrong, {}, secrets.token_hex(16))
        assert answers(storage) == [b'["mine"]'] * storage.askers
