"""A Windows under Wine, made by tests/windows-python (docs/windows.md says what it can show)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Windows:
    """Runs the Windows Python of the environment that the tests run in."""

    def __init__(self) -> None:
        self._folder = Path(sys.prefix) / "windows"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WHATCHANGED_"))},
            "WINEPREFIX": str(self._folder / "prefix"),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "PYTHONPATH": self.path(ROOT / "src"),
            "PYTHONPYCACHEPREFIX": self.path(self._folder / "pycache"),
            "PYTHONUTF8": "1",
        }

    @staticmethod
    def path(path: Path) -> str:
        """Return how a program in there names a file of ours."""
        return "Z:" + str(path).replace("/", "\\")

    def start(self) -> None:
        """Start what stays in the background, away from the pipes of a test, whose ends it would keep open."""
        serving = subprocess.run(["wineserver", "--persistent"], env=self._environment)
        assert serving.returncode in (0, 2), "2: it runs already"
        subprocess.run(
            ["wine", "cmd", "/c", "exit"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
        )

    def stop(self) -> None:
        """End everything in this prefix."""
        subprocess.run(["wineserver", "--kill"], env=self._environment)

    def install(self) -> str:
        """Install Python and the program into `%ProgramFiles%`, as an administrator would; return Python's path there.

        What a service runs must stand where only administrators write, and loads nothing from PYTHONPATH.
        """
        drive = self._folder / "prefix" / "drive_c"
        place = drive / "Program Files" / "whatchanged"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._folder / "python", place, copy_function=os.link)
        shutil.copytree(ROOT / "src" / "whatchanged", place / "Lib" / "site-packages" / "whatchanged")
        program = r"C:\Program Files\whatchanged\python.exe"
        # A run before may have been cut off in the middle.
        done = self.python("-I", "-m", "whatchanged", "uninstall", program=program)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(drive / "ProgramData" / "whatchanged", ignore_errors=True)
        return program

    @property
    def interpreter(self) -> Path:
        """The Python, as we name it."""
        return self._folder / "python" / "python.exe"

    def launch(
        self,
        *arguments: str,
        program: str | None = None,
        stdin: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start Python (or `program`, another one) with the arguments, in the folder of the project.

        Its output must be read.
        """
        return subprocess.Popen(
            ["wine", program or str(self.interpreter), *arguments],
            cwd=ROOT,
            env=self._environment,
            stdin=stdin,
            stdout=subprocess.PIPE,  # a file would end Python under Wine
            stderr=stderr,
        )

    def python(
        self, *arguments: str, program: str | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run Python (or `program`, another one) with the arguments until it ends."""
        with self.launch(*arguments, program=program) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            said = [_Reader(process.stdout), _Reader(process.stderr)]
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{arguments} did not end: {[reader.text() for reader in said]}") from None
            return subprocess.CompletedProcess(arguments, code, *[reader.text() for reader in said])


class _Reader:
    """Reads what a program says until it has ended.

    The end of the pipe may never come: processes that Wine keeps in the background can have inherited it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._said = bytearray()
        self._thread = threading.Thread(target=self._read, args=(stream.fileno(),), daemon=True)
        self._thread.start()

    def _read(self, descriptor: int) -> None:
        while part := os.read(descriptor, 65_536):
            self._said += part

    def text(self) -> str:
        """Return all of it; asked after the program has ended, when everything is in the pipe."""
        self._thread.join(5)
        return self._said.decode("utf-8", "replace")


@pytest.fixture(scope="session")
def windows() -> Iterator[Windows]:
    """A started Windows."""
    made = Windows()
    made.start()
    yield made
    made.stop()
