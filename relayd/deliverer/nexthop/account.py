"""The account at a smarthost, as one worker uses it: it sends what it has permits for.

Permits are booked in the store, where all workers have theirs. An account without limits, whose server never
said that we are too fast, needs none: that is asked once, when its queue opens.
"""

import asyncio
from collections import deque
from datetime import UTC, datetime

import structlog

from relayd.deliverer.nexthop.hosts import NotYet
from relayd.errors import StoreBroken, StoreError
from relayd.mail.ids import MessageId
from relayd.mail.reply import Reply
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.delivery.retry import asked_for
from relayd.policy.delivery.throttle import TOKEN_WAIT
from relayd.ports.outward import Clock
from relayd.ports.permits import Permits
from relayd.trace import tracing

_LATE = 0.05  # seconds, or one turn of the rate: later a permit may not be used, or too many would go at once
_LASTS = 600.0  # seconds, of one that only counts
_IN_A_ROW = 10.0  # seconds between two such replies, with nothing taken in between
_STORE_AGAIN = 5.0  # seconds until the store is asked again

log = structlog.get_logger()


class Account:
    """One account, by the route key of its destination."""

    def __init__(self, name: str, limits: AccountLimits, *, permits: Permits, clock: Clock) -> None:
        self._name = name
        self._limits = limits
        self._permits = permits
        self._clock = clock
        # From when until when each may be used, in seconds since 1970.
        self._booked: deque[tuple[float, float]] = deque()
        self._unused = 0  # permits whose time is over
        self._taken = 0  # by the server, since the store was told
        self._is_paced = False  # its server has said that it is too fast
        self._doubt: tuple[float, MessageId] | None = None  # when it said so of one message
        self._turn = asyncio.Lock()  # one waits for the next permit, the others for their turn
        self.is_free = False  # needs no permits

    def limit(self, limits: AccountLimits) -> None:
        """Hold to these limits from the next booking on."""
        self._limits = limits

    @property
    def is_limited(self) -> bool:
        """Tell whether a rate holds its mail back."""
        return not self.is_free

    async def permit(self, wanted: int) -> None:
        """Wait until one transaction may begin, of so many that are wanted. Raises NotYet."""
        async with self._turn:
            while not self.is_free:
                while self._booked:
                    at, ends = self._booked.popleft()
                    self._unused += 1
                    wait = at - self._now()
                    if wait > 0:
                        if tracing.is_on:
                            tracing.tell("token_awaited", seconds=round(wait, 3), reason="its rate")
                        await asyncio.sleep(wait)
                    if self._now() <= ends:
                        self._unused -= 1
                        return
                await self._book(wanted)

    async def _book(self, wanted: int) -> None:
        """Book permits, at least one, if the account needs any; wait a little while there are none. Raises NotYet."""
        if self._unused and self._limits.counted:
            await self.leave()  # now, since a kill would leave them counted
        while not self._booked:
            taken, self._taken = self._taken, 0
            try:
                found = await self._permits.book(self._name, self._limits, wanted, taken=taken)
            except StoreBroken:
                raise
            except StoreError as error:
                self._taken += taken
                raise self._not_yet(self._now() + _STORE_AGAIN, str(error)) from error
            if found.is_free:
                self.is_free, self._is_paced = True, False
                return
            late = max(found.every, _LATE) if found.every else _LASTS
            begins = (found.first + each * found.every for each in range(found.count))
            self._booked.extend((at, at + late) for at in begins)
            if not found.count:
                if found.until - self._now() > TOKEN_WAIT:
                    raise self._not_yet(found.until, found.why)
                await asyncio.sleep(max(0.0, found.until - self._now()))

    def took(self) -> None:
        """The server took a message."""
        self._doubt = None
        if not self.is_free:
            self._taken += 1

    async def too_fast(self, reply: Reply, message: MessageId) -> NotYet | None:
        """The server says of a message that it is too fast: return until when it is left alone; None: it is not.

        At first two messages in a row have to show it: one alone may be what the reply is about.
        """
        if not self._is_paced and not self._is_again(message):
            return None
        self.is_free, self._is_paced = False, True
        await self.leave()
        taken, self._taken = self._taken, 0
        wish = asked_for(reply.text)
        try:
            learnt = await self._permits.too_fast(
                self._name, asked_for=wish.total_seconds() if wish else 0.0, taken=taken
            )
        except StoreBroken:
            raise
        except StoreError as error:
            return self._not_yet(self._now() + _STORE_AGAIN, str(error))
        if learnt.is_first:
            log.warning("slowed_down", destination=self._name, fault="peer", reason=str(reply))
        return self._not_yet(
            learnt.pace.rests_until, f"the server says that this is too fast: {reply}"
        )

    def _is_again(self, message: MessageId) -> bool:
        before, self._doubt = self._doubt, (self._clock.monotonic(), message)
        if before is None:
            return False
        at, other = before
        return other != message and self._doubt[0] - at <= _IN_A_ROW

    async def leave(self) -> None:
        """Let permits that are left count for nothing."""
        unused, self._unused = len(self._booked) + self._unused, 0
        self._booked.clear()
        if unused:
            try:
                await self._permits.give_back(self._name, self._limits, unused)
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning(
                    "permits_lost", destination=self._name, fault="local", reason=str(error)
                )

    def _not_yet(self, until: float, why: str) -> NotYet:
        return NotYet(datetime.fromtimestamp(until, UTC), why)

    def _now(self) -> float:
        return self._clock.now().timestamp()
