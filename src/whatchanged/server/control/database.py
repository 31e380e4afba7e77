"""The control plane's database: SQLite by default, PostgreSQL by DSN.

Every function of the control plane runs one transaction here, in a thread, never on the event loop. On SQLite
writers begin with BEGIN IMMEDIATE: a deferred transaction that turns from reading to writing fails at once
when another writer came between, whatever `busy_timeout` says (https://www.sqlite.org/lang_transaction.html).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionError, RevisionMap
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, OperationalError

from whatchanged.errors import SettingsError, StateError, StorageFull
from whatchanged.server.control.migrations import STEPS
from whatchanged.server.control.refusals import bad_request

__all__ = ["Database"]

_BUSY_MS = 10_000
_START_LOCK = 0x7768617463686E67
"""A number of our own among PostgreSQL's advisory locks."""
_FULL = ("database or disk is full", "No space left")


class Database:
    """Engine, transactions, migrations and backup. Thread-safe."""

    def __init__(self, dsn: str) -> None:
        """Open `dsn`: a SQLAlchemy URL, or the path of a SQLite file (made with mode 0600)."""
        self.path = _sqlite_path(dsn)
        if self.path is not None:
            _make_private(self.path)
        self._engine = _engine(dsn, self.path)
        self._reader = self._engine.execution_options(reading=True)
        self._migrate()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run the block in one transaction that is on disk when the block has ended."""
        with _foreign(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run the block on one snapshot."""
        with _foreign(), self._reader.connect() as connection:
            yield connection

    def one_at_a_time(self, connection: Connection) -> None:
        """Let no other process do what asks for this, until the transaction ends: what is done once, at start."""
        if connection.dialect.name == "postgresql":  # on SQLite every writer is alone
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _START_LOCK})

    def check(self) -> None:
        """Raise StateError if the database does not answer."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def backup(self, path: str) -> None:
        """Write a consistent copy to the file `path` while others go on working (SQLite only)."""
        if self.path is None:
            raise StateError("the control plane lives in PostgreSQL", hint="back it up with pg_dump")
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        os.chmod(path, 0o600)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        try:
            with self.write() as connection:
                self.one_at_a_time(connection)
                context = MigrationContext.configure(connection, opts={"fn": _steps_from, "transactional_ddl": True})
                with context.begin_transaction(), Operations.context(context):
                    context.run_migrations()
        except RevisionError as error:
            raise StateError(
                f"the control plane's database is not one of this version: {error}",
                hint="it was made by a newer version, or is not ours; install that version or restore a backup",
            ) from error


def _steps_from(revision: tuple[str, ...], _context: MigrationContext) -> list[MigrationStep]:
    """Return the steps from `revision` to the newest.

    As Alembic's ScriptDirectory does it, but of imported modules: it opens files by their real path, which an account
    that runs the program through descriptors (`cli.privileges`) cannot reach.
    """
    scripts = {step.revision: Script(step, step.revision, step.__name__) for step in STEPS}
    revisions = RevisionMap(scripts.values)
    way = [found.revision for found in revisions.iterate_revisions("heads", revision, implicit_base=True)]
    return [MigrationStep.upgrade_from_script(revisions, scripts[step]) for step in reversed(way)]


def _sqlite_path(dsn: str) -> str | None:
    if "://" not in dsn:
        return os.path.abspath(dsn)
    try:
        url = make_url(dsn)
    except ArgumentError as error:
        raise SettingsError("the control plane's DSN is no SQLAlchemy URL") from error
    return os.path.abspath(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _make_private(path: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    # SQLite gives -wal and -shm the mode of the database file, so it is made before SQLite sees it.
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _engine(dsn: str, path: str | None) -> Engine:
    try:
        if path is None:
            return create_engine(dsn, pool_pre_ping=True, hide_parameters=True)
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_MS / 1000}, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(f"cannot use the control plane's DSN: {error}") from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control is switched off; `_begin_sqlite` begins.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def _foreign() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except DataError as error:
        raise bad_request("a value holds what the database does not take, such as NUL") from error
    except OperationalError as error:
        if any(words in str(error.orig) for words in _FULL):
            raise StorageFull("the control plane's disk is full") from error
        raise StateError(f"the control plane's database does not answer: {error.orig}") from error
    except DBAPIError as error:
        # The lines after the first show values.
        reason = next(iter(str(error.orig).splitlines()), "")
        raise StateError(f"the control plane's database refused: {reason}") from error
