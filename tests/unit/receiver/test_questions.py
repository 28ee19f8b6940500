"""RCPT while the store takes its time to tell what speaks against a recipient."""

import asyncio
from collections.abc import Coroutine

import pytest
from structlog.testing import capture_logs

from relayd.errors import StoreUnavailable
from relayd.policy.intake import admit
from relayd.receiver import wire
from relayd.receiver.dialogue import ERROR_LIMIT
from tests.support.line import Line
from tests.support.receiving import (
    TRANSACTION,
    Options,
    Reception,
    WireClient,
    envelopes,
    on_every_loop,
    receiving,
    run_on,
    send_message,
    until,
)

ON = Options(refuse_suppressed=True)
STOPPING = "421 4.3.2 Shutting down, try again soon"


async def answer(reception: Reception, number: int, *, told: object) -> None:
    """Answer that question once it is asked."""
    questions = reception.intake.questions
    await until(lambda: len(questions) == number)
    if isinstance(told, Exception):
        questions[-1].set_exception(told)
    else:
        questions[-1].set_result(told)


async def asked(reception: Reception) -> WireClient:
    """A client whose recipient is asked about."""
    client = await reception.greeted()
    reception.intake.is_pensive = True
    reception.intake.questions.clear()
    await client.send(b"MAIL FROM:<app@x.test>\r\nRCPT TO:<a@y.test>\r\n")
    assert await client.line() == "250 2.1.0 OK"
    await until(lambda: reception.intake.questions)
    return client


@on_every_loop
def test_pipelined_recipients_keep_their_order(loop: str) -> None:
    """Each is asked about when the one before it has its answer; so is DATA."""

    async def main() -> None:
        async with receiving(ON) as reception:
            client = await reception.greeted()
            reception.intake.is_pensive = True
            rcpts = [f"RCPT TO:<{name}@y.test>" for name in "abcd"]
            group = ["MAIL FROM:<app@x.test>", *rcpts, "DATA"]
            await client.send("".join(f"{each}\r\n" for each in group).encode())
            told = [False, True, StoreUnavailable("away"), False]
            for number, each in enumerate(told, start=1):
                await answer(reception, number, told=each)
            codes = [(await client.line())[:9] for _ in group]
            assert codes == [
                *("250 2.1.0", "250 2.1.5", "550 5.7.1", "451 4.3.0", "250 2.1.5"),
                "354 End d",
            ]
            await client.send(b"x\r\n.\r\n")
            assert (await client.line()).startswith("250 2.0.0 OK queued")
            assert envelopes(reception.intake.messages) == ["<app@x.test> <a@y.test> <d@y.test>"]

    run_on(loop, main())


@on_every_loop
def test_a_transaction_without_a_recipient_goes_on(loop: str) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            client = await asked(reception)
            await answer(reception, 1, told=StoreUnavailable("away"))
            assert (await client.line()).startswith("451 4.3.0 Cannot check")
            assert reception.intake.refusals[-1]["fault"] == "local"
            assert (await client.ask("DATA")).startswith("554 5.5.1")
            assert (await client.ask("MAIL FROM:<x@x.test>")).startswith("503 5.5.1 Nested")
            reception.intake.is_pensive = False
            assert await client.ask("RCPT TO:<a@y.test>") == "250 2.1.5 OK"

    run_on(loop, main())


@on_every_loop
def test_return_paths_are_asked_about_too(loop: str) -> None:
    async def main() -> None:
        async with receiving(Options(networks=())) as reception:
            client = await reception.greeted()
            reception.intake.is_pensive = True
            await client.send(b"MAIL FROM:<>\r\nRCPT TO:<a@returns.test>\r\n" * 1)
            assert await client.line() == "250 2.1.0 OK"
            await answer(reception, 1, told=admit.NO_RETURN_PATH)
            assert (await client.line()).startswith("550 5.1.1 ")
            await client.send(b"RCPT TO:<b@returns.test>\r\n")
            await answer(reception, 2, told=None)
            assert await client.line() == "250 2.1.5 OK"

    run_on(loop, main())


@on_every_loop
def test_who_is_gone_by_then_is_not_answered(loop: str) -> None:
    """Nothing is noted of it, and the next client is served."""

    async def main() -> None:
        async with receiving(ON) as reception:
            client = await asked(reception)
            client.reset()
            await until(lambda: not reception.receiver._sessions)
            await answer(reception, 1, told=True)
            reception.intake.is_pensive = False
            other = await reception.greeted()
            assert (await send_message(other)).startswith("250 2.0.0 ")
            assert reception.intake.refusals == []

    run_on(loop, main())


@on_every_loop
def test_who_has_said_all_it_will_hears_the_answer(loop: str) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            client = await asked(reception)
            client.half_close()
            await asyncio.sleep(0)
            await answer(reception, 1, told=False)
            assert await client.line() == "250 2.1.5 OK"
            await client.closed()

    run_on(loop, main())


@on_every_loop
def test_who_has_said_all_it_will_hears_each_answer(loop: str) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            client = await asked(reception)
            await client.send(b"RCPT TO:<b@y.test>\r\nQUIT\r\n")
            client.half_close()
            await until(lambda: next(iter(reception.receiver._sessions))._at_eof)
            await answer(reception, 1, told=False)
            await answer(reception, 2, told=True)
            assert await client.line() == "250 2.1.5 OK"
            assert (await client.line()).startswith("550 5.7.1 ")
            assert await client.line() == "221 2.0.0 Bye"
            await client.closed()

    run_on(loop, main())


@on_every_loop
def test_a_bug_in_an_answer_ends_one_session(loop: str) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            client = await asked(reception)
            reception.intake.is_pensive = False
            other = await reception.greeted()
            reception.intake.questions[0].set_exception(ZeroDivisionError())
            await client.gone()
            assert (await send_message(other)).startswith("250 2.0.0 ")

    with capture_logs() as logs:
        run_on(loop, main())
    assert [entry["event"] for entry in logs].count("session_failed") == 1


@on_every_loop
def test_a_stop_waits_for_the_answer(loop: str) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            client = await asked(reception)
            reception.receiver.hurry()
            await answer(reception, 1, told=False)
            assert await client.line() == "250 2.1.5 OK"
            assert await client.line() == STOPPING
            await client.closed()

    run_on(loop, main())


def test_who_guesses_slowly_is_thrown_out_too() -> None:
    async def main() -> None:
        async with receiving(Options(networks=())) as reception:
            client = await reception.greeted()
            reception.intake.is_pensive = True
            await client.ask("MAIL FROM:<>")
            for number in range(1, ERROR_LIMIT + 2):
                await client.send(b"RCPT TO:<a@returns.test>\r\n")
                await answer(reception, number, told=admit.NO_RETURN_PATH)
                assert (await client.line()).startswith("550 5.1.1 ")
            assert (await client.line()).startswith("421 4.7.0 ")
            await client.closed()

    run_on("asyncio", main())


def test_an_answer_at_once_takes_no_task() -> None:
    """Nor another turn of the loop: there is none here."""

    def spawn(coroutine: Coroutine[None, None, None]) -> None:
        coroutine.close()
        pytest.fail("a task")

    line = Line(refuse_suppressed=True, spawn=spawn)
    line.connect()
    line.say(b"EHLO a.test\r\n")
    [said] = line.say("".join(f"{each}\r\n" for each in TRANSACTION).encode())
    assert said == b"250 2.1.0 OK\r\n250 2.1.5 OK\r\n"
    line.session.connection_lost(None)


async def test_an_answer_without_an_end_ends_the_session() -> None:
    """It can be told neither yes nor no."""
    tasks: list[asyncio.Task[None]] = []
    line = Line(refuse_suppressed=True, spawn=lambda one: tasks.append(asyncio.ensure_future(one)))
    line.connect()
    line.intake.is_pensive = True
    line.say(b"EHLO a.test\r\n", "".join(f"{each}\r\n" for each in TRANSACTION).encode())
    await asyncio.sleep(0)
    line.loop.advance(wire.COMMAND_TIMEOUT)
    assert line.transport.is_aborted
    line.session.connection_lost(None)
    line.intake.questions[0].set_result(False)
    await tasks[0]
    assert line.last == b"250 2.1.0 OK\r\n"
