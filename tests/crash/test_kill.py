"""`kill -9` under load: nothing acknowledged is lost, nothing refused arrives (F-01)."""

import random  # noqa: TID251 -- seeded
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from relayd.ports.view import Query
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost, eventually
from tests.support.ledger import Fate, Load, judge
from tests.support.scripted_server import Drip

CONNECTIONS = 8  # to the smarthost, both workers together: that many transactions may be open
CLIENTS = 6
MESSAGES = 70  # each
SLOW = pytest.mark.slow
SEEDS = [1, pytest.param(2, marks=SLOW), pytest.param(3, marks=SLOW), pytest.param(4, marks=SLOW)]


@pytest.fixture
def smarthost() -> Iterator[SmarthostThread]:
    """It takes its time to answer the dot, so that a fault finds open transactions."""
    with a_smarthost({"DOT": Drip("250 ok", 0.002)}) as smarthost:
        yield smarthost


@pytest.fixture
def daemon(smarthost: SmarthostThread, tmp_path: Path) -> Iterator[Daemon]:
    with a_daemon(tmp_path, smarthost.port, connections=CONNECTIONS) as daemon:
        yield daemon


def drained(daemon: Daemon) -> bool:
    return not daemon.rows(Query(unfinished=True))


def await_load(load: Load, wanted: int, chance: random.Random) -> None:
    """Return at some instant after so many messages, not always right behind an answer."""
    eventually(lambda: load.acked() >= wanted, f"{wanted} messages")
    time.sleep(chance.random() / 50)


def replaced(daemon: Daemon, killed: int) -> bool:
    return len(daemon.events("worker_ready")) == 2 + killed


def verify(daemon: Daemon, smarthost: SmarthostThread, load: Load, *, duplicates: int) -> None:
    eventually(lambda: drained(daemon), "the queue is empty", within=30)
    assert daemon.stop() == 0
    judge(load.ledger, smarthost.messages, daemon.rows(), duplicates=duplicates)
    assert load.acked() > CLIENTS * MESSAGES / 2, "the relay took mail most of the time"
    told = {row["rcpt"]: row["status"] for row in daemon.status()}
    assert set(told) == set(smarthost.rcpts)
    db = apsw.Connection(str(daemon.queue), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("PRAGMA integrity_check").get == "ok"
    db.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_is_killed(daemon: Daemon, smarthost: SmarthostThread, seed: int) -> None:
    """The supervisor starts another one; the other worker goes on meanwhile."""
    chance = random.Random(seed)
    load = Load(daemon.port, clients=CLIENTS, messages=MESSAGES, seed=seed)
    kills = 2
    for number in range(1, kills + 1):
        await_load(load, number * CLIENTS * MESSAGES // 4, chance)
        daemon.kill_worker(chance.choice("12"))
        eventually(partial(replaced, daemon, number), "replaced")
    load.join()
    verify(daemon, smarthost, load, duplicates=kills * CONNECTIONS // 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_whole_daemon_is_killed(daemon: Daemon, smarthost: SmarthostThread, seed: int) -> None:
    """Supervisor and workers at once; the next start needs no help."""
    chance = random.Random(seed)
    load = Load(daemon.port, clients=CLIENTS, messages=MESSAGES, seed=seed)
    kills = 2
    for number in range(1, kills + 1):
        await_load(load, number * CLIENTS * MESSAGES // 4, chance)
        daemon.kill()
        assert daemon.up() < 10
    load.join()
    assert load.ledger.of(Fate.UNKNOWN) or load.ledger.of(Fate.SENT), "it hit something"
    verify(daemon, smarthost, load, duplicates=kills * CONNECTIONS)
