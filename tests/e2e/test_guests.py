"""Others on the local pipe, bad bytes, odd files, no network: the tracker goes on and says what it met."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import json
import os
import random
import shutil
import socket
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from e2e.conftest import eventually
from e2e.promise import Machine

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another account")
PERMITTED, STRANGER = 23_451, 23_452
_FLUENT = """
import os, sys
from fluent.sender import FluentSender
import msgpack
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
sender = FluentSender("app", host="unix://\\0" + sys.argv[1], timeout=10)
print(sender.emit("log", {"message": "hello", "_Stream": "CONFIG_CHANGE_BLOB_V2"}))
sender.close()
"""


class Served(Machine):
    """A machine whose forwarder serves upstream's names too, with a suffix of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.instance = uuid.uuid4().hex[:12]
        self.arguments["forwarder"] = ["--instance", self.instance, "--foreign-uids", str(PERMITTED)]
        self.abstract = f"CAgentStream_CloudAgentInfo_config_default_fluent.socket_{self.instance}"

    def streams(self) -> dict[str, Any]:
        try:
            status = json.loads((self.data / "forwarder" / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        found: dict[str, Any] = status["streams"]
        return found

    def connection(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(20)
        made.connect(f"\0{self.abstract}")
        return made

    def fluent(self, uid: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _FLUENT, self.abstract, str(uid)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    def still_tells(self, name: str) -> None:
        (self.real_tree / name).write_text(name)
        eventually(lambda: name in [row["Name"] for row in self.changes()], what=f"{name} is told")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("machine"))
    try:
        made.begin()
        made.looked()
        yield made
    finally:
        made.end()


@needs_root
def test_a_permitted_fluent_logger_has_a_stream_of_its_own(machine: Served) -> None:
    stream = f"Custom-{PERMITTED}-app-log"
    machine.kill("server")
    machine.fluent(PERMITTED)
    eventually(lambda: machine.streams().get(stream, {}).get("rows") == 1, what="the record is in its stream")
    machine.kill("forwarder")
    machine.launch("forwarder")
    eventually(lambda: machine.streams().get(stream, {}).get("rows") == 1, what="it survived kill -9")
    machine.launch("server")
    eventually(machine._answers, seconds=90, what="the server answers")
    machine.still_tells("after-fluent")


@needs_root
def test_a_fluent_logger_that_is_not_permitted_is_refused(machine: Served) -> None:
    machine.fluent(STRANGER)
    eventually(
        lambda: [r for r in machine.health() if r["Reason"] == "Refused" and f"account {STRANGER} " in r["Detail"]],
        what="health names the stranger",
    )
    assert not [name for name in machine.streams() if name.startswith(f"Custom-{STRANGER}")]


def one_document(connection: socket.socket) -> dict[str, Any]:
    """Read a bare JSON document, which may come in pieces."""
    text = b""
    while piece := connection.recv(1 << 20):
        text += piece
        try:
            document: dict[str, Any] = json.loads(text)
        except ValueError:
            continue
        return document
    pytest.fail(f"no whole document: {text!r}")


def test_the_configuration_request_gets_the_documented_answer(machine: Served) -> None:
    request = {"Request": "AgentTaggedData", "RequestId": "r-1", "Tag": "ChangeTracking-Linux", "Version": "1"}
    text = json.dumps(request)
    for payload in (msgpack.packb(text), text.encode()):
        with machine.connection() as connection:
            connection.sendall(payload)
            reply = one_document(connection)
        assert (reply["Request"], reply["RequestId"], reply["Success"]) == ("AgentTaggedData", "r-1", True)
        tagged = json.loads(reply["TaggedData"])
        assert tagged["extensionName"] == "ChangeTracking-Linux"
        settings = tagged["extensionConfigurations"][0]["extensionSettings"]
        assert settings["fileSettings"]["fileInfo"][0]["destinationPath"] == "/srv/tree/*"


def test_random_bytes_hurt_only_their_own_connection(machine: Served) -> None:
    chance = random.Random(7)
    with machine.connection() as idle:
        for size in (1, 10, 100, 5_000, 200_000) * 4:
            with machine.connection() as connection:
                try:
                    connection.sendall(chance.randbytes(size))
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65_536):
                        pass
                except ConnectionError:
                    continue  # it was closed under us, as it should be
        idle.sendall(json.dumps({"Request": "AgentTaggedData", "RequestId": "i", "Tag": "x", "Version": "1"}).encode())
        assert b'"RequestId"' in idle.recv(65_536)
    assert machine.processes["forwarder"].poll() is None
    machine.still_tells("after-random-bytes")


@needs_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_the_tracker_works_without_a_network(machine: Served) -> None:
    machine.kill("tracker", 15)
    command = [sys.executable, "-m", "whatchanged", "tracker", "--data", str(machine.data)]
    with (machine.folder / "tracker.log").open("ab") as log:
        machine.processes["tracker"] = subprocess.Popen(
            ["unshare", "-n", "--", *command, *machine.arguments["tracker"]], stdout=log, stderr=log
        )
    tracker = machine.processes["tracker"].pid
    eventually(lambda: os.readlink(f"/proc/{tracker}/ns/net") != os.readlink("/proc/self/ns/net"))
    machine.still_tells("without-a-network")
    machine.kill("tracker", 15)
    machine.launch("tracker")
    machine.still_tells("with-a-network-again")


def test_odd_files_do_not_stop_the_scan(machine: Served) -> None:
    odd = machine.real_tree / "odd"
    odd.mkdir()
    os.mkfifo(odd / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(odd, os.O_RDONLY)
        bound.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # a container may not make devices
            os.mknod(odd / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    (odd / "one").symlink_to("two")
    (odd / "two").symlink_to("one")
    (odd / "up").symlink_to("..")
    deep = _deep(odd, 30)
    names = [b"new\nline", b"\x1b[31mred", b"\xff\xfe", b"x" * 255]
    for name in names:
        with open(os.path.join(os.fsencode(odd), name), "wb") as stream:
            stream.write(b"content")
    (odd / "growing").write_bytes(b"")
    stop = subprocess.Popen(
        [sys.executable, "-c", _RESTLESS, str(odd)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(20):
            machine.scan()
        machine.still_tells("beside-restless-files")
    finally:
        stop.communicate(b"\n")
    assert deep > 4096
    (odd / "last").write_text("last")
    machine.still_tells("after-odd-files")
    eventually(machine._delivered, what="everything was delivered")
    rows = [row for row in machine.inventory("files") if row["FileSystemPath"].startswith("/srv/tree/odd/")]
    found = {row["FileSystemPath"].removeprefix("/srv/tree/odd/") for row in rows}
    assert {"last", "growing", "x" * 255} <= found
    assert not found & {"fifo", "socket", "device"}
    assert not [name for name in found if name.startswith("passing")]
    growing = next(row for row in rows if row["FileSystemPath"].endswith("/growing"))
    assert growing["Size"] == (odd / "growing").stat().st_size
    exact = {row["PathBytes"] for row in rows if row.get("PathBytes")}
    assert len(exact) >= 3  # newline, escape and invalid UTF-8
    bottom = [row for row in rows if row["FileSystemPath"].endswith("/bottom")]
    failed = [r for r in machine.health() if r["Reason"] in ("ItemFailed", "Denied", "Limit", "Collected")]
    assert bottom or any(row.get("ItemsFailed") for row in failed), "too deep is either looked at or said"


_RESTLESS = """
import os, select, sys
os.chdir(sys.argv[1])
number = 0
with open("growing", "ab", buffering=0) as growing:
    while not select.select([sys.stdin], [], [], 0.0005)[0]:
        growing.write(b"x" * 1000)
        number += 1
        name = "passing%d" % (number % 50)
        open(name, "w").close()
        os.unlink(name)
        if number % 1000 == 0:
            growing.truncate(0)
"""


def _deep(folder: Path, levels: int) -> int:
    """Make a file below folders whose path is longer than PATH_MAX; return the length of its path."""
    here = os.open(folder, os.O_RDONLY)
    length = len(os.fsencode(folder))
    for _ in range(levels):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here, length = below, length + 201
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here))
    os.close(here)
    return length
