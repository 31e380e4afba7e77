"""Who, with the real kernel: processes that end at once, under other users, in pipelines, and after a loss.

Not shown here: a login account (needs a kernel with audit) and a service (needs systemd).
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whatchanged.errors import OperationError
from whatchanged.watchers.processes.actor import Actor
from whatchanged.watchers.processes.connector import Connector, Exited
from whatchanged.watchers.processes.observer import ProcessObserver

ROUNDS = 300
NOBODY = 65534


def _events_come() -> bool:
    try:
        Connector().close()
    except OperationError:
        return False
    return True


pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not _events_come(), reason="no process events: needs CAP_NET_ADMIN and the initial namespaces"),
]


@pytest.fixture
def observer() -> Iterator[ProcessObserver]:
    with ProcessObserver() as running:
        assert running.health().events == ""
        yield running


class Tally:
    """Counts answers by what is expected of the process; a wrong one fails at once."""

    def __init__(self) -> None:
        self.asked = 0
        self.known = 0
        self.commands = 0

    def add(self, actor: Actor | None, *, name: str, account: int, parent: int | None, command: str | None) -> None:
        self.asked += 1
        if actor is None:
            return
        assert actor.name in (None, name)
        assert actor.account in (None, account)
        assert parent is None or actor.parent_pid in (None, parent)
        assert command is None or actor.command_line in (None, command)
        self.known += (actor.name, actor.account) == (name, account)
        self.commands += actor.command_line is not None

    def assert_enough(self) -> None:
        """99 of a hundred are known; of fewer, two may have been missed while the machine was busy."""
        assert self.asked - self.known <= max(2, self.asked // 100), f"known {self.known} of {self.asked}"


def settle(observer: ProcessObserver) -> None:
    """Wait until all that has happened so far has been taken in."""
    observer.who(os.getpid(), time.monotonic_ns())


def run(command: list[str], *, user: int | None = None) -> tuple[int, int, int]:
    """Run a command; return its pid and the stretch in which it ran."""
    began = time.monotonic_ns()
    process = subprocess.Popen(command, user=user, stdin=subprocess.DEVNULL)
    assert process.wait() == 0
    return process.pid, began, time.monotonic_ns()


@pytest.mark.parametrize(("life", "at_once"), [("0", 1), ("0.01", 1), ("0.05", 5), ("0.2", 20)])
def test_short_processes(observer: ProcessObserver, life: str, at_once: int, tmp_path: Path) -> None:
    command = ["/bin/cp", "/etc/hostname", str(tmp_path / "copy")] if life == "0" else ["/bin/sleep", life]
    tally = Tally()
    for _ in range(ROUNDS // at_once):
        began = time.monotonic_ns()
        processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(at_once)]
        assert {process.wait() for process in processes} == {0}
        ended = time.monotonic_ns()
        for process in processes:
            actor = observer.who(process.pid, ended, began)
            tally.add(actor, name=Path(command[0]).name, account=0, parent=os.getpid(), command=" ".join(command))
    tally.assert_enough()


def test_processes_of_another_user(observer: ProcessObserver) -> None:
    runs = [run(["/bin/true"], user=NOBODY) for _ in range(ROUNDS)]
    tally = Tally()
    for pid, began, ended in runs:
        tally.add(observer.who(pid, ended, began), name="true", account=NOBODY, parent=os.getpid(), command="/bin/true")
    tally.assert_enough()


@pytest.mark.skipif(shutil.which("runuser") is None, reason="no runuser")
def test_a_program_under_another_user_as_sudo_does_it(observer: ProcessObserver) -> None:
    """A session is opened, a child changes its user and runs the program, which says its pid."""
    runs = []
    for _ in range(ROUNDS):
        began = time.monotonic_ns()
        said = subprocess.check_output(["runuser", "-u", "nobody", "--", "head", "-c", "40", "/proc/self/stat"])
        runs.append((int(said.split()[0]), began, time.monotonic_ns()))
    tally = Tally()
    for pid, began, ended in runs:
        actor = observer.who(pid, ended, began)
        tally.add(actor, name="head", account=NOBODY, parent=None, command="head -c 40 /proc/self/stat")
        assert actor is None or actor.parent_name in (None, "runuser")
    tally.assert_enough()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_a_process_that_becomes_another_user_and_another_program(observer: ProcessObserver) -> None:
    command = ["setpriv", "--reuid", str(NOBODY), "--clear-groups", "/bin/sleep", "0.04"]
    runs = [run(command) for _ in range(50)]
    tally = Tally()
    for pid, began, ended in runs:
        actor = observer.who(pid, ended - 15 * 10**6)
        tally.add(actor, name="sleep", account=NOBODY, parent=os.getpid(), command="/bin/sleep 0.04")
        whole = observer.who(pid, ended, began)
        assert whole is not None
        assert (whole.name, whole.command_line, whole.parent_pid) == (None, None, os.getpid())
    tally.assert_enough()


def test_a_copy_of_a_shell_that_writes(observer: ProcessObserver, tmp_path: Path) -> None:
    """A subshell runs no program of its own: it has its parent's. Each writes its pid."""
    script = tmp_path / "work"
    script.write_text("for i in $(seq 300); do (read -r pid _ < /proc/self/stat; echo $pid > $0.$i); done\n")
    shell, began, ended = run(["/bin/bash", str(script)])
    tally = Tally()
    for number in range(1, 301):
        pid = int((tmp_path / f"work.{number}").read_text())
        actor = observer.who(pid, ended, began)
        tally.add(actor, name="bash", account=0, parent=shell, command=f"/bin/bash {script}")
    tally.assert_enough()
    assert tally.commands >= 0.99 * tally.asked


def test_a_pipeline(observer: ProcessObserver, tmp_path: Path) -> None:
    script = tmp_path / "work"
    script.write_text("for i in $(seq 300); do head -c 40 /proc/self/stat | tee $0.$i | cat > /dev/null; done\n")
    shell, began, ended = run(["/bin/bash", str(script)])
    tally = Tally()
    for number in range(1, 301):
        pid = int((tmp_path / f"work.{number}").read_text().split()[0])
        actor = observer.who(pid, ended, began)
        tally.add(actor, name="head", account=0, parent=shell, command="head -c 40 /proc/self/stat")
    tally.assert_enough()


def test_the_pid_of_somebody_else(observer: ProcessObserver) -> None:
    pid, began, ended = run(["/bin/true"])
    settle(observer)
    assert observer.who(pid, ended + 10**9 // 10) is None
    assert observer.who(pid, began - 1) is None
    assert observer.who(0, ended) is None
    assert observer.who(2**31 - 1, ended) is None


def test_a_process_that_was_there_before(observer: ProcessObserver) -> None:
    actor = observer.who(os.getpid(), time.monotonic_ns())
    assert actor is not None
    assert (actor.pid, actor.account, actor.parent_pid) == (os.getpid(), os.geteuid(), os.getppid())
    assert actor.executable == os.readlink("/proc/self/exe")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_a_process_in_a_container_is_known_by_its_pid_on_the_host(observer: ProcessObserver) -> None:
    container = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "/bin/sleep", "60"])
    try:
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        deadline = time.monotonic() + 30
        actor = None
        while (actor is None or actor.name != "sleep") and time.monotonic() < deadline:
            for pid in children.read_text().split():
                actor = observer.who(int(pid), time.monotonic_ns())
        assert actor is not None
        assert (actor.name, actor.command_line, actor.account) == ("sleep", "/bin/sleep 60", 0)
        assert (actor.parent_pid, actor.parent_name) == (container.pid, "unshare")
    finally:
        container.kill()
        container.wait()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_the_root_of_a_container_with_mapped_users_is_the_account_that_it_is_to_the_machine(
    observer: ProcessObserver,
) -> None:
    inside = ["unshare", "--user", "--map-root-user", "sh", "-c", "id -u; exec sleep 60"]
    outside = ["setpriv", "--reuid", "2345", "--clear-groups"]
    with subprocess.Popen([*outside, *inside], stdout=subprocess.PIPE) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == b"0\n"
        deadline = time.monotonic() + 30
        actor = None
        while (actor is None or actor.name != "sleep") and time.monotonic() < deadline:
            actor = observer.who(container.pid, time.monotonic_ns())
        container.kill()
        assert actor is not None
        assert (actor.name, actor.account) == ("sleep", 2345)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_in_a_container_of_its_own_the_observer_says_that_it_gets_no_events() -> None:
    program = (
        "import time\nfrom whatchanged.watchers.processes.observer import ProcessObserver\n"
        "import os\nwith ProcessObserver() as observer:\n"
        "  while (actor := observer.who(os.getpid(), time.monotonic_ns())) is None: pass\n"
        "  print(observer.health().events, actor.pid, actor.account, sep='|')"
    )
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program]
    with ProcessObserver(), subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as container:
        while container.poll() is None:
            Connector().close()  # the acknowledgement of somebody outside is not meant for it
        assert container.stdout is not None
        said = container.stdout.read().strip()
    assert said.startswith("no process events: they bear process ids of the initial namespace")
    assert said.endswith("|1|0")


def test_lost_events_are_said_and_healed() -> None:
    """The thread is kept from its work until the kernel's queue is full."""
    observer = ProcessObserver(real_time=False, queue_bytes=16 * 1024)
    with observer:
        with observer._lock:  # the thread needs it for every event
            lost = [run(["/bin/true"]) for _ in range(60)]
        deadline = time.monotonic() + 30
        sleeper = subprocess.Popen(["/bin/sleep", "60"])
        try:
            actor = None
            # Popen returns when the program is in place, which is a little before the kernel's event says so.
            while (actor is None or None in (actor.name, actor.account)) and time.monotonic() < deadline:
                actor = observer.who(sleeper.pid, time.monotonic_ns())
            assert actor is not None
            assert (actor.name, actor.account) == ("sleep", 0)
        finally:
            sleeper.send_signal(signal.SIGKILL)
            sleeper.wait()
        assert observer.health().losses >= 1
        for pid, began, ended in lost:
            actor = observer.who(pid, ended, began)
            assert actor is None or actor.name in (None, "true")
        assert observer.who(lost[-1][0], lost[-1][2], lost[-1][1]) is None


def _without_rights() -> None:
    """Drop CAP_NET_ADMIN by becoming a user who never had it."""
    os.setuid(NOBODY)


def test_without_rights_only_what_is_there_is_known(tmp_path: Path) -> None:
    reading, writing = socket.socketpair()
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            _without_rights()
            ended = _answers_from_proc(writing.fileno())
        finally:
            os._exit(ended)
    writing.close()
    said = reading.recv(4096).decode()
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), said.split("\n")[0]) == (0, "no process events: Operation not permitted")
    assert said.split("\n")[1] == "None None sleep"
    reading.close()


def _answers_from_proc(to: int) -> int:
    with ProcessObserver() as observer:
        before = time.monotonic_ns()
        sleeper = subprocess.Popen(["/bin/sleep", "60"])
        time_of_start = time.monotonic_ns()
        gone = subprocess.Popen(["/bin/true"])
        gone.wait()
        ask: Callable[[int, int], Actor | None] = observer.who
        while (actor := ask(sleeper.pid, time.monotonic_ns())) is None:
            assert time.monotonic_ns() < time_of_start + 10**10
        answers = [ask(gone.pid, time.monotonic_ns()), ask(sleeper.pid, before), actor.name]
        sleeper.kill()
        sleeper.wait()
        os.write(to, f"{observer.health().events}\n{' '.join(map(str, answers))}".encode())
    return 0


def test_somebody_elses_subscription_is_no_loss() -> None:
    with ProcessObserver() as observer:
        for _ in range(20):
            Connector().close()
            subprocess.run(["/bin/true"], check=True)
        began = time.monotonic_ns()
        done = subprocess.Popen(["/bin/true"])
        done.wait()
        assert observer.who(done.pid, time.monotonic_ns(), began) is not None
        assert observer.health().losses == 0


def test_what_happens_while_subscribing_is_no_loss() -> None:
    class Slow(Connector):
        """Whose machine does not stand still between the socket and the subscription."""

        def _send(self, operation: int) -> None:
            subprocess.run(["/bin/true"], check=True)
            super()._send(operation)

    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})  # of the numbers of one processor the acknowledgement has one, too
    try:
        with contextlib.closing(Connector()), contextlib.closing(Slow()) as connector:
            done = subprocess.Popen(["/bin/true"])
            done.wait()
            occurrences = list(iter(connector.receive, None))
    finally:
        os.sched_setaffinity(0, processors)
    assert done.pid in [o.event.pid for o in occurrences if isinstance(o.event, Exited)]


def test_a_queue_that_overflows_while_subscribing_is_emptied_and_asked_again() -> None:
    class Flooded(Connector):
        """Whose queue is full before the first request."""

        def __init__(self) -> None:
            self.requests = 0
            super().__init__(queue_bytes=4096)

        def _send(self, operation: int) -> None:
            self.requests += 1
            for _ in range(20 if self.requests == 1 else 0):
                subprocess.run(["/bin/true"], check=True)
            super()._send(operation)

    with contextlib.closing(Connector()), contextlib.closing(Flooded()) as connector:
        assert connector.requests >= 2
