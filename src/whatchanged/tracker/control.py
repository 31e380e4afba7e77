"""The control socket: `status`, `scan`, `why` for the tracker's own account and root (administrators on Windows).

One JSON object a line each way (`docs/formats/local-pipe.md`). A closed list of commands; nothing here changes
what the tracker does beyond looking earlier.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from whatchanged import ipc
from whatchanged.errors import OperationError, PeerError

__all__ = ["ControlServer", "hears"]

log = logging.getLogger(__name__)

_LINE_BYTES = 64 * 1024
_IDLE_SECONDS = 60.0
_CONNECTIONS = 16

Command = Callable[[Mapping[str, Any]], Any]


def hears(peer: ipc.Peer, account: ipc.AccountId) -> bool:
    """Return whether a tracker of `account` takes commands of `peer`."""
    return peer.administrator or peer.account == account


class ControlServer:
    """Serves commands until stopped."""

    def __init__(
        self,
        path: str,
        commands: Mapping[str, Command],
        stop: threading.Event,
        *,
        account: ipc.AccountId | None = None,
    ) -> None:
        """`account` is heard beside administrators (default: the one of this process)."""
        self._listener = ipc.listen(ipc.at(path), mode=0o600)
        self._commands = commands
        self._stop = stop
        self._account = ipc.own_account() if account is None else account
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)

    def run(self) -> None:
        """Accept connections until stopped."""
        with self._listener:
            while not self._stop.is_set():
                try:
                    channel = self._listener.accept(1.0)
                except ipc.PeerTimeout:
                    continue
                if not hears(channel.peer, self._account) or not self._slots.acquire(blocking=False):
                    channel.close()
                    continue
                threading.Thread(target=self._serve, args=(channel,), daemon=True, name="control").start()

    def _serve(self, channel: ipc.Channel) -> None:
        try:
            with channel:
                while line := _read_line(channel, _LINE_BYTES, _IDLE_SECONDS):
                    channel.send(self._answer(line) + b"\n")
        except PeerError:
            log.debug("a control connection ended")
        finally:
            self._slots.release()

    def _answer(self, line: bytes) -> bytes:
        try:
            # Paths that are no text travel as lone surrogates, which the standard library reads and writes.
            asked = json.loads(line)
            if not isinstance(asked, dict):
                raise ValueError("a command is an object")  # noqa: TRY004 - answered like every other wrong command
            command = self._commands.get(str(asked.get("command")))
            if command is None:
                raise ValueError(f"no such command; there are {', '.join(sorted(self._commands))}")
            answer: dict[str, Any] = {"ok": True, "result": command(asked)}
        except OperationError as error:
            answer = {"ok": False, "error": error.message, "hint": error.hint}
        except (ValueError, RecursionError) as error:
            answer = {"ok": False, "error": str(error), "hint": ""}
        return json.dumps(answer).encode()


def _read_line(channel: ipc.Channel, limit: int, timeout: float) -> bytes:
    line = b""
    while len(line) <= limit:
        part = channel.receive(65536, timeout)
        line += part
        if not part or line.endswith(b"\n"):
            return line
    raise PeerError("a line on the control socket is too long")
