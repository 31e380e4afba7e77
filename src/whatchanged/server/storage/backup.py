"""Backup and restore of the embedded engine.

chDB has no `backups.allowed_path`, so BACKUP is not to be had. `ALTER TABLE … FREEZE` makes hard links of the
immutable parts: all tables are frozen while writes are held (milliseconds), and copied afterwards while the server
goes on. A backup is a folder: `manifest.json`, and below `<table>/` its parts. Restoring attaches the parts to the
tables of a new, empty database, made by the same migrations; younger ones run afterwards.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from whatchanged.errors import StateError, StorageFull
from whatchanged.server.storage.database import Storage, open_storage
from whatchanged.server.storage.schema import DATA_TABLES, MIGRATIONS, Migration

__all__ = ["backup", "restore"]

_FORMAT = 1
_TABLES = (*DATA_TABLES, "Watermark")
_PART = re.compile(r"[0-9A-Za-z_-]{1,200}\Z", re.ASCII)


def backup(storage: Storage, folder: str) -> dict[str, int]:
    """Write a consistent backup into `folder` (which must not exist); return the number of parts per table.

    Raises StateError or StorageFull; what was begun is removed again.
    """
    partial = f"{folder}.partial"
    if os.path.exists(folder) or os.path.exists(partial):
        raise StateError(f"{folder} exists already", hint="name a folder that does not exist")
    name = "backup_" + secrets.token_hex(8)
    try:
        frozen = _freeze(storage, name)
        os.makedirs(partial, mode=0o700)
        parts = {table: _copy_parts(source, os.path.join(partial, table)) for table, source in frozen.items()}
        _write_manifest(partial, parts)
        os.rename(partial, folder)
        _fsync_folder(os.path.dirname(os.path.abspath(folder)))
        return {table: len(names) for table, names in parts.items()}
    except ClickHouseError as error:
        raise StateError(f"cannot freeze the telemetry database: {error}") from error
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StorageFull(f"cannot write the backup: {error}") from error
    finally:
        shutil.rmtree(os.path.join(storage.path, "shadow", name), ignore_errors=True)


def restore(folder: str, target: str) -> None:
    """Make a new telemetry database at `target` (absent or empty) from the backup in `folder`."""
    manifest, steps = _read_manifest(folder)
    if os.path.isdir(target) and os.listdir(target):
        raise StateError(f"{target} is not empty", hint="move the old database away first")
    with Storage(target, steps=steps) as storage, storage.writes_held() as client:
        try:
            for table, parts in manifest.items():
                _attach(client, os.path.join(folder, table), table, parts)
        except (ClickHouseError, OSError) as error:
            raise StateError(f"cannot restore {folder}: {error}") from error
    open_storage(target).close()


def _freeze(storage: Storage, name: str) -> dict[str, str]:
    """Freeze every table; return the folder of hard links per table."""
    root = os.path.realpath(storage.path)
    frozen = {}
    with storage.writes_held() as client:
        for table in _TABLES:
            client.command(f"ALTER TABLE {table} FREEZE WITH NAME '{name}'")
            relative = os.path.relpath(_data_folder(client, table), root)
            frozen[table] = os.path.join(root, "shadow", name, relative)
    return frozen


def _data_folder(client: Client, table: str) -> str:
    result = client.query(
        "SELECT data_paths FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    )
    return os.path.realpath(str(result.result_rows[0][0][0]))


def _copy_parts(source: str, target: str) -> list[str]:
    os.makedirs(target, mode=0o700)
    names = sorted(n for n in os.listdir(source) if _PART.match(n)) if os.path.isdir(source) else []
    for name in names:
        shutil.copytree(os.path.join(source, name), os.path.join(target, name), copy_function=_copy_durably)
    _fsync_folder(target)
    return names


def _copy_durably(source: str, target: str) -> str:
    with open(source, "rb") as reader, open(target, "xb") as writer:
        shutil.copyfileobj(reader, writer, 1024 * 1024)
        writer.flush()
        os.fsync(writer.fileno())
    return target


def _fsync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_manifest(folder: str, parts: dict[str, list[str]]) -> None:
    document = {"format": _FORMAT, "migrations": [step.name for step in MIGRATIONS], "tables": parts}
    with open(os.path.join(folder, "manifest.json"), "x", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def _read_manifest(folder: str) -> tuple[dict[str, list[str]], tuple[Migration, ...]]:
    """Return the parts of each table, and the migrations that made the tables."""
    try:
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as stream:
            document = json.load(stream)
        tables = {str(table): [str(part) for part in parts] for table, parts in document["tables"].items()}
        steps = MIGRATIONS[: len(document["migrations"])]
        known = document["format"] == _FORMAT and document["migrations"] == [step.name for step in steps]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{folder} is no backup: {error}") from error
    if not known:
        raise StateError(f"the backup {folder} was made by a newer version")
    if not set(tables) <= set(_TABLES) or not all(_PART.match(p) for parts in tables.values() for p in parts):
        raise StateError(f"{folder} is no backup: it names foreign tables or parts")
    return tables, steps


def _attach(client: Client, source: str, table: str, parts: list[str]) -> None:
    detached = os.path.join(_data_folder(client, table), "detached")
    for part in parts:
        shutil.copytree(os.path.join(source, part), os.path.join(detached, part), copy_function=_copy_durably)
        client.command(f"ALTER TABLE {table} ATTACH PART '{part}'")
