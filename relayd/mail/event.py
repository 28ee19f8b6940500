"""Events: one past-tense fact about one recipient, the unit of the history and of the status log.

An event is written in the transaction that it reports and logged after the commit from the same
value, so that store and log never disagree. Field names and event names are an interface
(`docs/events.md`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from relayd.mail.attempt import AttemptFacts, Peer, RouteKind
from relayd.mail.envelope import NewMessage, NewRecipient
from relayd.mail.ids import MessageId
from relayd.mail.outcome import Bounced, Deferred, NotTried, Outcome, Relayed, Sent
from relayd.mail.words import Detail, EventKind, JsonValue, format_instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The message and the recipient that an event is about, as the status log names them."""

    message_id_header: str | None
    reverse_path: str  # as given; empty for the null reverse-path
    tag: str | None
    size: int  # octets of the stored content
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. `detail` holds the status log's fields beyond those of message and recipient.

    Those are in `subject` where who logs the event does not have the message: an operator's act, and what
    a mail to a VERP address says.
    """

    kind: EventKind
    at: datetime
    message_id: MessageId
    recipient: int  # number of the recipient in its message
    detail: Detail
    subject: Subject | None = None


def kind_of(outcome: Outcome) -> EventKind:
    """The event that an outcome is recorded as. NotTried is recorded as an attempt."""
    match outcome:
        case Relayed():
            return EventKind.RELAYED
        case Sent():
            return EventKind.SENT
        case Deferred():
            return EventKind.DEFERRED
        case Bounced():
            return EventKind.BOUNCED
        case NotTried():
            return EventKind.ATTEMPTED
        case _:
            assert_never(outcome)


def subject_of(message: NewMessage, recipient: int) -> Subject:
    """Return what the events of one recipient of a new message are about."""
    return Subject(
        message_id_header=message.facts.message_id_header,
        reverse_path=str(message.reverse_path or ""),
        tag=message.facts.tag,
        size=len(message.content),
        address=str(message.recipients[recipient].address),
    )


def reception_detail(message: NewMessage) -> Detail:
    """The fields of the event that it was received."""
    client = message.client
    return {
        "client_ip": client.ip,
        "helo": client.helo,
        "listener": client.listener,
        "auth_user": client.auth_user,
        **({"dkim": message.dkim} if message.dkim else {}),
    }


def detail_for(detail: Detail, recipient: NewRecipient) -> Detail:
    """The fields of its reception for a recipient that has some of its own: what chose its way, and its ORCPT.

    That is told where it is another address.
    """
    own: dict[str, JsonValue] = {"chosen_by": recipient.chosen_by} if recipient.chosen_by else {}
    orcpt = recipient.parameters.orcpt
    if orcpt is not None and orcpt.partition(";")[2] != str(recipient.address):
        own["orig_rcpt"] = orcpt
    return {**detail, **own}


def first_events(message: NewMessage) -> Sequence[Event]:
    """Return what is recorded with a message: that it was received, then `check_events`."""
    detail = reception_detail(message)
    events = _of_each_recipient(message, EventKind.RECEIVED, detail)
    for number, recipient in enumerate(message.recipients):
        told = detail_for(detail, recipient)
        if told != detail:
            events[number] = replace(events[number], detail=told)
    return [*events, *check_events(message)] if message.has_findings else events


def check_events(message: NewMessage) -> Sequence[Event]:
    """Return what the content check of a message found, and that it cannot be signed, for each recipient."""
    held: list[Event] = []
    if message.unsigned:
        why: Detail = {"by": "[[dkim]]", "reason": message.unsigned}
        held = _of_each_recipient(message, EventKind.HELD, why)
    check = message.content_check
    if check is None:
        return held
    kind = EventKind.UNCHECKED if check.score is None else EventKind.SCORED
    detail: Detail = {"content_score": check.score, "reason": check.reason}
    if check.holds:
        kind, detail = EventKind.HELD, {"by": "[content]", **detail}
    return [*_of_each_recipient(message, kind, detail), *held]


def _of_each_recipient(message: NewMessage, kind: EventKind, detail: Detail) -> list[Event]:
    return [
        Event(
            kind=kind,
            at=message.received_at,
            message_id=message.id,
            recipient=number,
            detail=detail,
        )
        for number in range(len(message.recipients))
    ]


def attempt_detail(
    facts: AttemptFacts,
    outcome: Outcome,
    *,
    attempt: int,
    queued_for: timedelta,
    redirected_to: str | None = None,
    rewritten: Sequence[str] = (),
) -> Detail:
    """The fields of the event that ends one attempt, in the order they are read."""
    detail: dict[str, JsonValue] = {"attempt": attempt}
    if redirected_to is not None:
        detail["redirected_to"] = redirected_to
    if rewritten:
        detail["rewritten"] = "; ".join(rewritten)
    peer = facts.peer if facts.breakdown is None else facts.to_blame
    if peer is not None:
        _peer_fields(detail, peer)
    detail["stage"] = str(facts.stage)  # up to 3.11 `.value` is two calls
    if (reply := facts.reply) is not None:
        detail["code"] = reply.code
        if reply.enhanced is not None:
            detail["enhanced"] = reply.enhanced
        detail["reply"] = str(reply)
    elif isinstance(outcome, Bounced):
        detail["enhanced"] = outcome.status  # nobody else named one
    _outcome_fields(detail, outcome)
    if isinstance(outcome, NotTried) and facts.breakdown is not None:
        detail["fault"] = facts.breakdown.fault.value
    detail["delay_queue"] = _seconds(queued_for)
    detail["delay_connect"] = _seconds(facts.connect_for)
    detail["delay_transaction"] = _seconds(facts.transaction_for)
    return detail


def _peer_fields(detail: dict[str, JsonValue], peer: Peer) -> None:
    detail["route"] = str(peer.route)
    detail["remote_host"] = peer.host
    detail["remote_ip"] = peer.ip
    detail["remote_port"] = peer.port
    if peer.local_ip:  # none before there is a connection
        detail["local_ip"] = peer.local_ip
    detail["helo"] = peer.helo
    if peer.tls is not None:
        detail["tls"] = (
            f"{peer.tls.version} {peer.tls.cipher} {'verified' if peer.tls.verified else 'unverified'}"
        )
        if peer.tls.problem:
            detail["tls_problem"] = peer.tls.problem
    else:
        detail["tls"] = "none"
    if peer.route is RouteKind.DIRECT and (told := peer.tls_result) is not None:
        detail["tls_policy"] = told.policy.value
        detail["tls_proof"] = told.proof.value
        if told.result is not None:
            detail["tls_result"] = told.result.value
            detail.setdefault("tls_problem", told.reason)


def _outcome_fields(detail: dict[str, JsonValue], outcome: Outcome) -> None:
    match outcome:
        case Deferred():
            detail["category"] = outcome.category.value
            detail["fault"] = outcome.fault.value
            detail["reason"] = outcome.reason
            detail["next_attempt_at"] = format_instant(outcome.retry_at)
        case Bounced():
            detail["bounce_class"] = outcome.bounce_class.value
            detail["category"] = outcome.category.value
            detail["fault"] = outcome.fault.value
            detail["suppress"] = outcome.suppress
            detail["reason"] = outcome.reason
        case NotTried():
            detail["reason"] = outcome.reason
        case Relayed() | Sent():
            return
        case _:
            assert_never(outcome)
    if isinstance(outcome, Deferred | Bounced) and outcome.possible_duplicate:
        detail["possible_duplicate"] = True


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)
