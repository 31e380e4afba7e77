"""A thread that dies ends its process with an exit code that a supervisor takes for a failure."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import sqlite3
import threading
from pathlib import Path

from whatchanged.forwarder import process as forwarder
from whatchanged.forwarder.settings import ForwarderSettings
from whatchanged.forwarder.store import Store
from whatchanged.settings import DataFolder
from whatchanged.tracker import process as tracker
from whatchanged.tracker.machine import machine_token
from whatchanged.tracker.settings import TrackerSettings
from whatchanged.tracker.state import State


def test_a_tracker_whose_worker_dies_ends(tmp_path: Path) -> None:
    data = DataFolder(str(tmp_path))
    state = State(data.tracker_database, quota_bytes=10**9, machine=machine_token("/"), identity={})
    with state.transaction() as change:
        change.set_meta("configuration", '{"extensionConfigurations":[]}')
    state.close()
    with sqlite3.connect(data.tracker_database) as database:
        database.execute("DROP TABLE items")
    database.close()
    stop = threading.Event()
    assert tracker.run(TrackerSettings(data=data, policy=str(tmp_path / "none")), stop) == 1
    assert stop.is_set()


def test_a_forwarder_whose_thread_dies_ends(tmp_path: Path) -> None:
    settings = ForwarderSettings(data=DataFolder(str(tmp_path)), tracker_uid=os.getuid())
    stop = threading.Event()
    store = Store(settings.tables, settings.quota_bytes)
    store.append_own("HEALTH_ASSESSMENT_BLOB", lambda epoch, sequence: b"\x80")
    store.close()
    # Nothing that the heartbeat expects: its thread cannot go on.
    with sqlite3.connect(Path(settings.tables) / "HEALTH_ASSESSMENT_BLOB.db") as database:
        database.execute("DELETE FROM own")
    database.close()
    assert forwarder.run(settings, stop) == 1
    assert stop.is_set()
