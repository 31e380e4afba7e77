"""What the C library's allocator keeps for itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's knobs")

_THREADS = """
import ctypes, threading
from whatchanged import memory

assert memory.use_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
places = []

def take():
    places.append(libc.malloc(ctypes.c_size_t(1000)))

for _ in range(4):
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
with open("/proc/self/maps", encoding="ascii") as stream:
    heap = next(line.split()[0] for line in stream if line.rstrip().endswith("[heap]"))
first, last = (int(end, 16) for end in heap.split("-"))
assert all(first <= place < last for place in places), (heap, list(map(hex, places)))
"""
"""Arenas of threads are mapped elsewhere: only the main one is the heap."""

_HOLES = """
import ctypes
from whatchanged import memory

def resident():
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
places = [libc.malloc(ctypes.c_size_t(64 * 1024)) for _ in range(512)]
for place in places:
    ctypes.memset(place, 1, 64 * 1024)
for place in places[:-1]:
    libc.free(ctypes.c_void_p(place))
before = resident()
memory.give_back()
assert before - resident() > 16 * 2**20, (before, resident())
"""
"""The last block stays in use: without being asked glibc keeps all that is below it."""


@pytest.mark.parametrize("program", [_THREADS, _HOLES], ids=["one arena for all threads", "holes are given back"])
def test_allocator(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_forwarder_takes_no_command_line_of_its_client_along() -> None:
    program = "import sys, whatchanged.forwarder.process; assert not {'click', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
