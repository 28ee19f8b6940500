"""A wall clock that is set: leases do not notice, and no mail waits for an instant of the past."""

from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import NotTried
from relayd.ports.view import Query
from tests.support.builders import a_deferral, a_message, a_recipient, settlements_of
from tests.support.stores import LEASE, Box
from tests.support.workers import registered

DAY = timedelta(days=1)
MINUTES = timedelta(minutes=15)


@pytest.mark.parametrize("by", [DAY, 5 * DAY, -DAY])
async def test_a_lease_holds_whatever_the_clock_says(
    box: Box, worker: WorkerNumber, other: WorkerNumber, by: timedelta
) -> None:
    """F-30, F-31: nobody else takes what is being sent just now."""
    message = a_message("a@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    await box.put(a_message("b@x.test"), worker=worker)
    box.clock.jump(by)
    assert await box.store.reap() == 0
    assert await box.claim(other) == []
    settled = await box.store.settle(work.lease, settlements_of(work))
    assert len(settled) == 1
    assert not box.row(message).possible_duplicate


async def test_a_lease_ends_though_the_clock_was_set_back(box: Box, worker: WorkerNumber) -> None:
    await box.put(a_message("a@x.test"), worker=worker, leased=True)
    box.clock.jump(-DAY)
    box.clock.advance(LEASE + timedelta(seconds=1))
    assert await box.store.reap() == 1
    assert len(await box.claim(worker)) == 1


@pytest.mark.parametrize("look", ["reap", "register"])
async def test_mail_is_due_though_the_clock_was_set_back(
    box: Box, worker: WorkerNumber, look: str
) -> None:
    """F-31: it came in, or was put back, in the time that the clock showed before."""
    await box.put(a_message("new@x.test", at=box.clock.now()), worker=worker)
    back = a_message("back@x.test", at=box.clock.now() - DAY)
    [work] = await box.put(back, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work, NotTried(reason="for no reason")))
    box.clock.jump(-DAY)
    await (box.store.reap() if look == "reap" else registered(box.store, "new"))
    assert len(await box.claim(worker)) == 2


async def test_waits_and_pauses_are_as_long_as_they_were(box: Box, worker: WorkerNumber) -> None:
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    deferral = a_deferral(box.clock.now() + MINUTES)
    await box.store.settle(work.lease, settlements_of(work, deferral))
    await box.store.release(work.lease, paused_until=box.clock.now() + 2 * MINUTES)
    await box.store.reap()
    box.clock.jump(-DAY)
    for _ in range(2):  # the second look finds nothing to do
        await box.store.reap()
        assert box.row(message).next_attempt_at == box.clock.now() + MINUTES
        assert box.row(message).paused_until == box.clock.now() + 2 * MINUTES
    box.clock.advance(2 * MINUTES - timedelta(seconds=1))
    assert await box.claim(worker) == []
    box.clock.advance(timedelta(seconds=1))
    assert len(await box.claim(worker)) == 1


@pytest.mark.parametrize("look", ["reap", "claim"])
async def test_waits_and_pauses_are_not_cut_short(
    box: Box, worker: WorkerNumber, look: str
) -> None:
    """F-30: a dead clock that is put right ends no wait, whoever looks first."""
    message = a_message("a@x.test", at=box.clock.now())
    other = a_message(a_recipient("b@y.test", destination="y.test"))
    [work] = await box.put(message, worker=worker, leased=True)
    deferral = a_deferral(box.clock.now() + MINUTES)
    await box.store.settle(work.lease, settlements_of(work, deferral))
    await box.store.release(work.lease, paused_until=box.clock.now() + 2 * MINUTES)
    await box.put(other, worker=worker)
    box.clock.jump(6 * DAY)
    if look == "reap":
        await box.store.reap()
    assert [each.message.id for each in await box.claim(worker)] == [other.id]
    assert box.row(message).next_attempt_at == box.clock.now() + MINUTES
    assert box.row(message).paused_until == box.clock.now() + 2 * MINUTES
    box.clock.advance(2 * MINUTES)
    assert len(await box.claim(worker)) == 1


@pytest.mark.parametrize("by", [6 * DAY, -6 * DAY])
async def test_what_is_written_after_a_jump_is_not_moved(
    box: Box, worker: WorkerNumber, by: timedelta
) -> None:
    """An attempt was under way when the clock was set, and mail came in before anybody looked."""
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    box.clock.jump(by)
    deferral = a_deferral(box.clock.now() + MINUTES)
    await box.store.settle(work.lease, settlements_of(work, deferral))
    await box.store.release(work.lease, paused_until=box.clock.now() + MINUTES)
    new = a_message(a_recipient("b@y.test", destination="y.test"), at=box.clock.now())
    await box.put(new, worker=worker)
    assert [each.message.id for each in await box.claim(worker)] == [new.id]
    await box.store.reap()
    assert box.row(message).next_attempt_at == box.clock.now() + MINUTES
    assert box.row(message).paused_until == box.clock.now() + MINUTES
    box.clock.advance(MINUTES)
    assert [each.message.id for each in await box.claim(worker)] == [message.id]


JUMPS = [timedelta(), 6 * DAY, 30_000 * DAY, -DAY, -10_000 * DAY]


@pytest.mark.parametrize("before", JUMPS)
@pytest.mark.parametrize("after", JUMPS)
async def test_age_is_the_time_in_which_relayd_could_try(
    box: Box, worker: WorkerNumber, before: timedelta, after: timedelta
) -> None:
    """S-10: the clock may be set as often as it likes, and relayd may be down for a year."""
    await box.put(a_message("a@x.test"), worker=worker)
    box.clock.advance(MINUTES)
    box.clock.jump(before)
    await box.store.reap()
    box.clock.advance(MINUTES)
    box.clock.jump(after)
    await box.store.reap()
    box.clock.advance(300 * DAY)  # nobody looks: relayd is down
    again = await registered(box.store, "1", boot="another")
    box.clock.advance(MINUTES)
    [work] = await box.claim(again)
    assert work.message.age == 3 * MINUTES
    assert work.message.began(box.clock.now()) == box.clock.now() - 3 * MINUTES


async def test_age_goes_on_when_a_worker_is_replaced(box: Box, worker: WorkerNumber) -> None:
    await box.put(a_message("a@x.test"), worker=worker)
    box.clock.advance(5 * DAY)
    [work] = await box.claim(await registered(box.store, "again"))
    assert work.message.age == 5 * DAY


async def test_new_mail_has_no_age(box: Box, worker: WorkerNumber) -> None:
    box.clock.advance(9 * DAY)
    [work] = await box.put(a_message("a@x.test", at=box.clock.now()), worker=worker, leased=True)
    assert work.message.age == timedelta()


async def test_a_clock_that_is_put_right_by_seconds_changes_nothing(
    box: Box, worker: WorkerNumber
) -> None:
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    at = box.clock.now() + MINUTES
    await box.store.settle(work.lease, settlements_of(work, a_deferral(at)))
    await box.store.reap()
    box.clock.jump(timedelta(seconds=-30))
    await box.store.reap()
    assert box.row(message).next_attempt_at == at


async def test_what_only_the_safety_net_keeps_ages_anew(box: Box, worker: WorkerNumber) -> None:
    """One recipient is kept by `soft_bounce` after 9 days, and the other one as ever."""
    message = a_message("kept@x.test", "other@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    box.clock.advance(9 * DAY)
    kept = replace(a_deferral(box.clock.now()), ages_anew=True)
    both = settlements_of(work, a_deferral(box.clock.now()))
    await box.store.settle(work.lease, [replace(both[0], outcome=kept), both[1]])
    box.clock.advance(MINUTES)
    [again] = await box.claim(worker)
    ages = {each.number: again.message.age - each.uncounted for each in again.recipients}
    assert ages == {0: MINUTES, 1: 9 * DAY + MINUTES}


async def test_it_ages_on_from_there_when_it_was_held_meanwhile(
    box: Box, worker: WorkerNumber
) -> None:
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    box.clock.advance(9 * DAY)
    kept = replace(a_deferral(box.clock.now()), ages_anew=True)
    await box.store.settle(work.lease, settlements_of(work, kept))
    for action in (Action.HOLD, Action.RELEASE):
        box.clock.advance(MINUTES)
        await box.store.act(Query(), action, by="ann", reason="")
    box.clock.advance(MINUTES)
    [again] = await box.claim(worker)
    assert again.message.age - again.recipients[0].uncounted == 2 * MINUTES


async def test_a_pause_that_is_over_is_told_until_the_next(box: Box, worker: WorkerNumber) -> None:
    """Also when a worker starts: that ends the pauses that are left, and those alone."""
    message = a_message("a@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    until = box.clock.now() + MINUTES
    await box.store.release(work.lease, paused_until=until)
    box.clock.advance(2 * MINUTES)
    await registered(box.store, "other")
    assert box.row(message).paused_until == until
