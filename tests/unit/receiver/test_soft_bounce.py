"""With `soft_bounce` mail is refused for now only, and nothing else changes."""

from tests.support.receiving import Options, on_every_loop, receiving, run_on

SOFT = Options(soft_bounce=True, message_size=10_000)


@on_every_loop
def test_mail_is_refused_for_now(loop: str) -> None:
    """RCPT, MAIL and the message; what is wrong about a command stays wrong."""

    async def main() -> None:
        async with receiving(SOFT) as reception:
            client = await reception.greeted()
            assert (await client.ask("MAIL FROM:<a@x.test> SIZE=99999")).startswith("452 4.3.4 ")
            assert (await client.ask("MAIL FROM:nobody")).startswith("501 ")
            assert (await client.ask("BOGUS")).startswith("500 ")
            assert (await client.ask("RCPT TO:<a@x.test>")).startswith("503 ")
            assert await client.ask("MAIL FROM:<a@x.test>") == "250 2.1.0 OK"
            literal = await client.ask("RCPT TO:<a@[192.0.2.1]>")
            assert literal == "453 4.1.3 Address literals are not relayed"
            assert await client.ask("RCPT TO:<b@x.test>") == "250 2.1.5 OK"
            await client.ask("DATA")
            loop = "Received: from a by b\r\n" * 101
            answer = await client.ask(f"{loop}\r\nx\r\n.")
            assert answer == "454 4.4.6 Too many hops, this message is looping"
            assert reception.intake.messages == []
            told = [
                (each["code"], each["enhanced"], each["fault"])
                for each in reception.intake.refusals
            ]
            assert (453, "4.1.3", "policy") in told
            assert (454, "4.4.6", "policy") in told

    run_on(loop, main())
