"""What must be seen without looking for it: each notice in force, with what to do about it.

Shown above the tables of `relayd status`, `queue list` and `top`. Everything is read off the store, but for what a setting has in force.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from relayd.answers.pauses import in_words, sides_in_words
from relayd.mail.words import instant
from relayd.ports.view import QueueView

_MOST = 3  # of one kind; of more it is said how many they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One line for people."""

    kind: (
        str  # "soft_bounce"; "paused": a pause rule; "destination": one that is left alone for now
    )
    text: str
    remedy: str  # what to do or to run

    def __str__(self) -> str:
        return f"{self.text} ({self.remedy})"


SOFT_BOUNCE = Notice(
    kind="soft_bounce",
    text="soft_bounce is on: mail that would bounce is deferred, and no sender hears of it",
    remedy="relayd config set soft_bounce false",
)


def notices_of(view: QueueView, *, at: datetime, soft_bounce: bool = False) -> Sequence[Notice]:
    """Return the notices in force at that instant, the gravest first. May raise StoreUnavailable.

    `soft_bounce` is that setting.
    """
    return [*[SOFT_BOUNCE] * soft_bounce, *_pauses(view, at), *_destinations(view, at)]


def _pauses(view: QueueView, at: datetime) -> Iterator[Notice]:
    rules = [rule for rule in view.pause_rules() if not rule.is_over(at)]
    for rule in rules[:_MOST]:
        yield Notice(
            kind="paused",
            text=f"paused: {sides_in_words(rule)} of {rule.named}, {in_words(rule)}",
            remedy=f"relayd resume {rule.number}",
        )
    if len(rules) > _MOST:
        more = len(rules) - _MOST
        yield Notice(kind="paused", text=f"paused: {more} more", remedy="relayd pauses")


def _destinations(view: QueueView, at: datetime) -> Iterator[Notice]:
    paused = view.paused_destinations(at, limit=_MOST + 1)
    for each in paused[:_MOST]:
        why = f": {each.why}" if each.why else ""
        yield Notice(
            kind="destination",
            text=f"destination {each.destination} is left alone until {instant(each.until)}{why}",
            remedy="relayd queue expedite tries now",
        )
    if len(paused) > _MOST:
        yield Notice(
            kind="destination", text="more destinations are left alone", remedy="relayd top"
        )
