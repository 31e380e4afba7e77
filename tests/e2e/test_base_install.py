"""The base install is the agents only: what it holds, what it imports, and what it says without the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER_ONLY = ("litestar", "sqlalchemy", "chdb", "clickhouse_connect", "cryptography", "uvicorn", "alembic")
NETWORK = ("httpx", "httpcore", "ssl", "_ssl", "http.client", "urllib.request", "requests", "asyncio")
_LOADED = "import sys\nimport whatchanged.cli.main\nimport whatchanged.tracker.process\nprint('\\n'.join(sys.modules))"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with nothing but the base install."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    found = folder / "bin" / "python"
    subprocess.run(
        [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(REPOSITORY)],
        check=True,
        timeout=300,
    )
    return found


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Isolated, so that no PYTHONPATH lends it the modules of the tests' own environment.
    return subprocess.run([str(python), "-I", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_no_package_of_the_server_is_there(python: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {SERVER_ONLY!r} if u.find_spec(n)])"
    assert run(python, "-c", code).stdout.strip() == "[]"


def test_the_commands_of_a_machine_work(python: Path) -> None:
    for arguments in (["--help"], ["tracker", "--help"], ["forwarder", "--help"], ["enroll", "--help"]):
        done = run(python, "-m", "whatchanged", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: whatchanged")
    done = run(python, "-m", "whatchanged", "collect", "software", "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


@pytest.mark.parametrize("command", ["server", "up"])
def test_the_server_says_what_to_install(python: Path, command: str) -> None:
    done = run(python, "-m", "whatchanged", command)
    assert done.returncode == 2
    assert "whatchanged[server]" in done.stderr


def test_the_tracker_loads_no_network_client(python: Path) -> None:
    loaded = set(run(python, "-c", _LOADED).stdout.split())
    assert "whatchanged.tracker.process" in loaded
    assert not loaded & {*NETWORK, *SERVER_ONLY}
