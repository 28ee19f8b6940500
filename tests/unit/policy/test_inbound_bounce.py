"""Reports in fields (RFC 3464), complaints, receipts, notices; and the shape of the result."""

import base64
import sys

import pytest

from relayd.mail.charsets import load_charsets
from relayd.mail.words import BounceClass, Category
from relayd.policy.inbound_bounce import BouncedRecipient, Kind, ParsedBounce, parse_bounce, to_json


def report(
    fields: str, *, text: str = "A message could not be delivered.", encoding: str = ""
) -> bytes:
    """A multipart/report around the given delivery-status fields."""
    if encoding == "base64":
        fields = base64.encodebytes(fields.encode()).decode()
    transfer = f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    return f"""\
From: Mail Delivery System <MAILER-DAEMON@mx.example.net>
To: sender@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
 boundary="=_b1"

--=_b1
Content-Type: text/plain; charset=utf-8

{text}

--=_b1
Content-Type: message/delivery-status
{transfer}
{fields}
--=_b1
Content-Type: message/rfc822

From: sender@example.org
To: wanted@example.com
Message-ID: <first.1@example.org>
Subject: hello

a body that says 550 5.1.1 <other@example.com> user unknown
--=_b1--
""".encode()


PER_MESSAGE = "Reporting-MTA: dns; mx.example.net\nOriginal-Envelope-Id: qid+3D7\n\n"
FAILED = (
    "Final-Recipient: rfc822; wanted@example.com\nAction: failed\nStatus: 5.1.1\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <wanted@example.com>: no such user here\n"
)


def only(raw: bytes) -> BouncedRecipient:
    parsed = parse_bounce(raw)
    assert len(parsed.recipients) == 1
    return parsed.recipients[0]


def test_a_plain_report() -> None:
    parsed = parse_bounce(report(PER_MESSAGE + FAILED))
    assert parsed.kind is Kind.BOUNCE
    assert parsed.envelope_id == "qid+3D7"
    assert parsed.original_message_id == "<first.1@example.org>"
    assert parsed.feedback_type is None
    assert parsed.recipients == (
        BouncedRecipient(
            address="wanted@example.com",
            original=None,
            action="failed",
            status="5.1.1",
            code=550,
            diagnostic="550 5.1.1 <wanted@example.com>: no such user here",
            category=Category.BAD_MAILBOX,
            suppress=True,
            bounce_class=BounceClass.HARD,
        ),
    )


@pytest.mark.parametrize(
    ("fields", "addresses"),
    [
        pytest.param(FAILED, ["wanted@example.com"], id="no per-message group"),
        pytest.param(
            "\n\n" + PER_MESSAGE + "\n\n" + FAILED, ["wanted@example.com"], id="blank lines"
        ),
        pytest.param(
            FAILED + FAILED.replace("wanted@", "second@"),
            ["wanted@example.com", "second@example.com"],
            id="no empty line between recipients",
        ),
        pytest.param(
            FAILED.replace("\n", "\n\n", 1), ["wanted@example.com"], id="group cut in two"
        ),
        pytest.param(
            "Action: failed\nStatus: 5.0.0\nFinal-recipient: RFC822;Wanted@Example.COM\n",
            ["Wanted@Example.COM"],
            id="another order, any case",
        ),
        pytest.param(FAILED + "\n" + FAILED, ["wanted@example.com"], id="named twice"),
        pytest.param(
            "Final-Recipient: rfc822; <a@example.com>\nAction: failed\nStatus: 5.1.1\n",
            ["a@example.com"],
            id="angle brackets",
        ),
        pytest.param(
            "Final-Recipient: rfc822; @gw.example.net:a@example.com\nAction: failed\n",
            ["a@example.com"],
            id="source route",
        ),
        pytest.param(
            'Final-Recipient: rfc822; "a..b"@example.com\nAction: failed\n',
            ['"a..b"@example.com'],
            id="quoted local part",
        ),
        pytest.param(
            "Final-Recipient: x400; /C=XX/A=ADMD/P=Org/S=User/\n"
            "Original-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.1.1\n",
            ["a@example.com"],
            id="x400 with the address that was written",
        ),
        pytest.param(
            "Final-Recipient: x400; c=XX;a= ;p=Org;dda:SMTP=a@example.com;\nAction: failed\n",
            ["a@example.com"],
            id="x400 with an address inside",
        ),
        pytest.param(
            "Final-Recipient: rfc822; c=a@example.com\nAction: failed\nStatus: 5.1.1\n",
            ["c=a@example.com"],
            id="looks like x400 and is an address",
        ),
        pytest.param(
            "Final-Recipient: utf-8; \\x{5F20}@example.com\nAction: failed\nStatus: 5.1.1\n",
            ["\u5f20@example.com"],
            id="utf-8 in ASCII form",
        ),
        pytest.param(
            "Final-Recipient: utf-8; jos\u00e9@example.com\nAction: failed\n",
            ["jos\u00e9@example.com"],
            id="utf-8 as it is",
        ),
        pytest.param(
            "Final-Recipient: rfc822; a+40example.com\nAction: failed\n",
            ["a@example.com"],
            id="xtext left in place",
        ),
        pytest.param(
            "Final-Recipient: rfc822; localname\nOriginal-Recipient: rfc822; a@example.com\n"
            "Action: failed\n",
            ["a@example.com"],
            id="a local name yields",
        ),
        pytest.param(
            "Final-Recipient: rfc822; AB12@inner.example.com\n"
            "Original-Recipient: rfc822; a@example.com\nAction: failed\n",
            ["a@example.com"],
            id="an inner host yields",
        ),
        pytest.param(
            "Final-Recipient: rfc822; b@example.net\nOriginal-Recipient: rfc822; a@example.com\n"
            "Action: failed\n",
            ["b@example.net"],
            id="forwarded elsewhere",
        ),
    ],
)
def test_recipients_of_a_report(fields: str, addresses: list[str]) -> None:
    parsed = parse_bounce(report(fields))
    assert [one.address for one in parsed.recipients] == addresses
    assert parsed.kind is Kind.BOUNCE


def test_forwarding_keeps_what_the_sender_wrote() -> None:
    fields = "Original-Recipient: rfc822; a@example.com\n" + FAILED
    assert only(report(fields)).original == "a@example.com"


@pytest.mark.parametrize(
    ("actions", "kind", "kept"),
    [
        pytest.param(["failed"], Kind.BOUNCE, 1, id="failed"),
        pytest.param(["delayed"], Kind.DELAYED, 1, id="delayed"),
        pytest.param(["delivered"], Kind.DELIVERED, 1, id="delivered"),
        pytest.param(["relayed", "expanded"], Kind.DELIVERED, 2, id="relayed, expanded"),
        pytest.param(["deliverable"], Kind.DELIVERED, 1, id="address probe"),
        pytest.param(["delivered", "failed", "relayed"], Kind.BOUNCE, 1, id="one of three"),
        pytest.param(["failed (bad user)"], Kind.BOUNCE, 1, id="with a comment"),
        pytest.param(["FAILED"], Kind.BOUNCE, 1, id="upper case"),
    ],
)
def test_actions(actions: list[str], kind: Kind, kept: int) -> None:
    groups = [
        f"Final-Recipient: rfc822; user{n}@example.com\nAction: {action}\n"
        for n, action in enumerate(actions)
    ]
    parsed = parse_bounce(report("\n".join(groups)))
    assert parsed.kind is kind
    assert len(parsed.recipients) == kept


@pytest.mark.parametrize(
    ("status", "kind"),
    [("5.1.1", Kind.BOUNCE), ("4.4.1", Kind.DELAYED), ("2.1.5", Kind.DELIVERED)],
)
def test_without_an_action_the_status_decides(status: str, kind: Kind) -> None:
    fields = f"Final-Recipient: rfc822; a@example.com\nStatus: {status}\n"
    assert parse_bounce(report(fields)).kind is kind


@pytest.mark.parametrize(
    ("status", "diagnostic", "expected"),
    [
        pytest.param("5.0.0", "smtp; 550 5.1.1 unknown user", "5.1.1", id="filler"),
        pytest.param("5.1.1", "smtp; 552 5.2.2 over quota", "5.2.2", id="the reply knows better"),
        pytest.param("5.1.1", "smtp; 450 4.2.0 try later", "5.1.1", id="another class"),
        pytest.param("5.2.2", "smtp; 552 mailbox full", "5.2.2", id="only the field"),
        pytest.param("", "smtp; 550 (#5.7.1) refused", "5.7.1", id="only the reply"),
        pytest.param("", "smtp; 550 from 10.5.1.1, see v5.7.1.2", None, id="no status at all"),
        pytest.param("5.0.0", "smtp; 550 no", "5.0.0", id="nothing better"),
    ],
)
def test_status(status: str, diagnostic: str, expected: str | None) -> None:
    fields = (
        f"Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: {status}\n"
        f"Diagnostic-Code: {diagnostic}\n"
    )
    assert only(report(fields)).status == expected


def test_a_failure_with_a_transient_status_ran_out_of_retries() -> None:
    fields = "Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 4.4.7\n"
    one = only(report(fields))
    assert one.category is Category.EXPIRED
    assert one.bounce_class is BounceClass.SOFT
    assert not one.suppress


def test_a_delay_never_suppresses() -> None:
    one = only(report(FAILED.replace("failed", "delayed")))
    assert one.bounce_class is BounceClass.SOFT
    assert not one.suppress


def test_the_text_fills_in_what_the_fields_leave_out() -> None:
    fields = "Final-Recipient: rfc822; wanted@example.com\nAction: failed\nStatus: 5.0.0\n"
    text = "could not be delivered to:\n\n<wanted@example.com>:\n  552 5.2.2 Mailbox full\n"
    one = only(report(fields, text=text))
    assert (one.status, one.code, one.category) == ("5.2.2", 552, Category.MAILBOX_FULL)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(report(FAILED, encoding="base64"), id="base64"),
        pytest.param(report(FAILED).replace(b"=_b1--", b"=_b1"), id="no end"),
        pytest.param(
            report(FAILED).replace(b'boundary="=_b1"', b'boundary="wrong"'), id="wrong boundary"
        ),
        pytest.param(report(FAILED).replace(b"multipart/report", b"multipart/mixed"), id="mixed"),
        pytest.param(b"From x Mon Jan 1 00:00:00 2024\n" + report(FAILED), id="mbox line"),
        pytest.param(
            b"Content-Type: message/delivery-status\n\n" + FAILED.encode(),
            id="nothing but the fields",
        ),
        pytest.param(
            b"From: MAILER-DAEMON@example.net\n\nA technical report:\n\n" + FAILED.encode(),
            id="fields in plain text",
        ),
        pytest.param(
            b"From: postmaster@gw.example\nSubject: report\nContent-Type: multipart/mixed;\n"
            b" boundary=outer\n\n--outer\nContent-Type: message/rfc822\n\n"
            + report(FAILED)
            + b"\n--outer--\n",
            id="a report packed into a mail",
        ),
        pytest.param(
            b"From: alice@example.org\nSubject: Fwd: returned\n\nLook:\n\n> "
            + FAILED.replace("\n", "\n> ").encode(),
            id="forwarded by a person",
        ),
    ],
)
def test_damaged_and_wrapped_reports(raw: bytes) -> None:
    one = only(raw)
    assert (one.address, one.status, one.code) == ("wanted@example.com", "5.1.1", 550)


def test_fields_that_somebody_merely_writes_about_prove_nothing() -> None:
    raw = b"From: alice@example.org\nSubject: our parser\n\nIt reads this:\n\n" + FAILED.encode()
    assert parse_bounce(raw) == ParsedBounce(kind=Kind.NOTBOUNCE)


def test_a_receipt_says_that_the_mail_arrived() -> None:
    raw = b"""\
From: bob@example.com
Subject: Read: hello
Content-Type: multipart/report; report-type=disposition-notification; boundary=b

--b
Content-Type: text/plain

Your message was read.
--b
Content-Type: message/disposition-notification

Final-Recipient: rfc822; bob@example.com
Original-Message-ID: <x@example.org>
Disposition: manual-action/MDN-sent-manually; displayed
--b--
"""
    parsed = parse_bounce(raw)
    assert parsed.kind is Kind.DELIVERED
    assert [one.address for one in parsed.recipients] == ["bob@example.com"]
    assert parsed.recipients[0].category is None


ARF = b"""\
From: feedback@fbl.example
Subject: FW: hello
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is an abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: Fraud
User-Agent: Example/1.0
Version: 1
Original-Rcpt-To: <user@example.com>
--b
Content-Type: message/rfc822

To: other@example.com
Message-ID: <m1@example.org>

hello
--b--
"""


@pytest.mark.parametrize(
    ("raw", "feedback_type", "addresses"),
    [
        pytest.param(ARF, "fraud", ["user@example.com"], id="ARF"),
        pytest.param(
            ARF.replace(b"Original-Rcpt-To", b"X-Removed"),
            "fraud",
            ["other@example.com"],
            id="redacted",
        ),
        pytest.param(
            b"From: staff@mail.example\nSubject: complaint about message from 192.0.2.1\n"
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
            b"X-HmXmrOriginalRecipient: user@example.com\nMessage-ID: <m1@example.org>\n"
            b"To: x@example.com\n\nhello\n--b--\n",
            "abuse",
            ["user@example.com"],
            id="without a report part",
        ),
    ],
)
def test_complaints(raw: bytes, feedback_type: str, addresses: list[str]) -> None:
    parsed = parse_bounce(raw)
    assert parsed.kind is Kind.ARF
    assert parsed.feedback_type == feedback_type
    assert [one.address for one in parsed.recipients] == addresses
    assert not any(one.suppress for one in parsed.recipients)
    assert parsed.original_message_id == "<m1@example.org>"


def test_an_unsubscribe_mail_is_a_complaint_of_its_own_kind() -> None:
    parsed = parse_bounce(b"From: u@example.com\nX-Apple-Unsubscribe: true\n\nunsubscribe\n")
    assert (parsed.kind, parsed.feedback_type) == (Kind.ARF, "opt-out")


BOUNCED_JSON = (
    '{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"u@example.com",'
    '"action":"failed","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 user unknown"}]}}'
)


@pytest.mark.parametrize(
    ("body", "kind", "address"),
    [
        pytest.param(BOUNCED_JSON, Kind.BOUNCE, "u@example.com", id="bounce"),
        pytest.param(
            '{"Message": "' + BOUNCED_JSON.replace('"', '\\"') + '"}',
            Kind.BOUNCE,
            "u@example.com",
            id="nested",
        ),
        pytest.param(
            BOUNCED_JSON.replace("diagnosticCode", "diagno!\n sticCode"),
            Kind.BOUNCE,
            "u@example.com",
            id="broken line",
        ),
        pytest.param(
            '{"eventType":"Complaint","complaint":{"complainedRecipients":'
            '[{"emailAddress":"u@example.com"}],"complaintFeedbackType":"abuse"}}',
            Kind.ARF,
            "u@example.com",
            id="complaint",
        ),
        pytest.param(
            '{"notificationType":"Delivery","delivery":{"recipients":["u@example.com"]}}',
            Kind.DELIVERED,
            "u@example.com",
            id="delivery",
        ),
    ],
)
def test_notices_of_a_sending_service(body: str, kind: Kind, address: str) -> None:
    parsed = parse_bounce(f"From: no-reply@notices.example\nSubject: notice\n\n{body}\n".encode())
    assert parsed.kind is kind
    assert [one.address for one in parsed.recipients] == [address]


def test_json_line() -> None:
    assert to_json("a.eml", parse_bounce(report(FAILED))) == {
        "id": "a.eml",
        "kind": "bounce",
        "recipients": [
            {
                "address": "wanted@example.com",
                "status": "5.1.1",
                "category": "bad_mailbox",
                "suppress": True,
            }
        ],
    }
    assert to_json("b.eml", parse_bounce(b"")) == {
        "id": "b.eml",
        "kind": "notbounce",
        "recipients": [],
    }


def test_every_charset_that_is_read_can_be_loaded_before() -> None:
    """The process that reads returned mail opens no file once it is shut in."""
    load_charsets()
    loaded = {"koi8_r", "iso8859_2", "cp1251", "shift_jis", "iso2022_jp", "gb18030", "big5"}
    assert not {name for name in loaded if f"encodings.{name}" not in sys.modules}
