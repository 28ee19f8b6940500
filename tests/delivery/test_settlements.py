"""What is written of an attempt, as values: no store, no clock."""

from datetime import timedelta

import pytest

from relayd.deliverer.nexthop.hosts import HostFailure
from relayd.deliverer.settlements import (
    facts_of,
    internal_error,
    rerouted,
    settlement_of,
    without_content,
)
from relayd.mail.attempt import Peer, RouteKind
from relayd.mail.outcome import Held, Rerouted
from relayd.mail.reply import Reply, Stage
from relayd.mail.words import Category, Fault
from relayd.net.smtp.breakdown import broken
from relayd.policy.delivery.route import Decision, HostPort, OnHold, ViaMx
from relayd.ports.outward import SessionFailed
from relayd.ports.queue import Lease, Work
from tests.support.builders import SMARTHOST, a_bounce, a_queued_message, a_queued_recipient
from tests.support.clock import START

AT = START + timedelta(minutes=2)
RECIPIENT = a_queued_recipient(attempt=3)
WORK = Work(
    lease=Lease(SMARTHOST, 0, 1),
    message=a_queued_message(),
    recipients=(RECIPIENT,),
    content=None,
)
PEER = Peer(
    route=RouteKind.SMARTHOST,
    host="mx.test",
    ip="192.0.2.1",
    port=25,
    local_ip="",
    helo="",
    tls=None,
)


def a_failure(reply: Reply | None = None) -> HostFailure:
    ended_by = reply or broken(Category.CONNECTION_FAILURE, "no answer")
    failed = SessionFailed(Stage.CONNECT, ended_by)
    return HostFailure(host=HostPort(host="mx.test", port=25), at=START, failed=failed)


def test_a_reply_is_written_with_its_codes() -> None:
    seen = facts_of(a_failure(Reply(550, "5.1.1", ("no such user",))))
    found = settlement_of(WORK, RECIPIENT, seen, a_bounce(), failures=(), at=AT)
    assert (found.code, found.enhanced, found.remote_host) == (550, "5.1.1", "mx.test")
    assert (found.message_id, found.recipient, found.attempt) == (WORK.message.id, 0, 3)
    [event] = found.events
    assert (event.kind, event.at, event.detail["attempt"]) == ("bounced", AT, 3)


def test_a_proof_gives_its_status_though_nobody_replied() -> None:
    found = settlement_of(
        WORK, RECIPIENT, facts_of(a_failure()), a_bounce(status="5.1.2"), failures=(), at=AT
    )
    assert (found.code, found.enhanced, found.reply) == (None, "5.1.2", None)


def test_hosts_tried_before_are_events_of_their_own_instants() -> None:
    failures = (a_failure(), a_failure(Reply(421, "4.3.2", ("busy",))))
    found = settlement_of(
        WORK, RECIPIENT, facts_of(a_failure()), a_bounce(), failures=failures, at=AT
    )
    assert [(each.kind, each.at) for each in found.events] == [
        ("attempted", START),
        ("attempted", START),
        ("bounced", AT),
    ]


def test_a_rule_holds_with_an_event_and_moves_without() -> None:
    held = rerouted(WORK, RECIPIENT, Decision(route=OnHold("y.test")), at=AT)
    assert held.outcome == Held()
    assert [(each.kind, each.at) for each in held.events] == [("held", AT)]
    way = Decision(route=ViaMx("y.test"), rule='[routes] "y.test"')
    moved = rerouted(WORK, RECIPIENT, way, at=AT)
    assert moved.outcome == Rerouted("mx:y.test", '[routes] "y.test"')
    assert (moved.events, moved.attempt) == ((), 3)


@pytest.mark.parametrize("peer", [None, PEER])
def test_after_a_bug_nobody_knows_how_far_a_transaction_got(peer: Peer | None) -> None:
    facts = internal_error(peer, at=AT)
    assert facts.dot_sent == (peer is not None)
    assert facts.stage is (Stage.CONNECT if peer is None else Stage.MAIL)


@pytest.mark.parametrize("peer", [None, PEER])
def test_without_content_the_final_dot_was_not_sent(peer: Peer | None) -> None:
    facts = without_content(peer, "it is gone", at=AT)
    assert not facts.dot_sent
    assert facts.stage is (Stage.CONNECT if peer is None else Stage.DATA)
    assert facts.breakdown is not None
    assert (facts.breakdown.fault, facts.breakdown.reason) == (Fault.LOCAL, "it is gone")
    found = settlement_of(WORK, RECIPIENT, facts, a_bounce(), failures=(), at=AT)
    assert found.remote_host is None
