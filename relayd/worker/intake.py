"""From a complete message to a durable one, and on to its delivery.

What happens at the moment a message is durable: it is logged, and delivered from memory when it
was leased at enqueue.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from relayd.deliverer.leases import LEASE_FOR
from relayd.deliverer.reports import Reporter
from relayd.deliverer.scheduler import Scheduler
from relayd.errors import CommitUnknown, StoreBroken, StoreUnavailable
from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import (
    MessageId,
)
from relayd.mail.once import FirstMessage
from relayd.mail.reply import Reply
from relayd.mail.words import Detail
from relayd.policy import verp
from relayd.policy.delivery import route
from relayd.policy.intake.cut_through import Answer
from relayd.policy.intake.refusal_lines import RefusalLines
from relayd.policy.seldom import Seldom
from relayd.ports.queue import LateNotice, Spool, Work
from relayd.trace import tracing
from relayd.worker.cut_through import WaitingClients
from relayd.worker.late import LateBounces
from relayd.worker.parts import Parts

_FAILING_FOR = (
    30.0  # seconds after a message could not be stored, in which the next may be no better
)

log = structlog.get_logger()


class Intake:
    """`relayd.receiver.intake.Intake`: from a complete message to a durable one."""

    def __init__(
        self,
        parts: Parts,
        scheduler: Scheduler,
        *,
        routes: route.RouteRules,
        late: LateBounces | None = None,
        reporter: Reporter | None = None,
        hint: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._hint = hint  # others may deliver what was stored
        self._refusal_lines, self._flood = RefusalLines(), Seldom()
        self._unwritten = 0  # refusals since the last line about them
        self._failed_at = float("-inf")  # monotonic: when the store last took no message
        self._late = late
        self._reporter = reporter
        self._routes = routes
        self._store = parts.store
        self._view = parts.view
        self._asking = parts.asking
        self._worker = parts.worker
        self._ids = parts.ids
        self._scheduler = scheduler
        self._events = parts.events
        self._clock = parts.clock
        self._returning: set[asyncio.Task[Any]] = set()  # the loop itself would forget them
        self._waiting = WaitingClients(
            parts.store, parts.view, parts.events.acts, asking=parts.asking
        )
        parts.events.on_awaited = self._waiting.note
        # Fails when the store can be used no more.
        self.broken: asyncio.Future[None] = self._loop.create_future()

    def next_id(self, at: datetime) -> MessageId:
        return self._ids.next_id(at)

    def way_of(self, address: Address, facts: route.RouteFacts) -> route.Decision:
        return route.way_of(address, facts, self._routes)

    def owns(self, address: Address) -> bool:
        return self._late is not None and self._late.owns(address)

    def refusal_of_return_path(self, address: Address) -> Reply | Awaitable[Reply | None] | None:
        assert self._late is not None, "it owns the address"
        return self._asking.soon(partial(self._late.refusal_of, address))

    def is_suppressed(self, address: Address, *, sender: Address | None) -> bool | Awaitable[bool]:
        return self._view.is_suppressed(str(address), sender=str(sender or ""))

    def first_message(self, key: bytes) -> FirstMessage | None:
        return self._view.first_message(key)

    def has_room(self) -> bool:
        return self._store.has_room()

    @property
    def is_failing(self) -> bool:
        """The store could not take a message a moment ago; a full disk is told by `has_room`."""
        return self._clock.monotonic() - self._failed_at < _FAILING_FOR

    def spool(self) -> Spool:
        return self._store.spool()

    def submit(self, message: NewMessage) -> "asyncio.Future[Any]":
        if self._late is not None and self._late.owns(message.recipients[0].address):
            returning = self._loop.create_task(
                self._take_back(message, self._late), name="asynchronous bounce"
            )
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)
            return returning
        destinations = {recipient.destination for recipient in message.recipients}
        has_room = self._scheduler.has_room(len(message.content), destinations)
        lease_for = LEASE_FOR if has_room and route.HOLD not in destinations else None
        stored = self._store.enqueue(message, worker=self._worker, lease_for=lease_for)
        stored.add_done_callback(partial(self._stored, message))
        return stored

    async def answer(self, message_id: MessageId, *, within: timedelta) -> Answer:
        return await self._waiting.answer(message_id, within=within)

    def told(self, report: MessageId, message: NewMessage) -> None:
        self._waiting.told(report)
        if self._reporter is not None:
            sender, client = str(message.reverse_path or ""), message.client.account
            self._reporter.give_back(sender, client, now=self._clock.now())

    def stop_waiting(self) -> None:
        """Let no client wait any longer for what becomes of its message."""
        self._waiting.stop()

    def refused(self, detail: Detail, *, stranger: str = "") -> None:
        now = self._clock.monotonic()
        if stranger and not self._refusal_lines.take(stranger, now):
            self._events.refused(self._clock.now(), detail, is_written=False)
            self._unwritten += 1
            if self._flood.is_due(now):
                self._tell_flood(detail)
            return
        rcpt = verp.masked(str(detail.get("rcpt", "")))
        self._events.refused(self._clock.now(), {**detail, "rcpt": rcpt})

    def _tell_flood(self, detail: Detail) -> None:
        log.warning(
            "refusals_unwritten",
            fault="peer",
            client_ip=detail.get("client_ip"),
            refusals=self._unwritten,
        )
        self._unwritten = 0

    async def _take_back(self, message: NewMessage, late: LateBounces) -> LateNotice | None:
        """Have it read, then stored; its client may be gone by then."""
        returned = await late.read(message)
        stored = self._store.note_late(returned.path, returned.notice, returned.copy)
        stored.add_done_callback(partial(self._taken_back, returned.copy))
        return await asyncio.shield(stored)

    def _taken_back(self, copy: NewMessage, stored: "asyncio.Future[LateNotice | None]") -> None:
        """Log what a returned mail changed, and have its copy delivered."""
        if self._is_durable(stored):
            if (notice := stored.result()) is not None:
                self._events.acted(notice.event)
            self._events.received(copy)
            self._scheduler.wake()
            self._hint()

    def _stored(self, message: NewMessage, stored: "asyncio.Future[Sequence[Work]]") -> None:
        if self._is_durable(stored):
            self._events.received(message)
            leased = stored.result()
            for work in leased:
                self._scheduler.put(work)
            if len(leased) < len({each.destination for each in message.recipients}):
                self._scheduler.wake()
                self._hint()
            if tracing.is_on:  # last: nothing that matters hangs on it
                tracing.taken(message, leased=bool(leased))

    def _is_durable(self, stored: "asyncio.Future[Any]") -> bool:
        error = stored.exception()
        if error is None:
            return True
        if isinstance(error, StoreUnavailable | CommitUnknown):
            self._failed_at = self._clock.monotonic()
        if isinstance(error, StoreBroken):
            if not self.broken.done():
                self.broken.set_exception(error)
        elif isinstance(error, CommitUnknown):  # its client is told neither yes nor no
            log.error("commit_unknown", fault="local", reason=str(error))
        return False
