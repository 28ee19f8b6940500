"""Queue ids of a running relay whose queue has seen more workers than an id can tell apart."""

import socket
from contextlib import closing
from pathlib import Path

import apsw

from relayd.mail.ids import bits_of, parse_id, worker_bits_of
from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually


def opened(queue: Path) -> apsw.Connection:
    """Open the queue of a running relay, and wait for its writers as it does itself."""
    db = apsw.Connection(str(queue))
    db.set_busy_timeout(10_000)
    return db


def workers_of(daemon: Daemon) -> dict[str, int]:
    """Return the numbers of those that may be alive, by name."""
    with closing(opened(daemon.queue)) as db:
        [node] = db.execute("SELECT DISTINCT node FROM worker").fetchall()
        assert node == (socket.gethostname(),)
        return dict(db.execute("SELECT name, number FROM worker"))


def test_a_worker_that_comes_back_makes_no_ids_of_a_living_one(tmp_path: Path) -> None:
    """While one worker lived on, its neighbour was replaced 511 times; now it is once more."""
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port, workers=2) as daemon:
        before = workers_of(daemon)
        with closing(opened(daemon.queue)) as db:
            db.execute(
                "UPDATE sqlite_sequence SET seq = ? WHERE name = 'worker'", (before["1"] + 511,)
            )
        daemon.kill_worker("2")
        eventually(lambda: workers_of(daemon)["2"] != before["2"], "another worker has come")
        assert workers_of(daemon) == {"1": before["1"], "2": before["1"] + 513}
        bits = {bits_of(number) for number in workers_of(daemon).values()}
        made: set[int] = set()

        def both_have_made_one() -> bool:
            made.add(worker_bits_of(parse_id(daemon.send("someone@x.test"))))
            return made >= bits

        eventually(both_have_made_one, "mail through both workers")
        assert made == bits
