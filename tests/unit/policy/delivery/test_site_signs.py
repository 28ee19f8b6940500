"""What replies show of a site."""

import pytest

from relayd.mail.reply import Reply, Stage
from relayd.policy.delivery.site_signs import seen_of, sign_of
from relayd.policy.pace import Saw
from relayd.policy.replies.ruleset import builtin_rules

RULES = builtin_rules()

SLOW, MISTRUST, BLOCKED, NOTHING = Saw.SLOW, Saw.MISTRUST, Saw.BLOCKED, Saw.NOTHING
CASES = [
    (SLOW, Stage.DOT, "450 4.7.0 You are sending too fast"),
    (SLOW, Stage.MAIL, "421 4.7.0 Rate limit exceeded, try again later"),
    (SLOW, Stage.RCPT, "450 4.7.1 too many messages from 192.0.2.1 in a short time"),
    (
        SLOW,
        Stage.DOT,
        (
            "421 4.7.28 unusual rate of unsolicited mail originating from your IP address"
            " https://support.google.com/mail/?p=UnsolicitedRateLimitError"
        ),
    ),
    (
        NOTHING,  # it is of the domain that signed
        Stage.DOT,
        (
            "421 4.7.28 unusual rate of unsolicited mail originating from your DKIM domain"
            " https://support.google.com/mail/?p=UnsolicitedRateLimitError"
        ),
    ),
    (
        NOTHING,  # one recipient, from all the world
        Stage.RCPT,
        "450 4.7.0 receiving mail at a rate https://support.google.com/mail/?p=ReceivingRate",
    ),
    (NOTHING, Stage.RCPT, "450 4.2.1 The user is receiving mail too quickly"),
    (NOTHING, Stage.RCPT, "452 4.5.3 Too many recipients"),
    (NOTHING, Stage.GREETING, "421 4.7.0 too many concurrent connections from your IP"),
    (SLOW, Stage.GREETING, "421 4.7.0 Rate limit exceeded, try again later"),
    (NOTHING, Stage.DOT, "554 5.7.0 Rate limit exceeded"),
    (MISTRUST, Stage.MAIL, "421 4.7.0 low reputation of your IP address"),
    (MISTRUST, Stage.GREETING, "421 4.7.1 your IP is on our blacklist for now"),
    (BLOCKED, Stage.RCPT, "550 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org"),
    (BLOCKED, Stage.GREETING, "554 5.7.1 Your IP has been blacklisted"),
    (NOTHING, Stage.DOT, "550 5.7.1 rejected due to having a domain present in the Spamhaus DBL"),
    (NOTHING, Stage.MAIL, "550 5.7.1 MailFrom domain is listed in Spamhaus"),
    (NOTHING, Stage.DOT, "550 5.7.1 very low reputation of the sending domain"),
    (NOTHING, Stage.RCPT, "450 4.2.0 Greylisted, try again in 5 minutes"),
    (NOTHING, Stage.DOT, "554 5.7.1 Message rejected as spam"),
    (NOTHING, Stage.RCPT, "550 5.1.1 User unknown"),
    (NOTHING, Stage.RCPT, "452 4.2.2 mailbox full"),
    (NOTHING, Stage.RCPT, "550 5.7.1 refused by policy"),
    (NOTHING, Stage.RCPT, "250 2.1.5 ok"),
    (Saw.ACCEPTED, Stage.DOT, "250 2.0.0 ok"),
]


def reply(line: str) -> Reply:
    code, _, rest = line.partition(" ")
    first, _, text = rest.partition(" ")
    enhanced = first if first.count(".") == 2 and first.replace(".", "").isdigit() else None
    return Reply(int(code), enhanced, (text if enhanced else rest,))


@pytest.mark.parametrize(
    ("saw", "stage", "line"), CASES, ids=[f"{s.value}: {line[:40]}" for s, _, line in CASES]
)
def test_what_a_reply_shows(saw: Saw, stage: Stage, line: str) -> None:
    assert sign_of(reply(line), stage, RULES) is saw


def test_no_reply_shows_nothing() -> None:
    assert sign_of(None, Stage.DOT, RULES) is NOTHING
    assert seen_of([], RULES).saw is NOTHING


def test_the_gravest_counts() -> None:
    replies = [
        (reply("250 2.0.0 ok"), Stage.DOT),
        (reply("421 4.7.0 low reputation of your IP address, wait for 30 minutes"), Stage.RCPT),
        (reply("450 4.7.0 You are sending too fast"), Stage.RCPT),
        (None, Stage.DOT),
    ]
    seen = seen_of(replies, RULES, went=5.0, message=7, has_other_way=True)
    assert (seen.saw, seen.asked_for, seen.went, seen.message) == (MISTRUST, 1800, 5.0, 7)
    assert seen.has_other_way
    assert "low reputation" in seen.reply
    assert seen_of(replies[:1], RULES, went=5.0).went == 0
