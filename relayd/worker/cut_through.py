"""Clients that wait for the first attempt on their message (`listen.cut_through`): what became of it, and what follows.

Mostly this worker makes that attempt, and hears of it as it is recorded; else the store tells, which is looked at now
and then. A report to a client that has heard it is taken back; where that fails it goes, so that nothing is untold.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from relayd.errors import StoreError
from relayd.mail.event import Event
from relayd.mail.ids import MessageId, format_id
from relayd.mail.operator import Action
from relayd.mail.words import Detail, EventKind
from relayd.policy.intake import cut_through
from relayd.policy.intake.cut_through import Answer
from relayd.ports.queue import Acted, QueueStore
from relayd.ports.view import Query, QueueView
from relayd.worker.asking import Asking

_LOOK_AFTER, _LOOK_AT_LEAST_EVERY = 0.1, 1.0  # seconds

log = structlog.get_logger()


class WaitingClients:
    """Those of one worker."""

    def __init__(
        self,
        store: QueueStore,
        view: QueueView,
        record: Callable[[Acted], None],
        *,
        asking: Asking,
    ) -> None:
        self._store = store
        self._view = view
        self._record = record
        self._asking = asking
        self._waiting: dict[MessageId, asyncio.Future[Answer]] = {}
        self._withdrawing: set[asyncio.Task[None]] = set()  # the loop itself would forget them
        self._is_stopping = False

    async def answer(self, message_id: MessageId, *, within: timedelta) -> Answer:
        """Return what its client is told; after that time, or when relayd stops, that it is queued."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._is_stopping:
            return cut_through.queued(message_id)
        self._waiting[message_id] = answered
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within.total_seconds()):
                    return await self._decided(message_id, answered)
        finally:
            del self._waiting[message_id]
        return cut_through.queued(message_id)

    def note(self, event: Event) -> None:
        """Tell who waits for it; the event is on record."""
        self._tell(event.message_id, event.kind, event.detail)

    def stop(self) -> None:
        """Let nobody wait any longer: the queue has their mail."""
        self._is_stopping = True
        for message_id, answered in self._waiting.items():
            if not answered.done():
                answered.set_result(cut_through.queued(message_id))

    def told(self, report: MessageId) -> None:
        """Take a report back."""
        task = asyncio.get_running_loop().create_task(
            self._withdraw(report), name="withdrawal of a report"
        )
        self._withdrawing.add(task)
        task.add_done_callback(self._withdrawing.discard)

    async def _decided(self, message_id: MessageId, answered: "asyncio.Future[Answer]") -> Answer:
        wait = _LOOK_AFTER
        while not answered.done():
            await asyncio.wait([answered], timeout=wait)
            if not answered.done():
                await self._look(message_id)
            wait = min(2 * wait, _LOOK_AT_LEAST_EVERY)
        return answered.result()

    async def _look(self, message_id: MessageId) -> None:
        """Read what another worker has recorded."""
        with suppress(StoreError):  # it may be read the next time
            for entry in await self._asking.ask(partial(self._view.history, message_id)):
                with suppress(ValueError):  # an event of a newer relayd
                    self._tell(message_id, EventKind(entry.kind), entry.detail)

    def _tell(self, message_id: MessageId, kind: EventKind, detail: Detail) -> None:
        answered = self._waiting.get(message_id)
        if answered is not None and not answered.done() and cut_through.is_decided(kind):
            answered.set_result(cut_through.answer_to(message_id, kind, detail))

    async def _withdraw(self, report: MessageId) -> None:
        try:
            acted = await self._store.act(
                Query(message_id=report),
                Action.DROP,
                by="listen.cut_through",
                reason=cut_through.TOLD,
            )
        except StoreError as error:
            queue_id = format_id(report)
            log.info("report_not_withdrawn", queue_id=queue_id, fault="local", reason=str(error))
        else:
            self._record(acted)
