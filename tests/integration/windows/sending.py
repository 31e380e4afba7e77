"""A tracker's sender in a process of its own: puts records into its outbox, ten at a time, until there are enough.

Prints `sent <sequence>` when the forwarder has them, and `refused <why>` when it cannot hand them over.
"""

from __future__ import annotations

import argparse
import threading

from whatchanged import ipc
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.times import now_ns
from whatchanged.settings import DataFolder
from whatchanged.tracker.sender import Sender
from whatchanged.tracker.state import Outbound, State

_AT_ONCE = 10


class _Telling(State):
    """Says what was acknowledged, and goes on with the next records."""

    def acknowledged(self, sent: Outbound) -> None:
        super().acknowledged(sent)
        print(f"sent {sent.last}", flush=True)  # noqa: T201
        if sent.last < asked.records:
            put(self)
        else:
            stop.set()


def put(state: State) -> None:
    record = HealthRecord(
        component=Component.TRACKER,
        reason=HealthReason.STARTED,
        status=HealthStatus.OK,
        time_ns=now_ns(),
        detail="one of many",
    )
    with state.transaction() as change:
        for _ in range(_AT_ONCE):
            change.report(record, subject=None)


def tell_of_trouble(sender: Sender) -> None:
    told = ""
    while not stop.wait(0.05):
        if sender.error not in ("", "not connected yet", told):
            told = sender.error
            print(f"refused {told}", flush=True)  # noqa: T201


parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("records", type=int)
parser.add_argument("--forwarder", default=ipc.own_account())
asked = parser.parse_args()
stop = threading.Event()
data = DataFolder(asked.data)
state = _Telling(data.tracker_database, quota_bytes=10**8, machine="m", identity={"Computer": "m"})
sender = Sender(state, ipc.at(data.pipe_socket), forwarder_uid=asked.forwarder, stop=stop)
threading.Thread(target=tell_of_trouble, args=(sender,), daemon=True).start()
if not any(state.outbox_rows().values()):
    put(state)
sender.run()
state.close()
