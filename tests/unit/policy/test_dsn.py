"""Reports to the sender: whom they go to, what they say, and that nothing gets into them."""

import email
import email.policy
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import Message
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayd.mail.address import PathError, parse_address
from relayd.mail.outcome import NotTried, Outcome, Relayed, Sent
from relayd.mail.reply import Reply, Stage, make_reply
from relayd.mail.words import Category
from relayd.policy.dsn import (
    USUAL_LIMITS,
    Action,
    DsnBudget,
    DsnFacts,
    DsnLimits,
    FailedRecipient,
    Occasion,
    compose,
    occasion_of,
    wants_report,
)
from relayd.policy.inbound_bounce import Kind, parse_bounce
from tests.support.builders import a_bounce, a_deferral
from tests.support.clock import START

ORIGINAL = b"From: <app@app.test>\r\nSubject: Hello\r\nMessage-ID: <1@app.test>\r\n\r\nHello.\r\n"
LATIN_BODY = b"Subject: Hello\r\n\r\nGr\xfc\xdfe\r\n"
UTF8_HEADER = "Subject: Grüße\r\n\r\nHello.\r\n".encode()
LIMIT = 50_000
HEADER_FIELDS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]
MESSAGE_FIELDS = {
    "Original-Envelope-Id",
    "Reporting-MTA",
    "Received-From-MTA",
    "Arrival-Date",
    "X-Relayd-Queue-ID",
}
RECIPIENT_FIELDS = {
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
    "Will-Retry-Until",
}
NO_SUCH_USER = make_reply(550, ("5.1.1 No such user here",))


def facts(**changes: object) -> DsnFacts:
    usual = DsnFacts(
        reporting_mta="relay.example.org",
        queue_id="01ABCDEFGHJKM",
        reverse_path="app@app.test",
        envelope_id=None,
        received_at=START - timedelta(hours=1),
        received_from="app.test",
        ret=None,
        needs_utf8=False,
        now=START,
        token="unique",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def failed(address: str = "user@example.com", **changes: object) -> FailedRecipient:
    usual = FailedRecipient(
        address=address,
        orig_rcpt=None,
        action="failed",
        status="5.1.1",
        remote_host="mx.example.com",
        reply=NO_SUCH_USER,
        reason="no such mailbox",
        stage=Stage.RCPT,
        category=Category.BAD_MAILBOX,
        is_direct=True,
        possible_duplicate=False,
        last_attempt_at=START,
        will_retry_until=None,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def report(
    *recipients: FailedRecipient,
    original: bytes = ORIGINAL,
    limit: int = LIMIT,
    about: DsnFacts | None = None,
) -> bytes:
    return compose(about or facts(), recipients or (failed(),), original, full_copy_limit=limit)


def parts_of(octets: bytes) -> list[Message]:
    """As a parser reads it that is not ours."""
    return cast("list[Message]", email.message_from_bytes(octets).get_payload())


def groups_of(octets: bytes) -> list[dict[str, str]]:
    """The fields of message/delivery-status, values unfolded."""
    groups = cast("list[Message]", parts_of(octets)[1].get_payload())
    return [
        {name: re.sub(r"\s*\r?\n\s*", " ", value) for name, value in one.items()} for one in groups
    ]


def text_of(octets: bytes) -> str:
    payload = parts_of(octets)[0].get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def pieces_of(octets: bytes) -> list[bytes]:
    """The three parts as octets, each with its header, split by the boundary alone."""
    found = re.search(rb'boundary="([^"]+)"', octets)
    assert found is not None
    _, *pieces, end = (b"\r\n" + octets).split(b"\r\n--" + found[1])
    assert end == b"--\r\n"
    return [piece.removeprefix(b"\r\n") for piece in pieces]


# Who is told


@pytest.mark.parametrize(
    ("notify", "failure", "delay", "success"),
    [
        pytest.param(None, True, False, False, id="not given"),
        pytest.param("NEVER", False, False, False, id="never"),
        pytest.param("never", False, False, False, id="never, small letters"),
        pytest.param("FAILURE", True, False, False, id="failure"),
        pytest.param("DELAY", False, True, False, id="delay"),
        pytest.param("SUCCESS", False, False, True, id="success"),
        pytest.param("Success,Failure,Delay", True, True, True, id="all"),
        pytest.param("NEVER,FAILURE", True, False, False, id="never, but not alone"),
        pytest.param("", True, False, False, id="empty"),
        pytest.param("SOMETIMES", True, False, False, id="unknown word"),
    ],
)
def test_notify_says_what_the_sender_is_told(
    notify: str | None, *, failure: bool, delay: bool, success: bool
) -> None:
    asked: dict[Occasion, bool] = {"failure": failure, "delay": delay, "success": success}
    for event, wanted in asked.items():
        assert wants_report("app@app.test", notify, event=event) is wanted
        assert not wants_report("", notify, event=event)
        assert not wants_report("<>", notify, event=event)


@pytest.mark.parametrize(
    ("outcome", "taken_over", "occasion"),
    [
        pytest.param(a_bounce(), False, "failure", id="bounced"),
        pytest.param(a_bounce(), True, "failure", id="bounced by who takes reports over"),
        pytest.param(Relayed(), False, "success", id="relayed"),
        pytest.param(Sent(), False, "success", id="sent"),
        pytest.param(Relayed(), True, None, id="relayed to who reports it"),
        pytest.param(Sent(), True, None, id="sent to who reports it"),
        pytest.param(NotTried(reason="no"), False, None, id="not tried"),
    ],
)
def test_an_outcome_is_an_occasion_to_report(
    outcome: Outcome, occasion: Occasion | None, *, taken_over: bool
) -> None:
    """A success is reported by the last one who knows of it (RFC 3461 section 5.2)."""
    found = occasion_of(outcome, taken_over=taken_over, received_at=START, now=START)
    assert found == occasion


@pytest.mark.parametrize(
    ("now", "retry_at", "reported"),
    [
        pytest.param(0, 30, False, id="soon again"),
        pytest.param(120, 239, False, id="again before that"),
        pytest.param(120, 240, True, id="not again before that"),
        pytest.param(239, 400, True, id="at the last moment"),
        pytest.param(240, 480, False, id="told before"),
        pytest.param(0, 9000, True, id="a long wait at once"),
    ],
)
def test_a_delay_is_reported_once(now: int, retry_at: int, *, reported: bool) -> None:
    """By the last attempt in the first four hours; minutes here."""
    outcome = a_deferral(START + timedelta(minutes=retry_at))
    at = START + timedelta(minutes=now)
    found = occasion_of(outcome, taken_over=False, received_at=START, now=at)
    assert found == ("delay" if reported else None)


# What it says


def test_the_header_is_that_of_an_automatic_mail() -> None:
    mail = email.message_from_bytes(report())
    assert mail.keys() == HEADER_FIELDS
    assert mail["From"] == "Mail Delivery System <mailer-daemon@relay.example.org>"
    assert mail["To"] == "<app@app.test>"
    assert mail["Message-ID"] == "<unique@relay.example.org>"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert email.utils.parsedate_to_datetime(mail["Date"]) == START


def test_people_read_which_address_failed_why_and_what_to_do() -> None:
    text = text_of(report())
    for words in (
        "relay.example.org",
        "could not be delivered",
        "<user@example.com>",
        "The server mx.example.com said:",
        "550 5.1.1 No such user here",
        "no such mailbox",
        "What to do: Check the address for mistakes",
        "01ABCDEFGHJKM",
    ):
        assert words in text


def test_programs_read_the_fields_of_rfc_3464() -> None:
    about = facts(envelope_id="Job+2B7")
    one = failed(orig_rcpt="rfc822;User+2Bx@example.com")
    message, recipient = groups_of(report(one, about=about))
    assert message == {
        "Original-Envelope-Id": "Job+7",
        "Reporting-MTA": "dns; relay.example.org",
        "Received-From-MTA": "dns; app.test",
        "Arrival-Date": "Sun, 01 Mar 2026 11:00:00 +0000",
        "X-Relayd-Queue-ID": "01ABCDEFGHJKM",
    }
    assert recipient == {
        "Original-Recipient": "rfc822; User+x@example.com",
        "Final-Recipient": "rfc822; user@example.com",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.com",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
        "Last-Attempt-Date": "Sun, 01 Mar 2026 12:00:00 +0000",
    }


def test_fields_without_a_value_are_left_out() -> None:
    about = facts(received_from=None)
    one = failed(remote_host=None, reply=None, reason="")
    message, recipient = groups_of(report(one, about=about))
    assert not {"Received-From-MTA", "Original-Envelope-Id"} & message.keys()
    assert not {"Remote-MTA", "Diagnostic-Code", "Original-Recipient"} & recipient.keys()
    assert "said" not in text_of(report(one))


def test_without_a_reply_our_own_reason_stands() -> None:
    one = failed(reply=None, remote_host=None, status="4.4.7", reason="given up after 5 days")
    assert groups_of(report(one))[1]["Diagnostic-Code"] == "x-relayd; given up after 5 days"
    assert "Reason: given up after 5 days" in text_of(report(one))


def test_a_delay_says_until_when_we_try() -> None:
    one = failed(action="delayed", status="4.2.2", will_retry_until=START + timedelta(days=5))
    assert groups_of(report(one))[1]["Will-Retry-Until"] == "Fri, 06 Mar 2026 12:00:00 +0000"
    assert "do\r\nnot send it again" in text_of(report(one))
    assert email.message_from_bytes(report(one))["Subject"] == "Your message is delayed"
    assert "Will-Retry-Until" not in groups_of(report(replace(one, action="failed")))[1]


@pytest.mark.parametrize(
    ("status", "stage", "category", "words"),
    [
        pytest.param("5.1.1", Stage.RCPT, None, "Check the address", id="address"),
        pytest.param("5.0.0", Stage.RCPT, Category.BAD_MAILBOX, "Check the address", id="words"),
        pytest.param("5.1.2", Stage.CONNECT, None, "Check the address", id="no-such-domain"),
        pytest.param("5.1.0", Stage.DOT, None, "tell your administrator", id="not-at-the-dot"),
        pytest.param("5.1.1", Stage.MAIL, None, "tell your administrator", id="not-at-mail"),
        pytest.param("5.1.8", Stage.RCPT, None, "Your own sender address", id="sender"),
        pytest.param(
            *("5.1.0", Stage.RCPT, Category.SENDER_CONFIG, "Your own sender address"),
            id="sender-in-words",
        ),
        pytest.param("5.2.2", Stage.RCPT, None, "mailbox is full", id="full"),
        pytest.param("5.2.1", Stage.RCPT, None, "mailbox cannot be used", id="mailbox"),
        pytest.param("5.3.4", Stage.DOT, None, "too large", id="size"),
        pytest.param("4.4.7", Stage.CONNECT, None, "after the @", id="unreachable"),
        pytest.param("4.4.7", Stage.DOT, None, "Send it again later", id="reached-though"),
        pytest.param("5.6.3", Stage.DOT, None, "of this form", id="content"),
        pytest.param("5.7.1", Stage.DOT, None, "objects to the message", id="policy"),
        pytest.param("5.0.0", Stage.DOT, None, "tell your administrator", id="other"),
        pytest.param("nonsense", None, None, "tell your administrator", id="none"),
    ],
)
def test_advice_fits_cause_and_stage(
    status: str, stage: Stage | None, category: Category | None, words: str
) -> None:
    """Only RCPT and the DNS know addresses."""
    octets = report(failed(status=status, stage=stage, category=category))
    assert words in " ".join(text_of(octets).split())


def test_a_smarthost_out_of_reach_is_no_fault_of_the_address() -> None:
    octets = report(failed(status="4.4.7", stage=Stage.CONNECT, category=None, is_direct=False))
    assert "Send it again later" in text_of(octets)
    assert "@ for mistakes" not in text_of(octets)


@pytest.mark.parametrize("status", ["4.4.2", "4.4.7", "5.1.1", "5.0.0"])
def test_who_may_have_the_message_is_named_apart(status: str) -> None:
    """Whatever the last attempt said: before it is sent again, somebody has to look."""
    doubtful = failed("maybe@example.com", status=status, possible_duplicate=True)
    octets = report(doubtful)
    words = " ".join(text_of(octets).split())
    assert "It is not known whether your message reached the following." in words
    assert "The message may have arrived" in words
    assert "could not be delivered" not in words
    assert "Check the address" not in words
    assert groups_of(octets)[1]["Action"] == "failed"
    subject = email.message_from_bytes(octets)["Subject"]
    assert subject == "It is not known whether your message was delivered"
    both = report(doubtful, failed())
    assert email.message_from_bytes(both)["Subject"] == "Your message could not be delivered"
    words = " ".join(text_of(both).split())
    assert words.index("maybe@example.com") < words.index("could not be delivered")
    assert "Check the address" in words


@pytest.mark.parametrize(
    ("action", "status", "reported"),
    [
        ("failed", "5.7.26", "5.7.26"),
        ("failed", "4.4.7", "4.4.7"),
        ("failed", "", "5.0.0"),
        ("failed", "5.1.1\r\nX: y", "5.0.0"),
        ("delayed", "4", "4.0.0"),
        ("relayed", "?", "2.0.0"),
        ("delivered", "\u0665.1.1", "2.0.0"),
    ],
)
def test_a_status_is_always_one(action: Action, status: str, reported: str) -> None:
    assert groups_of(report(failed(action=action, status=status)))[1]["Status"] == reported


@pytest.mark.parametrize(
    ("orcpt", "field"),
    [
        pytest.param("rfc822;a+3Db@example.com", "rfc822; a=b@example.com", id="xtext"),
        pytest.param(r"utf-8;gr\x{FC}n@example.com", r"utf-8; gr\x{FC}n@example.com", id="utf-8"),
        pytest.param("x400;/C=de/S=user/", "x400; /C=de/S=user/", id="other type"),
        pytest.param("rfc822;a+0D+0AX: y", "rfc822; a X: y", id="line end inside"),
        pytest.param(r"utf-8;a\x{D800}@b", r"utf-8; a\x{D800}@b", id="no such character"),
        pytest.param("user@example.com", None, id="no type"),
        pytest.param("rfc822;", None, id="no address"),
        pytest.param("rfc822;+20", None, id="blank"),
        pytest.param("a b;c", None, id="not a type"),
    ],
)
def test_orcpt_is_given_back_decoded(orcpt: str, field: str | None) -> None:
    group = groups_of(report(failed(orig_rcpt=orcpt)))[1]
    assert group.get("Original-Recipient") == field


def test_the_longest_path_is_named_whole() -> None:
    """Our reader finds it, too (S-41)."""
    longest = f"bounce+{'c' * 493}=u@x.test"
    octets = report(failed(longest), about=facts(reverse_path=longest))
    assert groups_of(octets)[1]["Final-Recipient"] == f"rfc822; {longest}"
    assert email.message_from_bytes(octets)["To"] == f"<{longest}>"
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert [one.address for one in parse_bounce(octets).recipients] == [longest]


def test_only_those_who_are_reported_on_are_named() -> None:
    """The other recipients of the message are nobody's business (S-50): we are not even told."""
    octets = report(failed("a@example.com"), failed("b@example.com"))
    assert [group.get("Final-Recipient") for group in groups_of(octets)[1:]] == [
        "rfc822; a@example.com",
        "rfc822; b@example.com",
    ]


# What comes back


@pytest.mark.parametrize(
    ("ret", "action", "limit", "original", "kind", "encoding"),
    [
        pytest.param(None, "failed", LIMIT, ORIGINAL, "message/rfc822", "7bit", id="small"),
        pytest.param("FULL", "failed", LIMIT, ORIGINAL, "message/rfc822", "7bit", id="asked"),
        pytest.param("HDRS", "failed", LIMIT, ORIGINAL, "text/rfc822-headers", "7bit", id="hdrs"),
        pytest.param("FULL", "delayed", LIMIT, ORIGINAL, "text/rfc822-headers", "7bit", id="delay"),
        pytest.param(
            "FULL", "failed", len(ORIGINAL) - 1, ORIGINAL, "text/rfc822-headers", "7bit", id="large"
        ),
        pytest.param(
            None, "failed", len(ORIGINAL), ORIGINAL, "message/rfc822", "7bit", id="just fits"
        ),
        pytest.param(None, "failed", 0, ORIGINAL, "text/rfc822-headers", "7bit", id="never"),
        pytest.param(
            None, "failed", LIMIT, LATIN_BODY, "text/rfc822-headers", "7bit", id="8bit, not asked"
        ),
        pytest.param("FULL", "failed", LIMIT, LATIN_BODY, "message/rfc822", "8bit", id="8bit"),
        pytest.param(
            *("FULL", "failed", LIMIT, UTF8_HEADER, "text/rfc822-headers", "quoted-printable"),
            id="utf-8 header",
        ),
        pytest.param(None, "failed", LIMIT, b"no header", "message/rfc822", "7bit", id="no header"),
        pytest.param(None, "failed", LIMIT, b"", "message/rfc822", "7bit", id="empty"),
    ],
)
def test_the_message_comes_back(
    ret: str | None, action: Action, limit: int, original: bytes, kind: str, encoding: str
) -> None:
    octets = report(failed(action=action), original=original, limit=limit, about=facts(ret=ret))
    part = parts_of(octets)[2]
    assert part.get_content_type() == kind
    assert part["Content-Transfer-Encoding"] == encoding
    if kind == "message/rfc822":
        assert pieces_of(octets)[2].endswith(b"\r\n\r\n" + original)
    else:
        header = original.partition(b"\r\n\r\n")[0]
        assert part.get_payload(decode=True) in (header, header + b"\r\n")
    assert ("8bit" in octets.decode("latin-1")) == (encoding == "8bit")


def test_8bit_content_that_was_refused_for_it_does_not_come_back() -> None:
    """The report would be refused at the same place (S-35), and nobody would be told."""
    octets = report(failed(status="5.6.3"), original=LATIN_BODY, about=facts(ret="FULL"))
    assert octets.isascii()
    assert parts_of(octets)[2].get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"A: b\r\n\r\nbare\rCR\r\n", id="bare CR"),
        pytest.param(b"A: b\r\n\r\nbare\nLF\r\n", id="bare LF"),
        pytest.param(b"A: b\r\n\r\nLF and CR\n\r\r\n", id="LF CR"),
        pytest.param(b"A: b\r\n\r\nNUL\0\r\n", id="NUL"),
        pytest.param(b"A: b\r\n\r\n" + b"x" * 999 + b"\r\n", id="long line"),
        pytest.param(b"A: b\r\n\r\n" + b"x" * 999, id="long line without end"),
    ],
)
def test_what_may_not_stand_in_a_mail_does_not_come_back(bad: bytes) -> None:
    octets = report(original=bad)
    assert parts_of(octets)[2].get_content_type() == "text/rfc822-headers"
    assert parts_of(octets)[2].get_payload(decode=True) in (b"A: b", b"A: b\r\n")


def test_a_broken_header_section_is_encoded() -> None:
    bad = b"A: \xff\0\r\nB: " + b"x" * 2000 + b" \r\nC: a\rb\nc\r\n"
    octets = report(original=bad + b"\r\nbody\r\n")
    part = parts_of(octets)[2]
    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.rstrip(b"\r\n") == bad.rstrip(b"\r\n")
    check_octets(octets)


def test_a_huge_header_section_is_cut_at_a_line() -> None:
    octets = report(original=b"X: 1234567890\r\n" * 100_000, limit=0)
    body = pieces_of(octets)[2].partition(b"\r\n\r\n")[2]
    assert 60_000 < len(body) < 70_000
    assert set(body.split(b"\r\n")) == {b"X: 1234567890", b""}
    assert len(report(original=b"X" * 1_000_000, limit=0)) < 80_000


# Internationalized


@pytest.mark.parametrize(
    "about",
    [facts(needs_utf8=True), facts(reverse_path="grün@app.test")],
    ids=["as told", "by its path"],
)
def test_an_internationalized_report_shows_everything_as_it_is(about: DsnFacts) -> None:
    one = failed("δοκιμή@example.com", reply=make_reply(550, ("5.1.1 gibt es nicht: δοκιμή",)))
    octets = report(one, original=UTF8_HEADER, about=about)
    _, status, returned = parts_of(octets)
    assert status.get_content_type() == "message/global-delivery-status"
    assert returned.get_content_type() == "message/global"
    assert "<δοκιμή@example.com>" in text_of(octets)
    assert "\r\nFinal-Recipient: utf-8; δοκιμή@example.com\r\n" in octets.decode()
    assert "smtp; 550 5.1.1 gibt es nicht: δοκιμή" in octets.decode()
    assert pieces_of(octets)[2].endswith(UTF8_HEADER)
    assert f"To: <{about.reverse_path}>\r\n" in octets.decode()
    assert parse_bounce(octets).recipients[0].address == "δοκιμή@example.com"


def test_what_cannot_be_seen_is_left_out() -> None:
    one = failed(reply=make_reply(550, ("no\u2060 such\u00ad\U000e0041 user\u202e\x1b[2J",)))
    octets = report(one, about=facts(needs_utf8=True))
    assert groups_of(octets.replace(b"global-", b""))[1]["Diagnostic-Code"] == (
        "smtp; 550 no such user [2J"
    )


def test_every_other_report_is_ascii() -> None:
    one = failed("δοκιμή+1@example.com", reply=make_reply(550, ("gibt es nicht: δοκιμή €",)))
    octets = report(one, original=UTF8_HEADER)
    assert octets.isascii()
    recipient = groups_of(octets)[1]
    assert recipient["Final-Recipient"] == (
        r"utf-8; \x{3B4}\x{3BF}\x{3BA}\x{3B9}\x{3BC}\x{3AE}\x{2B}1@example.com"
    )
    assert recipient["Diagnostic-Code"].endswith(r"\x{3BC}\x{3AE} \x{20AC}")
    assert parse_bounce(octets).recipients[0].address == "δοκιμή+1@example.com"


# Other parsers


@pytest.mark.parametrize(
    ("one", "kind", "suppress"),
    [
        pytest.param(failed(), Kind.BOUNCE, True, id="no such user"),
        pytest.param(
            failed(status="5.7.1", reply=make_reply(554, ("5.7.1 Message refused as spam",))),
            *(Kind.BOUNCE, False),
            id="refused",
        ),
        pytest.param(
            failed(status="4.4.7", reply=None, reason="given up after 5 days: no answer"),
            *(Kind.BOUNCE, False),
            id="expired",
        ),
        pytest.param(failed(status="5.0.0", reply=None, reason=""), Kind.BOUNCE, False, id="bare"),
        pytest.param(
            failed(action="delayed", status="4.2.2", reply=make_reply(452, ("4.2.2 full",))),
            *(Kind.DELAYED, False),
            id="delayed",
        ),
        pytest.param(
            failed(action="relayed", status="2.0.0", reply=make_reply(250, ("2.0.0 ok",))),
            *(Kind.DELIVERED, False),
            id="relayed",
        ),
    ],
)
def test_our_own_reader_understands_it(one: FailedRecipient, kind: Kind, *, suppress: bool) -> None:
    parsed = parse_bounce(report(one, about=facts(envelope_id="Job7")))
    assert parsed.kind is kind
    assert parsed.envelope_id == "Job7"
    assert parsed.original_message_id == "<1@app.test>"
    (recipient,) = parsed.recipients
    assert (recipient.address, recipient.status) == (one.address, one.status)
    assert recipient.suppress is suppress


def test_a_report_on_a_report_keeps_its_parts() -> None:
    """No boundary is found in what comes back, however deep reports are packed into each other."""
    octets = ORIGINAL
    for _ in range(6):
        octets = report(original=octets)
        assert len(parts_of(octets)) == len(pieces_of(octets)) == 3
        assert parse_bounce(octets).recipients[0].address == "user@example.com"


# Whatever the inputs

NASTY = st.sampled_from(
    '\r\n\0\t\x0b\x0c\x1b\x1c\x1e\x7f\x85\u2028\u202e\u200b\ufeff :;,<>@"\\+=-.éß€'
)
texts = st.text(st.one_of(NASTY, st.characters()), max_size=300) | st.sampled_from(
    [
        "\r\nBcc: evil@example.com",
        "x\r\n\r\n--boundary\r\n",
        "a\x1cBcc: evil@example.com",
        "x" * 5000,
        "é" * 2000,
        "\U0001f4e7" * 999,
        "a " * 3000,
        "\ud800",
    ]
)
moments = st.integers(-1_000_000, 2_000_000_000).map(lambda late: START + timedelta(seconds=late))
replies = st.builds(
    Reply,
    code=st.integers(200, 599),
    enhanced=st.none() | texts,
    lines=st.lists(texts, max_size=4).map(tuple),
)
any_recipient = st.builds(
    FailedRecipient,
    address=texts,
    orig_rcpt=st.none() | texts | texts.map("rfc822;{}".format) | texts.map("utf-8;{}".format),
    action=st.sampled_from(["failed", "delayed", "relayed", "delivered"]),
    status=texts | st.just("5.1.1"),
    remote_host=st.none() | texts,
    reply=st.none() | replies,
    reason=texts,
    last_attempt_at=moments,
    will_retry_until=st.none() | moments,
)
any_facts = st.builds(
    DsnFacts,
    reporting_mta=texts,
    queue_id=texts,
    reverse_path=texts,
    envelope_id=st.none() | texts,
    received_at=moments,
    received_from=st.none() | texts,
    ret=st.sampled_from([None, "FULL", "HDRS"]),
    needs_utf8=st.booleans(),
    now=moments,
    token=texts,
)
any_content = st.one_of(
    st.binary(max_size=500),
    st.lists(
        st.sampled_from(
            [
                b"\r\n",
                b"\r\n\r\n",
                b"\n",
                b"Subject: x",
                b"Content-Type: multipart/mixed; boundary=",
                b'"a"',
                b"--a",
                b"--a--",
                b"--",
                b"Content-Type: message/rfc822",
                b"\xe9",
                b"y" * 1200,
            ]
        ),
        max_size=20,
    ).map(b"".join),
)


def check_octets(octets: bytes) -> None:
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")
    assert b"\0" not in octets
    assert max(map(len, octets.split(b"\r\n"))) <= 998


@settings(max_examples=200, deadline=None)
@given(any_facts, st.lists(any_recipient, min_size=1, max_size=3), any_content)
def test_no_input_changes_the_shape_of_a_report(
    about: DsnFacts, recipients: list[FailedRecipient], original: bytes
) -> None:
    octets = compose(about, recipients, original, full_copy_limit=400)
    check_octets(octets)
    assert octets.isascii() or about.is_utf8 or about.ret == "FULL"
    assert len(pieces_of(octets)) == 3
    for policy in (email.policy.compat32, email.policy.default):
        mail = email.message_from_bytes(octets, policy=policy)
        assert [name for name, _ in mail.items()] == HEADER_FIELDS
        assert not mail.defects
        parts = cast("list[Message]", mail.get_payload())
        assert [part.get_content_maintype() for part in parts][:2] == ["text", "message"]
        assert len(parts) == 3
        assert parts[0].keys() == parts[1].keys() == ["Content-Type", "Content-Transfer-Encoding"]
    check_fields(pieces_of(octets)[1], recipients)
    parse_bounce(octets)


def check_fields(part: bytes, recipients: list[FailedRecipient]) -> None:
    """Each line is one of our fields, once in its group, or the continuation of one."""
    _, message, *groups = part.removesuffix(b"\r\n").split(b"\r\n\r\n")
    assert len(groups) == len(recipients)
    for group, allowed in [(message, MESSAGE_FIELDS), *((g, RECIPIENT_FIELDS) for g in groups)]:
        lines = group.decode().split("\r\n")
        names = [line.partition(": ")[0] for line in lines if not line.startswith(" ")]
        assert set(names) <= allowed
        assert len(set(names)) == len(names)
        assert not [line for line in lines if not line.strip()]


# As many octets as a path may have, and each of them longer once it is escaped.
LONGEST_ESCAPED = f"{'+' * 62}é@{'.'.join(['é' * 31] * 3)}"


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Addresses as our parser lets them in, quoted, long and UTF-8 ones included."""
    local = draw(
        st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~é€-]{1,60}", fullmatch=True)
        | st.from_regex(r'"[ !#-\[\]-~é]{0,50}"', fullmatch=True)
        | st.just("+" * 64)
        | st.just("a" * 64)
    )
    domain = draw(st.from_regex(r"[a-zé]{1,30}(\.[a-z]{1,30}){1,6}", fullmatch=True))
    try:
        parse_address(f"{local}@{domain}")
    except PathError:
        return "user@example.com"
    return f"{local}@{domain}"


@settings(max_examples=200, deadline=None)
@given(paths(), paths(), st.booleans())
@example(LONGEST_ESCAPED, "app@app.test", False)  # noqa: FBT003
@example(LONGEST_ESCAPED, LONGEST_ESCAPED, True)  # noqa: FBT003
def test_addresses_survive(address: str, reverse_path: str, needs_utf8: bool) -> None:  # noqa: FBT001
    octets = report(failed(address), about=facts(reverse_path=reverse_path, needs_utf8=needs_utf8))
    check_octets(octets)
    found = re.search(r"\r\nFinal-Recipient: (?:rfc822|utf-8); ([^\r]*)\r\n", octets.decode())
    assert found is not None
    shown = found[1]
    if octets.isascii() and not address.isascii():
        shown = re.sub(r"\\x\{([0-9A-F]+)\}", lambda point: chr(int(point[1], 16)), shown)
    assert shown == address
    assert f"\r\nTo: <{reverse_path}>\r\n" in octets.decode()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.from_regex(
            r"[a-z][a-z0-9.+=_-]{0,20}[a-z0-9]@[a-z]{1,10}\.example\.com", fullmatch=True
        ),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_our_own_reader_finds_the_same_recipients(addresses: list[str]) -> None:
    parsed = parse_bounce(report(*map(failed, addresses)))
    assert [(one.address, one.status) for one in parsed.recipients] == [
        (address, "5.1.1") for address in addresses
    ]


def test_a_hostile_server_cannot_make_reports_large() -> None:
    """A-13, A-47: what it says is capped, and no recipient costs more than a few kilobytes."""
    said = make_reply(550, tuple("\u2028€" * 2000 for _ in range(20)))
    many = [failed(f"user{n}@example.com", reply=said, reason="€" * 9999) for n in range(100)]
    assert len(report(*many)) < 100 * 6000


# How many


LIMITS = DsnLimits(per_box=3, per_domain=6, per_client=8, in_total=10, window=timedelta(hours=1))
HOUR = timedelta(hours=1)


def a_budget(limits: DsnLimits = LIMITS) -> DsnBudget:
    return DsnBudget(limits, now=START)


def mail_many(
    budget: DsnBudget, *senders: str, client: str = "login app", at: datetime = START
) -> int:
    return sum(budget.may_mail(one, client, now=at) is not None for one in senders)


def test_a_box_has_a_cap_however_it_is_spelled() -> None:
    """A forger may choose among all of these, and all of them fill one box."""
    budget = a_budget()
    assert mail_many(budget, *["kim@b\u00fccher.test"] * 2) == 2
    spellings = (
        *(f"kim+{number}@b\u00fccher.test" for number in range(50)),
        "KIM@xn--bcher-kva.test",
        '"kim"@B\u00dcCHER.test',
        '"k\\im+x"@b\u00fccher.test',
    )
    assert mail_many(budget, *spellings) == 1


def test_a_domain_has_a_cap_whatever_its_boxes_are() -> None:
    budget = a_budget()
    boxes = [f"user{number}@victim.test" for number in range(50)]
    assert sum(mail_many(budget, one, client=one) for one in boxes) == 6
    assert mail_many(budget, "a@sub.victim.test") == 1, "another domain"


def test_a_client_has_a_cap_whatever_it_says_at_mail() -> None:
    budget = a_budget()
    senders = [f"a@{number}.test" for number in range(50)]
    assert mail_many(budget, *senders) == 8
    assert mail_many(budget, *senders, client="192.0.2.0") == 2, "what is left in all"
    assert mail_many(budget, *senders, client="login other", at=START + HOUR / 2) == 5


def test_time_works_off_what_was_mailed() -> None:
    budget = a_budget()
    many = ["a@app.test"] * 10
    assert mail_many(budget, *many) == 3
    assert mail_many(budget, *many, at=START + timedelta(minutes=21)) == 1
    assert mail_many(budget, *many, at=START + timedelta(hours=3)) == 3


def test_what_is_worked_off_is_forgotten() -> None:
    budget = a_budget()
    mail_many(budget, "a@app.test")
    mail_many(budget, "b@app.test", at=START + 2 * HOUR)
    assert {name for kind, name in budget._levels if kind == "box"} == {"b@app.test"}


def test_a_clock_set_back_stalls_nothing() -> None:
    budget, many = a_budget(), ["a@app.test"] * 10
    mail_many(budget, *many)
    before = START - timedelta(days=1)
    assert mail_many(budget, *many, at=before) == 0
    assert mail_many(budget, "b@app.test", at=before) == 1
    assert mail_many(budget, *many, at=before + timedelta(hours=2)) == 3


def test_the_next_report_says_how_many_there_were_not() -> None:
    budget = a_budget()
    assert [budget.may_mail("a@app.test", "x", now=START) for _ in range(5)] == [
        0,
        0,
        0,
        None,
        None,
    ]
    later = START + HOUR
    assert budget.may_mail("A+tag@app.test", "x", now=later) == 2
    assert budget.may_mail("a@app.test", "x", now=later) == 0


def test_counts_are_kept_for_a_bounded_number_of_boxes() -> None:
    """The latest: what a forger makes up does not stay."""
    budget = a_budget(replace(LIMITS, per_box=0))
    for number in range(1000):
        assert budget.may_mail(f"{number}@app.test", "x", now=START) is None
    assert list(budget._unmailed) == [f"{number}@app.test" for number in range(990, 1000)]


def test_a_report_says_how_many_were_not_mailed() -> None:
    said = b"Reports like this one that were not mailed to you lately"
    assert said not in compose(facts(), [failed()], ORIGINAL, full_copy_limit=LIMIT)
    told = compose(facts(unmailed=4900), [failed()], ORIGINAL, full_copy_limit=LIMIT)
    assert said in told
    assert b"too many at once: 4900." in b" ".join(told.split())


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(0, 1200)),
        max_size=60,
    )
)
def test_no_run_exceeds_the_caps(steps: list[tuple[str, str, int]]) -> None:
    budget, now = a_budget(), START
    mailed: Counter[tuple[str, str]] = Counter()
    for sender, client, wait in steps:
        now += timedelta(seconds=wait)
        domain = f"{'even' if sender in 'ac' else 'odd'}.test"
        if budget.may_mail(f"{sender}@{domain}", client, now=now) is not None:
            mailed.update([("box", sender), ("domain", domain), ("client", client), ("all", "")])
        windows = (now - START) / LIMITS.window
        caps = {"box": 3, "domain": 6, "client": 8, "all": 10}
        for (kind, _), count in mailed.items():
            assert count <= caps[kind] * (1 + windows) + 1e-6


def test_a_budget_that_changes_counts_what_was_mailed() -> None:
    """Another worker came: as many as are over the new share wait until those are worked off."""
    budget = DsnBudget(USUAL_LIMITS, now=START)
    for number in range(50):
        assert budget.may_mail(f"{number}@x.test", "c", now=START) is not None
    budget.limit(replace(USUAL_LIMITS, per_domain=50))
    assert budget.may_mail("other@x.test", "c", now=START) is None
    budget.limit(USUAL_LIMITS)
    assert budget.may_mail("other@x.test", "c", now=START) is not None


def test_a_report_that_is_taken_back_counts_no_more() -> None:
    """Its sender has read the refusal: as many others may be told as before."""
    budget = a_budget()
    for _ in range(20):
        assert budget.may_mail("a@x.test", "c", now=START) is not None
        budget.give_back("a@x.test", "c", now=START)
    for _ in range(LIMITS.per_box):
        assert budget.may_mail("a@x.test", "c", now=START) is not None
    assert budget.may_mail("a@x.test", "c", now=START) is None
    budget.give_back("b@x.test", "other", now=START)  # nothing was counted for that box
    assert budget.may_mail("b@x.test", "other", now=START) is not None
