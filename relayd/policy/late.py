"""What a mail that came back to a return path says about the recipient it stands for.

The recipient is known from the return path; the mail is only asked what happened. In doubt
nothing: a mail that is no clear bounce leaves the status as it is.
"""

from relayd.mail.outcome import Bounced
from relayd.mail.words import BounceClass, Category, EventKind, Fault
from relayd.policy.inbound_bounce import Kind, ParsedBounce

_EVENTS = {
    Kind.BOUNCE: EventKind.LATE_BOUNCED,
    Kind.ARF: EventKind.COMPLAINED,
    Kind.DELIVERED: EventKind.DELIVERED_DSN,
}


def event_of(parsed: ParsedBounce) -> EventKind | None:
    """Return what to record; None when the mail says nothing final."""
    return _EVENTS.get(parsed.kind)


def outcome_of(parsed: ParsedBounce) -> Bounced | None:
    """Return the bounce that the mail reports; None when it reports none.

    A mail that tells of several is about an alias or a list, and proves nothing of the address itself.
    """
    if parsed.kind is not Kind.BOUNCE:
        return None
    failed = [each for each in parsed.recipients if each.action == "failed"]
    if not failed:
        return Bounced(
            bounce_class=BounceClass.BLOCK,
            category=Category.UNKNOWN,
            fault=Fault.PEER,
            suppress=False,
            reason="returned, without a reason that can be read",
            status="5.0.0",
        )
    found = failed[0]
    suppress = found.suppress and len(parsed.recipients) == 1
    bounce_class = found.bounce_class or BounceClass.BLOCK
    if bounce_class is BounceClass.HARD and not suppress:
        bounce_class = BounceClass.BLOCK
    return Bounced(
        bounce_class=bounce_class,
        category=found.category or Category.UNKNOWN,
        fault=Fault.PEER,
        suppress=suppress,
        reason=found.diagnostic or "returned",
        status=found.status or "5.0.0",
    )
