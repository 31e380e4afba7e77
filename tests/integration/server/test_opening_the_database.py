"""Opening the telemetry database: after a kill in the middle of the first start, and when it cannot be opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from whatchanged.server.storage import Storage
from whatchanged.server.storage.schema import MIGRATIONS

_NEWER = """
import sys
from whatchanged.errors import StateError
from whatchanged.server.storage import open_storage
with open_storage(sys.argv[1]) as storage:
    storage._command("INSERT INTO Migration (Name) VALUES ('9999 of tomorrow')", None)
try:
    open_storage(sys.argv[1])
except StateError as error:
    assert "newer version" in str(error), error
else:
    raise AssertionError("opened")
with open_storage(sys.argv[2]):  # a failed start does not keep the engine
    print("opened")
"""


def test_every_migration_may_run_twice(storage: Storage) -> None:
    """A kill between a step and the note that it is done runs it anew at the next start."""
    for step in MIGRATIONS:
        for statement in step.statements:
            storage._command(statement, None)


def test_a_database_of_a_newer_version_is_refused_and_let_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _NEWER, str(tmp_path / "a"), str(tmp_path / "b")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("opened\n", 0), done.stderr
