"""A whole deliverer for tests: scheduler, queues and recorder over a store, out to real sockets.

async with a_post(server.port) as post:
    message = await post.submit(a_message("a@x.test"))
    await post.settled()
    assert post.row(message).status is Status.RELAYED
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from relayd.deliverer.connections import Connections
from relayd.deliverer.leases import LEASE_FOR, Leases
from relayd.deliverer.nexthop.account import Account
from relayd.deliverer.nexthop.search import DeadHosts
from relayd.deliverer.nexthop.smarthost import Smarthost
from relayd.deliverer.pauses import Pauses
from relayd.deliverer.recorder import DeliveryRules, Recorder
from relayd.deliverer.reports import Reporter
from relayd.deliverer.rerouter import Rerouter
from relayd.deliverer.results import ResultStore
from relayd.deliverer.scheduler import Scheduler
from relayd.mail.envelope import NewMessage, QueuedMessage
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, WorkerNumber
from relayd.mail.signing import Signer
from relayd.mail.words import Detail, EventKind
from relayd.policy.accounts.limits import NO_LIMITS, AccountLimits
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.route import SMARTHOST, RouteRules
from relayd.policy.delivery.verdict import VerdictRules
from relayd.policy.intake.aliases import Aliases
from relayd.policy.pausing import Pausing
from relayd.policy.replies.ruleset import builtin_rules
from relayd.policy.rewriting.choice import Rewriting
from relayd.ports.outward import Clock, Transport
from relayd.ports.queue import QueueStore
from relayd.ports.view import Query, QueueView, RecipientRow
from relayd.settings import HostPort, Login, SmarthostSettings, TlsMode
from relayd.store.memory.queue import MemoryStore
from relayd.worker.parts import IdSource
from relayd.worker.system import SmtpTransport
from tests.support.clock import FakeClock
from tests.support.workers import a_registration, registered

CEILING = 30.0  # seconds until a wait is given up as hopeless, also on a loaded machine
STOP_WITHIN = 5.0  # seconds for what a test leaves unanswered
ALL = 10_000
RETRY = RetrySettings(
    soft_bounce=(timedelta(minutes=15),),
    unknown_outcome=(timedelta(minutes=5), timedelta(minutes=30)),
    unreachable=(timedelta(minutes=5), timedelta(minutes=30)),
    give_up_after=timedelta(days=5),
)
rules = cache(builtin_rules)


def an_account(
    store: QueueStore, clock: Clock, limits: AccountLimits = NO_LIMITS, *, name: str = SMARTHOST
) -> Account:
    """What limits the transactions of a smarthost beside connections."""
    return Account(name, limits, permits=store.permits, clock=clock)


@dataclass(frozen=True, slots=True)
class Noted:
    """One line that the status log would have."""

    event: Event
    message: QueuedMessage
    address: str


@dataclass(slots=True)
class ListSink:
    """`relayd.ports.outward.EventSink` that keeps what it is told."""

    noted: list[Noted] = field(default_factory=list)
    told: list[tuple[str, MessageId]] = field(default_factory=list)  # in their order

    def received(self, message: NewMessage) -> None:
        self.told.append(("received", message.id))

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:
        self.noted.append(Noted(event, message, address))
        self.told.append((event.kind, message.id))

    def acted(self, event: Event) -> None:
        pass

    def refused(self, at: datetime, detail: Detail, *, is_written: bool = True) -> None:
        pass


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until `condition` is true; asking takes no more than a third of the time."""
    end = time.monotonic() + CEILING
    began = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < end, what or "it did not come true"
        await asyncio.sleep(max(0.002, 2 * (now - began)))
        began = time.monotonic()


@dataclass(slots=True, kw_only=True)
class Post:
    """A running deliverer and what it works on."""

    store: QueueStore
    view: QueueView
    clock: FakeClock
    sink: ListSink
    scheduler: Scheduler
    worker: WorkerNumber
    running: "asyncio.Task[None]"

    async def submit(self, message: NewMessage, *, leased: bool = False) -> NewMessage:
        """Queue a message; with `leased` it is born into the window as in a worker."""
        lease_for = (
            LEASE_FOR
            if leased and self.scheduler.has_room(len(message.content), [SMARTHOST])
            else None
        )
        works = await self.store.enqueue(message, worker=self.worker, lease_for=lease_for)
        for work in works:
            self.scheduler.put(work)
        self.scheduler.wake()
        return message

    def advance(self, by: timedelta) -> None:
        self.clock.advance(by)
        self.scheduler.wake()

    def rows(self) -> Sequence[RecipientRow]:
        return self.view.find(Query(), limit=ALL)

    def row(self, message: NewMessage, number: int = 0) -> RecipientRow:
        found = self.view.find(Query(message_id=message.id), limit=ALL)
        return next(row for row in found if row.recipient == number)

    def leased(self) -> int:
        return sum(row.leased for row in self.rows())

    def events(self, message: NewMessage, number: int = 0) -> list[tuple[str, Detail]]:
        """What happened to a recipient after its reception: by the store, and by the log alike."""
        stored = [
            (entry.kind, dict(entry.detail))
            for entry in self.view.history(message.id)
            if entry.recipient == number and entry.kind != "received"
        ]
        logged = [
            (noted.event.kind.value, dict(noted.event.detail))
            for noted in self.sink.noted
            if (noted.event.message_id, noted.event.recipient) == (message.id, number)
        ]
        assert stored == logged, "store and log never disagree"
        return [(kind, detail) for kind, detail in stored]

    def kinds(self, message: NewMessage, number: int = 0) -> list[str]:
        return [kind for kind, _ in self.events(message, number)]

    async def settled(self, *messages: NewMessage) -> None:
        """Wait until something was recorded for every recipient of the messages, or of all.

        The log comes after the store, so that is waited for.
        """
        ids = {message.id for message in messages}
        wanted = {
            (row.message_id, row.recipient)
            for row in self.rows()
            if not ids or row.message_id in ids
        }
        await eventually(lambda: wanted <= self.logged(), "not settled")

    def logged(self) -> set[tuple[MessageId, int]]:
        """Which recipients have an outcome in the log."""
        return {
            (noted.event.message_id, noted.event.recipient)
            for noted in self.sink.noted
            if noted.event.kind is not EventKind.ATTEMPTED
        }

    async def quiet(self) -> None:
        """Wait until nothing is leased."""
        await eventually(lambda: not self.leased(), "still leased")

    async def paused(self) -> None:
        """Wait until the destination is left alone: that comes after the outcome."""
        now = self.clock.now()
        await eventually(lambda: (until := self.rows()[0].paused_until) and until > now, "no pause")

    async def stop(self) -> None:
        await self.scheduler.stop(within=STOP_WITHIN, dot_within=STOP_WITHIN)
        await self.running


def hosts_of(*ports: int) -> tuple[HostPort, ...]:
    return tuple(HostPort(host="127.0.0.1", port=port) for port in ports)


@asynccontextmanager
async def a_post(
    *ports: int,
    store: MemoryStore | None = None,
    queue: tuple[QueueStore, QueueView, FakeClock] | None = None,
    connections: int = 4,
    login: Login | None = None,
    transport: Transport | None = None,
    name: str = "1",
    reports: bool = False,
    places: int = 1000,
    pausing: Pausing | None = None,
    rewriting: Rewriting | None = None,
    signer: Signer | None = None,
) -> AsyncIterator[Post]:
    """Run a deliverer whose smarthost has these ports; stop it at the end."""
    clock = queue[2] if queue else store._clock if store else FakeClock()
    assert isinstance(clock, FakeClock)
    if queue is None:
        store = store or MemoryStore(clock)
        queue = (store, store.view, clock)
    worker = await registered(queue[0], name)
    sink = ListSink()
    settings = SmarthostSettings(
        hosts=hosts_of(*ports), tls=TlsMode.OFF, login=login, connections=connections
    )
    smarthost = Smarthost(
        settings,
        connections=connections,
        transport=transport or the_transport(clock),
        clock=clock,
        dead_hosts=DeadHosts(clock),
        slots=Connections(places),
        account=an_account(queue[0], clock, settings.limits),
    )
    results = ResultStore(queue[0], clock, retry_after=0.05)
    scheduler = Scheduler(
        Leases(queue[0], worker, clock),
        next_hop=lambda _: smarthost,
        recorder=Recorder(
            results,
            sink=sink,
            clock=clock,
            rules=DeliveryRules(
                verdict=VerdictRules(retry=RETRY, classifier=rules()),
                routes=RouteRules(),
                paths=None,
                jitter=lambda: 0.0,
                pausing=pausing or Pausing(),
                rewriting=rewriting,
                signer=signer,
            ),
            reporter=a_reporter(clock) if reports else None,
        ),
        rerouter=Rerouter(results, sink=sink, clock=clock, routes=RouteRules()),
        pauses=Pauses(clock=clock, jitter=lambda: 0.0),
    )
    async with asyncio.TaskGroup() as tasks:
        post = Post(
            store=queue[0],
            view=queue[1],
            clock=clock,
            sink=sink,
            scheduler=scheduler,
            worker=worker,
            running=tasks.create_task(scheduler.run(tasks)),
        )
        await asyncio.sleep(0)  # it runs: work may be put into it
        try:
            yield post
        finally:
            await post.stop()


def a_reporter(clock: FakeClock, aliases: Aliases | None = None) -> Reporter:
    ids = IdSource(a_registration(500))
    return Reporter(
        fqdn="relay.test",
        routes=RouteRules(),
        next_id=ids.next_id,
        now=clock.now(),
        give_up_after=RETRY.give_up_after,
        aliases=aliases,
    )


def the_transport(clock: FakeClock) -> SmtpTransport:
    return SmtpTransport(helo="relay.test", clock=clock)
