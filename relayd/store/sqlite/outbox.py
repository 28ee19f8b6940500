"""The verbs of the outbox on SQLite. Each is one operation in the writer's transaction."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import apsw

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
from relayd.store.sqlite import deliveries, endpoints, messages, outbox_view, values
from relayd.store.sqlite.reading import Reader
from relayd.store.sqlite.writer import Writer

_MS = timedelta(milliseconds=1)


class SqliteOutbox:
    """`relayd.ports.outbox.Outbox` on one SQLite file. `served` is the count that leases end by."""

    def __init__(
        self, writer: Writer, reader: Reader, *, clock: Clock, served: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._served = served

    async def claim_deliveries(self, limit: int, *, lease_for: timedelta) -> Sequence[Outgoing]:
        now = self._served()
        if not await self._reader.ask(lambda db: deliveries.is_due(db, now=now)):
            return ()  # asked all the time, it writes only when there is something
        sent_at = self._now()

        def operation(db: apsw.Connection) -> Sequence[Outgoing]:
            now = self._served()
            until = now + lease_for // _MS
            return deliveries.claim(db, limit, now=now, until=until, sent_at=sent_at)

        return await self._writer.submit(operation)

    async def settle_deliveries(
        self,
        results: Sequence[DeliveryResult],
        *,
        jitter: float,
        tell: TellsDisabled | None = None,
    ) -> Sequence[Settled]:
        heard_at = self._now()

        def operation(db: apsw.Connection) -> Sequence[Settled]:
            now = self._served()
            found = (
                deliveries.settle(db, each, now=now, heard_at=heard_at, jitter=jitter)
                for each in results
            )
            return [_told(db, each, tell) for each in found if each is not None]

        return await self._writer.submit(operation)

    async def replay(self, wanted: Replay, *, author: Author) -> Replayed:
        now = self._clock.now()
        found = await self._reader.ask(lambda db: deliveries.finished(db, wanted))
        part = found[: wanted.limit]
        changed = await self._writer.submit(
            lambda db: deliveries.replay(db, wanted, part, author=author, now=now)
        )
        return Replayed(changed=changed, more=part[-1] if len(part) < len(found) else None)

    async def put_endpoint(
        self, wanted: Subscription, endpoint: EndpointId | None = None, *, author: Author
    ) -> EndpointId | None:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: endpoints.put(db, wanted, endpoint, author=author, now=now)
        )

    async def change_endpoint(
        self, endpoint: EndpointId, change: SubscriptionChange, *, author: Author
    ) -> bool:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: endpoints.change(db, endpoint, change, author=author, now=now)
        )

    async def drop_endpoint(self, endpoint: EndpointId, *, author: Author) -> bool:
        now = self._clock.now()
        is_new = await self._writer.submit(
            lambda db: endpoints.drop(db, endpoint, author=author, now=now)
        )
        while await self._writer.submit(endpoints.sweep):  # mail goes on in between
            pass
        return is_new

    async def rotate(self, endpoint: EndpointId, *, author: Author) -> int | None:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: endpoints.rotate(db, endpoint, served=self._served(), author=author, now=now)
        )

    async def send_test(self, endpoint: EndpointId, *, author: Author) -> int | None:
        now = self._clock.now()
        return await self._writer.submit(
            lambda db: endpoints.add_test(db, endpoint, author=author, now=now)
        )

    def _now(self) -> int:
        return values.to_ms(self._clock.now())


def _told(db: apsw.Connection, settled: Settled, tell: TellsDisabled | None) -> Settled:
    """Queue a mail about an endpoint that was disabled just now."""
    if tell is None or not settled.disabled:
        return settled
    mail = tell(outbox_view.endpoint_of(db, settled.endpoint))
    messages.insert(db, mail, {}, is_returned=True)
    return replace(settled, mail=mail)
