"""`relayd test-mail` against a running daemon and a scripted smarthost."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_world import SETTINGS, Ran, World, make_world
from tests.support.daemon import Daemon, SmarthostThread, a_daemon, a_smarthost
from tests.support.scripted_server import Script, ScriptedServer, Wait
from tests.support.terminal import left_on_screen, on_terminal

STUCK = asyncio.Event()
SCRIPT: Script = {
    "RCPT TO:<gone@a.test>": "550 5.1.1 no such user",
    "RCPT TO:<later@a.test>": "451 4.3.0 come back later",
    "RCPT TO:<stuck@a.test>": Wait(STUCK, "451 4.3.0 come back later"),
}


@pytest.fixture(scope="module")
def smarthost() -> Iterator[SmarthostThread]:
    with a_smarthost(SCRIPT) as server:
        yield server


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, smarthost: SmarthostThread
) -> Iterator[Daemon]:
    """A relay in direct mode, which test mail must not be sent by."""
    folder = tmp_path_factory.mktemp("relay")
    with a_daemon(folder, smarthost.port, workers=1, remote="true") as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return make_world(tmp_path, capsys.readouterr)


def listening_at(world: World, *addresses: str) -> World:
    """The settings of a daemon that nobody has started."""
    listeners = "".join(f'[[listen]]\naddress = "{address}"\n' for address in addresses)
    world.settings.write_text(SETTINGS.format(folder=world.folder) + listeners)
    return world


def test_the_smarthost_accepts_it(daemon: Daemon, smarthost: SmarthostThread) -> None:
    ran = daemon.run(
        "test-mail", "ok@a.test", "--from", "me@b.test", "--subject", "Does it work\u00e4?"
    )
    assert (ran.status, ran.err) == (0, "")
    submitted, status, reply, queue_id = ran.out.splitlines()
    assert submitted.startswith(f"submitted to 127.0.0.1:{daemon.port}: 250 ")
    assert status == "relayed by 127.0.0.1"
    assert reply.startswith("  the server says  250 ")
    assert queue_id.split()[2] == submitted.split()[-1]
    message = smarthost.received(1)[-1]
    assert message.mail.startswith("FROM:<me@b.test>")
    assert b"X-Relayd-Test" not in message.content, "our own field stays here"
    assert b"=?utf-8?" in message.content
    assert b"\r\nDate: " in message.content
    assert b"\r\nMessage-ID: <" in message.content


def test_json_has_the_fields_of_status(daemon: Daemon) -> None:
    ran = daemon.run("test-mail", "<second@a.test>", "--json")
    assert ran.status == 0
    (row,) = ran.rows
    assert (row["rcpt"], row["status"]) == ("second@a.test", "relayed")
    assert (row["from"], row["destination"]) == ("postmaster@relay.test", "smarthost")
    assert row["waits_for"] == "nothing: this is its final status"


def test_addresses_beyond_ascii(daemon: Daemon, smarthost: SmarthostThread) -> None:
    ran = daemon.run("test-mail", "j\u00fcrgen@a.test")
    assert (ran.status, ran.err) == (0, "")
    assert "SMTPUTF8" in smarthost.messages[-1].mail


def test_refused_for_good_is_1(daemon: Daemon) -> None:
    ran = daemon.run("test-mail", "gone@a.test")
    assert ran.status == 1
    assert "bounced by 127.0.0.1" in ran.out
    assert "the server says  550 5.1.1 no such user" in ran.out


def test_refused_for_now_is_75(daemon: Daemon) -> None:
    ran = daemon.run("test-mail", "later@a.test")
    assert ran.status == os.EX_TEMPFAIL
    assert "deferred by 127.0.0.1" in ran.out
    assert "waits for        " in ran.out


def test_no_answer_in_time_is_75(daemon: Daemon, smarthost: SmarthostThread) -> None:
    """A terminal shows the time while it waits, and nothing of it later."""
    words = ["-c", str(daemon.file), "test-mail", "stuck@a.test", "--timeout", "1s"]
    status, shown = on_terminal([sys.executable, "-m", "relayd", *words], NO_COLOR="1")
    smarthost.open(STUCK)  # until a first message is answered there is one connection
    assert status == os.EX_TEMPFAIL
    assert b"  waiting for 0 s" in shown
    submitted, state, waits_for, queue_id = left_on_screen(shown, columns=100)
    assert submitted.startswith("submitted to ")
    assert (state, waits_for.split()[:3]) == ("queued", ["waits", "for", "a"])
    assert queue_id.startswith("  queue id ")


def test_first_listener_that_answers_is_used(daemon: Daemon, world: World) -> None:
    """Nobody is at the first, the address of the second is unknown, the third is a unix socket."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        listening_at(world, nobody, "systemd:relayd", f"unix:{daemon.folder}/smtp.sock")
        settings = world.settings.read_text()
        world.settings.write_text(settings.replace(f"{world.folder}/queue.db", str(daemon.queue)))
        ran = world.run("test-mail", "unix@a.test")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"submitted to unix:{daemon.folder}/smtp.sock: 250 ")


def test_no_daemon_is_69(world: World) -> None:
    listening_at(world, f"unix:{world.folder}/no.sock", "systemd:relayd")
    ran = world.run("test-mail", "a@a.test")
    assert (ran.status, ran.out) == (os.EX_UNAVAILABLE, "")
    assert "no daemon takes the mail: " in ran.err
    assert f"unix:{world.folder}/no.sock: No such file or directory" in ran.err
    assert "systemd:relayd: its address is known to systemd only" in ran.err


REFUSALS = {
    "greeting": ({"GREETING": "421 4.3.2 going down"}, os.EX_TEMPFAIL),
    "sender": ({"MAIL": "550 5.7.1 not you"}, 1),
    "recipient": ({"RCPT": "550 5.7.1 no"}, 1),
    "recipient for now": ({"RCPT": "451 4.3.0 later"}, os.EX_TEMPFAIL),
    "content": ({"DOT": "452 4.3.1 no room"}, os.EX_TEMPFAIL),
}


@pytest.mark.parametrize(("script", "status"), REFUSALS.values(), ids=REFUSALS)
async def test_what_the_daemon_answers_is_told(
    world: World, script: dict[str, str], status: int
) -> None:
    async with ScriptedServer(script) as server:
        listening_at(world, f"127.0.0.1:{server.port}")
        ran: Ran = await asyncio.to_thread(world.run, "test-mail", "a@a.test")
    assert (ran.status, ran.out) == (status, "")
    assert f"relayd: the relay answers {next(iter(script.values()))}" in ran.err


USAGE = {
    "no address": ["somebody"],
    "an address with a blank": ["a b@a.test"],
    "null reverse-path": ["a@a.test", "--from", "<>"],
    "no duration": ["a@a.test", "--timeout", "soon"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_wrong_usage_is_64(world: World, arguments: list[str]) -> None:
    ran = world.run("test-mail", *arguments)
    assert (ran.status, ran.out) == (os.EX_USAGE, "")
