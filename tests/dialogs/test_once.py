"""The listener of the console: who may connect, for whom it speaks, and what it gives twice."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import format_id
from relayd.mail.once import Once
from relayd.mail.suppression import ToSuppress
from relayd.policy.intake import admit
from relayd.policy.intake.content import Refusal, Verdict
from relayd.policy.intake.origin import Origin
from relayd.receiver import console
from relayd.settings import ListenerAuth
from tests.support.receiving import (
    CONTENT,
    Options,
    Reception,
    WireClient,
    in_data,
    on_every_loop,
    receiving,
    run_on,
    send_message,
)

CONSOLE = Options(is_console=True, auth=ListenerAuth.OPTIONAL, networks=(), xclient_networks=())
KEY, BODY, OTHER = "0a" * 32, "0b" * 32, "0c" * 32
XCLIENT = "XCLIENT ADDR=192.0.2.7 LOGIN=app1+20(API+20key)"
NAMES = {0: "root", 7: "lp", 33: "www-data", 64101: "relayd", 64102: "relayd-console"}


@asynccontextmanager
async def at_the_console(tmp_path: Path, **options: object) -> AsyncIterator[Reception]:
    given = replace(CONSOLE, **options)  # type: ignore[arg-type]
    async with receiving(given, unix_path=tmp_path / "console.smtp") as reception:
        yield reception


async def of_a_key(reception: Reception) -> WireClient:
    """A session in which the console speaks for an API key."""
    client = await reception.greeted()
    assert (await client.ask(XCLIENT)).startswith("220 ")
    assert (await client.ask("EHLO console")).startswith("250 ")
    return client


def mail(key: str = KEY, body: str = BODY) -> tuple[str, ...]:
    return (f"MAIL FROM:<app@x.test> XONCE={key}.{body}", "RCPT TO:<user@y.test>")


def queued(message: NewMessage, *, again: bool = False) -> str:
    return f"250 2.0.0 OK queued as {format_id(message.id)}{' (again)' if again else ''}"


@pytest.mark.parametrize(
    ("uid", "own", "is_let_in"),
    [
        pytest.param(0, 64101, True, id="root"),
        pytest.param(64101, 64101, True, id="the-daemon's-user"),
        pytest.param(64102, 64101, True, id="the-console"),
        pytest.param(33, 64101, False, id="another-user"),
        pytest.param(4711, 64101, False, id="a-user-without-a-name"),
        pytest.param(None, 64101, False, id="nobody-knows"),
    ],
)
def test_the_console_root_and_the_daemons_user_may_connect(
    uid: int | None, own: int, monkeypatch: pytest.MonkeyPatch, *, is_let_in: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: own)
    monkeypatch.setattr(console, "name_of", lambda uid: NAMES.get(uid, str(uid)))
    assert console.may_connect(Origin(uid=uid)) is is_let_in


@on_every_loop
def test_nobody_else_gets_a_word_in(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            monkeypatch.setattr(console, "may_connect", lambda _: False)
            client = await reception.connect()
            assert await client.line() == "554 5.7.1 Only the console may connect here"
            await client.closed()

    run_on(loop, main())


@on_every_loop
def test_it_speaks_for_an_account_or_a_key(loop: str, tmp_path: Path) -> None:
    """From wherever that one asks; and it is offered no login, for it needs none."""

    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            client = await reception.connect()
            await client.line()
            await client.send(b"EHLO console\r\n")
            offered = {line[4:] for line in await client.reply()}
            assert "XONCE" in offered
            assert any(each.startswith("XCLIENT ") for each in offered)
            assert not any(each.startswith("AUTH") for each in offered)
            assert (await client.ask(XCLIENT)).startswith("220 ")
            assert (await client.ask("EHLO console")).startswith("250 ")
            assert (await send_message(client)).startswith("250 ")
            [message] = reception.intake.messages
            assert message.client.ip == "192.0.2.7"
            assert message.client.auth_user == "app1 (API key)"
            assert message.client.account == "login app1 (API key)"
            assert message.once is None

    run_on(loop, main())


def test_others_are_not_offered_it() -> None:
    async def main() -> None:
        async with receiving() as reception:
            client = await reception.connect()
            await client.line()
            await client.send(b"EHLO app.test\r\n")
            assert not any("XONCE" in line for line in await client.reply())
            refused = "555 5.5.4 Parameter not recognized"
            assert await client.ask(mail()[0]) == refused

    run_on("asyncio", main())


@pytest.mark.parametrize(
    "value", ["", "=", f"={KEY}", f"={KEY}.", f"={KEY}.{BODY}00", f"={KEY.upper()}.{BODY}", "=a.b"]
)
def test_a_malformed_key_is_refused(value: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            client = await of_a_key(reception)
            answer = await client.ask(f"MAIL FROM:<app@x.test> XONCE{value}")
            assert answer == "501 5.5.4 Malformed parameter"

    run_on("asyncio", main())


@on_every_loop
def test_a_message_is_taken_once(loop: str, tmp_path: Path) -> None:
    """In the same session and in another one; without a key it is another message."""

    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            client = await of_a_key(reception)
            answer = await send_message(client, CONTENT, *mail())
            [first] = reception.intake.messages
            assert first.once == Once(
                key=bytes.fromhex(KEY),
                body=bytes.fromhex(BODY),
                answers={"user@y.test": "250 2.1.5 OK"},
            )
            assert answer == queued(first)
            assert await send_message(client, CONTENT, *mail()) == queued(first, again=True)
            client = await of_a_key(reception)
            assert await send_message(client, CONTENT, *mail()) == queued(first, again=True)
            assert len(reception.intake.store._tables.messages) == 1
            assert not (await send_message(client)).endswith("(again)")
            assert len(reception.intake.store._tables.messages) == 2

    run_on(loop, main())


def test_another_body_is_told_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_the_console(tmp_path, soft_bounce=True) as reception:
            client = await of_a_key(reception)
            await send_message(client, CONTENT, *mail())
            other = "550 5.5.4 Another message came with this key"
            assert await client.ask(mail(body=OTHER)[0]) == other
            assert (await send_message(client, CONTENT, *mail(key=OTHER))).startswith("250 ")

    run_on("asyncio", main())


@pytest.mark.parametrize(("body", "reply"), [(BODY, "again"), (OTHER, "other")])
def test_of_two_at_the_same_time_one_is_taken(body: str, reply: str, tmp_path: Path) -> None:
    """Neither was there when the other's MAIL came."""

    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            one, two = await of_a_key(reception), await of_a_key(reception)
            await in_data(one, *mail())
            await in_data(two, *mail(body=body))
            await one.send(CONTENT + b".\r\n")
            answer = await one.line()
            first = reception.intake.messages[0]
            assert answer == queued(first)
            await two.send(CONTENT + b".\r\n")
            expected = {
                "again": queued(first, again=True),
                "other": "550 5.5.4 Another message came with this key",
            }
            assert await two.line() == expected[reply]
            assert list(reception.intake.store._tables.messages) == [first.id]
            assert (await send_message(two, CONTENT, *mail(key=OTHER))).startswith("250 ")

    run_on("asyncio", main())


@pytest.mark.parametrize("suppressed_for", ["first", "second"])
def test_of_two_answered_unlike_the_second_asks_again(suppressed_for: str, tmp_path: Path) -> None:
    """Else it would be told that a recipient is queued who is not, or refused who is."""
    rcpts = ("RCPT TO:<a@y.test>", "RCPT TO:<b@y.test>")

    async def main() -> None:
        async with at_the_console(tmp_path, refuse_suppressed=True) as reception:
            store = reception.intake.store

            async def begin(client: WireClient, *, refused: bool) -> list[str]:
                if refused:
                    await store.suppress([ToSuppress(address="b@y.test")], by="me")
                answers = [await client.ask(each) for each in (mail()[0], *rcpts, "DATA")]
                await store.unsuppress("b@y.test")
                return [each[:3] for each in answers]

            one, two = await of_a_key(reception), await of_a_key(reception)
            is_first = suppressed_for == "first"
            first = await begin(one, refused=is_first)
            assert first == ["250", "250", "550" if is_first else "250", "354"]
            assert await begin(two, refused=not is_first) != first
            await one.send(CONTENT + b".\r\n")
            assert (await one.line()).startswith("250 ")
            await two.send(CONTENT + b".\r\n")
            assert (await two.line()).startswith("451 ")
            assert await begin(two, refused=False) == first
            await two.send(CONTENT + b".\r\n")
            assert (await two.line()).endswith("(again)")

    run_on("asyncio", main())


class Checker:
    """It finds no fault at first, and then with everything."""

    def __init__(self) -> None:
        self.verdict: Verdict = None

    async def judge(self, message: NewMessage) -> Verdict:
        del message  # they are all alike to it
        return self.verdict


def test_what_was_judged_good_stays_good(tmp_path: Path) -> None:
    """A message without a key is judged as ever."""

    async def main() -> None:
        checker = Checker()
        async with receiving(
            CONSOLE, unix_path=tmp_path / "console.smtp", checker=checker
        ) as reception:
            client = await of_a_key(reception)
            assert (await send_message(client, CONTENT, *mail())).startswith("250 ")
            checker.verdict = Refusal(reply=admit.NO_RELAYING, score=20.0, reason="spam")
            assert (await send_message(client, CONTENT, *mail())).endswith("(again)")
            assert (await send_message(client)).startswith("550 ")

    run_on("asyncio", main())


def test_nothing_that_changed_since_speaks_against_it(tmp_path: Path) -> None:
    """Each recipient is answered as it was, though the first is suppressed by now, and one was before."""

    async def main() -> None:
        async with at_the_console(tmp_path, refuse_suppressed=True) as reception:
            store = reception.intake.store
            await store.suppress([ToSuppress(address="b@y.test")], by="me")
            client = await of_a_key(reception)

            async def send() -> list[str]:
                answers = [
                    await client.ask(command)
                    for command in (mail()[0], "RCPT TO:<a@y.test>", "RCPT TO:<b@y.test>", "DATA")
                ]
                await client.send(CONTENT + b".\r\n")
                return [*answers, await client.line()]

            answers = await send()
            assert [each[:3] for each in answers] == ["250", "250", "550", "354", "250"]
            await store.suppress([ToSuppress(address="a@y.test")], by="me")
            await store.unsuppress("b@y.test")
            reception.intake.is_full = True
            *answers, last = await send()
            assert [each[:3] for each in answers] == ["250", "250", "550", "354"]
            assert answers[2] == "550 5.7.1 Recipient is suppressed"
            assert last.endswith("(again)")

    run_on("asyncio", main())


def test_a_store_that_cannot_tell_is_asked_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            client = await of_a_key(reception)
            reception.intake.fault = StoreUnavailable("the disk is on fire")
            later = "451 4.3.0 Cannot look the key up now, try again later"
            assert await client.ask(mail()[0]) == later
            reception.intake.fault = None
            assert (await send_message(client, CONTENT, *mail())).startswith("250 ")

    run_on("asyncio", main())


def test_a_return_path_takes_no_mail_with_a_key(tmp_path: Path) -> None:
    """Its mail is not stored as a message, so nothing would remember the key."""

    async def main() -> None:
        async with at_the_console(tmp_path) as reception:
            client = await of_a_key(reception)
            assert (await client.ask(mail()[0])).startswith("250 ")
            answer = await client.ask("RCPT TO:<known@returns.test>")
            assert answer == "550 5.1.1 No such return path"

    run_on("asyncio", main())
