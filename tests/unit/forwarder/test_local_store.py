"""The local store: duplicates, overlap, quota, refusal, and a kill in the middle of writing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
