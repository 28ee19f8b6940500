"""One attempt of one envelope: who has a result, and who goes on to another transaction.

When a session ends under a transaction before the final dot, nothing was said about those it
concerns: they go on to the next host, in the same attempt (A-42). After the dot never (S-06). A host
that lacks what the message needs was not even asked: the next one may have it. So may the next host of a smarthost what this
one put off for reasons of its own (S-59).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relayd.deliverer.nexthop.hosts import HostFailure, Session
from relayd.mail.attempt import AttemptFacts, Breakdown, RouteKind
from relayd.mail.content import Content
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.outcome import Bounced, Deferred, Outcome
from relayd.mail.reply import Stage
from relayd.mail.words import Category, Fault
from relayd.policy.delivery.route import HostPort, RouteFacts, mx_domain_of
from relayd.ports.outward import Delivery, SessionFailed
from relayd.ports.queue import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is left to do."""

    work: Work
    message: QueuedMessage  # with the reverse-path that the next hop is given
    recipients: Sequence[QueuedRecipient]
    content: Content  # as the next hop is given it, too
    kept: Content  # as the client gave it, for a report
    facts: RouteFacts
    rewritten: Sequence[str] = ()  # what of both is not the same, in words
    failures: tuple[HostFailure, ...] = ()  # the hosts that failed these recipients

    def judged(
        self, delivery: Delivery, elsewhere: "Elsewhere"
    ) -> list[tuple[QueuedRecipient, AttemptFacts]]:
        """Return the recipients that a transaction has a result for, and what it saw."""
        return [
            (recipient, delivery.facts[index])
            for index, recipient in enumerate(self.recipients)
            if not _goes_on(delivery, index, elsewhere)
        ]

    def rest(
        self, delivery: Delivery, session: Session, elsewhere: "Elsewhere"
    ) -> "Attempt | None":
        """Return what is left after a transaction, with a new failure if that broke; None: nothing."""
        left = {
            index: recipient
            for index, recipient in enumerate(self.recipients)
            if _goes_on(delivery, index, elsewhere)
        }
        if not left:
            return None
        recipients = tuple(left.values())
        broken = next(
            (
                facts
                for index, facts in enumerate(delivery.facts)
                if _broke(facts) and index not in delivery.not_tried
            ),
            None,
        )
        lacks = next((facts for facts in delivery.facts if facts.own_refusal), None)
        passed = next((facts for facts in delivery.facts if elsewhere(facts)), None)
        other = None if delivery.not_tried else lacks or passed  # those have their turn first
        ended_by = broken or other
        if ended_by is None:
            return replace(self, recipients=recipients, failures=())
        said = {
            recipient.number: delivery.facts[index]
            for index, recipient in left.items()
            if index not in delivery.not_tried
        }
        failure = replace(_failure(ended_by, session), said=said)
        return replace(self, recipients=recipients, failures=(*session.failures, failure))


Elsewhere = Callable[[AttemptFacts], bool]
"""Tells whether another host may take what this one did not, in the same attempt."""


def nowhere(_: AttemptFacts) -> bool:
    return False


def _goes_on(delivery: Delivery, index: int, elsewhere: Elsewhere) -> bool:
    """Tell whether a recipient needs another transaction.

    It was one too many, the session ended, this host lacks what it needs, or has no verdict on it while there is another host.
    """
    facts = delivery.facts[index]
    has_ended = index in delivery.not_tried or _broke(facts) or bool(facts.own_refusal)
    return has_ended or elsewhere(facts)


def _broke(facts: AttemptFacts) -> bool:
    """Tell whether the session ended before the dot; all whom that concerns share the facts."""
    return not facts.dot_sent and (facts.reply is None or facts.reply.code == 421)


def _failure(facts: AttemptFacts, session: Session) -> HostFailure:
    peer, ended_by = facts.peer, facts.reply or facts.breakdown
    assert peer is not None, "there was a connection"
    assert ended_by is not None, "one of them is set"
    return HostFailure(
        host=HostPort(host=peer.host, port=peer.port),
        at=facts.started_at + facts.transaction_for,
        failed=SessionFailed(facts.stage, ended_by, peer=peer),
        route=peer.route,
        preference=session.preference,
        at_door=_broke(facts)
        and facts.stage is Stage.MAIL
        and session.connection.transactions == 1,
        facts=facts,
        has_served=session.connection.transactions > 1,
    )


def stumbled(destination: str, facts: AttemptFacts) -> HostFailure:
    """Return a bug of ours on the way to a host: this mail waits, and the others are tried."""
    assert facts.breakdown is not None, "it has no reply"
    return HostFailure(
        host=HostPort(host=destination, port=0),
        at=facts.started_at,
        failed=SessionFailed(facts.stage, facts.breakdown),
        at_door=False,
        facts=facts,
    )


def left_alone(destination: str, why: str, *, at: datetime) -> HostFailure:
    """Return that no host was asked, since its site is left alone, as a failure of the domain."""
    breakdown = Breakdown(category=Category.REPUTATION, fault=Fault.PEER, reason=why)
    return HostFailure(
        host=HostPort(host=mx_domain_of(destination) or destination, port=0),
        at=at,
        failed=SessionFailed(Stage.CONNECT, breakdown),
        route=RouteKind.DIRECT,
        at_door=False,
    )


def is_too_much(
    facts: Iterable[AttemptFacts],
    judged: Iterable[tuple[QueuedRecipient, AttemptFacts]],
    outcomes: Iterable[Outcome],
) -> bool:
    """Tell whether a server says that it wants less of us: by 421, or in words with a 4yz."""
    for each in facts:
        if each.reply is not None and each.reply.code == 421:
            return True
    for (_, seen), outcome in zip(judged, outcomes, strict=True):
        if (
            isinstance(outcome, Deferred | Bounced)
            and outcome.category is Category.RATE_LIMIT
            and seen.reply is not None
            and seen.reply.is_transient
        ):
            return True
    return False
