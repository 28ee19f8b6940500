"""Reports without a machine part, in the shapes of many mail systems; and mail that is no bounce."""

import pytest

from relayd.mail.words import BounceClass, Category
from relayd.policy.inbound_bounce import Kind, parse_bounce

VERP = "bounce+" + "campaign-2026-11-" * 12 + "list"
RETURNED = "Received: from a.example by b.example\nFrom: sender@example.org\nTo: list@example.org\n"


def mail(body: str, *, sender: str, subject: str, extra: str = "") -> bytes:
    head = f"From: {sender}\nTo: sender@example.org\nSubject: {subject}\n{extra}"
    return f"{head}\n{body}".encode()


DAEMON = "MAILER-DAEMON@mx.example.net"
POSTMASTER = "Postmaster <postmaster@mx.example.net>"

# What it is like, sender, subject, body, recipients, statuses or codes of those that have one.
FORMATS = [
    pytest.param(
        "Mail Delivery Subsystem <MAILER-DAEMON@a.example>",
        "Returned mail: see transcript for details",
        "The original message was received at Mon, 1 Jan 2024\nfrom host [192.0.2.1]\n\n"
        "   ----- The following addresses had permanent fatal errors -----\n<u@example.com>\n"
        "    (reason: 550 5.1.1 <u@example.com>... User unknown)\n\n"
        "   ----- Transcript of session follows -----\n... while talking to mx.example.com.:\n"
        ">>> RCPT To:<u@example.com>\n<<< 550 5.1.1 <u@example.com>... User unknown\n",
        {"u@example.com": 550},
        id="sendmail",
    ),
    pytest.param(
        "Mail Delivery Subsystem <MAILER-DAEMON@a.example>",
        "Returned mail: see transcript for details",
        "   ----- The following addresses had permanent fatal errors -----\n"
        f"<{VERP}@example.com>\n    (reason: 550 5.1.1 User unknown)\n",
        {f"{VERP}@example.com": 550},
        id="a local part over 64 octets",
    ),
    pytest.param(
        DAEMON,
        "Returned mail: Host unknown",
        "   ----- Transcript of session follows -----\nWhile talking to mx.example.com:\n"
        ">>> RCPT To:<u@example.com>\n<<< 550 <u@example.com>... User unknown\n"
        "550 <u@example.com>... User unknown\n550 example.net (smtp)... 550 Host unknown\n"
        "554 <v@example.net>... 550 Host unknown\n\n   ----- Unsent message follows -----\n"
        + RETURNED,
        {"u@example.com": 550, "v@example.net": 554},
        id="sendmail 5",
    ),
    pytest.param(
        DAEMON,
        "failure notice",
        "Hi. This is the qmail-send program at a.example.\nI gave up on these addresses.\n\n"
        "<u@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 unknown\n"
        "Giving up on 192.0.2.1.\n\n<v@example.net>:\nSorry, no mailbox by that name. (#5.1.1)\n\n"
        "--- Below this line is a copy of the message.\n\n" + RETURNED + "\n<no@example.com>:\n",
        {"u@example.com": 550, "v@example.net": None},
        id="qmail",
    ),
    pytest.param(
        "Mail Delivery System <Mailer-Daemon@a.example>",
        "Mail delivery failed: returning message to sender",
        "A message that you sent could not be delivered to all of its recipients.\n"
        "The following address(es) failed:\n\n  u@example.com\n    host mx.example.com [192.0.2.1]\n"
        "    SMTP error from remote mail server after RCPT TO:<u@example.com>:\n"
        "    550 5.1.1 unknown\n  v@example.net\n    retry timeout exceeded\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n" + RETURNED,
        {"u@example.com": 550, "v@example.net": None},
        id="Exim",
    ),
    pytest.param(
        DAEMON + " (Mail Delivery System)",
        "Undelivered Mail Returned to Sender",
        "This is the mail system at host a.example.\n\nYour message could not be delivered.\n\n"
        "For further assistance, please send mail to\n<postmaster@a.example>\n\n"
        "<u@example.com>: host mx.example.com[192.0.2.1] said: 550\n    no such user (in reply to"
        " RCPT TO command)\n",
        {"u@example.com": 550},
        id="Postfix",
    ),
    pytest.param(
        '"System Administrator" <postmaster@a.example>',
        "Undeliverable: hello",
        "Your message\n\n  To:      list@example.org\n  Subject: hello\n\n"
        "did not reach the following recipient(s):\n\nu@example.com on Mon, 1 Jan 2024 10:00:00 +0000\n"
        "    The recipient name is not recognized\n"
        "c=XX;a= ;p=Org;o=Site;dda:SMTP=v@example.net; on Mon, 1 Jan 2024 10:00:00 +0000\n",
        {"u@example.com": None, "v@example.net": None},
        id="Exchange 5.5",
    ),
    pytest.param(
        "postmaster@a.example",
        "Undeliverable: hello",
        "Delivery has failed to these recipients or groups:\n\nSome One (u@example.com)"
        "<mailto:u@example.com>\nThe address could not be found.\n\n"
        "Diagnostic information for administrators:\n\nGenerating server: a.example\n\n"
        "u@example.com\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n\n"
        "Original message headers:\n\n" + RETURNED,
        {"u@example.com": 550},
        id="Exchange 2007",
    ),
    pytest.param(
        "postmaster@a.example",
        "Non remis : bonjour",
        "Échec de la remise pour ces destinataires :\n\nu@example.com\n"
        "L'adresse est introuvable.\n#550 5.1.1 not found ##\n",
        {"u@example.com": 550},
        id="Exchange in French",
    ),
    pytest.param(
        "Postmaster@a.example",
        "DELIVERY FAILURE: User u (u@example.com) not listed in the directory",
        "Your message\n\n  Subject: hello\n\nwas not delivered to:\n\n  u@example.com\n\nbecause:\n\n"
        "  User u (u@example.com) not listed in the directory\n",
        {"u@example.com": None},
        id="Domino",
    ),
    pytest.param(
        "postmaster@a.example",
        "Undeliverable message",
        "------- Failure Reasons  --------\n\nUser not listed in the address book\nu@example.com\n\n"
        "------- Returned Message --------\n" + RETURNED,
        {"u@example.com": None},
        id="Notes",
    ),
    pytest.param(
        '"Courier mail server at a.example" <@>',
        "NOTICE: mail delivery status.",
        "UNDELIVERABLE MAIL\n\nYour message to these recipients cannot be delivered:\n\n"
        "<u@example.com>:\n    mx.example.com [192.0.2.1]:\n>>> RCPT TO:<u@example.com>\n"
        "<<< 550 5.1.1 <u@example.com>... User Unknown\n",
        {"u@example.com": 550},
        id="Courier",
    ),
    pytest.param(
        POSTMASTER,
        "Message Delivery Failure",
        "Message could not be delivered to some recipients.\n\n\tRecipient: [SMTP:u@example.com]\n"
        "\tReason: the remote server returned: 550 5.1.1 User unknown\n\nMessage headers follow:\n",
        {"u@example.com": 550},
        id="MailEnable",
    ),
    pytest.param(
        POSTMASTER,
        "Undeliverable Mail",
        "Delivery failed 20 attempts: u@example.com\n\n\nOriginal message follows.\n\n" + RETURNED,
        {"u@example.com": None},
        id="IMail, expired",
    ),
    pytest.param(
        POSTMASTER,
        "Undeliverable Mail",
        "Unknown host: u@example.com\n\n\nOriginal message follows.\n\n" + RETURNED,
        {"u@example.com": None},
        id="IMail, host",
    ),
    pytest.param(
        "MDaemon@a.example",
        "Permanent Delivery Failure",
        "The attached message had PERMANENT fatal delivery errors!\n\n"
        "The following addresses did NOT receive a copy of your message:\n\n> u@example.com\n\n"
        "--- Session Transcript ---\n RCPT To:<u@example.com>\n 552 over quota\n",
        {"u@example.com": 552},
        id="MDaemon",
    ),
    pytest.param(
        "Mail Delivery Subsystem <mailer-daemon@mail.example>",
        "Delivery Status Notification (Failure)",
        "Delivery to the following recipient failed permanently:\n\n     u@example.com\n\n"
        "Technical details of permanent failure:\nThe other server said: 550 550 5.1.1 unknown.\n\n"
        "----- Original message -----\n\n" + RETURNED,
        {"u@example.com": 550},
        id="Gmail",
    ),
    pytest.param(
        "MAILER-DAEMON@mail.example",
        "Failure Notice",
        "Sorry, we were unable to deliver your message to the following address.\n\n"
        "<u@example.com>:\nRemote host said:\n550 5.2.2 Mailbox Full\n[RCPT_TO]\n\n"
        "--- Below this line is a copy of the message.\n\n" + RETURNED,
        {"u@example.com": 550},
        id="Yahoo",
    ),
    pytest.param(
        "MAILER-DAEMON@mail.example",
        "Mail delivery failed: returning message to sender",
        'The following address failed:\n\n"u@example.com":\nSMTP error from remote server after RCPT'
        ' command:\nhost: mx.example.com\n5.1.1 User Unknown\n"v@example.net":\nquota exceeded\n\n'
        "--- The header of the original message is following. ---\n\n" + RETURNED,
        {"u@example.com": None, "v@example.net": None},
        id="GMX",
    ),
    pytest.param(
        "mailer-daemon@mail.example",
        "Undelivered Mail Returned to Sender",
        "A message that you sent could not be delivered to one or more of its recipients.\n\n"
        "u@example.com Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 User Unknown\n\n"
        + RETURNED,
        {"u@example.com": 550},
        id="Zoho",
    ),
    pytest.param(
        "Mailer Daemon <MAILER-DAEMON@a.example>",
        "Delivery status notification: error",
        "    An error has occurred while attempting to deliver a message for\n"
        "    the following list of recipients:\n\nu@example.com: 550 5.1.1 unknown\n\n"
        "    Below is a copy of the original message:\n\n" + RETURNED,
        {"u@example.com": 550},
        id="OpenSMTPD",
    ),
    pytest.param(
        "MAILER-DAEMON <>",
        "Mail delivery failed",
        "There was an error delivering your mail to <u@example.com>.\n\n"
        "mx.example.com [192.0.2.1] did not like our RCPT TO:\n550 5.1.1 unknown\n\n"
        "Message headers follow.\n\n" + RETURNED,
        {"u@example.com": 550},
        id="DragonFly",
    ),
    pytest.param(
        "postmaster@a.example",
        "[BOUNCE]",
        "I was not able to deliver your message to the addresses below.\n\nFailed recipient(s):\n"
        "u@example.com\n\nError message:\n550 - no such user here\n",
        {"u@example.com": 550},
        id="James",
    ),
    pytest.param(
        "postmaster@a.example",
        'Undeliverable Mail: "hello"',
        "Your message:\n   From:    sender@example.org\n   Subject: hello\n\nCould not be delivered"
        " because of\n\n550 5.1.1 User unknown\n\nThe following recipients were affected:\n"
        "    u@example.com\n",
        {"u@example.com": 550},
        id="MailMarshal",
    ),
    pytest.param(
        "postmaster@a.example",
        "Mail could not be delivered",
        "...\n\nSent <<< RCPT TO:<u@example.com>\nReceived >>> 550 5.1.1 <u@example.com>... unknown\n",
        {"u@example.com": 550},
        id="InterScan",
    ),
    pytest.param(
        "postmaster@a.example",
        "Delivery Status",
        "--- The following addresses had delivery problems ---\n\n<u@example.com>   (User unknown)\n",
        {"u@example.com": None},
        id="McAfee",
    ),
    pytest.param(
        "filter@a.example",
        "**Message you sent blocked by our bulk email filter**",
        "Your message to:\nu@example.com\nwas blocked by our filter. The e-mail you sent with this"
        " subject has NOT BEEN DELIVERED:\n\nSubject: hello\n",
        {"u@example.com": None},
        id="Barracuda",
    ),
    pytest.param(
        "Antivirus_Gateway@a.example",
        "Delivery failure notification",
        "Your message with Subject: hello\ncould not be delivered to the following recipients:\n\n"
        "u@example.com\n",
        {"u@example.com": None},
        id="Symantec",
    ),
    pytest.param(
        "Postmaster@carrier.example",
        "Mail System Error - Returned Mail",
        "次のあて先へのメッセージはエラーのため送信できませんでした。\n\n"
        "The following recipients did not receive this message:\n\n<u@example.com>\n",
        {"u@example.com": None},
        id="Japanese carrier",
    ),
    pytest.param(
        "<>",
        "failure notice",
        "このメールは送信できませんでした。\n\n以下のメールアドレスへの送信に失敗しました。\nu@example.com\n\n\n"
        "-------server message\n550 5.1.1 unknown\n\n-------original mail info\nFrom: a@example.org\n",
        {"u@example.com": 550},
        id="m-FILTER",
    ),
    pytest.param(
        "post_master@sms.example",
        "Re:hello",
        "Error: Invalid user address\n\nError message below:\n550 - no such user here\n\n"
        "Message details:\n  Subject: hello\n  MAIL FROM: sender@example.org\n"
        "  RCPT TO: u@example.com\n",
        {"u@example.com": 550},
        id="Verizon",
    ),
    pytest.param(
        "mailer-daemon@mail.example",
        "Ваше сообщение не доставлено",
        "Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n"
        "  u@example.com\n    host mx.example.com [192.0.2.1]: 550 5.1.1 unknown\n",
        {"u@example.com": 550},
        id="mail.ru",
    ),
    pytest.param(
        "postmaster@mail.example",
        "系统退信",
        "您的邮件被退回来了\n收信人\nu@example.com\n退信原因\nhost mx said: 550 Mailbox not found\n",
        {"u@example.com": 550},
        id="Chinese",
    ),
    pytest.param(
        "postmaster@a.example",
        "Unzustellbar: Hallo",
        "Ihre Nachricht konnte nicht zugestellt werden an:\n\nu@example.com\n  550 unbekannt\n",
        {"u@example.com": 550},
        id="German",
    ),
    pytest.param(
        "news-owner@lists.example",
        "Your message to news",
        "Your message to news@lists.example was rejected: you are not a member of this list.\n",
        {"news@lists.example": None},
        id="list manager",
    ),
]


@pytest.mark.parametrize(("sender", "subject", "body", "expected"), FORMATS)
def test_formats(sender: str, subject: str, body: str, expected: dict[str, int | None]) -> None:
    extra = "Return-Path: <>\n" if sender.startswith("filter@") else ""
    parsed = parse_bounce(mail(body, sender=sender, subject=subject, extra=extra))
    assert parsed.kind is Kind.BOUNCE
    assert {one.address: one.code for one in parsed.recipients} == expected


def test_each_recipient_gets_the_words_about_him() -> None:
    body = (
        "could not be delivered to:\n\n<a@example.com>:\n550 5.1.1 unknown user\n\n"
        "<b@example.com>:\n552 5.2.2 mailbox full\n"
    )
    first, second = parse_bounce(mail(body, sender=DAEMON, subject="failure notice")).recipients
    assert first.diagnostic == "550 5.1.1 unknown user"
    assert second.diagnostic == "552 5.2.2 mailbox full"


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        pytest.param(
            "A message that you sent has not yet been delivered to:\n\n  u@example.com\n\n"
            "Delivery attempts will continue for some time.\n",
            "Warning: message 1 delayed 24 hours",
            id="Exim",
        ),
        pytest.param(
            "   ----- The following addresses had transient non-fatal errors -----\n<u@example.com>\n\n"
            "Warning: message still undelivered after 4 hours\nWill keep trying for 5 days\n",
            "Warning: could not send message for past 4 hours",
            id="sendmail",
        ),
        pytest.param(
            "THIS IS A WARNING MESSAGE ONLY.\n\nDelivery to the following recipient has been delayed:\n\n"
            "     u@example.com\n\nMessage will be retried for 2 more day(s)\n",
            "Delivery Status Notification (Delay)",
            id="Gmail",
        ),
    ],
)
def test_delays(body: str, subject: str) -> None:
    parsed = parse_bounce(mail(body, sender=DAEMON, subject=subject))
    assert parsed.kind is Kind.DELAYED
    assert [(one.address, one.suppress) for one in parsed.recipients] == [("u@example.com", False)]


def test_a_report_of_success() -> None:
    body = "Your message was successfully delivered to:\n\n<u@example.com>\n"
    parsed = parse_bounce(mail(body, sender=DAEMON, subject="Return receipt"))
    assert parsed.kind is Kind.DELIVERED
    assert [(one.address, one.category) for one in parsed.recipients] == [("u@example.com", None)]


def test_refused_after_the_content_proves_nothing_of_the_address() -> None:
    body = (
        "could not be delivered to:\n\n  u@example.com\n    SMTP error from remote mail server after"
        " {}:\n    550 5.1.1 user unknown\n"
    )
    rcpt, data = (
        parse_bounce(mail(body.format(stage), sender=DAEMON, subject="x")).recipients[0]
        for stage in ("RCPT TO:<u@example.com>", "end of data")
    )
    assert (rcpt.suppress, rcpt.bounce_class) == (True, BounceClass.HARD)
    assert (data.suppress, data.bounce_class) == (False, BounceClass.BLOCK)


@pytest.mark.parametrize(
    ("said", "category"),
    [
        ("Invalid final delivery userid: u@example.com", Category.BAD_MAILBOX),
        ("User mailbox exceeds allowed size: u@example.com", Category.MAILBOX_FULL),
        ("Delivery failed 20 attempts: u@example.com", Category.EXPIRED),
        ("u@example.com: Envelope expired", Category.EXPIRED),
    ],
)
def test_reasons_in_words_that_are_no_reply(said: str, category: Category) -> None:
    (one,) = parse_bounce(mail(said, sender=POSTMASTER, subject="Undeliverable Mail")).recipients
    assert (one.address, one.category) == ("u@example.com", category)


def test_the_failed_recipients_field_is_enough() -> None:
    extra = "X-Failed-Recipients: a@example.com, b@example.com\n"
    raw = mail("קבוצה זו אינה קיימת", sender="x@groups.example", subject="x", extra=extra)
    parsed = parse_bounce(raw)
    assert [one.address for one in parsed.recipients] == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            mail(
                "Delivery failed.\n\n----- Original message -----\nTo: u@example.com\nFrom: x@y.test\n",
                sender=DAEMON,
                subject="failure notice",
            ),
            id="the returned message",
        ),
        pytest.param(
            b"From: " + DAEMON.encode() + b"\nTo: bounces+u=example.com@lists.example\n"
            b"Subject: failure notice\n\nNot delivered.\n",
            id="VERP",
        ),
        pytest.param(
            mail("Not delivered.", sender=DAEMON, subject="Undeliverable: u@example.com"),
            id="subject",
        ),
    ],
)
def test_last_resorts(raw: bytes) -> None:
    assert [one.address for one in parse_bounce(raw).recipients] == ["u@example.com"]


def test_html_is_read_as_text() -> None:
    body = "<html><p>could not be delivered to:</p><b>u@example.com</b><br>550 no user &lt;x&gt;</html>"
    extra = "Content-Type: text/html\n"
    (one,) = parse_bounce(mail(body, sender=DAEMON, subject="x", extra=extra)).recipients
    assert (one.address, one.diagnostic) == ("u@example.com", "550 no user <x>")


SAID = "my mail to bob@example.com could not be delivered:\n550 5.1.1 <bob@example.com> unknown\n"


@pytest.mark.parametrize(
    ("sender", "subject", "extra", "body"),
    [
        pytest.param("alice@example.com", "hello", "", "Hi Bob, how are you?", id="plain"),
        pytest.param("alice@example.com", "help", "", SAID, id="asks about a bounce"),
        pytest.param(
            "alice@example.com", "Mail delivery failed?", "", SAID, id="in the subject too"
        ),
        pytest.param("alice@example.com", "Re: Undelivered Mail", "", "> " + SAID, id="an answer"),
        pytest.param(
            "alice@example.com", "Fwd: Undelivered Mail", "", "> " + SAID, id="forwards words"
        ),
        pytest.param(
            "Parcels <noreply@parcels.example>",
            "Delivery failed: your parcel",
            "",
            "Your parcel could not be delivered. Write to help@parcels.example.",
            id="a parcel",
        ),
        pytest.param(
            "no-reply@shop.example",
            "Big sale",
            "",
            "Unable to see this mail? unsubscribe@shop.example does not exist any more.",
            id="newsletter",
        ),
        pytest.param(
            "Email Deliverability Team <team@sender.example>",
            "500 tips",
            "",
            "550 of our users asked how to reach ann@example.com. Not one mail was delivered late.",
            id="writes about delivery",
        ),
        pytest.param(
            "postmaster@example.com",
            "Maintenance",
            "",
            "On Sunday the server is down. If your mailbox is full, write to help@example.com.",
            id="a postmaster's own words",
        ),
        pytest.param(
            "admins-request@lists.example",
            "admins Digest, Vol 1",
            "",
            "Message: 1\nSubject: Undelivered mail\n\n" + SAID,
            id="digest",
        ),
    ],
)
def test_no_bounce(sender: str, subject: str, extra: str, body: str) -> None:
    parsed = parse_bounce(mail(body, sender=sender, subject=subject, extra=extra))
    assert parsed.kind is Kind.NOTBOUNCE
    assert parsed.recipients == ()


@pytest.mark.parametrize(
    ("subject", "extra"),
    [
        pytest.param("Automatic reply: hello", "Return-Path: <>\n", id="subject"),
        pytest.param("Re: hello", "Auto-Submitted: auto-replied\nReturn-Path: <>\n", id="RFC 3834"),
        pytest.param("Abwesenheitsnotiz: hello", "", id="German"),
        pytest.param("Re: hello", "X-Autoreply: yes\n", id="vacation field"),
        pytest.param("hello", "Precedence: auto_reply\n", id="precedence"),
        pytest.param("自動返信: hello", "", id="Japanese"),
    ],
)
def test_automatic_answers(subject: str, extra: str) -> None:
    body = "I am away and unable to reach my mail. This address is not valid. Ask bob@example.com."
    parsed = parse_bounce(mail(body, sender="alice@example.com", subject=subject, extra=extra))
    assert parsed.kind is Kind.AUTOREPLY
    assert [one.address for one in parsed.recipients] == ["alice@example.com"]
    assert parsed.recipients[0].category is None


@pytest.mark.parametrize(
    ("subject", "extra", "body"),
    [
        pytest.param(
            "Please confirm your message",
            "Auto-Submitted: auto-replied\n",
            "To stop spam I ask you to confirm this message by replying to it.",
            id="confirm",
        ),
        pytest.param(
            "Your mail requires verification",
            "",
            "Please verify that you are a real human being: answer this mail.",
            id="verify",
        ),
        pytest.param(
            "Re: hello (verification)",
            "",
            "I protect myself from junk mail. Please click the link below once.",
            id="link",
        ),
        pytest.param("Your message", "X-Delivery-Agent: TMDA/1.1\n", "It is held.", id="TMDA"),
    ],
)
def test_challenges(subject: str, extra: str, body: str) -> None:
    parsed = parse_bounce(mail(body, sender="alice@example.com", subject=subject, extra=extra))
    assert parsed.kind is Kind.CHALLENGE
