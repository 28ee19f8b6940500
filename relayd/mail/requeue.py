"""A new message of one that bounced: what it has of the old one, and how each tells of the other.

Every store goes by this. The content stays to the octet, with the tag, a kept subject, the envelope and who handed it in.
New are the queue id, and with it the VERP address, the age, and the destination by the settings of today.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relayd.mail.address import Address, parse_address
from relayd.mail.content import Content
from relayd.mail.envelope import (
    Client,
    MessageFacts,
    NewMessage,
    NewRecipient,
    QueuedMessage,
    QueuedRecipient,
)
from relayd.mail.event import Event, subject_of
from relayd.mail.ids import MessageId, format_id
from relayd.mail.words import EventKind


class Left(StrEnum):
    """Why a bounced recipient is not requeued."""

    ALREADY = "already"  # it was before
    GONE = "gone"  # its content is deleted
    SUPPRESSED = "suppressed"  # the settings refuse mail to its address


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A bounced recipient that matches."""

    message_id: MessageId
    number: int
    address: str
    octets: int | None  # of its content in the queue file; None: there is none any more
    is_requeued: bool
    is_suppressed: bool


def why_left(candidate: Candidate, *, again: bool, spares_suppressed: bool) -> Left | None:
    """Return why a recipient is not requeued; None: it is."""
    if candidate.is_requeued and not again:
        return Left.ALREADY
    if candidate.octets is None:
        return Left.GONE
    if candidate.is_suppressed and spares_suppressed:
        return Left.SUPPRESSED
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueCounts:
    """How many bounced recipients match, and what becomes of them."""

    matched: int = 0
    changed: int = 0  # requeued
    suppressed: int = 0  # of those: their address is suppressed
    already: int = 0  # left, because they were requeued before
    gone: int = 0  # left, because their content is deleted
    refused: int = 0  # left, because their address is suppressed and the settings refuse that

    def __add__(self, other: "RequeueCounts") -> "RequeueCounts":
        return RequeueCounts(
            matched=self.matched + other.matched,
            changed=self.changed + other.changed,
            suppressed=self.suppressed + other.suppressed,
            already=self.already + other.already,
            gone=self.gone + other.gone,
            refused=self.refused + other.refused,
        )


def counts_of(
    candidates: Sequence[Candidate], *, again: bool, spares_suppressed: bool
) -> RequeueCounts:
    """Count what becomes of recipients."""
    fates = [
        (why_left(each, again=again, spares_suppressed=spares_suppressed), each.is_suppressed)
        for each in candidates
    ]
    left = Counter(why for why, _ in fates)
    return RequeueCounts(
        matched=len(fates),
        changed=left[None],
        suppressed=fates.count((None, True)),
        already=left[Left.ALREADY],
        gone=left[Left.GONE],
        refused=left[Left.SUPPRESSED],
    )


def within(candidates: Iterable[Candidate], octets: int) -> list[Candidate]:
    """Return the first of them whose contents together have no more octets than that, one at least."""
    taken: list[Candidate] = []
    messages: set[MessageId] = set()
    for each in candidates:
        if each.message_id not in messages:
            messages.add(each.message_id)
            octets -= each.octets or 0
            if octets < 0 and taken:
                break
        taken.append(each)
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A bounced message, and those of its recipients that are requeued."""

    message: QueuedMessage
    recipients: Sequence[QueuedRecipient]
    client: Client
    content: Content
    subject: str | None  # if it was kept


def new_message_of(
    original: Original,
    *,
    message_id: MessageId,
    at: datetime,
    way_of: Callable[[Address], tuple[str, str]],
) -> NewMessage:
    """Return the new message for some recipients of an old one.

    `way_of` tells the route key of an address, and the entry of the settings that chose it.
    """
    message = original.message
    sender = message.reverse_path
    return NewMessage(
        id=message_id,
        received_at=at,
        reverse_path=parse_address(sender) if sender else None,
        parameters=message.parameters,
        recipients=tuple(
            NewRecipient(
                address=address,
                destination=destination,
                chosen_by=chosen_by,
                parameters=each.parameters,
            )
            for each in original.recipients
            for address in (parse_address(each.address),)
            for destination, chosen_by in (way_of(address),)
        ),
        content=original.content,
        facts=MessageFacts(
            size=message.size,
            hops=0,
            message_id_header=message.message_id_header,
            tag=message.tag,
            is_test=message.is_test,
            test_via=message.test_via,
            is_8bit=message.is_8bit,
            utf8_headers=message.utf8_headers,
            lifts_tls=message.lifts_tls,
            subject=original.subject,
        ),
        client=original.client,
    )


def requeue_events(
    original: MessageId, numbers: Sequence[int], new: NewMessage, *, by: str, reason: str
) -> Iterator[Event]:
    """Yield what is recorded of both messages; `numbers` are the recipients' in the old one."""
    said = {"by": by, "reason": reason}
    for number, old_number in enumerate(numbers):
        subject = subject_of(new, number)
        yield Event(
            kind=EventKind.REQUEUED,
            at=new.received_at,
            message_id=original,
            recipient=old_number,
            detail={**said, "requeued_as": format_id(new.id)},
            subject=subject,
        )
        yield Event(
            kind=EventKind.REQUEUED,
            at=new.received_at,
            message_id=new.id,
            recipient=number,
            detail={**said, "requeued_from": format_id(original)},
            subject=subject,
        )
