"""The worst input that is known, as long as it may be: time grows with its length and no faster, which doubling shows.

Linear takes 4 times as long for 4 times the octets, and a product of two loops 16 times. Every pattern by itself is
`unit/test_linear.py`'s; that the reader of returned mail ends whatever it is given, `e2e/test_bounce_reader.py`'s.
"""

import base64
from collections.abc import Callable
from functools import partial

import pytest

from relayd.mail.header import read_facts
from relayd.mail.subject import subject_of
from relayd.mail.submission import without_bcc
from relayd.policy.inbound_bounce import parse_bounce
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.ruleset import builtin_rules
from relayd.receiver.reader import HELD
from tests.support.besieged import Besieged, replies
from tests.support.processor import seconds, took_by

MIB = 1 << 20  # of a returned mail is looked at
PARTS = 10_000
FIELDS = 1_000_000
MOST = 0.5  # seconds for 1 MiB; measured: 0.15
_SLACK = 0.02  # seconds: what is short is no measure

TOP = b"From: MAILER-DAEMON@mx.x.test\r\nSubject: failure notice\r\n"
REPORT = (
    TOP
    + b"Content-Type: multipart/report; report-type=delivery-status; boundary=B\r\n\r\n--B\r\n\r\nhi\r\n"
    b"--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x.test\r\n\r\n"
)
HTML = TOP + b"Content-Type: text/html\r\n\r\n"
MIXED = TOP + b"Content-Type: multipart/mixed; boundary="
Make = Callable[[int], bytes]


def again(unit: bytes, begin: bytes = TOP + b"\r\n") -> Make:
    return lambda octets: begin + unit * (octets // len(unit))


def parts_in_parts(octets: int) -> bytes:
    """At 1 MiB 10,000 of them, each in the one before."""
    count = octets * PARTS // MIB
    begin = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(count)
    )
    return (
        TOP
        + begin
        + b"\r\n550 5.1.1 no such user\r\n"
        + b"".join(b"--%d--\r\n" % n for n in reversed(range(count)))
    )


def boundaries_of_each_other(octets: int) -> bytes:
    """Each is the beginning of the next."""
    begin = b"".join(
        b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (b"b" * n, b"b" * n)
        for n in range(1, 61)
    )
    return TOP + begin + b"--bbbbb\r\n\r\n" * (octets // 11)


def encoded(body: bytes) -> Make:
    head = TOP + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return lambda octets: head + base64.encodebytes(body * (octets * 3 // 4 // len(body)))


RETURNED: dict[str, Make] = {
    "parts in parts": parts_in_parts,
    "messages in messages": again(b"Content-Type: message/rfc822\r\n\r\n", TOP),
    "parts": again(b"--B\r\n\r\nx\r\n", MIXED + b"B\r\n\r\n"),
    "boundaries": boundaries_of_each_other,
    "dashes": again(b"--\r\n", MIXED + b"B\r\n\r\n"),
    "fields": again(b"a:b\r\n", TOP),
    "types": again(b"Content-Type: text/plain\r\n", TOP),
    "failed recipients": again(b"X-Failed-Recipients: a@x.test\r\n", TOP),
    "a folded field": again(b" a\r\n", TOP + b"Content-Type: text/plain;\r\n"),
    "parameters": again(b";boundary*0=a", TOP + b"Content-Type: multipart/mixed"),
    "a quoted boundary": again(b'\\"', MIXED + b'"'),
    "comments": again(b"(", TOP + b"Content-Type: "),
    "encoded words": again(b"=?utf-8?q?a?= ", TOP + b"Subject: "),
    "authors": again(b"<a@b.test>, ", b"From: "),
    "base64": encoded(b"550 5.1.1 <a@x.test> no such user\r\n"),
    "quoted-printable": again(b"=41", TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
    "replies": again(b"550 5.1.1 <a@x.test> no such user\r\n"),
    "commands": again(b"RCPT TO:<"),
    "halves of addresses": again(b"a@"),
    "empty lines": again(b"\r\n"),
    "tags": again(b"<td", HTML),
    "character references": again(b"&#1;", HTML),
    "paragraphs": again(b"<p>550 5.1.1 a@x.test</p>", HTML),
    "recipients": again(b"Final-Recipient: rfc822; a@x.test\r\nAction: failed\r\n\r\n", REPORT),
    "diagnoses": again(b"Diagnostic-Code: smtp; 550 x\r\n", REPORT),
    "shifts of a charset": again(
        b"\x1b$B", TOP + b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
    ),
}


def grows(make: Make, work: Callable[[bytes], object], octets: int) -> tuple[float, float]:
    """Return the seconds for a quarter of the octets, and for all."""
    quarter, whole = partial(work, make(octets // 4)), partial(work, make(octets))
    return max(seconds(quarter) for _ in range(2)), took_by(whole, MOST / 4)


@pytest.mark.parametrize("kind", RETURNED)
def test_returned_mail_is_read_in_linear_time(kind: str) -> None:
    small, large = grows(RETURNED[kind], parse_bounce, MIB)
    assert large < MOST
    assert large < 8 * small + _SLACK


@pytest.mark.parametrize("unit", ["550 5.1.1 ", "a@b ", "<", "user unknown ", "\u00e9", "\\x{e9}", "(" , "5.7.1"])  # fmt: skip
def test_a_reply_of_a_mebibyte_is_judged_in_linear_time(unit: str) -> None:
    """No server gets so far: 4 KiB of a reply are kept."""
    rules = builtin_rules()

    def judge(text: bytes) -> object:
        return classify_fields(550, None, text.decode(), "rcpt", rules)

    small, large = grows(again(unit.encode(), b""), judge, MIB)
    assert large < MOST
    assert large < 8 * small + _SLACK


@pytest.mark.parametrize("unit", [b"a:b\r\n", b"Received: a\r\n", b"X-Relayd-Tag: a\r\n", b"Bcc: a\r\n", b"a: b\r\n c\r\n", b"Subject: =?utf-8?q?a?=\r\n"])  # fmt: skip
def test_the_longest_header_section_is_read_in_linear_time(unit: bytes) -> None:
    """256 KiB, with 52,000 fields of one octet: by the loop that serves all clients, so it is short."""

    def read(content: bytes) -> None:
        for each in (read_facts, subject_of, without_bcc):
            each(content + b"\r\nx\r\n")

    small, large = grows(again(unit, b""), read, HELD)
    assert large < MOST / 4
    assert large < 8 * small + _SLACK


def test_a_million_fields_are_refused_and_nobody_waits(besieged: Besieged) -> None:
    """5 MB of header fields: no more of them is kept than 256 KiB, and others are answered in between."""
    before = besieged.processor()
    with (
        besieged.raw(besieged.daemon.port, "127.0.40.1") as sock,
        besieged.daemon.client() as other,
    ):
        begun = (b"EHLO a\r\n", b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<b@x.test>\r\n", b"DATA\r\n")
        assert replies(sock, *begun)[-1].startswith(b"354 ")
        for _ in range(10):
            sock.sendall(b"a:b\r\n" * (FIELDS // 10))
            assert other.noop()[0] == 250
        sock.sendall(b"\r\nx\r\n.\r\n")
        assert sock.recv(1000).startswith(b"552 5.3.4 Header section too big")
    took = besieged.processor() - before
    print(f"{took:.2f} s")
    assert took < 1.5
