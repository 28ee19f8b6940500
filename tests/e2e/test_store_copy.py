"""A queue goes from a file into PostgreSQL and back, and real daemons: each mail is delivered once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, a_smarthost, eventually
from tests.support.ledger import rcpts_of
from tests.support.postgres import Server, needs_postgres
from tests.support.scripted_server import CLOSE

pytestmark = needs_postgres
_AWAY = "421 4.3.2 away"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def test_mail_that_waits_is_delivered_once(tmp_path: Path, server: Server) -> None:
    """From the copy; a daemon on the old store says where the queue went, and ends."""
    with a_smarthost({"GREETING": (_AWAY, CLOSE)}) as away, a_smarthost() as smarthost:
        daemon = Daemon(tmp_path, away.port, workers=1)
        file, database = f"sqlite:{daemon.queue}", server.url()
        in_file = {"store": file, "store_more": ""}
        in_server = {"store": database, "store_more": f'folder = "{tmp_path}/state"'}
        (tmp_path / "state").mkdir()
        wanted = [f"r{number}@x.test" for number in range(20)]
        try:
            daemon.up()
            for rcpt in wanted:
                daemon.send(rcpt)
            refused = daemon.run("store", "copy", file, database)
            assert refused.status == os.EX_UNAVAILABLE, refused.err
            daemon.stop()
            ran = daemon.run("store", "copy", file, database)
            assert ran.status == 0, ran.err
            assert "compared, and the same" in ran.out
            _is_refused(daemon, f"the queue went from {file} to postgresql:")

            daemon.write(smarthost=smarthost.port, **in_server)
            daemon.up()
            _arrive(daemon, wanted)
            daemon.send("later@x.test")
            _arrive(daemon, [*wanted, "later@x.test"])
            undone = daemon.run("store", "copy", "--undo", file, database)
            assert undone.status == os.EX_UNAVAILABLE, undone.err
            daemon.stop()
            undone = daemon.run("store", "copy", "--undo", file, database)
            assert "has been served since" in undone.err

            last = f"sqlite:{tmp_path}/last.db"
            ran = daemon.run("store", "copy", database, last)
            assert ran.status == 0, ran.err
            _is_refused(daemon, "the queue went from postgresql:")
            daemon.write(**(in_file | {"store": last}))
            daemon.up()
            daemon.send("last@x.test")
            _arrive(daemon, [*wanted, "later@x.test", "last@x.test"])
            daemon.stop()
        finally:
            daemon.close()
        arrived = [rcpt for message in smarthost.server.messages for rcpt in rcpts_of(message)]
        assert sorted(arrived) == sorted([*wanted, "later@x.test", "last@x.test"])


def _is_refused(daemon: Daemon, said: str) -> None:
    before = len(daemon.events("worker_ends"))
    daemon.start()
    assert daemon.end() == os.EX_CONFIG
    told = daemon.events("worker_ends")[before:]
    assert told
    assert all(one["reason"].startswith(said) for one in told), told


def _arrive(daemon: Daemon, wanted: list[str]) -> None:
    expected = dict.fromkeys(wanted, "relayed")
    eventually(lambda: daemon.statuses() == expected, f"{len(wanted)} mails arrive")
