"""Turns at checking a password: a few at once, in the order of `policy.turns`.

Strangers never have all of them: who logged in lately does not wait for guesses to be checked.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relayd.accounts.passwords import Unverifiable
from relayd.policy.intake.turns import STRANGERS, Rank, Turns

AT_ONCE = 3  # checks; each is busy on one core and has its memory
_OF_STRANGERS = 2
_PLACES = 256  # for strangers, and as many for others: three seconds of checks at 20 ms
_PATIENCE = 60.0  # seconds; most clients wait longer for a reply


class LoginTurns:
    """Gives out the turns of a worker."""

    def __init__(self) -> None:
        self._waiting = Turns[tuple[Rank, asyncio.Future[None]]](_PLACES)
        self._busy = 0
        self._strangers = 0  # of those

    @asynccontextmanager
    async def turn(self, rank: Rank, network: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Raises Unverifiable if too many others wait."""
        await self._wait(rank, network)
        try:
            yield
        finally:
            self._end(rank)

    async def _wait(self, rank: Rank, network: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        leaves = self._waiting.join((rank, turn), rank, network)
        if leaves is not None and not leaves[1].done():
            leaves[1].set_exception(Unverifiable("too many logins at once"))
        self._give()
        try:
            async with asyncio.timeout(_PATIENCE):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if not turn.cancelled() and turn.exception() is None:  # it came just then
                self._end(rank)
            if isinstance(error, TimeoutError):
                raise Unverifiable("too many logins before this one") from error
            raise

    def _give(self) -> None:
        """Give a turn to each who can have one now."""
        while self._busy < AT_ONCE:
            strangers = STRANGERS if self._strangers < _OF_STRANGERS else ()
            following = self._waiting.next(among=(Rank.KNOWN, *strangers))
            if following is None:
                return
            rank, turn = following
            if not turn.done():  # it waits still
                turn.set_result(None)
                self._busy += 1
                self._strangers += rank in STRANGERS

    def _end(self, rank: Rank) -> None:
        self._busy -= 1
        self._strangers -= rank in STRANGERS
        self._give()
