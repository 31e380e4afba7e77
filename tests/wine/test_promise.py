"""The promise on Windows: either process is killed at any time, and every change is stored once, in its order."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import itertools
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wine.conftest import Windows
from wine.windows_machine import WindowsMachine, windows_rule

pytestmark = [pytest.mark.wine, pytest.mark.timeout(600)]

REG_DWORD = 4
ROUNDS = 12


@pytest.fixture
def machine(tmp_path: Path, windows: Windows) -> Iterator[WindowsMachine]:
    made = WindowsMachine(tmp_path, windows)
    yield made
    made.end()


def test_either_process_is_killed_and_every_change_arrives_once(machine: WindowsMachine) -> None:
    key = rf"Software\Whatchanged-{uuid.uuid4()}"
    folder = rf"C:\Whatchanged-{uuid.uuid4()}"
    chance = random.Random(1)

    def write(name: str, number: int) -> None:
        machine.set_value(key, name, REG_DWORD, number.to_bytes(4, "little"))
        machine.write_file(rf"{folder}\{name}", b"x" * number)

    write("edited", 0)
    keys = {"name": "ours", "keyName": rf"HKEY_LOCAL_MACHINE\{key}"}
    machine.begin(windows_rule(keys, files=[{"name": "files", "path": rf"{folder}\*"}], frequency=1))
    created = []
    for number in range(1, ROUNDS + 1):
        victim = chance.choice(("tracker", "forwarder", ""))
        moment = chance.randrange(4)
        for step in range(4):
            if step == moment and victim:
                machine.kill(victim)
            created.append(f"v{number}.{step}")
            write(created[-1], number)
            write("edited", 4 * number + step)
        if victim:
            machine.launch(victim)
        if number % 3 == 0:
            machine.answered()
    rows = machine.settled()
    machine.act("delete_key", key=key)
    machine.act("remove_tree", path=folder)
    values = [row for row in rows if row["ConfigChangeType"] == "Registry"]
    files = [row for row in rows if row["ConfigChangeType"] == "Files"]
    assert len(rows) == len(values) + len(files)
    last = 4 * ROUNDS + 3
    told_once(values, "ValueName", "ValueData", created, [str(number) for number in (0, last)])
    told_once(files, "Name", "Size", created, [0, last])
    assert machine.troubles() == []


def told_once(rows: list[dict[str, Any]], name: str, content: str, created: list[str], ends: list[Any]) -> None:
    """Whether these rows tell of all that was made, and of what was edited from its first state to its last."""
    added = Counter(row[name] for row in rows if row["ChangeCategory"] == "Added")
    assert added == dict.fromkeys(created, 1)
    edits = [row for row in rows if row[name] == "edited"]
    assert {row["ChangeCategory"] for row in edits} == {"Modified"}
    assert len(rows) == len(created) + len(edits)
    edits.sort(key=lambda row: int(row["Sequence"]))
    assert [edits[0][f"Previous{content}"], edits[-1][content]] == ends
    for before, after in itertools.pairwise(edits):
        assert before[content] == after[f"Previous{content}"]
    assert {row["Epoch"] for row in rows} == {rows[0]["Epoch"]}
    assert sorted(int(row["Sequence"]) for row in rows) == list(range(1, len(rows) + 1))
