"""RCPT of a return path, beyond what the dialogs show: what is noted, and what many of them cost."""

from relayd.errors import StoreUnavailable
from relayd.receiver.dialogue import ERROR_LIMIT
from tests.support.receiving import Options, on_every_loop, receiving, run_on

MANY = ERROR_LIMIT + 5


@on_every_loop
def test_a_refused_return_path_is_on_record(loop: str) -> None:
    """A forged one is the sender's business, one that cannot be checked is ours."""

    async def main() -> None:
        async with receiving(Options(networks=())) as reception:
            client = await reception.greeted()
            await client.ask("MAIL FROM:<>", "RCPT TO:<forged@returns.test>")
            reception.intake.fault = StoreUnavailable("the disk is on fire")
            await client.ask("RCPT TO:<known@returns.test>")
            assert [
                (noted["from"], noted["rcpt"], noted["code"], noted["fault"])
                for noted in reception.intake.refusals
            ] == [
                ("", "forged@returns.test", 550, "policy"),
                ("", "known@returns.test", 451, "local"),
            ]

    run_on(loop, main())


def test_bounces_wait_while_the_store_is_sick() -> None:
    """The server that brings them made no error: it may ask for each."""

    async def main() -> None:
        async with receiving(Options(networks=())) as reception:
            client = await reception.greeted()
            reception.intake.fault = StoreUnavailable("the disk is on fire")
            await client.ask("MAIL FROM:<>")
            for _ in range(MANY):
                assert (await client.ask("RCPT TO:<known@returns.test>")).startswith("451 4.3.0 ")
            reception.intake.fault = None
            assert await client.ask("RCPT TO:<known@returns.test>") == "250 2.1.5 OK"

    run_on("asyncio", main())


def test_who_guesses_return_paths_is_thrown_out() -> None:
    async def main() -> None:
        async with receiving(Options(networks=())) as reception:
            client = await reception.greeted()
            await client.ask("MAIL FROM:<>")
            for _ in range(ERROR_LIMIT):
                assert (await client.ask("RCPT TO:<forged@returns.test>")).startswith("550 5.1.1 ")
            await client.ask("RCPT TO:<forged@returns.test>")
            assert (await client.line()).startswith("421 4.7.0 ")

    run_on("asyncio", main())
