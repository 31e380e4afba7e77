"""What the service control manager tells of a service that the tests make, start, stop and remove."""

from __future__ import annotations

import sys

assert sys.platform == "win32"  # mypy's platform branch

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import pywintypes
import win32service

from integration.windows.listening import Listening, open_handles
from whatchanged.watchers.windows import Port, ServiceHint, ServiceWatcher

PROGRAM = Path(__file__).with_name("waiting_service.py")
STOPPED, RUNNING = win32service.SERVICE_STOPPED, win32service.SERVICE_RUNNING
ROUNDS = 3


class Service:
    """A service of our own."""

    def __init__(self) -> None:
        self.name = f"Whatchanged-{uuid.uuid4()}"
        manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
        self._handle = win32service.CreateService(
            manager, self.name, self.name, win32service.SERVICE_ALL_ACCESS, win32service.SERVICE_WIN32_OWN_PROCESS,
            win32service.SERVICE_DEMAND_START, win32service.SERVICE_ERROR_NORMAL, f'"{sys.executable}" "{PROGRAM}"',
            None, False, None, None, None,
        )  # fmt: skip

    def start(self) -> None:
        win32service.StartService(self._handle, None)

    def stop(self) -> None:
        win32service.ControlService(self._handle, win32service.SERVICE_CONTROL_STOP)

    def remove(self) -> None:
        win32service.DeleteService(self._handle)
        win32service.CloseServiceHandle(self._handle)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    with contextlib.suppress(pywintypes.error):  # it does not run
        made.stop()
    made.remove()


@pytest.fixture
def watcher() -> Iterator[Listening[ServiceWatcher]]:
    """One that learns of states by being told, not by listing."""
    with Listening(lambda _: ServiceWatcher(list_seconds=600)) as listening:
        yield listening


@pytest.fixture
def listing() -> Iterator[Listening[ServiceWatcher]]:
    """One that lists often, where the manager does not tell what comes and goes."""
    with Listening(lambda _: ServiceWatcher(list_seconds=0.5)) as listening:
        yield listening


def told(watcher: Listening[ServiceWatcher], service: Service, state: int) -> ServiceHint:
    """Wait until a service is told to be in a state."""
    wanted = service.name.encode()

    def of_service(hint: object) -> bool:
        return isinstance(hint, ServiceHint) and hint.path == wanted and hint.state == state

    hints = watcher.until(lambda hints: any(of_service(hint) for hint in hints))
    found = next(hint for hint in hints if of_service(hint))
    assert isinstance(found, ServiceHint)
    return found


def test_a_service_starts_and_stops(service: Service, watcher: Listening[ServiceWatcher]) -> None:
    coverage = watcher.watcher.subscribe()
    assert not coverage.polled
    assert coverage.watches > 1
    processes = set()
    for _ in range(ROUNDS):
        service.start()
        processes.add(told(watcher, service, RUNNING).process_id)
        service.stop()
        assert told(watcher, service, STOPPED).process_id == 0
    assert len(processes - {0}) > 1, "it was another process each time"


def test_a_restart_between_two_looks_is_told(service: Service, watcher: Listening[ServiceWatcher]) -> None:
    watcher.watcher.subscribe()
    service.start()
    first = told(watcher, service, RUNNING)
    watcher.quiet()
    service.stop()
    end = time.monotonic() + 30
    while True:  # nobody reads meanwhile
        try:
            service.start()
            break
        except pywintypes.error:
            assert time.monotonic() < end
    hints = watcher.until(lambda hints: any(hint.path == first.path for hint in hints))
    assert hints


def test_what_is_as_it_was_is_not_told(service: Service, watcher: Listening[ServiceWatcher]) -> None:
    watcher.watcher.subscribe()
    service.start()
    told(watcher, service, RUNNING)
    watcher.watcher.close()
    watcher.watcher.subscribe()
    watcher.port.wait(1)  # each new handle tells what there is
    assert service.name.encode() not in {hint.path for hint in watcher.watcher.read()}


def test_services_come_and_go(listing: Listening[ServiceWatcher]) -> None:
    listing.watcher.subscribe()
    service = Service()
    path = service.name.encode()
    listing.until(lambda hints: any(hint.path == path for hint in hints))
    service.remove()
    listing.until(lambda hints: any(hint.path == path for hint in hints))
    service = Service()
    listing.until(lambda hints: any(hint.path == service.name.encode() for hint in hints))
    service.start()
    told(listing, service, RUNNING)
    service.stop()
    told(listing, service, STOPPED)
    service.remove()


def test_beyond_the_bound_services_are_polled_and_named(service: Service) -> None:
    with Listening(lambda _: ServiceWatcher(most=2)) as listening:
        coverage = listening.watcher.subscribe()
        assert coverage.limits
        assert len(coverage.polled) > 2


def test_what_the_manager_does_not_tell_is_said(listing: Listening[ServiceWatcher]) -> None:
    coverage = listing.watcher.subscribe()
    listed = [limit for limit in coverage.limits if "come and go" in limit]
    assert bool(listed) is (listing.watcher.longest_wait <= 0.5)


def test_all_handles_are_given_back(service: Service) -> None:
    def round_() -> None:
        port = Port()
        watcher = ServiceWatcher()
        watcher.subscribe()
        assert open_handles() > before
        port.wait(0.1)
        watcher.read()
        watcher.close()
        port.close()

    before = 0
    round_()  # the connection to the manager stays
    before = open_handles()
    for _ in range(ROUNDS):
        round_()
    assert open_handles() <= before + 4
