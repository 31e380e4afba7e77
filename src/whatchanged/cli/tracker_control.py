"""Questions to the tracker on its control socket (docs/formats/local-pipe.md)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from whatchanged import ipc
from whatchanged.cli.options import Values
from whatchanged.errors import OperationError, PeerError, SettingsError

__all__ = ["ask"]

_LIMIT = 16 * 1024 * 1024
_TIMEOUT = 30.0


def ask(values: Values, command: str, *, timeout: float = _TIMEOUT, **arguments: object) -> Any:
    """Return the tracker's result; raises SettingsError if there is no tracker, OperationError if it says no."""
    path = values.data.tracker_control_socket
    try:
        with ipc.connect(ipc.at(path), 5.0) as channel:
            _check(channel.peer)
            channel.send(json.dumps({"command": command, **arguments}).encode() + b"\n")
            answer = _line(channel, timeout)
    except PeerError as error:
        raise _unreachable(path, error) from error
    if not answer.get("ok"):
        raise OperationError(str(answer.get("error", "the tracker refused")), hint=str(answer.get("hint", "")))
    return answer.get("result")


def _check(peer: ipc.Peer) -> None:
    """Any account may take the name of a pipe that nobody serves; a socket stands in the tracker's folder."""
    if sys.platform == "win32" and not peer.administrator and peer.account != ipc.own_account():
        raise PeerError(f"its pipe belongs to {peer.account}, who is neither you, the system nor administrators")


def _line(channel: ipc.Channel, timeout: float) -> dict[str, Any]:
    received = bytearray()
    while not received.endswith(b"\n"):
        part = channel.receive(65_536, timeout)
        received += part
        if not part or len(received) > _LIMIT:
            break
    try:
        answer = json.loads(received)
    except ValueError as error:
        raise PeerError("the tracker broke off its answer") from error
    if not isinstance(answer, dict):
        raise PeerError("the tracker's answer is no object")
    return answer


def _unreachable(path: str, error: PeerError) -> OperationError:
    folder = os.path.dirname(path)
    try:
        os.stat(folder)
        enters = os.access(folder, os.X_OK)
    except PermissionError:
        enters = False
    except OSError:
        return SettingsError(f"no tracker has run on {folder}", hint="start one with `whatchanged up`, or name --data")
    if not enters:
        who = "an administrator, elevated" if sys.platform == "win32" else "the tracker's account or root"
        return SettingsError(f"may not enter {folder}", hint=f"run as {who}")
    return PeerError(f"the tracker does not answer: {error.message}", hint="is it running? `whatchanged doctor` looks")
