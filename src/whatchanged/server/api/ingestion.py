"""Taking records: the Logs Ingestion interface, as Azure's client libraries speak it.

Who sends is known before the body is read; the body is read bounded, and bounded again as it is unpacked.
"""

from __future__ import annotations

import asyncio

from litestar import post
from litestar.exceptions import ClientException
from litestar.params import FromPath

from whatchanged.records.streams import DataType, data_type
from whatchanged.server.api.access import Access, AnyRequest, sender_of
from whatchanged.server.api.agents import check_rule
from whatchanged.server.api.context import context_of
from whatchanged.server.control.refusals import Refusal, forbidden
from whatchanged.server.identity import MachineIdentity
from whatchanged.server.ingest import Stored
from whatchanged.wire.ingestion import decompress

__all__ = ["HANDLERS", "MOST_BYTES", "MOST_UNPACKED"]

MOST_BYTES = 1 << 20
MOST_UNPACKED = 2 << 20
_BODY_SECONDS = 60


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
    if sender.rule_id is not None and sender.rule_id != rule_id:
        raise forbidden("the ingestion token is for another rule")
    await context.call(check_rule, context, sender.machine, rule_id)
    known = _stream(stream)
    with context.uploading(sender.machine.machine_id):
        stored, size = await _take(request, sender.machine, known)
    context.metrics.ingested(known.value, stored.rows, stored.duplicates, size)


async def _take(request: AnyRequest, machine: MachineIdentity, stream: DataType) -> tuple[Stored, int]:
    context = context_of(request)
    async with context.bodies:
        body = await _body(request)
        records = await context.call(_unpacked, body, request.headers.get("content-encoding", ""))
        return await context.ingestor.store(machine, stream, records), len(body)


def _stream(name: str) -> DataType:
    found = data_type(name)
    if found is not None:
        return found
    status = 404 if name.lower().startswith("custom-") else 400
    raise Refusal(status, "UnknownStream", f"there is no stream {name!r}", target="stream")


async def _body(request: AnyRequest) -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return b"".join([chunk async for chunk in request.stream()])
    except TimeoutError as error:
        raise ClientException(f"the body did not arrive in {_BODY_SECONDS} s", status_code=408) from error


def _unpacked(body: bytes, encoding: str) -> bytes:
    return decompress(body, encoding, MOST_UNPACKED)


HANDLERS = (ingest,)
