"""Tracker's sender and forwarder, two processes over named pipes: either is killed, or is somebody else."""

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
import win32con
import win32file
import win32pipe

from whatchanged import ipc
from whatchanged.forwarder.configuration import Configuration
from whatchanged.settings import DataFolder

SENDING = str(Path(__file__).with_name("sending.py"))
SYSTEM = "S-1-5-18"
ME = str(ipc.own_account())
CONFIG_PIPE = r"\\.\pipe\CAgentStream_CloudAgentInfo_AzureMonitorAgent_test"
CONTENT = {
    "dataSources": [{"id": "CT", "configuration": {"extensionName": "ChangeTracking-Windows"}}],
    "extensionConfigurations": {
        "ChangeTracking-Windows": [
            {"id": "dcr-1:CT", "outputStreams": {"CONFIG_CHANGE_BLOB": "dcr-1:CT:CONFIG_CHANGE_BLOB"}}
        ]
    },
}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process; all are killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def forwarder(start: Start, data: Path, *flags: str) -> subprocess.Popen[str]:
    process = start("-m", "whatchanged", "forwarder", "--data", str(data), *flags)
    line_of(process, lambda line: "the forwarder started" in line)
    return process


def line_of(process: subprocess.Popen[str], wanted: Callable[[str], bool]) -> str:
    """Return the first line that is wanted."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if wanted(line):
            return line.strip()
        said.append(line)
    raise AssertionError(f"{process.args!r} ended with {process.wait()}: {''.join(said)}")


def stored(data: Path, stream: str = "TRACKING_HEALTH") -> list[tuple[str, int, bytes]]:
    """Return epoch, sequence and record of what the forwarder keeps."""
    file = data / "forwarder" / "Tables" / f"{stream}.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT epoch, first, record FROM rows ORDER BY place").fetchall()


def epoch_of_tracker(data: Path) -> str:
    return str(json.loads((data / "tracker" / "epoch.json").read_bytes())["epoch"])


def sent(at_least: int) -> Callable[[str], bool]:
    return lambda line: line.startswith("sent ") and int(line.split()[1]) >= at_least


def refused(line: str) -> bool:
    return line.startswith("refused ")


def test_every_record_arrives_once_though_either_is_killed(tmp_path: Path, start: Start) -> None:
    receiving = forwarder(start, tmp_path)
    sending = start(SENDING, str(tmp_path), "240")
    for milestone in (50, 120):
        line_of(sending, sent(milestone))
        receiving.kill()
        receiving.wait()
        receiving = forwarder(start, tmp_path)
        line_of(sending, sent(milestone + 30))
        sending.kill()
        sending.wait()
        sending = start(SENDING, str(tmp_path), "240")
    line_of(sending, sent(240))
    assert sending.wait(60) == 0
    receiving.kill()
    receiving.wait()
    sequences = [sequence for epoch, sequence, _ in stored(tmp_path) if epoch == epoch_of_tracker(tmp_path)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) >= 240


def test_the_forwarder_refuses_records_of_another_account_than_the_trackers(tmp_path: Path, start: Start) -> None:
    receiving = forwarder(start, tmp_path, "--tracker-uid", SYSTEM)
    sending = start(SENDING, str(tmp_path), "10")
    line_of(sending, lambda line: refused(line) and "cannot connect" not in line)
    sending.kill()
    receiving.kill()
    receiving.wait()
    rows = stored(tmp_path)
    assert epoch_of_tracker(tmp_path) not in {epoch for epoch, _, _ in rows}
    told = [msgpack.unpackb(record)["Detail"] for _, _, record in rows]
    assert any(ME in detail and "not permitted" in detail for detail in told), told


def test_the_sender_refuses_a_pipe_of_another_account_than_the_forwarders(tmp_path: Path, start: Start) -> None:
    forwarder(start, tmp_path)
    sending = start(SENDING, str(tmp_path), "10", "--forwarder", SYSTEM)
    why = line_of(sending, lambda line: refused(line) and "cannot connect" not in line)
    assert why == f"refused the pipe is served by account {ME}, not by the forwarder's account {SYSTEM}"


def test_upstreams_extension_asks_by_one_pipe_and_sends_by_another(tmp_path: Path, start: Start) -> None:
    Configuration(DataFolder(str(tmp_path)), 10).replace((CONTENT,))
    receiving = forwarder(start, tmp_path, "--instance", "test", "--tracker-uid", SYSTEM, "--foreign-uids", ME)
    request = {"Request": "AgentTaggedData", "RequestId": "1", "Tag": "ChangeTracking-Windows", "Version": "1"}
    handle = opened(CONFIG_PIPE, win32con.GENERIC_READ | win32con.GENERIC_WRITE)
    win32pipe.SetNamedPipeHandleState(handle, win32pipe.PIPE_READMODE_MESSAGE, None, None)
    win32file.WriteFile(handle, json.dumps(request).encode())
    _, reply = win32file.ReadFile(handle, 1_000_000)
    tagged = json.loads(json.loads(reply)["TaggedData"])
    stream = tagged["extensionConfigurations"][0]["outputStreams"]["CONFIG_CHANGE_BLOB"]
    pipe = tagged["outputStreamDefinitions"][stream]["namedPipe"]
    assert pipe == "CAgentStream_ChangeTracking-Windows_CONFIG_CHANGE_BLOB_AzureMonitorAgent_test"
    data = opened(rf"\\.\pipe\{pipe}", win32con.GENERIC_READ | win32con.GENERIC_WRITE)
    win32file.WriteFile(data, msgpack.packb([stream, [[1, {"SvcName": "Spooler"}]], {"chunk": "c"}]))
    assert msgpack.unpackb(win32file.ReadFile(data, 1000)[1]) == {"ack": "c"}
    for one in (handle, data):
        win32file.CloseHandle(one)
    receiving.kill()
    receiving.wait()
    ((_, _, record),) = stored(tmp_path, f"Custom-{ME}-dcr-1-CT-CONFIG_CHANGE_BLOB")
    assert msgpack.unpackb(record)["SvcName"] == "Spooler"


def opened(path: str, access: int) -> int:
    return int(win32file.CreateFile(path, access, 0, None, win32con.OPEN_EXISTING, 0, None).Detach())
