"""Mails of many mail systems, and mail that is none of a mail system: kind, recipients, suppression."""

import re

import pytest

from relayd.policy.inbound_bounce import Kind, parse_bounce
from tests.support.bounce_mails import Labelled, labelled_mails

MAILS = labelled_mails()
BOUNCES = (Kind.BOUNCE, Kind.DELAYED)


@pytest.mark.parametrize("mail", [pytest.param(mail, id=mail.name) for mail in MAILS])
def test_what_is_read_from_a_mail(mail: Labelled) -> None:
    parsed = parse_bounce(mail.raw)
    assert parsed.kind is mail.kind
    if mail.kind in BOUNCES:
        assert [(one.address, one.suppress) for one in parsed.recipients] == [
            (one.address, one.suppress) for one in mail.recipients
        ]
    for got, expected in zip(parsed.recipients, mail.recipients, strict=False):
        assert expected.category in (None, got.category)


@pytest.mark.parametrize("mail", [pytest.param(mail, id=mail.name) for mail in MAILS])
def test_line_ends_make_no_difference(mail: Labelled) -> None:
    parsed = parse_bounce(mail.raw)
    assert parse_bounce(mail.raw.replace(b"\n", b"\r\n")) == parsed
    assert parse_bounce(mail.raw.replace(b"\n", b"\r")) == parsed


@pytest.mark.parametrize(
    "mail", [pytest.param(mail, id=mail.name) for mail in MAILS if mail.kind in BOUNCES]
)
def test_an_answer_that_quotes_it_is_no_bounce(mail: Labelled) -> None:
    """A person who quotes a report sends no report, whatever words it has."""
    head, _, body = mail.raw.decode().lstrip().partition("\n\n")
    quoted = "".join(f"> {line}\n" for line in body.splitlines())
    raw = (
        "From: Ann Field <ann@people.example>\nTo: help@people.example\n"
        f"Subject: Re: your report\nIn-Reply-To: <{len(head)}@people.example>\n\n"
        f"Do you know what this is about?\n\n{quoted}"
    )
    assert parse_bounce(raw.encode()).kind is Kind.NOTBOUNCE


@pytest.mark.parametrize("subject", ["Fwd: Undelivered Mail", "RE: Undelivered Mail"])
@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(mail, id=mail.name)
        for mail in MAILS
        if mail.kind in BOUNCES and b"-recipient" not in mail.raw.lower()
    ],
)
def test_words_that_a_person_passes_on_are_no_bounce(mail: Labelled, subject: str) -> None:
    """Without marks of a quotation, as some mail programs do it; report fields would count."""
    raw = (
        "From: Ann Field <ann@people.example>\nTo: help@people.example\n"
        f"Subject: {subject}\n\nWhat is this?\n\n-----Original Message-----\n"
    )
    assert parse_bounce(raw.encode() + mail.raw.lstrip()).kind is Kind.NOTBOUNCE


# How reports name the command that was answered, and what they say after the content.
_LATER = (
    (r"in\s+reply\s+to\s+RCPT\s+TO\s+command", "in reply to end of DATA command"),
    (r"after RCPT TO:<[^>]*>|for RCPT TO command", "after end of data"),
    (r"(>>>|-->) RCPT T[oO]:\s?<[^>]*>", r"\1 DATA"),
    (r"does not like recipient", "failed after I sent the message"),
)


@pytest.mark.parametrize("mail", [pytest.param(mail, id=mail.name) for mail in MAILS])
def test_a_refusal_after_the_content_suppresses_nobody(mail: Labelled) -> None:
    """Whatever its words: the same report, only that the content had been sent."""
    text, changed = mail.raw.decode(), 0
    for written, later in _LATER:
        text, times = re.subn(written, later, text)
        changed += times
    if changed and len(mail.recipients) == 1:
        assert not any(one.suppress for one in parse_bounce(text.encode()).recipients)


def test_there_are_enough_of_both() -> None:
    bounces = sum(mail.kind in BOUNCES for mail in MAILS)
    assert bounces >= 80
    assert len(MAILS) - bounces >= 40
