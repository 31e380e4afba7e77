"""The state database: sequences, the outbox, and what happens to a database that is not ours any more."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from whatchanged.errors import StateError
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind, SoftwareItem
from whatchanged.records.keys import checksum, item_digest
from whatchanged.records.streams import DataType
from whatchanged.tracker.state import OutboxFull, State
from whatchanged.tracker.witness import Witness

STREAM = DataType.CONFIG_CHANGE_V2


def open_state(folder: Path, *, quota: int = 10**9, machine: str = "m1") -> State:
    path = folder / "tracker" / "db" / "changetracking.db"
    return State(str(path), quota_bytes=quota, machine=machine, identity={"Computer": "host"})


def put(state: State, count: int = 1) -> None:
    with state.transaction() as change:
        for number in range(count):
            change.put(STREAM, {"Name": f"n{number}"}, 1)


def sequences(state: State) -> list[tuple[str, int]]:
    return state.query("SELECT epoch, sequence FROM outbox WHERE stream = ? ORDER BY id", (STREAM.value,))


def reasons(state: State) -> list[str]:
    rows = state.query("SELECT record FROM outbox WHERE stream = 'TRACKING_HEALTH' ORDER BY id")
    return [msgspec.msgpack.decode(row[0])["Reason"] for row in rows]


def test_sequences_have_no_holes_over_rollbacks_and_restarts(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    put(state, 2)
    with pytest.raises(RuntimeError), state.transaction() as change:
        change.put(STREAM, {}, 1)
        raise RuntimeError
    put(state)
    epoch = state.epoch
    state.close()
    state = open_state(tmp_path)
    put(state)
    assert sequences(state) == [(epoch, n) for n in (1, 2, 3, 4)]
    state.close()


def test_a_row_leaves_the_outbox_with_its_acknowledgement(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    put(state, 5)
    first = state.outbound(STREAM, rows=3, size=10**6)
    assert first is not None
    assert (first.first, first.last, len(first.entries)) == (1, 3, 3)
    record = msgspec.msgpack.decode(first.entries[0][1])
    assert record == {"Computer": "host", "Name": "n0", "_Stream": STREAM, "_Epoch": state.epoch, "_Sequence": 1}
    state.acknowledged(first)
    again = state.outbound(STREAM, rows=10, size=10**6)
    assert again is not None
    assert (again.first, again.last) == (4, 5)
    state.acknowledged(again)
    assert state.outbox_bytes == 0
    state.close()


def test_a_full_outbox_stops_the_state(tmp_path: Path) -> None:
    state = open_state(tmp_path, quota=2000)
    for _ in range(10):
        try:
            put(state)
        except OutboxFull:
            break
    else:
        pytest.fail("the quota was not kept")
    waiting = state.outbound(STREAM, rows=100, size=10**6)
    assert waiting is not None
    state.acknowledged(waiting)
    put(state)
    state.close()


def test_kill_keeps_what_was_committed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from whatchanged.tracker.state import State\n"
        "from whatchanged.records.streams import DataType\n"
        "s = State(sys.argv[1], quota_bytes=10**9, machine='m1', identity={})\n"
        "for n in range(5):\n"
        "    with s.transaction() as c: c.put(DataType.CONFIG_CHANGE_V2, {'n': n}, 1)\n"
        "s._db.execute('BEGIN IMMEDIATE')\n"
        "s._db.execute('DELETE FROM outbox')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "tracker" / "db" / "changetracking.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    state = open_state(tmp_path)
    assert [n for _, n in sequences(state)] == [1, 2, 3, 4, 5]
    assert len({epoch for epoch, _ in sequences(state)} | {state.epoch}) == 1
    state.close()


def test_a_copy_begins_a_new_epoch_and_looks_anew(tmp_path: Path) -> None:
    state = open_state(tmp_path / "a")
    with state.transaction() as change:
        change.save(SoftwareItem(name="a", version="1"), signature=b"", digest=b"d" * 16, rules="r")
    epoch = state.epoch
    put(state, 3)
    state.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = open_state(tmp_path / "b")
    assert copy.epoch != epoch
    assert copy.inventory_count(Kind.SOFTWARE) == 0
    assert "NewEpoch" in reasons(copy)
    assert [n for e, n in sequences(copy) if e == epoch] == [1, 2, 3]  # same machine: still to be delivered
    copy.close()
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    clone = open_state(tmp_path / "c", machine="m2")
    assert [n for e, n in sequences(clone) if e == epoch] == []  # another machine's records are not ours to send
    clone.close()
    original = open_state(tmp_path / "a")
    assert original.epoch == epoch
    original.close()


def test_a_database_rolled_back_in_place_is_recognised(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    put(state, 3)
    epoch = state.epoch
    state.close()
    path = tmp_path / "tracker" / "db" / "changetracking.db"
    backup = path.read_bytes()
    state = open_state(tmp_path)
    assert state.epoch == epoch
    state.close()
    path.write_bytes(backup)  # same inode, older content
    state = open_state(tmp_path)
    assert state.epoch != epoch
    assert "NewEpoch" in reasons(state)
    state.close()


def test_a_rollback_within_one_life_is_recognised_by_what_was_sent(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    epoch = state.epoch
    path = tmp_path / "tracker" / "db" / "changetracking.db"
    state.query("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = path.read_bytes()
    put(state, 3)
    assert state.outbound(STREAM, rows=10, size=10**6) is not None
    state.close()
    for suffix in ("-wal", "-shm"):
        if os.path.exists(f"{path}{suffix}"):
            os.unlink(f"{path}{suffix}")
    path.write_bytes(backup)
    state = open_state(tmp_path)
    assert state.epoch != epoch
    state.close()


def test_a_damaged_database_is_set_aside_and_said(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    epoch = state.epoch
    state.close()
    path = tmp_path / "tracker" / "db" / "changetracking.db"
    path.write_bytes(b"no database at all" * 1000)
    state = open_state(tmp_path)
    assert state.epoch != epoch
    assert "StateRecreated" in reasons(state)
    assert path.with_suffix(".db.damaged").exists()
    state.close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    open_state(tmp_path).close()
    path = tmp_path / "tracker" / "db" / "changetracking.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StateError, match="format 99"):
        open_state(tmp_path)


def test_the_checksum_is_over_sorted_keys(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    items = [SoftwareItem(name=name, version="1") for name in ("b", "a-x", "a", "a/y")]
    with state.transaction() as change:
        for item in items:
            change.save(item, signature=b"", digest=item_digest(item.columns()), rules="")
    expected = checksum(sorted((item.key(), item_digest(item.columns())) for item in items))
    assert state.inventory_checksum(Kind.SOFTWARE) == (4, expected)
    with state.transaction() as change:
        change.forget(Kind.SOFTWARE, items[0].key())
    assert state.inventory_checksum(Kind.SOFTWARE)[0] == 3
    state.close()


def test_health_says_a_thing_once(tmp_path: Path) -> None:
    state = open_state(tmp_path)

    def record(detail: str) -> HealthRecord:
        return HealthRecord(
            component=Component.TRACKER,
            status=HealthStatus.OK,
            reason=HealthReason.COLLECTED,
            time_ns=1,
            detail=detail,
        )

    for detail in ("a", "a", "b", "b", "a"):
        state.report(record(detail), subject="s")
    assert reasons(state) == ["Collected"] * 3
    state.close()


def test_events_are_told_every_time_and_leave_nothing_behind(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    event = HealthRecord(
        component=Component.TRACKER, status=HealthStatus.OK, reason=HealthReason.STARTED, time_ns=1, detail="x"
    )
    for _ in range(3):
        state.report(event, subject=None)
    assert reasons(state) == ["Started"] * 3
    assert state.query("SELECT COUNT(*) FROM health") == [(0,)]
    state.close()


def test_a_database_that_cannot_be_opened_is_not_taken_for_damaged(tmp_path: Path) -> None:
    path = tmp_path / "tracker" / "db" / "changetracking.db"
    path.mkdir(parents=True)  # sqlite cannot open it, which says nothing about its content
    with pytest.raises(StateError):
        open_state(tmp_path)
    assert path.is_dir()


def witness_of(folder: Path) -> Path:
    return folder / "tracker" / "epoch.json"


def test_another_number_of_the_same_device_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.touch()
    witness = Witness.of(str(path), epoch="e", opened=1)
    monkeypatch.setattr(os, "stat", lambda _: os.stat_result((0o600, witness.inode, 77, 1, 0, 0, 0, 0, 0, 0)))
    assert witness.objection(epoch="e", opened=1, path=str(path), last={}) == ""


def test_a_copy_on_the_same_inode_is_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    witness = Witness.of(str(path), epoch="e", opened=1)
    if not witness.born:
        pytest.skip("the file system knows no birth times")
    witness.born += 1
    assert "copy" in witness.objection(epoch="e", opened=1, path=str(path), last={})


def test_the_state_of_another_machine_begins_a_new_epoch(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    put(state, 2)
    epoch = state.epoch
    state.close()
    open_state(tmp_path, machine="").close()  # no /etc/machine-id yet: nobody can say
    state = open_state(tmp_path)
    assert state.epoch == epoch
    state.close()
    state = open_state(tmp_path, machine="m2")
    assert state.epoch != epoch
    assert sequences(state) == []
    assert "NewEpoch" in reasons(state)
    state.close()


def test_a_crash_between_a_new_epoch_and_its_witness_is_no_new_life(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    put(state)
    assert state.outbound(STREAM, rows=1, size=1) is not None
    before = witness_of(tmp_path).read_bytes()
    with state.transaction() as change:
        change.new_epoch()
        change.save(SoftwareItem(name="a", version="1"), signature=b"", digest=b"d" * 16, rules="r")
    epoch = state.epoch
    state.close()
    witness_of(tmp_path).write_bytes(before)
    state = open_state(tmp_path)
    assert state.epoch == epoch
    assert state.inventory_count(Kind.SOFTWARE) == 1
    state.close()


def test_a_crash_before_the_first_witness_is_no_second_life(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    epoch = state.epoch
    state.close()
    witness_of(tmp_path).unlink()
    state = open_state(tmp_path)
    assert (state.epoch, reasons(state)) == (epoch, [])
    state.close()


def test_a_database_that_was_taken_away_is_said(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    put(state)
    state.close()
    shutil.rmtree(tmp_path / "tracker" / "db")
    state = open_state(tmp_path)
    assert reasons(state) == ["StateRecreated"]
    state.close()


def test_saying_nothing_new_writes_nothing(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    record = HealthRecord(
        component=Component.TRACKER, status=HealthStatus.OK, reason=HealthReason.COLLECTED, time_ns=1, detail="x"
    )
    state.report(record, subject="s")
    log = tmp_path / "tracker" / "db" / "changetracking.db-wal"
    size = log.stat().st_size
    for _ in range(3):
        state.report(record, subject="s")
    assert log.stat().st_size == size
    state.close()
