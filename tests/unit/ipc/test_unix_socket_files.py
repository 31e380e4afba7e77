"""What holds for sockets in the file system only."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from whatchanged import ipc
from whatchanged.errors import PeerError

if sys.platform == "win32":
    pytest.skip("Unix sockets", allow_module_level=True)


def test_mode_is_as_asked_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(0)
    try:
        with ipc.listen(ipc.PathSocket(str(path)), mode=0o640, group=os.getegid()):
            assert stat.S_IMODE(path.lstat().st_mode) == 0o640
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_stale_file_is_taken_away_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "s"
    program = f"import os,socket; s=socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); os._exit(9)"
    subprocess.run([sys.executable, "-c", program])
    assert path.is_socket()
    with ipc.listen(ipc.PathSocket(str(path))):
        ipc.connect(ipc.PathSocket(str(path)), 5).close()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(PeerError, match="no socket"):
        ipc.listen(ipc.PathSocket(str(path)))
    assert path.read_text() == "precious"


def test_closing_leaves_the_file_of_a_successor(tmp_path: Path) -> None:
    path = tmp_path / "s"
    old = ipc.listen(ipc.PathSocket(str(path)))
    path.unlink()
    with ipc.listen(ipc.PathSocket(str(path))):
        old.close()
        assert path.is_socket()


@pytest.mark.parametrize("path", ["", "/", "/tmp/" + "n" * 120, "/nowhere/at/all/s"])
def test_impossible_paths_are_refused(path: str) -> None:
    with pytest.raises(PeerError):
        ipc.listen(ipc.PathSocket(path))


def test_an_unknown_group_and_a_long_abstract_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="no group"):
        ipc.listen(ipc.PathSocket(str(tmp_path / "s")), group="there-is-no-such-group")
    with pytest.raises(PeerError, match="longer"):
        ipc.listen(ipc.AbstractSocket("n" * 108))


def test_padded_and_unpadded_names_are_two() -> None:
    name = f"whatchanged-test-{os.getpid()}-pad"
    with ipc.listen(ipc.AbstractSocket(name)), ipc.listen(ipc.AbstractSocket(name, padded=True)):
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(b"\0" + name.encode().ljust(107, b"\0"))
        plain.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_peer_credentials_are_the_kernels() -> None:
    # An abstract name: another account may not be able to enter the folder of the test.
    endpoint = ipc.AbstractSocket(f"whatchanged-test-{os.getpid()}-peer")
    with ipc.listen(endpoint) as listener:
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            with ipc.connect(endpoint, 10) as channel:
                channel.receive(1, 10)
            os._exit(0)
        with listener.accept(10) as channel:
            assert channel.peer == ipc.Peer(65534, child)
        os.waitpid(child, 0)
