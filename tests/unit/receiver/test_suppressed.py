"""RCPT of a suppressed address: refused in clear words where the settings want that."""

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.outcome import Outcome, Relayed
from relayd.receiver.dialogue import ERROR_LIMIT
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.receiving import (
    CEILING,
    Options,
    Reception,
    envelopes,
    on_every_loop,
    receiving,
    run_on,
)
from tests.support.stores import LEASE
from tests.support.workers import registered

REFUSED = "550 5.7.1 Recipient is suppressed"
ON = Options(refuse_suppressed=True, recipients=1000)


async def with_history(reception: Reception, address: str, outcome: Outcome) -> None:
    store = reception.intake.store
    worker = await registered(store, "past")
    for work in await store.enqueue(a_message(address), worker=worker, lease_for=LEASE):
        await store.settle(work.lease, settlements_of(work, outcome))


@on_every_loop
def test_only_the_suppressed_recipient_is_refused(loop: str) -> None:
    """The others get the message; the refusal is on record."""

    async def main() -> None:
        async with receiving(ON) as reception:
            await with_history(reception, "gone@example.com", a_bounce())
            await with_history(reception, "good@example.com", Relayed())
            client = await reception.greeted()
            assert await client.ask("MAIL FROM:<app@app.test>") == "250 2.1.0 OK"
            assert await client.ask("RCPT TO:<Gone@Example.com>") == REFUSED
            assert await client.ask("RCPT TO:<good@example.com>") == "250 2.1.5 OK"
            await client.ask("DATA")
            assert (await client.ask("Subject: x\r\n\r\nx\r\n.")).startswith("250 ")
            assert envelopes(reception.intake.messages) == ["<app@app.test> <good@example.com>"]
            [detail] = reception.intake.refusals
            assert (detail["rcpt"], detail["code"], detail["fault"]) == (
                "Gone@Example.com",
                550,
                "policy",
            )

    run_on(loop, main())


@on_every_loop
def test_nobody_asks_unless_the_settings_want_it(loop: str) -> None:
    async def main() -> None:
        async with receiving() as reception:
            await with_history(reception, "gone@example.com", a_bounce())
            reception.intake.fault = StoreUnavailable("must not be asked")
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            assert await client.ask("RCPT TO:<gone@example.com>") == "250 2.1.5 OK"

    run_on(loop, main())


@on_every_loop
def test_a_sick_store_refuses_nobody_for_good(loop: str) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            reception.intake.fault = StoreUnavailable("the disk is on fire")
            assert (await client.ask("RCPT TO:<a@example.com>")).startswith("451 4.3.0 ")
            assert reception.intake.refusals[-1]["fault"] == "local"
            reception.intake.fault = None
            assert await client.ask("RCPT TO:<a@example.com>") == "250 2.1.5 OK"

    run_on(loop, main())


def test_who_may_not_relay_learns_nothing() -> None:
    async def main() -> None:
        async with receiving(Options(refuse_suppressed=True, networks=())) as reception:
            await with_history(reception, "gone@example.com", a_bounce())
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            for address in ("gone@example.com", "good@example.com"):
                assert (await client.ask(f"RCPT TO:<{address}>")).startswith("550 5.7.1 Relaying")

    run_on("asyncio", main())


@pytest.mark.timeout(4 * CEILING)
def test_a_list_full_of_them_gets_through() -> None:
    """The client made no error: it is not thrown out for their number."""

    async def main() -> None:
        async with receiving(ON) as reception:
            await with_history(reception, "gone@example.com", a_bounce())
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            for _ in range(ERROR_LIMIT + 5):
                assert await client.ask("RCPT TO:<gone@example.com>") == REFUSED
            assert await client.ask("RCPT TO:<good@example.com>") == "250 2.1.5 OK"

    run_on("asyncio", main())
