"""`python -m benchmarks [name …]`: measure, print ratios. Without a name: everything.

Names: scan, ingestion, latency, idle, upgrade, unpack, compile, query, registry, portal.

make bench ARGS="scan --tree /usr --rounds 1"
make bench ARGS="ingestion --machines 1000 --rows 200"
make bench ARGS="query --table-rows 2000000"
make bench ARGS="portal --portal-data /var/tmp/large"
"""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import argparse

from benchmarks import cost, ingestion, portal, questions, registry, scan, watching
from benchmarks.table import Measure, show

_NAMES = ("scan", "ingestion", "latency", "idle", "upgrade", "unpack", "compile", "query", "registry", "portal")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(_NAMES)}; all if none is given")
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many counts (default 2)")
    parser.add_argument("--tree", default="/usr/share", help="folder to scan (default /usr/share)")
    parser.add_argument("--threads", type=int, default=2, help="hashing threads, ours and the peers' (default 2)")
    parser.add_argument("--no-aide", action="store_true", help="leave AIDE out")
    parser.add_argument("--machines", type=int, default=1000, help="machines that upload at once (default 1000)")
    parser.add_argument("--rows", type=int, default=100, help="rows in a body (default 100)")
    parser.add_argument("--bodies", type=int, default=2, help="bodies of each machine and round (default 2)")
    parser.add_argument("--changes", type=int, default=1000, help="changes whose way is timed (default 1000)")
    parser.add_argument("--files", type=int, default=100_000, help="files that are watched (default 100000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to idle (default 60)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs with and without us (default 10)")
    parser.add_argument("--table-rows", type=int, default=10_000_000, help="rows that are asked (default 10000000)")
    parser.add_argument("--members", type=int, default=64_000, help="files in the archive to unpack (default 64000)")
    parser.add_argument("--portal-machines", type=int, default=10_000, help="machines of the portal (default 10000)")
    parser.add_argument("--portal-changes", type=int, default=1_000_000, help="their changes (default 1000000)")
    parser.add_argument("--portal-data", default="", help="keep what was made for the portal here, and use it again")
    options = parser.parse_args()
    if unknown := set(options.names) - set(_NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}")
    sizes = (options.rounds, options.threads, options.machines, options.rows, options.bodies, options.table_rows)
    if min(sizes) < 1:
        parser.error("sizes begin at 1")
    names = options.names or _NAMES
    measures: list[Measure] = []
    notes: list[str] = []
    if "scan" in names:
        found, said = scan.measure(options.tree, options.threads, options.rounds, aide=not options.no_aide)
        measures += found
        notes += said
    if "ingestion" in names:
        measures += ingestion.measure(options.machines, options.rows, options.bodies, options.rounds)
    if "latency" in names:
        measures += watching.latency(options.changes, options.files)
    if "idle" in names:
        measures += watching.idle(options.files, options.seconds)
    if "upgrade" in names:
        measures += cost.upgrade(options.pairs)
    if "unpack" in names:
        measures += cost.unpack(options.pairs, options.members)
    if "compile" in names:
        measures += questions.compilation(options.pairs)
    if "query" in names:
        measures += questions.answers(options.table_rows, options.pairs)
    if "registry" in names:
        found, said = registry.latency(options.changes)
        measures += found
        notes += said
    if "portal" in names:
        measures += portal.measure(options.portal_data, options.portal_machines, options.portal_changes)
    show(measures, notes)


if __name__ == "__main__":
    main()
