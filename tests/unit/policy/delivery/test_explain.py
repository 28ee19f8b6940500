"""What a judgement rests on, in words."""

from datetime import timedelta

import pytest

from relayd.mail.reply import Stage, make_reply
from relayd.policy.delivery.explain import Deferral, in_words, rule_used, why_wait
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.verdict import ONCE_MORE, REFUSED_FOR_NOW, SPARED
from relayd.policy.replies.ruleset import builtin_rules

MINUTE = timedelta(minutes=1)
RULES = RetrySettings(
    soft_bounce=(30 * MINUTE,),
    unknown_outcome=(60 * MINUTE, 240 * MINUTE),
    unreachable=(5 * MINUTE, 15 * MINUTE),
    give_up_after=timedelta(days=5),
)


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        (550, "5.1.1 no such user here", 'rule bad-mailbox-words, which looks for "no such user"'),
        (550, "5.1.1 No Such User!", 'rule bad-mailbox-words, which looks for "no such user"'),
        (
            554,
            "5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org",
            "rule blocklist-link",
        ),
        (550, "5.9.9 strange", "no rule knows these words"),
        (
            451,
            "host mx.example said: 550 5.1.1 no such user",
            'rule bad-mailbox-words, which looks for "no such user"',
        ),
    ],
)
def test_the_rule_is_named_with_its_words(code: int, text: str, says: str) -> None:
    used = rule_used(make_reply(code, (text,)), Stage.RCPT, builtin_rules())
    assert str(used) == says
    assert bool(used.rule) == (used.category != "unknown")


def a_deferral(**changes: object) -> Deferral:
    known: dict[str, object] = {
        "wait": 5 * MINUTE,
        "attempt": 1,
        "soft_failures": 0,
        "unknown_outcomes": 0,
        "reason": "connection refused",
        "reply": "",
        "possible_duplicate": False,
    }
    return Deferral(**(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("deferral", "says"),
    [
        (a_deferral(), "5 min after this attempt: step 1 of retry.unreachable = 5 min"),
        (
            a_deferral(wait=5.5 * MINUTE),
            "5.5 min after this attempt: step 1 of retry.unreachable = 5 min, and 30 s so that not all come at once",
        ),
        (
            a_deferral(attempt=9, wait=15 * MINUTE),
            "15 min after this attempt: step 2 of retry.unreachable = 15 min",
        ),
        (
            a_deferral(reason=REFUSED_FOR_NOW, soft_failures=1, wait=30 * MINUTE),
            "30 min after this attempt: step 1 of retry.soft_bounce = 30 min",
        ),
        (
            a_deferral(
                reason=REFUSED_FOR_NOW,
                soft_failures=1,
                reply="greylisted, try again in 300 seconds",
            ),
            "5 min after this attempt: step 1 of retry.soft_bounce = 30 min, and the server asks for 5 min",
        ),
        (
            a_deferral(possible_duplicate=True, unknown_outcomes=2, wait=240 * MINUTE),
            "4 h after this attempt: step 2 of retry.unknown_outcome = 4 h",
        ),
        (
            a_deferral(reason=f"no such host; {ONCE_MORE}", wait=60 * MINUTE),
            "60 min after this attempt: the second look at the DNS = 60 min",
        ),
        (
            a_deferral(reason=f"{SPARED} (hard): gone", attempt=2, wait=15 * MINUTE),
            "15 min after this attempt: step 2 of retry.unreachable, for soft_bounce is on = 15 min",
        ),
        (
            a_deferral(
                reason=f"{SPARED} (soft): gone",
                possible_duplicate=True,
                unknown_outcomes=5,
                wait=60 * MINUTE,
            ),
            "60 min after this attempt: retry.unreachable, doubled with each possible copy, for soft_bounce is on = 60 min",
        ),
        (
            a_deferral(wait=45 * MINUTE),
            "45 min after this attempt; by step 1 of retry.unreachable of now it is 5 min",
        ),
    ],
)
def test_the_wait_is_told_with_its_setting(deferral: Deferral, says: str) -> None:
    assert why_wait(deferral, RULES) == says


def test_a_list_of_waits_may_be_empty() -> None:
    none = RetrySettings(
        soft_bounce=(), unknown_outcome=(), unreachable=(MINUTE,), give_up_after=MINUTE
    )
    deferral = a_deferral(reason=REFUSED_FOR_NOW, soft_failures=1)
    assert "step 1 of retry.soft_bounce of now it is 0 s" in why_wait(deferral, none)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(1.25, "1.2 s"), (90, "90 s"), (120, "2 min"), (9000, "2.5 h"), (432000, "5 days")],
)
def test_a_duration_in_words(seconds: float, says: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == says
