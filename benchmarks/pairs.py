"""The commonest queries, each as people write it in KQL and as one who knows ClickHouse writes it by hand.

Both have the same result, to the byte. What a hand writes takes care of nothing but this result.
"""

from __future__ import annotations

from dataclasses import dataclass

from whatchanged.records.tables import CONFIGURATION_CHANGE

# ruff: noqa: S608 - statements are composed of constants of this module
__all__ = ["NOW", "PAIRS", "Pair"]

NOW = "2026-03-01 00:00:00"
_EVERYTHING = ", ".join(CONFIGURATION_CHANGE.names)
_REST = ", ".join(name for name in CONFIGURATION_CHANGE.names if name not in ("Computer", "SvcName", "TimeGenerated"))


@dataclass(frozen=True, slots=True)
class Pair:
    """One question in two languages."""

    name: str
    kql: str
    sql: str
    ordered: bool = False
    """Whether the order of the rows is part of the result."""


PAIRS = (
    Pair(
        "a machine's last week",
        """
        ConfigurationChange
        | where TimeGenerated > ago(7d) and Computer == "web-0010"
        | order by TimeGenerated desc
        """,
        f"""
        SELECT {_EVERYTHING} FROM ConfigurationChange
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 7 DAY AND Computer = 'web-0010'
        ORDER BY TimeGenerated DESC
        """,
        ordered=True,
    ),
    Pair(
        "contains",
        """
        ConfigurationChange
        | where TimeGenerated > ago(30d)
        | where FileSystemPath contains "sudoers"
        | project TimeGenerated, Computer, FileSystemPath, ChangeCategory
        """,
        f"""
        SELECT TimeGenerated, Computer, FileSystemPath, ChangeCategory FROM ConfigurationChange
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY AND FileSystemPath ILIKE '%sudoers%'
        """,
    ),
    Pair(
        "count by hour and kind",
        """
        ConfigurationChange
        | where TimeGenerated > ago(30d)
        | summarize count() by bin(TimeGenerated, 1h), ConfigChangeType
        | render timechart
        """,
        f"""
        SELECT toDateTime64(hour, 7, 'UTC') AS TimeGenerated, ConfigChangeType, changes FROM (
          SELECT toStartOfHour(TimeGenerated) AS hour, ConfigChangeType, count() AS changes FROM ConfigurationChange
          WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY GROUP BY hour, ConfigChangeType)
        """,
    ),
    Pair(
        "the latest of each service",
        """
        ConfigurationChange
        | where TimeGenerated > ago(7d)
        | where ConfigChangeType == "Daemons"
        | summarize arg_max(TimeGenerated, *) by Computer, SvcName
        """,
        f"""
        SELECT Computer, SvcName, TimeGenerated, {_REST} FROM ConfigurationChange
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 7 DAY AND ConfigChangeType = 'Daemons'
        ORDER BY TimeGenerated DESC LIMIT 1 BY Computer, SvcName
        """,
    ),
    Pair(
        "services whose latest is stopped",
        """
        ConfigurationChange
        | where ConfigChangeType == "Daemons"
        | summarize arg_max(TimeGenerated, *) by Computer, SvcName
        | where SvcState == "Stopped"
        | project Computer, SvcName, TimeGenerated, InitiatingProcessAccountName
        """,
        """
        SELECT Computer, SvcName, max(TimeGenerated), argMax(InitiatingProcessAccountName, TimeGenerated)
        FROM ConfigurationChange WHERE ConfigChangeType = 'Daemons' GROUP BY Computer, SvcName
        HAVING argMax(SvcState, TimeGenerated) = 'Stopped'
        """,
    ),
    Pair(
        "dcount",
        """
        ConfigurationChange
        | where TimeGenerated > ago(30d) and ConfigChangeType == "Software"
        | summarize Machines = dcount(Computer), Versions = dcount(Current) by SoftwareName
        | where Machines > 10
        """,
        f"""
        SELECT SoftwareName, uniqExact(Computer) AS machines, uniqExact(Current) FROM ConfigurationChange
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY AND ConfigChangeType = 'Software'
        GROUP BY SoftwareName HAVING machines > 10
        """,
    ),
    Pair(
        "lookup",
        """
        ConfigurationChange
        | where TimeGenerated > ago(30d) and ConfigChangeType == "Software"
        | lookup kind=leftouter (Heartbeat | summarize arg_max(TimeGenerated, OSName) by Computer) on Computer
        | summarize count() by OSName, SoftwareName
        """,
        f"""
        SELECT OSName, SoftwareName, count() FROM ConfigurationChange AS c
        LEFT JOIN (SELECT Computer, argMax(OSName, TimeGenerated) AS OSName FROM Heartbeat GROUP BY Computer) AS h
        ON h.Computer = c.Computer
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY AND ConfigChangeType = 'Software'
        GROUP BY OSName, SoftwareName
        """,
    ),
    Pair(
        "join",
        """
        ConfigurationChange
        | where TimeGenerated > ago(7d) and ChangeCategory == "Removed"
        | join kind=inner (
            Heartbeat | where OSType == "Linux" | summarize LastCall = max(TimeGenerated) by Computer
          ) on Computer
        | project TimeGenerated, Computer, Name, LastCall
        """,
        f"""
        SELECT TimeGenerated, Computer, Name, LastCall FROM ConfigurationChange AS c
        INNER JOIN (
          SELECT Computer, max(TimeGenerated) AS LastCall FROM Heartbeat WHERE OSType = 'Linux' GROUP BY Computer
        ) AS h ON h.Computer = c.Computer
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 7 DAY AND ChangeCategory = 'Removed'
        """,
    ),
    Pair(
        "distinct",
        """
        ConfigurationChange
        | where TimeGenerated > ago(30d)
        | distinct Computer, ConfigChangeType
        """,
        f"""
        SELECT DISTINCT Computer, ConfigChangeType FROM ConfigurationChange
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY
        """,
    ),
    Pair(
        "the last hundred",
        """
        ConfigurationChange
        | where ConfigChangeType == "Files" and ChangeCategory == "Removed"
        | top 100 by TimeGenerated desc
        """,
        f"""
        SELECT {_EVERYTHING} FROM ConfigurationChange
        WHERE ConfigChangeType = 'Files' AND ChangeCategory = 'Removed'
        ORDER BY TimeGenerated DESC LIMIT 100
        """,
        ordered=True,
    ),
    Pair(
        "has",
        """
        ConfigurationChange
        | where TimeGenerated > ago(30d)
        | where FieldsChanged has "FileContentChecksum" and FileSystemPath has "nginx"
        | summarize count() by Computer
        """,
        f"""
        SELECT Computer, count() FROM ConfigurationChange
        WHERE TimeGenerated > toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY
          AND hasTokenCaseInsensitive(FieldsChanged, 'FileContentChecksum')
          AND hasTokenCaseInsensitive(FileSystemPath, 'nginx')
        GROUP BY Computer
        """,
    ),
    Pair(
        "make-series",
        """
        ConfigurationChange
        | make-series n = count() default = 0 on TimeGenerated from ago(30d) to now() step 1d by ConfigChangeType
        """,
        f"""
        SELECT ConfigChangeType, toJSONString(groupArray(n)),
          toJSONString(groupArray(formatDateTime(day, '%Y-%m-%dT%H:%i:%S.0000000Z'))) FROM (
            SELECT ConfigChangeType, toDateTime(toStartOfDay(TimeGenerated), 'UTC') AS day, count() AS n
            FROM ConfigurationChange
            WHERE TimeGenerated >= toDateTime64('{NOW}', 7, 'UTC') - INTERVAL 30 DAY
              AND TimeGenerated < toDateTime64('{NOW}', 7, 'UTC')
            GROUP BY ConfigChangeType, day
            ORDER BY ConfigChangeType, day WITH FILL FROM toDateTime('{NOW}', 'UTC') - INTERVAL 30 DAY
              TO toDateTime('{NOW}', 'UTC') STEP INTERVAL 1 DAY)
        GROUP BY ConfigChangeType
        """,
    ),
    Pair(
        "who has a program",
        """
        ConfigurationData
        | where ConfigDataType == "Software" and SoftwareName contains "ssl"
        | summarize Machines = dcount(Computer) by SoftwareName, CurrentVersion
        """,
        """
        SELECT SoftwareName, CurrentVersion, uniqExact(Computer) FROM ConfigurationData
        WHERE ConfigDataType = 'Software' AND SoftwareName ILIKE '%ssl%'
        GROUP BY SoftwareName, CurrentVersion
        """,
    ),
    Pair(
        "the inventory as of a time",
        """
        ConfigurationData
        | where TimeGenerated <= datetime(2026-01-15)
        | summarize arg_max(TimeGenerated, *) by Computer, Name
        | summarize count() by ConfigDataType
        """,
        """
        SELECT kind, count() FROM (
          SELECT argMax(ConfigDataType, TimeGenerated) AS kind
          FROM ConfigurationDataAt(at = '2026-01-15 00:00:00', machine = '', kind = '')
          GROUP BY Computer, Name)
        GROUP BY kind
        """,
    ),
)
