"""Counters of the server in Prometheus' text format. Labels come from closed sets, so that they stay bounded."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

__all__ = ["Metrics", "Sample", "render"]

Sample = tuple[str, str, str, Iterable[tuple[Mapping[str, str], float]]]
"""Name, type, help, and (labels, value) pairs."""


class Metrics:
    """Counters; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._rows: dict[tuple[str, str], int] = defaultdict(int)
        self._bytes = 0

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is the template of the path."""
        with self._lock:
            self._requests[route, method, status] += 1
            self._seconds[route, method] += seconds

    def ingested(self, stream: str, rows: int, duplicates: int, size: int) -> None:
        """Count a stored batch of `size` bytes on the wire."""
        with self._lock:
            self._rows[stream, "stored"] += rows
            self._rows[stream, "duplicate"] += duplicates
            self._bytes += size

    def samples(self) -> list[Sample]:
        """Return every counter."""
        with self._lock:
            requests = [
                ({"route": route, "method": method, "status": str(status)}, float(count))
                for (route, method, status), count in self._requests.items()
            ]
            seconds = [({"route": r, "method": m}, value) for (r, m), value in self._seconds.items()]
            rows = [({"stream": s, "outcome": o}, float(count)) for (s, o), count in self._rows.items()]
            size = float(self._bytes)
        return [
            ("whatchanged_http_requests_total", "counter", "Answered requests", requests),
            ("whatchanged_http_request_seconds_total", "counter", "Time spent on requests", seconds),
            ("whatchanged_ingested_rows_total", "counter", "Rows taken from machines", rows),
            ("whatchanged_ingested_bytes_total", "counter", "Bytes taken from machines, as sent", [({}, size)]),
        ]


def render(samples: Iterable[Sample]) -> str:
    """Return the text exposition format 0.0.4."""
    lines: list[str] = []
    for name, kind, explanation, values in samples:
        lines += (f"# HELP {name} {explanation}", f"# TYPE {name} {kind}")
        for labels, value in values:
            inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            # repr: six digits, as of :g, would let a counter of bytes stand still and then jump.
            lines.append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
