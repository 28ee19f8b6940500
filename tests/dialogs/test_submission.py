"""A listener that helps its clients: what it adds, takes out and hides, and that no other does."""

from dataclasses import replace
from pathlib import Path

import pytest

from relayd.mail.ids import format_id
from relayd.receiver.reader import HELD
from relayd.settings import FixUps, ListenerAuth
from tests.support.receiving import Options, Reception, on_every_loop, receiving, run_on

DATE = b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
ALL = Options(add_headers=FixUps.ALWAYS, strip_bcc=FixUps.ALWAYS, hide_client=True)
AUTO = Options(add_headers=FixUps.AUTO, strip_bcc=FixUps.AUTO)


async def sent(
    reception: Reception, content: bytes, *said: str, source: str = "127.0.0.1"
) -> tuple[bytes, bytes]:
    """Send a message after what the client `said`; return our Received field and what follows it."""
    client = await reception.connect(source=source)
    for line in [each for each in said if each.startswith("PROXY")]:
        await client.send(f"{line}\r\n".encode())
    assert (await client.line()).startswith("220 ")
    for line in (*said, "EHLO app.test"):
        if not line.startswith("PROXY"):
            assert (await client.ask(line))[:4] in ("220 ", "235 ", "250 "), line
    for command in ("MAIL FROM:<app@x.test>", "RCPT TO:<u@y.test>", "RCPT TO:<v@y.test>"):
        assert (await client.ask(command)).startswith("250 ")
    assert (await client.ask("DATA")).startswith("354 ")
    await client.send(content + b".\r\n")
    assert (await client.line()).startswith("250 ")
    trace, end, rest = reception.intake.messages[-1].content[:].partition(b"+0000\r\n")
    return trace + end, rest


def own_id(reception: Reception) -> str:
    return f"<{format_id(reception.intake.messages[-1].id)}@relay.test>"


@on_every_loop
def test_what_is_missing_is_added_below_our_received_field(loop: str) -> None:
    """S-49; the Message-ID can be asked for afterwards, so the facts have it too."""

    async def main() -> None:
        async with receiving(Options(add_headers=FixUps.ALWAYS)) as reception:
            content = b"Subject: x\r\nBcc: c@y.test\r\n\r\nHello.\r\n"
            trace, rest = await sent(reception, content)
            assert trace.startswith(b"Received: from app.test ([127.0.0.1])")
            message_id = own_id(reception)
            assert rest == DATE + f"Message-ID: {message_id}\r\n".encode() + content
            facts = reception.intake.messages[0].facts
            assert (facts.message_id_header, facts.size) == (message_id, len(content))

    run_on(loop, main())


WHOLE = b"Message-ID: <m@x.test>\r\nDate: d\r\n\r\nHello.\r\n"
CASES = {
    "nothing is missing": (WHOLE, WHOLE, "<m@x.test>"),
    "a Message-ID that is none": (
        b"Message-ID: m\r\n\r\nx\r\n",
        DATE + b"Message-ID: m\r\n\r\nx\r\n",
        None,
    ),
    "control fields are read": (
        b"X-Relayd-Tag: t\r\nMessage-ID: <m@x.test>\r\n\r\nx\r\n",
        DATE + b"Message-ID: <m@x.test>\r\n\r\nx\r\n",
        "<m@x.test>",
    ),
}


@pytest.mark.parametrize(("content", "kept", "message_id"), CASES.values(), ids=CASES)
def test_what_is_there_stays(content: bytes, kept: bytes, message_id: str | None) -> None:
    async def main() -> None:
        async with receiving(Options(add_headers=FixUps.ALWAYS)) as reception:
            assert (await sent(reception, content))[1] == kept
            assert reception.intake.messages[0].facts.message_id_header == message_id

    run_on("asyncio", main())


@pytest.mark.parametrize(
    ("content", "gap"),
    [
        pytest.param(b"Hello Ann,\r\nyes.\r\n", b"\r\n", id="text-only"),
        pytest.param(b" Hello\r\nA: b\r\n\r\n", b"\r\n", id="continuation-first"),
        pytest.param(b"A: b\r\nHello\r\n\r\nx\r\n", b"", id="text-between"),
        pytest.param(b"\r\nx\r\n", b"", id="no-header"),
        pytest.param(b"", b"", id="empty"),
    ],
)
def test_a_broken_header_section_is_only_put_behind_ours(content: bytes, gap: bytes) -> None:
    async def main() -> None:
        async with receiving(ALL) as reception:
            _, rest = await sent(reception, content)
            added = DATE + f"Message-ID: {own_id(reception)}\r\n".encode()
            assert rest == added + gap + content
            assert reception.intake.messages[0].facts.message_id_header == own_id(reception)

    run_on("asyncio", main())


@on_every_loop
def test_bcc_is_taken_out(loop: str) -> None:
    """All of them, folded ones too; not a byte else, and those who are named there get it."""

    async def main() -> None:
        async with receiving(Options(strip_bcc=FixUps.ALWAYS)) as reception:
            _, rest = await sent(
                reception,
                b"Bcc: a@y.test,\r\n\tb@y.test\r\nTO:\tc@y.test \r\nbcc:d\r\n\r\nBcc: in the body\r\n",
            )
            assert rest == b"TO:\tc@y.test \r\n\r\nBcc: in the body\r\n"
            assert len(reception.intake.messages[0].recipients) == 2

    run_on(loop, main())


def test_bcc_alone_leaves_no_recipient_field() -> None:
    async def main() -> None:
        async with receiving(Options(strip_bcc=FixUps.ALWAYS)) as reception:
            assert (await sent(reception, b"Bcc: a@y.test\r\n\r\nx\r\n"))[1] == b"\r\nx\r\n"

    run_on("asyncio", main())


def test_a_hidden_client_is_known_to_us_alone() -> None:
    """RFC 5321 section 4.4 wants a domain behind `from`; the status log still has the client."""

    async def main() -> None:
        async with receiving(Options(hide_client=True)) as reception:
            trace, rest = await sent(reception, b"A: b\r\n\r\n")
            assert trace.startswith(
                b"Received: from relay.test (client not shown)\r\n\tby relay.test (relayd) with ESMTP"
            )
            assert b"app.test" not in trace
            assert b"127.0.0.1" not in trace
            assert rest == b"A: b\r\n\r\n"
            client = reception.intake.messages[0].client
            assert (client.ip, client.helo) == ("127.0.0.1", "app.test")

    run_on("asyncio", main())


def test_relayed_mail_is_never_changed() -> None:
    """None of this where a listener says never (S-49)."""

    async def main() -> None:
        async with receiving() as reception:
            content = b"Bcc: a@y.test\r\n\r\nx\r\n"
            assert (await sent(reception, content))[1] == content
            assert reception.intake.messages[0].facts.message_id_header is None

    run_on("asyncio", main())


SUBMITTED = b"Subject: x\r\nBcc: a@y.test\r\n\r\nHello.\r\n"
RELAYED = b"Received: from a.test by b.test; Sun, 1 Mar 2026 11:00:00 +0000\r\n" + SUBMITTED
SIGNED = b"DKIM-Signature: v=1; h=from:date:bcc; b=x\r\n" + SUBMITTED
FAR = "PROXY TCP4 192.0.2.7 127.0.0.1 5000 25"
NEAR = "PROXY TCP4 127.0.0.9 127.0.0.1 5000 25"
AUTH = ListenerAuth.OPTIONAL
WHO = {
    "this machine": ((), True, AUTH),
    "behind PROXY, from afar": ((FAR,), False, AUTH),
    "behind PROXY, from here": ((NEAR,), True, AUTH),
    "behind XCLIENT, from afar": (("XCLIENT ADDR=192.0.2.7",), False, AUTH),
    "behind XCLIENT, from here": (("XCLIENT ADDR=127.0.0.8",), True, AUTH),
    "behind XCLIENT, from nobody knows where": (
        ("XCLIENT ADDR=[UNAVAILABLE] LOGIN=app",),
        True,
        AUTH,
    ),
    "behind XCLIENT, logged in": (("XCLIENT ADDR=192.0.2.7 LOGIN=app",), True, AUTH),
    "behind XCLIENT, a login that counts for nothing": (
        ("XCLIENT ADDR=192.0.2.7 LOGIN=app",),
        False,
        ListenerAuth.OFF,
    ),
}


@pytest.mark.parametrize(("said", "is_helped", "auth"), WHO.values(), ids=WHO)
def test_who_submits_mail_is_helped(
    said: tuple[str, ...], auth: ListenerAuth, *, is_helped: bool
) -> None:
    """The client counts that a proxy speaks for, and not the proxy."""
    options = replace(
        AUTO,
        auth=auth,
        networks=("127.0.0.0/8", "192.0.2.0/24"),
        proxy_networks=("127.0.0.5/32",),
        xclient_networks=("127.0.0.6/32",),
    )
    first = said[0][:2] if said else ""
    source = {"PR": "127.0.0.5", "XC": "127.0.0.6"}.get(first, "127.0.0.1")

    async def main() -> None:
        async with receiving(options) as reception:
            _, rest = await sent(reception, SUBMITTED, *said, source=source)
            assert rest == (helped(reception) if is_helped else SUBMITTED)
            facts = reception.intake.messages[0].facts
            assert facts.message_id_header == (own_id(reception) if is_helped else None)

    run_on("asyncio", main())


def helped(reception: Reception) -> bytes:
    added = DATE + f"Message-ID: {own_id(reception)}\r\n".encode()
    return added + SUBMITTED.replace(b"Bcc: a@y.test\r\n", b"")


def test_who_may_open_the_socket_is_helped(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiving(AUTO, unix_path=tmp_path / "smtp") as reception:
            assert (await sent(reception, SUBMITTED))[1] == helped(reception)

    run_on("asyncio", main())


@pytest.mark.parametrize("content", [RELAYED, RELAYED + b"x" * 300_000 + b"\r\n"])
def test_what_a_server_of_this_machine_hands_on_is_left_alone(content: bytes) -> None:
    """Its trace field tells that it is under way already (RFC 5321 section 6.4)."""

    async def main() -> None:
        async with receiving(replace(AUTO, message_size=10**6)) as reception:
            assert (await sent(reception, content))[1] == content

    run_on("asyncio", main())


def test_what_is_signed_is_left_alone() -> None:
    """S-49: a signature may cover that there is no Date; what it does not cover is helped."""

    async def main() -> None:
        async with receiving(AUTO) as reception:
            _, rest = await sent(reception, SIGNED)
            assert rest == f"Message-ID: {own_id(reception)}\r\n".encode() + SIGNED

    run_on("asyncio", main())


@on_every_loop
def test_a_message_on_a_file_is_helped_too(loop: str) -> None:
    body = (b"y" * 76 + b"\r\n") * (2 * HELD // 78)

    async def main() -> None:
        async with receiving(replace(AUTO, message_size=10**6)) as reception:
            _, rest = await sent(reception, SUBMITTED + body)
            assert rest == helped(reception) + body
            facts = reception.intake.messages[0].facts
            assert (facts.size, facts.is_8bit) == (len(SUBMITTED + body), False)

    run_on(loop, main())


def test_octets_that_went_with_bcc_ask_for_nothing() -> None:
    """A name in it may have been all that was not ASCII."""

    async def main() -> None:
        async with receiving(AUTO) as reception:
            await sent(reception, "Bcc: Jü <a@y.test>\r\nTo: b\r\n\r\nx\r\n".encode())
            facts = reception.intake.messages[0].facts
            assert (facts.is_8bit, facts.utf8_headers) == (False, False)

    run_on("asyncio", main())
