"""What an attempt, or a bounce that came later, changes in a recipient."""

from datetime import datetime
from typing import assert_never

from relayd.mail.outcome import (
    ACCEPTED_STATES,
    Bounced,
    Deferred,
    Held,
    NotTried,
    RecipientState,
    Relayed,
    Rerouted,
    Sent,
    state_after,
)
from relayd.mail.suppression import of_bounce, of_complaint, speaks
from relayd.ports.queue import LateNotice, Settlement
from relayd.store.memory.suppression import keep
from relayd.store.memory.tables import Recipient, Tables


def settle(
    recipient: Recipient, settlement: Settlement, now: datetime, *, served: float, age: float
) -> bool:
    """Write what an attempt led to; False, and nothing, if `TRANSITIONS` forbids it.

    `age` is that of the message, in seconds.
    """
    outcome = settlement.outcome
    if not recipient.may_become(state_after(outcome)):
        return False
    _apply(recipient, settlement, now, served)
    if isinstance(outcome, Deferred) and outcome.ages_anew:
        recipient.uncounted = age
    return True


def keep_what_it_says(
    tables: Tables, recipient: Recipient, settlement: Settlement, now: datetime
) -> None:
    """Note what a bounce that was written says about its address."""
    outcome = settlement.outcome
    if isinstance(outcome, Bounced) and speaks(outcome) and _was_sent_to(recipient):
        address, reply = str(recipient.new.address), settlement.reply
        keep(tables, of_bounce(outcome, address, recipient.message_id, reply=reply, at=now))


def _was_sent_to(recipient: Recipient) -> bool:
    """Tell whether mail of somebody went to its address: neither mail of our own, nor to one that `[redirect]` gave."""
    return not recipient.returned and recipient.redirected_to is None


def _apply(recipient: Recipient, settlement: Settlement, now: datetime, served: float) -> None:
    outcome = settlement.outcome
    if isinstance(outcome, NotTried | Rerouted | Held):
        recipient.attempts -= 1
        recipient.requeue(now)
        if isinstance(outcome, Rerouted):
            recipient.moved_to, recipient.chosen_by = outcome.destination, outcome.chosen_by
        elif isinstance(outcome, Held):
            recipient.move(RecipientState.HELD, now)
            recipient.uncounted -= served
        return
    recipient.code, recipient.enhanced = settlement.code, settlement.enhanced
    recipient.reply, recipient.remote_host = settlement.reply, settlement.remote_host
    recipient.redirected_to = settlement.redirected_to
    recipient.category = recipient.reason = None
    match outcome:
        case Relayed():
            recipient.move(RecipientState.RELAYED, now)
        case Sent():
            recipient.move(RecipientState.SENT, now)
        case Deferred():
            recipient.move(RecipientState.QUEUED, now)
            recipient.next_attempt_at = outcome.retry_at
            recipient.category, recipient.reason = outcome.category, outcome.reason
            recipient.soft_failures = outcome.soft_failures
            recipient.unknown_outcomes += outcome.possible_duplicate and outcome.counts
            recipient.is_extra = False
        case Bounced():
            recipient.move(RecipientState.BOUNCED, now)
            recipient.category, recipient.reason = outcome.category, outcome.reason
            recipient.bounce_class, recipient.suppress = outcome.bounce_class, outcome.suppress
        case _:
            assert_never(outcome)


def note_late(tables: Tables, notice: LateNotice, *, now: datetime) -> bool:
    """Write a bounce that came after the message was accepted; False when it no longer fits."""
    event, outcome = notice.event, notice.outcome
    message = tables.messages.get(event.message_id)
    if message is None:
        return False
    if outcome is not None:
        recipient = message.recipients[event.recipient]
        if not recipient.may_become(RecipientState.BOUNCED, ACCEPTED_STATES):
            return False
        recipient.move(RecipientState.BOUNCED, now)
        recipient.reason, recipient.category = outcome.reason, outcome.category
        recipient.bounce_class, recipient.suppress = outcome.bounce_class, outcome.suppress
        recipient.code, recipient.enhanced, recipient.reply = None, outcome.status, None
        if speaks(outcome) and _was_sent_to(recipient):
            address, sender = str(recipient.new.address), str(message.new.reverse_path or "")
            keep(tables, of_bounce(outcome, address, message.new.id, scope=sender, at=now))
    if notice.complaint and _was_sent_to(recipient := message.recipients[event.recipient]):
        address, sender = str(recipient.new.address), str(message.new.reverse_path or "")
        complaint = of_complaint(
            address, message.new.id, kind=notice.complaint, scope=sender, at=now
        )
        keep(tables, complaint)
    tables.note(message, event)
    return True
