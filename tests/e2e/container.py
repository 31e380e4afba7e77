"""A real Debian with systemd, booted by systemd-nspawn. Needs root, debootstrap and systemd-container."""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import hashlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.conftest import eventually

__all__ = ["Container", "base_system", "wheels"]

_PACKAGES = "systemd,dbus,systemd-sysv,python3,python3-venv,ca-certificates,cron,sudo"
_REPOSITORY = Path(__file__).parents[2]


def missing() -> str:
    """Return what is missing for containers, or an empty string. With CI=true nothing may be missing."""
    absent = [tool for tool in ("debootstrap", "systemd-nspawn", "nsenter") if not shutil.which(tool)]
    if os.geteuid() != 0:
        absent.append("root")
    if absent and os.environ.get("CI") == "true":
        pytest.fail(f"missing for containers: {', '.join(absent)}")
    return ", ".join(absent)


def base_system() -> Path:
    """Return the folder of a bookworm system, built once and kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whatchanged-tests"
    target = cache / f"bookworm-{hashlib.sha256(_PACKAGES.encode()).hexdigest()[:8]}"
    if not (target / ".complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(target)],
            check=True,
            capture_output=True,
            timeout=600,
        )
        (target / ".complete").touch()
    return target


def wheels(folder: Path) -> Path:
    """Build the project's wheel and fetch those of the base install, for the container's Python 3.11."""
    target = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(target), str(_REPOSITORY)], check=True, timeout=300)
    (wheel,) = target.glob("whatchanged-*.whl")
    subprocess.run(
        [*pip, "download", "--only-binary=:all:", "--python-version=3.11", "-d", str(target), str(wheel)],
        check=True,
        timeout=300,
    )
    return target


class Container:
    """One booted system; `run` executes inside."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "machine"
        subprocess.run(["cp", "-a", "--reflink=auto", str(base_system()), str(self.root)], check=True)
        self._log = folder / "container.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._binds: tuple[str, ...] = ()

    def boot(self, *binds: str, cgroups: tuple[Path, ...] = ()) -> None:
        """Boot, in these control groups of the machine, and wait until the system runs."""
        self._binds = binds
        join = "".join(f"echo $$ > {shlex.quote(str(group))}/cgroup.procs && " for group in cgroups)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("sh", "-c", f'{join} exec "$@"', "-"),
                    *("systemd-nspawn", "--directory", str(self.root), "--boot", "--register=no", "--keep-unit"),
                    *(f"--machine=wc{os.getpid()}", "--resolv-conf=off", "--console=pipe"),
                    # A machine of its own may watch its files; nspawn keeps that from containers.
                    "--system-call-filter=fanotify_init fanotify_mark open_by_handle_at",
                    *(f"--bind-ro={bind}" for bind in binds),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait()

    def wait(self) -> None:
        """Wait until the system has started."""
        eventually(self._running, seconds=120, what=f"the container runs, see {self._log}")

    def _running(self) -> bool:
        try:
            state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        except (ProcessLookupError, IndexError, OSError):
            return False
        return state in ("running", "degraded")

    @property
    def leader(self) -> int:
        """The container's process 1, as the machine counts."""
        return int(self._leader())

    def _leader(self) -> str:
        assert self._process is not None
        assert self._process.poll() is None, f"the container ended:\n{self._log.read_text(errors='replace')[-3000:]}"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return children[0]

    def seen_from_here(self, path: str) -> str:
        """Return a path of the container as this system reaches it."""
        return f"/proc/{self._leader()}/root{path}"

    def run(self, *command: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command inside and return its output."""
        done = subprocess.run(
            ["nsenter", "--target", self._leader(), "--all", "/usr/bin/env", "-i", "--chdir=/",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *command],
            input=stdin, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done

    def reboot(self) -> None:
        """Reboot from inside and wait."""
        assert self._process is not None
        self.run("systemctl", "reboot", check=False)
        # With --keep-unit a reboot ends nspawn, with this status (systemd-nspawn(1)).
        assert self._process.wait(60) == 133
        self.boot(*self._binds)

    def end(self) -> None:
        """Power off."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)
