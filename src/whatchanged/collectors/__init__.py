"""Looking at a machine: collectors yield items and know no state."""

from whatchanged.collectors.outcome import Failure, Outcome, RunStatus, Skipped, Snapshot, joined

__all__ = ["Failure", "Outcome", "RunStatus", "Skipped", "Snapshot", "joined"]
