"""What every suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from whatchanged.server.storage import Storage


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """The telemetry database of this process: chDB opens one folder at a time, so nobody else opens one here.

    Every test takes machines of its own; what needs a database of its own runs in a process of its own.
    """
    from whatchanged.server.storage import open_storage

    with open_storage(tmp_path_factory.mktemp("telemetry") / "db") as opened:
        yield opened
