"""What every store must do with permits of accounts at smarthosts."""

from datetime import timedelta

from relayd.policy.accounts.limits import AccountLimits
from tests.support.stores import Box

A_DAY = AccountLimits(per_day=3)
EVENLY = AccountLimits(per_second=2)


async def test_permits_are_counted_over_all_who_book(box: Box) -> None:
    first = await box.store.permits.book("smarthost", A_DAY, 2)
    second = await box.store.permits.book("smarthost", A_DAY, 2)
    assert (first.count, second.count) == (2, 1)
    none = await box.store.permits.book("smarthost", A_DAY, 1)
    assert (none.count, none.why) == (0, "its 3 messages of the day are sent")
    assert (await box.store.permits.book("smarthost:other", A_DAY, 1)).count == 1
    await box.store.permits.give_back("smarthost", A_DAY, 1)
    assert (await box.store.permits.book("smarthost", A_DAY, 2)).count == 1


async def test_an_even_rate_is_shared(box: Box) -> None:
    now = box.clock.now().timestamp()
    first = await box.store.permits.book("smarthost", EVENLY, 2)
    second = await box.store.permits.book("smarthost", EVENLY, 2)
    assert (first.count, first.first, first.every) == (2, now, 0.5)
    assert (second.count, second.first) == (1, now + 1)
    box.clock.advance(timedelta(seconds=10))
    later = await box.store.permits.book("smarthost", EVENLY, 1)
    assert later.first == box.clock.now().timestamp()


async def test_what_a_server_says_of_the_rate_holds_for_all(box: Box) -> None:
    assert box.view.permits.paces() == []
    permits = box.store.permits
    first = await permits.too_fast("smarthost")
    learnt = first.pace
    assert first.is_first
    assert [(each.account, each.pace) for each in box.view.permits.paces()] == [
        ("smarthost", learnt)
    ]
    none = await permits.book("smarthost", AccountLimits(), 5)
    assert (none.count, none.until) == (0, learnt.rests_until)
    box.clock.advance(timedelta(seconds=2))
    assert (await permits.book("smarthost", AccountLimits(), 5)).count == 1
    told = await permits.book("smarthost", AccountLimits(), 5, taken=4)
    assert told.every < 1.0, "it took what it was given"
    asked = await permits.too_fast("smarthost", asked_for=600.0, taken=1)
    assert not asked.is_first
    assert asked.pace.rests_until == box.clock.now().timestamp() + 600
    assert (await permits.book("smarthost:other", AccountLimits(), 5)).is_free
