"""The states of a destination queue: every pair of state and event, and that nothing leads back."""

import itertools

import pytest

from relayd.policy.delivery.queue_state import (
    MAY_SEND,
    TAKES_WORK,
    TRANSITIONS,
    QueueEvent,
    QueueState,
)

PAIRS = list(itertools.product(QueueState, QueueEvent))
LEADS_ON = {
    (QueueState.PROBING, QueueEvent.ANSWERED): QueueState.VERIFIED,
    (QueueState.PROBING, QueueEvent.DRAIN): QueueState.DRAINING,
    (QueueState.PROBING, QueueEvent.CLOSE): QueueState.CLOSED,
    (QueueState.VERIFIED, QueueEvent.DRAIN): QueueState.DRAINING,
    (QueueState.VERIFIED, QueueEvent.CLOSE): QueueState.CLOSED,
    (QueueState.DRAINING, QueueEvent.CLOSE): QueueState.CLOSED,
    (QueueState.DRAINING, QueueEvent.EMPTY): QueueState.ENDED,
    (QueueState.CLOSED, QueueEvent.EMPTY): QueueState.ENDED,
}


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair(state: QueueState, event: QueueEvent) -> None:
    assert TRANSITIONS[state][event] is LEADS_ON.get((state, event), state)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_nothing_leads_back(state: QueueState, event: QueueEvent) -> None:
    """A closed queue that took work or sent again would send under a lease that has gone."""
    order = list(QueueState)
    assert order.index(TRANSITIONS[state][event]) >= order.index(state)


def test_what_may_be_done_shrinks_along_the_way() -> None:
    assert {QueueState.PROBING, QueueState.VERIFIED} == TAKES_WORK
    assert {*TAKES_WORK, QueueState.DRAINING} == MAY_SEND
