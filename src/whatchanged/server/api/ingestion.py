"""Taking records: the Logs Ingestion interface, as Azure's client libraries speak it, and its predecessor.

Who sends is known before the body is read; the body is read bounded, and bounded again as it is unpacked.
"""

from __future__ import annotations

import asyncio
import re

from litestar import post
from litestar.exceptions import ClientException
from litestar.params import FromPath

from whatchanged.records.streams import DataType, data_type
from whatchanged.rules import Intake
from whatchanged.server.api.access import Access, AnyRequest, Sender, sender_of
from whatchanged.server.api.agents import check_rule
from whatchanged.server.api.context import Context, context_of
from whatchanged.server.control.refusals import Refusal, forbidden, not_found
from whatchanged.server.identity import MachineIdentity, SenderIdentity
from whatchanged.server.ingest import Stored
from whatchanged.server.ingest.data_items import DataItems
from whatchanged.wire.ingestion import decompress

__all__ = ["HANDLERS", "MOST_BYTES", "MOST_UNPACKED"]

MOST_BYTES = 1 << 20
MOST_UNPACKED = 2 << 20
_BODY_SECONDS = 60
_PASSED_ON = re.compile(r"Custom-\d+-(.+)", re.ASCII)
"""What a machine's forwarder calls the stream of another program: its account, and the tag of its records."""
_CHANGES = (DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2)


@post(
    [
        "/dataCollectionRules/{rule_id:str}/streams/{stream:str}",
        "/api/v1/dataCollectionRules/{rule_id:str}/streams/{stream:str}",
    ],
    status_code=204,
    request_max_body_size=MOST_BYTES,
    opt={"access": Access.INGESTION},
)
async def ingest(request: AnyRequest, rule_id: FromPath[str], stream: FromPath[str]) -> None:
    """Store a batch of records; answered after it is on disk."""
    context, sender = context_of(request), sender_of(request)
    intake = await context.call(_intake, context, sender, rule_id, stream)
    with context.uploading(sender.machine.machine_id):
        async with context.bodies:
            body = await _body(request)
            records = await context.call(_unpacked, body, request.headers.get("content-encoding", ""))
            stored = await _store(request, sender, stream, intake, records)
    context.metrics.ingested(intake.data_type.value, stored.rows, stored.duplicates, len(body))


@post(
    "/OperationalData.svc/PostJsonDataItems",
    status_code=200,
    request_max_body_size=MOST_BYTES,
    opt={"access": Access.INGESTION},
)
async def post_data_items(request: AnyRequest) -> None:
    """Store the items of agents that know no rules; a sender's go to the streams of its own rule."""
    context, sender = context_of(request), sender_of(request)
    rule_id = sender.rule_id or sender.machine.implicit_rule_id
    with context.uploading(sender.machine.machine_id):
        async with context.bodies:
            body = await _body(request)
            unpacked = await context.call(_unpacked, body, request.headers.get("content-encoding", ""))
            items = await context.call(DataItems.read, unpacked)
            intake = await context.call(_intake, context, sender, rule_id, items.stream)
            stored = await _store(request, sender, items.stream, intake, items.rows)
    context.metrics.ingested(intake.data_type.value, stored.rows, stored.duplicates, len(body))


async def _store(request: AnyRequest, sender: Sender, stream: str, intake: Intake, records: bytes) -> Stored:
    ingestor, machine = context_of(request).ingestor, sender.machine
    if isinstance(machine, SenderIdentity):
        return await ingestor.store_request(
            machine, intake, records, request.headers.get("x-ms-client-request-id", "").strip()
        )
    if data_type(stream) is None:
        return await ingestor.store_passed_on(machine, stream, intake, records)
    return await ingestor.store(machine, intake.data_type, records)


def _intake(context: Context, sender: Sender, rule_id: str, stream: str) -> Intake:
    """Return what becomes of a stream; refuses rules and streams that are not the sender's. Blocking."""
    machine = sender.machine
    if isinstance(machine, SenderIdentity):
        if rule_id != machine.rule_id:
            known = context.control.rules.exists(rule_id) or context.control.machines.has_implicit_rule(rule_id)
            raise forbidden("the token is for another rule") if known else not_found("Rule", rule_id)
        named = data_type(stream) or stream.lower()  # a stream of ours has two names
        for intake in context.control.rules.intakes_of(rule_id):
            if (data_type(intake.stream) or intake.stream.lower()) == named:
                return intake
        raise _unknown(stream, 404)
    if sender.rule_id is not None and sender.rule_id != rule_id:
        raise forbidden("the ingestion token is for another rule")
    check_rule(context, machine, rule_id)
    found = data_type(stream)
    return Intake(stream, found) if found is not None else _passed_on(context, machine, stream)


def _passed_on(context: Context, machine: MachineIdentity, stream: str) -> Intake:
    """Return what a rule of the machine says of a stream that its forwarder passes on."""
    match = _PASSED_ON.fullmatch(stream)
    if match is not None:
        wanted = f"custom-{match[1]}".lower()
        for rule in context.control.rules.assigned(machine.machine_id, machine.group):
            for intake in context.control.rules.intakes_of(rule.immutable_id):
                # The inventory is the tracker's, who confirms it: what else came into it would be asked for anew.
                if intake.stream.lower() == wanted and intake.data_type in _CHANGES:
                    return intake
    raise _unknown(stream, 404 if stream.lower().startswith("custom-") else 400)


def _unknown(stream: str, status: int) -> Refusal:
    return Refusal(status, "UnknownStream", f"there is no stream {stream!r}", target="stream")


async def _body(request: AnyRequest) -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return b"".join([chunk async for chunk in request.stream()])
    except TimeoutError as error:
        raise ClientException(f"the body did not arrive in {_BODY_SECONDS} s", status_code=408) from error


def _unpacked(body: bytes, encoding: str) -> bytes:
    return decompress(body, encoding, MOST_UNPACKED)


HANDLERS = (ingest, post_data_items)
