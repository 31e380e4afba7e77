"""Backup and restore of a server: telemetry, control plane, keys.

A backup is a folder: `control.db`, `telemetry/`, `taken` (when), and keys and certificates below `keys/`. It is
written under another name and renamed when it is complete, so that a folder without that suffix is a whole backup.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable

from whatchanged.errors import OperationError, StateError, StorageFull
from whatchanged.records.times import now_ns, parse_time, time_text
from whatchanged.server import storage as telemetry
from whatchanged.server.control import Control
from whatchanged.server.control.refusals import bad_request, conflict
from whatchanged.server.storage import Storage
from whatchanged.settings import DataFolder

__all__ = ["KEY_FILES", "back_up", "forget_restored", "restore", "restored_from"]

KEY_FILES = ("local.token", "ingestion.key", "tls/ca.key", "tls/ca.pem")
"""What cannot be made anew without every machine enrolling again; relative to the server's folder."""
_TAKEN = "taken"
_RESTORED = "restored"


def back_up(control: Control, storage: Storage, server_folder: str, backups: str, name: str, actor: str) -> str:
    """Write a backup into the folder `name` below `backups` and return its path; refuses any other place."""
    if not storage.embedded or control.database.path is None:
        raise conflict("a part of this server lives in a database server; back that up with its own tools")
    target = _target(backups, name or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    if os.path.lexists(target):
        raise conflict(f"{target} exists already", "path")
    partial = f"{target}.{secrets.token_hex(4)}.partial"
    try:
        os.makedirs(partial, mode=0o700)
        _write_private(os.path.join(partial, _TAKEN), time_text(now_ns()))  # what comes from here on may be missing
        telemetry.backup(storage, os.path.join(partial, "telemetry"))
        control.database.backup(os.path.join(partial, "control.db"))
        _copy_private(server_folder, os.path.join(partial, "keys"), KEY_FILES)
        os.rename(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StorageFull(f"cannot write the backup: {error}") from error
    except OperationError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    control.note(actor, "backup.create", target)
    return target


def restore(data: DataFolder, backup: str) -> None:
    """Make the server's folder of `data` from a backup; refuses one that is not empty. The server must not run."""
    if not os.path.isfile(os.path.join(backup, "control.db")) or backup.rstrip("/").endswith(".partial"):
        raise StateError(f"{backup} is no whole backup", hint="it holds control.db, telemetry and keys")
    if os.path.isdir(data.server) and os.listdir(data.server):
        raise StateError(f"{data.server} is not empty", hint="move it away first")
    # Under another name until it is whole: a server must not start on half of it and make the rest anew.
    draft = f"{data.server}.restoring"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        os.makedirs(draft, mode=0o700)
        _copy_private(os.path.join(backup, "keys"), draft, KEY_FILES)
        telemetry.restore(os.path.join(backup, "telemetry"), os.path.join(draft, "telemetry"))
        _copy_private(backup, draft, ("control.db", _TAKEN))
        os.replace(os.path.join(draft, _TAKEN), os.path.join(draft, _RESTORED))
        os.rename(draft, data.server)  # also onto an empty folder
    except OSError as error:
        raise StateError(f"cannot restore {backup}: {error}") from error


def restored_from(server_folder: str) -> int | None:
    """Return when the backup was taken that this server was restored from (ns since 1970), until that is forgotten."""
    try:
        with open(os.path.join(server_folder, _RESTORED), encoding="ascii") as stream:
            return parse_time(stream.read(64).strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StateError(f"{server_folder}/{_RESTORED} does not say when the backup was taken: {error}") from error


def forget_restored(server_folder: str) -> None:
    """The machines' health says it now."""
    os.unlink(os.path.join(server_folder, _RESTORED))


def _target(backups: str, name: str) -> str:
    root = os.path.realpath(backups)
    target = os.path.realpath(os.path.join(root, name))
    if os.path.dirname(target) != root or "\0" in name or target.endswith(".partial"):
        raise bad_request(f"backups go into folders directly below {root}", "path")
    return target


def _write_private(path: str, text: str) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _copy_private(source: str, target: str, names: Iterable[str]) -> None:
    for name in names:
        origin, place = os.path.join(source, name), os.path.join(target, name)
        if not os.path.exists(origin):
            continue
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(origin, "rb") as reader, os.fdopen(descriptor, "wb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
