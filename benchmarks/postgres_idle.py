"""What workers that have nothing to do ask of PostgreSQL: statements a second for each, by kind.

    python -m benchmarks.postgres_idle [--workers N] [--for SECONDS] [--nodes N] [--json]

A server of its own counts them (`pg_stat_statements`, from the Debian package postgresql), each BEGIN and COMMIT as well.
One relay or several with so many workers each have started some seconds before. The goal is two for each worker.
"""

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.mail import free_port
from benchmarks.peers import Relayd
from benchmarks.postgres_server import fresh, server
from tests.support.postgres import Server

SETTLED = 10.0  # seconds after the start, which asks more
_COUNTED = ("shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_utility=on")
_READ = (
    "SELECT s.calls, regexp_replace(s.query, '\\s+', ' ', 'g') FROM pg_stat_statements s"
    " JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = 'idle' AND s.query NOT LIKE '%pg_stat_statements%'"
    " ORDER BY s.calls DESC"
)
_SHOWN = 110  # characters of a statement


def main() -> None:
    arguments = _arguments()
    with server(*_COUNTED) as running, tempfile.TemporaryDirectory(prefix="relayd-bench-") as name:
        url = fresh(running, "idle")
        running.run("CREATE EXTENSION pg_stat_statements", "idle")
        with ExitStack() as stack:
            for number in range(arguments.nodes):
                relay = Relayd(Path(name) / f"node{number}", port=free_port(), sink=free_port())
                relay.url = url
                relay.top = f"workers = {arguments.workers}"
                relay.more = f'[cluster]\nnode = "node{number}"'
                relay.start()
                stack.callback(relay.stop)
            time.sleep(SETTLED)
            found = _count(running, arguments.seconds)
    workers = arguments.workers * arguments.nodes
    rates = {query: calls / arguments.seconds / workers for calls, query in found}
    total = round(sum(rates.values()), 2)
    if arguments.json:
        print(json.dumps({"statements_per_second_and_worker": total, "by_kind": rates}))
        return
    for query, rate in rates.items():
        print(f"{rate:8.3f}  {query[:_SHOWN]}")
    print(f"{total:8.2f}  in all, each second and worker")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=4, help="of each relay")
    parser.add_argument("--nodes", type=int, default=1, help="relays")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _count(running: Server, seconds: float) -> list[tuple[int, str]]:
    running.run("SELECT pg_stat_statements_reset()", "idle")
    time.sleep(seconds)
    return [
        (int(calls), query)
        for calls, query in (
            line.split("|", 1) for line in running.run(_READ, "idle").splitlines() if line
        )
    ]


if __name__ == "__main__":
    main()
