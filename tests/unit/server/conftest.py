"""The rooms of a server, without a process around them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from whatchanged.server.api.context import Context
from whatchanged.server.control import Control
from whatchanged.server.control.tokens import IngestionSigner
from whatchanged.server.ingest import Ingestor
from whatchanged.server.query import Reader
from whatchanged.server.storage import Storage


@pytest.fixture(scope="module")
def context(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("server")
    control = Control(str(folder / "control.db"))
    ingestor, reader = Ingestor(storage, control), Reader(storage)
    made = Context(
        control=control,
        storage=storage,
        ingestor=ingestor,
        reader=reader,
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
    control.close()
