"""A real FUSE file system that can fall silent, as the far end of a network does; spoken without a library.

Run as a program it serves a small tree. A line `silent` on its standard input lets requests be read and not answered:
whoever asked waits in uninterruptible sleep. `answer` answers them, and what comes from then on; `slow` does so too and
takes its time. `change PATH CONTENT` writes a file, `grow PATH SIZE` makes a large one, `remove PATH` removes one. It
answers each with a line, and writes a line (operation, process) for every request. When it ends the kernel aborts the
connection: nobody waits any more.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import contextlib
import ctypes
import errno
import os
import selectors
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# include/uapi/linux/fuse.h
_IN = struct.Struct("=IIQQIIII")
_OUT = struct.Struct("=IiQ")
_ATTR = struct.Struct("=6Q10I")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE, _FLUSH, _INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
_OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 27, 28, 29, 36, 42
_MNT_FORCE, _MNT_DETACH = 1, 2
_MS_NOSUID, _MS_NODEV = 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


class Server:
    """Answers requests on a descriptor of /dev/fuse."""

    def __init__(self, device: int, tree: dict[str, bytes]) -> None:
        self._device = device
        self._nodes = [""]  # the root is node 1
        self._tree = tree
        self._time = 1_700_000_000
        self._changed: dict[str, int] = {}
        self._silent = self._slow = False
        self._waiting: list[bytes] = []

    def command(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        path, _, content = rest.partition(" ")
        if word == "change":
            self._time += 1
            self._tree[path] = content.encode()
            self._changed[path] = self._time
        elif word == "grow":
            self._tree[path] = bytes(int(content))
        elif word == "remove":
            del self._tree[path]
        else:
            self._silent, self._slow = word == "silent", word == "slow"
            waiting, self._waiting = self._waiting, []
            for request in waiting:
                self._answer(request)

    def _all(self) -> list[str]:
        folders = {"", *(str(parent) for path in self._tree for parent in Path(path).parents if str(parent) != ".")}
        return sorted(folders | set(self._tree))

    def _number(self, path: str) -> int:
        if path not in self._nodes:
            self._nodes.append(path)
        return self._nodes.index(path) + 1

    def request(self) -> None:
        request = os.read(self._device, 1 << 20)
        _, operation, _, _, _, _, pid, _ = _IN.unpack_from(request)
        _tell(f"{operation} {pid}")
        if self._silent:
            self._waiting.append(request)
        else:
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        time.sleep(0.1 if self._slow else 0.0)
        _, operation, unique, node, *_ = _IN.unpack_from(request)
        if operation in (_FORGET, _BATCH_FORGET, _INTERRUPT):
            return
        error, body = 0, b""
        try:
            body = self._do(operation, node, request[_IN.size :])
        except OSError as wrong:
            error = -(wrong.errno or errno.EIO)
        with contextlib.suppress(FileNotFoundError):  # whoever asked was killed meanwhile
            os.write(self._device, _OUT.pack(_OUT.size + len(body), error, unique) + body)

    def _do(self, operation: int, node: int, rest: bytes) -> bytes:
        if operation == _INIT:
            return struct.pack("=IIIIHHIIHHI7I", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, 0, *[0] * 7)
        path = self._nodes[node - 1]
        if operation == _LOOKUP:
            name = os.fsdecode(rest.partition(b"\0")[0])
            child = f"{path}/{name}" if path else name
            if child not in self._all():
                raise FileNotFoundError(errno.ENOENT, child)
            number = self._number(child)
            return struct.pack("=QQQQII", number, 0, 0, 0, 0, 0) + self._attributes(number)
        if operation == _GETATTR:
            return struct.pack("=QII", 0, 0, 0) + self._attributes(node)
        if operation in (_OPEN, _OPENDIR):
            return struct.pack("=QII", 0, 0, 0)
        if operation == _READ:
            _, offset, size = struct.unpack_from("=QQI", rest)
            return self._tree[path][offset : offset + size]
        if operation == _READDIR:
            _, offset, _ = struct.unpack_from("=QQI", rest)
            return b"".join(self._entries(path)[offset:])
        if operation in (_RELEASE, _RELEASEDIR, _FLUSH):
            return b""
        if operation == _STATFS:
            return struct.pack("=5QIII6I", 0, 0, 0, 0, 0, 4096, 255, 4096, *[0] * 7)[:80]
        raise OSError(errno.ENOSYS, "not needed")

    def _attributes(self, node: int) -> bytes:
        content = self._tree.get(self._nodes[node - 1])
        mode = stat.S_IFDIR | 0o755 if content is None else stat.S_IFREG | 0o644
        times = [self._changed.get(self._nodes[node - 1], 1_700_000_000)] * 3 + [0] * 3
        return _ATTR.pack(node, len(content or b""), 1, *times, mode, 1, 0, 0, 0, 4096, 0)

    def _entries(self, path: str) -> list[bytes]:
        found: list[bytes] = []
        for node in self._all():
            parent, _, name = node.rpartition("/")
            if node and parent == path:
                kind = 8 if node in self._tree else 4
                raw = os.fsencode(name)
                entry = struct.pack("=QQII", self._number(node), len(found) + 1, len(raw), kind) + raw
                found.append(entry.ljust(-(-len(entry) // 8) * 8, b"\0"))
        return found


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def serve(point: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _libc.mount(b"silent", os.fsencode(point), b"fuse", _MS_NOSUID | _MS_NODEV, data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    server = Server(device, {"a": b"one", "d/b": b"two, longer", "d/e/c": b"three"})
    server.request()  # INIT
    _tell("mounted")
    with selectors.DefaultSelector() as selector:
        selector.register(device, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == sys.stdin.fileno():
                    lines = os.read(key.fd, 65536).decode()  # one write of the other end is one line
                    if not lines:
                        return
                    server.command(lines.strip())
                    _tell("done")
                else:
                    server.request()


class SilentMount:
    """The mount, served by a process of its own."""

    def __init__(self, point: Path, process: subprocess.Popen[str]) -> None:
        self.point = point
        self.requests: list[tuple[int, int]] = []
        """Operation and process of every request."""
        self._process = process
        self._done = threading.Semaphore(0)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "done\n":
                self._done.release()
            else:
                operation, pid = line.split()
                self.requests.append((int(operation), int(pid)))

    def asked(self) -> None:
        """Wait until somebody asked something, from now on."""
        before, end = len(self.requests), time.monotonic() + 30
        while len(self.requests) == before:
            assert time.monotonic() < end
            time.sleep(0.01)

    def change(self, path: str, content: str | None) -> None:
        self._say(f"remove {path}" if content is None else f"change {path} {content}")

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._done.acquire(timeout=30)

    def fall_silent(self) -> None:
        self._say("silent")

    def grow(self, path: str, size: int) -> None:
        self._say(f"grow {path} {size}")

    def slow_down(self) -> None:
        self._say("slow")

    def answer(self) -> None:
        self._say("answer")


@contextlib.contextmanager
def silent_mount(point: Path) -> Iterator[SilentMount]:
    """Mount it; raises PermissionError where that is not allowed."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(point)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().strip() for _ in range(2)]
        if lines[-1] != "mounted":
            raise PermissionError("no FUSE mount is allowed here")
        mount = SilentMount(point, process)
        yield mount
    finally:
        process.kill()  # the device is closed with it: whoever waits gets an error
        process.wait()
        _libc.umount2(os.fsencode(point), _MNT_FORCE | _MNT_DETACH)
        process.stdin.close()
        process.stdout.close()


if __name__ == "__main__":
    serve(sys.argv[1])
