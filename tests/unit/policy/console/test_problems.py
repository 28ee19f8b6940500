"""Which numbers are a problem, and what is said about it."""

import pytest

from relayd.policy.console.problems import (
    HourFacts,
    WebhookFacts,
    doctor_problems,
    problems,
    webhook_problems,
)
from relayd.policy.console.webhook import Off
from relayd.policy.doctor.finding import Check, Finding, Level

QUIET = HourFacts(accepted=100, bounced=0)


@pytest.mark.parametrize(
    ("hour", "is_one"),
    [
        (QUIET, False),
        (HourFacts(accepted=0, bounced=0), False),
        (HourFacts(accepted=0, bounced=9), False),  # too few to tell
        (HourFacts(accepted=0, bounced=10), True),
        (HourFacts(accepted=190, bounced=10), True),
        (HourFacts(accepted=191, bounced=10), False),
    ],
)
def test_many_bounces_are_a_problem(hour: HourFacts, is_one: bool) -> None:  # noqa: FBT001
    assert bool(problems(hour, oldest_seconds=None, oldest_destination="")) == is_one


def test_a_problem_says_whose_mail_it_is_and_leads_to_it() -> None:
    hour = HourFacts(accepted=80, bounced=20, sender="a@x.test", sender_bounced=15, tag="news")
    (found,) = problems(hour, oldest_seconds=None, oldest_destination="")
    assert found.text == (
        "20% of the last hour bounced: 20 of 100, most of it from a@x.test (15) with the tag news"
    )
    assert found.filters == {
        "status": "bounced",
        "since": "1h",
        "sender": "a@x.test",
        "tag": "news",
    }
    assert found.is_grave


def test_old_mail_is_a_problem() -> None:
    assert not problems(QUIET, oldest_seconds=4 * 3600 - 1, oldest_destination="x.test")
    (found,) = problems(QUIET, oldest_seconds=5 * 3600, oldest_destination="x.test")
    assert found.text == "the oldest mail has waited for 5 h, for x.test"
    assert not found.is_grave


def test_a_webhook_that_was_disabled_or_fails_is_a_problem() -> None:
    found = webhook_problems(
        [
            WebhookFacts(number=1, off=Off.NO),
            WebhookFacts(number=2, off=Off.NO, failing_seconds=599, heard="503"),
            WebhookFacts(number=3, off=Off.NO, failing_seconds=600, heard="503"),
            WebhookFacts(number=4, off=Off.BY_HAND, failing_seconds=6000, heard="503"),
            WebhookFacts(number=5, off=Off.GONE, heard="410"),
            WebhookFacts(
                number=6, off=Off.UNREACHABLE, failing_seconds=432_000, heard="time is up"
            ),
        ]
    )
    assert [(each.text, each.is_grave) for each in found] == [
        ("webhook 5 is disabled: its receiver is gone", True),
        ("webhook 6 is disabled: its receiver is unreachable", True),
        ("webhook 3 fails: 503", False),
    ]
    assert "relayd console webhook set 5 --enable" in found[0].remedy


def test_what_the_doctor_found_wrong_is_a_problem_for_a_week() -> None:
    wrong = [
        Finding(check=Check.SPF, subject=f"{name}.test", level=Level.FAIL, reason="no record")
        for name in "abcde"
    ]
    fine = Finding(check=Check.FQDN, subject="x.test", level=Level.WARN, reason="so so")
    found = doctor_problems([fine, *wrong], age_seconds=3600)
    assert [each.text for each in found] == [
        "doctor, spf of a.test: no record",
        "doctor, spf of b.test: no record",
        "doctor, spf of c.test: no record",
        "doctor: 2 findings more",
    ]
    assert {each.remedy for each in found[:3]} == {"relayd doctor looks again"}
    assert not doctor_problems(wrong, age_seconds=8 * 86400)
    assert not doctor_problems([fine], age_seconds=0)
