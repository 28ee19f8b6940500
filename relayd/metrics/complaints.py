"""Complaints about mail of the last week, and how much was accepted beside them: what rates are made of.

By the domain of the sender and by that of the recipient who complained, since a receiver judges the one, and the other tells
which receiver. Bounded: the domains with most complaints, and those with most mail where there are none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relayd.mail.tally import Dimension
from relayd.metrics.families import COMPLAINED, COMPLAINED_ACCEPTED, Sample
from relayd.policy.doctor.complaints import SentMail, by_domain, sent_mail
from relayd.ports.tally import TallyQuery
from relayd.ports.view import QueueView

TOP = 10  # domains of each kind (HW-02)
HOLDS = timedelta(minutes=5)
"""For so long numbers of a week are good: to make them reads the week, of all senders."""

_LOOKED_AT = timedelta(days=7)  # as `relayd doctor` does
_KINDS = {"sender": Dimension.SENDER, "recipient": Dimension.DOMAIN}


@dataclass(frozen=True, slots=True)
class Complained:
    """Whose mail was complained about, or who complained."""

    kind: str
    mail: SentMail


class Complaints:
    """The domains with most complaints, as they were read last."""

    def __init__(self) -> None:
        self._found: Sequence[Complained] = ()
        self._read_at: datetime | None = None

    def latest(self, view: QueueView, now: datetime) -> Sequence[Complained]:
        """Return them, from `view` if they are old. Raises StoreError."""
        if self._read_at is None or not self._read_at <= now < self._read_at + HOLDS:
            self._found, self._read_at = _read(view, now), now
        return self._found


def _read(view: QueueView, now: datetime) -> Sequence[Complained]:
    return [
        Complained(kind, mail)
        for kind, dimension in _KINDS.items()
        for mail in _most(view, dimension, now - _LOOKED_AT)
    ]


def of_complaints(found: Sequence[Complained]) -> Iterator[Sample]:
    for each in found:
        labels = each.kind, each.mail.sender
        yield Sample(family=COMPLAINED, labels=labels, value=each.mail.complained)
    for each in found:
        labels = each.kind, each.mail.sender
        yield Sample(family=COMPLAINED_ACCEPTED, labels=labels, value=each.mail.accepted)


def _most(view: QueueView, dimension: Dimension, since: datetime) -> Sequence[SentMail]:
    answer = view.tally(TallyQuery(by=dimension, since=since))
    mails = by_domain(sent_mail(row.value, row.counts) for row in answer.rows)
    named = [each for each in mails if each.sender]
    return sorted(named, key=lambda each: (-each.complained, -each.accepted, each.sender))[:TOP]
