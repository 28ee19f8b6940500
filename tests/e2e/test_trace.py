"""`relayd trace` and the debug log of a daemon with two workers: everything, and no secret."""

import base64
import json
import random  # noqa: TID251 -- cuts octets wherever
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import relayd_process
from tests.support.accounts import write_users
from tests.support.daemon import Daemon, Ran, a_daemon, a_smarthost, eventually
from tests.support.pointers import without_pointers
from tests.support.ports import free_port
from tests.support.scripted_server import InTurn, Script

OUT, IN = "hunter2-to-the-smarthost", "geheim4-of-the-client"
WORDS = [OUT, IN, *(base64.b64encode(word.encode()).decode() for word in (OUT, IN))]
PLAIN_OUT = base64.b64encode(f"\0app\0{OUT}".encode()).decode()
SCRIPT: Script = {
    "EHLO": ["AUTH LOGIN PLAIN", "PIPELINING"],
    "AUTH": "235 welcome",
    "RCPT TO:<bad@x.test>": "550 5.1.1 no such user",
    "RCPT TO:<later@x.test>": "451 4.2.1 not now",
    "RCPT TO:<thrice@x.test>": InTurn("451 4.2.1 not now", "451 4.2.1 not now", "550 5.7.1 no"),
}


class Follower:
    """A running `relayd trace`."""

    def __init__(self, daemon: Daemon, *arguments: str) -> None:
        before = len(daemon.events("trace_begun"))
        self._out = daemon.folder / f"trace-{before}"
        self._err = self._out.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = relayd_process.start(
                "-c", str(daemon.file), "trace", *arguments, stdout=out, stderr=err
            )
        eventually(lambda: len(daemon.events("trace_begun")) > before, "it follows")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> Ran:
        """Press ^C, and return what it gave."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> Ran:
        status = self._process.wait(20)
        return Ran(status=status, out=self.told, err=without_pointers(self._err.read_text())[0])

    @property
    def told(self) -> str:
        return self._out.read_text()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def following(daemon: Daemon, *arguments: str) -> Iterator[Follower]:
    follower = Follower(daemon, *arguments)
    try:
        yield follower
    finally:
        follower.kill()


def dialogue(lines: list[dict[str, Any]]) -> list[str]:
    arrows = {"smtp_sent": "-> ", "smtp_received": "<- "}
    return [arrows[line["event"]] + line["line"] for line in lines if line["event"] in arrows]


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that logs in at its smarthost, with one more listener where clients log in."""
    (tmp_path / "password").write_text(f"{OUT}\n")
    (tmp_path / "password").chmod(0o600)
    write_users(tmp_path / "users", ("joe", IN, "@x.test"))
    more = f"""
[[listen]]
address = "127.0.0.1:{free_port()}"
auth = "required"
[auth]
users_file = "{tmp_path}/users"
"""
    login = f'username = "app"\npassword_file = "{tmp_path}/password"\n'
    with a_smarthost(SCRIPT) as smarthost:
        daemon = Daemon(tmp_path, smarthost.port, smarthost_more=login, more=more)
        text = daemon.file.read_text()
        daemon.file.write_text(text.replace('soft_bounce = ["1s"]', 'soft_bounce = ["1h"]'))
        try:
            daemon.up()
            yield daemon
        finally:
            daemon.close()


def say(port: int, *commands: bytes) -> None:
    """Say each command in two pieces, cut wherever, and wait for its reply."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock, sock.makefile("rb") as replies:
        for command in (b"", *commands):
            cut = random.randint(0, len(command))
            sock.sendall(command[:cut])
            sock.sendall(command[cut:])
            while replies.readline()[3:4] == b"-":
                pass


def test_a_message_is_followed_in_and_out_and_no_secret_is_told(daemon: Daemon) -> None:
    port = int(daemon.file.read_text().rpartition("127.0.0.1:")[2].partition('"')[0])
    name, word = (base64.b64encode(each.encode()) for each in ("joe", IN))
    plain = base64.b64encode(f"\0joe\0{IN}".encode())
    envelope = (b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<b@x.test>\r\n", b"DATA\r\n")
    mail = (*envelope, b"Subject: secret thing\r\n\r\n.\r\n", b"QUIT\r\n")
    with following(daemon, "--client", "127.0.0.0/8", "--json") as follower:
        for login in (
            (b"AUTH PLAIN " + plain + b"\r\n",),
            (b"AUTH PLAIN\r\n", plain + b"\r\n"),
            (b"AUTH LOGIN\r\n", name + b"\r\n", word + b"\r\n"),
            (b"AUTH LOGIN " + name + b"\r\n", word + b"\r\n"),
        ):
            say(port, b"EHLO app.test\r\n", *login, *mail)
        eventually(lambda: daemon.statuses() == {"b@x.test": "relayed"}, "relayed")
        eventually(lambda: follower.told.count('"outcome"') == 4, "all four")
        ran = follower.end()
    lines = ran.rows
    said = dialogue(lines)
    assert "<- AUTH PLAIN ***" in said
    assert "<- AUTH LOGIN" in said
    assert said.count("<- ***") >= 4
    assert "-> 235 2.7.0 Authentication successful" in said
    assert "<- MAIL FROM:<a@x.test>" in said, "in"
    assert "-> MAIL FROM:<a@x.test> SIZE" in "".join(said) or "-> MAIL FROM:<a@x.test>" in said
    assert {"message_taken", "route_chosen", "attempt_begun", "host_chosen", "judged"} <= set(
        events(lines)
    )
    assert not [secret for secret in (*WORDS, PLAIN_OUT, plain.decode()) if secret in ran.out]
    assert "secret thing" not in ran.out


def test_a_destination_is_followed_on_connections_that_are_open_already(daemon: Daemon) -> None:
    daemon.send("first@x.test")
    eventually(lambda: daemon.statuses() == {"first@x.test": "relayed"}, "a connection is kept")
    with following(daemon, "--destination", "X.test", "--json", "--content") as follower:
        for _ in range(4):  # either worker
            daemon.send("bad@x.test", "good@x.test")
        daemon.send("good@y.test")
        eventually(lambda: follower.told.count('"outcome"') == 8, "all of it is told")
        ran = follower.end()
    assert "good@y.test" not in ran.out
    assert {line["worker"] for line in ran.rows} <= {"1", "2"}
    [*judged] = [line for line in ran.rows if line["event"] == "judged"]
    assert {(line["rcpt"], line["outcome"]) for line in judged} == {
        ("bad@x.test", "bounced"),
        ("good@x.test", "relayed"),
    }
    assert not [line for line in judged if line.get("rule", "").startswith("rule")]
    assert 'looks for "no such user"' in str(judged)
    assert "Hello." in str([line.get("content") for line in ran.rows])
    assert OUT not in ran.out


def test_a_waiting_message_is_followed_until_it_leaves(daemon: Daemon) -> None:
    queue_id = daemon.send("thrice@x.test")
    eventually(lambda: daemon.statuses() == {"thrice@x.test": "deferred"}, "a first attempt")
    with following(daemon, queue_id) as follower:
        daemon.run("queue", "expedite", queue_id)
        eventually(lambda: "<- 451 4.2.1 not now" in follower.told, "the attempt asked for")
        eventually(lambda: daemon.statuses() == {"thrice@x.test": "deferred"}, "it waits as before")
        daemon.run("queue", "expedite", queue_id)
        ran = follower.wait()
    assert ran.status == 0
    assert "-> RCPT TO:<thrice@x.test>" in ran.out
    assert "<- 550 5.7.1 no" in ran.out
    assert "the message has left" in ran.err
    assert OUT not in ran.out
    again = daemon.run("trace", queue_id)
    assert (again.status, again.out) == (66, "")
    assert f"relayd status show {queue_id}" in again.err
    told = daemon.run("status", "show", queue_id, "--explain")
    assert told.status == 0, told.err
    for words in (
        "why route: to smarthost: use_remote_smtp = false (judged anew)",
        "why host: 127.0.0.1",
        "why class: ",
        "why time: 60 min after this attempt: step 1 of retry.soft_bounce = 60 min (judged anew)",
        "why end: 550 is a permanent reply, which is never retried",
        "why suppression: not suppressed",
    ):
        assert words in told.out
    [row] = daemon.run("status", "show", queue_id, "--explain", "--json").rows
    assert [why["about"] for why in row["history"][0]["why"]] == ["route"]
    assert daemon.run("trace", "0CNA0NJ6E0401").status == 66


def test_followers_come_and_go(daemon: Daemon) -> None:
    """A slow one and one that is killed are in nobody's way; a fifth has no place."""
    with (
        following(daemon, "--client", "127.0.0.1", "--json") as slow,
        following(daemon, "--client", "127.0.0.1", "--json") as quick,
        following(daemon, "--client", "127.0.0.1") as gone,
        following(daemon, "--client", "192.0.2.1") as other,
    ):
        fifth = daemon.run("trace", "--client", "127.0.0.1")
        assert (fifth.status, fifth.err) == (
            70,
            "relayd: 4 commands follow already; end one of them first\n",
        )
        slow.stop()
        gone.kill()
        for number in range(30):
            daemon.send(f"{number}@x.test")
        eventually(lambda: quick.told.count('"outcome"') == 30, "all is told to who listens")
        told = quick.end()
        assert slow.told.count('"outcome"') < 30
        slow.go_on()
        eventually(lambda: slow.told.count('"outcome"') == 30, "and to the slow one later")
        assert other.end().out == ""
        assert events(told.rows).count("message_taken") == 30
    eventually(lambda: not daemon.run("trace", "--client", "::1", "--for", "1s").status, "a place")


def test_a_follower_lives_through_a_reload_and_the_end_of_a_worker(daemon: Daemon) -> None:
    with following(daemon, "--destination", "x.test", "--json") as follower:
        daemon.send("before@x.test")
        daemon.write(connections=7)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: daemon.events("reloaded"), "other workers")
        eventually(lambda: len(daemon.events("trace_begun")) >= 2, "it asks one of these")
        daemon.kill_worker(daemon.events("worker_ready")[-1]["worker"])
        eventually(lambda: len(daemon.events("worker_ready")) == 5, "another one")
        eventually(lambda: daemon.send("after@x.test") and "after@x.test" in follower.told, "told")
        ran = follower.end()
    assert ran.status == 0
    assert "before@x.test" in ran.out


def test_the_time_is_over(daemon: Daemon) -> None:
    ran = daemon.run("trace", "--client", "127.0.0.1", "--for", "1s")
    assert (ran.status, ran.out, ran.err) == (0, "", "trace ended: the time is up\n")
    daemon.stop()
    ran = daemon.run("trace", "--client", "127.0.0.1")
    assert ran.status == 69
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("level", ["debug", "info"])
def test_the_log_at_level_debug_has_it_all_without_secrets(tmp_path: Path, level: str) -> None:
    (tmp_path / "password").write_text(f"{OUT}\n")
    (tmp_path / "password").chmod(0o600)
    login = f'username = "app"\npassword_file = "{tmp_path}/password"\n'
    with (
        a_smarthost(SCRIPT) as smarthost,
        a_daemon(
            tmp_path, smarthost.port, smarthost_more=login, more=f'level = "{level}"'
        ) as daemon,
    ):
        daemon.send("a@x.test", "bad@x.test", "later@x.test")
        eventually(lambda: "queued" not in daemon.statuses().values(), "a first attempt")
        daemon.stop()
    text = daemon.log.read_text()
    told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    debug = [line for line in told if line["level"] == "debug"]
    assert bool(debug) == (level == "debug")
    if debug:
        assert {"smtp_sent", "smtp_received", "judged", "retry_planned", "lease_taken"} <= set(
            events(debug)
        )
        assert "step 1 of retry.soft_bounce" in text
    assert not [secret for secret in (*WORDS, PLAIN_OUT) if secret in text]
    assert "Hello." not in text
