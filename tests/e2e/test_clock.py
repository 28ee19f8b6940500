"""A daemon whose wall clock is set while it runs, and while it does not."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relayd.worker.system import SystemClock
from tests.support.daemon import Daemon, a_daemon, eventually
from tests.support.dns_server import Zones
from tests.support.internet import an_internet, rcpts_of
from tests.support.ports import free_port
from tests.support.scripted_server import InTurn, Script

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says by how much the wall clock is wrong; the monotonic one is left alone."""
    if not LIBRARIES:
        pytest.skip("needs libfaketime")
    file = tmp_path / "clock"
    file.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARIES[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return file


def is_off_by(daemon: Daemon, days: int) -> bool:
    """Whether the clock of the daemon was wrong by that when it last told something."""
    told = datetime.fromisoformat(daemon.log_lines()[-1]["ts"])
    return round((told - SystemClock().now()) / timedelta(days=1)) == days


def try_again(daemon: Daemon) -> str:
    """Have the one message tried once more; return its status after that."""
    before = daemon.rows()[0].attempts
    assert daemon.run("queue", "expedite", "--all").status == 0
    eventually(
        lambda: (row := daemon.rows()[0]).attempts > before and not row.leased, "it was tried again"
    )
    return daemon.rows()[0].status.value


def test_mail_of_seconds_ago_is_not_given_up(clock: Path, tmp_path: Path) -> None:
    """S-10, F-30, F-31: not after a jump, not after a downtime, not after a jump back."""
    with a_daemon(tmp_path, free_port()) as daemon:
        daemon.send("a@x.test")
        eventually(lambda: daemon.rows()[0].attempts, "it was tried")
        clock.write_text("+6d\n")
        assert try_again(daemon) == "deferred"
        eventually(lambda: is_off_by(daemon, 6), "the log is written a moment after the commit")
        assert daemon.stop() == 0
        clock.write_text("+40d\n")
        daemon.up()
        assert try_again(daemon) == "deferred"
        eventually(lambda: is_off_by(daemon, 40), "the time in the log")
        clock.write_text("-3650d\n")
        assert try_again(daemon) == "deferred"
        eventually(lambda: is_off_by(daemon, -3650), "the time in the log")


LISTED = "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org"


def test_mail_takes_the_fall_back_until_one_message_may_ask(clock: Path, tmp_path: Path) -> None:
    """Direct mode: what is refused because of our address goes by the smarthost for six hours."""
    script: Script = {"RCPT": InTurn(LISTED, "250 2.1.5 ok")}
    zones: Zones = {"x.test": {"MX": ["10 mx.x.test."]}, "mx.x.test": {"A": ["127.0.1.9"]}}

    def goes(daemon: Daemon, address: str, status: str) -> None:
        daemon.send(address)
        eventually(lambda: daemon.statuses().get(address) == status, f"{address} {status}")

    with (
        an_internet({"127.0.1.9": script}, zones, port=free_port()) as internet,
        a_daemon(
            tmp_path,
            internet.smarthost.port,
            remote="true",
            workers=1,  # another one would know a second later
            smarthost_more=f'{internet.settings}tls = "off"\n',
        ) as daemon,
    ):
        goes(daemon, "a@x.test", "relayed")
        goes(daemon, "b@x.test", "relayed")
        eventually(
            lambda: [each["mode"] for each in daemon.run("sites", "--json").rows] == ["blocked"],
            "noted a moment after the fall-back",
        )
        [shown] = daemon.run("sites", "show", "x.test", "--json").rows
        assert [each["domain"] for each in shown["fallbacks"]] == ["x.test"]
        host = internet.servers["127.0.1.9"]
        assert sum(line.startswith("RCPT") for line in host.dialog) == 1
        clock.write_text("+7h\n")
        goes(daemon, "c@x.test", "sent")
        eventually(
            lambda: daemon.run("sites", "--json").rows[0]["mode"] == "paced",
            "one message has asked",
        )
        assert rcpts_of(internet.smarthost) == ["a@x.test", "b@x.test"]
