"""Machines with clocks of their own on one PostgreSQL: waits are moved once, and only where the clock was set that they go by (F-47)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.ids import WorkerIdentity
from relayd.store.postgres import destinations
from relayd.store.postgres.line import ask_once
from relayd.store.postgres.queue import PostgresStore
from tests.support import postgres
from tests.support.builders import a_deferral, a_message, a_recipient, settlements_of
from tests.support.clock import START, FakeClock
from tests.support.postgres import needs_postgres
from tests.support.stores import LEASE

pytestmark = needs_postgres

HOUR = timedelta(hours=1)
FAR = timedelta(minutes=5)


class Machine:
    """One of them, with one worker and clocks of its own; the server's is `server`."""

    def __init__(self, clock: FakeClock, server: FakeClock) -> None:
        def leases_by() -> float:
            return (server.now() - START).total_seconds()

        self.clock = clock
        self.store = PostgresStore.open(
            postgres.database(),
            clock=clock,
            slots={},
            leases_by=leases_by,
        )

    async def begin(self, node: str, name: str = "1") -> None:
        worker = WorkerIdentity(node=node, boot=f"of {node}", name=name)
        self.number = (await self.store.register(worker)).number

    async def defer(self) -> int:
        """Have one wait for an hour; return until when."""
        message = a_message("a@x.test", at=self.clock.now())
        [work] = await self.store.enqueue(message, worker=self.number, lease_for=LEASE)
        outcome = a_deferral(self.clock.now() + HOUR)
        await self.store.settle(work.lease, settlements_of(work, outcome))
        return await waits_until()


async def waits_until() -> int:
    sql = "SELECT next_attempt_at FROM queue"
    return int(await ask_once(postgres.database(), lambda db: db.value(sql)))


def ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


@pytest.fixture
def server() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def machine(server: FakeClock) -> AsyncIterator[Callable[[FakeClock], Machine]]:
    async with AsyncExitStack() as stack:

        def make(clock: FakeClock) -> Machine:
            made = Machine(clock, server)
            stack.push_async_callback(made.store.close)
            return made

        yield make
    postgres.empty()


async def test_clocks_that_differ_move_nothing(machine: Callable[[FakeClock], Machine]) -> None:
    one, two = machine(FakeClock()), machine(FakeClock(START + FAR))
    await one.begin("one")
    before = await one.defer()
    await two.begin("two")
    for each in (two, one, two, one):
        await each.store.reap()
        assert await waits_until() == before


async def test_a_clock_that_is_set_alone_moves_nothing_of_the_others(
    machine: Callable[[FakeClock], Machine],
) -> None:
    one, two = machine(FakeClock()), machine(FakeClock())
    await one.begin("one")
    before = await one.defer()
    await two.begin("two")
    two.clock.jump(FAR)
    await two.store.reap()
    assert await waits_until() == before


async def test_clocks_that_are_set_everywhere_move_all_waits_once(
    machine: Callable[[FakeClock], Machine], server: FakeClock
) -> None:
    one, two = machine(FakeClock()), machine(FakeClock())
    await one.begin("one")
    before = await one.defer()
    await two.begin("two")
    for clock in (server, one.clock, two.clock):
        clock.jump(-FAR)
    for each in (one, two, two, one):
        await each.store.reap()
        assert await waits_until() == before - ms(FAR)


async def test_lines_that_see_a_jump_at_once_move_the_waits_once(
    machine: Callable[[FakeClock], Machine],
) -> None:
    """Two workers of a machine, with several lines each."""
    clock = FakeClock()
    one, other = machine(clock), machine(clock)
    await one.begin("one")
    await other.begin("one", "2")
    before = await one.defer()
    for jump in (FAR, -FAR):
        clock.jump(jump)
        await asyncio.gather(
            *(
                verb()
                for each in (one, other)
                for verb in (each.store.forget_keys, each.store.tally_up, each.store.reap)
            )
        )
        expected = before + ms(FAR) if jump > timedelta() else before
        assert await waits_until() == expected


async def test_who_comes_after_an_outage_counts_on_with_the_others(
    machine: Callable[[FakeClock], Machine], server: FakeClock
) -> None:
    """They served all the time, and could not write it down."""
    one, two = machine(FakeClock()), machine(FakeClock())
    await one.begin("one")
    before = await one.defer()
    for clock in (server, one.clock, two.clock):
        clock.advance(10 * FAR)
    await two.begin("two")
    await two.store.reap()
    await one.store.reap()
    await two.store.reap()
    assert await waits_until() == before
    assert two.store._age.served() == one.store._age.served() == ms(10 * FAR)


async def test_waits_are_moved_some_at_a_time(
    machine: Callable[[FakeClock], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "_MOVED_AT_ONCE", 2)
    one = machine(FakeClock())
    await one.begin("one")
    for _ in range(2):
        message = a_message(*(f"{each}@x.test" for each in "abc"), at=one.clock.now())
        message = replace(message, not_before=START + HOUR)
        await one.store.enqueue(message, worker=one.number, lease_for=None)
    one.clock.jump(FAR)
    await one.store.reap()
    sql = "SELECT DISTINCT next_attempt_at FROM queue"
    found = await ask_once(postgres.database(), lambda db: db.fetch(sql))
    assert len(found) == 1


async def test_a_server_whose_clock_is_set_forward_ends_no_lease(
    machine: Callable[[FakeClock], Machine], server: FakeClock
) -> None:
    """Whoever looks first, the owners come to renew; then leases end as ever."""
    one, two = machine(FakeClock()), machine(FakeClock())
    await one.begin("one")
    await two.begin("two")
    for clock in (server, one.clock, two.clock):
        clock.advance(timedelta(seconds=70))
    message = a_message("a@x.test", at=START)
    [work] = await one.store.enqueue(message, worker=one.number, lease_for=LEASE)
    more = a_message("b@x.test", at=START)
    await one.store.enqueue(more, worker=one.number, lease_for=None)
    server.jump(HOUR)
    assert await two.store.claim(two.number, limit=9, lease_for=LEASE) == []
    assert await two.store.reap() == 0
    assert await two.store.claim(two.number, limit=9, lease_for=LEASE) == []
    assert await one.store.extend([work.lease], worker=one.number, lease_for=LEASE) == []
    for clock in (server, one.clock, two.clock):
        clock.advance(LEASE)
    assert await two.store.reap() == 1


@pytest.mark.parametrize("is_set_back", [False, True])
async def test_a_backlog_that_a_machine_ahead_left_does_not_stand_still(
    machine: Callable[[FakeClock], Machine], *, is_set_back: bool
) -> None:
    """F-47: nor one that was left before the server's clock was set back, from the next renewal of leases on."""
    one, ahead = machine(FakeClock()), machine(FakeClock(START + HOUR))
    await one.begin("one")
    await ahead.begin("ahead")
    recipients = [a_recipient(destination="x.test")] * 40
    message = a_message(*recipients, at=one.clock.now())
    await one.store.enqueue(message, worker=one.number, lease_for=None)
    [work] = await ahead.store.claim(ahead.number, limit=4, lease_for=LEASE)
    await ahead.store.release(work.lease)
    if is_set_back:
        sql = (
            "UPDATE destination SET left_at = left_at + 315360000000 WHERE left_at > 0 RETURNING 1"
        )
        assert await ask_once(postgres.database(), lambda db: db.value(sql))  # ten years
        await one.store.reap()
    assert await one.store.claim(one.number, limit=4, lease_for=LEASE)
