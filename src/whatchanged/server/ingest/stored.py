"""What is on disk of a range of sequences of one machine, stream and epoch."""

from __future__ import annotations

from whatchanged.records.streams import DataType
from whatchanged.server.storage import Storage, physical_table

__all__ = ["StoredRows"]


class StoredRows:
    """Looks them up; blocking."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def digests(
        self, machine: str, stream: DataType, name: str, epoch: str, first: int, last: int
    ) -> dict[int, set[str]]:
        """Return the digests stored for each sequence of the stream `name` in the table of `stream`."""
        rows = self._storage.query(
            "SELECT _Sequence AS sequence, groupUniqArray(_Digest) AS digests "  # noqa: S608 - constants of ours
            f"FROM {physical_table(stream)} WHERE {_RANGE} GROUP BY _Sequence",
            _range(machine, name, epoch, first, last),
        )
        return {int(row["sequence"]): set(row["digests"]) for row in rows}

    def has_request(self, sender: str, stream: DataType, request: str) -> bool:
        """Say whether rows of this request of a sender are stored; looks a week back."""
        rows = self._storage.query(
            f"SELECT 1 AS found FROM {physical_table(stream)} WHERE IngestedAt > now() - INTERVAL 7 DAY "  # noqa: S608
            "AND SourceComputerId = {sender:String} AND _Request = {request:String} LIMIT 1",
            {"sender": sender, "request": request},
        )
        return bool(rows)

    def unaccounted(
        self, machine: str, stream: DataType, name: str, epoch: str, first: int, last: int
    ) -> list[tuple[int, int]]:
        """Return the ranges of which neither a row nor a gap record is stored."""
        # Every span is compared with the furthest end before it; one behind the range closes it.
        rows = self._storage.query(
            "SELECT reached + 1 AS first, begin - 1 AS last FROM (SELECT begin, max(end) OVER "  # noqa: S608
            "(ORDER BY begin, end ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached FROM ("
            f"SELECT _Sequence AS begin, _Sequence AS end FROM {physical_table(stream)} WHERE {_RANGE} "
            "UNION ALL SELECT toUInt64(assumeNotNull(FirstSequence)), toUInt64(assumeNotNull(LastSequence)) "
            "FROM TrackingHealth WHERE SourceComputerId = {machine:String} AND Stream = {stream:String} "
            "AND Epoch = {epoch:String} AND Component = 'Server' AND Reason = 'Gap' AND Status = 'Error' "
            "AND LastSequence >= {first:UInt64} AND FirstSequence <= {last:UInt64} "
            "UNION ALL SELECT toUInt64(arrayJoin([{first:UInt64} - 1, {last:UInt64} + 1])) AS x, x)"
            ") WHERE reached >= {first:UInt64} - 1 AND begin > reached + 1 ORDER BY first",
            _range(machine, name, epoch, first, last),
        )
        return [(int(row["first"]), int(row["last"])) for row in rows]


_RANGE = (
    "SourceComputerId = {machine:String} AND _Stream = {stream:String} AND _Epoch = {epoch:String} "
    "AND _Sequence BETWEEN {first:UInt64} AND {last:UInt64}"
)


def _range(machine: str, stream: str, epoch: str, first: int, last: int) -> dict[str, str | int]:
    return {"machine": machine, "stream": stream, "epoch": epoch, "first": first, "last": last}
