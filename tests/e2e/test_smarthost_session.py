"""The daemon and a smarthost whose sessions are out of the ordinary."""

from pathlib import Path

import pytest

from tests.support.certificates import untrusted_context
from tests.support.daemon import a_daemon, a_smarthost, eventually
from tests.support.scripted_server import HANG, Action, InTurn, Raw, Script


def test_tls_from_the_first_octet(tmp_path: Path) -> None:
    """To this machine with any certificate; the history says over which TLS."""
    with (
        a_smarthost(tls=untrusted_context("127.0.0.1")) as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_tls="implicit") as daemon,
    ):
        queue_id = daemon.send("a@x.test")
        [message] = smarthost.received(1)
        assert message.tls
        eventually(lambda: daemon.statuses() == {"a@x.test": "relayed"}, "relayed")
        assert "tls TLSv1.3" in daemon.run("status", "show", queue_id).out


def test_a_smarthost_that_does_not_greet(tmp_path: Path) -> None:
    """As one on port 465 that waits for TLS: the row says so long before the time is up."""
    with (
        a_smarthost({"GREETING": HANG}) as smarthost,
        a_daemon(tmp_path, smarthost.port, smarthost_tls="verify") as daemon,
    ):
        queue_id = daemon.send("a@x.test")
        words = f"127.0.0.1 [127.0.0.1]:{smarthost.port}, waiting for its greeting"
        eventually(lambda: words in daemon.run("status", "show", queue_id).out, words)


@pytest.mark.parametrize("offers", [["PIPELINING"], []], ids=["pipelined", "stepwise"])
def test_too_many_messages_for_one_session(tmp_path: Path, offers: list[str]) -> None:
    """S-15: the second message goes over a fresh connection, as its first attempt."""
    over = "503 5.5.0 too many messages in this session"
    script: Script = {"EHLO": offers, "MAIL": InTurn("250 ok", over, "250 ok")}
    with (
        a_smarthost(script) as smarthost,
        a_daemon(tmp_path, smarthost.port, workers=1, connections=1) as daemon,
    ):
        for number in (1, 2):
            daemon.send(f"{number}@x.test")
            smarthost.received(number)
        eventually(lambda: set(daemon.statuses().values()) == {"relayed"}, "both relayed")
        assert {row.attempts for row in daemon.rows()} == {1}
        assert [message.connection for message in smarthost.messages] == [1, 2]


@pytest.mark.parametrize(
    ("dot", "status"),
    [
        (("250 ok", "221 bye"), "relayed"),
        (("250 ok", Raw(b"\r\n")), "relayed"),
        (("550 5.1.1 no such user", "221 bye"), "bounced"),
        (("451 4.3.0 later", "221 bye"), "deferred"),
        ("221 bye", "deferred"),
    ],
)
def test_the_first_complete_reply_counts(tmp_path: Path, dot: Action, status: str) -> None:
    """A-46: one copy, and a refusal is one; 221 in place of an answer leaves the outcome unknown."""
    more = "[bounces]\ndsn = false\n"
    with (
        a_smarthost({"DOT": dot}) as smarthost,
        a_daemon(tmp_path, smarthost.port, more=more) as daemon,
    ):
        daemon.send("a@x.test")
        smarthost.received(1)
        [row] = eventually(
            lambda: [row for row in daemon.rows() if row.status.value == status], status
        )
        assert row.possible_duplicate == (dot == "221 bye")
        if status != "deferred":
            assert len(smarthost.messages) == 1
