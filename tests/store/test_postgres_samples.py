"""Machines that share one PostgreSQL: one counts the queue for all, and all tell what it found."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from functools import partial

import pytest

from relayd.answers.overview import FLOWS, counts_of
from relayd.mail.ids import WorkerIdentity
from relayd.metrics.complaints import Complaints
from relayd.metrics.exposition import render
from relayd.metrics.families import SOFT_BOUNCE, Sample
from relayd.metrics.figures import Figures, OwnFigures, SharedFigures
from relayd.ports.view import Metric, Status
from relayd.store.postgres.line import Session, ask_once
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.view import PostgresView
from relayd.worker.sampling import count_for_all, keep_sampling, numbers_of
from tests.support.builders import a_message
from tests.support.clock import FakeClock
from tests.support.postgres import Server, needs_postgres

pytestmark = needs_postgres

_LATER = "UPDATE meta SET value = '0' WHERE key = 'sample_due'"
_CALLS = (
    "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements"
    " WHERE query ~ 'FROM (queue|delivery|endpoint|site_state|tally)' AND query ~ '^SELECT'"
)
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_LEASE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server("shared_preload_libraries=pg_stat_statements")
    running.run("CREATE EXTENSION pg_stat_statements")
    yield running
    running.close()


class Machine:
    """One of them, with one worker."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.clock = FakeClock()
        self.open_view = partial(PostgresView, server.url())
        self.counts = self.open_view()
        self.complaints = Complaints()
        self.store = PostgresStore.open(server.url(), clock=self.clock, slots={})

    async def begin(self) -> None:
        identity = WorkerIdentity(node=self.name, boot=f"boot of {self.name}", name="1")
        self.number = (await self.store.register(identity)).number

    async def count(self) -> bool:
        return await count_for_all(
            self.store.samples, view=self.counts, clock=self.clock, complaints=self.complaints
        )


@pytest.fixture
async def machine(server: Server) -> AsyncIterator[Callable[[str], Machine]]:
    async with AsyncExitStack() as stack:

        def make(name: str) -> Machine:
            made = Machine(name, server)
            stack.push_async_callback(made.store.close)
            stack.callback(made.counts.close)
            return made

        yield make
    server.run("DELETE FROM meta; DELETE FROM queue; DELETE FROM node; DELETE FROM worker")


def values(samples: Sequence[Sample], name: str) -> dict[tuple[str, ...], float]:
    return {each.labels: each.value for each in samples if each.family.name == name}


@pytest.mark.parametrize(
    ("figures", "grows"),
    [(partial(SharedFigures, queue="q"), False), (OwnFigures, True)],
    ids=["shared", "control"],
)
async def test_counting_does_not_grow_with_the_machines(
    server: Server,
    machine: Callable[[str], Machine],
    figures: Callable[..., Figures],
    *,
    grows: bool,
) -> None:
    """Three machines that are scraped ask the server for as many counts as one does."""
    machines = [machine(name) for name in ("one", "two", "three")]
    for each in machines:
        await each.begin()

    async def statements(those: Sequence[Machine]) -> int:
        server.run("SELECT pg_stat_statements_reset()")
        for _ in range(3):
            server.run(_LATER)
            for each in those:
                await each.count()
            for each in those:
                await figures(each.open_view, each.clock).samples()
        return int(server.run(_CALLS))

    one = await statements(machines[:1])
    three = await statements(machines)
    assert one > 0
    assert (three > one) is grows, (one, three)


async def test_all_tell_what_one_counted(machine: Callable[[str], Machine]) -> None:
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    message = a_message("a@x.test", "b@x.test", "c@y.test")
    await one.store.enqueue(message, worker=one.number, lease_for=None)
    assert await one.count()
    assert not await two.count(), "it was counted"
    for each in (one, two):
        told = await SharedFigures(each.open_view, each.clock, "the queue").samples()
        assert values(told, "relayd_queue_recipients") == {
            ("queued",): 3,
            ("deferred",): 0,
            ("held",): 0,
        }
        assert values(told, "relayd_destination_queued") == {("smarthost",): 3}
        assert values(told, "relayd_queue_readable") == {(): 1}
        of_machine = {one.family.name for one in told if not one.queue}
        assert of_machine == {"relayd_queue_readable"}, "who sums has to tell them apart"
        assert b'status="queued",queue="the queue"} 3' in render(told)
        with closing(each.open_view()) as view:
            sampled = view.samples.latest()
            assert sampled is not None
            assert sampled.node == "one"
            counts = counts_of(view)
        assert counts.by_status == {Status.QUEUED: 3}
        assert counts.by_destination == {"smarthost": 3}
        assert counts.oldest.keys() == {"smarthost"}


async def test_who_dies_in_it_is_followed(
    server: Server, machine: Callable[[str], Machine]
) -> None:
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    assert await one.store.samples.take_turn(_LEASE)
    assert not await two.store.samples.take_turn(_LEASE)
    server.run(_LATER)
    assert await two.store.samples.take_turn(_LEASE)


async def test_who_is_stopped_in_a_count_waits_beside_all_else(
    server: Server, machine: Callable[[str], Machine]
) -> None:
    """The connection cannot be closed before the server has answered, and a worker has other things to end."""
    one, steps = machine("one"), list[str]()
    await one.begin()
    is_locked, goes_on = asyncio.Event(), asyncio.Event()

    class View(PostgresView):
        def close(self) -> None:
            super().close()
            steps.append("closed")

    async def lock(db: Session) -> None:
        await db.execute("LOCK TABLE queue IN ACCESS EXCLUSIVE MODE")
        is_locked.set()
        await goes_on.wait()

    locked = one.store._lease.submit(lock)
    await is_locked.wait()
    sampling = asyncio.ensure_future(
        keep_sampling(
            one.store.samples,
            worker=0,
            open_view=partial(View, server.url(), within=5),
            clock=one.clock,
            counters=list,
        )
    )
    while not await ask_once(server.url(), lambda db: db.value(_WAITING)):
        pass
    sampling.cancel()
    await asyncio.sleep(0)
    steps.append("went on")
    goes_on.set()
    await locked
    await asyncio.wait({sampling})
    assert steps == ["went on", "closed"]


async def test_one_of_many_gets_the_turn(machine: Callable[[str], Machine]) -> None:
    machines = [machine(f"m{number}") for number in range(8)]
    for each in machines:
        await each.begin()
    turns = await asyncio.gather(*(each.store.samples.take_turn(_LEASE) for each in machines))
    assert sum(turns) == 1


async def test_a_clock_that_was_far_ahead_stops_no_counting(
    server: Server, machine: Callable[[str], Machine]
) -> None:
    """The server's clock was set back by a day: what was written then is neither due nor believed."""
    one = machine("one")
    await one.begin()
    assert await one.count()
    ahead = (
        "UPDATE meta SET value = convert_to((extract(epoch FROM now())::bigint * 1000 + 86400000)::text, 'UTF8')"
        " WHERE key = 'sample_due';"
        "UPDATE meta SET value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb, '{at}',"
        " to_jsonb(extract(epoch FROM now())::bigint * 1000 + 86400000))::text, 'UTF8') WHERE key = 'sample'"
    )
    server.run(ahead)
    with closing(one.open_view()) as view:
        assert view.samples.latest() is None
    assert await one.count()


async def test_without_a_sample_the_queue_is_not_readable(
    server: Server, machine: Callable[[str], Machine]
) -> None:
    """One that is overdue is none: who asks by a command counts for himself."""
    one = machine("one")
    await one.begin()
    message = a_message("a@x.test")
    await one.store.enqueue(message, worker=one.number, lease_for=None)

    async def told() -> Sequence[Sample]:
        return await SharedFigures(one.open_view, one.clock, "the queue").samples()

    assert values(await told(), "relayd_queue_readable") == {(): 0}
    await one.count()
    assert values(await told(), "relayd_queue_readable") == {(): 1}
    server.run(
        "UPDATE meta SET value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb, '{holds_until}', '1')::text,"
        " 'UTF8') WHERE key = 'sample'"
    )
    assert len(await told()) == 1
    with closing(one.open_view()) as view:
        assert counts_of(view).by_status == {Status.QUEUED: 1}


async def test_a_sample_of_another_version_is_read_as_far_as_it_is_known(
    machine: Callable[[str], Machine],
) -> None:
    one = machine("one")
    await one.begin()
    with closing(one.open_view()) as view:
        metrics = [
            Metric("relayd_of_tomorrow", (), 1.0),
            Metric("relayd_paused", (("side", "intake"), ("when", "now")), 1.0),
            Metric("relayd_login_refused", (), 2.0),
        ]
        await one.store.samples.note_queue(view.counts(), metrics, next_in=_LEASE)
    told = await SharedFigures(one.open_view, one.clock, "the queue").samples()
    assert [(each.family.name, each.value) for each in told] == [
        ("relayd_login_refused", 2.0),
        ("relayd_queue_readable", 1),
    ]


async def test_each_machine_tells_what_it_does(
    server: Server, machine: Callable[[str], Machine]
) -> None:
    """Its last two notes, so that who reads them knows a rate."""
    one, two = machine("one"), machine("two")
    await one.begin()
    await two.begin()
    message = a_message("a@x.test")
    await one.store.enqueue(message, worker=one.number, lease_for=_LEASE)
    await one.store.samples.note_work({"received": 10.0})
    await one.store.samples.note_work({"received": 11.0})  # too soon
    age = (
        "UPDATE meta SET value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb, '{now,at}',"
        " to_jsonb(extract(epoch FROM now())::bigint * 1000 - 20000))::text, 'UTF8') WHERE key = 'work one'"
    )
    server.run(age)
    await one.store.samples.note_work({"received": 30.0})
    with closing(two.open_view()) as view:
        first, second = view.samples.at_work()
    assert (first.node.name, first.node.workers, first.destinations) == ("one", 1, 1)
    assert first.now is not None
    assert first.before is not None
    assert (first.before.numbers, first.now.numbers) == ({"received": 10.0}, {"received": 30.0})
    assert first.now.at - first.before.at >= timedelta(seconds=19)
    assert (second.node.name, second.destinations, second.now) == ("two", 0, None)


def test_the_numbers_of_a_machine_are_its_flows() -> None:
    assert numbers_of([Sample(family=SOFT_BOUNCE, value=1)]) == dict.fromkeys(
        [*FLOWS, "workers", "clients", "servers", "paused_workers"], 0
    )
