"""The program of the process that looks into one network file system for the tracker (docs/adr/0020).

It may be waiting in the kernel for somebody who never answers, where no signal reaches it and no other thread of it can
end it. It holds nothing of the tracker but one end of a socket pair, which is its standard input.
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"  # mypy's platform branch

import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from whatchanged.collectors import Failure
from whatchanged.collectors.files import (
    Budget,
    FileCollector,
    FolderLook,
    FolderScope,
    Looked,
    PathLooker,
    Pressure,
    Throttle,
    Unchanged,
)
from whatchanged.errors import PeerError
from whatchanged.rules import FileScope, Policy
from whatchanged.tracker.bounds import BoundedScope
from whatchanged.tracker.remote_messages import Alive, AskKnown, Ended, Found, Job, Link, LookAt, Names, Order, Seen

__all__ = ["main"]

_WORK_SECONDS = 20e-6
"""Processor time between two beats that is called work: who waits for a mount takes none at all."""


def main() -> int:
    """Do what the tracker asks for; return when it is gone."""
    link: Link[Order] = Link(socket.socket(fileno=0), Order)  # type: ignore[arg-type]
    try:
        job = link.receive()
        if not isinstance(job, Job):
            return 2
        link.send(Alive())
        threading.Thread(target=_beat, args=(link, job.beat_seconds), daemon=True).start()
        _Remote(link, job).run()
    except PeerError:
        return 0  # the tracker has what it wanted, or ended
    return 0


def _beat(link: Link[Order], seconds: float) -> None:
    """Say that the work goes on, as long as it does."""
    before = 0.0
    while True:
        time.sleep(seconds)
        spent = time.process_time() - time.thread_time()
        if spent - before > _WORK_SECONDS:
            try:
                link.send(Alive())
            except PeerError:
                os._exit(0)
        before = spent


class _Remote:
    def __init__(self, link: Link[Order], job: Job) -> None:
        self._link = link
        self._job = job
        policy = Policy(excluded_paths=job.excluded_paths, own_paths=job.own_paths)
        whole = FileScope(job.whole)
        scope = whole if job.rules == job.whole else FileScope(job.rules)
        self._scope = BoundedScope(scope, policy, whole=whole)
        self._excluded = policy.excluded
        self._budget: Budget = Throttle(
            bytes_per_second=job.bytes_per_second,
            core_share=job.core_share,
            pressure=Pressure() if job.pressure_aware else None,
        )
        self._folder: tuple[bytes, Names] | None = None

    def run(self) -> None:
        for place in self._job.places:
            self._look_at_place(place)
        collector = FileCollector(
            _From(self._scope, self._job.places),
            root=self._job.root,
            known=self,
            threads=self._job.threads,
            budget=self._budget,
            rehash=lambda folder: self._known(folder).rehash,
            network_mounts=(self._job.point,),
            excluded=self._excluded,
        )
        for look in collector.run():
            self._link.send(Seen(look))
        self._link.send(Ended(collector.outcome))
        self._answer()

    def folder(self, folder: bytes) -> Mapping[bytes, bytes]:
        """Name → signature of what is known in a folder: the collector's `Known`."""
        return self._known(folder).names

    def _known(self, folder: bytes) -> Names:
        if self._folder is None or self._folder[0] != folder:
            self._link.send(AskKnown(folder))
            names = self._link.receive()
            if not isinstance(names, Names):
                raise PeerError("the tracker answers something else")
            self._folder = folder, names
        return self._folder[1]

    def _looker(self, known: _Remote | None) -> PathLooker:
        return PathLooker(
            self._scope,
            self._job.root,
            known=known,
            budget=self._budget,
            network_mounts=(self._job.point,),
            excluded=self._excluded,
        )

    def _look_at_place(self, place: bytes) -> None:
        """Look at the mount point itself: a walk that begins there does not."""
        folder, _, name = place.rpartition(b"/")
        with self._looker(self) as looker:
            found = looker.look(place)
        look = FolderLook(folder or b"/")
        if isinstance(found, Looked):
            look.looked.append(found)
        elif isinstance(found, Unchanged):
            look.unchanged.append(name)
        self._link.send(Seen(look))

    def _answer(self) -> None:
        """Look at single paths until nobody asks any more."""
        with self._looker(None) as looker:
            while True:
                asked = self._link.receive()
                if not isinstance(asked, LookAt):
                    return
                found = looker.look(asked.path)
                self._link.send(
                    Found(
                        looked=found if isinstance(found, Looked) else None,
                        failure=found if isinstance(found, Failure) else None,
                    )
                )


class _From:
    """A scope that is walked from given places."""

    def __init__(self, scope: BoundedScope, places: Sequence[bytes]) -> None:
        self._scope = scope
        self._places = places

    def roots(self) -> Sequence[bytes]:
        return self._places

    def for_folder(self, folder: bytes) -> FolderScope:
        return self._scope.for_folder(folder)


if __name__ == "__main__":
    sys.exit(main())
