"""The verbs of the outbox on PostgreSQL. Each is one operation on a line of a worker."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from relayd.ports.outbox import (
    DeliveryResult,
    EndpointId,
    Outgoing,
    Replay,
    Replayed,
    Settled,
    Subscription,
    SubscriptionChange,
    TellsDisabled,
)
from relayd.ports.outward import Clock
from relayd.ports.people import Author
from relayd.store.postgres import deliveries, endpoints, messages, outbox_view
from relayd.store.postgres.line import Line, Operation, Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import to_ms

T = TypeVar("T")

_MS = timedelta(milliseconds=1)


class PostgresOutbox:
    """`relayd.ports.outbox.Outbox`. Leases end by the count by which mail ages, which all workers share."""

    def __init__(self, line: Line, clock: Clock, moment: Callable[[], Moment]) -> None:
        self._line = line
        self._clock = clock
        self._moment = moment

    async def claim_deliveries(self, limit: int, *, lease_for: timedelta) -> Sequence[Outgoing]:
        sent_at = to_ms(self._clock.now())

        async def operation(db: Session) -> Sequence[Outgoing]:
            now = self._moment().served
            until = now + lease_for // _MS
            return await deliveries.claim(db, limit, now=now, until=until, sent_at=sent_at)

        return await self._line.submit(operation)

    async def settle_deliveries(
        self,
        results: Sequence[DeliveryResult],
        *,
        jitter: float,
        tell: TellsDisabled | None = None,
    ) -> Sequence[Settled]:
        heard_at = to_ms(self._clock.now())

        async def operation(db: Session) -> Sequence[Settled]:
            now = self._moment().served
            await deliveries.hold(db, results)
            settled = []
            for each in results:
                found = await deliveries.settle(db, each, now=now, heard_at=heard_at, jitter=jitter)
                if found is not None:
                    settled.append(await self._told(db, found, tell))
            return settled

        return await self._line.submit(operation)

    async def _told(self, db: Session, settled: Settled, tell: TellsDisabled | None) -> Settled:
        """Queue a mail about an endpoint that was disabled just now."""
        if tell is None or not settled.disabled:
            return settled
        mail = tell(await outbox_view.endpoint_of(db, settled.endpoint))
        await messages.insert(db, mail, {}, at=self._moment(), is_returned=True)
        return replace(settled, mail=mail)

    async def replay(self, wanted: Replay, *, author: Author) -> Replayed:
        now = self._clock.now()
        changed, more = await self._do(
            lambda db: deliveries.replay(db, wanted, author=author, now=now)
        )
        return Replayed(changed=changed, more=more)

    async def put_endpoint(
        self, wanted: Subscription, endpoint: EndpointId | None = None, *, author: Author
    ) -> EndpointId | None:
        now = self._clock.now()
        return await self._do(
            lambda db: endpoints.put(db, wanted, endpoint, author=author, now=now)
        )

    async def change_endpoint(
        self, endpoint: EndpointId, change: SubscriptionChange, *, author: Author
    ) -> bool:
        now = self._clock.now()
        return await self._do(
            lambda db: endpoints.change(db, endpoint, change, author=author, now=now)
        )

    async def drop_endpoint(self, endpoint: EndpointId, *, author: Author) -> bool:
        now = self._clock.now()
        is_new = await self._do(lambda db: endpoints.drop(db, endpoint, author=author, now=now))
        while await self._line.submit(endpoints.sweep):  # mail goes on in between
            pass
        return is_new

    async def rotate(self, endpoint: EndpointId, *, author: Author) -> int | None:
        now = self._clock.now()
        return await self._do(
            lambda db: endpoints.rotate(
                db, endpoint, served=self._moment().served, author=author, now=now
            )
        )

    async def send_test(self, endpoint: EndpointId, *, author: Author) -> int | None:
        now = self._clock.now()
        return await self._do(lambda db: endpoints.add_test(db, endpoint, author=author, now=now))

    async def _do(self, deed: Operation[T]) -> T:
        """Do once what a person asked for: done twice, it would be two endpoints, or a secret too many."""
        return await self._line.submit(deed, again=False)
