"""Requeueing as the parts of a worker ask the store for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.requeue import Candidate, Left, Original, RequeueCounts, counts_of, why_left
from relayd.ports.view import Place, Target


class SendsAgain(Protocol):
    """Makes a new message of an old one, for some of its recipients."""

    def __call__(self, original: Original, /) -> NewMessage:
        """Return the message with an id of its own. May be called on a thread of the store."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """How bounced mail is requeued."""

    by: str
    reason: str
    send_again: SendsAgain
    again: bool = False  # also what was requeued before
    spares_suppressed: bool = False  # mail to suppressed addresses is left

    def why_left(self, candidate: Candidate) -> Left | None:
        return why_left(candidate, again=self.again, spares_suppressed=self.spares_suppressed)

    def targets_of(self, candidates: Sequence[Candidate]) -> tuple[Target, ...]:
        """Return those that are requeued."""
        return tuple(
            Target(each.message_id, each.number, each.address)
            for each in candidates
            if self.why_left(each) is None
        )

    def counts_of(self, candidates: Sequence[Candidate]) -> RequeueCounts:
        return counts_of(candidates, again=self.again, spares_suppressed=self.spares_suppressed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """What was requeued: the new messages, and events of these and of the old ones."""

    counts: RequeueCounts
    messages: tuple[NewMessage, ...] = ()
    events: tuple[Event, ...] = ()
    more: Place | None = None  # where the next batch begins; None: that was all
    targets: tuple[Target, ...] = ()  # of a batch of a dry run: whom
