"""A listener that helps its clients: what it adds, takes out and hides, and that no other does."""

import pytest

from relayd.mail.ids import format_id
from tests.support.receiving import Options, Reception, on_every_loop, receiving, run_on

DATE = b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
ALL = Options(add_headers=True, strip_bcc=True, hide_client=True)


async def sent(reception: Reception, content: bytes) -> tuple[bytes, bytes]:
    """Send a message; return our Received field and what is stored behind it."""
    client = await reception.greeted()
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
        async with receiving(Options(add_headers=True)) as reception:
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
        async with receiving(Options(add_headers=True)) as reception:
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
        async with receiving(Options(strip_bcc=True)) as reception:
            _, rest = await sent(
                reception,
                b"Bcc: a@y.test,\r\n\tb@y.test\r\nTO:\tc@y.test \r\nbcc:d\r\n\r\nBcc: in the body\r\n",
            )
            assert rest == b"TO:\tc@y.test \r\n\r\nBcc: in the body\r\n"
            assert len(reception.intake.messages[0].recipients) == 2

    run_on(loop, main())


def test_bcc_alone_leaves_no_recipient_field() -> None:
    async def main() -> None:
        async with receiving(Options(strip_bcc=True)) as reception:
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
    """The default: none of this (S-49)."""

    async def main() -> None:
        async with receiving() as reception:
            content = b"Bcc: a@y.test\r\n\r\nx\r\n"
            assert (await sent(reception, content))[1] == content
            assert reception.intake.messages[0].facts.message_id_header is None

    run_on("asyncio", main())
