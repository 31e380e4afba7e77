"""What every netlink socket needs (netlink(7))."""

from __future__ import annotations

import socket
import struct

__all__ = ["NLMSG", "SO_RCVBUFFORCE", "receive"]

NLMSG = struct.Struct("=IHHII")
"""The head of a message, linux/netlink.h: length, type, flags, sequence, port."""
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it

_KERNEL_PORT = 0


def receive(source: socket.socket, largest: int) -> bytes:
    """Return the next message of the kernel, at most `largest` bytes of it; another process can send to our port too.

    Raises OSError as recvfrom(2): BlockingIOError when none waits, ENOBUFS when some are missing before the next.
    """
    while True:
        message, (port, _) = source.recvfrom(largest)
        if port == _KERNEL_PORT:
            return message
