"""The control plane in one object: what the HTTP interface and ingestion call.

Its functions block (one SQL transaction each) and are thread-safe; the HTTP interface runs them in threads.
`on_change` hears which machine, group or everything (neither named) has something new, after the commit.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import insert, select

from whatchanged.records.items import Kind
from whatchanged.server.control import schema
from whatchanged.server.control.accounts import Accounts
from whatchanged.server.control.audit import AuditLog, note
from whatchanged.server.control.backchannel import BackChannel, RequestName
from whatchanged.server.control.database import Database
from whatchanged.server.control.documents import Documents
from whatchanged.server.control.machines import Machines
from whatchanged.server.control.people import People
from whatchanged.server.control.refusals import Refusal
from whatchanged.server.control.rulebook import Rulebook
from whatchanged.server.control.saved_queries import SavedQueries
from whatchanged.server.control.senders import Senders
from whatchanged.server.control.sessions import Sessions
from whatchanged.server.control.standing import Standings
from whatchanged.server.identity import MachineIdentity
from whatchanged.wire import configuration as wire

__all__ = ["Configuration", "Control"]

OnChange = Callable[[str | None, str | None], None]


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine is told: `agentConfigurations` without the time, and its ETag."""

    etag: str
    configurations: tuple[wire.Configuration, ...]
    requests: tuple[wire.ServerRequest, ...]


class Control:
    """Rules, machines, people and the back channel of one installation."""

    def __init__(self, dsn: str) -> None:
        """Open (and bring up to date) the database `dsn`: a SQLAlchemy URL or the path of a SQLite file."""
        self.database = Database(dsn)
        self.workspace_id = self._workspace()
        self.people = People(self.database)
        self.accounts = Accounts(self.database)
        self.sessions = Sessions(self.database)
        self.machines = Machines(self.database, self.workspace_id)
        self.rules = Rulebook(self.database)
        self.standings = Standings(self.database)
        self.senders = Senders(self.database, self.workspace_id)
        self.queries = SavedQueries(self.database)
        self.requests = BackChannel(self.database)
        self.audit = AuditLog(self.database)
        self._documents = Documents()
        self._listeners: list[OnChange] = []

    def on_change(self, listener: OnChange) -> None:
        """Call `listener(machine_id, group)` after every change a waiting machine should hear of, in any thread."""
        self._listeners.append(listener)

    def changed(self, machine_id: str | None = None, group: str | None = None) -> None:
        """Tell the listeners; neither given means every machine."""
        for listener in self._listeners:
            listener(machine_id, group)

    def configuration(self, machine: MachineIdentity, platform: str, base_url: str, instance: str) -> Configuration:
        """Return what the machine is to do: the rules associated with it or its group, and pending requests.

        The ETag covers `instance` while requests wait: a forwarder that starts anew has forgotten them, and must
        not be told that nothing changed.
        """
        assigned = self.rules.assigned(machine.machine_id, machine.group)
        etag, configurations = self._documents.build(machine, assigned, platform, base_url)
        pending = self.requests.pending(machine.machine_id)
        if pending:
            marks = "\n".join([etag, instance, *(request.id for request in pending)])
            etag = hashlib.sha256(marks.encode()).hexdigest()[:32]
        return Configuration(
            etag=etag,
            configurations=configurations,
            requests=tuple(
                wire.ServerRequest(id=one.id, request=one.request, kind=one.kind, rule=one.rule, document=one.document)
                for one in pending
            ),
        )

    def ask(
        self,
        actor: str,
        machine_id: str,
        request: RequestName,
        kind: str = "",
        rule: str = "",
        document: str | None = None,
    ) -> str:
        """Put a request on the back channel and wake the machine; returns its id."""
        request_id = self.requests.ask(actor, machine_id, request, kind, rule, document)
        self.changed(machine_id=machine_id)
        return request_id

    def request_resync(self, machine_id: str, kind: Kind | str) -> None:
        """Ask for everything of one kind (ingestion found that the inventories differ)."""
        self._ask_unless_full(machine_id, RequestName.RESYNC, str(kind))

    def request_new_epoch(self, machine_id: str) -> None:
        """Ask for a new epoch (ingestion found a fork)."""
        self._ask_unless_full(machine_id, RequestName.NEW_EPOCH, "")

    def _ask_unless_full(self, machine_id: str, request: RequestName, kind: str) -> None:
        try:
            self.ask("server", machine_id, request, kind)
        except Refusal as refusal:
            if refusal.status != 429:
                raise
            # What waits already is not answered either; ingestion asks again at the next difference.

    def ensure_default(self, document: Mapping[str, Any] | bytes | str, group: str = "default") -> None:
        """Make the rule `default` from `document` and associate it with `group`, unless there is one already."""
        raw = document if isinstance(document, bytes) else _text(document).encode()
        try:
            self.rules.get("default")
        except Refusal:
            self.rules.put("server", "default", raw)
        try:
            self.rules.association(f"default-{group}")
        except Refusal:
            self.rules.associate("server", f"default-{group}", "default", group=group)
            self.changed(group=group)

    def note(self, actor: str, action: str, target: str) -> None:
        """Write an entry of the audit log for something done outside the control plane."""
        with self.database.write() as connection:
            note(connection, actor, action, target)

    def close(self) -> None:
        """Write down what is only in memory and close the database."""
        try:
            self.machines.flush_contacts()
        finally:
            self.database.close()

    def _workspace(self) -> str:
        table = schema.installation
        with self.database.write() as connection:
            self.database.one_at_a_time(connection)
            query = select(table.c.value).where(table.c.name == "workspace_id")
            known = connection.execute(query).scalar_one_or_none()
            if known is None:
                known = str(uuid.uuid4())
                connection.execute(insert(table).values(name="workspace_id", value=known))
        return str(known)


def _text(document: Mapping[str, Any] | str) -> str:
    return document if isinstance(document, str) else msgspec.json.encode(document).decode()
