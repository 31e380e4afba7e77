"""The local store: duplicates, overlap, quota, refusal, and a kill in the middle of writing."""

import queue
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from whatchanged.errors import OperationError
from whatchanged.forwarder.store import Store

EPOCH = "0" * 32
STREAM = "CONFIG_CHANGE_BLOB_V2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(str(tmp_path / "Tables"), 10**9)
    yield made
    made.close()


def test_no_file_before_the_first_row(tmp_path: Path, store: Store) -> None:
    assert list((tmp_path / "Tables").iterdir()) == []
    store.append(STREAM, EPOCH, 1, [b"a"])
    assert (tmp_path / "Tables" / f"{STREAM}.db").exists()


def test_a_chunk_that_is_stored_is_not_stored_again_even_when_its_rows_are_gone(tmp_path: Path, store: Store) -> None:
    assert store.append(STREAM, EPOCH, 1, [b"a", b"b"]) == 2
    assert store.append(STREAM, EPOCH, 1, [b"a", b"b"]) == 0
    assert store.append(STREAM, EPOCH, 2, [b"b", b"c"]) == 1
    rows = store.lease(STREAM, 10, 10**6)
    assert [(row.first, row.record) for row in rows] == [(1, b"a"), (2, b"b"), (3, b"c")]
    store.settle(STREAM, rows)
    store.close()
    again = Store(str(tmp_path / "Tables"), 10**9)
    assert again.append(STREAM, EPOCH, 1, [b"a", b"b", b"c"]) == 0
    assert again.depth() == {STREAM: (0, 0)}
    again.close()


def test_over_the_quota_the_oldest_go_and_one_eviction_says_which(store: Store) -> None:
    for sequence in range(1, 51):
        store.append(STREAM, EPOCH, sequence, [bytes(100)])
    store.set_quota(2_000)
    store.append(STREAM, EPOCH, 51, [bytes(100)])
    rows = store.lease(STREAM, 100, 10**6)
    assert rows[0].reason == "Quota"
    assert (rows[0].first, rows[0].count) == (1, rows[0].last)
    assert [row.first for row in rows[1:]] == list(range(rows[0].last + 1, 52))
    assert sum(note.count for note in store.take_dropped()) == rows[0].count
    assert store.depth()[STREAM][1] <= 2_000


def test_rows_under_way_are_not_evicted(store: Store) -> None:
    store.append(STREAM, EPOCH, 1, [bytes(100)] * 5)
    rows = store.lease(STREAM, 3, 10**6)
    store.set_quota(1)
    store.append(STREAM, EPOCH, 6, [bytes(100)])
    store.settle(STREAM, rows)
    store.release(STREAM)
    (left,) = store.lease(STREAM, 100, 10**6)
    assert (left.reason, left.first, left.last, left.count) == ("Quota", 4, 6, 3)


def test_refused_rows_become_an_eviction_in_their_place(store: Store) -> None:
    store.append(STREAM, EPOCH, 1, [b"a", b"b", b"c"])
    rows = store.lease(STREAM, 10, 10**6)
    store.refuse(STREAM, rows[1:2], "Refused", evict=True)
    assert [(r.first, r.reason) for r in store.lease(STREAM, 10, 10**6)] == [(1, None), (2, "Refused"), (3, None)]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    folder = str(tmp_path / "Tables")
    program = f"""
import sys
import threading
from whatchanged.errors import OperationError
from whatchanged.forwarder.store import Store
store = Store({folder!r}, 10**9)
sequence = 1
while True:
    store.append({STREAM!r}, {EPOCH!r}, sequence, [b"x" * 100] * 10)
    sequence += 10
    print(sequence - 1, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = 0
    for line in child.stdout:
        acknowledged = int(line)
        if acknowledged >= 100:
            child.kill()
            break
    child.stdout.close()
    child.wait()
    store = Store(folder, 10**9)
    rows = store.lease(STREAM, 10**6, 10**9)
    assert len(rows) >= acknowledged
    assert [row.first for row in rows] == list(range(1, len(rows) + 1))
    store.close()


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"\xa5" * (path.stat().st_size - at))


def filled(tmp_path: Path) -> Path:
    store = Store(str(tmp_path / "Tables"), 10**9)
    store.append(STREAM, EPOCH, 1, [bytes(200_000)] * 20)  # more than SQLite caches
    store.append("TRACKING_HEALTH", EPOCH, 1, [b"h"])
    store.close()
    return tmp_path / "Tables" / f"{STREAM}.db"


@pytest.mark.parametrize("at", [0, 4096])
def test_a_damaged_database_is_set_aside_at_the_start(at: int, tmp_path: Path) -> None:
    path = filled(tmp_path)
    damage(path, at)
    store = Store(str(tmp_path / "Tables"), 10**9)
    (told,) = store.take_damages()
    assert (told.stream, told.rows) == (STREAM, None)
    assert Path(told.kept_as).exists()
    assert store.take_damages() == []
    assert store.depth() == {STREAM: (0, 0), "TRACKING_HEALTH": (1, 65)}
    assert store.append(STREAM, EPOCH, 21, [b"next"]) == 1
    store.close()
    again = Store(str(tmp_path / "Tables"), 10**9)
    assert again.take_damages() == []
    assert again.depth()[STREAM][0] == 1
    again.close()


def test_damage_that_shows_while_it_runs_is_counted_and_costs_nothing_that_came_later(tmp_path: Path) -> None:
    path = filled(tmp_path)
    store = Store(str(tmp_path / "Tables"), 10**9)
    under_way = store.lease(STREAM, 1, 10**6)  # an upload of the first row is under way
    damage(path, 2 * 4096)
    with pytest.raises(OperationError):
        store.lease(STREAM, 100, 10**6)
    (told,) = store.take_damages()
    assert told.rows == 20
    assert store.append(STREAM, EPOCH, 21, [b"a", b"b"]) == 2
    store.settle(STREAM, under_way)  # the server took it: nothing newer goes with it
    assert [row.first for row in store.lease(STREAM, 10, 10**6)] == [21, 22]
    store.close()


def test_records_of_others_are_stored_together_and_a_chunk_only_once(store: Store) -> None:
    def make(epoch: str, sequence: int) -> bytes:
        return b"%d" % sequence

    def fail(epoch: str, sequence: int) -> bytes:
        raise OperationError("no record")

    store.append_own("Custom-1-a", make, make, chunk="one")
    store.append_own("Custom-1-a", make, make, chunk="one")
    with pytest.raises(OperationError):
        store.append_own("Custom-1-a", make, fail, chunk="two")
    store.append_own("Custom-1-a", make, chunk="two")
    store.append_own("Custom-1-a", chunk="three")
    assert [row.record for row in store.lease("Custom-1-a", 10, 10**6)] == [b"1", b"2", b"3"]


def test_a_store_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE chunks")
        database.execute("PRAGMA user_version = 1")
    database.close()
    store = Store(str(tmp_path / "Tables"), 10**9)
    store.append_own(STREAM, lambda epoch, sequence: b"x", chunk="c")
    assert store.depth()[STREAM][0] == 21
    store.close()


def test_who_waits_for_rows_is_woken_by_them_and_by_the_end(store: Store) -> None:
    stop = threading.Event()
    before = store.wait(-1, stop)
    woken: queue.Queue[int] = queue.Queue()

    def wait() -> None:
        woken.put(store.wait(before, stop))

    waiting = threading.Thread(target=wait)
    waiting.start()
    store.append(STREAM, EPOCH, 1, [b"one"])
    assert woken.get(timeout=30) == before + 1
    waiting.join()

    before += 1
    waiting = threading.Thread(target=wait)
    waiting.start()
    stop.set()
    store.wake()
    assert woken.get(timeout=30) == before
    waiting.join()
    store.shrink()
    assert store.depth()[STREAM][0] == 1
