"""The configuration of the forwarder: what could not be written is asked for again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from whatchanged.errors import StateError
from whatchanged.forwarder.configuration import Configuration, Fetcher, fetch
from whatchanged.settings import DataFolder


class Answering(Fetcher):
    """The server's answers: a document, and that nothing is new for who has its ETag."""

    def __init__(self) -> None:
        self._etag = ""

    def fetch(self, wait: float) -> Any:
        if self._etag == "1":
            return None
        self._etag = "1"
        return ({},), ()


def test_a_configuration_that_could_not_be_written_is_asked_for_again(tmp_path: Path) -> None:
    configuration = Configuration(DataFolder(str(tmp_path)), 10)
    chunks = tmp_path / "forwarder" / "mcs" / "configchunks"
    chunks.parent.mkdir(parents=True)
    chunks.touch()  # in the way
    fetcher = Answering()
    with pytest.raises(StateError):
        fetch(fetcher, configuration, 0)
    chunks.unlink()
    assert fetch(fetcher, configuration, 0)[0]
    assert os.listdir(chunks) == ["1.json"]
    assert fetch(fetcher, configuration, 0) == (False, ())
