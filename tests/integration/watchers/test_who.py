"""Who made a change: processes that end at once or live a little, under several accounts; never a wrong name."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.watchers.tracking import Tracking

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CHANGES = 1000


@pytest.fixture
def tracking(tmp_path: Path) -> Iterator[Tracking]:
    made = Tracking(tmp_path)
    # Processes that are gone are known for half a minute: a look must not wait longer for an idle processor.
    made.policy.write_text("core_share = 64.0\npressure_aware = false\n")
    made.start()
    made.tree.chmod(0o777)
    made.idle()
    yield made
    made.end()


def writer(name: str, life: float, account: str) -> tuple[list[str], str]:
    """A command that makes the file `name` in its folder, and the name of the process that does it."""
    program = ["cp", "/etc/hostname", name] if not life else ["sh", "-c", f"echo x > {name}; sleep {life}"]
    changed = ["setpriv", "--reuid", "65534", "--clear-groups"] if account == "nobody" else []
    return [*changed, *program], program[0]


def names(row: dict[str, Any]) -> tuple[Any, Any]:
    return row.get("InitiatingProcessName"), row.get("InitiatingProcessAccountName")


def test_a_thousand_changes_by_processes_that_are_gone(tracking: Tracking) -> None:
    expected: dict[str, tuple[str, str]] = {}
    pids: dict[str, int] = {}
    running = []
    for number in range(CHANGES):
        name, life, account = f"f{number}", (0, 0.01, 0.05, 0.2)[number % 4], ("root", "nobody")[number // 4 % 2]
        command, program = writer(name, life, account)
        # By the folder that it stands in: the account cannot come to it from the root.
        process = subprocess.Popen(command, cwd=tracking.tree)
        running.append(process)
        expected[f"/srv/{name}"], pids[f"/srv/{name}"] = (program, account), process.pid
        if number % 20 == 0:
            process.wait()
    for process in running:
        assert process.wait() == 0
    rows = tracking.eventually(lambda: found if len(found := added(tracking)) == CHANGES else None)
    wrong = [
        (path, names(row))
        for path, row in rows.items()
        if any(said not in (fact, None) for said, fact in zip(names(row), expected[path], strict=True))
    ]
    assert wrong == []
    assert [path for path, row in rows.items() if row.get("InitiatingProcessId", pids[path]) != pids[path]] == []
    right = sum(names(row) == expected[path] for path, row in rows.items())
    assert right >= 0.99 * CHANGES


def added(tracking: Tracking) -> dict[str, dict[str, Any]]:
    return {r["FileSystemPath"]: r for r in tracking.changes() if r["ChangeCategory"] == "Added"}


def test_two_processes_that_write_one_file_between_two_looks_are_nobody_unless_they_are_alike(
    tracking: Tracking,
) -> None:
    script = "cp /etc/hostname both; chmod 600 both; cp /etc/hostname alike; cp /etc/os-release alike"
    subprocess.run(["sh", "-c", script], cwd=tracking.tree, check=True)
    both, alike = tracking.change("/srv/both", "Added"), tracking.change("/srv/alike", "Added")
    assert not [name for name in both if name.startswith("InitiatingProcess")]
    assert (alike["InitiatingProcessName"], alike["InitiatingProcessAccountName"]) == ("cp", "root")
    assert "InitiatingProcessId" not in alike


def test_a_program_that_writes_and_becomes_another_is_not_taken_for_it(tracking: Tracking) -> None:
    subprocess.run(["sh", "-c", "echo x > f; exec sleep 0.5"], cwd=tracking.tree, check=True)
    assert tracking.change("/srv/f", "Added").get("InitiatingProcessName") in ("sh", None)


def test_a_removal_and_a_change_name_who_did_it_and_the_command_line(tracking: Tracking) -> None:
    (tracking.tree / "mine").write_text("x")
    tracking.change("/srv/mine", "Added")
    subprocess.run(["chmod", "600", "mine"], cwd=tracking.tree, check=True)
    changed = tracking.change("/srv/mine", "Modified")
    assert names(changed) == ("chmod", "root")
    subprocess.run(["rm", "mine"], cwd=tracking.tree, check=True)
    removed = tracking.change("/srv/mine", "Removed")
    assert names(removed) == ("rm", "root")
    assert removed.get("InitiatingProcessCommandLine", "rm mine") == "rm mine"


INSIDE = """
import json, subprocess, sys
from pathlib import Path
from integration.watchers.tracking import Tracking
tracking = Tracking(Path(sys.argv[1]))
tracking.policy.write_text("core_share = 64.0\\npressure_aware = false\\n")
bin = tracking.root / "bin"
bin.mkdir()
for program in ("sh", "sleep"):
    (bin / program).write_bytes(Path("/bin", program).read_bytes())
    (bin / program).chmod(0o755)
tracking.start()
scripts = {
    "stays": "read line; echo x > stays; echo; read line",
    "becomes": f"echo x > becomes; exec {bin}/sleep 60",
    "drops": "read line; echo x > drops; echo; read line",
}
drop = ["setpriv", "--reuid", "65534", "--clear-groups"]
tracking.tree.chmod(0o777)
running = [subprocess.Popen([*(drop if name == "drops" else []), "sh" if name == "drops" else bin / "sh", "-c", script],
    cwd=tracking.tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for name, script in scripts.items()]
subprocess.run(["cp", "/etc/hostname", "ended"], cwd=tracking.tree, check=True)
rows = {name: tracking.change(f"/srv/{name}", "Added") for name in ("becomes", "ended")}
for process in (running[0], running[2]):  # known to have been there before
    process.stdin.write(b"now\\n")
    process.stdin.flush()
    process.stdout.readline()
rows |= {name: tracking.change(f"/srv/{name}", "Added") for name in ("stays", "drops")}
for process in running:
    process.kill()
said = {name: [rows[name].get(f"InitiatingProcess{c}") for c in ("Name", "AccountName")] for name in rows}
health = [row["Detail"] for row in tracking.health("Watching") if "who makes changes" in row["Detail"]]
tracking.end()
print(json.dumps([said, health]))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_in_a_container_of_its_own_only_what_is_still_there_and_has_not_changed_is_known(tmp_path: Path) -> None:
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", INSIDE, str(tmp_path)]
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    said, health = json.loads(subprocess.check_output(inside, env=paths, text=True))
    assert said["ended"] == said["becomes"] == [None, None]
    # Nothing, where the watcher was not through with all events in time.
    assert said["stays"] in (["sh", "root"], [None, None])
    # The rights that it used may have been others than it has now.
    assert said["drops"] in (["sh", None], [None, None])
    assert health == [
        "who makes changes is not always known: process events: no process events: they bear process ids of the "
        "initial namespace, and this is another; "
        "exit records: not used without process events; priority: not used without process events"
    ]
