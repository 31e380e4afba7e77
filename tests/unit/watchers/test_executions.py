"""Which record of audit is of which execution: never a wrong one, whatever the clocks, the order and the losses."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

from hypothesis import given
from hypothesis import strategies as st

from whatchanged.watchers.processes.audit_records import Execution
from whatchanged.watchers.processes.executions import Executed, Executions, agreed

MS = 10**6
S = 10**9


def execution(pid: int, serial: int) -> Execution:
    return Execution(pid, 0, serial, None)


def test_a_record_and_the_event_it_is_of() -> None:
    executions, program = Executions(), Executed()
    executions.complete(0)
    executions.began(S + MS, 5, program)
    executions.told(execution(5, 1), S, S + 2 * MS)
    assert program.told == execution(5, 1)


def test_two_executions_in_one_tick_are_told_apart_by_their_order_once_both_are_told() -> None:
    executions, first, second = Executions(), Executed(), Executed()
    executions.complete(0)
    executions.began(S + MS, 5, first)
    executions.began(S + 2 * MS, 5, second)
    executions.told(execution(5, 2), S, S + 3 * MS)
    assert (first.told, second.told) == (None, None)  # it may be of either
    executions.told(execution(5, 1), S, S + 3 * MS)
    assert (first.told, second.told) == (execution(5, 1), execution(5, 2))


def test_a_record_of_an_execution_that_was_not_told_is_nobodys() -> None:
    executions, program = Executions(), Executed()
    executions.complete(2 * S)
    executions.began(3 * S, 5, program)
    executions.told(execution(5, 1), S, 3 * S)  # before events were complete
    executions.told(execution(5, 2), 3 * S + 20 * MS, 4 * S)  # after the event
    executions.told(execution(6, 3), 3 * S, 4 * S)
    assert program.told is None
    executions.lost()
    executions.began(5 * S, 5, program)
    executions.told(execution(5, 4), 5 * S, 6 * S)
    assert program.told is None


def test_a_record_that_was_received_before_an_event_is_not_of_it() -> None:
    executions, program = Executions(), Executed()
    executions.complete(0)
    executions.began(S + 5 * MS, 5, program)
    executions.told(execution(5, 1), S, S + 4 * MS)
    assert program.told is None


def test_memory_is_bounded() -> None:
    executions = Executions(most=100)
    executions.complete(0)
    for number in range(10_000):
        executions.began(S + number, number % 3, Executed())
        executions.told(execution(number % 3, number), S + number, S + number)
    assert len(executions) <= 100
    executions.began(60 * S, 1, Executed())
    assert len(executions) == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 3, 11, 40]),  # ms until the next call begins
        st.integers(0, 30),  # ms until its program is in place
        st.booleans(),  # its record is lost
        st.integers(0, 30),  # ms until the record is received
    ),
    max_size=8,
)


@given(STEPS, st.sampled_from([1, 4, 10, 100]))
def test_never_a_wrong_one(steps: list[tuple[int, int, bool, int]], tick_ms: int) -> None:
    """One process executes one program after the other; records come late, out of step, or not at all.

    A tick of 100 ms is that of a virtual processor that stood still.
    """
    executions = Executions()
    executions.complete(0)
    programs: list[Executed] = []
    records: list[tuple[int, int, int, Execution]] = []
    events: list[int] = []
    now = S
    for serial, (pause, takes, lost, late) in enumerate(steps, 1):
        entered = now + pause * MS
        event = entered + takes * MS + serial
        stamped = entered // (tick_ms * MS) * tick_ms * MS
        programs.append(Executed())
        events.append(event)
        if not lost:
            records.append((event + late * MS, serial, stamped // MS * MS, execution(5, serial)))
        now = event
    told = sorted(records, key=lambda record: record[:2])
    place = 0
    for received, _, stamped, record in told:
        while place < len(events) and events[place] <= received:
            executions.began(events[place], 5, programs[place])
            place += 1
        executions.told(record, stamped, received)
    for serial, program in enumerate(programs, 1):
        assert program.told in (None, execution(5, serial))
    if len(records) == len(steps):
        assert all(program.told is not None for program in programs)


@given(st.none() | st.integers(0, 2), st.none() | st.integers(0, 2))
def test_what_contradicts_is_unknown(one: int | None, other: int | None) -> None:
    said = {value for value in (one, other) if value is not None}
    assert agreed(one, other) == (said.pop() if len(said) == 1 else None)
