"""The workers' verbs on PostgreSQL. Each is one operation on one of the lines.

Guards: `settle` touches a recipient only while it is leased under the lease that it names, and
every change of state follows `TRANSITIONS`.
"""

import asyncio
import math
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from relayd.errors import StoreBroken, StoreError
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, Registration, WorkerIdentity, WorkerNumber
from relayd.mail.operator import Action, Operator, ReadBy
from relayd.mail.pause import Named, PauseRule, Side
from relayd.mail.suppression import ToSuppress
from relayd.policy.delivery.retry import LastRetry
from relayd.policy.verp import KEY_OCTETS, VerpToken
from relayd.ports.membership import Cluster, Others
from relayd.ports.outward import Clock
from relayd.ports.queue import (
    Acted,
    Batch,
    ContentRead,
    Foreseen,
    LateNotice,
    Lease,
    ReportGivenUp,
    Settlement,
    Spool,
    Work,
)
from relayd.ports.requeue import Requeue, Requeued
from relayd.ports.schema import Migrated
from relayd.ports.upkeep import TALLIED_AT_ONCE, Compacted, LetGo
from relayd.ports.view import Query
from relayd.store.permits import Answer, Change, StoredPermits
from relayd.store.postgres import (
    claims,
    content,
    content_read,
    destinations,
    leases,
    messages,
    meta,
    nodes,
    once,
    operators,
    partitions,
    pausing,
    permits,
    purging,
    requeue,
    returned,
    rights,
    schema,
    shares,
    suppression,
    tally_upkeep,
    tallying,
    upgrade,
    workers,
)
from relayd.store.postgres.age import Age
from relayd.store.postgres.arrivals import Arrival, Arrivals
from relayd.store.postgres.line import WRITES, Line, Session
from relayd.store.postgres.members import Found, Members
from relayd.store.postgres.moment import Moment
from relayd.store.postgres.outbox import PostgresOutbox
from relayd.store.postgres.people import PostgresPeople
from relayd.store.postgres.reach import Reach
from relayd.store.postgres.recorded import Recorded
from relayd.store.postgres.samples import PostgresSamples
from relayd.store.postgres.settling import Results, Settling
from relayd.store.postgres.shares import PostgresShares
from relayd.store.postgres.sites import PostgresSites
from relayd.store.postgres.spool import UnnamedFile
from relayd.store.postgres.startup import Startup
from relayd.store.postgres.together import Together
from relayd.store.postgres.trust import PostgresTrust
from relayd.store.url import name_of
from relayd.store.values import to_ms

_RENEWED_BY_THEN = 60.0  # seconds, after the store was away or its clock was set, until all that live have renewed their leases
_LOOKS = 100  # transactions in which a claim looks for what no pause rule stops, before it may be asked again

_OCTETS = "SELECT pg_database_size(current_database())"

Upgrading = Callable[[int, int], None]


class PostgresStore:
    """`relayd.ports.queue.QueueStore` on one PostgreSQL, shared by the relays of many machines."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        slots: Mapping[str, int],
        on_commit: Callable[[float], None] | None = None,
        keeps_bounced: bool = False,
        upgrading: Upgrading | None = None,
        leases_by: Callable[[], float] | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self._clock = clock
        self._slots = slots
        self._on_commit = on_commit
        self._keeps_bounced = keeps_bounced
        self._upgrading = upgrading
        self._leases_by = leases_by
        self._cluster = Cluster() if cluster is None else cluster
        self._members = Members()
        self._next_due: float | None = None  # seconds since 1970, as the last claim saw it
        self._has_all_looks = True  # behind commits, at which destinations have something to do
        self._age = Age(clock, leases_by)
        self._reach, self._startup = Reach(clock.monotonic, store=name_of(url)), Startup()
        self._arrivals = self._line(url, "enqueue")
        self._results = self._line(url, "settle")
        self._lease = self._line(url, "lease")
        self._renewal = self._line(url, "renew")  # nothing that takes long goes ahead of it
        self._upkeep = self._line(url, "upkeep")
        arrivals = Arrivals(widths=slots, moment=self._moment, monotonic=clock.monotonic)
        self._enqueuing = Together(
            self._arrivals,
            arrivals.write,
            happened=arrivals.happened,
            again=True,
            unheard=arrivals.hand_back,
        )
        settling = Settling(moment=self._moment, keeps=keeps_bounced)
        self._settling = Together(
            self._results, settling.write, happened=settling.happened, again=True
        )
        self.outbox = PostgresOutbox(self._lease, clock, self._moment)
        self.people = PostgresPeople(self._lease, clock)
        self.permits = StoredPermits(self._change_account)
        self.shares = PostgresShares(self._lease, self._moment)
        self.sites = PostgresSites(self._lease, clock)
        self.trust = PostgresTrust(self._lease, clock, self._moment)
        self.samples = PostgresSamples(self._upkeep)

    def _line(self, url: str, name: str) -> Line:
        return Line(
            url,
            f"relayd/{name}",
            WRITES,
            first=self._age.keep_up,
            greet=self._startup.check,
            reach=self._reach,
            on_commit=self._on_commit,
            on_lost_look=self._lose_look,
        )

    def _lose_look(self) -> None:
        self._has_all_looks = False

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock,
        slots: Mapping[str, int],
        on_commit: Callable[[float], None] | None = None,
        keeps_bounced: bool = False,
        upgrading: Upgrading | None = None,
        leases_by: Callable[[], float] | None = None,
        cluster: Cluster | None = None,
    ) -> Self:
        """Open the queue at `url`. Connections are made by the first verbs; `register` brings the schema up to date.

        `slots` says how many slots a destination has, 1 where it does not. With `keeps_bounced` the content of
        what bounces is kept until `let_go`. `leases_by` is a clock in seconds that leases end by in the place of the
        server's.
        """
        return cls(
            url,
            clock=clock,
            slots=slots,
            on_commit=on_commit,
            keeps_bounced=keeps_bounced,
            upgrading=upgrading,
            leases_by=leases_by,
            cluster=cluster,
        )

    async def close(self) -> None:
        """Finish what was begun, then let go of the connections."""
        for line in (self._arrivals, self._results, self._lease, self._renewal, self._upkeep):
            await line.close()

    async def register(self, worker: WorkerIdentity) -> Registration:
        now = self._clock.now()
        await upgrade.bring_up(
            self._lease.submit, self._upgrading, contracts=False, lease_at=self._lease_at
        )

        async def operation(db: Session) -> tuple[Registration, Others]:
            await upgrade.enter(db)
            await schema.expect(db)
            await rights.expect(db)
            await partitions.make(db, to_ms(now))
            await self._age.begin(db, worker, is_first=await workers.is_first(db, worker))
            at = self._moment()
            await nodes.enter(db, worker, cluster=self._cluster, at=at)
            since = await workers.seat(db, worker, moment=at)
            await workers.remove_dead(db, worker, now=at.now)
            await destinations.end_pauses(db, now=at.now)
            await destinations.recount(db)  # who died may have owed a second look
            registered = await workers.add(db, worker, at=now, moment=at, counted_since=since)
            return registered, await self._members.begin(db, worker, since=since, at=at)

        registered, others = await self._lease.submit(operation)
        self.samples.join(worker.node)
        self._cluster.on_others(others)
        return registered

    async def leave(self, worker: WorkerNumber) -> None:
        async def operation(db: Session) -> None:
            await shares.forget(db, worker)
            await workers.leave(db, worker)

        await self._lease.submit(operation)

    def enqueue(
        self, message: NewMessage, *, worker: WorkerNumber, lease_for: timedelta | None
    ) -> "asyncio.Future[Sequence[Work]]":
        term = None if lease_for is None or message.is_held else _ms(lease_for)
        return self._enqueuing.submit(Arrival(message, worker, term))

    def has_room(self) -> bool:
        self._reach.expect()
        return True  # only the server knows: it says StoreFull

    def spool(self) -> Spool:
        return UnnamedFile()

    async def claim(
        self,
        worker: WorkerNumber,
        *,
        limit: int,
        lease_for: timedelta,
        each: int | None = None,
        but: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Sequence[Work]:
        wanted = claims.Wanted(limit=limit, each=each, but=but, only=only, lease_for=_ms(lease_for))
        tried: list[int] = []

        async def operation(db: Session) -> tuple[Sequence[Work], bool]:
            now, self._next_due = self._moment().now, None
            due = await claims.next_due(db, now=now)
            if due is None or due > now:
                self._next_due = math.inf if due is None else due / 1000
                return [], True
            await db.begin()
            tried[:] = [await db.number()]
            return await claims.claim(db, worker, wanted, widths=self._slots, at=self._moment())

        async def happened(db: Session) -> None:
            for transaction in tried:
                await claims.take_back(db, transaction, worker, now=self._moment().now)

        for _ in range(_LOOKS):
            work, is_all = await self._lease.submit(
                operation, is_one=True, happened=happened, unheard=happened
            )
            if work or is_all:
                return work
        return ()

    def next_due(self) -> float | None:
        if self._next_due is None:
            return None
        return self._next_due - self._clock.now().timestamp()

    async def extend(
        self, held: Sequence[Lease], *, worker: WorkerNumber, lease_for: timedelta
    ) -> Sequence[Lease]:
        async def operation(db: Session) -> tuple[Sequence[Lease], Found | None]:
            if too_new := await schema.why_too_new(db):  # others upgraded while we were away
                raise StoreBroken(too_new)
            at, term = self._moment(), _ms(lease_for)
            lost, seen = await leases.extend(db, held, worker=worker, at=at, lease_for=term)
            return lost, await self._members.look(db, seen, at=at)

        lost, found = await self._renewal.submit(operation)
        if found is not None:
            self._cluster.on_others(self._members.note(found))
        return lost

    def settle(
        self,
        lease: Lease,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> "asyncio.Future[Sequence[Settlement]]":
        return self._settling.submit(Results(lease, settlements, reports))

    async def release(
        self, lease: Lease, *, paused_until: datetime | None = None, why: str = ""
    ) -> None:
        async def operation(db: Session) -> None:
            if await leases.holds(db, lease, locked=True):
                await leases.hand_back(db, lease.slot, now=self._moment().now)
                if paused_until is not None:
                    await destinations.pause(db, lease.destination, to_ms(paused_until), why=why)

        await self._lease.submit(operation)

    async def remark(self, lease: Lease, why: str) -> None:
        async def operation(db: Session) -> None:
            if await leases.holds(db, lease):
                await destinations.remark(db, lease.destination, why, now=self._moment().now)

        await self._lease.submit(operation)

    async def resume(self, destination: str) -> None:
        async def operation(db: Session) -> None:
            if await destinations.paused_until(db, destination):
                await destinations.pause(db, destination, 0)

        await self._lease.submit(operation)

    async def reap(self) -> int:
        async def operation(db: Session) -> int:
            await self._age.watch(db)
            at = self._moment()
            if at.may_take_over:
                await nodes.forget(db, at=at)
            await shares.forget_ended(db, at=at)
            await permits.forget_idle(db, now=self._clock.now().timestamp())
            await pausing.let_go_ruleless(db, at=at)
            freed = await leases.abandon_ended(db, at=at)
            if is_owed:
                await destinations.recount(db)
            await destinations.bring_back(db, now=at.now)
            return freed

        for line in (self._arrivals, self._lease):
            line.make_up()  # what was leased to nobody's knowledge waits, however rarely mail comes
        is_owed, self._has_all_looks = not self._has_all_looks, True
        try:
            return await self._renewal.submit(operation)
        except StoreError:
            self._has_all_looks = self._has_all_looks and not is_owed
            raise

    async def act(
        self,
        selector: Query,
        action: Action,
        *,
        by: str,
        reason: str,
        report: ReportGivenUp | None = None,
        batch: Batch | None = None,
    ) -> Acted:
        part = batch or Batch()
        operator = Operator(action, by, reason, self._clock.now())
        acting: Recorded[Acted] = Recorded(
            lambda db: operators.act(
                db,
                selector,
                operator,
                report=report,
                batch=part,
                at=self._moment(),
                keeps=self._keeps_bounced,
            ),
            lambda acted: acted.events,
        )
        return await self._lease.submit(acting, happened=acting.happened)

    async def foresee(
        self, selector: Query, action: Action, *, last: LastRetry, batch: Batch | None = None
    ) -> Foreseen:
        async def read(db: Session) -> Foreseen:
            served = self._age.served()
            if batch is None:
                return await operators.foresee(db, selector, action, last=last, served=served)
            return await operators.name(db, selector, action, batch, last=last, served=served)

        return await self._lease.submit(read)

    async def requeue(
        self, selector: Query, how: Requeue, *, batch: Batch | None = None, dry_run: bool = False
    ) -> Requeued:
        if dry_run:
            return await self._upkeep.submit(lambda db: requeue.foresee(db, selector, how, batch))
        part = batch or Batch()
        requeuing: Recorded[Requeued] = Recorded(
            lambda db: requeue.requeue(db, selector, how, part, at=self._moment()),
            lambda requeued: requeued.events,
        )
        return await self._upkeep.submit(requeuing, happened=requeuing.happened)

    async def secret(self) -> bytes:
        return await self._lease.submit(
            lambda db: meta.make_secret(db, secrets.token_bytes(KEY_OCTETS))
        )

    def note_late(
        self, path: VerpToken, notice: LateNotice | None, copy: NewMessage
    ) -> "asyncio.Future[LateNotice | None]":
        async def operation(db: Session) -> LateNotice | None:
            at = self._moment()
            await returned.count(db, path, now=at.now)
            await messages.insert(db, copy, {}, at=at, is_returned=True)
            known = notice is not None and await returned.note(db, notice, now=at.now)
            return notice if known else None

        return self._arrivals.submit(operation, again=False)

    async def pause(self, rules: Sequence[PauseRule]) -> Sequence[PauseRule]:
        return await self._lease.submit(lambda db: _each(db, rules))

    async def unpause(
        self, wanted: Collection[int | Named] | None, sides: Collection[Side]
    ) -> Sequence[PauseRule]:
        return await self._lease.submit(lambda db: pausing.end(db, wanted, sides))

    async def suppress(self, wanted: Sequence[ToSuppress], *, by: str) -> Sequence[bool]:
        at = self._clock.now()
        return await self._lease.submit(lambda db: suppression.suppress(db, wanted, by=by, at=at))

    async def unsuppress(self, address: str) -> bool:
        return await self._lease.submit(lambda db: suppression.unsuppress(db, address))

    async def purge(self, older_than: datetime) -> int:
        now = to_ms(self._clock.now())
        await self._upkeep.submit(lambda db: partitions.make(db, now))
        await self._upkeep.submit(  # what is not counted is not deleted
            lambda db: tallying.count(db, least=1, most=TALLIED_AT_ONCE, now=now)
        )
        purged = await self._upkeep.submit(lambda db: purging.purge(db, older_than, now=now))
        last: int | None = -1
        while last is not None and not purged:  # the last call of a round
            last = await self._upkeep.submit(partial(content.sweep, after=last))
        return purged

    async def compact(self, older_than: datetime) -> Compacted:
        purged = await self.purge(older_than)
        octets = await self._upkeep.submit(lambda db: db.value(_OCTETS))
        return Compacted(purged=purged, octets=octets, unused=0, can_shrink=True)

    async def let_go(self, before: datetime) -> LetGo:
        return await self._upkeep.submit(lambda db: purging.let_go(db, before), is_one=True)

    async def tally_up(self, at_once: int = TALLIED_AT_ONCE) -> bool:
        now = to_ms(self._clock.now())

        async def operation(db: Session) -> bool:
            is_counted = await tallying.count(db, least=at_once, most=at_once, now=now)
            return is_counted or await tally_upkeep.tidy(db, now)

        return await self._upkeep.submit(operation, is_one=True)

    async def migrate(self) -> Migrated:
        return await upgrade.bring_up(
            self._upkeep.submit,
            contracts=self._moment().may_take_over,  # else older ones may only be cut off as we were
            lease_at=self._lease_at,
        )

    async def forget_keys(self) -> int:
        return await self._lease.submit(lambda db: once.forget(db, served=self._age.served()))

    async def content(self, message_id: MessageId) -> Content | None:
        return await self._lease.submit(lambda db: content.find(db, message_id))

    async def read(
        self, message_id: MessageId, *, by: str, reason: str, of: str | None = None
    ) -> ContentRead | None:
        reader = ReadBy(by, reason, self._clock.now())
        return await self._lease.submit(lambda db: content_read.read(db, message_id, reader, of=of))

    async def _change_account(self, account: str, change: "Change[Answer]", /) -> Answer:
        return await self._lease.submit(
            lambda db: permits.change(db, account, change, now=self._clock.now().timestamp())
        )

    def _lease_at(self) -> int | None:
        return None if self._leases_by is None else int(self._leases_by() * 1000)

    def _moment(self) -> Moment:
        """Return the present: an operation may have waited long for its turn."""
        return Moment(
            to_ms(self._clock.now()),
            self._age.served(),
            self._lease_at(),
            may_take_over=min(self._reach.seconds(), self._age.since_server_was_set())
            >= _RENEWED_BY_THEN,
            server_by=self._age.server_by(),
        )


async def _each(db: Session, rules: Sequence[PauseRule]) -> list[PauseRule]:
    return [await pausing.add(db, rule) for rule in rules]


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
