"""What clients hand over is signed with the keys of its author's domain, if they may be that author."""

import asyncio
from base64 import b64encode

import pytest

from relayd.mail.envelope import ContentCheck, NewMessage
from relayd.mail.event import first_events
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.intake.access import AccessRules, Allowed
from relayd.receiver.reader import HELD
from relayd.settings import DkimKeySettings, FixUps, ListenerAuth
from tests.support.dkim import ed25519_pem, records, rsa_pem, signatures, verified
from tests.support.receiving import Options, Reception, receiving, send_message

SHOP = f"AUTH PLAIN {b64encode(b'.shop.hunter2'.replace(b'.', bytes(1))).decode()}"
APP = SHOP.replace(SHOP.split()[2], b64encode(b"\0app\0hunter2").decode())
RECORDS = records("x.test", r=rsa_pem(), e=ed25519_pem())
BODY = b"\r\nHello.\r\n"


def _key(selector: str, pem: bytes, *, required: bool = False) -> DkimKeySettings:
    return DkimKeySettings(
        domain="x.test",
        selector=selector,
        path="/k",
        required=required,
        pem=pem,
        problem="" if pem else "there is no such file",
    )


KEYS = (_key("r", rsa_pem()), _key("e", ed25519_pem()))


async def _taken(
    it: Reception, content: bytes, *mail: str, login: str = ""
) -> tuple[NewMessage, list[bool]]:
    """Hand a message over; return what is stored of it, and what dkimpy finds of its signatures."""
    client = await it.greeted()
    if login:
        assert (await client.ask(login)).startswith("235 ")
    reply = await send_message(client, content, *mail)
    assert reply.startswith("250 "), reply
    message = it.intake.messages[-1]
    return message, verified(message.content[:], RECORDS)


async def test_both_keys_sign_behind_our_trace_field() -> None:
    content = b"From: App <app@news.x.test>\r\n" + BODY
    async with receiving(Options(dkim=KEYS)) as it:
        message, found = await _taken(it, content)
    assert found == [True, True]
    stored = message.content[:]
    assert stored.startswith(b"Received: ")
    assert stored.endswith(b"\r\n" + content)
    assert [each["s"] for each in signatures(stored)] == ["r", "e"]
    assert {each["d"] for each in signatures(stored)} == {"x.test"}
    assert first_events(message)[0].detail["dkim"] == "d=x.test s=r,e"
    assert message.to_sign is None


async def test_without_keys_nothing_is_said_of_signatures() -> None:
    async with receiving() as it:
        message, found = await _taken(it, b"From: <app@x.test>\r\n" + BODY)
    assert found == []
    assert "dkim" not in first_events(message)[0].detail


async def test_what_we_add_and_take_out_is_signed_as_it_leaves() -> None:
    options = Options(dkim=KEYS, add_headers=FixUps.ALWAYS, strip_bcc=FixUps.ALWAYS)
    content = b"From: <app@x.test>\r\nBcc: <b@y.test>\r\nX-Relayd-Tag: t\r\nSubject: s\r\n" + BODY
    async with receiving(options) as it:
        message, found = await _taken(it, content)
    assert found == [True, True]
    stored = message.content[:]
    assert stored.index(b"DKIM-Signature") < stored.index(b"\r\nMessage-ID:")
    assert b"Bcc" not in stored
    assert b"X-Relayd" not in stored


@pytest.mark.parametrize("over", [-3, -2, -1, 0, 1, 70_000], ids=str)
async def test_large_content_is_hashed_while_it_comes_in(over: int) -> None:
    """The border between memory and spool may lie between the CR and the LF of a line end."""
    head = b"From: <app@x.test>\r\n\r\n"
    content = head + b"x" * (HELD - len(head) + over) + b"\r\n\r\n.\r\ny\r\n\r\n"
    async with receiving(Options(dkim=KEYS, message_size=10 * HELD)) as it:
        message, found = await _taken(it, content.replace(b"\r\n.\r\n", b"\r\n..\r\n"))
    assert message.content[:].endswith(content)
    assert found == [True, True]


async def test_the_hash_on_the_way_notices_every_octet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a spool that keeps another octet breaks the signature."""
    async with receiving(Options(dkim=KEYS, message_size=10 * HELD)) as it:
        client = await it.greeted()
        await client.ask("MAIL FROM:<app@x.test>", "RCPT TO:<u@y.test>", "DATA")
        await client.send(b"From: <app@x.test>\r\n\r\n" + b"x" * (2 * HELD) + b"\r\n.\r\n")
        assert "queued" in await client.line()
        content = it.intake.messages[-1].content[:]
    monkeypatch.undo()
    assert verified(content, RECORDS) == [True, True]
    assert verified(content[:-5] + b"y" + content[-4:], RECORDS) == [False, False]


@pytest.mark.parametrize(
    ("author", "login", "is_signed"),
    [
        pytest.param("boss@x.test", APP, True, id="any-author-without-a-list"),
        pytest.param("boss@x.test", SHOP, True, id="of-the-list"),
        pytest.param("boss@news.x.test", SHOP, False, id="not-of-the-list"),
        pytest.param("boss@news.x.test", "", True, id="a-trusted-network"),
        pytest.param("boss@y.test", APP, False, id="no-keys"),
    ],
)
async def test_a_user_with_senders_is_signed_for_as_these_only(
    author: str, login: str, *, is_signed: bool
) -> None:
    """T-03; `shop` has the senders `@x.test`."""
    options = Options(dkim=KEYS, auth=ListenerAuth.OPTIONAL)
    async with receiving(options) as it:
        message, found = await _taken(it, f"From: <{author}>\r\n".encode() + BODY, login=login)
    assert found == ([True, True] if is_signed else [])
    assert message.dkim == ("d=x.test s=r,e" if is_signed else "none")
    assert message.author_unproven is (author == "boss@news.x.test" and login == SHOP)


async def test_lists_of_senders_bind_the_signature_too() -> None:
    """T-03, where From itself is free: `allowed_senders` of the login, network or listener."""
    only = Allowed(senders=SenderPatterns(("app@x.test",)))
    options = Options(dkim=KEYS, access=AccessRules(), allowed=only)
    async with receiving(options) as it:
        _, own = await _taken(it, b"From: <app@x.test>\r\n" + BODY)
        _, others = await _taken(it, b"From: <boss@x.test>\r\n" + BODY)
    assert (own, others) == ([True, True], [])


async def test_mail_of_strangers_to_return_paths_is_never_signed() -> None:
    async with receiving(Options(dkim=KEYS, networks=("192.0.2.0/24",))) as it:
        mail = ("MAIL FROM:<>", "RCPT TO:<known@returns.test>")
        message, found = await _taken(it, b"From: <app@x.test>\r\n" + BODY, *mail)
    assert found == []
    assert message.dkim == ""


async def test_a_key_that_cannot_be_used_signs_nothing() -> None:
    async with receiving(Options(dkim=(_key("r", b""), KEYS[1]))) as it:
        message, found = await _taken(it, b"From: <app@x.test>\r\n" + BODY)
    assert found == [True]
    assert (message.dkim, message.is_held) == ("d=x.test s=e", False)


async def test_mail_is_held_without_a_signature_that_it_must_have() -> None:
    async with receiving(Options(dkim=(_key("r", b"", required=True), KEYS[1]))) as it:
        message, _ = await _taken(it, b"From: <app@x.test>\r\n" + BODY)
        other, _ = await _taken(it, b"From: <app@y.test>\r\n" + BODY)
    _, held = first_events(message)
    assert held.kind == "held"
    assert held.detail == {
        "by": "[[dkim]]",
        "reason": "the key r._domainkey.x.test cannot be used: there is no such file",
    }
    assert message.is_held
    assert not other.is_held


class _Checker:
    """Looks at what it is asked about."""

    def __init__(self) -> None:
        self.seen = b""

    async def judge(self, message: NewMessage) -> ContentCheck | None:
        self.seen = message.content[:]
        await asyncio.sleep(0)
        return ContentCheck(score=1.0, reason="noted")


async def test_content_is_checked_first_and_then_signed() -> None:
    checker = _Checker()
    async with receiving(Options(dkim=KEYS), checker=checker) as it:
        message, found = await _taken(it, b"From: <app@x.test>\r\n" + BODY)
    assert b"DKIM-Signature" not in checker.seen
    assert found == [True, True]
    assert message.content_check is not None
