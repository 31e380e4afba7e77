"""The rooms of a server, without a process around them; and a real PostgreSQL."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import glob
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine

from whatchanged.server.api.context import Context
from whatchanged.server.control import Control
from whatchanged.server.control.tokens import IngestionSigner
from whatchanged.server.ingest import Ingestor
from whatchanged.server.query import Questions, Reader
from whatchanged.server.storage import Storage


@pytest.fixture(scope="module")
def context(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("server")
    control = Control(str(folder / "control.db"))
    ingestor, reader, questions = Ingestor(storage, control), Reader(storage), Questions(storage)
    made = Context(
        control=control,
        storage=storage,
        ingestor=ingestor,
        reader=reader,
        questions=questions,
        signer=IngestionSigner(b"k" * 32),
        public_url="http://127.0.0.1:1",
        hosts=frozenset(),
        authority_pem=None,
        authority_digest="-",
        server_folder=str(folder),
        backups=str(folder / "backups"),
    )
    yield made
    made.threads.shutdown()
    ingestor.close()
    reader.close()
    questions.close()
    control.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """A PostgreSQL of its own on a socket in its own folder; every call makes an empty database and returns its URL."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))  # Debian keeps it out of the path
    programs = os.path.dirname(found[-1] if found else shutil.which("initdb") or "initdb")
    # It refuses to run as root. Not in pytest's folder, which nobody else may enter.
    account = "postgres" if os.getuid() == 0 else None
    folder = tempfile.mkdtemp(prefix="pg")
    if account is not None:
        shutil.chown(folder, account)

    def run(program: str, *arguments: str) -> None:
        command = [os.path.join(programs, program), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, user=account, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

    try:
        run("initdb", "--auth=trust", "--username=tests", "--no-sync")
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", f"-k {folder} -c listen_addresses= -F", "start")
        try:
            yield _databases(f"?host={folder}")
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _databases(where: str) -> Callable[[], str]:
    numbers = itertools.count()

    def make() -> str:
        name = f"control{next(numbers)}"
        engine = create_engine(f"postgresql+psycopg://tests@/postgres{where}", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return f"postgresql+psycopg://tests@/{name}{where}"

    return make
