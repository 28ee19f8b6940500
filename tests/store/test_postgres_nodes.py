"""Machines that share one PostgreSQL: nobody takes what another one has, and all know how many they are."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import pytest

from relayd.errors import CommitUnknown, StoreBroken, StoreUnavailable
from relayd.mail.ids import WorkerIdentity
from relayd.ports.membership import Cluster, Others
from relayd.store.postgres import nodes
from relayd.store.postgres.line import Session, ask_once
from relayd.store.postgres.queue import PostgresStore
from tests.support import postgres
from tests.support.builders import a_message
from tests.support.clock import START, FakeClock
from tests.support.cut_proxy import Cut, a_cut_proxy
from tests.support.postgres import needs_postgres
from tests.support.stores import LEASE

pytestmark = needs_postgres


class Machine:
    """One of them, with one worker."""

    def __init__(
        self, name: str, clock: FakeClock, mark: str = "folder", url: str | None = None
    ) -> None:
        def leases_by() -> float:
            return (clock.now() - START).total_seconds()

        self.name = name
        self.others: list[Others] = []
        self.store = PostgresStore.open(
            url or postgres.database(),
            clock=clock,
            slots={},
            leases_by=leases_by,
            cluster=Cluster(
                mark=mark, settings=f"settings of {name}", on_others=self.others.append
            ),
        )

    async def begin(self, boot: str = "first") -> None:
        identity = WorkerIdentity(node=self.name, boot=f"{self.name} {boot}", name="1")
        self.number = (await self.store.register(identity)).number

    async def renew(self) -> Others:
        await self.store.extend([], worker=self.number, lease_for=LEASE)
        return self.others[-1]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def machine(clock: FakeClock) -> AsyncIterator[Callable[[str], Machine]]:
    async with AsyncExitStack() as stack:

        def make(name: str, mark: str = "folder") -> Machine:
            made = Machine(name, clock, mark)
            stack.push_async_callback(made.store.close)
            return made

        yield make
    postgres.empty()


async def two_that_count_each_other(machine: Callable[[str], Machine]) -> tuple[Machine, Machine]:
    """Begin two machines, and have each renew as often as it takes until both have their part."""
    one, two = machine("one"), machine("two")
    for each in (one, two):
        await each.begin()
    for each in (one, two, one, two):
        await each.renew()
    return one, two


async def test_who_joins_takes_nothing_from_the_others(machine: Callable[[str], Machine]) -> None:
    """Another boot on the same machine is a dead one; on another machine it is none of ours."""
    one, two = machine("one"), machine("two")
    await one.begin()
    message = a_message("a@x.test")
    [work] = await one.store.enqueue(message, worker=one.number, lease_for=LEASE)
    await two.begin()
    assert await one.store.extend([work.lease], worker=one.number, lease_for=LEASE) == []
    await one.begin("second")
    assert await one.store.extend([work.lease], worker=one.number, lease_for=LEASE) == [work.lease]


async def test_all_know_how_many_they_are(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Who joins is known to the others with their next renewals, and knows that then with its own."""
    one, two = machine("one"), machine("two")
    await one.begin()
    assert one.others == [Others(0, 0, know_us=True)]
    await two.begin()
    assert two.others == [Others(1, 1, know_us=False)]
    clock.advance(timedelta(seconds=1))
    assert await two.renew() == Others(1, 1, know_us=False)
    clock.advance(timedelta(seconds=1))
    assert await two.renew() == Others(1, 1, know_us=False)
    assert await one.renew() == Others(1, 0, know_us=True)
    assert await two.renew() == Others(1, 1, know_us=True)
    clock.advance(timedelta(seconds=20))
    three = machine("three")
    await three.begin()
    assert await one.renew() == Others(2, 0, know_us=True), "who came later counted it then"
    await three.store.close()
    clock.advance(timedelta(seconds=50))
    await two.renew()
    clock.advance(timedelta(seconds=11))
    assert await two.renew() == Others(0, 0, know_us=True), "the other one is silent"


async def test_who_was_silent_for_the_time_of_a_lease_joins_anew(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """The others have divided its part by then. They count it with their next renewals, not with those before."""
    one, two = await two_that_count_each_other(machine)
    clock.advance(timedelta(seconds=59))
    await one.renew()
    clock.advance(timedelta(seconds=1))
    assert await two.renew() == Others(1, 1, know_us=False)
    assert await one.renew() == Others(1, 0, know_us=True)
    clock.advance(timedelta(seconds=1))
    assert await two.renew() == Others(1, 1, know_us=False), "it may not have been committed then"
    clock.advance(timedelta(seconds=1))
    await one.renew()
    assert await two.renew() == Others(1, 1, know_us=True)


async def test_who_was_silent_and_hears_no_answer_joins_anew_all_the_same(
    clock: FakeClock, machine: Callable[[str], Machine]
) -> None:
    """Its renewal is committed, so the next one finds that it was seen a moment ago. The others have its part by then."""
    two, exchanges = machine("two"), 0
    await two.begin()
    async with a_cut_proxy(postgres.server().folder) as proxy:
        one = Machine("one", clock, url=f"postgresql://relayd@/postgres?host={proxy.folder}")
        await one.begin()
        for cut in (None, None, Cut.READY):  # the first time statements are new to the connection
            while not (await one.renew()).know_us or not (await two.renew()).know_us:
                clock.advance(timedelta(seconds=1))
            clock.advance(timedelta(seconds=59))
            await two.renew()
            clock.advance(timedelta(seconds=1))
            proxy.watch("relayd/renew", cut, exchanges)  # the last one is the commit
            with suppress(CommitUnknown):
                await one.renew()
            exchanges = proxy.exchanges
        assert proxy.has_cut
        assert not (await one.renew()).know_us
        await one.store.close()


async def test_who_starts_again_at_once_has_the_part_that_it_had(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """The others have counted it all the time: they see no change, however often it is killed."""
    one, two = machine("one"), machine("two")
    await begin_and_be_counted(one, two, clock)
    for boot in ("second", "third"):
        clock.advance(timedelta(seconds=28))
        await two.renew()
        await one.begin(boot)
        assert one.others[-1] == Others(1, 0, know_us=True)
        assert await two.renew() == Others(1, 1, know_us=True)
        assert await one.renew() == Others(1, 0, know_us=True)


async def test_who_came_when_nobody_was_there_has_its_part_from_then_on(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Whoever came later has counted it, so it need not have renewed before it is killed."""
    one, two = machine("one"), machine("two")
    await one.begin()
    clock.advance(timedelta(seconds=1))
    await two.begin()
    clock.advance(timedelta(seconds=1))
    await one.begin("second")
    assert one.others[-1] == Others(1, 0, know_us=True)


async def test_who_starts_again_later_joins_anew(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Its others are about to divide its part."""
    one, two = machine("one"), machine("two")
    await begin_and_be_counted(one, two, clock)
    clock.advance(timedelta(seconds=30))
    await two.renew()
    await one.begin("second")
    assert one.others[-1] == Others(1, 0, know_us=False)


async def test_who_had_no_part_leaves_none(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """It was killed before the others had counted it, and had time to end what they had open."""
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    for boot in ("second", "third"):
        for each in (two, one):
            clock.advance(timedelta(seconds=1))
            await each.renew()
        assert await two.renew() == Others(1, 1, know_us=True)
        await two.begin(boot)
        assert two.others[-1] == Others(1, 1, know_us=False)


async def test_who_joins_does_not_wait_for_one_that_left(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Control: it does for one that was killed, which may have connections open."""
    one, two, three = machine("one"), machine("two"), machine("three")
    for each in (one, two, three):
        await each.begin()
    await one.store.leave(one.number)
    clock.advance(timedelta(seconds=1))
    assert not (await three.renew()).know_us
    assert not (await three.renew()).know_us, "the second one may be alive"
    clock.advance(timedelta(seconds=1))
    await two.renew()
    assert await three.renew() == Others(2, 1, know_us=True)


async def test_who_left_and_starts_again_at_once_has_its_part(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Also when another one joined meanwhile: each of the two counts the other."""
    one, two, three = machine("one"), machine("two"), machine("three")
    await begin_and_be_counted(one, two, clock)
    await three.begin()
    await one.store.leave(one.number)
    clock.advance(timedelta(seconds=5))
    for each in (three, two, three):
        await each.renew()
    assert three.others[-1] == Others(2, 1, know_us=True)
    await one.begin("second")
    assert one.others[-1] == Others(2, 0, know_us=True)
    assert await two.renew() == Others(2, 2, know_us=True)
    assert await three.renew() == Others(2, 1, know_us=True)


async def begin_and_be_counted(one: Machine, two: Machine, clock: FakeClock) -> None:
    for each in (one, two):
        await each.begin()
    for each in (one, two) * 4:
        clock.advance(timedelta(seconds=1))
        await each.renew()


async def test_after_an_outage_of_all_nobody_takes_the_others_for_dead(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """They could not renew: the first that comes back waits for the others."""
    one, two = await two_that_count_each_other(machine)
    clock.advance(timedelta(seconds=90))
    for each in (one, two):
        each.store._reach.missed("away")
        each.store._reach.found()
    assert await one.renew() == Others(1, 0, know_us=False)
    assert await two.renew() == Others(1, 1, know_us=False)
    clock.advance(timedelta(seconds=5))
    await one.renew()
    await two.renew()
    assert await one.renew() == Others(1, 0, know_us=True)
    assert await two.renew() == Others(1, 1, know_us=True)


async def test_a_clock_of_the_server_that_is_set_back_costs_nobody_its_part(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Machines joined while it was wrong: by the right one they were seen before they were counted."""
    one, two = machine("one"), machine("two")
    await begin_and_be_counted(one, two, clock)
    clock.jump(timedelta(hours=-1))
    for each in (one, two) * 3:
        clock.advance(timedelta(seconds=10))
        assert (await each.renew()).know_us
    await one.begin("second")
    assert one.others[-1] == Others(1, 0, know_us=True), "its place is known by the new clock"


async def test_who_joins_when_the_clock_of_the_server_is_set_back_is_counted(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    one, two = machine("one"), machine("two")
    for each in (one, two):
        await each.begin()
    await two.renew()
    clock.jump(timedelta(hours=-1))
    for each in (one, two) * 3:
        clock.advance(timedelta(seconds=5))
        await each.renew()
    assert two.others[-1] == Others(1, 1, know_us=True)


async def test_two_machines_have_two_names(
    machine: Callable[[str], Machine], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of one that is gone is free: a container comes back with it elsewhere."""
    await machine("one").begin()
    monkeypatch.setattr(nodes, "machine", lambda: "another")
    other = machine("one")
    with pytest.raises(StoreUnavailable, match=r"called one as well, .* cluster\.node"):
        await other.begin("elsewhere")
    clock.advance(timedelta(seconds=61))
    await other.begin("elsewhere")


async def test_two_relays_on_one_machine_have_two_names(
    machine: Callable[..., Machine], clock: FakeClock
) -> None:
    """One that restarts has its folder, and comes in at once; so do workers of one that was given another folder."""
    one = machine("one")
    await one.begin()
    await one.begin("again")
    other = machine("one", "another folder")
    with pytest.raises(StoreUnavailable, match=r"^another relayd on this machine is called one"):
        await other.begin("elsewhere")
    await other.begin("again")
    await one.begin("again")
    clock.advance(timedelta(seconds=61))
    await other.begin("elsewhere")


async def test_who_is_there_is_told(machine: Callable[[str], Machine], clock: FakeClock) -> None:
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    found = await ask_once(postgres.database(), nodes.all_of)
    assert [(each.name, each.settings) for each in found] == [
        ("one", "settings of one"),
        ("two", "settings of two"),
    ]
    clock.advance(timedelta(hours=2))
    await two.renew()
    await two.store.reap()
    [left] = await ask_once(postgres.database(), lambda db: db.fetch("SELECT node FROM worker"))
    assert left == ("two",)


async def test_who_was_forgotten_has_to_start_again(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """Its number may be another's, and then both would make the same ids."""
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    clock.advance(timedelta(hours=2))
    await two.renew()
    await two.store.reap()
    with pytest.raises(StoreBroken, match="worker 1 was away for so long"):
        await one.renew()
    await one.begin("again")
    await one.renew()


async def test_nobody_is_forgotten_for_an_outage_of_all(
    machine: Callable[[str], Machine], clock: FakeClock
) -> None:
    """The first one that reaches the store again comes ahead of the others."""
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    clock.advance(timedelta(hours=2))
    two.store._reach.missed("away")
    two.store._reach.found()
    await two.renew()
    await two.store.reap()
    assert await one.renew() == Others(1, 0, know_us=False), "it was silent: it joins anew"


async def test_renewals_do_not_wait_behind_long_work(machine: Callable[[str], Machine]) -> None:
    one = machine("one")
    await one.begin()
    goes_on, is_long = asyncio.Event(), asyncio.Event()

    async def long(_: Session) -> None:
        is_long.set()
        await goes_on.wait()

    done = one.store._lease.submit(long)
    await is_long.wait()
    await asyncio.wait_for(one.renew(), 10)
    await asyncio.wait_for(one.store.reap(), 10)
    goes_on.set()
    await done
