"""What a rule changes of a signed header is signed again as it leaves, and what cannot be is held."""

import asyncio
from dataclasses import replace

import pytest

from relayd.deliverer.signing_again import signed_again
from relayd.mail.address import parse_address
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, queued_message
from relayd.mail.finish import signed
from relayd.mail.header import header_end
from relayd.mail.signing import ToSign
from relayd.policy.delivery.senders import SenderPatterns
from relayd.policy.rewriting.choice import Rewriting
from relayd.policy.rewriting.rules import DomainMap, Rewrite
from relayd.ports.view import Status
from relayd.settings import DkimKeySettings
from relayd.worker.signing import DkimSigner
from tests.support.builders import a_message
from tests.support.dkim import ed25519_pem, records, rsa_pem, signatures, verified
from tests.support.post import a_post
from tests.support.scripted_server import ScriptedServer

TRACE = b"Received: from a\r\n\tby us\r\n"
RECORDS = {
    **records("shop.test", r=rsa_pem(), e=ed25519_pem()),
    **records("brand.test", b=ed25519_pem()),
}


def _key(domain: str, selector: str, pem: bytes, *, required: bool = False) -> DkimKeySettings:
    return DkimKeySettings(
        domain=domain,
        selector=selector,
        path="/k",
        required=required,
        pem=pem,
        problem="" if pem else "gone",
    )


KEYS = (
    _key("shop.test", "r", rsa_pem()),
    _key("shop.test", "e", ed25519_pem()),
    _key("brand.test", "b", ed25519_pem()),
)
SIGNER = DkimSigner(KEYS)


def _rules(rule: Rewrite) -> Rewriting:
    return Rewriting(
        patterns=SenderPatterns(("*",)), senders={"*": rule}, smarthosts={}, key=bytes(32)
    )


FIXED = Rewrite(header_from=parse_address("news@brand.test"))
MAPPED = Rewrite(
    header_domains=DomainMap(entries=(("shop.test", "brand.test"), ("intern.test", "brand.test")))
)


def _message(author: str = "app@shop.test", body: bytes = b"Hello.\r\n") -> NewMessage:
    """Return a message as the receiver leaves it: signed, if there are keys for its author."""
    head = TRACE + f"From: App <{author}>\r\nSubject: s\r\n\r\n".encode() + body
    message = a_message("u@y.test", content=head)
    domain = SIGNER.domain_of(head[: header_end(head)], lambda _: True)
    if domain is None:
        return message
    wanted = ToSign(domain=domain, head=head, trace=len(TRACE), body=None, finish=bytes)
    return signed(replace(message, to_sign=wanted), SIGNER)


async def _sent(
    message: NewMessage, rule: Rewrite, signer: DkimSigner = SIGNER
) -> tuple[Status, bytes, str]:
    """Deliver a message by a rule; return its status, what left, and what its history says of it."""
    async with (
        ScriptedServer() as server,
        a_post(server.port, rewriting=_rules(rule), signer=signer) as post,
    ):
        await post.submit(message)
        await post.settled()
        told = post.events(message)[-1][1]
        content = server.messages[0].content if server.messages else b""
        return post.row(message).status, content, str(told.get("rewritten") or told.get("reason"))


@pytest.mark.parametrize("rule", [FIXED, MAPPED], ids=["fixed", "mapped"])
@pytest.mark.parametrize("author", ["app@shop.test", "app@intern.test"])
async def test_another_author_is_signed_with_the_keys_of_its_own_domain(
    rule: Rewrite, author: str
) -> None:
    """Whether or not it was signed as the author that the client gave it."""
    _, content, told = await _sent(_message(author), rule)
    [signature] = signatures(content)
    assert signature["d"] == "brand.test"
    assert verified(content, RECORDS) == [True]
    assert content.startswith(TRACE + b"DKIM-Signature: ")
    assert told.endswith("; signed as d=brand.test s=b")


async def test_a_covered_field_that_is_set_is_signed_again() -> None:
    message = _message()
    _, content, told = await _sent(message, Rewrite(set_headers={"Subject": "other"}))
    assert verified(message.content[:], RECORDS) == [True, True]
    assert verified(content, RECORDS) == [True, True]
    assert told == "Subject set; signed as d=shop.test s=r,e"


async def test_a_field_that_is_not_covered_leaves_the_signatures_as_they_are() -> None:
    message = _message()
    _, content, told = await _sent(message, Rewrite(add_headers={"X-A": "1"}))
    assert [each["t"] for each in signatures(content)] == [
        each["t"] for each in signatures(message.content[:])
    ]
    assert verified(content, RECORDS) == [True, True]
    assert told == "X-A added"


async def test_signatures_that_a_rule_takes_out_are_made_again() -> None:
    _, content, _ = await _sent(_message(), Rewrite(remove_headers=("DKIM-Signature",)))
    assert verified(content, RECORDS) == [True, True]


async def test_broken_signatures_do_not_leave() -> None:
    rule = Rewrite(header_from=parse_address("a@nobody.test"))
    _, content, told = await _sent(_message(), rule)
    assert b"DKIM-Signature" not in content
    assert told.endswith("; DKIM signatures removed")


async def test_no_keys_for_either_author_says_nothing_of_signatures() -> None:
    rule = Rewrite(header_from=parse_address("a@nobody.test"))
    _, content, told = await _sent(_message("a@intern.test"), rule)
    assert b"DKIM-Signature" not in content
    assert "DKIM" not in told


async def test_a_client_gets_no_other_domains_signature_by_a_mapping() -> None:
    """T-03: only an author that the settings give all its mail is signed for."""
    unproven = replace(_message("boss@intern.test"), author_unproven=True)
    _, mapped, _ = await _sent(unproven, MAPPED)
    _, fixed, _ = await _sent(replace(unproven, id=a_message().id), FIXED)
    assert verified(mapped, RECORDS) == []
    assert verified(fixed, RECORDS) == [True]


async def test_what_must_be_signed_and_cannot_be_is_held() -> None:
    signer = DkimSigner([_key("brand.test", "b", b"", required=True)])
    status, content, reason = await _sent(_message(), FIXED, signer)
    assert (status, content) == (Status.HELD, b"")
    assert reason == "the key b._domainkey.brand.test cannot be used: gone"


class _OnFile:
    """Content that is read a run at a time."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.longest = 0

    def __len__(self) -> int:
        return len(self._octets)

    def __getitem__(self, part: "slice[int | None, int | None, None]", /) -> bytes:
        self.longest = max(self.longest, len(self._octets[part]))
        return self._octets[part]


async def test_large_content_is_hashed_in_pieces() -> None:
    message = _message("a@intern.test", b"x" * 1_000_000 + b"\r\n\r\n")
    on_file = _OnFile(message.content[:])
    content: Content = on_file
    given = _rules(FIXED).given("app@app.test", content, "smarthost", message.received_at)
    again = await asyncio.wait_for(
        signed_again(given, queued_message(message), content, SIGNER, message.received_at), 10
    )
    assert on_file.longest <= 256 * 1024
    assert verified(again.content[:], RECORDS) == [True]
