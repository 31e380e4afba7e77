"""A thread that dies ends its process with an exit code that a supervisor takes for a failure."""

import sys

assert sys.platform != "win32"  # mypy's platform branch

import json
import os
import sqlite3
import threading
import time
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


def test_a_forwarder_with_damaged_files_goes_on_and_says_so(tmp_path: Path) -> None:
    settings = ForwarderSettings(data=DataFolder(str(tmp_path)), tracker_uid=os.getuid())
    forwarders = Path(settings.data.forwarder)
    store = Store(settings.tables, settings.quota_bytes)
    store.append("CONFIG_DATA_BLOB_V2", "0" * 32, 1, [b"x"] * 10)
    store.close()
    (Path(settings.tables) / "CONFIG_DATA_BLOB_V2.db").write_bytes(b"no database at all" * 1000)
    (forwarders / "identity.json").write_bytes(b'{"server":"\xff')
    (forwarders / "refused.json").write_bytes(b"{")
    stop = threading.Event()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(forwarder.run(settings, stop)))
    thread.start()
    status: dict[str, object] = {}
    deadline = time.monotonic() + 30
    while "is damaged" not in str(status.get("lastError")) and time.monotonic() < deadline and not stop.wait(0.1):
        if (forwarders / "status.json").exists():
            status = json.loads((forwarders / "status.json").read_text())
    assert "identity.json is damaged" in str(status["lastError"])
    stop.set()
    thread.join(30)
    assert codes == [0]
    with sqlite3.connect(Path(settings.tables) / "TRACKING_HEALTH.db") as database:
        said = b"".join(record for (record,) in database.execute("SELECT record FROM rows"))
    database.close()
    assert b"StateRecreated" in said
    assert (Path(settings.tables) / "CONFIG_DATA_BLOB_V2.db.damaged").exists()
