"""Bounce mails that break the rules of their format in ways that real ones do."""

import pytest

from relayd.policy.inbound_bounce import Kind, parse_bounce

HEAD = "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n"
FIELDS = (
    "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.test\nAction: failed\n"
)


def addresses(raw: str) -> list[str]:
    return [one.address for one in parse_bounce(raw.encode()).recipients]


def test_a_fold_of_the_diagnostic_that_lost_its_blank() -> None:
    raw = f"{FIELDS}Diagnostic-Code: smtp; 550 5.1.1\nno such user here\n"
    [one] = parse_bounce(raw.encode()).recipients
    assert (one.code, one.diagnostic) == (550, "550 5.1.1 no such user here")


def test_a_diagnostic_without_end() -> None:
    folds = " and so on and on and on and on and on\n" * 1000
    [one] = parse_bounce(f"{FIELDS}Diagnostic-Code: smtp; 550 no\n{folds}".encode()).recipients
    assert one.code == 550
    assert len(one.diagnostic) <= 4096


def test_a_boundary_on_a_line_without_its_blank() -> None:
    raw = (
        f"{HEAD}Content-Type: multipart/report;\nboundary=bb\n\n--bb\n{FIELDS}"
        "Status: 5.1.1\n\n--bb--\n"
    )
    assert addresses(raw) == ["a@b.test"]


@pytest.mark.parametrize("content_type", ["=_bb", "x; boundary=bb"])
def test_a_content_type_that_is_only_a_boundary(content_type: str) -> None:
    raw = f"{HEAD}Content-Type: {content_type}\n\n--bb\n{FIELDS}Status: 5.1.1\n\n--bb--\n"
    assert addresses(raw) == ["a@b.test"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param("Content-Type: text/plain; charset=iso-8859-99\n", id="charset-of-no-codec"),
        pytest.param("Content-Transfer-Encoding: base64\n", id="base64-that-is-none"),
    ],
)
def test_a_text_that_does_not_decode_is_read_as_it_is(fields: str) -> None:
    text = "Not delivered:\n\n<a@b.test>: 550 no such user\n\nNr. 1234"
    assert addresses(f"{HEAD}{fields}\n{text}") == ["a@b.test"]


def test_more_addresses_than_anybody_has_written_to() -> None:
    text = "".join(f"<u{number}@b.test>: 550 5.1.1 no such user\n\n" for number in range(300))
    assert len(addresses(f"{HEAD}\nNot delivered:\n\n{text}")) == 200


def test_a_complaint_that_encloses_nothing() -> None:
    raw = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n"
    parsed = parse_bounce(raw.encode())
    assert (parsed.kind, parsed.feedback_type, parsed.recipients) == (Kind.ARF, "abuse", ())


@pytest.mark.parametrize(
    ("notice", "kind"),
    [
        pytest.param('{"notificationType": "Rendering"}', Kind.NOTBOUNCE, id="of-another-kind"),
        pytest.param(
            '{"notificationType": "Bounce", "bouncedRecipients": [{"emailAddress": "nobody"}]}',
            Kind.BOUNCE,
            id="without-an-address",
        ),
    ],
)
def test_a_notice_that_says_little(notice: str, kind: Kind) -> None:
    parsed = parse_bounce(f"From: no-reply@sns.example\nSubject: notice\n\n{notice}\n".encode())
    assert (parsed.kind, parsed.recipients) == (kind, ())
