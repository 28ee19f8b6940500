"""How fast an account at a smarthost is used: within the limits of the settings, and by its server's replies."""

import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, a_daemon, a_smarthost, eventually
from tests.support.scripted_server import Action, InTurn, Script

TOO_FAST = "454 Throttling failure: Maximum sending rate exceeded."


class Limited(InTurn):
    """Takes `rate` messages a second, `size` of them at once; notes when."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size, self._left = rate, size, size
        self._at = time.monotonic()
        self.taken: list[float] = []
        self.refused: list[float] = []

    def next(self) -> Action:
        now = time.monotonic()
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self.refused.append(now)
            return TOO_FAST
        self._left -= 1
        self.taken.append(now)
        return "250 2.0.0 ok"


def send(relay: Daemon, count: int) -> None:
    with relay.client() as client:
        for number in range(count):
            client.sendmail("app@app.test", [f"r{number}@x.test"], "Subject: x\r\n\r\nx\r\n")


@pytest.mark.timeout(150)
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_the_rate_of_the_settings_holds_over_all_workers(tmp_path: Path, seconds: int) -> None:
    """Two workers share it; no second has more than it and one, and hardly any of it is left unused."""
    server = Limited(rate=1000, size=1000)
    more = "messages_per_second = 20"
    with (
        a_smarthost({"DOT": server}) as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_more=more) as relay,
    ):
        assert relay.run("pause", "all", "--delivery").status == 0
        for _ in range(2):  # by both workers, as they share their clients
            send(relay, 10 * seconds)
        assert relay.run("resume", "all").status == 0
        count = 20 * seconds
        eventually(lambda: len(smarthost.messages) >= count, "all are sent", within=100)
        for begin, end in zip(server.taken, server.taken[22:], strict=False):
            assert end - begin >= 0.9, "on the way they may come a little closer"
        assert server.taken[-1] - server.taken[0] < seconds * 1.3
        assert not server.refused


def test_a_quota_of_the_day_is_told_with_its_end(tmp_path: Path) -> None:
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_more="messages_per_day = 3") as relay,
    ):
        send(relay, 5)
        smarthost.received(3)
        eventually(
            lambda: "its 3 messages of the day are sent" in relay.run("status").err, "it is told"
        )
        assert len(smarthost.messages) == 3
        waiting = [row for row in relay.rows() if row.status.value == "queued"]
        assert len(waiting) == 2, "uncounted"
        assert {row.attempts for row in waiting} <= {0, 1}


def test_messages_of_one_connection_and_recipients_of_one_message(tmp_path: Path) -> None:
    more = "messages_per_connection = 2\nrecipients_per_message = 3"
    with (
        a_smarthost() as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_more=more, workers=1) as relay,
    ):
        relay.send(*(f"r{number}@x.test" for number in range(8)))
        smarthost.received(3)
        assert sorted(len(message.rcpts) for message in smarthost.messages) == [2, 3, 3]
        by_connection = [message.connection for message in smarthost.messages]
        assert max(by_connection.count(each) for each in by_connection) <= 2


def test_a_server_that_says_too_fast_is_given_less(tmp_path: Path) -> None:
    """R44, R46: one line says so, the rest waits uncounted, and the pace follows."""
    server = Limited(rate=8, size=8)
    with (
        a_smarthost({"DOT": server}) as smarthost,
        a_daemon(tmp_path, smarthost.port) as relay,
    ):
        send(relay, 60)
        eventually(lambda: len(server.taken) >= 60, "all are taken", within=90)
        eventually(lambda: set(relay.statuses().values()) == {"relayed"}, "relayed", within=30)
        first = server.refused[0]
        later = [at for at in server.refused if at > first + 1]
        assert len(later) <= 4, "hardly anything is tried in vain"
        [told] = relay.events("slowed_down")
        assert told["destination"] == "smarthost"
        assert TOO_FAST in told["reason"]


def test_a_server_that_refuses_everything_is_left_alone(tmp_path: Path) -> None:
    server = Limited(rate=0, size=0)
    with (
        a_smarthost({"DOT": server}) as smarthost,
        a_daemon(tmp_path, smarthost.port) as relay,
    ):
        send(relay, 100)
        eventually(lambda: "too fast" in relay.run("status").err, "it is told")
        time.sleep(5)  # what would go meanwhile would be in vain
        assert len(server.refused) <= 30, "those under way, and one or two more"
        assert not {"bounced", "relayed"} & set(relay.statuses().values())


def test_one_mail_that_a_server_does_not_want_now_slows_no_other(tmp_path: Path) -> None:
    """What it says may be about that mail; two of them in a row have to show it."""
    script: Script = {"DOT": InTurn("250 ok", TOO_FAST, "250 ok", TOO_FAST, "250 ok")}
    with a_smarthost(script) as smarthost, a_daemon(tmp_path, smarthost.port, workers=1) as relay:
        for number in range(6):
            relay.send(f"r{number}@x.test")
        smarthost.received(6)
        assert not relay.events("slowed_down")
        assert "too fast" not in relay.run("status").err


@pytest.mark.parametrize(
    "line",
    [
        "messages_per_second = 0",
        "messages_per_second = -1",
        'messages_per_day = "many"',
        "recipients_per_message = 0",
    ],
)
def test_no_limit_is_less_than_none(line: str, tmp_path: Path) -> None:
    relay = Daemon(tmp_path, 2500, smarthost_more=line)
    checked = relay.run("check")
    assert checked.status == 78
    assert line.partition(" ")[0] in checked.err
