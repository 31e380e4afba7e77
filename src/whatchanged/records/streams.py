"""Streams: the data types under which records travel, and their names in rules.

Upstream names as recorded from the public agents; `TRACKING_HEALTH` is ours.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RULE_STREAMS", "DataType", "data_type"]


class DataType(StrEnum):
    """Data type of a stream; it names the stream on the wire, on disk and in sequences."""

    CONFIG_CHANGE = "CONFIG_CHANGE_BLOB"
    CONFIG_CHANGE_V2 = "CONFIG_CHANGE_BLOB_V2"
    CONFIG_DATA_V2 = "CONFIG_DATA_BLOB_V2"
    HEALTH_ASSESSMENT = "HEALTH_ASSESSMENT_BLOB"
    TRACKING_HEALTH = "TRACKING_HEALTH"


RULE_STREAMS: dict[str, DataType] = {
    "Microsoft-ConfigurationChange": DataType.CONFIG_CHANGE,
    "Microsoft-ConfigurationChangeV2": DataType.CONFIG_CHANGE_V2,
    "Microsoft-ConfigurationData": DataType.CONFIG_DATA_V2,
    "Microsoft-Heartbeat": DataType.HEALTH_ASSESSMENT,
    "Whatchanged-TrackingHealth": DataType.TRACKING_HEALTH,
}
"""Stream name as a data collection rule writes it → data type."""


def data_type(stream: str) -> DataType | None:
    """Return the data type of a stream named either way (case ignored), or None if it is not ours."""
    wanted = stream.lower()
    for name, value in RULE_STREAMS.items():
        if wanted in (name.lower(), value.lower()):
            return value
    return None
