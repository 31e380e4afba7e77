"""The control socket: `status`, `scan`, `why` for the tracker's own account and root.

One JSON object a line each way (`docs/formats/local-pipe.md`). A closed list of commands; nothing here changes
what the tracker does beyond looking earlier.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from whatchanged import ipc
from whatchanged.errors import OperationError, PeerError
from whatchanged.tracker.settings import own_uid

__all__ = ["ControlServer", "request"]

log = logging.getLogger(__name__)

_LINE_BYTES = 64 * 1024
_REPLY_BYTES = 64 * 1024 * 1024
_IDLE_SECONDS = 60.0
_CONNECTIONS = 16

Command = Callable[[Mapping[str, Any]], Any]


class ControlServer:
    """Serves commands until stopped."""

    def __init__(self, path: str, commands: Mapping[str, Command], stop: threading.Event) -> None:
        self._listener = ipc.listen(ipc.PathSocket(path), mode=0o600)
        self._commands = commands
        self._stop = stop
        self._accounts = {0, own_uid()}
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)

    def run(self) -> None:
        """Accept connections until stopped."""
        with self._listener:
            while not self._stop.is_set():
                try:
                    channel = self._listener.accept(1.0)
                except ipc.PeerTimeout:
                    continue
                if channel.peer.uid not in self._accounts or not self._slots.acquire(blocking=False):
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
            asked = msgspec.json.decode(line, type=dict[str, Any])
            command = self._commands.get(str(asked.get("command")))
            if command is None:
                raise ValueError(f"no such command; there are {', '.join(sorted(self._commands))}")
            answer: dict[str, Any] = {"ok": True, "result": command(asked)}
        except OperationError as error:
            answer = {"ok": False, "error": error.message, "hint": error.hint}
        except (ValueError, RecursionError) as error:
            answer = {"ok": False, "error": str(error), "hint": ""}
        return msgspec.json.encode(answer)


def request(path: str, command: Mapping[str, Any], *, timeout: float) -> Any:
    """Send one command to the tracker whose socket is `path` and return its result.

    Raises PeerError when no tracker answers, OperationError with the tracker's words when it refuses.
    """
    with ipc.connect(ipc.PathSocket(path), 5.0) as channel:
        channel.send(msgspec.json.encode(command) + b"\n")
        answer = msgspec.json.decode(_read_line(channel, _REPLY_BYTES, timeout), type=dict[str, Any])
    if not answer.get("ok"):
        raise OperationError(str(answer.get("error")), hint=str(answer.get("hint", "")))
    return answer.get("result")


def _read_line(channel: ipc.Channel, limit: int, timeout: float) -> bytes:
    line = b""
    while len(line) <= limit:
        part = channel.receive(65536, timeout)
        line += part
        if not part or line.endswith(b"\n"):
            return line
    raise PeerError("a line on the control socket is too long")
