"""Telemetry in ClickHouse: migrations, insert, query, the logical inventory, retention, backup.

The only room that imports the database driver.
"""

from whatchanged.server.storage.backup import backup, restore
from whatchanged.server.storage.database import Row, Storage, load_engine, open_storage
from whatchanged.server.storage.inventory import CHECKSUM_SQL, END_OF_TIME
from whatchanged.server.storage.schema import DATA_TABLES, physical_table

__all__ = [
    "CHECKSUM_SQL",
    "DATA_TABLES",
    "END_OF_TIME",
    "Row",
    "Storage",
    "backup",
    "load_engine",
    "open_storage",
    "physical_table",
    "restore",
]
