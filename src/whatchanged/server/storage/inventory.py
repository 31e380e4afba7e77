"""The logical ConfigurationData, evaluated from InventoryRecord.

Of every (machine, kind, key) the newest version counts, unless it is a tombstone or stands before the last
*completed* Snapshot (one that a Confirmation of its epoch follows). "Newest" goes by (_EpochOrder, _Sequence): the
order in which the machine numbered its records, so that a late record of a hole does not win over a newer one.
TimeGenerated is the last confirmation that covers the item: one numbered after it whose NotConfirmed holds no
folder above it. With `at`, only items and confirmations up to that time exist.
"""

# ruff: noqa: S608 - statements are composed of constants of this module; values are bound parameters
from __future__ import annotations

from whatchanged.records.tables import CONFIGURATION_DATA

__all__ = ["CHECKSUM_SQL", "END_OF_TIME", "inventory_sql", "retention_statements", "superseded_sql"]

END_OF_TIME = "2299-12-31 00:00:00.0000000"
"""Bound of the current state: the last time DateTime64 can hold, cut to the day."""

_POSITION = "(_EpochOrder, _Sequence)"
# The sorting key backwards: read in that order, nothing is sorted or held.
_NEWEST_FIRST = (
    "SourceComputerId DESC, ConfigDataType DESC, _Key DESC, _EpochOrder DESC, _Sequence DESC, IngestedAt DESC"
)
_PARAMETERS = (
    "({machine:String} = '' OR SourceComputerId = {machine:String}) "
    "AND ({kind:String} = '' OR ConfigDataType = {kind:String})"
)
_BOUND = "TimeGenerated <= toDateTime64({at:String}, 7, 'UTC')"
# A prefix is a folder (it covers itself and what stands below it, on either system), or the source of a package.
_UNDER = (
    "startsWith(r._Key, p) AND (length(r._Key) = length(p) OR endsWith(p, '/') OR endsWith(p, '\\\\') "
    "OR substring(r._Key, length(p) + 1, 1) IN ('/', '\\\\', '\\0'))"
)


def inventory_sql(*, bound: bool = True) -> str:
    """Return the SELECT of the logical table.

    With `bound` it takes the parameters `at` (`YYYY-MM-DD hh:mm:ss.fffffff`), `machine` and `kind` (empty: all);
    without, it is the current state of everything.
    """
    scope = _PARAMETERS if bound else "1"
    until = f"{scope} AND {_BOUND}" if bound else "1"
    hidden = {"TimeGenerated": "greatest(r.TimeGenerated, " + _covered() + ") AS TimeGenerated"}
    columns = ", ".join(hidden.get(name, f"r.`{name}` AS `{name}`") for name in CONFIGURATION_DATA.names)
    return f"""
SELECT {columns}, r._Key AS _Key
FROM (
  SELECT * FROM (
    SELECT *, Stream, Epoch, Sequence FROM InventoryRecord
    WHERE {until} AND _Record IN ('Item', 'Tombstone')
    ORDER BY {_NEWEST_FIRST} LIMIT 1 BY SourceComputerId, ConfigDataType, _Key)
  WHERE _Record = 'Item'
) AS r
LEFT JOIN (
  SELECT SourceComputerId, ConfigDataType, groupArray((position, confirmed, prefixes)) AS confirmations
  FROM (
    SELECT SourceComputerId, ConfigDataType, arrayMap(p -> base64Decode(p), NotConfirmed) AS prefixes,
      max({_POSITION}) AS position, argMax(TimeGenerated, {_POSITION}) AS confirmed
    FROM InventoryRecord WHERE {until} AND _Record = 'Confirmation'
    GROUP BY SourceComputerId, ConfigDataType, prefixes)
  GROUP BY SourceComputerId, ConfigDataType
) AS c ON c.SourceComputerId = r.SourceComputerId AND c.ConfigDataType = r.ConfigDataType
LEFT JOIN (
  SELECT s.SourceComputerId AS SourceComputerId, s.ConfigDataType AS ConfigDataType,
    max((s._EpochOrder, s._Sequence)) AS boundary
  FROM (SELECT SourceComputerId, ConfigDataType, _EpochOrder, _Sequence FROM InventoryRecord
        WHERE {scope} AND _Record = 'Snapshot') AS s
  INNER JOIN (
    SELECT SourceComputerId, ConfigDataType, _EpochOrder, max(_Sequence) AS last
    FROM InventoryRecord WHERE {until} AND _Record = 'Confirmation'
    GROUP BY SourceComputerId, ConfigDataType, _EpochOrder
  ) AS e ON e.SourceComputerId = s.SourceComputerId AND e.ConfigDataType = s.ConfigDataType
    AND e._EpochOrder = s._EpochOrder
  WHERE s._Sequence < e.last
  GROUP BY s.SourceComputerId, s.ConfigDataType
) AS b ON b.SourceComputerId = r.SourceComputerId AND b.ConfigDataType = r.ConfigDataType
WHERE (r._EpochOrder, r._Sequence) > b.boundary
"""


def _covered() -> str:
    return (
        "arrayMax(x -> if(x.1 > (r._EpochOrder, r._Sequence) "
        f"AND NOT arrayExists(p -> {_UNDER}, x.3), x.2, toDateTime64(0, 7, 'UTC')), "
        "arrayConcat(c.confirmations, [((toUInt32(0), toUInt64(0)), toDateTime64(0, 7, 'UTC'), [''])]))"
    )


# What the machine held when it wrote the confirmation at position (order, sequence): count and checksum as
# records.keys.checksum computes them (length of the key big endian, key, digest; sorted by key).
CHECKSUM_SQL = """
SELECT toUInt64(length(pairs)) AS items, lower(hex(SHA256(arrayStringConcat(arrayMap(
  p -> concat(unhex(leftPad(hex(toUInt32(length(p.1))), 8, '0')), p.1, unhex(p.2)), pairs))))) AS checksum
FROM (
  SELECT arraySort(groupArray((_Key, last.1))) AS pairs FROM (
    SELECT _Key, argMax((_ItemDigest, _Record), (_EpochOrder, _Sequence, IngestedAt)) AS last,
      max((_EpochOrder, _Sequence)) AS position
    FROM InventoryRecord
    WHERE SourceComputerId = {machine:String} AND ConfigDataType = {kind:String}
      AND _Record IN ('Item', 'Tombstone') AND (_EpochOrder, _Sequence) < ({order:UInt32}, {sequence:UInt64})
    GROUP BY _Key
    HAVING last.2 = 'Item' AND position > (
      SELECT max((s._EpochOrder, s._Sequence)) FROM (
        SELECT _EpochOrder, _Sequence FROM InventoryRecord
        WHERE SourceComputerId = {machine:String} AND ConfigDataType = {kind:String} AND _Record = 'Snapshot') AS s
      INNER JOIN (
        SELECT _EpochOrder, max(_Sequence) AS last FROM InventoryRecord
        WHERE SourceComputerId = {machine:String} AND ConfigDataType = {kind:String} AND _Record = 'Confirmation'
          AND (_EpochOrder, _Sequence) <= ({order:UInt32}, {sequence:UInt64})
        GROUP BY _EpochOrder) AS e ON e._EpochOrder = s._EpochOrder
      WHERE s._Sequence < e.last)
  )
)
"""

_OLD = "IngestedAt < toDateTime64({cutoff:String}, 7, 'UTC')"
_CHAIN = "SourceComputerId, ConfigDataType, _Key"
_COMPLETED = f"""
  SELECT s.SourceComputerId, s.ConfigDataType, max((s._EpochOrder, s._Sequence)) AS boundary
  FROM (SELECT SourceComputerId, ConfigDataType, _EpochOrder, _Sequence FROM InventoryRecord
        WHERE {_OLD} AND _Record = 'Snapshot') AS s
  INNER JOIN (SELECT SourceComputerId, ConfigDataType, _EpochOrder, max(_Sequence) AS last FROM InventoryRecord
        WHERE {_OLD} AND _Record = 'Confirmation' GROUP BY SourceComputerId, ConfigDataType, _EpochOrder) AS e
    ON e.SourceComputerId = s.SourceComputerId AND e.ConfigDataType = s.ConfigDataType
    AND e._EpochOrder = s._EpochOrder
  WHERE s._Sequence < e.last GROUP BY s.SourceComputerId, s.ConfigDataType
"""


def superseded_sql() -> str:
    """Return the condition of the versions of items that others had superseded at `cutoff`."""
    of_items = f"{_OLD} AND _Record IN ('Item', 'Tombstone')"
    newest = f"SELECT {_CHAIN}, max({_POSITION}) FROM InventoryRecord WHERE {of_items} GROUP BY {_CHAIN}"
    return f"{of_items} AND ({_CHAIN}, {_POSITION}) NOT IN ({newest})"


def retention_statements() -> tuple[str, ...]:
    """Return the deletions that remove what was superseded before `cutoff`, in the order they must run.

    The version that was current at the cutoff stays (so that `at` works back to it), and so does everything
    later. Tombstones go last, and only when no item is left that would rise again (one that came late is younger
    than the cutoff).
    """
    delete = f"ALTER TABLE InventoryRecord DELETE WHERE {_OLD} AND "
    behind = (
        f"SELECT r.SourceComputerId, r.ConfigDataType, r._EpochOrder, r._Sequence FROM InventoryRecord AS r "
        f"INNER JOIN ({_COMPLETED}) AS b ON b.SourceComputerId = r.SourceComputerId "
        "AND b.ConfigDataType = r.ConfigDataType WHERE (r._EpochOrder, r._Sequence) < b.boundary "
        "AND r._Record IN ('Item', 'Tombstone', 'Snapshot')"
    )
    return (
        f"ALTER TABLE InventoryRecord DELETE WHERE {superseded_sql()}",
        f"{delete} (SourceComputerId, ConfigDataType, _EpochOrder, _Sequence) IN ({behind})",
        f"{delete} _Record = 'Confirmation' AND (SourceComputerId, ConfigDataType, NotConfirmed, {_POSITION}) NOT IN "
        f"(SELECT SourceComputerId, ConfigDataType, NotConfirmed, max({_POSITION}) FROM InventoryRecord "
        f"WHERE {_OLD} AND _Record = 'Confirmation' GROUP BY SourceComputerId, ConfigDataType, _EpochOrder, "
        "NotConfirmed)",
        f"{delete} _Record = 'Tombstone' AND ({_CHAIN}) NOT IN "
        f"(SELECT {_CHAIN} FROM InventoryRecord WHERE _Record = 'Item')",
    )
