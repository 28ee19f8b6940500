"""A PostgreSQL server of its own for a benchmark: as its package sets it up, each commit synced, and what it costs.

It runs on the same disk as a queue file would, and is gone with the process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import Server

# The defaults of PostgreSQL 15, where those of the tests are others.
_DEFAULTS = ("shared_buffers=128MB", "autovacuum=on", "max_connections=100")
_TICK = os.sysconf("SC_CLK_TCK")


@contextmanager
def server(*settings: str) -> Iterator[Server]:
    """Run a server; `settings`, as `name=value`, are on top of the defaults."""
    running = Server(*_DEFAULTS, *settings)
    try:
        yield running
    finally:
        running.close()


def fresh(running: Server, name: str) -> str:
    """Return the URL of a new database; one of that name before is gone."""
    running.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    running.run(f"CREATE DATABASE {name}")
    return running.url(name)


def seconds(running: Server) -> float:
    """Return the processor time of all processes of the server, those that ended included."""
    root = running.pid
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if process.name == str(root):
            ticks += sum(map(int, fields[11:15]))  # with its children that ended
        elif int(fields[1]) == root:
            ticks += sum(map(int, fields[11:13]))
    return ticks / _TICK
