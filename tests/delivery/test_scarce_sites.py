"""Sites that may have fewer connections than there are workers: a share of the store for each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.connections import Connections
from relayd.deliverer.nexthop import scarce_sites
from relayd.deliverer.nexthop.hosts import NotYet
from relayd.deliverer.nexthop.rates import Rates
from relayd.deliverer.nexthop.scarce_sites import ScarceSites
from relayd.deliverer.nexthop.sites import Site, Sites
from relayd.errors import StoreUnavailable
from relayd.mail.ids import WorkerNumber
from relayd.policy.delivery.scarce import TURN
from relayd.policy.delivery.shares import ALONE, Part
from relayd.store.memory.queue import MemoryStore
from relayd.worker.system import SystemClock
from tests.support.clock import FakeClock
from tests.support.post import eventually

WORKERS = 3


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Ask often: nobody waits here for real seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scarce_sites, "_ASKED_AGAIN", 0.01)
        patched.setattr(scarce_sites, "_RENEWED", 0.02)
        yield


@dataclass(slots=True)
class Worker:
    """One that opens connections to one site."""

    sites: Sites
    scarce: ScarceSites
    site: Site
    tasks: asyncio.TaskGroup
    connected: int = 0
    left: int = 0  # that are or will be connected
    may_leave: asyncio.Event = field(default_factory=asyncio.Event)

    def wants(self, connections: int = 1) -> None:
        self.left += connections
        for _ in range(connections):
            self.tasks.create_task(self._connect())

    async def _connect(self) -> None:
        await self.site.slots.acquire()
        self.connected += 1
        await self.may_leave.wait()
        self.connected -= 1
        self.site.slots.release()
        self.left -= 1


@dataclass(slots=True)
class World:
    workers: list[Worker]
    store: MemoryStore
    clock: FakeClock  # of the store

    @property
    def connected(self) -> list[int]:
        return [each.connected for each in self.workers]


@asynccontextmanager
async def a_world(limit: int) -> AsyncIterator[World]:
    clock = FakeClock()
    store = MemoryStore(clock)
    async with asyncio.TaskGroup() as tasks:
        workers, running = [], []
        for rank in range(WORKERS):
            scarce = ScarceSites(store.shares, WorkerNumber(rank + 1), clock=SystemClock())
            sites = Sites(
                limit,
                tasks,
                clock=SystemClock(),
                connections=Connections(10),
                on_new=scarce.begin,
            )
            sites.divide_by(Part(rank, WORKERS))
            running.append(tasks.create_task(scarce.run(sites)))
            workers.append(Worker(sites, scarce, sites.of("mx.test"), tasks))
        yield World(workers, store, clock)
        for worker in workers:
            worker.may_leave.set()
        await eventually(lambda: not any(worker.left for worker in workers))
        for each in running:
            each.cancel()


async def test_no_more_connect_than_the_limit_and_each_has_its_turn() -> None:
    async with a_world(2) as world:
        one, two, three = world.workers
        one.wants(2)
        await eventually(lambda: world.connected == [1, 0, 0])
        two.wants()
        await eventually(lambda: world.connected == [1, 1, 0])
        three.wants()
        await eventually(lambda: len(world.store._tables.shares) == 3)
        assert world.connected == [1, 1, 0]
        two.may_leave.set()
        await eventually(lambda: world.connected == [1, 0, 1])


async def test_a_share_goes_back_when_nothing_is_to_be_sent() -> None:
    async with a_world(1) as world:
        one, *_ = world.workers
        one.wants()
        await eventually(lambda: one.connected)
        one.may_leave.set()
        await eventually(lambda: not world.store._tables.shares)


async def test_after_a_while_a_share_goes_to_those_who_wait() -> None:
    """The connection ends with its message; then the next message waits behind the others."""
    async with a_world(1) as world:
        one, two, _ = world.workers
        one.wants()
        await eventually(lambda: one.connected)
        two.wants()
        await eventually(lambda: len(world.store._tables.shares) == 2)
        assert not one.site.slots.is_crowded
        world.clock.advance(timedelta(milliseconds=TURN))
        await eventually(lambda: one.site.slots.is_crowded)
        one.wants()
        one.may_leave.set()
        await eventually(lambda: two.connected)
        two.may_leave.set()
        await eventually(lambda: not two.connected and not one.site.in_use)


async def test_without_more_workers_than_connections_nobody_asks() -> None:
    """A change takes effect on sites that are known: who has a connection then asks for its share."""
    async with a_world(2) as world:
        one, two, three = world.workers
        for rank, each in enumerate((one, two)):
            each.sites.divide_by(Part(rank, 2))
            each.wants()
        await eventually(lambda: world.connected == [1, 1, 0])
        assert not world.store._tables.shares
        for rank, each in enumerate((one, two)):
            each.sites.divide_by(Part(rank, WORKERS))
        await eventually(lambda: len(world.store._tables.shares) == 2)
        three.wants()
        await eventually(lambda: len(world.store._tables.shares) == 3)
        assert world.connected == [1, 1, 0]
        assert not one.site.slots.is_crowded
        one.sites.divide_by(Part(0, WORKERS + 1))
        assert not one.site.slots.is_crowded, "it keeps its share"
        one.sites.divide_by(ALONE)
        await eventually(lambda: len(world.store._tables.shares) == 2)


async def test_a_share_that_may_be_another_s_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store cannot be asked: what is open ends with its message, and nothing new is opened."""
    async with a_world(1) as world:
        one, *_ = world.workers
        one.wants()
        await eventually(lambda: one.connected)
        monkeypatch.setattr(scarce_sites, "_SURE", 0.0)
        soon = asyncio.get_running_loop().time() + 20
        await eventually(lambda: one.scarce._asked["mx.test"].sure_until < soon)
        with capture_logs() as logs, monkeypatch.context() as broken:
            broken.setattr(type(world.store.shares), "ask", _away)
            await eventually(lambda: one.site.slots.is_crowded)
        assert [line["event"] for line in logs] == ["shares_not_asked"]
        monkeypatch.setattr(scarce_sites, "_SURE", 40.0)
        await eventually(lambda: not one.site.slots.is_crowded)


async def _away(*_: object, **__: object) -> None:
    raise StoreUnavailable("away")


async def test_a_rate_below_the_number_of_workers_is_booked_in_the_store() -> None:
    """Whoever has the mail sends it: a part of the rate would be none for most of them."""
    clock = FakeClock()
    store = MemoryStore(clock)
    one, two = (Rates(2, clock=clock, permits=store.permits) for _ in range(2))
    for rank, each in enumerate((one, two)):
        each.divide_by(Part(rank, WORKERS))
        assert each.token("mx.test", "x.test") == each.token("mx.test", "y.test") == 0
    await one.book("mx.test")
    with pytest.raises(NotYet):
        await two.book("mx.test")
    await two.book("other.test")
    clock.advance(timedelta(seconds=30))
    await two.book("mx.test")
    with pytest.raises(NotYet):
        await one.book("mx.test")
