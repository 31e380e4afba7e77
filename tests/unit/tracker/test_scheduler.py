"""The scheduler: what is asked for, or changed, while a job runs is not forgotten."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from whatchanged.records.items import Kind
from whatchanged.tracker.scheduler import Worker

SECONDS = 10.0


class Bench:
    """A worker whose runs are announced and wait for leave to end."""

    def __init__(self) -> None:
        self.begun: SimpleQueue[str] = SimpleQueue()
        self.leave = threading.Semaphore(0)
        self.stop = threading.Event()
        self.worker = Worker(Kind.FILES, self.look, stop=self.stop, on_trouble=lambda kind, error: None)
        self.thread = threading.Thread(target=self.worker.work, daemon=True)

    def look(self, job: str) -> None:
        self.begun.put(job)
        assert self.leave.acquire(timeout=SECONDS)

    def close(self) -> None:
        self.stop.set()
        self.leave.release(100)
        self.worker.wake()
        self.thread.join(SECONDS)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.worker.schedule([("a", 3600.0)], now=True)
    bench.thread.start()
    yield bench
    bench.close()


@pytest.mark.parametrize(
    "act",
    [lambda worker: worker.ask(), lambda worker: worker.schedule([("a", 3600.0)], now=True)],
    ids=["asked", "new plan"],
)
def test_what_is_wanted_during_a_run_runs_after_it(bench: Bench, act: Callable[[Worker], object]) -> None:
    assert bench.begun.get(timeout=SECONDS) == "a"
    act(bench.worker)
    bench.leave.release()
    assert bench.begun.get(timeout=SECONDS) == "a"


def test_who_asked_is_answered_by_the_run_that_began_after(bench: Bench) -> None:
    bench.begun.get(timeout=SECONDS)
    done = bench.worker.ask()
    bench.leave.release()
    bench.begun.get(timeout=SECONDS)
    assert not done.is_set()
    bench.leave.release()
    assert done.wait(SECONDS)


def test_who_asked_for_a_job_that_is_no_more_is_let_go(bench: Bench) -> None:
    bench.begun.get(timeout=SECONDS)
    done = bench.worker.ask()
    bench.worker.schedule([("b", 3600.0)], now=True)
    assert done.wait(SECONDS)
