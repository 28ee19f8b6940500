"""The deliverer's only way into the store for results, however often that takes.

When the store cannot take a result, no further attempt is started until it can (S-52): each would
end with one more result that cannot be recorded. A result whose lease was lost is discarded.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from relayd.errors import CommitUnknown, ContentLost, LeaseLost, StoreBroken, StoreError
from relayd.mail.content import Content
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, format_id
from relayd.mail.outcome import Deferred, may_repeat
from relayd.mail.words import format_instant
from relayd.ports.outward import Clock
from relayd.ports.queue import Lease, QueueStore, Settlement, Work

_RETRY_STORE = 1.0  # seconds between tries to use the store
_SET = timedelta(minutes=1)  # by so much clocks are set; less is put right by itself

log = structlog.get_logger()


class ResultStore:
    """The store as attempts use it, and whether attempts may begin."""

    def __init__(
        self, store: QueueStore, clock: Clock, *, retry_after: float = _RETRY_STORE
    ) -> None:
        self._store = store
        self._clock = clock
        self._retry_after = retry_after
        self._well = asyncio.Event()
        self._is_readable = True  # the store, when content was last asked for
        self._well.set()

    @property
    def is_paused(self) -> bool:
        """Results cannot be recorded now."""
        return not self._well.is_set()

    async def ready(self) -> None:
        """Wait until results can be recorded."""
        if not self._well.is_set():
            await self._well.wait()

    async def content(self, message_id: MessageId) -> Content | None:
        """Read the content of a message, waiting for the store; None when it is gone with its message.

        Raises ContentLost.
        """
        while True:
            try:
                content = await self._store.content(message_id)
            except ContentLost:
                raise
            except StoreError as error:  # when it can be read again, it need not be writable
                if self._is_readable:  # one line for all that wait
                    queue_id, reason = format_id(message_id), str(error)
                    log.warning("content_not_read", queue_id=queue_id, fault="local", reason=reason)
                self._is_readable = False
            else:
                self._is_readable = True
                return content
            await asyncio.sleep(self._retry_after)

    async def remark(self, lease: Lease, why: str) -> None:
        """Tell people what a destination waits for; where that cannot be stored it is not told."""
        try:
            await self._store.remark(lease, why)
        except StoreBroken:
            raise
        except StoreError as error:
            log.info("remark_failed", fault="local", reason=str(error))

    async def settle(
        self,
        work: Work,
        settlements: Sequence[Settlement],
        reports: Sequence[NewMessage] = (),
    ) -> Sequence[Settlement] | None:
        """Commit, however often it takes; no attempt starts meanwhile.

        Return what was written, None when the lease was lost.
        """
        given = settlements
        while True:
            try:
                written = await self._store.settle(work.lease, given, reports)
            except StoreBroken:
                raise
            except LeaseLost as lost:
                self._recover()
                queue_id = format_id(work.message.id)
                log.warning("result_discarded", queue_id=queue_id, reason=str(lost))
                return None
            except StoreError as error:
                if self._well.is_set():
                    log.critical("deliveries_paused", fault="local", reason=str(error))
                self._well.clear()
                if isinstance(error, CommitUnknown):
                    settlements = [each for each in settlements if may_repeat(each.outcome)]
                await asyncio.sleep(self._retry_after)
                now = self._clock.now()
                given = [as_of(each, now) for each in settlements]
            else:
                if not self._well.is_set():
                    self._recover()
                return written

    def _recover(self) -> None:
        """The store has answered, if only that the lease is lost."""
        if not self._well.is_set():
            log.info("deliveries_resumed")
        self._well.set()


def as_of(settlement: Settlement, now: datetime) -> Settlement:
    """Return it with the wait that it was made with, if the clock was set back since (F-31).

    It is so when what is on its way to the store for long was made in the future.
    """
    outcome, events = settlement.outcome, settlement.events
    if not isinstance(outcome, Deferred) or not events or (ahead := events[-1].at - now) < _SET:
        return settlement
    retry_at = outcome.retry_at - ahead
    detail = {**events[-1].detail, "next_attempt_at": format_instant(retry_at)}
    return replace(
        settlement,
        outcome=replace(outcome, retry_at=retry_at),
        events=(*events[:-1], replace(events[-1], detail=detail)),
    )
