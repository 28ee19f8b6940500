"""The content check behind the final dot: what clients read, what is stored, and what is not."""

import asyncio

import pytest

from relayd.mail.envelope import ContentCheck, NewMessage
from relayd.net.content import ContentGate
from relayd.policy.intake.content import NOT_CHECKED, SPAM, Refusal, Verdict
from relayd.receiver.reader import HELD
from tests.support.checkers import FakeChecker, content_settings, rspamd_says
from tests.support.receiving import (
    Options,
    Reception,
    WireClient,
    on_every_loop,
    receiving,
    run_on,
    until,
)

HOLDS = ContentCheck(score=12.0, reason="content scored 12", holds=True)
SPAMMY = Refusal(reply=SPAM, score=20.0, reason="content scored 20")
DOWN = Refusal(reply=NOT_CHECKED, score=None, reason="not checked: down")
ROOMY = Options(message_size=1_000_000)
LARGE = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n" + (b"y" * 998 + b"\r\n") * 400


class SlowChecker:
    """Gives one verdict for all, when it is let go."""

    def __init__(self, verdict: Verdict = None) -> None:
        self.verdict = verdict
        self.asked: list[NewMessage] = []
        self.go = asyncio.Event()

    async def judge(self, message: NewMessage) -> Verdict:
        self.asked.append(message)
        await self.go.wait()
        return self.verdict


async def at_the_dot(
    reception: Reception, content: bytes = b"Subject: x\r\n\r\nx\r\n", behind: bytes = b""
) -> WireClient:
    """A client that has sent a message up to its final dot, and `behind` with it."""
    client = await reception.greeted()
    for command in ("MAIL FROM:<app@x.test>", "RCPT TO:<u@y.test>"):
        assert (await client.ask(command)).startswith("250 ")
    assert (await client.ask("DATA")).startswith("354 ")
    await client.send(content + b".\r\n" + behind)
    return client


VERDICTS: dict[str, tuple[Verdict, str, bool]] = {
    "nothing": (None, "250 2.0.0 OK queued as", True),
    "scored": (ContentCheck(score=7.0, reason="odd"), "250 2.0.0 OK queued as", True),
    "held": (HOLDS, "250 2.0.0 OK queued as", True),
    "refused": (SPAMMY, "550 5.7.1 Content is spam to the checker of this relay", False),
    "down": (DOWN, "451 4.7.1 Content cannot be checked now, try again later", False),
}


@on_every_loop
@pytest.mark.parametrize(("verdict", "reply", "is_stored"), VERDICTS.values(), ids=VERDICTS)
def test_nothing_is_stored_or_said_before_the_verdict(
    loop: str, verdict: Verdict, reply: str, *, is_stored: bool
) -> None:
    async def main() -> None:
        checker = SlowChecker(verdict)
        async with receiving(ROOMY, checker=checker) as reception:
            client = await at_the_dot(reception)
            await until(lambda: checker.asked)
            await client.send(b"NOOP\r\n")
            assert not reception.intake.messages
            checker.go.set()
            assert (await client.line()).startswith(reply)
            assert await client.line() == "250 2.0.0 OK"
            assert len(reception.intake.messages) == is_stored
            for message in reception.intake.messages:
                expected = verdict if isinstance(verdict, ContentCheck) else None
                assert message.content_check == expected
            if isinstance(verdict, Refusal):
                [noted] = reception.intake.refusals
                assert (noted["content_score"], noted["reason"]) == (verdict.score, verdict.reason)
                assert (noted["from"], noted["reply"]) == ("app@x.test", reply)

    run_on(loop, main())


def test_the_checker_sees_what_would_be_stored() -> None:
    async def main() -> None:
        checker = SlowChecker()
        checker.go.set()
        async with receiving(ROOMY, checker=checker) as reception:
            client = await at_the_dot(reception, LARGE.replace(b"x\r\n\r\n", b"x\r\n\r\n..", 1))
            assert (await client.line()).startswith("250 ")
            [asked], [stored] = checker.asked, reception.intake.messages
            assert asked == stored
            assert len(stored.content) > HELD
            assert stored.content[:].startswith(b"Received: ")

    run_on(
        "asyncio",
        main(),
    )


def test_two_messages_of_one_segment_are_checked_in_turn() -> None:
    async def main() -> None:
        checker = SlowChecker()
        async with receiving(ROOMY, checker=checker) as reception:
            client = await at_the_dot(
                reception,
                behind=b"MAIL FROM:<app@x.test>\r\nRCPT TO:<v@y.test>\r\nDATA\r\n",
            )
            await until(lambda: checker.asked)
            checker.go.set()
            for code in ("250 2.0.0", "250 2.1.0", "250 2.1.5", "354 "):
                assert (await client.line()).startswith(code)
            await client.send(b"\r\n.\r\n")
            assert (await client.line()).startswith("250 2.0.0")
            assert len(checker.asked) == len(reception.intake.messages) == 2

    run_on("asyncio", main())


LEAVING = {
    "it resets": WireClient.reset,
    "it closes": WireClient.close,
    "it half-closes": WireClient.half_close,
}


@on_every_loop
@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("verdict", [None, SPAMMY], ids=["good", "spam"])
@pytest.mark.parametrize("content", [b"\r\n", LARGE], ids=["small", "large"])
def test_who_leaves_meanwhile_has_sent_nothing(
    loop: str, leave: object, verdict: Verdict, content: bytes
) -> None:
    """E-24; its place is free at once, and what lay on the spool is gone."""

    async def main() -> None:
        checker = SlowChecker(verdict)
        async with receiving(ROOMY, checker=checker) as reception:
            client = await at_the_dot(reception, content)
            await until(lambda: checker.asked)
            leave(client)  # type: ignore[operator]
            await until(lambda: not reception.receiver._sessions)
            checker.go.set()
            await until(lambda: not reception.receiver._running)
            assert not reception.intake.messages
            assert not reception.intake.refusals
            assert len(reception.intake.spools) == (len(content) > HELD)
            assert not any(spool._octets for spool in reception.intake.spools)

    run_on(loop, main())


def test_a_half_close_behind_the_verdict_is_no_hanging_up() -> None:
    """As it is without a checker: the commit goes on, and its reply is read."""

    async def main() -> None:
        checker = SlowChecker()
        checker.go.set()
        async with receiving(ROOMY, checker=checker) as reception:
            reception.intake.is_slow = True
            client = await at_the_dot(reception)
            await until(lambda: reception.intake.messages)
            client.half_close()
            reception.intake.commit()
            assert (await client.line()).startswith("250 2.0.0")
            await client.closed()

    run_on("asyncio", main())


def test_a_worker_that_stops_lets_a_check_end() -> None:
    async def main() -> None:
        checker = SlowChecker()
        async with receiving(ROOMY, checker=checker) as reception:
            client = await at_the_dot(reception)
            await until(lambda: checker.asked)
            stopping = reception.tasks.create_task(reception.receiver.stop(within=5))
            await until(lambda: not reception.receiver._acceptor.is_open)
            checker.go.set()
            assert (await client.line()).startswith("250 2.0.0")
            assert (await client.line()).startswith("421 4.3.2")
            await stopping
            assert len(reception.intake.messages) == 1

    run_on("asyncio", main())


def test_a_check_that_does_not_end_is_given_up_with_the_worker() -> None:
    async def main() -> None:
        checker = SlowChecker()
        async with receiving(ROOMY, checker=checker) as reception:
            client = await at_the_dot(reception, LARGE)
            await until(lambda: checker.asked)
            await reception.receiver.stop(within=0)
            assert await client.gone() == b""
            assert not reception.intake.messages

    run_on("asyncio", main())


def test_mail_to_a_return_path_is_not_checked() -> None:
    """A bounce often quotes what was refused; it is read, not relayed."""

    async def main() -> None:
        checker = SlowChecker(SPAMMY)
        async with receiving(ROOMY, checker=checker) as reception:
            client = await reception.greeted()
            for command in ("MAIL FROM:<>", "RCPT TO:<known@returns.test>"):
                assert (await client.ask(command)).startswith("250 ")
            assert (await client.ask("DATA")).startswith("354 ")
            await client.send(b"\r\n.\r\n")
            assert (await client.line()).startswith("250 ")
            assert not checker.asked

    run_on("asyncio", main())


@on_every_loop
def test_with_a_real_client_of_the_checker(loop: str) -> None:
    async def main() -> None:
        async with FakeChecker(rspamd_says(20.0, {"GTUBE": 20.0})) as server:
            gate = ContentGate(content_settings(server.endpoint))
            async with receiving(ROOMY, checker=gate) as reception:
                client = await at_the_dot(reception, LARGE)
                assert (await client.line()).startswith("550 5.7.1")
                [noted] = reception.intake.refusals
                assert noted["reason"] == "content scored 20, refused from 15 on: GTUBE 20"
                assert server.questions[0].content.endswith(LARGE)

    run_on(loop, main())
