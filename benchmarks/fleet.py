"""Ninety days of a fleet of a thousand machines in the real tables, made inside the engine.

Of ten rows eight are changes, one is a record of the inventory and one a heartbeat. Every row depends on its number
alone, so two runs hold the same; times ascend, as they do when machines send what they see.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from whatchanged.server.storage import Storage

# ruff: noqa: S608 - statements are composed of constants of this module
__all__ = ["DAYS", "END", "MACHINES", "fill"]

MACHINES = 1000
DAYS = 90
END = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
_START = "toDateTime64('2025-12-01 00:00:00', 7, 'UTC')"
_TICKS = DAYS * 86_400 * 10_000_000
_FIRST_ITEM = 10
"""Sequence of the first item of a machine; its snapshots stand before."""
_CONFIRMATIONS = 30
"""Of each machine and kind."""

# `n`: number of the row, `m`: of the machine, `h`: a hash; some machines change more than others, as do some files.
_MACHINE = {
    "Computer": "concat(['web', 'db', 'app', 'win', 'ci'][m % 5 + 1], '-', leftPad(toString(m), 4, '0'))",
    "SourceComputerId": "lower(concat('00000000-0000-4000-8000-', leftPad(hex(toUInt32(m)), 12, '0')))",
    "VMUUID": "SourceComputerId",
    "SourceSystem": "if(m % 5 = 3, 'OpsManager', 'Linux')",
    "_SubscriptionId": "'5ba1f1a0-0000-4000-8000-000000000001'",
    "_ResourceId": "concat('/subscriptions/', _SubscriptionId, '/resourceGroups/lab/providers/"
    "Microsoft.HybridCompute/machines/', Computer)",
    "_Epoch": "lower(hex(MD5(Computer)))",
}
_PROGRAM = (
    "concat(['lib', 'python3-', '', 'golang-', 'fonts-'][p % 5 + 1], "
    "['ssl', 'curl', 'nginx', 'postgres', 'systemd', 'gcc', 'xml', 'zip', 'http', 'audit'][intDiv(p, 5) % 10 + 1], "
    "toString(intDiv(p, 50)))"
)
_FILE = (
    "concat('/', ['etc', 'usr/lib', 'opt/application', 'var/lib', 'etc/Default'][f % 5 + 1], '/', "
    "['nginx', 'sshd', 'postgresql', 'cron.d', 'SSL', 'systemd', 'Sudoers.d', 'app'][intDiv(f, 5) % 8 + 1], '/', "
    "['main', 'site', 'override', 'limits', 'Backup'][intDiv(f, 40) % 5 + 1], '-', toString(intDiv(f, 200)), '.conf')"
)
_CHANGE: Mapping[str, str] = {
    **_MACHINE,
    "ConfigChangeType": "multiIf(h % 100 < 50, 'Files', h % 100 < 80, 'Software', m % 5 != 3, 'Daemons', "
    "h % 2 = 0, 'Registry', 'WindowsServices')",
    "ChangeCategory": "multiIf(intDiv(h, 100) % 10 < 7, 'Modified', intDiv(h, 100) % 10 < 9, 'Added', 'Removed')",
    "_file": "ConfigChangeType = 'Files'",
    "_program": "ConfigChangeType = 'Software'",
    "_service": "ConfigChangeType IN ('Daemons', 'WindowsServices')",
    "_value": "ConfigChangeType = 'Registry'",
    "FieldsChanged": "multiIf(ChangeCategory != 'Modified', '', _file, "
    "['Size,DateModified,FileContentChecksum', 'DateModified', 'Attributes', 'Acls,DateModified'][h % 4 + 1], "
    "_program, 'Current', _value, 'ValueData', 'SvcState')",
    "FileSystemPath": f"if(_file, {_FILE}, '')",
    "SoftwareName": f"if(_program, {_PROGRAM}, '')",
    "SoftwareType": "if(_program, 'Package', '')",
    "Publisher": "if(_program, concat('Maintainers of ', toString(p % 40)), '')",
    "SvcName": "if(_service, concat('service-', toString(p % 120), '.service'), '')",
    "SvcChangeType": "if(_service AND ChangeCategory = 'Modified', 'State', '')",
    "SvcState": "if(_service, ['Running', 'Stopped'][h % 2 + 1], '')",
    "SvcPreviousState": "if(_service, ['Stopped', 'Running'][h % 2 + 1], '')",
    "Name": "multiIf(_file, extract(FileSystemPath, '[^/]*$'), _program, SoftwareName, _service, SvcName, ValueName)",
    "Location": "multiIf(_file, extract(FileSystemPath, '^(.*)/'), _program, '/var/lib/dpkg/status', "
    "_value, RegistryKey, '/etc/systemd/system')",
    "Current": "if(_program, concat('1.', toString(h % 9), '.', toString(intDiv(n, 100000))), '')",
    "Previous": "if(_program, concat('1.', toString(h % 9), '.', toString(intDiv(n, 110000))), '')",
    "Size": "if(_file, toNullable(toInt64(h % 100000)), NULL)",
    "PreviousSize": "if(_file, toNullable(toInt64(h % 90000)), NULL)",
    "DateModified": "if(_file, toNullable(TimeGenerated - toIntervalSecond(h % 60)), NULL)",
    "PreviousDateModified": "if(_file, toNullable(TimeGenerated - toIntervalSecond(h % 600000)), NULL)",
    "Attributes": "if(_file, '-rw-r--r--', '')",
    "Acls": "if(_file, ['root:root', 'app:app', 'www-data:www-data'][h % 3 + 1], '')",
    "FileContentChecksum": "if(_file, hex(SHA256(toString(h))), '')",
    "PreviousFileContentChecksum": "if(_file, hex(SHA256(toString(h + 1))), '')",
    "Hive": "if(_value, 'HKEY_LOCAL_MACHINE', '')",
    "RegistryKey": "if(_value, concat('HKEY_LOCAL_MACHINE\\\\Software\\\\Vendor', toString(p % 60)), '')",
    "ValueName": "if(_value, concat('Setting', toString(f % 50)), '')",
    "ValueData": "if(_value, toString(h % 1000), '')",
    "_BilledSize": "toNullable(toFloat64(700 + h % 300))",
    "TransactionId": "lower(hex(MD5(toString(intDiv(n, 3)))))",
    "IngestedAt": "TimeGenerated + toIntervalSecond(h % 20)",
    "DetectedBy": "if(h % 5 = 0, 'Poll', 'Watch')",
    "PreviousSeen": "toNullable(TimeGenerated - toIntervalSecond(h % 900))",
    "RuleName": "['etc', 'programs', 'everything'][h % 3 + 1]",
    "InitiatingProcessName": "['/usr/bin/apt-get', '/usr/bin/vim', '/usr/sbin/puppet', '/usr/bin/sed', ''][h % 5 + 1]",
    "InitiatingProcessId": "if(h % 5 = 4, NULL, toNullable(toInt64(h % 32768)))",
    "InitiatingProcessCommandLine": "multiIf(h % 5 = 4, '', h % 5 = 0, concat('apt-get -y install ', "
    f"{_PROGRAM}), concat(InitiatingProcessName, ' --run ', toString(h % 5000)))",
    "InitiatingProcessAccountName": "if(h % 5 = 4, '', ['root', 'deploy', 'admin'][h % 3 + 1])",
    "_Stream": "'CONFIG_CHANGE_BLOB_V2'",
    "_Sequence": "n",
    "_Digest": "lower(hex(MD5(toString(n))))",
}
_ITEM: Mapping[str, str] = {
    **_MACHINE,
    "ConfigDataType": "multiIf(f % 10 < 6, 'Software', f % 10 < 9, 'Files', 'Daemons')",
    "_file": "ConfigDataType = 'Files'",
    "_program": "ConfigDataType = 'Software'",
    "_service": "ConfigDataType = 'Daemons'",
    "FileSystemPath": f"if(_file, {_FILE}, '')",
    "SoftwareName": f"if(_program, {_PROGRAM}, '')",
    "SoftwareType": "if(_program, 'Package', '')",
    "Publisher": "if(_program, concat('Maintainers of ', toString(p % 40)), '')",
    "CurrentVersion": "if(_program, concat('1.', toString(h % 9), '.', toString(h % 4)), '')",
    "Architecture": "if(_program, 'amd64', '')",
    "SvcName": "if(_service, concat('service-', toString(p), '.service'), '')",
    "SvcState": "if(_service, ['Running', 'Stopped'][h % 2 + 1], '')",
    "Name": "multiIf(_file, extract(FileSystemPath, '[^/]*$'), _program, SoftwareName, SvcName)",
    "Size": "if(_service, NULL, toNullable(toInt64(h % 100000)))",
    "FileContentChecksum": "if(_file, hex(SHA256(toString(f))), '')",
    "IngestedAt": "TimeGenerated + toIntervalSecond(h % 20)",
    "_Stream": "'CONFIG_DATA_BLOB_V2'",
    "_Sequence": f"toUInt64({_FIRST_ITEM} + n % each)",
    "_EpochOrder": "toUInt32(1)",
    "_Record": "if(h % 50 = 0, 'Tombstone', 'Item')",
    "_KeyHex": "hex(concat(FileSystemPath, SoftwareName, SvcName))",
    "_ItemDigest": "lower(hex(MD5(toString(h))))",
    "_Digest": "_ItemDigest",
}
_MARK: Mapping[str, str] = {
    **_MACHINE,
    "ConfigDataType": "['Software', 'Files', 'Daemons'][n % 3 + 1]",
    "_Record": "if(intDiv(n, 3) % (confirmations + 1) = 0, 'Snapshot', 'Confirmation')",
    "_Sequence": "if(_Record = 'Snapshot', toUInt64(1 + n % 3), "
    f"toUInt64({_FIRST_ITEM} + intDiv(each * (intDiv(n, 3) % (confirmations + 1)), confirmations)))",
    "IngestedAt": "TimeGenerated + toIntervalSecond(1)",
    "_Stream": "'CONFIG_DATA_BLOB_V2'",
    "_EpochOrder": "toUInt32(1)",
}
_HEARTBEAT: Mapping[str, str] = {
    **_MACHINE,
    "Category": "'Direct Agent'",
    "OSName": "if(m % 5 = 3, 'Windows Server 2022', ['Debian GNU/Linux', 'Ubuntu', 'Red Hat'][m % 3 + 1])",
    "OSType": "if(m % 5 = 3, 'Windows', 'Linux')",
    "OSMajorVersion": "toString(10 + m % 4)",
    "Version": "concat('1.', toString(m % 3), '.', toString(intDiv(n, 300000)))",
    "Resource": "Computer",
    "ResourceGroup": "'lab'",
    "IngestedAt": "TimeGenerated + toIntervalSecond(1)",
    "_Stream": "'HEALTH_ASSESSMENT_BLOB'",
    "_Sequence": "n",
}


def fill(storage: Storage, rows: int) -> None:
    """Fill the tables with so many rows, and merge them as the engine does in time."""
    inventory = heartbeats = rows // 10
    changes = rows - inventory - heartbeats
    each = max(inventory // MACHINES, 1)
    marks = MACHINES * 3 * (_CONFIRMATIONS + 1)
    busy = f"toUInt32(pow((cityHash64(n, 1) % 1000003) / 1000003, 1.3) * {MACHINES})"
    often = "toUInt32(pow((cityHash64(n, 2) % 1000003) / 1000003, 2) * {})"

    def rising(n: str, count: int) -> str:
        return f"{_START} + toIntervalNanosecond({n} * {_TICKS // count} * 100)"

    whole = f"intDiv(n, {each})"
    with_marks = {"each": str(each), "confirmations": str(_CONFIRMATIONS)}
    _insert(storage, "ConfigurationChange", changes, _CHANGE, m=busy, p=often.format(600), f=often.format(4000),
            TimeGenerated=rising("n", changes))  # fmt: skip
    _insert(storage, "InventoryRecord", inventory, _ITEM, m=whole, **with_marks,
            f=f"cityHash64(n % {each}, 3) % {each}", p="f % 600",
            TimeGenerated=rising(f"n % {each}", each))  # fmt: skip
    _insert(storage, "InventoryRecord", marks, _MARK, m=f"intDiv(n, {3 * (_CONFIRMATIONS + 1)})", **with_marks,
            TimeGenerated=f"{_START} + toIntervalDay(intDiv(n, 3) % {_CONFIRMATIONS + 1} * {DAYS // _CONFIRMATIONS})"
            " - toIntervalSecond(1)")  # fmt: skip
    _insert(storage, "Heartbeat", heartbeats, _HEARTBEAT, m=f"n % {MACHINES}", TimeGenerated=rising("n", heartbeats))
    with storage.writes_held() as client:
        for table in ("ConfigurationChange", "InventoryRecord", "Heartbeat"):
            client.command(f"OPTIMIZE TABLE {table} FINAL")


def _insert(storage: Storage, table: str, count: int, values: Mapping[str, str], **names: str) -> None:
    """Insert rows; `names` are what the values are made of, and those with a small letter stay outside of the table."""
    named = {"n": "number", "h": "cityHash64(n)", **names, **values}
    inside = ("n", "h", "m", "p", "f", "each", "confirmations", "_file", "_program", "_service", "_value")
    columns = [name for name in named if name not in inside]
    defined = ", ".join(f"{sql} AS {name}" for name, sql in named.items())
    with storage.writes_held() as client:
        client.command(
            f"INSERT INTO {table} ({', '.join(columns)}) WITH {defined} SELECT {', '.join(columns)} "
            f"FROM numbers({count}) SETTINGS max_insert_block_size = 262144, max_partitions_per_insert_block = 0, "
            "max_threads = 1"
        )
