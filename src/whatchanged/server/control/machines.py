"""Machines: enrolment, credentials and their rotation, contact and silence, clones, revocation."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, union_all, update

from whatchanged.errors import CredentialError, OperationError
from whatchanged.records.times import now_ns, time_text
from whatchanged.server.control import schema
from whatchanged.server.control.audit import note
from whatchanged.server.control.clones import Verdict, judge
from whatchanged.server.control.database import Database
from whatchanged.server.control.groups import ensure_group
from whatchanged.server.control.machine_list import MachineFilter, Order, counted, machine_page, states
from whatchanged.server.control.refusals import Refusal, bad_request, conflict, not_found
from whatchanged.server.control.rulebook import associate, known_rule, rules_of
from whatchanged.server.control.tokens import (
    enrollment_token,
    machine_credential,
    new_id,
    new_secret,
    same,
    secret_hash,
    split,
)
from whatchanged.server.identity import MachineIdentity

__all__ = ["Enrolled", "MachineFacts", "MachineStatus", "Machines"]

_ARM_NAME = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_MOST_FORMER = 64


class MachineStatus(StrEnum):
    """Where a machine stands."""

    ACTIVE = "active"
    REVOKED = "revoked"
    DECOMMISSIONED = "decommissioned"


class MachineFacts(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a machine says of itself when it enrols; for people, never for identity."""

    computer: str
    os_type: str = ""
    os_name: str = ""
    vm_uuid: str = ""
    agent_version: str = ""


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A new machine and its credential."""

    identity: MachineIdentity
    credential: str


class Machines:
    """The machines of one installation."""

    def __init__(self, database: Database, workspace_id: str) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._contacts: dict[str, int] = {}
        self._lock = threading.Lock()

    # Enrolment

    def create_enrollment_token(
        self, actor: str, group: str, rules: Sequence[str], uses: int, expires_at: int, authority: str
    ) -> tuple[str, str]:
        """Make an enrolment token and return (id, token); `authority` is pinned by it."""
        token_id, secret = new_id(), new_secret()
        with self._database.write() as connection:
            known = ensure_group(connection, group)
            names = [known_rule(connection, rule).name for rule in rules]
            connection.execute(
                insert(schema.enrollment_tokens).values(
                    id=token_id,
                    hash=secret_hash(secret),
                    machine_group=known,
                    rules=msgspec.json.encode(names).decode(),
                    uses_left=uses,
                    expires_at=expires_at,
                    created_at=now_ns(),
                    created_by=actor,
                )
            )
            note(connection, actor, "enrollmentToken.create", token_id, group=known, rules=names, uses=uses)
        return token_id, enrollment_token(token_id, secret, authority)

    def enrollment_tokens(self) -> list[dict[str, Any]]:
        """Return every enrolment token, without secrets."""
        table = schema.enrollment_tokens
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.created_at)).all()
        return [
            {
                "id": row.id,
                "machineGroup": row.machine_group,
                "rules": msgspec.json.decode(row.rules),
                "usesLeft": row.uses_left,
                "expiresAt": time_text(row.expires_at),
                "createdAt": time_text(row.created_at),
                "createdBy": row.created_by,
            }
            for row in rows
        ]

    def remove_enrollment_token(self, actor: str, token_id: str) -> None:
        """Make an enrolment token invalid at once; machines that used it stay."""
        table = schema.enrollment_tokens
        with self._database.write() as connection:
            if not connection.execute(delete(table).where(table.c.id == token_id)).rowcount:
                raise not_found("EnrollmentToken", token_id)
            note(connection, actor, "enrollmentToken.remove", token_id)

    def check_enrollment(self, token: str) -> str:
        """Return the id of a usable enrolment token; raises CredentialError. Uses nothing up."""
        with self._database.read() as connection:
            return str(_enrollment_row(connection, token).id)

    def enroll(self, token: str, facts: MachineFacts) -> Enrolled:
        """Use the token once up and return a new machine with its credential."""
        secret = new_secret()
        with self._database.write() as connection:
            grant = _enrollment_row(connection, token)
            _use_up(connection, grant.id)
            identity = self._insert_machine(connection, grant.machine_group, facts)
            actor = f"enrollment:{grant.id}"
            connection.execute(
                insert(schema.credentials).values(
                    machine_id=identity.machine_id, slot="current", hash=secret_hash(secret), created_at=now_ns()
                )
            )
            for rule in msgspec.json.decode(grant.rules, type=list[str]):
                associate(connection, actor, f"{rule}-{identity.machine_id}", rule, machine_id=identity.machine_id)
            note(connection, actor, "machine.enroll", identity.machine_id, computer=facts.computer[:256])
        return Enrolled(identity=identity, credential=machine_credential(identity.machine_id, secret))

    def _insert_machine(self, connection: Connection, group: str, facts: MachineFacts) -> MachineIdentity:
        machine_id = str(uuid.uuid4())
        name = _ARM_NAME.sub("-", facts.computer).strip("-.")[:64] or "machine"
        if _is_taken(connection, group, name):
            name = f"{name}-{machine_id[:8]}"
        now = now_ns()
        connection.execute(
            insert(schema.machines).values(
                id=machine_id,
                name=name,
                machine_group=group,
                computer=facts.computer[:256],
                os_type=facts.os_type[:16],
                os_name=facts.os_name[:256],
                vm_uuid=facts.vm_uuid[:64],
                agent_version=facts.agent_version[:64],
                status=MachineStatus.ACTIVE,
                enrolled_at=now,
                last_contact=now,
            )
        )
        return MachineIdentity(machine_id=machine_id, workspace_id=self._workspace_id, group=group, name=name)

    # Credentials

    def authenticate(self, token: str, instance: str | None) -> tuple[MachineIdentity, bool]:
        """Return the machine that `token` speaks for, and whether a clone of it was found by this request.

        Raises CredentialError (not known), Refusal (revoked, or this instance is the clone).
        """
        machine_id, secret = split(token, "wcm1", 2)
        with self._database.read() as connection:
            row = _machine_row(connection, machine_id)
            kept = connection.execute(
                select(schema.credentials.c.slot, schema.credentials.c.hash).where(
                    schema.credentials.c.machine_id == machine_id
                )
            ).all()
        slots = [slot for slot, kept_hash in kept if same(secret, kept_hash)]
        if row is None or (not slots and row.status == MachineStatus.ACTIVE):
            raise CredentialError("the machine's credential is not known")
        _refuse_inactive(row)
        if slots == ["next"]:
            self._promote(machine_id)
        return self._identity(row), self._note_instance(row, instance)

    def active(self, machine_id: str, instance: str | None) -> tuple[MachineIdentity, bool]:
        """Return a machine known by other means (an ingestion token, a held request), as `authenticate` does."""
        with self._database.read() as connection:
            row = _machine_row(connection, machine_id)
        if row is None:
            raise CredentialError("the machine is not known")
        _refuse_inactive(row)
        return self._identity(row), self._note_instance(row, instance)

    def rotate(self, machine_id: str) -> str:
        """Return a new credential; the one in use works until the new one was used."""
        secret = new_secret()
        table = schema.credentials
        with self._database.write() as connection:
            _locked_row(connection, machine_id)
            connection.execute(delete(table).where(table.c.machine_id == machine_id, table.c.slot == "next"))
            connection.execute(
                insert(table).values(machine_id=machine_id, slot="next", hash=secret_hash(secret), created_at=now_ns())
            )
            note(connection, f"machine:{machine_id}", "machine.rotate", machine_id)
        return machine_credential(machine_id, secret)

    def _promote(self, machine_id: str) -> None:
        table = schema.credentials
        with self._database.write() as connection:
            _locked_row(connection, machine_id)
            slots = connection.execute(select(table.c.slot).where(table.c.machine_id == machine_id)).scalars().all()
            if "next" not in slots:
                return  # another request of the machine was first
            connection.execute(delete(table).where(table.c.machine_id == machine_id, table.c.slot == "current"))
            connection.execute(update(table).where(table.c.machine_id == machine_id).values(slot="current"))
            note(connection, f"machine:{machine_id}", "machine.rotated", machine_id)

    # Instances

    def _note_instance(self, row: Row[Any], instance: str | None) -> bool:
        with self._lock:
            self._contacts[row.id] = now_ns()
        if instance is None or instance == row.instance:
            return False
        with self._database.write() as connection:
            verdict = _settle(connection, row.id, instance)
        if verdict is Verdict.REFUSED:
            raise Refusal(
                403,
                "MachineCloned",
                "another holder of this machine id is alive and was there first",
                hint="enrol this machine anew",
            )
        return verdict is Verdict.CLONED

    # Contact and silence

    def flush_contacts(self) -> None:
        """Write down when machines were last heard of; together, so that 10,000 machines are few transactions."""
        with self._lock:
            contacts, self._contacts = self._contacts, {}
        if not contacts:
            return
        table = schema.machines
        try:
            with self._database.write() as connection:
                for machine_id, at in contacts.items():
                    connection.execute(
                        update(table).where(table.c.id == machine_id).values(last_contact=at, silent_since=None)
                    )
        except OperationError:
            with self._lock:  # or a disk that is full for a moment would make machines look silent
                self._contacts = contacts | self._contacts
            raise

    def newly_silent(self, before: int) -> list[tuple[MachineIdentity, int]]:
        """Return active machines not heard of since `before` whose silence was not noted yet, with that time."""
        table = schema.machines
        with self._database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.status == MachineStatus.ACTIVE, table.c.silent_since.is_(None))
                .where(table.c.last_contact < before)
                .limit(10_000)
            ).all()
        return [(self._identity(row), row.last_contact) for row in rows]

    def active_machines(self) -> list[MachineIdentity]:
        """Return every active machine."""
        table = schema.machines
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.status == MachineStatus.ACTIVE)).all()
        return [self._identity(row) for row in rows]

    def note_silence(self, machine_ids: Iterable[str]) -> None:
        """Remember that the silence of these machines was reported."""
        table = schema.machines
        with self._database.write() as connection:
            for machine_id in machine_ids:
                connection.execute(update(table).where(table.c.id == machine_id).values(silent_since=now_ns()))

    # For people

    def list_all(self, groups: frozenset[str] | None) -> list[dict[str, Any]]:
        """Return the machines of `groups` (None: all), by name."""
        table = schema.machines
        query = select(table).order_by(table.c.machine_group, table.c.name)
        if groups is not None:
            query = query.where(table.c.machine_group.in_(groups))
        with self._database.read() as connection:
            return [self._described(row) for row in connection.execute(query)]

    def page(self, wanted: MachineFilter, *, order: Order, descending: bool, limit: int, cursor: str) -> dict[str, Any]:
        """Return `value` (machines, each with the names of its `rules`), `nextCursor` (unless that was all), and how
        many there are: `matching` the filter, and in `total`."""
        with self._database.read() as connection:
            rows, following = machine_page(connection, wanted, order, descending, limit, cursor)
            rules = rules_of(connection, [(row.id, row.machine_group) for row in rows])
            matching = counted(connection, wanted)
            total = counted(connection, MachineFilter(groups=wanted.groups))
        value = [{**self._described(row), "rules": rules[row.id]} for row in rows]
        answer = {"value": value, "matching": matching, "total": total}
        return {**answer, "nextCursor": following} if following else answer

    def states(self, groups: frozenset[str] | None) -> dict[str, int]:
        """Return how many machines of `groups` (None: all) are in each state."""
        with self._database.read() as connection:
            return states(connection, groups)

    def get(self, machine_id: str, groups: frozenset[str] | None) -> dict[str, Any]:
        """Return one machine with its `rules`; refuses one that is not there or not in `groups` alike."""
        row = self._row(machine_id, groups)
        with self._database.read() as connection:
            rules = rules_of(connection, [(row.id, row.machine_group)])[row.id]
        return {**self._described(row), "rules": rules}

    def identity(self, machine_id: str, groups: frozenset[str] | None = None) -> MachineIdentity:
        """Return a machine's identity; refuses as `get` does."""
        return self._identity(self._row(machine_id, groups))

    def ids_of(self, groups: frozenset[str]) -> list[str]:
        """Return the ids of what sends rows in `groups`: every machine, whatever its status, and every sender."""
        query = union_all(
            select(schema.machines.c.id).where(schema.machines.c.machine_group.in_(groups)),
            select(schema.senders.c.id).where(schema.senders.c.machine_group.in_(groups)),
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def has_implicit_rule(self, rule_id: str) -> bool:
        """Say whether `rule_id` is the implicit rule of a machine."""
        digits = rule_id.removeprefix("dcr-")
        if len(digits) != 32:
            return False
        machine_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        with self._database.read() as connection:
            return _machine_row(connection, machine_id) is not None

    def counts(self) -> dict[str, int]:
        """Return how many machines there are, by status."""
        table = schema.machines
        with self._database.read() as connection:
            rows = connection.execute(select(table.c.status, func.count()).group_by(table.c.status)).all()
        return {row[0]: row[1] for row in rows}

    def revoke(self, actor: str, machine_id: str) -> None:
        """Refuse the machine from now on; its data and its place stay."""
        self._end(actor, machine_id, MachineStatus.REVOKED)

    def decommission(self, actor: str, machine_id: str) -> None:
        """Take the machine out of service: refused, no rules, no silence alarm."""
        self._end(actor, machine_id, MachineStatus.DECOMMISSIONED)

    def move(self, actor: str, machine_id: str, group: str) -> bool:
        """Put a machine into a group, which is made if there is none; says whether it was in another one.

        Whoever may see the new group sees all that the machine ever sent, whoever may see only the old one nothing of
        it. Rules of the groups change with it, its own stay. Rows that are stored keep the `_ResourceId` that they
        came with; its agent goes on by the address with which it enrolled.
        """
        table = schema.machines
        with self._database.write() as connection:
            if _machine_row(connection, machine_id) is None:
                raise not_found("Machine", machine_id)
            row = _locked_row(connection, machine_id)
            known = ensure_group(connection, group)
            if row.machine_group == known:
                return False
            if _is_taken(connection, known, row.name):
                raise conflict(f"there is a machine {row.name!r} in the group {known!r} already", known)
            values = {"machine_group": known, "enrolled_group": row.enrolled_group or row.machine_group}
            connection.execute(update(table).where(table.c.id == machine_id).values(values))
            detail = {"computer": row.computer, "former": row.machine_group, "group": known}
            note(connection, actor, "machine.move", machine_id, **detail)
        return True

    def _end(self, actor: str, machine_id: str, status: MachineStatus) -> None:
        with self._database.write() as connection:
            if _machine_row(connection, machine_id) is None:
                raise not_found("Machine", machine_id)
            connection.execute(update(schema.machines).where(schema.machines.c.id == machine_id).values(status=status))
            leftovers = [schema.requests, schema.instances]
            if status is MachineStatus.DECOMMISSIONED:
                leftovers.append(schema.associations)
            for table in leftovers:
                connection.execute(delete(table).where(table.c.machine_id == machine_id))
            note(connection, actor, f"machine.{status}", machine_id)

    def _row(self, machine_id: str, groups: frozenset[str] | None) -> Row[Any]:
        with self._database.read() as connection:
            row = _machine_row(connection, machine_id.lower())
        if row is None or (groups is not None and row.machine_group not in groups):
            raise not_found("Machine", machine_id)
        return row

    def _identity(self, row: Row[Any]) -> MachineIdentity:
        return MachineIdentity(
            machine_id=row.id,
            workspace_id=self._workspace_id,
            group=row.machine_group,
            name=row.name,
            enrolled_group=row.enrolled_group or "",
        )

    def _described(self, row: Row[Any]) -> dict[str, Any]:
        with self._lock:
            contact = max(row.last_contact, self._contacts.get(row.id, 0))
        return {
            "id": row.id,
            "name": row.name,
            "computer": row.computer,
            "machineGroup": row.machine_group,
            "resourceId": self._identity(row).resource_id,
            "osType": row.os_type,
            "osName": row.os_name,
            "vmUuid": row.vm_uuid,
            "agentVersion": row.agent_version,
            "status": row.status,
            "enrolledAt": time_text(row.enrolled_at),
            "lastContact": time_text(contact),
            "silentSince": None if row.silent_since is None else time_text(row.silent_since),
        }


def _machine_row(connection: Connection, machine_id: str) -> Row[Any] | None:
    return connection.execute(select(schema.machines).where(schema.machines.c.id == machine_id)).one_or_none()


def _is_taken(connection: Connection, group: str, name: str) -> bool:
    """Say whether an active machine of the group has this name: an ARM id names one machine."""
    taken = select(func.count()).where(
        schema.machines.c.machine_group == group,
        func.lower(schema.machines.c.name) == name.lower(),
        schema.machines.c.status == MachineStatus.ACTIVE,
    )
    return bool(connection.execute(taken).scalar_one())


def _locked_row(connection: Connection, machine_id: str) -> Row[Any]:
    """Return the machine's row, and let no other transaction at the machine until this one ends.

    Nothing on SQLite, which has one writer. On PostgreSQL two first requests of one new life must not both
    supersede, and two that use a new credential first must not take the promoted one for the old.
    """
    return connection.execute(select(schema.machines).where(schema.machines.c.id == machine_id).with_for_update()).one()


def _refuse_inactive(row: Row[Any]) -> None:
    if row.status != MachineStatus.ACTIVE:
        raise Refusal(403, "MachineRevoked", f"this machine is {row.status}", hint="enrol it anew")


def _enrollment_row(connection: Connection, token: str) -> Row[Any]:
    token_id, secret, _authority = split(token, "wce1", 3)
    table = schema.enrollment_tokens
    row = connection.execute(select(table).where(table.c.id == token_id)).one_or_none()
    if row is None or not same(secret, row.hash):
        raise CredentialError("the enrolment token is not known")
    if row.expires_at < now_ns():
        raise CredentialError("the enrolment token is over its time")
    if row.uses_left < 1:
        raise CredentialError("the enrolment token is used up")
    return row


def _use_up(connection: Connection, token_id: str) -> None:
    table = schema.enrollment_tokens
    # The condition holds also where two transactions run side by side (PostgreSQL, read committed).
    used = connection.execute(
        update(table).where(table.c.id == token_id, table.c.uses_left > 0).values(uses_left=table.c.uses_left - 1)
    )
    if used.rowcount != 1:
        raise CredentialError("the enrolment token is used up")


def _settle(connection: Connection, machine_id: str, instance: str) -> Verdict:
    """Judge the instance and write down what follows."""
    if len(instance) > 36:
        raise bad_request("x-whatchanged-instance is a UUID", "x-whatchanged-instance")
    machines, instances = schema.machines, schema.instances
    machine = _locked_row(connection, machine_id)
    mine = instances.c.machine_id == machine_id
    former = {row.instance: (row.state, row.at) for row in connection.execute(select(instances).where(mine)).all()}
    now = now_ns()
    verdict = judge(instance, machine.instance, former, now)
    if verdict not in (Verdict.SUPERSEDES, Verdict.CLONED):
        return verdict
    _forget_oldest(connection, machine_id, former)
    connection.execute(delete(instances).where(mine, instances.c.instance == instance))
    if machine.instance is not None:
        state = "refused" if verdict is Verdict.CLONED else "superseded"
        connection.execute(
            insert(instances).values(machine_id=machine_id, instance=machine.instance, state=state, at=now)
        )
    connection.execute(
        update(machines).where(machines.c.id == machine_id).values(instance=instance, instance_since=now)
    )
    if verdict is Verdict.CLONED:
        note(connection, "server", "machine.cloned", machine_id, kept=instance, refused=machine.instance)
    return verdict


def _forget_oldest(connection: Connection, machine_id: str, former: dict[str, tuple[str, int]]) -> None:
    # Superseded ones go first: a refused clone must stay refused.
    by_age = sorted(former, key=lambda instance: (former[instance][0] == "refused", former[instance][1]))
    for instance in by_age[: max(0, len(former) - _MOST_FORMER + 1)]:
        connection.execute(
            delete(schema.instances).where(
                schema.instances.c.machine_id == machine_id, schema.instances.c.instance == instance
            )
        )
