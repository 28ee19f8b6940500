"""The notices in force: pause rules, and destinations that are left alone."""

from datetime import timedelta, timezone

import pytest

from relayd.answers.notices import _key_and_rate, notices_of
from relayd.answers.recipients import fields, find_rows, waits_for
from relayd.answers.switches import Switches
from relayd.cli.ages import Times
from relayd.cli.listing import _SHOWN, COLUMNS
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.ports.view import Query, RecipientRow
from relayd.store.memory.queue import MemoryStore
from tests.support.builders import a_message, a_recipient
from tests.support.clock import START, FakeClock
from tests.support.workers import registered

LEASE = timedelta(minutes=1)


def a_rule(named: Named, *sides: Side, hours: float | None = None) -> PauseRule:
    until = None if hours is None else START + timedelta(hours=hours)
    return PauseRule(
        named=named, sides=frozenset(sides), since=START, until=until, by="ann", reason="a flood"
    )


def why(row: RecipientRow) -> str:
    place = [column.title for column in COLUMNS].index("WHY")
    return _SHOWN[place][1](row, Times(None))


async def test_a_notice_says_what_is_paused_until_when_by_whom_and_why() -> None:
    store = MemoryStore(FakeClock())
    assert not notices_of(store.view, at=START)
    await store.pause(
        [
            a_rule(Named(Scope.TAG, "news"), Side.DELIVERY),
            a_rule(Named(Scope.ALL), Side.INTAKE, Side.DELIVERY, hours=2),
        ]
    )
    first, second = notices_of(store.view, at=START)
    assert first.kind == "paused"
    assert str(first) == (
        "paused: delivery of tag news, until somebody ends it, by ann: a flood (relayd resume 1)"
    )
    assert "intake and delivery of all mail, until 20" in second.text
    assert [each.text for each in notices_of(store.view, at=START + timedelta(hours=2))] == [
        first.text
    ]
    elsewhere = timezone(timedelta(hours=5, minutes=45))
    assert "+05:45" in notices_of(store.view, at=START, zone=elsewhere)[1].text


async def test_many_pauses_do_not_fill_the_screen() -> None:
    store = MemoryStore(FakeClock())
    await store.pause([a_rule(Named(Scope.TAG, f"{n}"), Side.DELIVERY) for n in range(9)])
    notices = notices_of(store.view, at=START)
    assert len(notices) == 4
    assert str(notices[-1]) == "paused: 6 more (relayd pauses)"


async def test_destinations_with_mail_that_are_left_alone() -> None:
    store = MemoryStore(FakeClock())
    worker = await registered(store, "1")
    for number in range(5):
        to = a_recipient(f"a@{number}.test", destination=f"mx:{number}.test")
        [work] = await store.enqueue(a_message(to), worker=worker, lease_for=LEASE)
        until = START + timedelta(minutes=number)
        await store.release(work.lease, paused_until=until, why="connection refused")
    notices = notices_of(store.view, at=START)
    assert len(notices) == 4
    assert notices[0].kind == "destination"
    assert notices[0].text.startswith("destination mx:4.test is left alone until 20")
    assert notices[0].text.endswith(": connection refused")
    assert notices[-1].text == "more destinations are left alone"


async def test_the_pause_is_what_a_row_waits_for() -> None:
    store = MemoryStore(FakeClock())
    worker = await registered(store, "1")
    paused, other = a_message(tag="news"), a_message()
    for message in (paused, other):
        await store.enqueue(message, worker=worker, lease_for=None)
    await store.pause(
        [
            a_rule(Named(Scope.ALL), Side.INTAKE),
            a_rule(Named(Scope.TAG, "News"), Side.DELIVERY, hours=2),
        ]
    )
    free, held = find_rows(store.view, Query(), limit=0)
    assert (free.pause, why(free)) == (None, "")
    assert held.pause is not None
    assert why(held).startswith("paused until 20")
    assert why(held).endswith(", by ann: a flood")
    told = fields(held)["pause"]
    assert isinstance(told, dict)
    assert (told["pause"], told["by"], told["reason"]) == (2, "ann", "a flood")
    words = waits_for(held, [], START)
    assert words.startswith("the end of pause 2 (tag News), until 20")
    assert words.endswith(", by ann: a flood")
    assert "pause" not in waits_for(held, [], START + timedelta(hours=2)), "its time is over"


async def test_the_safety_net_comes_first() -> None:
    store = MemoryStore(FakeClock())
    await store.pause([a_rule(Named(Scope.ALL), Side.DELIVERY)])
    notices = notices_of(store.view, at=START, switches=Switches(soft_bounce=True))
    assert [each.kind for each in notices] == ["soft_bounce", "paused"]
    assert "relayd config set soft_bounce false" in str(notices[0])


async def test_a_smarthost_that_is_given_less_is_told_with_the_setting_for_it() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    for account in ("smarthost", "smarthost:news", "host:h.test:25"):
        await store.permits.too_fast(account)
    given = "is given about 1 messages a second, since its server said that we were too fast"
    key = "messages_per_second=1 keeps within its limit"
    assert [str(each) for each in notices_of(store.view, at=clock.now())] == [
        f"destination host:h.test:25 {given} (nothing to do)",
        f"destination smarthost {given} (relayd config set smarthost.{key})",
        f"destination smarthost:news {given} (relayd config set smarthosts.news.{key})",
    ]
    assert not notices_of(store.view, at=clock.now() + timedelta(days=1))


@pytest.mark.parametrize(
    ("rate", "told"),
    [(13.6, ("messages_per_second", 13)), (0.5, ("messages_per_minute", 30)), (0.001, ("messages_per_hour", 3)), (0.0001, ("messages_per_hour", 1))],
)  # fmt: skip
def test_a_rate_is_said_in_whole_numbers(rate: float, told: tuple[str, int]) -> None:
    assert _key_and_rate(rate) == told
