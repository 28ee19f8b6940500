"""Take what is due from a worker, send it, and tell what became of it.

Owns the loop, and how much is under way. Leaves to the store what is due and in which order, what an answer
means and when to try again. A delivery is leased for a minute: what this process takes with it into the grave
is sent again by the next one, and a result that a worker does not take is told again until it does.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from relayd.console.hooks.dial import Answer, Caller
from relayd.console.hooks.sign import body_of, signed
from relayd.control.protocol import BadMessage, Message
from relayd.control.webhooks import (
    AT_ONCE,
    ToSend,
    claim_to_json,
    claimed_from_json,
    settle_to_json,
)
from relayd.errors import RelaydError
from relayd.policy.console.retry_after import retry_after
from relayd.policy.seldom import Seldom
from relayd.ports.outbox import DeliveryResult, Heard

_LOOK = 1.0  # seconds between looks for what is due, while nothing is
_FINISH = 3.0  # seconds for telling what became of the last ones
_AGAIN = 5.0  # seconds before a worker is asked again that did not answer

Ask = Callable[[Message], Awaitable[Mapping[str, Any]]]
"""Asks a worker by the control socket; raises RelaydError."""

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Sends deliveries until it is stopped."""

    def __init__(self, ask: Ask, caller: Caller, now: Callable[[], datetime]) -> None:
        self._ask = ask
        self._caller = caller
        self._now = now
        self._stop = asyncio.Event()
        self._under_way = 0  # what is claimed, and not yet settled
        self._results: list[DeliveryResult] = []
        self._has_results = asyncio.Event()
        self._has_news = asyncio.Event()  # something was settled, or it is time to stop
        self._trouble = Seldom()

    def stop(self) -> None:
        """Take nothing more; what is under way has a few seconds."""
        self._stop.set()
        self._has_news.set()

    async def run(self) -> None:
        """Work until `stop`, and finish what was begun. What is not finished is sent again later."""
        async with asyncio.TaskGroup() as tasks:
            settling = tasks.create_task(self._settle_all(), name="webhook results")
            async with asyncio.TaskGroup() as sending:
                await self._claim_all(sending)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINISH):
                    while self._under_way:
                        self._has_news.clear()
                        await self._has_news.wait()
            settling.cancel()

    async def _claim_all(self, sending: asyncio.TaskGroup) -> None:
        """Start a task for each delivery that is due."""
        while not self._stop.is_set():
            room = AT_ONCE - self._under_way
            claimed: list[ToSend] = []
            pause = _LOOK
            if room:
                try:
                    claimed = claimed_from_json(await self._ask(claim_to_json(room)))
                except (RelaydError, BadMessage) as error:
                    self._tell(error)
                    pause = _AGAIN
            for each in claimed:
                self._under_way += 1
                sending.create_task(self._send(each), name=f"webhook {each.webhook_id}")
            if not claimed:
                await self._news(pause)

    async def _news(self, within: float) -> None:
        """Wait until something was settled: more of a recipient may be due; or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._has_news.wait()
        self._has_news.clear()

    async def _send(self, delivery: ToSend) -> None:
        now = self._now()
        try:
            body = body_of(delivery)
            fields = signed(delivery.webhook_id, delivery.secrets, body, now=now)
            answer = await self._caller.post(delivery.url, fields, body)
            asked = None if answer.retry_after is None else retry_after(answer.retry_after, now)
        except Exception:  # noqa: BLE001 -- the one catch-all of this unit of work: others go on
            _log.exception(
                "webhook_failed", webhook=delivery.endpoint, id=delivery.webhook_id, fault="local"
            )
            answer, asked = Answer(heard=Heard(trouble="failed")), None
        result = DeliveryResult(
            endpoint=delivery.endpoint,
            number=delivery.number,
            claim=delivery.claim,
            heard=answer.heard,
            retry_after=asked,
        )
        _log.debug(
            "webhook_sent",
            webhook=delivery.endpoint,
            id=delivery.webhook_id,
            status=answer.heard.status,
            reason=answer.heard.trouble,
        )
        self._results.append(result)
        self._has_results.set()

    async def _settle_all(self) -> None:
        """Tell what became of deliveries, in the order in which it became known."""
        while True:
            await self._has_results.wait()
            self._has_results.clear()
            while self._results:
                part = self._results[:AT_ONCE]
                try:
                    await self._ask(settle_to_json(part))
                except RelaydError as error:
                    self._tell(error)
                    await asyncio.sleep(_LOOK)
                    continue
                del self._results[: len(part)]
                self._under_way -= len(part)
                self._has_news.set()

    def _tell(self, error: Exception) -> None:
        if self._trouble.is_due(asyncio.get_running_loop().time()):
            _log.warning("webhooks_wait", reason=str(error), fault="local")
