"""What every store must do with messages that are to be taken once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.errors import CommitUnknown
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.once import KEPT_FOR, AlreadyTaken, FirstMessage, Once, OtherBody
from relayd.mail.outcome import Relayed
from tests.support.builders import a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.stores import LEASE, Box

ANSWERS = {"a@x.test": "250 2.1.5 OK", "root@y.test": "550 5.7.1 Relaying denied"}
KEY, OTHER_KEY, BODY, OTHER = (bytes([octet]) * 32 for octet in range(4))


def a_message_once(box: Box, *, key: bytes = KEY, body: bytes = BODY) -> NewMessage:
    once = Once(key=key, body=body, answers=ANSWERS)
    return replace(a_message("a@x.test", "b@x.test", at=box.clock.now()), once=once)


async def test_a_message_is_taken_once(box: Box, worker: WorkerNumber) -> None:
    """The second one tells of the first: its id, and what was said to its recipients."""
    first, again = a_message_once(box), a_message_once(box)
    assert await box.put(first, worker=worker, leased=True), "it is leased as any other"
    known = FirstMessage(id=first.id, body=BODY, answers=ANSWERS)
    with pytest.raises(AlreadyTaken) as taken:
        await box.put(again, worker=worker, leased=True)
    assert taken.value.first == known
    assert box.view.first_message(KEY) == known
    assert {row.message_id for row in box.rows()} == {first.id}


async def test_another_body_is_told_apart(box: Box, worker: WorkerNumber) -> None:
    first, other = a_message_once(box), a_message_once(box, body=OTHER)
    await box.put(first, worker=worker)
    with pytest.raises(OtherBody):
        await box.put(other, worker=worker)
    assert {row.message_id for row in box.rows()} == {first.id}
    with pytest.raises(AlreadyTaken):
        await box.put(a_message_once(box), worker=worker)


async def test_other_keys_and_messages_without_are_not_concerned(
    box: Box, worker: WorkerNumber
) -> None:
    messages = [
        a_message_once(box),
        a_message_once(box, key=OTHER_KEY),
        a_message(at=box.clock.now()),
        a_message(at=box.clock.now()),
    ]
    for message in messages:
        await box.put(message, worker=worker)
    assert {row.message_id for row in box.rows()} == {message.id for message in messages}


async def test_of_many_at_the_same_time_one_is_taken(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Also when they go into one commit."""
    tries = [
        box.put(a_message_once(box), worker=each, leased=True) for each in (worker, other) * 10
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    taken = [each for each in results if isinstance(each, AlreadyTaken)]
    assert len(taken) == len(tries) - 1
    [stored] = {row.message_id for row in box.rows()}
    assert {each.first.id for each in taken} == {stored}


async def test_a_key_is_kept_for_24_hours(box: Box, worker: WorkerNumber) -> None:
    """And gone soon after, however many there are of its age."""
    await box.put(a_message_once(box), worker=worker)
    box.advance(60)
    await box.put(a_message_once(box, key=OTHER_KEY), worker=worker)
    box.advance(KEPT_FOR.total_seconds() - 60)
    assert await box.store.forget_keys() == 0
    box.advance(1)
    assert await box.store.forget_keys() == 1
    assert box.view.first_message(KEY) is None
    await box.put(a_message_once(box), worker=worker)
    with pytest.raises(AlreadyTaken):
        await box.put(a_message_once(box, key=OTHER_KEY), worker=worker)


async def test_a_clock_that_is_set_shortens_nothing(box: Box, worker: WorkerNumber) -> None:
    await box.put(a_message_once(box), worker=worker)
    box.clock.jump(timedelta(days=30))
    assert await box.store.forget_keys() == 0


async def test_a_key_outlives_the_history_of_its_message(box: Box, worker: WorkerNumber) -> None:
    first = a_message_once(box)
    [work] = await box.put(first, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, Relayed()))
    box.advance(3600)
    while await box.store.purge(box.clock.now()):
        pass
    assert not box.rows()
    with pytest.raises(AlreadyTaken) as taken:
        await box.put(a_message_once(box), worker=worker)
    assert taken.value.first.id == first.id


async def test_after_an_unknown_commit_asking_again_tells() -> None:
    store = FaultyStore(FakeClock())
    box = Box(store=store, view=store.view, clock=FakeClock())
    store.forget_answer("enqueue")
    first = a_message_once(box)
    with pytest.raises(CommitUnknown):
        await store.enqueue(first, worker=WorkerNumber(1), lease_for=LEASE)
    store.heal("enqueue")
    with pytest.raises(AlreadyTaken) as taken:
        await store.enqueue(a_message_once(box), worker=WorkerNumber(1), lease_for=LEASE)
    assert taken.value.first.id == first.id
