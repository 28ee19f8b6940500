"""Clients that may use some addresses only."""

from base64 import b64encode
from ipaddress import ip_network

import pytest

from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.intake.access import AccessRules, Allowed, Networks
from relayd.settings import ListenerAuth
from tests.support.receiving import Options, on_every_loop, receiving, run_on, send_message

LOGIN = f"AUTH PLAIN {b64encode(b'.app.hunter2'.replace(b'.', bytes(1))).decode()}"
X = Allowed(senders=SenderPatterns(("x.test",)), header_from=SenderPatterns(("app@x.test",)))
NETWORK = Networks((("127.0.0.0/8", ip_network("127.0.0.0/8")),))
PLACES = {
    "listener": Options(allowed=X),
    "login": Options(access=AccessRules(logins={"app": X}), auth=ListenerAuth.OPTIONAL),
    "network": Options(access=AccessRules(networks=NETWORK, in_network={"127.0.0.0/8": X})),
}
OTHER = b"From: <boss@x.test>\r\n\r\nHello.\r\n"


@on_every_loop
@pytest.mark.parametrize("place", PLACES)
def test_sender_and_from_are_those_of_the_list(loop: str, place: str) -> None:
    async def main() -> None:
        async with receiving(PLACES[place]) as reception:
            client = await reception.greeted()
            if place == "login":
                assert (await client.ask(LOGIN)).startswith("235 ")
            assert await client.ask("MAIL FROM:<app@y.test>") == (
                "553 5.7.1 This sender is not allowed for you here"
            )
            assert await send_message(client, OTHER) == (
                "550 5.7.1 The address in From is not allowed for you here"
            )
            assert (await send_message(client, b"Subject: x\r\n\r\n")).startswith("550 5.7.1 From ")
            assert (await send_message(client)).startswith("250 ")
            bounce = "MAIL FROM:<>", "RCPT TO:<user@y.test>"
            sent = await send_message(client, b"From: app@x.test\r\n\r\n", *bounce)
            assert sent.startswith("250 ")
            assert [each["fault"] for each in reception.intake.refusals] == ["policy"] * 3

    run_on(loop, main())


def test_a_login_without_a_list_is_free() -> None:
    async def main() -> None:
        rules = AccessRules(logins={"shop": X})
        async with receiving(Options(access=rules, auth=ListenerAuth.OPTIONAL)) as reception:
            client = await reception.greeted()
            assert (await client.ask(LOGIN)).startswith("235 ")
            assert (await client.ask("MAIL FROM:<app@y.test>")).startswith("250 ")

    run_on("asyncio", main())


def test_bounces_of_others_come_back_all_the_same() -> None:
    """A stranger sends no mail of ours; and what a VERP address gets is nobody's to relay."""

    async def main() -> None:
        async with receiving(Options(allowed=X, networks=())) as reception:
            client = await reception.greeted()
            report = "MAIL FROM:<mailer@far.test>", "RCPT TO:<known@returns.test>"
            assert (await send_message(client, OTHER, *report)).startswith("250 ")
        async with receiving(Options(allowed=X)) as reception:
            client = await reception.greeted()
            report = "MAIL FROM:<>", "RCPT TO:<known@returns.test>"
            assert (await send_message(client, OTHER, *report)).startswith("250 ")

    run_on("asyncio", main())


def test_a_large_message_is_judged_by_its_header() -> None:
    async def main() -> None:
        async with receiving(Options(allowed=X, message_size=2_000_000)) as reception:
            client = await reception.greeted()
            body = b"x" * 70 + b"\r\n"
            assert (await send_message(client, OTHER + body * 8000)).startswith("550 5.7.1 ")
            [spool] = reception.intake.spools
            assert spool.finish(b"") == b"", "let go of"
            sent = await send_message(client, b"From: app@x.test\r\n\r\n" + body * 8000)
            assert sent.startswith("250 ")

    run_on("asyncio", main())
