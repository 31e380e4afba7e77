"""The shape of records in an upload: typed structs made from the table specification, and the decoding of a body.

The quick way decodes the whole array into structs in one call. Whatever it does not take (a time in another
spelling, a null, a column the server sets, an unknown carrier field, an eviction) goes the careful way: record by
record, which mends what the format allows and names the place of what it does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec

from whatchanged.errors import RecordError
from whatchanged.records.carrier import Eviction, RecordType
from whatchanged.records.columns import Column, ColumnType, Table
from whatchanged.records.keys import FACT_COLUMNS
from whatchanged.records.streams import DataType
from whatchanged.records.tables import CONFIGURATION_DATA, TABLES, table_of
from whatchanged.records.times import parse_time, time_text

__all__ = [
    "MAX_ROWS", "MAX_TEXT", "Body", "decode_body", "decode_json", "decode_plain", "decode_records", "encode_facts",
    "encode_row", "eviction", "plain_row",
]  # fmt: skip

MAX_ROWS = 50_000
"""Records in one body."""
MAX_TEXT = 65_536
"""Characters in one text column."""

# Text that ClickHouse and we read alike, valid days only, within what DateTime64 can hold (1900 to 2299).
_TIME = (
    r"^(?:(?:19|2[0-2])\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))|(?:(?:19|2[0-2])(?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{7}Z\Z"
)
_FIRST_NS = parse_time("1900-01-01T00:00:00Z")
_LAST_NS = parse_time("2299-12-31T23:59:59.9999999Z")
_LONG = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_SEQUENCE = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_TEXT = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
_TIME_TEXT = Annotated[str, msgspec.Meta(pattern=_TIME)]
_TYPES: dict[ColumnType, Any] = {
    ColumnType.STRING: _TEXT,
    ColumnType.GUID: _TEXT,
    ColumnType.DATETIME: _TIME_TEXT,
    ColumnType.LONG: _LONG,
    ColumnType.INT: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    ColumnType.TIMESPAN: _LONG,
    ColumnType.REAL: float,
    ColumnType.BOOL: bool,
    ColumnType.DYNAMIC: Any,
}
_CARRIER = ("_Stream", "_Epoch", "_Sequence", "_Record")
_UNKNOWN_CARRIER = re.compile(r"_[A-Z]")
_PLACE = re.compile(r"^(.*) - at `\$(.*)`\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded upload: rows and evictions in the order of the body, and for inventory the facts of each row."""

    entries: list[Any]
    """Row structs and `Eviction`s."""
    facts: list[Any]
    """Struct of the facts of each entry as they arrived; empty for other streams."""


def decode_body(stream: DataType, payload: bytes) -> Body:
    """Decode a JSON array of records of `stream`. Raises RecordError that names the place."""
    try:
        rows = _DECODERS[stream].decode(payload)
        _bound(len(rows))
        facts = _FACTS_DECODER.decode(payload) if stream is DataType.CONFIG_DATA_V2 else []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_carefully(stream, payload)
    return Body(rows, facts)


def encode_row(row: msgspec.Struct) -> bytes:
    """Return the row in its one spelling: columns in the table's order, empty ones left out."""
    return _encode(row)


def encode_facts(facts: msgspec.Struct) -> bytes:
    """Return the facts as `records.keys.item_digest` spells them."""
    return _encode(facts)


_encode = msgspec.json.Encoder().encode


def _bound(count: int) -> None:
    if count > MAX_ROWS:
        raise RecordError(f"{count} records in one body; at most {MAX_ROWS}")


def _field(column: Column) -> tuple[str, Any, Any]:
    if column.name == "TimeGenerated":
        return (column.name, _TIME_TEXT, msgspec.NODEFAULT)
    text = column.type in (ColumnType.STRING, ColumnType.GUID, ColumnType.DATETIME)
    return (column.name, _TYPES[column.type] if text else _TYPES[column.type] | None, "" if text else None)


def _plain_fields(table: Table) -> list[tuple[str, Any, Any]]:
    return [_field(column) for column in table.columns if not column.server_set]


def _row_type(table: Table) -> type[msgspec.Struct]:
    fields = _plain_fields(table)
    fields += [
        ("_Stream", str, msgspec.NODEFAULT),
        ("_Epoch", Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")], msgspec.NODEFAULT),
        ("_Sequence", _SEQUENCE, msgspec.NODEFAULT),
    ]
    if table is CONFIGURATION_DATA:
        kinds = Annotated[str, msgspec.Meta(pattern="^(Item|Tombstone|Snapshot|Confirmation)\\Z")]
        prefixes = Annotated[list[_TEXT], msgspec.Meta(max_length=10_000)]
        fields = [("TimeGenerated", _TIME_TEXT, "") if f[0] == "TimeGenerated" else f for f in fields]
        fields += [
            ("_Record", kinds, "Item"),
            ("Reason", _TEXT, ""),
            ("Items", Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None, None),
            ("Checksum", Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")], ""),
            ("Scope", _TEXT, ""),
            ("NotConfirmed", prefixes, msgspec.field(default_factory=list)),
        ]
    return msgspec.defstruct(
        table.name + "Row", fields, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False
    )


def _facts_type() -> type[msgspec.Struct]:
    # The columns that item_digest counts, sorted, so that the encoding is the digest's.
    columns = [c for c in CONFIGURATION_DATA.columns if c.name in FACT_COLUMNS]
    number = int | float | None
    others = {ColumnType.LONG: number, ColumnType.REAL: number, ColumnType.BOOL: bool | None}
    fields = [
        (c.name, others[c.type], None) if c.type in others else (c.name, str, "")
        for c in sorted(columns, key=lambda c: c.name)
    ]
    return msgspec.defstruct("Facts", fields, omit_defaults=True, kw_only=True, gc=False)


_PLAIN_TYPES: dict[str, type[msgspec.Struct]] = {
    table.name: msgspec.defstruct(
        table.name + "PlainRow",
        _plain_fields(table),
        forbid_unknown_fields=True,
        omit_defaults=True,
        kw_only=True,
        gc=False,
    )
    for table in TABLES
}
_PLAIN_DECODERS = {name: msgspec.json.Decoder(list[row]) for name, row in _PLAIN_TYPES.items()}  # type: ignore[valid-type]
_COLUMNS = {table.name: {column.name: column for column in table.columns} for table in TABLES}
_ROW_TYPES = {table.name: _row_type(table) for table in TABLES}
_DECODERS = {
    stream: msgspec.json.Decoder(list[_ROW_TYPES[table_of(stream).name]])  # type: ignore[misc]
    for stream in DataType
}
_FACTS = _facts_type()
_FACTS_DECODER = msgspec.json.Decoder(list[_FACTS])  # type: ignore[valid-type]


def decode_plain(table: Table, payload: bytes, columns: frozenset[str] | None) -> list[Any]:
    """Decode a JSON array of rows that say nothing but their `columns` (None: all of the table).

    What stands in a column that the server sets is left out. Raises RecordError that names the place.
    """
    if columns is None:
        try:
            rows = _PLAIN_DECODERS[table.name].decode(payload)
            _bound(len(rows))
            return rows
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # what the quick way does not take, the careful way mends or names
    records = decode_records(payload)
    return [plain_row(record, table, columns, f"[{index}]") for index, record in enumerate(records)]


def plain_row(record: object, table: Table, columns: frozenset[str] | None, place: str, *, strict: bool = True) -> Any:
    """Return a row of a decoded record; unless `strict`, numbers may come as text. Raises RecordError."""
    if not isinstance(record, dict):
        raise RecordError("a record is a JSON object", place=place)
    mended: dict[str, Any] = {}
    known = _COLUMNS[table.name]
    for name, value in record.items():
        if name not in known or (columns is not None and name not in columns):
            what = table.name if columns is None else "the declared stream"
            raise RecordError(f"{what} has no such column", place=f"{place}.{name[:100]}")
        column = known[name]
        if value not in (None, "") and not column.server_set:
            is_time = column.type is ColumnType.DATETIME
            mended[name] = _time(value, f"{place}.{name}") if is_time else value
    try:
        return msgspec.convert(mended, _PLAIN_TYPES[table.name], strict=strict)
    except msgspec.MsgspecError as error:
        raise _located(error, place) from error


def _decode_carefully(stream: DataType, payload: bytes) -> Body:
    records = decode_records(payload)
    table = table_of(stream)
    entries: list[Any] = []
    facts: list[Any] = []
    for index, record in enumerate(records):
        entry, fact = _record(record, table, f"[{index}]")
        entries.append(entry)
        if stream is DataType.CONFIG_DATA_V2:
            facts.append(fact)
    return Body(entries, facts)


def decode_json(payload: bytes) -> Any:
    """Decode a body of anything. Raises RecordError."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"no JSON: {error}") from error


def decode_records(payload: bytes) -> list[Any]:
    """Decode a JSON array of anything, of at most MAX_ROWS. Raises RecordError."""
    records = decode_json(payload)
    if not isinstance(records, list):
        raise RecordError("the body is no JSON array of records")
    _bound(len(records))
    return records


def _record(record: object, table: Table, place: str) -> tuple[Any, Any]:
    if not isinstance(record, dict):
        raise RecordError("a record is a JSON object", place=place)
    if record.get("_Record") == RecordType.EVICTION.value:
        return eviction(record, place), None
    known = _ROW_TYPES[table.name].__struct_fields__
    columns = {column.name: column for column in table.columns}
    mended: dict[str, Any] = {}
    arrived: dict[str, Any] = {}
    for name, value in record.items():
        column = columns.get(name)
        if value in (None, "") or (column is not None and column.server_set):
            continue
        if name not in known:
            if _UNKNOWN_CARRIER.match(name):
                continue
            raise RecordError(f"{table.name} has no such column", place=f"{place}.{name[:100]}")
        is_time = column is not None and column.type is ColumnType.DATETIME
        mended[name] = _time(value, f"{place}.{name}") if is_time else value
        arrived[name] = value
    try:
        row = msgspec.convert(mended, _ROW_TYPES[table.name])
        fact = msgspec.convert(arrived, _FACTS) if table is CONFIGURATION_DATA else None
    except msgspec.MsgspecError as error:
        raise _located(error, place) from error
    return row, fact


def eviction(record: dict[str, Any], place: str) -> Eviction:
    """Return the eviction that a record is. Raises RecordError."""
    try:
        found = Eviction.parse(record)
    except RecordError as error:
        raise RecordError(error.message, place=place) from error
    if not 1 <= found.first <= found.last < 2**63 or not 0 <= found.count < 2**63:
        raise RecordError("First to Last is no range of sequences", place=place)
    if re.fullmatch(r"[0-9a-f]{32}", found.epoch) is None:
        raise RecordError("an epoch is 32 lower-case hex digits", place=f"{place}._Epoch")
    return found


def _time(value: object, place: str) -> str:
    try:
        nanoseconds = parse_time(cast(str, value))
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError("no time in ISO 8601", place=place) from error
    return time_text(min(max(nanoseconds, _FIRST_NS), _LAST_NS))


def _located(error: Exception, place: str) -> RecordError:
    match = _PLACE.match(str(error))
    return RecordError(match[1], place=place + match[2]) if match else RecordError(str(error), place=place)
