"""Who asks how many questions at once: with a clock of the test's own, and questions that end when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from whatchanged.server.query.turns import Busy, Limits, Turns


class Asking:
    """Askers before one counter; `running` names who has a turn, in the order in which the turns were given."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.turns = Turns(Limits(**limits), lambda: self.now)
        self.running: list[str] = []
        self._ends: dict[str, list[asyncio.Event]] = {}

    async def ask(self, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._turn(name))
        await settled()
        return task

    async def _turn(self, name: str) -> None:
        async with self.turns.turn(name):
            self.running.append(name)
            end = asyncio.Event()
            self._ends.setdefault(name, []).append(end)
            try:
                await end.wait()
            finally:
                self.running.remove(name)

    async def end(self, name: str) -> None:
        self._ends[name].pop(0).set()
        await settled()


async def settled() -> None:
    """Let every task go on as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_one_asker_leaves_a_place_for_others() -> None:
    async def test() -> None:
        asking = Asking(at_once=3, of_one_at_once=2)
        tasks = [await asking.ask("greedy") for _ in range(10)]
        assert asking.running == ["greedy", "greedy"]
        assert (asking.turns.running, asking.turns.waiting) == (2, 8)
        modest = await asking.ask("modest")
        assert asking.running == ["greedy", "greedy", "modest"]
        await asking.end("modest")
        assert modest.done()
        for _ in range(10):
            await asking.end("greedy")
        assert all(task.done() for task in tasks)
        assert (asking.turns.running, asking.turns.waiting) == (0, 0)

    run(test())


def test_a_free_place_goes_to_whoever_has_the_fewest() -> None:
    async def test() -> None:
        asking = Asking(at_once=2, of_one_at_once=2)
        tasks = [await asking.ask(name) for name in ("a", "a", "a", "a", "b", "c", "b", "c")]
        seen = []
        for _ in range(6):
            await asking.end(asking.running[0])
            seen.append(asking.running[-1])
        # Neither comes a's third before the first of b and c, nor goes any of them before the others had theirs.
        assert seen == ["b", "c", "a", "b", "c", "a"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (asking.turns.running, asking.turns.waiting) == (0, 0)

    run(test())


def test_too_many_in_the_window_are_told_when_to_come_again() -> None:
    async def test() -> None:
        asking = Asking(at_once=9, of_one_at_once=9, of_one_in_window=2, window_seconds=30)
        await asking.ask("a")
        asking.now += 10
        await asking.ask("a")
        refused = await asking.ask("a")
        with pytest.raises(Busy) as caught:
            await refused
        assert (caught.value.why, caught.value.seconds) == ("rate", 20)
        await asking.ask("b")
        assert asking.running == ["a", "a", "b"]
        asking.now += 20
        await asking.ask("a")
        assert asking.running == ["a", "a", "b", "a"]
        assert asking.turns.refused == {"rate": 1}
        for name in ("a", "a", "a", "b"):
            await asking.end(name)

    run(test())


def test_few_wait_and_not_for_ever() -> None:
    async def test() -> None:
        asking = Asking(at_once=1, of_one_at_once=1, of_one_waiting=1, wait_seconds=0.05)
        first = await asking.ask("a")
        second, third = await asking.ask("a"), await asking.ask("a")
        with pytest.raises(Busy) as caught:
            await third
        assert caught.value.why == "waiting"
        with pytest.raises(Busy) as caught:
            await second
        assert caught.value.why == "turn"
        assert asking.turns.waiting == 0
        await asking.end("a")
        assert first.done()

    run(test())


def test_who_goes_away_while_he_waits_leaves_nothing() -> None:
    async def test() -> None:
        asking = Asking(at_once=1, of_one_at_once=1)
        await asking.ask("a")
        gone, next_one = await asking.ask("b"), await asking.ask("c")
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await asking.end("a")
        assert asking.running == ["c"]
        # Both at once: the turn comes to one that goes away in the same moment, and passes on.
        late, last = await asking.ask("d"), await asking.ask("e")
        asking._ends["c"].pop().set()
        await asyncio.sleep(0)
        assert next_one.done()
        assert "d" not in asking.running
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        await settled()
        assert asking.running == ["e"]
        await asking.end("e")
        assert last.done()
        assert asking.turns.running == 0

    run(test())


def test_askers_of_whom_nothing_is_left_are_forgotten() -> None:
    async def test() -> None:
        asking = Asking(window_seconds=30)
        for number in range(100):
            await asking.ask(f"n{number}")
            await asking.end(f"n{number}")
        asking.now += 31
        await asking.ask("last")
        assert list(asking.turns._askers) == ["last"]
        await asking.end("last")

    run(test())
