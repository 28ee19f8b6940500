"""PostgreSQL that fails over to its standby, or is killed, again and again under load (F-40, F-44)."""

import os
import random  # noqa: TID251 -- seeded
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.support.outages import Found, Load, judge
from tests.support.postgres import Server, prepare
from tests.support.standby import a_pair

_BETWEEN = 100  # messages that are acknowledged between two events, at least
_BEHIND = 100  # by so many messages an asynchronous standby is behind


def fail_over_often(
    failovers: int, seed: int, *, is_synchronous: bool = True, seconds: float = 3600
) -> Found:
    """Stop the primary so often, promote the standby, rebuild the old one. For so long at the most.

    With `is_synchronous` off the standby is behind by some messages: the judge has to find them.
    """
    chance, ends_at = random.Random(seed), time.monotonic() + seconds
    done = rewound = 0
    with a_pair(is_synchronous=is_synchronous) as pair:
        prepare(pair.url)
        load = Load(pair.url)
        try:
            load.wait_for(_BETWEEN)
            while done < failovers and time.monotonic() < ends_at:
                if not is_synchronous:
                    pair.part()
                    load.wait_for(_BEHIND)
                time.sleep(chance.random() / 5)
                pair.fail_over()
                done += 1
                load.wait_for(_BETWEEN)
                if done < failovers:
                    rewound += pair.rebuild()
                    pair.join()
        finally:
            load.stop()
        found = judge(load.ledger, pair.primary)
    found.figures.update({"failovers": done, "rewound": rewound})
    return found


def kill_often(kills: int, seed: int, *, seconds: float = 3600) -> Found:
    """Kill all processes of a server so often, or one of them, of which it recovers by itself."""
    chance, ends_at = random.Random(seed), time.monotonic() + seconds
    done = 0
    server = Server()
    try:
        prepare(server.url())
        load = Load(server.url())
        try:
            while done < kills and time.monotonic() < ends_at:
                load.wait_for(_BETWEEN)
                time.sleep(chance.random() / 5)
                _kill(server, chance, is_whole=done % 2 == 0)
                done += 1
            load.wait_for(_BETWEEN)
        finally:
            load.stop()
        found = judge(load.ledger, server)
    finally:
        server.close()
    found.figures.update({"kills": done})
    return found


def _kill(server: Server, chance: random.Random, *, is_whole: bool) -> None:
    children = _children(server.pid)
    if not is_whole:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(children), signal.SIGKILL)
        return
    server.kill(signal.SIGKILL)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    server.start()


def _children(parent: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(process.name))
    return found
