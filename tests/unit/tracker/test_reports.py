"""What the tracker says of itself: a trouble that comes back is told again."""

from pathlib import Path

import msgspec

from whatchanged.errors import OperationError
from whatchanged.records.items import Kind
from whatchanged.tracker.reports import report_recovery, report_trouble
from whatchanged.tracker.state import OutboxFull, State


def test_a_trouble_its_end_and_its_return_are_each_told_once(tmp_path: Path) -> None:
    state = State(str(tmp_path / "db" / "x.db"), quota_bytes=10**9, machine="m", identity={})
    report_recovery(state, Kind.FILES)
    for error in (OutboxFull("full"), OperationError("broken")):
        for _ in range(2):
            for _ in range(2):
                report_trouble(state, Kind.FILES, error)
            for _ in range(2):
                report_recovery(state, Kind.FILES)
    rows = [msgspec.msgpack.decode(record) for (record,) in state.query("SELECT record FROM outbox ORDER BY id")]
    told = [(row["Status"], row["Reason"]) for row in rows]
    assert (
        told == [("Error", "OutboxFull"), ("Ok", "Collected")] * 2 + [("Error", "Collected"), ("Ok", "Collected")] * 2
    )
    state.close()
