"""The last step before a message is stored: its signatures, and what its history says of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from relayd.mail import dkim
from relayd.mail.address import Address
from relayd.mail.envelope import ContentCheck
from relayd.mail.event import first_events
from relayd.mail.finish import signed, signed_own
from relayd.mail.signing import Signatures, ToSign
from tests.support.builders import a_message

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRACE, HEADER, BODY = b"Received: us\r\n", b"From: a@x.test\r\n", b"Hello.\r\n"
HEAD = TRACE + HEADER + b"\r\n" + BODY


class FakeSigner:
    """`relayd.mail.signing.Signer` that shows what it is to sign."""

    def __init__(self, fields: bytes = b"DKIM-Signature: x\r\n", missing: str = "") -> None:
        self._found = Signatures(fields=fields, told="d=x.test s=a", missing=missing)
        self.asked: list[tuple[bytes, bytes, str]] = []

    def domain_of(self, header: bytes, may_be_author: Callable[[Address], bool]) -> str | None:
        return "x.test" if may_be_author(Address("a", "x.test")) and b"x.test" in header else None

    def sign(self, header: bytes, body: bytes, domain: str, at: datetime) -> Signatures:
        assert at.tzinfo is not None
        self.asked.append((header, body, domain))
        return self._found


def _to_sign(body: bytes | None = None) -> ToSign:
    return ToSign(domain="x.test", head=HEAD, trace=len(TRACE), body=body, finish=bytes)


def test_signatures_come_between_the_trace_and_the_rest() -> None:
    signer = FakeSigner()
    message = signed(replace(a_message(content=HEAD), to_sign=_to_sign()), signer)
    assert message.content == TRACE + b"DKIM-Signature: x\r\n" + HEAD[len(TRACE) :]
    assert signer.asked == [(HEADER, dkim.body_hash(BODY), "x.test")]
    assert (message.dkim, message.to_sign, message.is_held) == ("d=x.test s=a", None, False)


def test_the_hash_of_a_large_body_is_known_before() -> None:
    signer = FakeSigner()
    signed(replace(a_message(content=HEAD), to_sign=_to_sign(b"known")), signer)
    assert signer.asked == [(HEADER, b"known", "x.test")]


def test_what_is_not_to_be_signed_stays_as_it_is() -> None:
    message = a_message(content=HEAD)
    assert signed(message, FakeSigner()) is message
    wanted = replace(message, to_sign=_to_sign())
    assert signed(wanted, None) is wanted


def test_a_message_that_lacks_a_signature_is_held_and_its_history_says_why() -> None:
    message = signed(
        replace(a_message(content=HEAD), to_sign=_to_sign()), FakeSigner(b"", missing="no key")
    )
    assert message.content == HEAD
    assert message.is_held
    assert message.has_findings
    events = first_events(replace(message, content_check=ContentCheck(score=1.0, reason="noted")))
    assert [each.kind for each in events] == ["received", "scored", "held"]
    assert events[-1].detail == {"by": "[[dkim]]", "reason": "no key"}
    assert [each.kind for each in first_events(message)] == ["received", "held"]


def test_our_own_mail_is_signed_as_nobody_else_wrote_its_author() -> None:
    content = HEADER + b"\r\n" + BODY
    message = signed_own(a_message(content=content), content, FakeSigner())
    assert message.content == b"DKIM-Signature: x\r\n" + content
    assert message.dkim == "d=x.test s=a"


def test_our_own_mail_without_keys_is_not_signed() -> None:
    message = a_message(content=BODY)
    assert signed_own(message, BODY, None) is message
    assert signed_own(message, BODY, FakeSigner()).dkim == "none"
