"""What the console hears when it hands a message over: of a real receiver, and of one that goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.console.intake import (
    KeyUsed,
    OutcomeUnknown,
    Postponed,
    Queued,
    Refused,
    Submission,
    Unreachable,
    submit,
)
from relayd.errors import CommitUnknown, StoreFull
from relayd.mail.address import parse_address
from relayd.mail.ids import format_id
from relayd.mail.once import Once
from relayd.policy.console.names import as_key
from relayd.settings import ListenerAuth
from tests.support.receiving import Options, Reception, receiving

CONTENT = b"From: <app@x.test>\r\nSubject: x\r\n\r\n.Hello.\r\n"
ONCE = Once(key=b"k" * 32, body=b"b" * 32)
OPTIONS = Options(is_console=True, auth=ListenerAuth.OPTIONAL, networks=())


def a_submission(
    *recipients: str, content: bytes = CONTENT, once: Once | None = ONCE, client: str = "192.0.2.7"
) -> Submission:
    return Submission(
        reverse_path=parse_address("app@x.test"),
        recipients=[parse_address(each) for each in recipients or ("a@y.test",)],
        content=content,
        client=client,
        by=as_key("app1"),
        once=once,
    )


@asynccontextmanager
async def a_receiver(tmp_path: Path, **options: object) -> AsyncIterator[tuple[Reception, str]]:
    given = replace(OPTIONS, **options)  # type: ignore[arg-type]
    path = tmp_path / "console.smtp"
    async with receiving(given, unix_path=path) as reception:
        yield reception, str(path)


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7", ""])
async def test_it_is_queued_for_whom_the_console_names(client: str, tmp_path: Path) -> None:
    async with a_receiver(tmp_path) as (reception, path):
        result = await submit(path, a_submission("a@y.test", "b@y.test", client=client))
        [message] = reception.intake.messages
        assert isinstance(result, Queued)
        assert result.queue_id == format_id(message.id)
        assert not result.came_before
        assert [str(each.recipient) for each in result.recipients] == ["a@y.test", "b@y.test"]
        assert [each.reply.code for each in result.recipients] == [250, 250]
        assert message.client.ip == client
        assert message.client.auth_user == "app1 (API key)"
        assert message.content[:].endswith(CONTENT)


async def test_what_is_not_ascii_says_so(tmp_path: Path) -> None:
    content = "Subject: ü\r\n\r\nü\r\n".encode()
    async with a_receiver(tmp_path) as (reception, path):
        message = replace(a_submission("ü@y.test", content=content), reverse_path=None)
        assert isinstance(await submit(path, message), Queued)
        [queued] = reception.intake.messages
        parameters = queued.parameters
        assert (parameters.smtputf8, parameters.body) == (True, "8BITMIME")
        assert parameters.size == len(content)


async def test_again_it_is_the_first_message(tmp_path: Path) -> None:
    async with a_receiver(tmp_path) as (_, path):
        first = await submit(path, a_submission())
        again = await submit(path, a_submission())
        assert isinstance(first, Queued)
        assert again == replace(first, came_before=True)
        other = replace(ONCE, body=b"o" * 32)
        assert await submit(path, a_submission(once=other)) == KeyUsed()
        assert isinstance(await submit(path, a_submission(once=None)), Queued)


async def test_many_at_the_same_time_are_one_message(tmp_path: Path) -> None:
    async with a_receiver(tmp_path) as (reception, path):
        results = await asyncio.gather(*(submit(path, a_submission()) for _ in range(10)))
        assert len(reception.intake.store._tables.messages) == 1
        ids = {each.queue_id for each in results if isinstance(each, Queued)}
        assert len(ids) == 1
        assert sum(isinstance(each, Queued) and not each.came_before for each in results) == 1


async def test_each_recipient_has_its_own_answer(tmp_path: Path) -> None:
    async with a_receiver(tmp_path) as (_, path):
        result = await submit(path, a_submission("a@y.test", "a@[192.0.2.1]"))
        assert isinstance(result, Queued)
        assert [str(each.reply) for each in result.recipients] == [
            "250 2.1.5 OK",
            "553 5.1.3 Address literals are not relayed",
        ]


async def test_without_a_recipient_it_is_refused(tmp_path: Path) -> None:
    async with a_receiver(tmp_path) as (_, path):
        result = await submit(path, a_submission("a@[192.0.2.1]", "b@[192.0.2.1]"))
        assert isinstance(result, Refused)
        assert result.reply.code == 553
        assert [each.reply.enhanced for each in result.recipients] == ["5.1.3", "5.1.3"]


def a_full_disk(reception: Reception) -> None:
    reception.intake.is_full = True


def a_full_store(reception: Reception) -> None:
    reception.intake.fault = StoreFull("no room")


def a_stop(reception: Reception) -> None:
    reception.receiver.hurry()


@pytest.mark.parametrize("trouble", [a_full_disk, a_full_store, a_stop])
async def test_what_passes_is_postponed(
    trouble: Callable[[Reception], None], tmp_path: Path
) -> None:
    """At MAIL, at the end, or before all that."""
    async with a_receiver(tmp_path) as (reception, path):
        trouble(reception)
        result = await submit(path, a_submission(once=None))
        assert isinstance(result, Postponed)
        assert result.reply.is_transient


async def test_a_message_that_is_too_big_is_refused(tmp_path: Path) -> None:
    async with a_receiver(tmp_path, message_size=1000) as (_, path):
        result = await submit(path, a_submission(content=b"x" * 998 + b"\r\n" + CONTENT))
        assert isinstance(result, Refused)
        assert result.reply.code == 552


async def test_no_answer_to_the_dot_is_no_answer(tmp_path: Path) -> None:
    """The connection is closed, or the commit takes too long; then it is asked again with the same key."""
    async with a_receiver(tmp_path) as (reception, path):
        reception.intake.fault = CommitUnknown("the disk is on fire")
        result = await submit(path, a_submission(once=None))
        assert result == OutcomeUnknown("the daemon closed the connection")
        reception.intake.fault = None
        reception.intake.is_slow = True
        assert await submit(path, a_submission(), dot=0.05) == OutcomeUnknown("no answer in time")
        reception.intake.is_slow = False
        assert isinstance(await submit(path, a_submission()), Queued)


async def test_without_a_daemon_nothing_is_queued(tmp_path: Path) -> None:
    missing = await submit(str(tmp_path / "console.smtp"), a_submission())
    assert missing == Unreachable("No such file or directory")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(b"", "the daemon closed the connection", id="nothing"),
        pytest.param(b"hello\n", "malformed reply: hello", id="no-smtp"),
        pytest.param(b"220 hi\r\n250 hi\r\n", "the daemon closed the connection", id="half"),
    ],
)
async def test_a_daemon_that_goes_away_before_the_dot_has_taken_nothing(
    said: bytes, reason: str, tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        if b"250" in said:
            await reader.readline()
        writer.write_eof()
        await reader.read()
        writer.close()

    path = str(tmp_path / "console.smtp")
    async with await asyncio.start_unix_server(serve, path):
        assert await submit(path, a_submission()) == Unreachable(reason)


async def test_a_stranger_is_told_so(tmp_path: Path) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.7.1 Only the console may connect here\r\n")
        writer.close()

    path = str(tmp_path / "console.smtp")
    async with await asyncio.start_unix_server(serve, path):
        result = await submit(path, a_submission())
        assert isinstance(result, Refused)
        assert result.reply.code == 554
