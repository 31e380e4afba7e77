"""Physical tables and the migrations that make them.

ConfigurationChange, Heartbeat and TrackingHealth are stored as they are read. The whole inventory stream (items,
tombstones, snapshots, confirmations) goes into *one* table, `InventoryRecord`, so that an upload of it becomes one
atomic part; the logical ConfigurationData is evaluated from it (`inventory`).

Internal columns: `_Stream`, `_Epoch`, `_Sequence` (who numbered the row; empty and 0 for rows the server writes),
`_Digest` (hex of the row as it arrived; tells a repetition from a fork), `_Request` (the request that brought the
rows of a sender that numbers none; their `_Epoch` is empty). `Watermark` keeps the highest sequence of
what retention has dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from whatchanged.records.columns import Table
from whatchanged.records.ddl import column_definitions
from whatchanged.records.streams import DataType
from whatchanged.records.tables import CONFIGURATION_CHANGE, CONFIGURATION_DATA, HEARTBEAT, TRACKING_HEALTH, table_of
from whatchanged.server.storage.inventory import inventory_sql

__all__ = ["DATA_TABLES", "MIGRATIONS", "Migration", "physical_table"]

INVENTORY_RECORD = "InventoryRecord"
DATA_TABLES = (CONFIGURATION_CHANGE.name, INVENTORY_RECORD, HEARTBEAT.name, TRACKING_HEALTH.name)
"""Physical tables that hold records."""

# Acknowledged means on disk; ClickHouse leaves that to the page cache by default.
_DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"
_CARRIER = {"Stream": "_Stream", "Epoch": "_Epoch", "Sequence": "_Sequence"}


@dataclass(frozen=True, slots=True)
class Migration:
    """A named step: statements in order. A kill in the middle of a step runs it anew: each may run twice."""

    name: str
    statements: tuple[str, ...]


def physical_table(stream: DataType) -> str:
    """Return the physical table that rows of `stream` are stored in."""
    table = table_of(stream)
    return INVENTORY_RECORD if table is CONFIGURATION_DATA else table.name


def _defaults(table: Table) -> dict[str, str]:
    change_id = "concat(SourceComputerId, ':', _Stream, ':', _Epoch, ':', toString(_Sequence))"
    return {
        "IngestedAt": "DEFAULT now64(7)",
        "Type": f"DEFAULT '{table.name}'",
        "_IsBillable": "DEFAULT 'false'",
        "TenantId": "DEFAULT _SubscriptionId",
        "ChangeId": f"DEFAULT {change_id}",
    }


def _columns(table: Table) -> list[str]:
    own_positions = table is TRACKING_HEALTH  # there Stream and Epoch say what the row is about
    defaults = _defaults(table)
    lines = []
    for name, kind in column_definitions(table):
        if name in _CARRIER and not own_positions:
            lines.append(f"`{name}` {kind} ALIAS {_CARRIER[name]}")
        else:
            lines.append(f"`{name}` {kind} {defaults.get(name, '')}".rstrip())
    lines += [
        "`_Stream` LowCardinality(String)",
        "`_Epoch` LowCardinality(String)",
        "`_Sequence` UInt64",
        "`_Digest` String",
    ]
    return lines


_INVENTORY_COLUMNS = [
    "`_Record` LowCardinality(String) DEFAULT 'Item'",
    # JSON cannot carry a key that is not UTF-8: it arrives in hex.
    "`_KeyHex` String",
    "`_Key` String DEFAULT unhex(_KeyHex)",
    "`_ItemDigest` String",
    "`_EpochOrder` UInt32",
    "`Reason` LowCardinality(String)",
    "`Items` UInt64",
    "`Checksum` String",
    "`Scope` LowCardinality(String)",
    "`NotConfirmed` Array(String)",
]
# A repetition is looked up by epoch and sequence, which the sorting key of the event tables does not lead with.
_INDEXES = [
    "INDEX epoch _Epoch TYPE bloom_filter GRANULARITY 1",
    "INDEX sequence _Sequence TYPE minmax GRANULARITY 1",
    "INDEX generated TimeGenerated TYPE minmax GRANULARITY 1",
]


def _create(name: str, columns: list[str], *, partition: str, order: str) -> str:
    body = ",\n  ".join(columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} (\n  {body}\n) ENGINE = MergeTree "
        f"PARTITION BY {partition} ORDER BY ({order}) SETTINGS {_DURABLE}"
    )


def _event_table(table: Table) -> str:
    return _create(
        table.name,
        _columns(table) + _INDEXES,
        partition="toYYYYMMDD(IngestedAt)",
        order="toStartOfHour(TimeGenerated), SourceComputerId, _Epoch, _Sequence",
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001 tables",
        (
            _event_table(CONFIGURATION_CHANGE),
            _event_table(HEARTBEAT),
            _event_table(TRACKING_HEALTH),
            _create(
                INVENTORY_RECORD,
                _columns(CONFIGURATION_DATA) + _INVENTORY_COLUMNS + _INDEXES,
                partition="toYYYYMM(IngestedAt)",
                order="SourceComputerId, ConfigDataType, _Key, _EpochOrder, _Sequence",
            ),
            "CREATE TABLE IF NOT EXISTS Watermark (SourceComputerId String, Stream LowCardinality(String), "
            "Epoch String, Last UInt64, EpochOrder UInt32) ENGINE = ReplacingMergeTree(Last) "
            f"ORDER BY (SourceComputerId, Stream, Epoch) SETTINGS {_DURABLE}",
        ),
    ),
    Migration(
        "0002 logical inventory",
        (
            f"CREATE OR REPLACE VIEW ConfigurationDataAt AS {inventory_sql()}",
            f"CREATE OR REPLACE VIEW ConfigurationData AS {inventory_sql(bound=False)}",
        ),
    ),
    Migration(
        "0003 packages",
        (
            "ALTER TABLE InventoryRecord ADD COLUMN IF NOT EXISTS `InstalledAt` Nullable(DateTime64(7, 'UTC'))",
            "ALTER TABLE InventoryRecord ADD COLUMN IF NOT EXISTS `PackageUrl` String",
            f"CREATE OR REPLACE VIEW ConfigurationDataAt AS {inventory_sql()}",
            f"CREATE OR REPLACE VIEW ConfigurationData AS {inventory_sql(bound=False)}",
        ),
    ),
    Migration(
        "0004 parent and service of who made a change",
        tuple(
            f"ALTER TABLE ConfigurationChange ADD COLUMN IF NOT EXISTS `{name}` LowCardinality(String)"
            for name in ("InitiatingProcessParentName", "InitiatingProcessService")
        ),
    ),
    Migration(
        "0005 exact path before a rename",
        ("ALTER TABLE ConfigurationChange ADD COLUMN IF NOT EXISTS `PreviousPathBytes` String",),
    ),
    Migration(
        "0006 what triggers a service",
        (
            "ALTER TABLE ConfigurationChange ADD COLUMN IF NOT EXISTS `SvcTriggeredBy` String",
            "ALTER TABLE ConfigurationChange ADD COLUMN IF NOT EXISTS `SvcPreviousTriggeredBy` String",
            "ALTER TABLE InventoryRecord ADD COLUMN IF NOT EXISTS `SvcTriggeredBy` String",
            f"CREATE OR REPLACE VIEW ConfigurationDataAt AS {inventory_sql()}",
            f"CREATE OR REPLACE VIEW ConfigurationData AS {inventory_sql(bound=False)}",
        ),
    ),
    Migration(
        "0007 requests of senders",
        tuple(
            statement
            for table in DATA_TABLES
            for statement in (
                f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS `_Request` String",
                f"ALTER TABLE {table} ADD INDEX IF NOT EXISTS request _Request TYPE bloom_filter GRANULARITY 1",
            )
        ),
    ),
    Migration(
        "0008 services and registry of Windows",
        (
            *(
                f"ALTER TABLE ConfigurationChange ADD COLUMN IF NOT EXISTS `{name}` {kind}"
                for name, kind in (
                    ("SvcDelayedStart", "Nullable(Bool)"),
                    ("SvcPreviousDelayedStart", "Nullable(Bool)"),
                    ("SvcServiceDll", "String"),
                    ("SvcPreviousServiceDll", "String"),
                    ("SvcFailureActions", "String"),
                    ("SvcPreviousFailureActions", "String"),
                    ("ValueBytes", "String"),
                    ("PreviousValueBytes", "String"),
                )
            ),
            *(
                f"ALTER TABLE InventoryRecord ADD COLUMN IF NOT EXISTS `{name}` {kind}"
                for name, kind in (
                    ("SvcDelayedStart", "Nullable(Bool)"),
                    ("SvcServiceDll", "String"),
                    ("SvcFailureActions", "String"),
                    ("ValueBytes", "String"),
                )
            ),
            f"CREATE OR REPLACE VIEW ConfigurationDataAt AS {inventory_sql()}",
            f"CREATE OR REPLACE VIEW ConfigurationData AS {inventory_sql(bound=False)}",
        ),
    ),
    Migration(
        "0009 inventory in the order of its key",
        (
            f"CREATE OR REPLACE VIEW ConfigurationDataAt AS {inventory_sql()}",
            f"CREATE OR REPLACE VIEW ConfigurationData AS {inventory_sql(bound=False)}",
        ),
    ),
    Migration(
        "0010 what waits on a machine, and whether its tracker speaks",
        (
            "ALTER TABLE Heartbeat ADD COLUMN IF NOT EXISTS `QueuedRecords` Nullable(Int64)",
            "ALTER TABLE Heartbeat ADD COLUMN IF NOT EXISTS `QueuedBytes` Nullable(Int64)",
            "ALTER TABLE Heartbeat ADD COLUMN IF NOT EXISTS `TrackerContact` Nullable(DateTime64(7, 'UTC'))",
        ),
    ),
)
