"""One worker of a run: the real intake, scheduler, leases, queues, recorder and reporter, put together as `relayd.worker` does."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

from relayd.deliverer.connections import Connections
from relayd.deliverer.leases import Leases
from relayd.deliverer.nexthop.account import Account
from relayd.deliverer.nexthop.search import DeadHosts
from relayd.deliverer.nexthop.smarthost import Smarthost
from relayd.deliverer.pauses import Pauses
from relayd.deliverer.recorder import DeliveryRules, Recorder
from relayd.deliverer.reports import Reporter
from relayd.deliverer.rerouter import Rerouter
from relayd.deliverer.results import ResultStore
from relayd.deliverer.scheduler import Scheduler
from relayd.errors import StoreError
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage, QueuedMessage, QueuedRecipient
from relayd.mail.event import Event
from relayd.mail.ids import Registration, WorkerIdentity
from relayd.mail.operator import Action
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.mail.words import Detail
from relayd.policy.delivery.retry import RetrySettings
from relayd.policy.delivery.route import SMARTHOST, RouteRules
from relayd.policy.delivery.shares import Part, share_of
from relayd.policy.delivery.verdict import VerdictRules
from relayd.policy.pausing import Pausing
from relayd.policy.replies.ruleset import builtin_rules
from relayd.ports.queue import Acted
from relayd.ports.view import Query
from relayd.settings import HostPort, SmarthostSettings, TlsMode
from relayd.worker.events import Events
from relayd.worker.intake import Intake
from relayd.worker.parts import IdSource, Parts
from tests.simulation.peers import Transport
from tests.simulation.store import WorkerStore

if TYPE_CHECKING:
    from tests.simulation.world import World

RETRY = RetrySettings(
    soft_bounce=(timedelta(seconds=15),),
    unknown_outcome=(timedelta(seconds=10), timedelta(seconds=20)),
    unreachable=(timedelta(seconds=5), timedelta(seconds=20)),
    give_up_after=timedelta(seconds=100),
)
_STOP_WITHIN, _DOT_WITHIN = 10.0, 25.0  # seconds
_AGAIN = 1.0  # seconds until a worker that could not register tries again
_HOST = HostPort(host="mx.test", port=25)
_RULES = cache(builtin_rules)


class Sink(Events):
    """`relayd.worker.events.Events` that keeps what it is told."""

    def __init__(self) -> None:
        self.noted: list[Event] = []
        self.on_awaited = bool

    def received(self, message: NewMessage) -> None:
        pass

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:  # noqa: ARG002 -- of the port
        self.noted.append(event)

    def acted(self, event: Event) -> None:
        self.noted.append(event)

    def refused(self, at: datetime, detail: Detail, *, is_written: bool = True) -> None:
        pass


@dataclass(eq=False)
class Worker:
    """A worker process; `run` is its main task."""

    world: "World"
    place: int  # among those of its set
    name: str
    boot: int
    generation: int
    is_up: bool = False
    has_ended: bool = False
    renewed_at: float = 0.0  # the last time that it renewed its leases
    lost_at: float = float("-inf")  # the last time that it had lost one by then
    sink: Sink = field(default_factory=Sink)

    def __post_init__(self) -> None:
        self.process = self.world.loop.process(self.name)
        self.store = WorkerStore(self.world.store, self.world, self)
        self.stopping, self.idle = asyncio.Event(), asyncio.Event()
        self.sessions = 0  # clients that have sent a message, and wait

    async def run(self) -> None:
        identity = WorkerIdentity(node="node1", boot=str(self.boot), name=self.name)
        registered = await self._register(identity)
        self._put_together(registered)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.scheduler.run(tasks))
            await asyncio.sleep(0)  # it runs: work may be put into it
            self.is_up = True
            await self.stopping.wait()
            self.is_up = False
            async with asyncio.TaskGroup() as ending:
                ending.create_task(self._end_sessions())
                ending.create_task(self.scheduler.stop(within=_STOP_WITHIN, dot_within=_DOT_WITHIN))
            await running
            self.scheduler.close()
        with suppress(StoreError):
            await self.store.leave(registered.number)
        self.has_ended = True
        self.world.ended(self)

    async def _register(self, identity: WorkerIdentity) -> Registration:
        while True:
            try:
                return await self.store.register(identity)
            except StoreError:
                await asyncio.sleep(_AGAIN)

    async def _end_sessions(self) -> None:
        """Let messages on their way in finish, as `Receiver.stop` does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN):
                while self.sessions:
                    self.idle.clear()
                    await self.idle.wait()

    def _put_together(self, registered: Registration) -> None:
        world, clock = self.world, self.world.clock
        ids = IdSource(registered)
        self.pausing = Pausing(world.stamp, read=self.store.pause_rules)
        self.reporter = Reporter(
            fqdn="relay.test",
            routes=RouteRules(),
            next_id=ids.next_id,
            now=clock.now(),
            give_up_after=RETRY.give_up_after,
        )
        part = Part(self.place, world.schedule.workers)
        settings = SmarthostSettings(
            hosts=(_HOST,), tls=TlsMode.OFF, login=None, connections=world.schedule.connections
        )
        account = Account(SMARTHOST, settings.limits, permits=self.store.permits, clock=clock)
        smarthost = Smarthost(
            settings,
            connections=settings.connections,
            transport=Transport(world.hop, self),
            clock=clock,
            dead_hosts=DeadHosts(clock),
            slots=Connections(100),
            account=account,
        )
        smarthost.limit(max(1, share_of(settings.connections, part)))  # as `Router.divide_by`
        self.smarthost = smarthost
        results = ResultStore(self.store, clock)
        self.scheduler = Scheduler(
            Leases(self.store, registered.number, clock),
            next_hop=lambda _: smarthost,
            recorder=Recorder(
                results,
                sink=self.sink,
                clock=clock,
                rules=DeliveryRules(
                    verdict=VerdictRules(retry=RETRY, classifier=_RULES()),
                    routes=RouteRules(),
                    paths=None,
                    jitter=lambda: 0.0,
                    pausing=self.pausing,
                ),
                reporter=self.reporter,
            ),
            rerouter=Rerouter(results, sink=self.sink, clock=clock, routes=RouteRules()),
            pauses=Pauses(clock=clock, jitter=lambda: 0.0),
        )
        self.intake = Intake(
            Parts(
                self.store,
                self.store.view,
                registered.number,
                ids,
                self.sink,
                clock,
                self.pausing,
            ),
            self.scheduler,
            routes=RouteRules(),
            reporter=self.reporter,
        )

    async def act(self, query: Query, action: Action) -> None:
        """Do as `relayd queue` asks. Raises StoreError."""
        report = partial(_report_given_up, self.reporter, self.world)
        acted: Acted = await self.store.act(query, action, by="operator", reason="", report=report)
        self.sink.acts(acted)
        self.scheduler.wake()

    async def pause(self, domains: Sequence[str]) -> None:
        """Stop the delivery to some domains. Raises StoreError."""
        rules = [
            PauseRule(
                named=Named(Scope.DOMAIN, each),
                sides=frozenset({Side.DELIVERY}),
                since=self.world.clock.now(),
                until=None,
                by="operator",
                reason="",
            )
            for each in domains
        ]
        made = await self.store.pause(rules)
        self.world.stamp[0] += 1
        self.world.oracle.paused(made)

    async def unpause(self) -> None:
        """End all pauses. Raises StoreError."""
        await self.store.unpause(None, tuple(Side))
        self.world.stamp[0] += 1
        self.scheduler.wake()


def _report_given_up(
    reporter: Reporter,
    world: "World",
    message: QueuedMessage,
    recipients: Sequence[QueuedRecipient],
    content: Content,
    reason: str,
) -> NewMessage | None:
    now = world.clock.now()
    return reporter.report_given_up(message, recipients, content, reason=reason, now=now)
