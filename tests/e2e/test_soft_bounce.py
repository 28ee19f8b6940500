"""`soft_bounce = true` through the running daemon: nothing bounces while it is on, and it is no secret."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayd.policy.delivery.verdict import SPARED
from relayd.ports.view import Query, RecipientRow, Status
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost, eventually

SCRIPT = {"RCPT TO:<gone": "550 5.1.1 No such user"}


@pytest.fixture
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost(SCRIPT) as smarthost:
        yield smarthost


@pytest.fixture
def daemon(tmp_path: Path, smarthost: SmarthostThread) -> Iterator[Daemon]:
    on = "false\nsoft_bounce = true"
    with a_daemon(tmp_path, smarthost.port, remote=on, workers=1) as daemon:
        yield daemon
        assert daemon.stop() == 0


def the_row(daemon: Daemon, *statuses: Status) -> RecipientRow:
    def found() -> list[RecipientRow]:
        rows = daemon.rows(Query(recipient=("gone@x.test",)))
        return [row for row in rows if row.status in statuses and row.attempts > 1]

    [row] = eventually(found, f"it is {statuses}")
    return row


def test_what_would_bounce_waits_until_the_net_is_gone(
    daemon: Daemon, smarthost: SmarthostThread
) -> None:
    assert "soft_bounce: is on" in daemon.run("check").err
    [warned] = [
        each for each in daemon.events("settings_warning") if "soft_bounce" in each["reason"]
    ]
    assert warned["level"] == "warning"
    for command in (["status"], ["queue", "list"], ["top", "--once"]):
        assert "soft_bounce is on" in daemon.run(*command).err, command
    assert "soft_bounce" in daemon.run("doctor", "--quick").out
    daemon.send("gone@x.test")
    row = the_row(daemon, Status.DEFERRED)
    assert (row.code, row.suppress) == (550, False)
    assert (row.reason or "").startswith(f"{SPARED} (hard): ")
    assert smarthost.messages == [], "no report"
    with daemon.client() as client:
        client.ehlo()
        assert client.mail("app@app.test", ["SIZE=999999999"])[0] == 452
    daemon.write(remote="false")
    daemon.signal(signal.SIGHUP)
    row = the_row(daemon, Status.BOUNCED)
    assert (row.bounce_class, row.suppress) == ("hard", True)
    report = eventually(lambda: smarthost.messages, "a report")[0]
    assert b"gone@x.test" in report.content
    assert "soft_bounce" not in daemon.run("check").err
