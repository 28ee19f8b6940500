"""What a stranger wrote costs its length times a constant: no pattern backtracks, no loop is in a loop.

Every pattern that a module keeps is found by import, so a new one is tried without being named here.
"""

import re
from datetime import UTC, datetime
from functools import partial

import pytest

from relayd.mail.header import is_relayed, read_facts
from relayd.mail.reply import Stage, make_reply
from relayd.mail.subject import subject_of
from relayd.mail.submission import missing_fields, without_bcc
from relayd.mail.words import Category
from relayd.policy.dsn import DsnFacts, FailedRecipient, compose
from relayd.policy.dsn.lines import clean_line
from relayd.policy.inbound_bounce import Kind, parse_bounce
from relayd.policy.replies.classify import classify_fields
from relayd.policy.replies.phrases import TEXT_LIMIT, Phrase, _compiled
from relayd.policy.replies.ruleset import builtin_rules
from tests.support.hostile_text import LENGTH, LIMIT, Pattern, patterns_in, worst_case
from tests.support.processor import took_by

PATTERNS = {
    name: (pattern, uses)
    for name, pattern, uses in patterns_in(
        "relayd.mail", "relayd.policy", "relayd.net", "relayd.receiver"
    )
}
BAD = {
    "a repetition in a repetition": (r"(?:a+)+$", "search"),
    "two gaps in one alternative": (
        r"(?:not|un|fail\w{0,12})[^\n]{0,40}(?:deliver|reach)\w{0,12}[^\n]{0,40}(?:recipient|@)",
        "search",
    ),
    "a gap without a bound": (r"not[^\n]*delivered", "search"),
    "a quotation that does not end": (r'"(?:[^"\\]|\\.)*"', "findall"),
    "an end that is looked for again and again": (r"\s+$", "search"),
}


@pytest.mark.parametrize(("pattern", "uses"), PATTERNS.values(), ids=PATTERNS)
def test_every_pattern_is_linear(pattern: Pattern, uses: frozenset[str]) -> None:
    took, text = worst_case(pattern, uses)
    assert took < LIMIT, text


@pytest.mark.parametrize(("pattern", "use"), BAD.values(), ids=BAD)
def test_a_pattern_that_is_not_linear_is_found_out(pattern: str, use: str) -> None:
    took, _ = worst_case(re.compile(pattern), [use])
    assert took >= LIMIT


def test_the_patterns_are_found() -> None:
    modules = {name.rpartition(".")[0] for name in PATTERNS}
    assert {
        "relayd.mail.address",
        "relayd.mail.header",
        "relayd.net.smtp.replies",
        "relayd.policy.doctor.spf_record",
        "relayd.policy.inbound_bounce.phrases",
        "relayd.policy.replies.quoted",
        "relayd.receiver.commands",
    } <= modules
    assert len(PATTERNS) > 250


def test_every_phrase_with_two_gaps_is_fast_in_the_longest_reply() -> None:
    """It is searched in the words of a reply, which are no more than TEXT_LIMIT characters."""
    rules = builtin_rules()
    phrases: dict[str, Phrase] = {
        each.phrase.search: each.phrase
        for part in (rules.rules, rules.vetoes)
        for each in part.entries
        if each.phrase and each.phrase.search.count(".{") > 1
    }
    assert len(phrases) > 3
    for search in phrases:
        took, text = worst_case(_compiled(search), length=TEXT_LIMIT)
        assert took < LIMIT / 5, (search, text)


@pytest.mark.parametrize(
    "unit",
    [
        "550 ",
        "550-",
        " 554 ",
        "said: 550 ",
        "(a@b: 550 ",
        "reply to ",
        ">>> ",
        '"a@',
        "a.b.",
        "www.",
        "l'",
    ],
)
def test_a_reply_is_judged_in_linear_time(unit: str) -> None:
    text, rules = unit * (LENGTH // len(unit)), builtin_rules()
    assert took_by(lambda: classify_fields(550, None, text, "rcpt", rules), LIMIT) < LIMIT


HEADERS = (
    b"X-Relayd-Tag: a\r\n",
    b"X-Relayd-Tag:\r\n x\r\n",
    b"Received: a\r\n",
    b"Received \t",
    b"Message-ID:\r\n <",
    b"Message-ID: <a\r\n",
    b"Bcc: a\r\n",
    b"Bcc:\r\n a\r\n",
    b"a:\r\n",
    b"DKIM-Signature: h=a:b:c;h=d\r\n",
    b"DKIM-Signature: ;h\r\n =\r\n a:b\r\n",
    b"ARC-Message-Signature:;;;;h=:::::\r\n",
    b"h=a;",
    b" ",
    b"\r\n ",
)


@pytest.mark.parametrize("unit", ["a", "é ", '<>"; ', "\\x{e9}", "\u2028"])
def test_a_report_on_many_hostile_replies_is_composed_in_linear_time(unit: str) -> None:
    """A hundred recipients, each refused in 4 KiB of its own."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    facts = DsnFacts(
        reporting_mta="mx.x.test",
        queue_id="0CNA0NJ6E0401",
        reverse_path="app@app.test",
        envelope_id=None,
        received_at=now,
        received_from=None,
        ret=None,
        needs_utf8=False,
        now=now,
        token="token",
    )
    failed = [
        FailedRecipient(
            address=f"a{number}@x.test",
            orig_rcpt=None,
            action="failed",
            status="5.1.1",
            remote_host="mx.x.test",
            reply=make_reply(550, ((f"{number} " + unit * 4096)[:4096],)),
            reason=f"{number} refused",
            stage=Stage.RCPT,
            category=Category.BAD_MAILBOX,
            is_direct=True,
            possible_duplicate=False,
            last_attempt_at=now,
            will_retry_until=None,
        )
        for number in range(100)
    ]

    def write() -> None:
        clean_line.cache_clear()
        compose(facts, failed, b"A: b\r\n" * 10_000, full_copy_limit=10_000)

    assert took_by(write, 4 * LIMIT) < 4 * LIMIT  # of 400 KiB


@pytest.mark.parametrize(
    "first", [b"", b"bcc: x\r\nX-Relayd-Tag: ", b"DKIM-Signature: ", b"Subject: "]
)
@pytest.mark.parametrize("line", HEADERS)
def test_the_largest_header_section_is_read_in_linear_time(first: bytes, line: bytes) -> None:
    content = (first + line * (LENGTH // len(line)))[:LENGTH] + b"\r\n\r\nbody\r\n"
    for read in (
        read_facts,
        is_relayed,
        subject_of,
        without_bcc,
        lambda it: missing_fields(it, message_id="<a@b>", at=datetime(2026, 1, 1, tzinfo=UTC)),
    ):
        assert took_by(partial(read, content), LIMIT) < LIMIT


def _report(lines: bytes, recipients: int) -> bytes:
    return (
        b"From: MAILER-DAEMON@mx.x.test\r\nSubject: failure notice\r\n"
        b"Content-Type: multipart/report; boundary=B\r\n\r\n--B\r\n\r\n"
        + lines
        + b"\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x.test\r\n\r\n"
        + b"".join(
            b"Final-Recipient: rfc822; a%d@x.test\r\nAction: failed\r\n\r\n" % number
            for number in range(recipients)
        )
        + b"--B--\r\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"550 5.1.1 no such user\r\n",
        b"RCPT TO:<a1@x.test>\r\n550 no such user\r\n",
        b"<a1@x.test>: 550 unknown\r\n",
        b"<a1@x.test>\r\n",
        b"\t\tbox exceeded the local limit\r\n",
        b"a1@x.test " * 60 + b"\r\n",
        b"fail to reach address " * 40 + b"\r\n",
    ],
)
def test_many_recipients_in_a_long_report_are_no_product(line: bytes) -> None:
    """20,000 recipients and as many lines; 200 recipients are read."""
    mail = _report(line * (100_000 // len(line)), 20_000)
    assert took_by(lambda: parse_bounce(mail), 20 * LIMIT) < 20 * LIMIT
    assert parse_bounce(mail).kind is Kind.BOUNCE


def test_many_guessed_recipients_are_no_product() -> None:
    """Addresses of the message that came back; whether others are named is asked once."""
    named = b", ".join(b"a%d@x.test" % number for number in range(400))
    mail = (
        b"From: MAILER-DAEMON@mx.x.test\r\nSubject: failure notice\r\n"
        b"Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\nnot delivered\r\n"
        + b"b@y.test is no line of its own, nor c@y.test\r\n" * 600
        + b"--B\r\nContent-Type: message/rfc822\r\n\r\nX-Failed-Recipients: "
        + named
        + b"\r\n\r\n--B--\r\n"
    )
    assert took_by(lambda: parse_bounce(mail), 20 * LIMIT) < 20 * LIMIT
