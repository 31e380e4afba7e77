"""The four log tables.

Upstream columns: the public Azure Monitor Logs reference (column lists as of July 2024).
Own columns stand behind them, so that `project-away` and positional readers of the upstream part keep working.
"""

from __future__ import annotations

from whatchanged.records.columns import Column, ColumnType, Origin, Table
from whatchanged.records.streams import DataType

__all__ = ["CONFIGURATION_CHANGE", "CONFIGURATION_DATA", "HEARTBEAT", "TABLES", "TRACKING_HEALTH", "table_of"]

_STRING = ColumnType.STRING
_DATETIME = ColumnType.DATETIME
_LONG = ColumnType.LONG
_INT = ColumnType.INT
_REAL = ColumnType.REAL
_BOOL = ColumnType.BOOL
_DYNAMIC = ColumnType.DYNAMIC

_SOFTWARE = "Software"
_SERVICES = "Services, Daemons"
_FILES = "Files"
_REGISTRY = "Registry"


def _text(name: str, meaning: str, kinds: str = "all", *, low: bool = False) -> Column:
    return Column(name, _STRING, meaning, kinds, low_cardinality=low)


def _pair(
    name: str, previous: str, kind: ColumnType, meaning: str, kinds: str, *, low: bool = False
) -> tuple[Column, Column]:
    return (
        Column(name, kind, meaning, kinds, low_cardinality=low),
        Column(previous, kind, f"{name} before the change", kinds, low_cardinality=low),
    )


def _own(
    name: str, kind: ColumnType, meaning: str, kinds: str = "all", *, server: bool = False, low: bool = False
) -> Column:
    return Column(name, kind, meaning, kinds, Origin.OWN, server_set=server, low_cardinality=low)


_TIME = Column("TimeGenerated", _DATETIME, "When the change was detected", "all")
_COMPUTER = _text("Computer", "Host name", low=True)
_SOURCE_COMPUTER_ID = Column(
    "SourceComputerId", _STRING, "Machine GUID, from its credential", server_set=True, low_cardinality=True
)
_VMUUID = _text("VMUUID", "Hardware or virtual machine UUID", low=True)
_NAME = _text("Name", "Item name: file name, package name, service name, registry value name")
_LOCATION = _text("Location", "Where the item stands: folder, package database, unit folder, registry key", low=True)
_SYSTEM = (
    _text("ManagementGroupName", "Management group, empty here", low=True),
    _text("SourceSystem", "`Linux`, `OpsManager` (Windows) or `Azure`", low=True),
    Column("Type", _STRING, "The table's name", server_set=True, low_cardinality=True),
)
_RESOURCE = (
    Column("_ResourceId", _STRING, "ARM id of the machine", server_set=True, low_cardinality=True),
    Column("_SubscriptionId", _STRING, "Workspace id", server_set=True, low_cardinality=True),
)
_BILLED_SIZE = Column("_BilledSize", _REAL, "Size of the record as it arrived, in bytes", server_set=True)
_IS_BILLABLE = Column("_IsBillable", _STRING, "Always `false` here", server_set=True, low_cardinality=True)

_SOFTWARE_FACTS = (
    _text("SoftwareName", "Name of the program, package or update", _SOFTWARE),
    _text("SoftwareType", "`Application`, `Package`, `Update`", _SOFTWARE, low=True),
    _text("SoftwareDescription", "Description", _SOFTWARE),
    _text("Publisher", "Publisher; of a Debian package its maintainer", _SOFTWARE, low=True),
)
_CARRIER = (
    _own("Stream", _STRING, "Data type of the stream that carried the record", server=True, low=True),
    _own("Epoch", _STRING, "Life of the state database that numbered the record", server=True, low=True),
    _own("Sequence", _LONG, "Number of the record in its stream and epoch, without holes", server=True),
    _own("IngestedAt", _DATETIME, "When the server stored the record", server=True),
)
_RULE = (
    _own("RuleName", _STRING, "Every rule item that matches the item, comma-separated", low=True),
    _own("ConfigurationId", _STRING, "Immutable id of the data collection rule", low=True),
)
_PATH_BYTES = _own(
    "PathBytes",
    _STRING,
    "Exact path in base64 (of a registry value key, NUL, name), only when text cannot carry it",
    "Files, Registry",
)

_DELAYED_START = "An automatic start that waits until the other services have started"
_SERVICE_DLL = "Library that svchost.exe loads for it"
_FAILURE_ACTIONS = "What is done when it fails, such as `restart after 60 s, none; reset after 86400 s`"
_VALUE_BYTES = "Data in base64, only when ValueData cannot carry it exactly"

_TRIGGERED_BY = "Timers, sockets and paths that start it, their enablement and when, such as `a.timer (enabled; …)`"

CONFIGURATION_CHANGE = Table(
    "ConfigurationChange",
    "On this machine, at this time, this item was added, removed or modified.",
    (
        _TIME,
        _COMPUTER,
        _text("ConfigChangeType", "`Files`, `Registry`, `Software`, `WindowsServices`, `Daemons`", low=True),
        _text("ChangeCategory", "`Added`, `Removed`, `Modified`", low=True),
        _SOURCE_COMPUTER_ID,
        _VMUUID,
        _text("FieldsChanged", "Comma-separated names of the columns that differ", low=True),
        _NAME,
        _LOCATION,
        _text("Current", "Value now; for software the version"),
        _text("Previous", "Value before; for software the version"),
        Column("LastSnapshotAge", _LONG, "Age in seconds of the snapshot compared against"),
        *_SOFTWARE_FACTS,
        _text(
            "SvcChangeType",
            "Which: `State`, `StartupType`, `Path`, `ServiceAccount`, `Description`, `Controller`, `Runlevels`, "
            "`TriggeredBy`",
            _SERVICES,
            low=True,
        ),
        _text("SvcName", "Key name or unit name", _SERVICES, low=True),
        _text("SvcDisplayName", "Display name", _SERVICES, low=True),
        *_pair(
            "SvcState",
            "SvcPreviousState",
            _STRING,
            "`Running`, `Stopped`, `Paused` or a pending state",
            _SERVICES,
            low=True,
        ),
        *_pair(
            "SvcStartupType",
            "SvcPreviousStartupType",
            _STRING,
            "`Auto`, `Manual`, `Disabled`",
            "Services",
            low=True,
        ),
        *_pair("SvcAccount", "SvcPreviousAccount", _STRING, "Log-on account", _SERVICES, low=True),
        *_pair("SvcPath", "SvcPreviousPath", _STRING, "Image path or unit file", _SERVICES),
        *_pair(
            "SvcController",
            "SvcPreviousController",
            _STRING,
            "`systemd`, `upstart`, `init`, `openrc`",
            "Daemons",
            low=True,
        ),
        *_pair("SvcRunlevels", "SvcPreviousRunlevels", _STRING, "Run levels or enablement", "Daemons", low=True),
        _text("FileSystemPath", "Full path", _FILES),
        *_pair("Size", "PreviousSize", _LONG, "Size in bytes; of software when installed", "Files, Software"),
        *_pair("DateCreated", "PreviousDateCreated", _DATETIME, "Creation time", _FILES),
        *_pair("DateModified", "PreviousDateModified", _DATETIME, "Modification time", _FILES),
        *_pair(
            "Attributes",
            "PreviousAttributes",
            _STRING,
            "Windows attributes, or type and mode as `ls -l` shows them",
            _FILES,
            low=True,
        ),
        *_pair("Acls", "PreviousAcls", _STRING, "SDDL, or owner, group and POSIX ACL", _FILES, low=True),
        *_pair("FileContentChecksum", "PreviousFileContentChecksum", _STRING, "SHA-256, upper-case hex", _FILES),
        _text("Hive", "Such as `HKEY_LOCAL_MACHINE`", _REGISTRY, low=True),
        _text("RegistryKey", "Full key path, beginning with the hive", _REGISTRY),
        _text("ValueName", "Value name", _REGISTRY),
        *_pair("ValueType", "PreviousValueType", _STRING, "Registry type", _REGISTRY, low=True),
        *_pair("ValueData", "PreviousValueData", _STRING, "Registry data", _REGISTRY),
        *_SYSTEM,
        Column("TenantId", _STRING, "Workspace id", server_set=True, low_cardinality=True),
        *_RESOURCE,
        _IS_BILLABLE,
        _BILLED_SIZE,
        _own("ChangeId", _STRING, "Unique id of this row: machine, stream, epoch and sequence", server=True),
        _own("TransactionId", _STRING, "Rows of one cause share it"),
        *_CARRIER,
        _own("DetectedBy", _STRING, "`Poll`, `Watch` or `Startup`", low=True),
        _own("PreviousSeen", _DATETIME, "The change lies between this time and TimeGenerated"),
        *_RULE,
        _own("InitiatingProcessName", _STRING, "Program that made the change", low=True),
        _own("InitiatingProcessId", _LONG, "Its process id"),
        _own("InitiatingProcessCommandLine", _STRING, "Its command line"),
        _own("InitiatingProcessAccountName", _STRING, "Account whose rights it used (effective)", low=True),
        _own("InitiatingProcessLoginAccountName", _STRING, "Account that signed in (login)", low=True),
        _own("ContentId", _STRING, "Content kept of the file after the change", _FILES),
        _own("PreviousContentId", _STRING, "Content kept of the file before the change", _FILES),
        _own("PreviousFileSystemPath", _STRING, "Path before a rename", _FILES),
        _own("ExplainedBy", _STRING, "Package operation that explains the change", low=True),
        _own("PlanId", _STRING, "Planned change that announced it", low=True),
        _PATH_BYTES,
        _own(
            "Architecture",
            _STRING,
            "Architecture of the package: without it two architectures of one package are one",
            _SOFTWARE,
            low=True,
        ),
        _own("InitiatingProcessParentName", _STRING, "Program that started the one which made the change", low=True),
        _own("InitiatingProcessService", _STRING, "Unit of systemd that it ran in: a service or a session", low=True),
        _own(
            "PreviousPathBytes",
            _STRING,
            "Exact path before a rename in base64, only when PreviousFileSystemPath cannot carry it",
            _FILES,
        ),
        _own("SvcTriggeredBy", _STRING, _TRIGGERED_BY, "Daemons"),
        _own("SvcPreviousTriggeredBy", _STRING, "SvcTriggeredBy before the change", "Daemons"),
        _own("SvcDelayedStart", _BOOL, _DELAYED_START, "Services"),
        _own("SvcPreviousDelayedStart", _BOOL, "SvcDelayedStart before the change", "Services"),
        _own("SvcServiceDll", _STRING, _SERVICE_DLL, "Services"),
        _own("SvcPreviousServiceDll", _STRING, "SvcServiceDll before the change", "Services"),
        _own("SvcFailureActions", _STRING, _FAILURE_ACTIONS, "Services"),
        _own("SvcPreviousFailureActions", _STRING, "SvcFailureActions before the change", "Services"),
        _own("ValueBytes", _STRING, _VALUE_BYTES, _REGISTRY),
        _own("PreviousValueBytes", _STRING, "ValueBytes before the change", _REGISTRY),
    ),
    (DataType.CONFIG_CHANGE, DataType.CONFIG_CHANGE_V2),
)

CONFIGURATION_DATA = Table(
    "ConfigurationData",
    "The inventory: the latest known state of every item of every machine.",
    (
        Column(
            "TimeGenerated",
            _DATETIME,
            "When the machine last confirmed the item (on its way: when it was collected)",
        ),
        _COMPUTER,
        _text("ConfigDataType", "`Files`, `Software`, `WindowsServices`, `Registry`, `Daemons`", low=True),
        _SOURCE_COMPUTER_ID,
        _VMUUID,
        _NAME,
        _LOCATION,
        *_SOFTWARE_FACTS,
        _text("CurrentVersion", "Version", _SOFTWARE),
        _text("Architecture", "Architecture", _SOFTWARE, low=True),
        _text("SvcName", "Key name or unit name", _SERVICES),
        _text("SvcDisplayName", "Display name", _SERVICES),
        _text("SvcState", "`Running`, `Stopped`, `Paused` or a pending state", _SERVICES, low=True),
        _text("SvcStartupType", "`Auto`, `Manual`, `Disabled`", "Services", low=True),
        _text("SvcAccount", "Log-on account", _SERVICES, low=True),
        _text("SvcPath", "Image path or unit file", _SERVICES),
        _text("SvcDescription", "Description", _SERVICES),
        _text("SvcController", "`systemd`, `upstart`, `init`, `openrc`", "Daemons", low=True),
        _text("SvcRunlevels", "Run levels or enablement", "Daemons", low=True),
        _text("FileSystemPath", "Full path", _FILES),
        Column("Size", _LONG, "Size in bytes; of software when installed", "Files, Software"),
        Column("DateCreated", _DATETIME, "Creation time", _FILES),
        Column("DateModified", _DATETIME, "Modification time", _FILES),
        _text("Attributes", "Windows attributes, or type and mode as `ls -l` shows them", _FILES, low=True),
        _text("Acls", "SDDL, or owner, group and POSIX ACL", _FILES, low=True),
        _text("FileContentChecksum", "SHA-256, upper-case hex", _FILES),
        _text("Hive", "Such as `HKEY_LOCAL_MACHINE`", _REGISTRY, low=True),
        _text("RegistryKey", "Full key path, beginning with the hive", _REGISTRY),
        _text("ValueName", "Value name", _REGISTRY),
        _text("ValueType", "Registry type", _REGISTRY, low=True),
        _text("ValueData", "Registry data", _REGISTRY),
        *_SYSTEM,
        *_RESOURCE,
        _BILLED_SIZE,
        _IS_BILLABLE,
        *_CARRIER,
        *_RULE,
        _own("ContentId", _STRING, "Content kept of the file", _FILES),
        _PATH_BYTES,
        _own("InstalledAt", _DATETIME, "When it was installed or last upgraded", _SOFTWARE),
        _own("PackageUrl", _STRING, "Package URL (purl), where its package system has one", _SOFTWARE),
        _own("SvcTriggeredBy", _STRING, _TRIGGERED_BY, "Daemons"),
        _own("SvcDelayedStart", _BOOL, _DELAYED_START, "Services"),
        _own("SvcServiceDll", _STRING, _SERVICE_DLL, "Services"),
        _own("SvcFailureActions", _STRING, _FAILURE_ACTIONS, "Services"),
        _own("ValueBytes", _STRING, _VALUE_BYTES, _REGISTRY),
    ),
    (DataType.CONFIG_DATA_V2,),
)

HEARTBEAT = Table(
    "Heartbeat",
    "The machine's forwarder is alive; one row a minute.",
    (
        Column("TimeGenerated", _DATETIME, "When the heartbeat was made"),
        _COMPUTER,
        _text("Category", "`Direct Agent`", low=True),
        _text("ComputerEnvironment", "`Azure` or `Non-Azure`", low=True),
        _text("ComputerIP", "Address the server saw", low=True),
        Column("ComputerPrivateIPs", _DYNAMIC, "Addresses of the machine"),
        Column("IsGatewayInstalled", _BOOL, "Always false here"),
        _text("OSMajorVersion", "Major version of the operating system", low=True),
        _text("OSMinorVersion", "Minor version of the operating system", low=True),
        _text("OSName", "Name of the operating system", low=True),
        _text("OSType", "`Windows` or `Linux`", low=True),
        _text("RemoteIPCountry", "Empty here", low=True),
        Column("RemoteIPLatitude", _REAL, "Empty here"),
        Column("RemoteIPLongitude", _REAL, "Empty here"),
        Column("Resource", _STRING, "Machine name in its ARM id", server_set=True, low_cardinality=True),
        Column("ResourceGroup", _STRING, "Machine group", server_set=True, low_cardinality=True),
        Column("ResourceId", _STRING, "ARM id of the machine", server_set=True, low_cardinality=True),
        Column("ResourceProvider", _STRING, "`Microsoft.HybridCompute`", server_set=True, low_cardinality=True),
        Column("ResourceType", _STRING, "`machines`", server_set=True, low_cardinality=True),
        _text("SCAgentChannel", "`Direct`", low=True),
        _text("Solutions", "Contains `changeTracking`", low=True),
        _SOURCE_COMPUTER_ID,
        Column("SubscriptionId", _STRING, "Workspace id", server_set=True, low_cardinality=True),
        _text("Version", "Version of the agent", low=True),
        _VMUUID,
        *_SYSTEM,
        *_RESOURCE,
        _BILLED_SIZE,
        _IS_BILLABLE,
        *_CARRIER,
        _own("QueuedRecords", _LONG, "Records that waited in the forwarder's local store when it was made"),
        _own("QueuedBytes", _LONG, "Their size in bytes"),
        _own("TrackerContact", _DATETIME, "When the tracker last spoke with the forwarder, since that started"),
    ),
    (DataType.HEALTH_ASSESSMENT,),
)

TRACKING_HEALTH = Table(
    "TrackingHealth",
    "How the tracking itself fares: outcomes of runs, limits, denied paths, gaps, forks, silence.",
    tuple(
        _own(name, kind, meaning, server=server, low=low)
        for name, kind, meaning, server, low in (
            ("TimeGenerated", _DATETIME, "When it was noticed", False, False),
            ("Computer", _STRING, "Host name", False, True),
            ("SourceComputerId", _STRING, "Machine GUID, from its credential", True, True),
            ("Component", _STRING, "`Tracker`, `Forwarder`, `Server`", False, True),
            ("Kind", _STRING, "Kind of item concerned, such as `Files`", False, True),
            ("RuleName", _STRING, "Rule item concerned", False, True),
            ("Status", _STRING, "`Ok`, `Warning`, `Error`", False, True),
            ("Reason", _STRING, "A name of `HealthReason`", False, True),
            ("Detail", _STRING, "What happened, for people", False, False),
            ("ItemsSeen", _LONG, "Items seen by the run", False, False),
            ("ItemsFailed", _LONG, "Items that could not be looked at", False, False),
            ("DurationMs", _LONG, "Duration of the run in milliseconds", False, False),
            ("WindowStart", _DATETIME, "Begin of the time concerned", False, False),
            ("WindowEnd", _DATETIME, "End of the time concerned", False, False),
            ("Stream", _STRING, "Stream concerned (gaps, forks, evictions)", False, True),
            ("Epoch", _STRING, "Epoch concerned", False, True),
            ("FirstSequence", _LONG, "First sequence concerned", False, False),
            ("LastSequence", _LONG, "Last sequence concerned", False, False),
            ("LostRecords", _LONG, "Records that are missing", False, False),
            ("Type", _STRING, "The table's name", True, True),
            ("_ResourceId", _STRING, "ARM id of the machine", True, True),
            ("_SubscriptionId", _STRING, "Workspace id", True, True),
            ("IngestedAt", _DATETIME, "When the server stored the record", True, False),
        )
    ),
    (DataType.TRACKING_HEALTH,),
)

TABLES: tuple[Table, ...] = (CONFIGURATION_CHANGE, CONFIGURATION_DATA, HEARTBEAT, TRACKING_HEALTH)


def table_of(stream: DataType) -> Table:
    """Return the table that the records of `stream` end up in."""
    return next(table for table in TABLES if stream in table.streams)
