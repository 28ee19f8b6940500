"""Pause rules and drain in a running relay with two workers."""

import contextlib
import io
import smtplib
from collections.abc import Iterator

import pytest

from relayd.cli.command import run
from tests.support.daemon import (
    CONTENT,
    Daemon,
    Ran,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
)
from tests.support.pointers import without_pointers

TAGGED = "X-Relayd-Tag: news\r\n" + CONTENT


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost() as server:
        yield server


@pytest.fixture(scope="module")
def running(
    smarthost: SmarthostThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    with a_daemon(tmp_path_factory.mktemp("relay"), smarthost.port) as daemon:
        yield daemon


@pytest.fixture
def relay(running: Daemon) -> Iterator[Daemon]:
    yield running
    assert relayd(running, "resume", "all").status == 0


def relayd(relay: Daemon, *arguments: str) -> Ran:
    """Run a command in this process: a subprocess each takes longer than what it does."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(["-c", str(relay.file), *arguments])
    return Ran(status=status, out=out.getvalue(), err=without_pointers(err.getvalue())[0])


def arrives(smarthost: SmarthostThread, address: str) -> bool:
    return eventually(lambda: address in smarthost.rcpts, f"{address} was delivered")


INTAKE = (  # what is paused, the command that is refused, and mail that is taken all the same
    (("all",), "mail", None),
    (("--sender", "Shop@app.test"), "mail", ("app@app.test", "a@x.test", CONTENT)),
    (("--domain", "X.test"), "rcpt", ("shop@app.test", "a@y.test", CONTENT)),
    (("--destination", "smarthost"), "rcpt", None),
    (("--tag", "News"), "data", ("shop@app.test", "a@x.test", CONTENT)),
    (("--user", "shop"), "", ("shop@app.test", "a@x.test", CONTENT)),
)


@pytest.mark.parametrize(("paused", "command", "taken"), INTAKE)
def test_intake_answers_450_with_the_reason_at_the_first_command_that_tells(
    relay: Daemon, paused: tuple[str, ...], command: str, taken: tuple[str, str, str] | None
) -> None:
    """On each listener and in each worker, from the moment that the command has returned."""
    assert relayd(relay, "pause", *paused, "--intake", "--reason", "moving house").status == 0
    for _ in range(4):
        with relay.client() as client:
            client.ehlo()
            replies = {"mail": client.mail("shop@app.test")}
            if command != "mail":
                replies["rcpt"] = client.rcpt("a@x.test")
            if command not in ("mail", "rcpt"):
                replies["data"] = client.data(TAGGED)
        refused = replies.pop(command, None)
        if refused is not None:
            assert refused == (450, b"4.3.2 Paused: moving house")
        assert all(code == 250 for code, _ in replies.values()), replies
    if taken is not None:
        sender, to, content = taken
        relay.send(to, content=content, sender=sender)
    assert relayd(relay, "resume", *paused).status == 0
    relay.send("a@x.test", content=TAGGED, sender="shop@app.test")


def test_a_transaction_that_began_before_is_refused_at_its_end(relay: Daemon) -> None:
    with relay.client() as client:
        client.ehlo()
        client.mail("shop@app.test")
        client.rcpt("a@x.test")
        relayd(relay, "pause", "--sender", "shop@app.test", "--intake")
        assert client.data(CONTENT) == (450, b"4.3.2 Paused, try again later")
        client.mail("app@app.test")
        client.rcpt("b@x.test")
        assert client.data(CONTENT)[0] == 250, "the session goes on"


def test_pipelined_commands_each_have_their_reply(relay: Daemon) -> None:
    relayd(relay, "pause", "--sender", "shop@app.test", "--intake")
    with relay.client() as client:
        client.ehlo()
        client.send("MAIL FROM:<shop@app.test>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n")
        codes = [client.getreply()[0] for _ in range(3)]
        assert codes == [450, 503, 503]
        assert client.docmd("NOOP")[0] == 250


def test_a_client_that_asks_often_keeps_its_session(relay: Daemon) -> None:
    relayd(relay, "pause", "all", "--intake")
    with relay.client() as client:
        client.ehlo()
        codes = {client.mail("shop@app.test")[0] for _ in range(150)}
        assert codes == {450}


def test_sendmail_has_the_temporary_failure(relay: Daemon) -> None:
    relayd(relay, "pause", "all", "--intake", "--reason", "moving house")
    ran = relay.run("sendmail", "-f", "shop@app.test", "a@x.test", typed=CONTENT)
    assert ran.status == 75
    assert "moving house" in ran.err


def test_delivery_waits_and_other_mail_does_not(relay: Daemon, smarthost: SmarthostThread) -> None:
    relayd(relay, "pause", "--sender", "shop@app.test", "--for", "1h", "--reason", "a flood")
    for number in range(8):
        relay.send(f"later{number}@x.test", sender="shop@app.test")
    relay.send("now@x.test")
    arrives(smarthost, "now@x.test")
    assert not [each for each in smarthost.rcpts if each.startswith("later")]
    waiting = [row for row in relay.rows() if row.address.startswith("later")]
    assert {(row.attempts, row.status.value) for row in waiting} == {(0, "queued")}
    relay.run("resume", "--sender", "SHOP@app.test")
    for number in range(8):
        arrives(smarthost, f"later{number}@x.test")


def test_a_pause_holds_over_a_restart(relay: Daemon, smarthost: SmarthostThread) -> None:
    relayd(relay, "pause", "--tag", "news", "--intake", "--delivery")
    relay.send("kept@x.test", sender="other@app.test")
    arrives(smarthost, "kept@x.test")
    relay.kill()
    relay.up()
    with pytest.raises(AssertionError, match="Paused"):
        relay.send("refused@x.test", content=TAGGED)
    relayd(relay, "resume", "--tag", "news", "--intake")
    relay.send("restarted@x.test", content=TAGGED)
    relay.send("another@x.test")
    arrives(smarthost, "another@x.test")
    assert "restarted@x.test" not in smarthost.rcpts
    relayd(relay, "resume", "all")
    arrives(smarthost, "restarted@x.test")


def test_a_pause_ends_by_itself(relay: Daemon, smarthost: SmarthostThread) -> None:
    relayd(relay, "pause", "all", "--for", "3s")
    relay.send("soon@x.test")
    assert "soon@x.test" not in smarthost.rcpts
    arrives(smarthost, "soon@x.test")


def test_drain_takes_nothing_and_tells_when_the_queue_is_empty(
    relay: Daemon, smarthost: SmarthostThread
) -> None:
    relay.send("last@x.test")
    ran = relayd(relay, "drain", "--wait")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "the queue is empty"
    assert "last@x.test" in smarthost.rcpts
    with relay.client() as client, contextlib.suppress(smtplib.SMTPServerDisconnected):
        client.ehlo()
        assert client.mail("app@app.test") == (450, b"4.3.2 Paused: drained")


def test_drain_ends_where_only_somebody_can_go_on(relay: Daemon) -> None:
    relayd(relay, "pause", "--domain", "x.test")
    relay.send("stuck@x.test")
    ran = relayd(relay, "drain", "--wait", "--json")
    assert ran.status == 75
    assert ran.rows[-1]["left"] == 1


def test_what_is_paused_is_seen_without_looking_for_it(relay: Daemon) -> None:
    """Above the tables, on standard error; in rows, in what a row waits for, and as a metric."""
    relayd(relay, "pause", "--sender", "seen@app.test", "--for", "2h", "--reason", "a flood")
    queue_id = relay.send("seen@x.test", sender="seen@app.test")
    for command in (
        ("status",),
        ("status", "--json"),
        ("queue", "list"),
        ("top", "--once"),
    ):
        ran = relayd(relay, *command)
        assert ran.status == 0
        assert "paused: delivery of sender seen@app.test, until 20" in ran.err, command
        assert "a flood (relayd resume " in ran.err
    assert "paused: delivery of sender seen@app.test" in relayd(relay, "doctor", "--quick").err
    [row] = relayd(relay, "status", "--json", "--sender", "seen@app.test").rows
    assert (row["pause"]["reason"], row["status"]) == ("a flood", "queued")
    assert "paused until 20" in relayd(relay, "queue", "list").out
    assert "the end of pause " in relayd(relay, "status", "show", queue_id).out
    [top] = relayd(relay, "top", "--json").rows
    assert top["notices"][0]["kind"] == "paused"
    [rule] = relayd(relay, "pauses", "--json").rows
    assert (rule["scope"], rule["value"], rule["sides"]) == (
        "sender",
        "seen@app.test",
        ["delivery"],
    )
    assert rule["by"]
    assert [one["reason"] for one in relay.events("paused")][-1] == "a flood"
    assert relayd(relay, "resume", str(rule["pause"])).status == 0
    assert relayd(relay, "pauses").err == "relayd: nothing is paused\n"
    assert relayd(relay, "resume", str(rule["pause"])).status == 66


def test_mail_can_be_stopped_while_the_settings_have_a_mistake(relay: Daemon) -> None:
    """Somebody saved a wrong line; the daemon runs with what it has, and does what it is told."""
    right = relay.file.read_text()
    relay.file.write_text(f"no_such_key = 1\n{right}")
    try:
        for command in (
            ("pause", "--sender", "typo@app.test", "--intake", "--delivery"),
            ("queue", "hold", "--sender", "typo@app.test"),
            ("queue", "requeue", "--sender", "typo@app.test", "--dry-run"),
            ("addresses", "suppress", "typo@x.test"),
            ("addresses", "unsuppress", "typo@x.test"),
            ("top", "--once"),
            ("log",),
            ("store", "status"),
            ("drain",),
            ("resume", "all"),
        ):
            ran = relayd(relay, *command)
            assert ran.status == 0, (command, ran.err)
        check = relayd(relay, "check")
        assert (check.status, "daemon: stale (it keeps the settings" in check.out) == (78, True)
    finally:
        relay.file.write_text(right)


def test_what_is_meant_for_a_copy_is_not_done_to_the_queue(relay: Daemon) -> None:
    """Settings that name a backup have the control socket of the daemon that runs."""
    copy, right = relay.folder / "copy", relay.file.read_text()
    assert relayd(relay, "backup", str(copy)).status == 0
    queue_id = relay.send("kept@x.test", sender="kept@app.test")
    relay.file.write_text(right.replace("queue.db", "copy/queue.db"))
    try:
        assert relayd(relay, "status", "--sender", "kept@app.test").out.count("kept@") == 0
        for command in (
            ("pause", "all"),
            ("queue", "drop", "--all", "--yes"),
            ("queue", "hold", queue_id),
            ("addresses", "suppress", "kept@x.test"),
            ("drain",),
            ("trace", "--client", "127.0.0.1", "--for", "1s"),
            ("top", "--once"),
        ):
            ran = relayd(relay, *command)
            assert ran.status == 69, (command, ran.out, ran.err)
            assert "queue.db: no daemon serves that" in ran.out + ran.err
    finally:
        relay.file.write_text(right)
    assert not relayd(relay, "pauses", "--json").rows
    assert (
        relayd(relay, "addresses", "--recipient", "kept@x.test", "--json").rows[0]["suppress"]
        is False
    )
