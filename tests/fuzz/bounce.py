"""Mail to a return path, which anybody may send: read without an exception, cleanly, in time.

The first octet says what stands in front of the rest, so that few octets reach far.
"""

from datetime import timedelta

from relayd.policy import late
from relayd.policy.inbound_bounce import Kind, ParsedBounce, parse_bounce
from relayd.policy.replies.ruleset import builtin_rules
from tests.support.processor import took_by

TOKENS = (
    *(b"From: MAILER-DAEMON@mx.test\n", b"Subject: failure notice\n", b"Content-Type: ", b"\n\n"),
    *(b"multipart/report; boundary=b\n", b"\n--b\n", b"\n--b--\n", b"message/delivery-status\n\n"),
    *(b"message/rfc822\n\n", b"message/feedback-report\n\n", b"text/html\n\n", b"charset=utf-16\n"),
    *(b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n"),
    *(b"Final-Recipient: rfc822; a@b.test\n", b"Original-Recipient: utf-8; ", b"Action: failed\n"),
    *(b"Action: delayed\n", b"Action: delivered\n", b"Status: 5.1.1\n", b"Diagnostic-Code: smtp; "),
    *(b"550 5.1.1 no such user\n", b"<a@b.test>: 550 no\n", b"not delivered\n", b"5.1.1", b"421 "),
    *(
        b"Feedback-Type: abuse\n",
        b"Original-Rcpt-To: a@b.test\n",
        b"Auto-Submitted: auto-replied\n",
    ),
    *(
        b'{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"a@b.test"}]}}',
    ),
    *(
        b"--- Below this line is a copy of the message.\n",
        b"Message-ID: <a@b.test>\n",
        b"=0A",
        b"=",
    ),
    *(
        b"=?utf-8?q?a?=",
        b"=?utf-8?b?YQ==?=",
        b"\\x{20AC}",
        b"\xc3\xbc",
        b"\xff",
        b"\0",
        b" ",
        b"\t",
    ),
)
_FRONTS = (
    b"",
    b"From: MAILER-DAEMON@mx.test\nSubject: failure notice\n",
    b"From: MAILER-DAEMON@mx.test\nSubject: failure notice\n\nnot delivered\n",
    b"Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.test\n",
    b"Content-Type: multipart/report; boundary=b\n\n--b\n",
    b"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n",
    b"From: no-reply@sns.test\nSubject: notice\n\n",
    b"From: MAILER-DAEMON@mx.test\nSubject: failure notice\nContent-Transfer-Encoding: base64\n\n",
)
_RULES = builtin_rules()
_TIME = 0.5  # seconds of the processor that are too many, under a fuzzer's eyes


def check(octets: bytes) -> None:
    raw = _FRONTS[octets[0] & 7] + octets[1:] if octets else b""
    parsed = _read_in_time(raw)
    _check_result(parsed)
    late.conclude(parsed, is_null=True, meant=("a@b.test",), age=timedelta())
    unix = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected = parse_bounce(unix, rules=_RULES)
    assert parse_bounce(unix.replace(b"\n", b"\r\n"), rules=_RULES) == expected
    assert parse_bounce(unix.replace(b"\n", b"\r"), rules=_RULES) == expected


def _read_in_time(raw: bytes) -> ParsedBounce:
    found: list[ParsedBounce] = []
    took = took_by(lambda: found.append(parse_bounce(raw, rules=_RULES)), _TIME)
    assert took < _TIME, f"{len(raw)} octets"
    return found[-1]


def _check_result(parsed: ParsedBounce) -> None:
    assert parsed.kind is not Kind.NOTBOUNCE or not parsed.recipients
    assert len(parsed.recipients) <= 200
    for one in parsed.recipients:
        assert one.address
        for text in (one.address, one.diagnostic):
            assert text.isprintable(), text
            assert len(text) <= 4096
            text.encode()
