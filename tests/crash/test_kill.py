"""`kill -9` under load: nothing acknowledged is lost, nothing refused arrives (F-01)."""

import random  # noqa: TID251 -- seeded
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import apsw
import pytest

from relayd.policy.accounts.state import read
from relayd.ports.view import Query
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost, eventually
from tests.support.ledger import Fate, Load, judge, rcpts_of
from tests.support.scripted_server import Drip, Message

CONNECTIONS = 8  # to the smarthost, both workers together: that many transactions may be open
CLIENTS = 6
MESSAGES = 70  # each
ARCHIVE = "archive@x.test"
REWRITING = f"""
[senders."app.test"]
envelope_from = "relay@corp.test"
header_from = "relay@corp.test"
add_headers = {{ X-Stream = "crash" }}
always_bcc = ["{ARCHIVE}"]
"""
ADDED = b"X-Stream: crash\r\nFrom: relay@corp.test\r\n"
LIMITS = "messages_per_second = 300\nmessages_per_day = 100000"
PERMITS = 20  # that a worker may have booked ahead
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


def as_it_came(message: Message) -> Message:
    """Take back what REWRITING asks for, which is there, and there once."""
    assert message.mail.startswith("FROM:<relay@corp.test>")
    header, _, body = message.content.partition(b"\r\n\r\n")
    assert header.count(ADDED.strip()) == 1
    before = (header + b"\r\n").replace(ADDED, b"") + b"\r\n" + body
    rcpts = tuple(rcpt for rcpt in message.rcpts if ARCHIVE not in rcpt)
    return replace(message, content=before, rcpts=rcpts)


def number_of(message: Message) -> bytes:
    return message.content.partition(b"\r\nX-Number: ")[2].partition(b"\r\n")[0]


def verify_rewritten(
    daemon: Daemon, smarthost: SmarthostThread, load: Load, *, duplicates: int
) -> None:
    """As `verify`; and the archive has each message that anybody has."""
    eventually(lambda: drained(daemon), "the queue is empty", within=30)
    assert daemon.stop() == 0
    came = [as_it_came(message) for message in smarthost.messages]
    copies = [row for row in daemon.rows() if row.address == ARCHIVE]
    others = [row for row in daemon.rows() if row.address != ARCHIVE]
    judge(
        load.ledger,
        [message for message in came if message.rcpts],
        others,
        duplicates=duplicates,
    )
    archived = Counter(
        number_of(message) for message in smarthost.messages if ARCHIVE in rcpts_of(message)
    )
    assert set(archived) == {number_of(message) for message in came}
    assert len(copies) == len(archived)
    assert archived.total() - len(archived) <= duplicates


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


def counted(daemon: Daemon) -> int:
    """Return how many messages of the day the store has counted."""
    db = apsw.Connection(str(daemon.queue), flags=apsw.SQLITE_OPEN_READONLY)
    state = read(db.execute("SELECT state FROM permit WHERE account = 'smarthost'").get)
    db.close()
    return sum(used for _, used in state.counts["day"])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_and_then_all_are_killed_with_rewriting_and_limits(
    smarthost: SmarthostThread, tmp_path: Path, seed: int
) -> None:
    """Copies are as durable as the mail that they are of, and a second try gives the same octets.

    What was sent is counted, also that whose worker died; permits that it had booked are lost.
    """
    chance = random.Random(seed)
    with a_daemon(
        tmp_path,
        smarthost.port,
        connections=CONNECTIONS,
        more=REWRITING,
        smarthost_more=LIMITS,
    ) as daemon:
        load = Load(daemon.port, clients=CLIENTS, messages=MESSAGES, seed=seed)
        await_load(load, CLIENTS * MESSAGES // 4, chance)
        daemon.kill_worker(chance.choice("12"))
        eventually(lambda: replaced(daemon, 1), "replaced")
        await_load(load, CLIENTS * MESSAGES // 2, chance)
        daemon.kill()
        assert daemon.up() < 10
        load.join()
        open_at_deaths = CONNECTIONS // 2 + CONNECTIONS
        verify_rewritten(daemon, smarthost, load, duplicates=open_at_deaths)
        sent, workers_killed = len(smarthost.messages), 3
        assert sent <= counted(daemon) <= sent + open_at_deaths + workers_killed * PERMITS
