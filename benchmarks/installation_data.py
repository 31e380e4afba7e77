"""The data folder of a large installation, made through the doors that machines come by: enrolment and ingestion.

Ten thousand machines have a hundred changes of the last thirty days and two hundred packages each (a million changes,
two million rows of inventory). Every hundredth lost records once: a gap. Numbers decide the rest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import msgspec

from whatchanged.records.carrier import Confirmation, new_epoch
from whatchanged.records.health import Component, HealthReason, HealthRecord, HealthStatus
from whatchanged.records.items import Kind
from whatchanged.records.keys import checksum, item_digest, row_key
from whatchanged.records.streams import DataType
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import Control
from whatchanged.server.control.machines import MachineFacts
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest.ingestor import health_line
from whatchanged.server.ingest.prepare import NumberedRow, prepare
from whatchanged.server.storage import Storage, open_storage

__all__ = ["PACKAGES", "SPAN_NS", "make"]

PACKAGES = 200
"""On every machine."""
SPAN_NS = 30 * 86_400 * 10**9
_IMAGES = 40
"""Machines of one image have the same packages: what is shared is what a fleet has in common."""
_BLOCK = 16 * 1024 * 1024
_GAP_EVERY = 100
_LOST = 7
_ROLES = ("web", "db", "app", "ci", "mail")
_PROGRAMS = ("/usr/bin/apt-get", "/usr/bin/vim", "/usr/sbin/puppet", "/usr/bin/sed", "")
_CHANGES, _DATA = DataType.CONFIG_CHANGE_V2, DataType.CONFIG_DATA_V2


def make(folder: str, machines: int, changes: int) -> None:
    """Fill the folder of a server that was never started."""
    os.makedirs(folder, exist_ok=True)
    control = Control(os.path.join(folder, "control.db"))
    try:
        identities = list(_enrolled(control, machines))
    finally:
        control.close()
    with open_storage(os.path.join(folder, "telemetry")) as storage:
        _fill(storage, identities, max(changes // machines, 2))


def _fill(storage: Storage, machines: list[MachineIdentity], each: int) -> None:
    """Insert what every machine has to say, as ingestion prepares it, in inserts as large as its group commits."""
    images = [_Image(number) for number in range(_IMAGES)]
    now = now_ns()
    changed, items = _Block(storage, "ConfigurationChange"), _Block(storage, "InventoryRecord")
    told = _Block(storage, "TrackingHealth")
    for number, machine in enumerate(machines):
        epoch = new_epoch()
        lost = _LOST if number % _GAP_EVERY == 0 else 0
        rows = [_change(number, machine.name, epoch, n, now - (each - n) * SPAN_NS // each - _noise(number, n),
                        lost if n > each // 2 else 0) for n in range(1, each + 1)]  # fmt: skip
        changed.add(_lines(machine, _CHANGES, rows))
        if lost:
            told.add(health_line(machine, _gap(epoch, each // 2 + 1, now)))
        items.add(images[number % _IMAGES].lines(machine, epoch, now))
    for block in (changed, items, told):
        block.insert()


class _Block:
    """Lines of a table on their way."""

    def __init__(self, storage: Storage, table: str) -> None:
        self._storage, self._table = storage, table
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, lines: bytes) -> None:
        self._lines.append(lines)
        self._size += len(lines)
        if self._size > _BLOCK:
            self.insert()

    def insert(self) -> None:
        if self._lines:
            self._storage.insert(self._table, b"\n".join(self._lines))
        self._lines, self._size = [], 0


def _lines(machine: MachineIdentity, stream: DataType, rows: list[dict[str, object]]) -> bytes:
    """Return the rows of an upload as they reach their table."""
    end = b',"_EpochOrder":1}' if stream is _DATA else b"}"
    entries = prepare(machine, stream, msgspec.json.encode(rows), "").entries
    return b"\n".join(entry.line + end for entry in entries if isinstance(entry, NumberedRow))


def _gap(epoch: str, first: int, now: int) -> HealthRecord:
    return HealthRecord(
        component=Component.SERVER, status=HealthStatus.ERROR, reason=HealthReason.GAP, time_ns=now,
        detail=f"{_LOST} records are missing: they never came", stream=_CHANGES.value, epoch=epoch,
        first_sequence=first, last_sequence=first + _LOST - 1, lost_records=_LOST,
    )  # fmt: skip


def _enrolled(control: Control, machines: int) -> Iterator[MachineIdentity]:
    until = now_ns() + 3600 * 10**9
    _, token = control.machines.create_enrollment_token("benchmark", "default", [], machines, until, "-")
    for number in range(machines):
        facts = MachineFacts(
            computer=f"{_ROLES[number % len(_ROLES)]}-{number:05}", os_type="Linux", os_name="Debian GNU/Linux 12",
            agent_version="0.9.0",
        )  # fmt: skip
        yield control.machines.enroll(token, facts).identity


def _noise(*of: int) -> int:
    """Return a moment within the ten minutes before, in nanoseconds, from the numbers alone."""
    digest = hashlib.blake2b(repr(of).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (600 * 10**9)


def _change(number: int, computer: str, epoch: str, n: int, time_ns: int, lost: int) -> dict[str, object]:
    mixed = (number * 7919 + n * 104_729) % 1_000_003
    row: dict[str, object] = {
        "_Stream": _CHANGES.value,
        "_Epoch": epoch,
        "_Sequence": n + lost,
        "TimeGenerated": time_text(time_ns),
        "Computer": computer,
        "ChangeCategory": ("Modified", "Modified", "Modified", "Added", "Removed")[mixed % 5],
        "SourceSystem": "Linux",
        "DetectedBy": "Watch",
        "PreviousSeen": time_text(time_ns - 60 * 10**9),
        "RuleName": "etc",
        "TransactionId": hashlib.md5(f"{number}:{n // 3}".encode(), usedforsecurity=False).hexdigest(),
        "InitiatingProcessName": _PROGRAMS[mixed % len(_PROGRAMS)],
        "InitiatingProcessAccountName": ("root", "deploy", "")[mixed % 3],
    }
    match mixed % 10:
        case 0 | 1 | 2:
            name = f"package-{mixed % PACKAGES:03}"
            row |= {"ConfigChangeType": "Software", "SoftwareName": name, "Name": name,
                    "Publisher": f"Maintainers {mixed % 17}", "Previous": f"1.{mixed % 9}",
                    "Current": f"1.{mixed % 9 + 1}", "FieldsChanged": "Current"}  # fmt: skip
        case 3:
            name = f"daemon-{mixed % 97}.service"
            row |= {"ConfigChangeType": "Daemons", "SvcName": name, "Name": name, "SvcChangeType": "State",
                    "SvcState": "Running", "SvcPreviousState": "Stopped", "FieldsChanged": "SvcState"}  # fmt: skip
        case _:
            name = f"{('main', 'site', 'limits', 'override')[mixed % 4]}-{mixed % 1009}.conf"
            row |= {"ConfigChangeType": "Files", "FileSystemPath": f"/etc/application-{mixed % 31}/{name}",
                    "Name": name, "Size": mixed, "PreviousSize": mixed + 1, "FieldsChanged": "Size,FileContentChecksum",
                    "Attributes": "-rw-r--r--", "Acls": "root:root",
                    "FileContentChecksum": f"{mixed * 7919:064X}"}  # fmt: skip
    return row


class _Image:
    """What machines that were set up alike have: their bodies differ by name and epoch only."""

    def __init__(self, number: int) -> None:
        self._rows = [
            {
                "ConfigDataType": Kind.SOFTWARE.value,
                "SoftwareName": name,
                "Name": name,
                "SoftwareType": "Package",
                "CurrentVersion": f"{n % 5}.{(n * 31 + number * (n % 7)) % 6}",
                "Publisher": f"Maintainers {n % 17}",
                "Architecture": "amd64",
                "Location": "/var/lib/dpkg/status",
            }
            for n in range(PACKAGES)
            # Of the last quarter every image has others.
            for name in [f"package-{n if n < PACKAGES * 3 // 4 else PACKAGES + number * 50 + n:04}"]
        ]
        pairs = sorted((row_key(row)[1], item_digest(row)) for row in self._rows)
        self._checksum = checksum(pairs)
        self._text = b""
        self._of = ("", "", "")

    def lines(self, machine: MachineIdentity, epoch: str, now: int) -> bytes:
        """Return a snapshot of it, confirmed, as it reaches the table."""
        if not self._text:
            self._text, self._of = self._prepared(machine, epoch, now), (machine.machine_id, machine.name, epoch)
        text = self._text
        for known, other in zip(self._of, (machine.machine_id, machine.name, epoch), strict=True):
            text = text.replace(known.encode(), other.encode())
        return text

    def _prepared(self, machine: MachineIdentity, epoch: str, now: int) -> bytes:
        place = {"_Stream": _DATA.value, "_Epoch": epoch}
        rows: list[dict[str, object]] = [
            {**place, "_Sequence": 1, "_Record": "Snapshot", "ConfigDataType": Kind.SOFTWARE.value}
        ]
        seen = time_text(now - SPAN_NS)
        rows[0]["TimeGenerated"] = seen
        for n, row in enumerate(self._rows):
            rows.append({**row, **place, "_Sequence": n + 2, "TimeGenerated": seen, "Computer": machine.name})
        confirmed = Confirmation(kind=Kind.SOFTWARE, time_ns=now, items=len(self._rows), checksum=self._checksum)
        rows.append({**confirmed.fields(), **place, "_Sequence": len(self._rows) + 2, "Computer": machine.name})
        return _lines(machine, _DATA, rows)
