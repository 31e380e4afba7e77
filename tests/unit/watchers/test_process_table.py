"""The table of lives, fed with events that never happened: the reused pid, the late reading, the lost event."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.audit_records import Execution, LoginSet
from whatchanged.watchers.processes.proc import Reading, Stat
from whatchanged.watchers.processes.table import ProcessTable
from whatchanged.watchers.processes.taskstats import ExitRecord

S = 10**9
MS = 10**6


def reading(
    pid: int, at_ns: int, name: str, *, layout: str = "", ticks: int = 1, start_ns: int = 0, user: int | None = None
) -> Reading:
    """Say what /proc shows of `name`; each program has a layout of its own, as with random addresses."""
    stat = Stat(name.encode(), 1, ticks, ((layout or name).encode(),))
    return Reading(
        pid,
        at_ns,
        at_ns + 1000,
        stat,
        start_ns,
        f"/bin/{name} -x",
        f"/usr/bin/{name}",
        user,
        1000,
        f"{name}.service",
        login_read=True,
    )


def record(pid: int, name: str) -> ExitRecord:
    return ExitRecord(pid, 1, name.encode(), 0, 0, 0)


def shell() -> ProcessTable:
    """Return a table that found a shell, pid 10, at second 0."""
    table = ProcessTable()
    table.complete_from_ns = 0
    table.found(reading(10, 0, "sh", user=0))
    return table


def at(table: ProcessTable, pid: int, moment: int) -> Actor | None:
    return table.who(pid, moment, moment)


def test_a_program_and_who_started_it() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 2 * MS, "cp"))
    table.exited(2 * S, 11, 11)
    expected = Actor(11, "cp", "/bin/cp -x", "/usr/bin/cp", 0, 1000, 10, "sh", "cp.service")
    assert at(table, 11, S + 3 * MS) == expected
    assert table.who(11, 3 * S, S // 2) == expected  # the stretch is wider than the life
    assert at(table, 11, 2 * S + 1) is None
    assert at(table, 11, S - 1) is None


def test_a_program_that_ended_before_it_was_read_has_the_name_of_its_record() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, None)
    table.exited(S + 2 * MS, 11, 11)
    assert table.who(11, S + 2 * MS, S) == Actor(11, None, None, None, 0, None, 10, "sh", None)
    table.recorded(record(11, "cp"), S)
    assert table.who(11, S + 2 * MS, S) == Actor(11, "cp", None, None, 0, None, 10, "sh", None)


def test_a_copy_has_the_program_of_its_parent_once_that_is_confirmed() -> None:
    for confirmation in ("record", "reading"):
        table = shell()
        table.forked(S, 11, 10)
        unsure = at(table, 11, S + MS)
        assert unsure is not None
        assert (unsure.name, unsure.command_line, unsure.account) == (None, None, 0)
        assert table.unconfirmed(S + 1) == [11]
        if confirmation == "record":
            table.recorded(record(11, "sh"), S)
        else:
            table.confirm(11, reading(11, S + 20 * MS, "sh", ticks=2, start_ns=S))
        actor = at(table, 11, S + MS)
        assert actor is not None
        assert (actor.name, actor.command_line, actor.parent_pid) == ("sh", "/bin/sh -x", 10)


def test_a_copy_of_something_else_than_its_parent_is_not_taken_for_it() -> None:
    table = shell()
    table.forked(S, 11, 10)  # CLONE_PARENT: the copied process is not known
    table.recorded(record(11, "runc"), S)
    actor = at(table, 11, S + MS)
    assert actor is not None
    assert (actor.name, actor.command_line) == ("runc", None)


def test_a_copy_that_shows_another_program_is_unknown_until_no_event_can_explain_it() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.confirm(11, reading(11, S + 20 * MS, "postgres", ticks=2, start_ns=S))
    assert at(table, 11, S + MS) == Actor(11, account=0, parent_pid=10, parent_name="sh")
    table.settle(S + 200 * MS)
    actor = at(table, 11, S + MS)
    assert actor is not None
    assert (actor.name, actor.command_line) == ("postgres", "/bin/postgres -x")

    table.forked(2 * S, 12, 10)
    table.confirm(12, reading(12, 2 * S + 20 * MS, "cp", ticks=3, start_ns=2 * S))
    table.executed(2 * S + 20 * MS + 1, 12, reading(12, 2 * S + 21 * MS, "cp", ticks=3, start_ns=2 * S))
    table.settle(3 * S)
    before, after = at(table, 12, 2 * S + MS), at(table, 12, 2 * S + 30 * MS)
    assert before is not None
    assert after is not None
    assert (before.name, after.name) == (None, "cp")


def test_a_chain_of_programs_is_told_apart_by_the_moment() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(2 * S, 11, reading(11, 2 * S + MS, "runuser"))
    table.user_changed(3 * S, 11, 11, 65534)
    table.executed(4 * S, 11, reading(11, 4 * S + MS, "cp"))
    seen = [at(table, 11, moment * S + 5 * MS) for moment in (2, 3, 4)]
    assert [(a.name, a.account) for a in seen if a] == [("runuser", 0), ("runuser", 65534), ("cp", 65534)]
    both = table.who(11, 5 * S, 2 * S)
    assert both == Actor(11, login_account=1000, parent_pid=10, parent_name="sh", service="cp.service")
    late = table.who(11, 5 * S, 4 * S)
    assert late is not None
    assert (late.name, late.account) == ("cp", 65534)


def test_a_late_reading_is_of_the_program_that_came_last() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 9 * MS, "cp"))  # in truth sh ran until the next event
    assert not table.wants_reading(S + 5 * MS, 11)
    table.executed(S + 5 * MS, 11, None)
    before, after = at(table, 11, S + 2 * MS), at(table, 11, S + 6 * MS)
    assert before is not None
    assert after is not None
    assert (before.name, before.command_line) == (None, None)
    assert (after.name, after.command_line) == ("cp", "/bin/cp -x")


def test_a_reading_just_before_the_next_program_is_of_neither_unless_the_next_is_read_too() -> None:
    for second, name in ((None, None), ("cp", None), ("mv", "cp")):
        table = shell()
        table.forked(S, 11, 10)
        table.executed(S + MS, 11, reading(11, S + 2 * MS, "cp"))
        table.executed(S + 3 * MS, 11, reading(11, S + 4 * MS, second) if second else None)
        before = at(table, 11, S + 2 * MS)
        assert before is not None
        assert before.name == name


def test_a_copy_made_before_the_doubt_loses_the_program_too() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 9 * MS, "cp"))
    table.forked(S + 2 * MS, 12, 11)
    table.executed(S + 5 * MS, 11, None)
    table.recorded(record(12, "sh"), S)
    actor = at(table, 12, S + 3 * MS)
    assert actor is not None
    assert (actor.name, actor.command_line, actor.executable) == ("sh", None, None)


def test_a_reused_pid_is_two_processes() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 2 * MS, "cp", ticks=100, start_ns=S))
    table.exited(2 * S, 11, 11)
    table.forked(3 * S, 11, 10)
    table.executed(3 * S + MS, 11, reading(11, 3 * S + 2 * MS, "mv", ticks=300, start_ns=3 * S))
    first, second = at(table, 11, S + MS), at(table, 11, 3 * S + MS)
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("cp", "mv")
    assert at(table, 11, 2 * S + MS) is None
    assert table.who(11, 3 * S + MS, S + MS) is None  # either of them


def test_a_reading_that_met_the_next_process_is_taken_back() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 50 * MS, "mv", ticks=100, start_ns=S))
    table.exited(S + 2 * MS, 11, 11)
    table.forked(S + 40 * MS, 11, 10)
    first = at(table, 11, S + MS)
    assert first == Actor(11, account=0, parent_pid=10, parent_name="sh")


def test_a_reading_of_a_process_that_began_later_is_not_believed() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, 9 * S, "mv", ticks=900, start_ns=9 * S))
    assert at(table, 11, S + MS) == Actor(11, account=0, parent_pid=10, parent_name="sh")


def test_what_was_before_a_process_was_found_is_not_known() -> None:
    table = ProcessTable()
    table.complete_from_ns = 5 * S
    table.found(reading(10, 6 * S, "sshd", user=0))
    assert at(table, 10, 6 * S - 1) is None
    assert table.who(10, 7 * S, 5 * S) is None
    actor = at(table, 10, 7 * S)
    assert actor is not None
    assert (actor.name, actor.account) == ("sshd", 0)
    # Events that were waiting while it was read change nothing: the reading is later.
    table.user_changed(6 * S - 1, 10, 10, 7)
    table.executed(6 * S - 1, 10, None)
    table.exited(6 * S - 1, 10, 10)
    assert at(table, 10, 7 * S) == actor
    table.forked(6 * S - 1, 10, 1)
    assert at(table, 10, 7 * S) == actor


def test_lost_events_end_all_certainty() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 2 * MS, "cp"))
    table.lost(2 * S)
    before = at(table, 11, 2 * S)
    assert before is not None
    assert before.name == "cp"
    assert at(table, 11, 2 * S + 1) is None
    assert table.who(11, 3 * S, S) is None
    table.executed(4 * S, 11, reading(11, 4 * S + MS, "mv"))
    assert at(table, 11, 3 * S) is None
    after = at(table, 11, 5 * S)
    assert after is not None
    assert (after.name, after.account, after.parent_pid) == ("mv", None, None)


def test_threads_with_users_of_their_own_make_the_user_unknown() -> None:
    table = shell()
    table.user_changed(S, 10, 99, 1000)
    threads = at(table, 10, S + MS)
    assert threads is not None
    assert threads.account is None
    table.user_changed(2 * S, 10, 10, 1000)
    all_alike = at(table, 10, 2 * S + MS)
    assert all_alike is not None
    assert all_alike.account == 1000


def test_a_process_that_renames_itself() -> None:
    table = shell()
    table.renamed(S, 10, 99, b"thread")
    table.renamed(2 * S, 10, 10, b"worker")
    names = [actor.name for moment in (S, 3 * S) if (actor := at(table, 10, moment))]
    assert names == ["sh", "worker"]


def test_the_thread_that_takes_the_process_over() -> None:
    table = shell()
    table.exited(S, 10, 99)
    assert at(table, 10, S + MS) is not None
    table.exited(2 * S, 10, 10)
    assert at(table, 10, 2 * S + MS) is None
    table.executed(3 * S, 10, reading(10, 3 * S + MS, "cp"))
    actor = at(table, 10, 3 * S + MS)
    assert actor is not None
    assert (actor.name, actor.account) == ("cp", 0)


def test_memory_is_bounded() -> None:
    table = ProcessTable(most_living=50, most_ended=20)
    table.complete_from_ns = 0
    for pid in range(100, 300):
        table.forked(pid * MS, pid, 1)
    assert len(table) == 50
    assert table.who(250, 250 * MS, 250 * MS) is None
    for pid in range(100, 300):
        table.exited(400 * MS, pid, pid)
    assert len(table) == 20


def test_ended_processes_are_forgotten_and_with_them_the_certainty_that_a_pid_was_free() -> None:
    table = shell()
    table.forked(S, 11, 10)
    table.exited(2 * S, 11, 11)
    table.forked(40 * S, 12, 10)
    table.exited(41 * S, 12, 12)
    assert at(table, 11, S) is None
    table.forked(42 * S, 11, 10)
    assert table.who(11, 42 * S, S) is None
    assert table.who(11, 42 * S, 41 * S) is not None


# Histories: what truly happened, told by events in order and by readings that come any time later.

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fork", "exec", "exec", "user", "exit", "lose"]),
        st.integers(20, 21),
        st.integers(1, 150),  # ms until it happens
        st.one_of(st.none(), st.integers(0, 300)),  # ms until the program is read; None: never
    ),
    min_size=8,
    max_size=40,
)


class Truth:
    """What every pid was, at every millisecond."""

    def __init__(self) -> None:
        self.programs: dict[int, list[tuple[int, str | None, int]]] = {}

    def set(self, pid: int, at_ms: int, program: str | None, user: int) -> None:
        self.programs.setdefault(pid, []).append((at_ms, program, user))

    def of(self, pid: int, at_ms: int) -> tuple[str | None, int]:
        now: tuple[str | None, int] = (None, -1)
        for since, program, user in self.programs.get(pid, []):
            if since <= at_ms:
                now = (program, user)
        return now


@given(STEPS)
def test_no_history_has_a_wrong_answer(steps: list[tuple[str, int, int, int | None]]) -> None:
    truth, events, births, end_ms = _history(steps)
    table = ProcessTable()
    table.complete_from_ns = 0
    table.found(reading(10, 0, "sh", user=0))
    last = 0
    for what, pid, at_ms, delay in events:
        at_ns = at_ms * MS
        if what == "lose":
            table.lost(last)
            continue
        if what == "fork":
            table.forked(at_ns, pid, 10)
        elif what == "user":
            table.user_changed(at_ns, pid, pid, truth.of(pid, at_ms)[1])
        elif what == "exit":
            table.exited(at_ns, pid, pid)
        elif what == "exec":
            late = None
            if delay is not None and table.wants_reading(at_ns, pid):
                when = at_ms + delay
                program, user = truth.of(pid, when)
                birth = max([b for b in births.get(pid, []) if b <= when], default=0)
                if program is not None:
                    late = reading(pid, when * MS + 1, program, ticks=birth, start_ns=birth * MS, user=user)
            table.executed(at_ns, pid, late)
        last = at_ns
    for pid in (20, 21):
        for moment in range(0, end_ms + 200, 7):
            actor = table.who(pid, moment * MS + 500, moment * MS + 500)
            if actor is None:
                continue
            program, user = truth.of(pid, moment)
            assert actor.account in (None, user)
            assert actor.name in (None, program)
            assert actor.command_line in (None, f"/bin/{program} -x")


def _history(
    steps: list[tuple[str, int, int, int | None]],
) -> tuple[Truth, list[tuple[str, int, int, int | None]], dict[int, list[int]], int]:
    truth = Truth()
    events: list[tuple[str, int, int, int | None]] = []
    births: dict[int, list[int]] = {}
    alive: dict[int, int] = {}
    now = 0
    for number, (what, pid, pause, delay) in enumerate(steps):
        now += pause
        if what == "fork" and pid not in alive:
            alive[pid] = 0
            births.setdefault(pid, []).append(now)
            truth.set(pid, now, "sh", 0)
        elif what == "exec" and pid in alive:
            truth.set(pid, now, f"program{number}", alive[pid])
        elif what == "user" and pid in alive:
            alive[pid] = number
            truth.set(pid, now, truth.of(pid, now)[0], number)
        elif what == "exit" and pid in alive:
            del alive[pid]
            truth.set(pid, now, None, -1)
        elif what != "lose":
            continue
        events.append((what, pid, now, delay))
    return truth, events, births, now


# What audit tells


def audited() -> ProcessTable:
    """Return a table that found a shell, pid 10, at second 0, and is told executions by audit."""
    table = ProcessTable(audited=True)
    table.found_all(0)
    table.found(reading(10, 0, "sh", user=0))
    return table


def told(table: ProcessTable, pid: int, at_ns: int, name: str, *, serial: int = 1, login: int | None = 1000) -> None:
    arguments = f"/bin/{name}\0-x\0".encode()
    execution = Execution(pid, at_ns, serial, login, name.encode(), f"/usr/bin/{name}", arguments)
    table.told(execution, at_ns, at_ns + 500 * MS)


def test_a_program_that_was_never_read_is_what_audit_told() -> None:
    table = audited()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, None)
    table.exited(S + 2 * MS, 11, 11)
    before = at(table, 11, S + 2 * MS)
    assert before == Actor(11, None, None, None, 0, None, 10, "sh", None)
    assert table.settled_ns(11, S + 2 * MS) > S + 2 * MS  # it may still be told
    told(table, 11, S, "cp")
    assert table.settled_ns(11, S + 2 * MS) == S + 2 * MS
    assert at(table, 11, S + 2 * MS) == Actor(11, "cp", "/bin/cp -x", "/usr/bin/cp", 0, 1000, 10, "sh", None)
    table.recorded(record(11, "cp"), S)
    assert at(table, 11, S + 2 * MS) == Actor(11, "cp", "/bin/cp -x", "/usr/bin/cp", 0, 1000, 10, "sh", None)


def test_where_audit_and_proc_contradict_each_other_nothing_is_said() -> None:
    table = audited()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 2 * MS, "cp"))
    told(table, 11, S, "mv", login=0)
    actor = at(table, 11, S + 3 * MS)
    assert actor == Actor(11, None, None, None, 0, None, 10, "sh", "cp.service")


def test_where_they_agree_nothing_changes() -> None:
    one, other = shell(), audited()
    for table in (one, other):
        table.forked(S, 11, 10)
        table.executed(S + MS, 11, reading(11, S + 2 * MS, "cp"))
    told(other, 11, S, "cp")
    assert at(one, 11, S + 3 * MS) == at(other, 11, S + 3 * MS)


def test_a_command_line_of_which_less_was_read_is_told_whole() -> None:
    table = audited()
    table.forked(S, 11, 10)
    short = msgspec.structs.replace(reading(11, S + 2 * MS, "cp"), command_line="/bin/cp " + "é" * 252)
    table.executed(S + MS, 11, short)
    arguments = ("/bin/cp\0" + "é" * 300).encode()
    table.told(Execution(11, S, 1, 1000, b"cp", "/usr/bin/cp", arguments), S, S + MS)
    actor = at(table, 11, S + 3 * MS)
    assert actor is not None
    assert actor.command_line == "/bin/cp " + "é" * 300


def test_a_copy_has_the_command_line_but_not_the_login_that_audit_told_of_its_parent() -> None:
    table = audited()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, None)
    told(table, 11, S, "sshd", login=None)
    table.forked(2 * S, 12, 11)
    table.exited(2 * S + MS, 12, 12)
    table.recorded(record(12, "sshd"), 2 * S)
    actor = at(table, 12, 2 * S)
    assert actor is not None
    assert (actor.name, actor.command_line, actor.login_account) == ("sshd", "/bin/sshd -x", None)


def test_what_was_known_of_a_login_is_over_when_another_account_logs_in() -> None:
    table = audited()
    table.forked(S, 11, 10)
    table.executed(S + MS, 11, reading(11, S + 2 * MS, "login"))
    told(table, 11, S, "login", serial=1)
    table.told(LoginSet(11, 2 * S, 2), 2 * S, 3 * S)
    actor = at(table, 11, 2 * S)
    assert actor is not None
    assert (actor.name, actor.login_account) == ("login", None)
    table.executed(3 * S, 11, None)
    told(table, 11, 3 * S, "sh", serial=3, login=1001)
    actor = at(table, 11, 3 * S)
    assert actor is not None
    assert (actor.name, actor.login_account) == ("sh", 1001)


def test_nobody_logged_in_is_something_that_proc_says() -> None:
    for read, said, expected in ((True, None, None), (True, 1000, None), (False, 1000, 1000)):
        table = audited()
        table.forked(S, 11, 10)
        seen = msgspec.structs.replace(reading(11, S + 2 * MS, "cp"), login_user=None, login_read=read)
        table.executed(S + MS, 11, seen)
        told(table, 11, S, "cp", login=said)
        actor = at(table, 11, S + 3 * MS)
        assert actor is not None
        assert (actor.name, actor.login_account) == ("cp", expected)


def test_after_a_loss_audit_tells_nothing_of_what_may_be_missing() -> None:
    table = audited()
    table.forked(S, 11, 10)
    table.lost(S + MS)
    table.executed(2 * S, 11, None)
    told(table, 11, 2 * S, "cp")
    actor = at(table, 11, 2 * S)
    assert actor is not None
    assert (actor.name, actor.command_line) == (None, None)
