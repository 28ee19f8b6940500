"""`relayd queue cat`: the octets, who may have them, and what is on record."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relayd.cli.ask import cat as module
from relayd.cli.command import run
from relayd.control import client
from relayd.control.content import ContentRequest
from relayd.errors import RelaydError, StoreForbidden
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import format_id
from relayd.mail.operator import Action
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query
from relayd.store import open_view
from relayd.supervisor.lock import QueueLock, is_served
from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue, make_world
from tests.support.control_server import a_control_server
from tests.support.other_users import MEMBER, a_folder_for_all, needs_open_code, needs_root

RAW = b"Subject: \xff\x00\x1b[2J\r\n\r\nraw\r\nno newline"
BIG = b"0123456789abcde\n" * 100_000  # several parts


@pytest.fixture
def world(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> World:
    return make_world(tmp_path, capsysbinary.readouterr)


async def put(world: World, content: Content = RAW) -> NewMessage:
    store = world.open_store()
    message = a_message("a@x.test", "b@x.test", content=content, message_id_header="<1@app.test>")
    await enqueue(store, message)
    await store.close()
    return message


@asynccontextmanager
async def daemon(world: World, *, read_content: bool = False) -> AsyncIterator[list[Event]]:
    store = world.open_store()
    async with a_control_server(world.socket, store, read_content=read_content) as recorded:
        yield recorded
    await store.close()
    world.socket.unlink()


async def cat(world: World, *arguments: str) -> tuple[int, bytes, str]:
    world.readouterr()
    line = ["-c", str(world.settings), "queue", "cat", *arguments]
    status = await asyncio.to_thread(run, line)
    printed = world.readouterr()
    return status, printed.out, printed.err.decode()


def reads(world: World, message: NewMessage) -> list[tuple[int, object, object]]:
    view = open_view(f"sqlite:{world.folder}/queue.db")
    found: list[tuple[int, object, object]] = [
        (one.recipient, one.detail["by"], one.detail["reason"])
        for one in view.history(message.id)
        if one.kind == "read"
    ]
    view.close()
    return found


@pytest.mark.parametrize("content", [RAW, BIG], ids=["short", "long"])
async def test_the_octets_and_who_read_them(world: World, content: bytes) -> None:
    message = await put(world, content)
    async with daemon(world) as recorded:
        for wanted in (format_id(message.id), "<1@app.test>"):
            assert await cat(world, wanted, "--reason", "ticket 7") == (0, content, "")
        assert len(recorded) == 4
    [first, second, *_] = reads(world, message)
    assert (first[0], second[0]) == (0, 1)
    assert first[1:] == second[1:] == (recorded[0].detail["by"], "ticket 7")


async def test_large_content_beside_the_queue_file(world: World) -> None:
    store = world.open_store()
    spool = store.spool()
    spool.write(BIG)
    message = a_message("a@x.test", content=spool.finish(RAW))
    await enqueue(store, message)
    await store.close()
    wanted = format_id(message.id)
    async with daemon(world):
        assert await cat(world, wanted) == (0, RAW + BIG, "")
    status, out, _ = await cat(world, wanted)
    assert (status, out) == (0, RAW + BIG)


async def test_content_that_is_gone_is_one_line_and_no_event(world: World) -> None:
    message = await put(world)
    wanted = format_id(message.id)
    async with daemon(world) as recorded:
        store = world.open_store()
        await store.act(Query(message_id=message.id), Action.DROP, by="ann", reason="")
        await store.close()
        for name, words in ((wanted, "is deleted"), ("0CNA0NJ6E0401", "no message")):
            status, out, err = await cat(world, name)
            assert (status, out, err.count("\n")) == (os.EX_NOINPUT, b"", 1)
            assert words in err
        assert not recorded
    status, out, err = await cat(world, wanted)
    assert (status, out, err.count("\n")) == (os.EX_NOINPUT, b"", 1)


async def test_one_message_id_of_several_messages(world: World) -> None:
    messages = [await put(world) for _ in range(2)]
    status, out, err = await cat(world, "<1@app.test>")
    assert (status, out) == (os.EX_USAGE, b"")
    assert all(format_id(one.id) in err for one in messages)


async def test_a_stopped_daemon_puts_nothing_on_record_and_says_so(world: World) -> None:
    message = await put(world)
    status, out, err = await cat(world, format_id(message.id))
    assert (status, out) == (0, RAW)
    assert "not on record" in err
    assert not reads(world, message)


async def test_a_daemon_that_does_not_answer_is_not_passed_over(world: World) -> None:
    message = await put(world)
    url = f"sqlite:{world.folder}/queue.db"
    assert not is_served(url)
    lock = QueueLock(url)
    try:
        assert is_served(url)
        status, out, err = await cat(world, format_id(message.id))
    finally:
        lock.close()
    assert (status, out) == (os.EX_UNAVAILABLE, b"")
    assert "no daemon at" in err


class _Screen:
    """A terminal, as far as the command looks."""

    def __init__(self) -> None:
        self.shown = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.shown += text


def test_nothing_acts_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    write = module._screen()
    for octet in RAW.replace(b"raw", "r\tä".encode()):
        write(bytes([octet]))
    assert screen.shown == "Subject: \ufffd??[2J\n\nr    ä\nno newline"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"ok": true}\n{"octets": 9}\n1234', "only a part"),
        (b'{"ok": true}\n{"octets": 9}', "only a part"),
        (b'{"ok": true}\n{"octets": -1}\n', "strange"),
        (b'{"ok": true}\n{}\n', "strange"),
        (b'{"ok": false, "error": "unknown verb", "again": false}\n', "unknown verb"),
        (b'{"ok": false, "error": "not you", "again": false, "forbidden": true}\n', "not you"),
    ],
)
def test_answers_that_are_not_the_content(tmp_path: Path, answer: bytes, words: str) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        request = ContentRequest(message_id=a_message().id)
        with pytest.raises(RelaydError, match=words) as failed:
            client.content(path, request, lambda _: None)
        thread.join()
    assert isinstance(failed.value, StoreForbidden) == ("not you" in words)


async def as_member(world: World, *words: str) -> tuple[int, bytes, str]:
    ids = (str(MEMBER.uid), str(MEMBER.groups[1]))
    line = ["-c", str(world.settings), *words]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.support.run_as", *ids, *line],
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr.decode()


@needs_root
@needs_open_code
@pytest.mark.usefixtures("unmeasured")
async def test_members_of_the_group_only_where_the_settings_let_them() -> None:
    with a_folder_for_all() as folder:
        world = make_world(folder, lambda: None)
        message = await put(world)
        wanted = format_id(message.id)
        for allowed in (False, True):
            async with daemon(world, read_content=allowed):
                os.chown(world.socket, 0, MEMBER.groups[1])
                world.socket.chmod(0o660)
                _let_in(world)
                status, out, err = await as_member(world, "queue", "cat", wanted)
                followed = allowed or await as_member(world, "trace", wanted, "--content")
            if allowed:
                assert (status, out, err) == (0, RAW, "")
                assert {by for _, by, _ in reads(world, message)} == {f"uid {MEMBER.uid}"}
            else:
                assert (status, out) == (os.EX_NOPERM, b"")
                assert "control.read_content" in err
                assert followed == (status, out, err), "the same rule"
                assert not reads(world, message)
        _let_in(world)
        status, out, err = await as_member(world, "queue", "cat", wanted)
        assert (status, out) == (os.EX_NOPERM, b"")
        assert "only root may read content while no daemon" in err


def _let_in(world: World) -> None:
    """Have the group read the queue, as an installation has it."""
    for path in world.folder.glob("queue.db*"):
        os.chown(path, 0, MEMBER.groups[1])
        path.chmod(0o750 if path.is_dir() else 0o640)


async def test_content_whose_file_gets_lost_is_not_taken_for_whole(
    world: World, tmp_path: Path
) -> None:
    store: QueueStore = world.open_store()
    spool = store.spool()
    spool.write(BIG)
    message = a_message("a@x.test", content=spool.finish(RAW))
    await enqueue(store, message)
    await store.close()
    [file] = (tmp_path / "queue.db.content").iterdir()
    os.truncate(file, 5)
    async with daemon(world) as recorded:
        status, out, err = await cat(world, format_id(message.id))
        assert (status, out) == (os.EX_SOFTWARE, b"")
        assert "shorter than it was" in err
        assert not recorded
