"""Real package databases, made by the package managers themselves below a folder."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from whatchanged.collectors import Snapshot
from whatchanged.collectors.software import SoftwareCollector
from whatchanged.records.items import SoftwareItem

SPEC = """Name: {name}
Version: {version}
Release: {release}
Summary: Test package {name} ü
License: MIT
{extra}
%description
{description}
%install
mkdir -p %{{buildroot}}
{install}
%files
{files}
"""


def said(*command: str | Path, **environment: str) -> str:
    """Run a package manager and return what it says."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def look(root: Path) -> Snapshot[SoftwareItem]:
    return SoftwareCollector(os.fsencode(root)).run()


class RpmBuilder:
    """Builds rpm packages; each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built: dict[str, Path] = {}

    def __call__(
        self,
        name: str,
        version: str,
        release: str = "1",
        *extra: str,
        description: str = "text",
        file: str = "",
    ) -> Path:
        """Return the package. `file`: paths of files it holds, with its version in them."""
        key = f"{name}-{version}-{release}"
        if key not in self._built:
            self._built[key] = self._build(key, name, version, release, extra, description, file)
        return self._built[key]

    def _build(
        self, key: str, name: str, version: str, release: str, extra: tuple[str, ...], description: str, file: str
    ) -> Path:
        top = self._folder / key
        top.mkdir()
        targets = [f'"%{{buildroot}}{path}"' for path in file.split()]
        text = SPEC.format(
            name=name,
            version=version,
            release=release,
            extra="\n".join(extra),
            description=description,
            install="\n".join(f"mkdir -p $(dirname {path}); echo {version} > {path}" for path in targets),
            files="\n".join(file.split()),
        )
        (top / "x.spec").write_text(text)
        said("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", top / "x.spec")
        (package,) = top.glob("RPMS/*/*.rpm")
        return package


@pytest.fixture(scope="session")
def rpm_package(tmp_path_factory: pytest.TempPathFactory) -> RpmBuilder:
    return RpmBuilder(tmp_path_factory.mktemp("rpms"))


class RpmRoot:
    """A root with an rpm database of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "etc").mkdir(parents=True)
        (path / "etc/os-release").write_text('ID="fedora"\nVERSION_ID=40\n')

    @property
    def database(self) -> Path:
        return self.path / "var/lib/rpm"

    def rpm(self, *arguments: str | Path) -> str:
        return said("rpm", "--root", self.path, "--dbpath", "/var/lib/rpm", *arguments)

    def answer(self, form: str) -> list[str]:
        """Return what `rpm -qa` says, a line a package."""
        return sorted(self.rpm("-qa", "--qf", form + "\\n").splitlines())


@pytest.fixture
def rpm_root(tmp_path: Path) -> RpmRoot:
    return RpmRoot(tmp_path / "root")


Looker = Callable[[Path], Snapshot[SoftwareItem]]
