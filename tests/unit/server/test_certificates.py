"""The server's certificate on disk: made in two files, so a kill may fall between them."""

from __future__ import annotations

import os
import shutil
import ssl
import threading
from pathlib import Path

from whatchanged.server.certificates import Authority, server_context
from whatchanged.server.housekeeping import renewer


def test_a_certificate_is_kept_while_it_is_current(tmp_path: Path) -> None:
    files = Authority(str(tmp_path)).server_files(["localhost"])
    before = Path(files.certificate).read_bytes()
    Authority(str(tmp_path)).server_files(["localhost"])
    assert Path(files.certificate).read_bytes() == before
    Authority(str(tmp_path)).server_files(["localhost", "web.example"])
    assert Path(files.certificate).read_bytes() != before


def test_a_key_without_its_certificate_is_no_obstacle(tmp_path: Path) -> None:
    """The server was killed between writing the key and the certificate that belongs to it."""
    authority = Authority(str(tmp_path / "a"))
    other = Authority(str(tmp_path / "b")).server_files(["localhost"])
    files = authority.server_files(["localhost"])
    shutil.copy(other.key, files.key)
    server_context(authority.server_files(["localhost"]))
    os.unlink(files.key)
    server_context(authority.server_files(["localhost"]))


def test_connections_after_a_renewal_get_the_new_certificate(tmp_path: Path) -> None:
    authority = Authority(str(tmp_path))
    context = server_context(authority.server_files(["localhost"]))
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    first = served(context, trusting)
    renewer(lambda: authority.server_files(["localhost", "127.0.0.1"]), context)()
    assert served(context, trusting) != first


def served(context: ssl.SSLContext, trusting: ssl.SSLContext) -> bytes:
    """Return the certificate that a client is shown, after a real handshake."""
    import socket

    near, far = socket.socketpair()

    def answer() -> None:
        with context.wrap_socket(far, server_side=True) as tls:
            tls.recv(1)

    thread = threading.Thread(target=answer)
    thread.start()
    with trusting.wrap_socket(near, server_hostname="localhost") as tls:
        found = tls.getpeercert(binary_form=True)
        tls.sendall(b"x")
    thread.join()
    assert found
    return found
