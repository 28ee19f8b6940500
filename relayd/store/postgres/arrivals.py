"""New messages on their way into the store: what comes together is written by one statement.

That is so where a slot of each destination is known to be the worker's own, of a moment ago. Else slots are taken
first, in a transaction: for the first message to a destination, and once a second to each, which renews the lease.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from relayd.errors import StoreError, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.ports.queue import Lease, Work
from relayd.store.postgres import claims, destinations, messages, once
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import Moment

_KNOWN_FOR = 1.0  # seconds
_FORGETS_AT = 10_000  # destinations
_WRITTEN = "SELECT id FROM message WHERE id = ANY($1::bigint[])"
# Of the rows that are as they were written: what a claim leased since is that claim's.
_LEASED = (
    "SELECT q.message_id, q.destination, q.slot, q.epoch, s.worker FROM queue q JOIN message m ON m.id = q.message_id"
    " AND m.xmin = q.xmin JOIN slot s ON s.id = q.slot AND s.epoch = q.epoch WHERE q.message_id = ANY($1::bigint[])"
)
_HAND_BACK = (
    "UPDATE queue q SET slot = NULL, epoch = NULL, attempts = q.attempts - 1, next_attempt_at = $2 FROM message m"
    " WHERE m.id = q.message_id AND m.xmin = q.xmin AND q.slot IS NOT NULL AND q.message_id = ANY($1::bigint[])"
    " RETURNING q.destination"
)


class Arrival(NamedTuple):
    """A new message, and who would deliver it at once."""

    message: NewMessage
    worker: int
    lease_for: int | None  # milliseconds; None: nobody


class Arrivals:
    """Writes new messages; remembers for a moment which slots are whose."""

    def __init__(
        self,
        *,
        widths: Mapping[str, int],
        moment: Callable[[], Moment],
        monotonic: Callable[[], float],
    ) -> None:
        self._widths = widths
        self._moment = moment
        self._monotonic = monotonic
        self._known: dict[tuple[int, str], tuple[Lease, float]] = {}

    async def write(
        self, db: Session, arrivals: Sequence[Arrival]
    ) -> Sequence[Sequence[Work] | Exception]:
        """Write messages; return of each what was leased with it, or why it was left out."""
        plans = [self._plan(each) for each in arrivals]
        if all(plan is not None for plan in plans):
            known = [(each.message, plan or {}) for each, plan in zip(arrivals, plans, strict=True)]
            taken = await messages.insert_many(
                db, known, workers=[each.worker for each in arrivals], at=self._moment()
            )
            if taken is not None:
                return [
                    claims.work_of_new(each.message, self._keep(each, leases))
                    for each, leases in zip(arrivals, taken, strict=True)
                ]
        await db.begin()
        return [await self._write_alone(db, each) for each in arrivals]

    def _plan(self, arrival: Arrival) -> Mapping[str, Lease] | None:
        """Return the slots that a message is to be put under; None where that takes a look first."""
        message = arrival.message
        if message.once is not None or message.has_findings or not messages.is_small(message):
            return None
        if arrival.lease_for is None:
            return {}
        fresh = self._monotonic() - _KNOWN_FOR
        plan = {}
        for recipient in message.recipients:
            lease, since = self._known.get((arrival.worker, recipient.destination), (None, 0.0))
            if lease is None or since < fresh:
                return None
            plan[recipient.destination] = lease
        return plan

    def _keep(self, arrival: Arrival, leases: Mapping[str, Lease]) -> Mapping[str, Lease]:
        """Forget slots that were no longer there."""
        for recipient in arrival.message.recipients:
            if recipient.destination not in leases:
                self._known.pop((arrival.worker, recipient.destination), None)
        return leases

    async def _write_alone(self, db: Session, arrival: Arrival) -> Sequence[Work] | Exception:
        message, at = arrival.message, self._moment()
        try:
            if message.once is not None:
                await once.write(db, message.once, message.id, served=at.served)
        except StoreError as exc:
            return exc
        taken: Mapping[str, Lease | None] = {}
        if arrival.lease_for is not None:
            taken = await claims.for_new(
                db, message, arrival.worker, widths=self._widths, at=at, lease_for=arrival.lease_for
            )
            self._remember(arrival.worker, taken)
        await messages.insert(db, message, taken, at=at)
        return claims.work_of_new(message, taken)

    def _remember(self, worker: int, taken: Mapping[str, Lease | None]) -> None:
        if len(self._known) > _FORGETS_AT:
            self._known.clear()
        now = self._monotonic()
        for destination, lease in taken.items():
            if lease is not None:
                self._known[worker, destination] = (lease, now)

    async def happened(
        self, db: Session, arrivals: Sequence[Arrival]
    ) -> Sequence[Sequence[Work] | Exception] | None:
        """Find out, after a connection was lost, whether messages were written: all of them, or none."""
        ids = [each.message.id for each in arrivals]
        written = {message_id for (message_id,) in await db.fetch(_WRITTEN, ids)}
        if not written:
            return None
        asked_by = {each.message.id: each.worker for each in arrivals}
        taken: dict[int, dict[str, Lease]] = {}
        for message_id, destination, slot, epoch, worker in await db.fetch(_LEASED, ids):
            if worker == asked_by[message_id]:
                taken.setdefault(message_id, {})[destination] = Lease(destination, slot, epoch)
        for each in arrivals:
            if each.message.id in written:
                messages.touch_again(db, each.message, taken.get(each.message.id, {}))
        return [
            claims.work_of_new(each.message, taken.get(each.message.id, {}))
            if each.message.id in written
            else StoreUnavailable(
                "the connection to the store was lost"
            )  # it came with a key before
            for each in arrivals
        ]

    async def hand_back(self, db: Session, arrivals: Sequence[Arrival]) -> None:
        """Free, uncounted, what was leased with messages of which nobody was told."""
        await db.begin()
        now = self._moment().now
        freed = await db.fetch(_HAND_BACK, [each.message.id for each in arrivals], now)
        await destinations.touch(db, {destination: now for (destination,) in freed})
