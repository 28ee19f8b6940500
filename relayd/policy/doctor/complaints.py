"""Judge how much of our mail its recipients call spam.

Sources: the limits of Gmail and Yahoo for who sends much: below 0.1 %, never 0.3 % (Email sender guidelines, 2024).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from relayd.mail.tally import COUNTED
from relayd.policy.doctor.finding import Check, Finding, Level

WARN, FAIL = 0.001, 0.003  # of what was accepted
_AT_LEAST = 1000  # accepted: one complaint about a hundred mails says nothing
_REMEDY = "Send only to who asked for it, let them unsubscribe with one click, and stop writing to who complained."


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """What became of the mail of one sender, or of all senders of a domain."""

    sender: str  # reverse-path, or a domain
    accepted: int
    complained: int


def sent_mail(sender: str, counts: Mapping[str, int]) -> SentMail:
    """Return it from the counts of the tally (`COUNTED`)."""
    assert set(counts) <= set(COUNTED)
    accepted = counts.get("sent", 0) + counts.get("relayed", 0)
    return SentMail(sender=sender, accepted=accepted, complained=counts.get("complained", 0))


def by_domain(mails: Iterable[SentMail]) -> Sequence[SentMail]:
    """Return the same by domains; `sender` of each is the domain in lower case, empty for the null reverse-path."""
    accepted: Counter[str] = Counter()
    complained: Counter[str] = Counter()
    for mail in mails:
        domain = mail.sender.rpartition("@")[2].lower()
        accepted[domain] += mail.accepted
        complained[domain] += mail.complained
    return [
        SentMail(sender=domain, accepted=count, complained=complained[domain])
        for domain, count in accepted.items()
    ]


def judge_complaints(mails: Iterable[SentMail], *, days: int) -> Iterator[Finding]:
    """Judge each domain of senders, those that are complained about; one finding, if there are none."""
    domains = by_domain(mails)
    named = [each for each in domains if each.complained and each.sender]
    for each in sorted(named, key=lambda each: -each.complained):
        yield _judge(each.sender, each.accepted, each.complained, days)
    if not named and sum(each.accepted for each in domains) >= _AT_LEAST:
        yield Finding(
            check=Check.COMPLAINTS,
            subject="",
            level=Level.OK,
            reason=f"nobody complained in {days} days",
        )


def _judge(domain: str, accepted: int, complained: int, days: int) -> Finding:
    share = complained / max(accepted, complained)
    level = Level.OK
    if accepted >= _AT_LEAST and share >= WARN:
        level = Level.FAIL if share >= FAIL else Level.WARN
    return Finding(
        check=Check.COMPLAINTS,
        subject=domain,
        level=level,
        reason=f"{complained} complaints about {accepted} mails in {days} days, {share:.2%}",
        remedy="" if level is Level.OK else _REMEDY,
    )
