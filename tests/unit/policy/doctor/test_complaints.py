"""How much of our mail is called spam."""

import pytest

from relayd.policy.doctor.complaints import SentMail, judge_complaints, sent_mail
from relayd.policy.doctor.finding import Finding, Level


def judged(*mails: SentMail) -> list[Finding]:
    return list(judge_complaints(mails, days=7))


def mail_of(sender: str, accepted: int, complained: int) -> SentMail:
    return SentMail(sender=sender, accepted=accepted, complained=complained)


@pytest.mark.parametrize(
    ("accepted", "complained", "level"),
    [
        (100_000, 99, Level.OK),
        (100_000, 100, Level.WARN),
        (100_000, 299, Level.WARN),
        (100_000, 300, Level.FAIL),
        (999, 30, Level.OK),  # too little mail to say anything
        (0, 3, Level.OK),  # of older mail
    ],
)
def test_the_share_decides(accepted: int, complained: int, level: Level) -> None:
    [found] = judged(mail_of("a@X.test", accepted, complained))
    assert (found.level, found.subject) == (level, "x.test")
    assert bool(found.remedy) == (level is not Level.OK)


def test_the_senders_of_a_domain_are_counted_together() -> None:
    found = judged(
        mail_of("a@x.test", 1000, 1), mail_of("b@x.test", 1000, 0), mail_of("c@y.test", 5, 0)
    )
    assert [each.reason for each in found] == ["1 complaints about 2000 mails in 7 days, 0.05%"]


def test_who_is_not_complained_about_hears_so() -> None:
    assert [each.level for each in judged(mail_of("a@x.test", 1000, 0))] == [Level.OK]
    assert not judged(mail_of("a@x.test", 999, 0))
    assert not judged()


def test_what_the_tally_counts() -> None:
    counts = {"sent": 2, "relayed": 3, "complained": 1, "deferred": 9}
    assert sent_mail("a@x.test", counts) == mail_of("a@x.test", 5, 1)
