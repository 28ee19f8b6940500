"""A disk without room: 452 at the dot, no ghost, and service by itself when there is room again.

Needs a small file system of its own, which only root may mount.
"""

import os
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import apsw
import pytest

from relayd.ports.view import Query
from tests.support.daemon import CEILING, Daemon, a_daemon, a_smarthost, eventually
from tests.support.disks import a_small_disk
from tests.support.old_queue import an_old_queue
from tests.support.ports import free_port
from tests.support.scraping import get, scrape
from tests.support.scripted_server import Drip

COMMANDS = (("status",), ("top", "--once", "--every", "0.1"), ("queue", "list"))
NOT_READY = "the disk of the queue is full: no new mail is taken"
SIZE = 16 * 1024 * 1024
LARGE = "Subject: large\r\n\r\n" + "x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 20_000  # 1.4 MB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    with a_small_disk(tmp_path, SIZE) as folder:
        yield folder


@contextmanager
def full(disk: Path, *, but: int = 0) -> Iterator[None]:
    """Fill the disk to the last octets, for the length of the block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while out.write(b"\0" * 4096):
                pass
        except OSError:
            pass
        out.truncate(out.tell() - but)
    try:
        yield
    finally:
        filler.unlink()


def submit(daemon: Daemon, address: str, content: str) -> tuple[int, bytes]:
    """Send one message; return the reply to its dot."""
    with daemon.client() as client:
        client.ehlo()
        code, text = client.mail("app@app.test")
        if code != 250:
            return code, text
        assert client.rcpt(address)[0] == 250
        return client.data(content)


def test_a_relay_starts_on_a_full_disk_and_serves_when_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    """F-61: not even its queue can be opened: who comes is told so, and no start limit of systemd is met."""
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, queue=disk / "queue.db", workers=1) as daemon,
    ):
        daemon.send("before@x.test")
        smarthost.received(1)
        assert daemon.stop() == 0
        ended = len(daemon.events("worker_ended"))
        with full(disk):
            daemon.up()
            [told] = eventually(lambda: daemon.events("store_away"), "it says why")
            assert told["reason"].startswith("the disk is full: ")
            with pytest.raises(smtplib.SMTPConnectError, match=r"421.*4\.3\.2"):
                daemon.client()
            ran = daemon.run("queue", "hold", "--all", "--yes")
            assert (ran.status, len(ran.err.splitlines())) == (os.EX_TEMPFAIL, 1)
        eventually(lambda: daemon.events("store_back"), "there is room again")
        daemon.send("after@x.test")
        smarthost.received(2)
        assert len(daemon.events("worker_ended")) == ended


def test_an_upgrade_waits_for_room(disk: Path, tmp_path: Path) -> None:
    """F-61: a step of the schema needs more than there is; what was done is kept."""
    an_old_queue(disk / "queue.db", schema=3)
    with (
        a_smarthost() as smarthost,
        ExitStack() as filled,
        closing(Daemon(tmp_path, smarthost.port, queue=disk / "queue.db", workers=1)) as daemon,
    ):
        filled.enter_context(full(disk, but=100_000))
        daemon.up()
        [told] = eventually(lambda: daemon.events("store_away"), "it says why")
        assert told["reason"].startswith("the disk is full: ")
        assert daemon.events("queue_upgrading")
        filled.close()
        eventually(lambda: daemon.events("store_back"), "there is room again")
        daemon.send("after@x.test")
        smarthost.received(2)  # with what waited in the old queue
        assert not daemon.events("worker_ended")


def test_no_room_is_452_and_leaves_nothing_behind(disk: Path, tmp_path: Path) -> None:
    """F-11, F-13."""
    with a_smarthost() as smarthost:
        with a_daemon(tmp_path, smarthost.port, queue=disk / "queue.db") as daemon:
            daemon.send("before@x.test")
            smarthost.received(1)
            eventually(lambda: daemon.statuses() == {"before@x.test": "relayed"}, "relayed")
            with full(disk):
                for number in range(5):
                    code, text = submit(daemon, f"refused{number}@x.test", LARGE)
                    assert (code, text[:6]) == (452, b"4.3.1 ")
                assert set(daemon.statuses()) == {"before@x.test"}, "no ghost"
                assert not daemon.events("worker_ended")
            eventually(lambda: submit(daemon, "after@x.test", LARGE)[0] == 250, "room again")
            eventually(lambda: daemon.statuses().get("after@x.test") == "relayed", "relayed")
            assert daemon.stop() == 0
        assert sorted(smarthost.rcpts) == ["after@x.test", "before@x.test"]
    db = apsw.Connection(str(disk / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("PRAGMA integrity_check").get == "ok"
    db.close()


def test_the_last_room_is_for_what_we_have(disk: Path, tmp_path: Path) -> None:
    """F-10, F-13: new mail is refused at MAIL, queued mail goes out, and service comes back."""
    port, http = free_port(), free_port()  # nobody is there yet
    metrics = f'[metrics]\naddress = "127.0.0.1:{http}"'
    with a_daemon(tmp_path, port, queue=disk / "queue.db", more=metrics) as daemon:
        assert get(http, "/readyz") == (200, "ok\n")
        daemon.send("before@x.test")
        with full(disk, but=SIZE // 25), a_smarthost(port=port) as smarthost:

            def mail() -> int:
                with daemon.client() as client:
                    client.ehlo()
                    return client.mail("app@app.test")[0]

            eventually(lambda: mail() == 452, "refused at MAIL")
            eventually(lambda: smarthost.rcpts == ["before@x.test"], "the queue drains")
            assert daemon.events("disk_full")
            eventually(lambda: get(http, "/readyz") == (503, f"{NOT_READY}\n"), "not ready")
            assert get(http, "/healthz")[0] == 200
            assert scrape(http).value("relayd_disk_full")
            for command in COMMANDS:
                assert NOT_READY in daemon.run(*command).err, command
        eventually(lambda: get(http, "/readyz")[0] == 200, "ready")
        eventually(lambda: mail() == 250, "there is room again")
        assert not daemon.events("deliveries_paused")


def test_results_wait_for_room_and_nothing_is_sent_twice(disk: Path, tmp_path: Path) -> None:
    """F-12: the disk fills up while messages are under way."""
    http = free_port()
    metrics = f'[metrics]\naddress = "127.0.0.1:{http}"'
    slow = {"DOT": Drip("250 2.0.0 taken", 0.03)}  # time to fill the disk behind our dot
    recipients = [f"u{number}@x.test" for number in range(6)]
    with a_smarthost(slow) as smarthost:
        queue = disk / "queue.db"
        with a_daemon(tmp_path, smarthost.port, queue=queue, more=metrics) as daemon:
            for recipient in recipients:
                daemon.send(recipient)
            smarthost.received(1)
            with full(disk):
                eventually(lambda: daemon.events("deliveries_paused"), "paused")
                sent = len(smarthost.messages)
                assert submit(daemon, "refused@x.test", LARGE)[0] == 452
                eventually(lambda: "results cannot be" in get(http, "/readyz")[1], "not ready")
                assert scrape(http).value("relayd_store_failing")
                for command in COMMANDS:
                    assert "the store fails: " in daemon.run(*command).err, command
                assert len(smarthost.messages) <= sent + 20, "no new attempts"
            eventually(lambda: not daemon.rows(Query(unfinished=True)), "recorded", within=CEILING)
            assert daemon.events("deliveries_resumed")
            assert daemon.statuses() == dict.fromkeys(recipients, "relayed")
            assert daemon.stop() == 0
        assert sorted(smarthost.rcpts) == recipients, "each once"
