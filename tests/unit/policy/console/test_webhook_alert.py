"""The mail about a webhook that is disabled: what it says, what it keeps to itself, and its form."""

import email
import email.policy
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime

import pytest

from relayd.policy.console.webhook import Off
from relayd.policy.console.webhook_alert import DisabledWebhook, compose_alert
from tests.support.clock import START

SECRET = "s3cr3t"
WEBHOOK = DisabledWebhook(
    number=3,
    url=f"https://app.example.org:8443/hook/{SECRET}?token={SECRET}#{SECRET}",
    off=Off.UNREACHABLE,
    failing_since=START,
    last_ok_at=START - timedelta(hours=1),
    last_answer="503",
    waiting=1204,
)


def mail_of(
    webhook: DisabledWebhook = WEBHOOK, *to: str, fqdn: str = "relay.example.org"
) -> EmailMessage:
    composed = compose_alert(
        webhook,
        to or ["ops@example.org"],
        fqdn=fqdn,
        token="0cna0nj6e0401",
        now=START + timedelta(days=5),
    )
    assert b"\r" not in composed.replace(b"\r\n", b"")
    assert b"\n" not in composed.replace(b"\r\n", b"")
    assert max(map(len, composed.split(b"\r\n"))) <= 998
    mail = email.message_from_bytes(composed, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content())


def test_it_says_which_why_since_when_and_what_to_do() -> None:
    mail = mail_of()
    text = " ".join(text_of(mail).split())
    assert mail["Subject"] == "Webhook 3 is disabled: app.example.org"
    for words in (
        "relayd on relay.example.org has disabled webhook 3: its receiver has taken nothing for five days.",
        "Receiver: app.example.org",
        f"Failing since: {format_datetime(START)}",
        f"Last success: {format_datetime(START - timedelta(hours=1))}",
        "Last answer: 503",
        "Waiting: 1,204 deliveries",
        "relayd console webhook set 3 --enable",
        "/webhooks/3",
    ):
        assert words in text, words


def test_it_says_that_the_receiver_is_gone() -> None:
    gone = replace(WEBHOOK, off=Off.GONE, failing_since=None, last_ok_at=None, last_answer="410")
    text = text_of(mail_of(gone))
    assert "is gone (410)" in " ".join(text.split())
    assert "Failing since" not in text
    assert "none so far" in text


def test_nothing_of_the_url_is_told_but_its_host() -> None:
    assert SECRET not in mail_of().as_string()
    assert "8443" not in mail_of().as_string()


@pytest.mark.parametrize("url", ["", "https://", "nonsense", "https://u:s3cr3t@app.test/x"])
def test_any_url_makes_a_mail(url: str) -> None:
    mail = mail_of(replace(WEBHOOK, url=url))
    assert str(mail["Subject"]).startswith("Webhook 3 is disabled: ")
    assert SECRET not in mail.as_string()


def test_nothing_answers_it_and_it_goes_to_all() -> None:
    mail = mail_of(WEBHOOK, "ops@example.org", "night@example.org")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"].addresses[0].addr_spec == "mailer-daemon@relay.example.org"
    assert [each.addr_spec for each in mail["To"].addresses] == [
        "ops@example.org",
        "night@example.org",
    ]
    assert mail["Message-ID"] == "<0cna0nj6e0401@relay.example.org>"


def test_an_address_beyond_ascii_is_written_as_it_is() -> None:
    composed = compose_alert(
        WEBHOOK, ["jürgen@example.org"], fqdn="relay.example.org", token="x", now=START
    )
    assert "To: <jürgen@example.org>\r\n".encode() in composed


def test_words_of_others_make_no_field_and_no_line() -> None:
    hostile = replace(WEBHOOK, last_answer="x\r\n\r\nBcc: a@x.test \u202e", url="https://a\tb/")
    mail = mail_of(hostile, fqdn="relay.example.org\r\nBcc: b@x.test")
    assert "Bcc" not in mail
    assert not [line for line in text_of(mail).splitlines() if line.startswith("Bcc")]
    assert text_of(mail).isascii()
