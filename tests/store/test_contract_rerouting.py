"""What every store must do when the settings changed under queued mail, or a claim leaves some out."""

from datetime import timedelta

import pytest

from relayd.errors import LeaseLost
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Held, NoAttempt, Rerouted
from relayd.ports.queue import Work
from relayd.ports.view import Query, Status
from tests.support.builders import (
    a_deferral,
    a_message,
    a_recipient,
    a_rerouting,
    settlements_of,
)
from tests.support.stores import Box

OLD, NEW = "old.test", "new.test"


async def reroute(box: Box, work: Work, outcome: NoAttempt, *, at: int = 0) -> int:
    """Settle the recipient at this place of `work`; return how many were written."""
    number = work.recipients[at].number
    one = a_rerouting(work.message.id, number, outcome, at=box.clock.now())
    return len(await box.store.settle(work.lease, [one]))


async def leased(box: Box, worker: WorkerNumber, count: int = 1) -> tuple[NewMessage, Work]:
    message = a_message(*[a_recipient(destination=OLD)] * count, at=box.clock.now())
    (work,) = await box.put(message, worker=worker, leased=True)
    return message, work


# --- moved


async def test_a_moved_recipient_waits_elsewhere_as_if_it_had_not_been_taken(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """No attempt, no event, due at once, and anybody's who may deliver there."""
    message, work = await leased(box, worker)
    assert await reroute(box, work, Rerouted(NEW)) == 1
    row = box.row(message)
    assert (row.destination, row.status, row.attempts) == (NEW, Status.QUEUED, 0)
    assert not row.leased
    assert not row.possible_duplicate
    assert row.next_attempt_at == box.clock.now()
    assert not box.later_history(message)
    assert box.view.counts().by_destination == {NEW: 1}
    assert await box.store.content(message.id) == message.content
    (taken,) = await box.claim(other)
    assert (taken.lease.destination, taken.recipients[0].attempt) == (NEW, 1)


async def test_what_chose_the_way_is_told_of_each(box: Box, worker: WorkerNumber) -> None:
    """As it was at intake, and after a move as it is by then."""
    one, other = a_recipient(chosen_by='[senders] "a.test"'), a_recipient("b@x.test")
    message = a_message(one, other)
    await box.put(message, worker=worker)
    rows = box.view.find(Query(message_id=message.id), limit=2)
    assert sorted(str(row.chosen_by) for row in rows) == ["None", '[senders] "a.test"']
    told = [entry.detail.get("chosen_by") for entry in box.view.history(message.id)]
    assert told == ['[senders] "a.test"', None]
    (work,) = await box.claim(worker)
    await reroute(box, work, Rerouted(NEW))
    await reroute(box, work, Rerouted(NEW, '[logins] "shop"'), at=1)
    rows = box.view.find(Query(message_id=message.id), limit=2)
    assert sorted(str(row.chosen_by) for row in rows) == ["None", '[logins] "shop"']


async def test_only_the_one_that_is_named_moves(box: Box, worker: WorkerNumber) -> None:
    message, work = await leased(box, worker, 3)
    await reroute(box, work, Rerouted(NEW), at=1)
    assert [box.row(message, number).destination for number in range(3)] == [OLD, NEW, OLD]
    assert [box.row(message, number).leased for number in range(3)] == [True, False, True]
    await box.store.settle(work.lease, settlements_of(work))
    statuses = [box.row(message, number).status for number in range(3)]
    assert statuses == [Status.RELAYED, Status.QUEUED, Status.RELAYED]


async def test_a_moved_recipient_keeps_what_was_held_against_it(
    box: Box, worker: WorkerNumber
) -> None:
    """Earlier soft bounces count at the new destination as well."""
    message, work = await leased(box, worker)
    deferral = a_deferral(box.clock.now(), soft_failures=1, possible_duplicate=True)
    await box.store.settle(work.lease, settlements_of(work, deferral))
    (again,) = await box.claim(worker)
    await reroute(box, again, Rerouted(NEW))
    assert box.row(message).status is Status.DEFERRED
    (moved,) = await box.claim(worker)
    [one] = moved.recipients
    assert (one.attempt, one.soft_failures, one.possible_duplicate) == (2, 1, True)


async def test_a_pause_of_the_new_destination_holds_for_who_comes_there(
    box: Box, worker: WorkerNumber
) -> None:
    paused = a_message(a_recipient(destination=NEW), at=box.clock.now())
    (there,) = await box.put(paused, worker=worker, leased=True)
    until = box.clock.now() + timedelta(minutes=5)
    await box.store.release(there.lease, paused_until=until)
    _, work = await leased(box, worker)
    await reroute(box, work, Rerouted(NEW))
    box.advance(299)
    assert await box.claim(worker) == []
    box.advance(2)
    assert len(await box.claim(worker)) == 2


async def test_it_may_move_back(box: Box, worker: WorkerNumber) -> None:
    message, work = await leased(box, worker)
    await reroute(box, work, Rerouted(NEW))
    (there,) = await box.claim(worker)
    await reroute(box, there, Rerouted(OLD))
    assert box.row(message).destination == OLD
    (back,) = await box.claim(worker)
    assert (back.lease, back.recipients[0].attempt) == (work.lease, 1)


# --- held by a rule


async def test_a_held_recipient_waits_for_its_release(box: Box, worker: WorkerNumber) -> None:
    message, work = await leased(box, worker)
    assert await reroute(box, work, Held()) == 1
    row = box.row(message)
    assert (row.status, row.attempts, row.leased) == (Status.HELD, 0, False)
    assert row.next_attempt_at is None
    assert [entry.kind for entry in box.later_history(message)] == ["held"]
    assert await box.claim(worker) == []
    assert await box.store.content(message.id) == message.content
    await box.store.act(Query(message_id=message.id), Action.RELEASE, by="ann", reason="")
    (again,) = await box.claim(worker)
    assert again.recipients[0].attempt == 1


# --- both


@pytest.mark.parametrize("outcome", [Rerouted(NEW), Held()], ids=["moved", "held"])
async def test_an_operators_act_comes_first(
    box: Box, worker: WorkerNumber, outcome: NoAttempt
) -> None:
    """What was taken out of the lease meanwhile is passed over, its event too."""
    message, work = await leased(box, worker)
    await box.store.act(Query(message_id=message.id), Action.DROP, by="ann", reason="")
    assert await reroute(box, work, outcome) == 0
    row = box.row(message)
    assert (row.status, row.destination) == (Status.DROPPED, OLD)
    assert [entry.kind for entry in box.later_history(message)] == ["dropped"]


@pytest.mark.parametrize("outcome", [Rerouted(NEW), Held()], ids=["moved", "held"])
async def test_once_is_enough(box: Box, worker: WorkerNumber, outcome: NoAttempt) -> None:
    """A second one has an event of its own; who settles the same again was told nothing the first time."""
    message, work = await leased(box, worker)
    assert await reroute(box, work, outcome) == 1
    box.advance(1)
    assert await reroute(box, work, outcome) == 0
    assert box.row(message).attempts == 0


@pytest.mark.parametrize("outcome", [Rerouted(NEW), Held()], ids=["moved", "held"])
async def test_a_stale_lease_reroutes_nothing(
    box: Box, worker: WorkerNumber, outcome: NoAttempt
) -> None:
    message, work = await leased(box, worker)
    await box.store.release(work.lease)
    with pytest.raises(LeaseLost):
        await reroute(box, work, outcome)
    assert (box.row(message).status, box.row(message).destination) == (Status.QUEUED, OLD)


# --- claim, but not from everywhere


async def test_claim_passes_over_the_destinations_it_is_told(
    box: Box, worker: WorkerNumber, other: WorkerNumber
) -> None:
    """Nothing there is touched: not the recipients, not the slot."""
    first, second = (a_message(a_recipient(destination=name)) for name in (OLD, NEW))
    await box.put(first, worker=worker)
    box.advance(1)
    await box.put(second, worker=worker)
    (work,) = await box.claim(worker, but=[OLD])
    assert work.lease.destination == NEW
    assert (box.row(first).leased, box.row(first).attempts) == (False, 0)
    assert await box.claim(worker, but={OLD, NEW}) == []
    assert [work.message.id for work in await box.claim(other)] == [first.id]


async def test_claim_takes_from_the_destinations_it_is_told_only(
    box: Box, worker: WorkerNumber
) -> None:
    for name in (OLD, NEW):
        await box.put(a_message(a_recipient(destination=name)), worker=worker)
    assert await box.claim(worker, only=[]) == []
    assert await box.claim(worker, only=[NEW], but=[NEW]) == []
    (work,) = await box.claim(worker, only=[NEW])
    assert work.lease.destination == NEW


async def test_what_is_passed_over_takes_nothing_of_the_limit(
    box: Box, worker: WorkerNumber
) -> None:
    for name in (OLD, NEW, OLD, NEW):
        await box.put(a_message(a_recipient(destination=name)), worker=worker)
    works = await box.claim(worker, limit=2, but=[OLD])
    assert [work.lease.destination for work in works] == [NEW, NEW]
    assert len(await box.claim(worker, limit=10)) == 2


async def test_a_slot_of_ones_own_is_passed_over_too(box: Box, worker: WorkerNumber) -> None:
    """That is what it is for: a queue that is full has its slot, and gets no more."""
    _, work = await leased(box, worker)
    await box.put(a_message(a_recipient(destination=OLD)), worker=worker)
    assert await box.claim(worker, but=[OLD]) == []
    (more,) = await box.claim(worker, but=[NEW])
    assert more.lease == work.lease
