"""From facts and outcomes to what is written: settlements and their events, as pure functions."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from relayd.deliverer.nexthop.hosts import HostFailure
from relayd.mail.attempt import AttemptFacts, Breakdown, Peer
from relayd.mail.envelope import QueuedRecipient
from relayd.mail.event import Event, attempt_detail, kind_of
from relayd.mail.ids import MessageId, format_id
from relayd.mail.outcome import Bounced, Held, NotTried, Outcome, Rerouted
from relayd.mail.reply import Stage
from relayd.mail.words import Category, EventKind, Fault
from relayd.policy.delivery.route import HOLD, Decision
from relayd.ports.queue import Settlement, Work


def settlement_of(
    work: Work,
    recipient: QueuedRecipient,
    seen: AttemptFacts,
    outcome: Outcome,
    *,
    failures: Sequence[HostFailure],
    at: datetime,
    redirected_to: str | None = None,
    rewritten: Sequence[str] = (),
) -> Settlement:
    """Return the result of an attempt; `failures` are the hosts tried before the one that decided.

    `redirected_to` is the address that `[redirect]` puts in the place of the recipient's; `rewritten` what rules
    changed, in words.
    """
    detail = attempt_detail(
        seen,
        outcome,
        attempt=recipient.attempt,
        queued_for=seen.started_at - work.message.received_at,
        redirected_to=redirected_to,
        rewritten=rewritten,
    )
    event = Event(
        kind=kind_of(outcome),
        at=at,
        message_id=work.message.id,
        recipient=recipient.number,
        detail=detail,
    )
    earlier = [_attempted(work, recipient, failure) for failure in failures]
    reply = seen.reply
    peer = seen.peer if seen.breakdown is None else seen.to_blame
    proof = outcome.status if reply is None and isinstance(outcome, Bounced) else None
    return Settlement(
        message_id=work.message.id,
        recipient=recipient.number,
        outcome=outcome,
        events=(*earlier, event),
        attempt=recipient.attempt,
        code=None if reply is None else reply.code,
        enhanced=proof if reply is None else reply.enhanced,
        reply=None if reply is None else str(reply),
        remote_host=None if peer is None else peer.host,
        redirected_to=redirected_to,
    )


def with_report(settlement: Settlement, report: MessageId) -> Settlement:
    """Return it with the report on it named: the client may make that needless."""
    *earlier, event = settlement.events
    told = replace(event, detail={**event.detail, "report": format_id(report)})
    return replace(settlement, events=(*earlier, told))


def unreported(settlement: Settlement) -> Settlement:
    """Return it with the note that its sender was to hear of it, and does not."""
    *earlier, event = settlement.events
    told = replace(event, detail={**event.detail, "unreported": True})
    return replace(settlement, events=(*earlier, told))


def _attempted(work: Work, recipient: QueuedRecipient, failure: HostFailure) -> Event:
    failure = failure.met_by(recipient.number)
    seen = facts_of(failure)
    detail = attempt_detail(
        seen,
        NotTried(reason=str(failure.failed)),
        attempt=recipient.attempt,
        queued_for=seen.started_at - work.message.received_at,
    )
    return Event(
        kind=EventKind.ATTEMPTED,
        at=failure.at,
        message_id=work.message.id,
        recipient=recipient.number,
        detail=detail,
    )


def rerouted(work: Work, recipient: QueuedRecipient, way: Decision, *, at: datetime) -> Settlement:
    """Return that a recipient goes another way now, or is held by a rule."""
    if way.key == HOLD:
        return held_by("[routes]", work, recipient, "the settings hold this domain", at=at)
    return Settlement(
        message_id=work.message.id,
        recipient=recipient.number,
        outcome=Rerouted(way.key, way.rule),
        events=(),
        attempt=recipient.attempt,
    )


def moved(
    work: Work,
    recipient: QueuedRecipient,
    seen: AttemptFacts,
    way: Decision | None,
    *,
    failures: Sequence[HostFailure],
    at: datetime,
) -> Settlement:
    """Return that a recipient, whose mail hosts refuse our address, goes another way; that is in its history.

    None: from another address of ours.
    """
    to = "another direct.source" if way is None else f"{way.key} ({way.rule})"
    again = NotTried(reason=f"moved to {to}")
    detail = attempt_detail(
        seen,
        again,
        attempt=recipient.attempt,
        queued_for=seen.started_at - work.message.received_at,
    )
    refused = Event(
        kind=EventKind.ATTEMPTED,
        at=at,
        message_id=work.message.id,
        recipient=recipient.number,
        detail=detail,
    )
    return Settlement(
        message_id=work.message.id,
        recipient=recipient.number,
        outcome=again if way is None else Rerouted(way.key, way.rule),
        events=(*(_attempted(work, recipient, each) for each in failures), refused),
        attempt=recipient.attempt,
    )


def held_by(
    by: str, work: Work, recipient: QueuedRecipient, reason: str, *, at: datetime
) -> Settlement:
    """Return that a recipient waits for an operator; `by` is what of the settings holds it."""
    held = Event(
        kind=EventKind.HELD,
        at=at,
        message_id=work.message.id,
        recipient=recipient.number,
        detail={"by": by, "reason": reason},
    )
    return Settlement(
        message_id=work.message.id,
        recipient=recipient.number,
        outcome=Held(),
        events=(held,),
        attempt=recipient.attempt,
    )


def put_back(work: Work, recipient: QueuedRecipient, *, reason: str) -> Settlement:
    """Return that a recipient was not tried after all."""
    return Settlement(
        message_id=work.message.id,
        recipient=recipient.number,
        outcome=NotTried(reason=reason),
        events=(),
        attempt=recipient.attempt,
    )


def facts_of(failure: HostFailure) -> AttemptFacts:
    """Return a failed session as the facts of an attempt."""
    if failure.facts is not None:
        return failure.facts
    failed = failure.failed
    peer = failed.peer or Peer(
        route=failure.route,
        host=failure.host.host,
        ip="",
        port=failure.host.port,
    )
    return AttemptFacts(
        peer=peer,
        stage=failed.stage,
        reply=failed.reply,
        breakdown=failed.breakdown,
        dot_sent=False,
        started_at=failure.at,
        connect_for=timedelta(),
        transaction_for=timedelta(),
    )


def without_content(peer: Peer | None, reason: str, *, at: datetime) -> AttemptFacts:
    """Return the facts of a transaction that ended, or did not begin (no peer), for want of content."""
    stage = Stage.CONNECT if peer is None else Stage.DATA
    return _local_failure(peer, stage, reason, at=at, dot_sent=False)


def internal_error(peer: Peer | None, *, at: datetime) -> AttemptFacts:
    """Return the facts of an attempt that a bug of ours ended.

    With a peer it was a transaction, and nobody knows how far in; None: on the way to one.
    """
    reason = "an error inside relayd: the operational log has it"
    stage = Stage.CONNECT if peer is None else Stage.MAIL
    return _local_failure(peer, stage, reason, at=at, dot_sent=peer is not None)


def _local_failure(
    peer: Peer | None, stage: Stage, reason: str, *, at: datetime, dot_sent: bool
) -> AttemptFacts:
    return AttemptFacts(
        peer=peer,
        stage=stage,
        reply=None,
        breakdown=Breakdown(category=Category.UNKNOWN, fault=Fault.LOCAL, reason=reason),
        dot_sent=dot_sent,
        started_at=at,
        connect_for=timedelta(),
        transaction_for=timedelta(),
    )
