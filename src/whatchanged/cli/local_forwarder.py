"""What the forwarder of this installation says of itself: `<data>/forwarder/status.json`, and whether it listens."""

from __future__ import annotations

import json
import os
from typing import Any

from whatchanged import ipc
from whatchanged.cli.options import Values
from whatchanged.errors import PeerError, SettingsError

__all__ = ["is_agent_only", "listens", "status"]

_LIMIT = 1024 * 1024


def status(values: Values) -> dict[str, Any] | None:
    """Return what it wrote last, None if it never ran here. Raises SettingsError if we may not read it."""
    path = os.path.join(values.data.forwarder, "status.json")
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read(_LIMIT))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise SettingsError(f"may not read {path}", hint="run as the forwarder's account or root") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {path}: {error}", hint="restart the forwarder") from error
    return found if isinstance(found, dict) else None


def listens(values: Values) -> str:
    """Return why nobody can reach the forwarder on its pipe; empty if it listens."""
    try:
        with ipc.connect(ipc.at(values.data.pipe_socket), 5.0):
            return ""
    except PeerError as error:
        return error.message


def is_agent_only(values: Values) -> bool:
    """Whether this machine runs the agents and its server is elsewhere."""
    return not values["url"] and os.path.isdir(values.data.forwarder) and not os.path.isdir(values.data.server)
