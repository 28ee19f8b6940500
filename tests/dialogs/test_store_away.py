"""While the store is away no message begins, and nobody is to blame for that."""

from tests.support.receiving import CONTENT, Options, receiving, run_on, send_message

LATER = "451 4.3.0 Cannot store the message now, try again later"


def test_a_message_begins_once_the_store_is_back() -> None:
    """Its content would have come for nothing; the client keeps it, and its connection."""

    async def main() -> None:
        async with receiving(Options()) as reception:
            client = await reception.connect()
            await client.line()
            await client.ask("EHLO client.test")
            reception.intake.is_away = True
            for _ in range(30):  # no mistake of the client's, however often
                assert await client.ask("MAIL FROM:<a@x.test>") == LATER
            reception.intake.is_away = False
            sent = await send_message(client, CONTENT, "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>")
            assert sent.startswith("250 ")

    run_on("asyncio", main())
