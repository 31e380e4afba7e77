"""Opening the telemetry database: after a kill in the middle of the first start, and when it cannot be opened."""

from __future__ import annotations

import os
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

_OLDER = """
import importlib, os, sys
from whatchanged.server import storage
from whatchanged.server.storage import schema
backup = importlib.import_module("whatchanged.server.storage.backup")
folder = sys.argv[1]
with storage.open_storage(folder + "/old") as opened:
    opened.insert("ConfigurationChange", b'{"TimeGenerated": "2026-01-01T00:00:00.0000000Z", "_Sequence": 1}')
    backup.backup(opened, folder + "/backup")
    os.makedirs(folder + "/old/shadow/backup_killed")
step = schema.Migration("9999 of tomorrow", ("ALTER TABLE ConfigurationChange ADD COLUMN IF NOT EXISTS Extra String",))
backup.MIGRATIONS = newer = (*schema.MIGRATIONS, step)
backup.open_storage = lambda target: storage.Storage(target, steps=newer)
backup.restore(folder + "/backup", folder + "/new")
with storage.Storage(folder + "/new", steps=newer) as opened:
    print(opened.query("SELECT count() AS n, any(Extra) AS extra FROM ConfigurationChange"))
with storage.open_storage(folder + "/old") as opened:
    assert not os.path.exists(folder + "/old/shadow/backup_killed")
"""


_SCRATCH = """
import os, sys
from whatchanged.server.storage import open_storage
with open_storage(sys.argv[1]):
    assert os.environ["TMPDIR"] == "/nowhere"
    print(sorted(os.listdir(os.path.dirname(sys.argv[1]))))
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


def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OLDER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("[{'n': 1, 'extra': ''}]\n", 0), done.stderr


def test_the_engine_needs_nobody_elses_folder_for_temporary_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRATCH, str(tmp_path / "telemetry")]
    environment = {**os.environ, "TMPDIR": "/nowhere"}
    (tmp_path / "telemetry.tmp/of-a-killed-engine").mkdir(parents=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.stdout, done.returncode) == ("['telemetry', 'telemetry.tmp']\n", 0), done.stderr
    assert not list((tmp_path / "telemetry.tmp").iterdir())
