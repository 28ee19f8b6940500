"""Delays of recipients, from their history, and percentiles of them."""

from datetime import timedelta

import pytest

from relayd.answers.delays import delays_of, percentiles
from relayd.mail.event import Event
from relayd.mail.ids import WorkerNumber
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.words import EventKind
from relayd.ports.view import Query
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import a_deferral, a_message, a_settlement
from tests.support.clock import FakeClock


@pytest.fixture
async def store() -> MemoryStore:
    """Ten recipients of one message: the first waits, the others took 1, 2, … seconds and 0.1 in the queue."""
    clock = FakeClock()
    store = MemoryStore(clock)
    message = a_message(*(f"u{n}@x.test" for n in range(10)), "late@x.test", at=clock.now())
    [work] = await store.enqueue(message, worker=WorkerNumber(1), lease_for=timedelta(minutes=5))
    for number in range(10):
        outcome: Outcome = Relayed() if number else a_deferral()
        event = Event(
            kind=EventKind.RELAYED if number else EventKind.DEFERRED,
            at=clock.now(),
            message_id=message.id,
            recipient=number,
            detail={"delay_queue": 0.1, "delay_connect": 0, "delay_transaction": number},
        )
        await store.settle(work.lease, [a_settlement(message.id, number, outcome, events=(event,))])
        clock.advance(timedelta(seconds=1))
    return store


async def test_each_has_the_delays_of_its_last_attempt(store: MemoryStore) -> None:
    found = list(delays_of(store.view, store.find(Query(), limit=99)))
    assert [one.row.recipient for one in found] == list(range(11))
    assert found[0].delays == {"delay_queue": 0.1, "delay_connect": 0, "delay_transaction": 0}
    assert found[3].delays["delay"] == found[3].delays["delay_transaction"] == 3
    assert found[10].delays == {}


async def test_percentiles_are_of_those_that_are_known(store: MemoryStore) -> None:
    summed = percentiles(list(delays_of(store.view, store.find(Query(), limit=99))))
    assert summed["p50"] == {
        "delay": 5,
        "delay_queue": 0.1,
        "delay_connect": 0,
        "delay_transaction": 4,
    }
    assert summed["p95"]["delay"] == 9
    assert percentiles([])["p99"] == {}
