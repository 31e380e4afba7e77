from whatchanged.records.tables import CONFIGURATION_CHANGE, TABLES


def test_column_names_are_unique() -> None:
    for table in TABLES:
        assert len(set(table.names)) == len(table.names)
    assert CONFIGURATION_CHANGE["TimeGenerated"].type == "datetime"
