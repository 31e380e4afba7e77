import json
from pathlib import Path

import pytest

from whatchanged.records import reference
from whatchanged.records.columns import Column, ColumnType, Origin, Table
from whatchanged.records.ddl import column_definitions, column_type
from whatchanged.records.json_schema import json_schema
from whatchanged.records.kql_schema import kql_schema, table_schema
from whatchanged.records.tables import CONFIGURATION_CHANGE, CONFIGURATION_DATA, HEARTBEAT, TABLES, TRACKING_HEALTH

ROOT = Path(__file__).parents[3]


def test_the_committed_page_is_current() -> None:
    committed = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert committed == reference.page(), "run: python -m whatchanged.records.reference docs/tables.md"


def test_the_writer_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "tables.md"
    assert reference.main([str(target)]) == 0
    assert target.read_text(encoding="utf-8") == reference.page()
    assert reference.main([]) == 0
    assert capsys.readouterr().out == reference.page()
    assert reference.main(["a", "b"]) == 2


def test_every_column_stands_in_the_page() -> None:
    page = reference.page()
    for table in TABLES:
        assert f"## {table.name}\n" in page
    assert page.count("\n| `") == sum(len(table.columns) for table in TABLES)


def test_clickhouse_types() -> None:
    change = dict(column_definitions(CONFIGURATION_CHANGE))
    assert list(change) == list(CONFIGURATION_CHANGE.names)
    assert change["TimeGenerated"] == "DateTime64(7, 'UTC')"
    assert change["IngestedAt"] == "DateTime64(7, 'UTC')"
    assert change["PreviousSeen"] == "Nullable(DateTime64(7, 'UTC'))"
    assert change["Size"] == "Nullable(Int64)"
    assert change["Computer"] == "LowCardinality(String)"
    assert change["FileSystemPath"] == "String"
    assert change["_BilledSize"] == "Nullable(Float64)"
    heartbeat = dict(column_definitions(HEARTBEAT))
    assert heartbeat["IsGatewayInstalled"] == "Nullable(Bool)"
    assert heartbeat["ComputerPrivateIPs"] == "String"


@pytest.mark.parametrize("kind", ColumnType)
def test_every_type_can_be_stored_and_described(kind: ColumnType) -> None:
    column = Column("C", kind, "m | n")
    assert column_type(column)
    table = Table("T", "m", (column,), ())
    assert "C" in json_schema(table)["properties"]
    assert "m \\| n" in reference.page([table])


def test_kql_schema() -> None:
    schema = kql_schema()
    assert list(schema) == ["ConfigurationChange", "ConfigurationData", "Heartbeat", "TrackingHealth"]
    assert schema["ConfigurationData"]["Size"] == "long"
    assert schema["Heartbeat"]["ComputerPrivateIPs"] == "dynamic"
    assert list(table_schema(TRACKING_HEALTH)) == list(TRACKING_HEALTH.names)


def test_json_schema() -> None:
    schema = json_schema(CONFIGURATION_DATA)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["properties"]["SourceComputerId"]["readOnly"]
    assert schema["properties"]["Size"]["type"] == "integer"
    assert not schema["additionalProperties"]


def test_upstream_columns_stand_before_our_own() -> None:
    # Counts of the lists in the public Azure Monitor Logs reference, July 2024.
    for table, count in ((CONFIGURATION_CHANGE, 59), (CONFIGURATION_DATA, 41), (HEARTBEAT, 32), (TRACKING_HEALTH, 0)):
        origins = [column.origin for column in table.columns]
        assert origins == [Origin.UPSTREAM] * count + [Origin.OWN] * (len(origins) - count)
