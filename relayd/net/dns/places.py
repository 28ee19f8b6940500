"""How many questions are under way at once: a hundred, and some hundred that are late.

A name server has limits of its own. What it has not answered for half a second is most likely about names whose own servers are silent,
and counts no longer while others wait: a few hundred such names would hold up all mail to new domains. Where too many are late, each
ends with its present try. A name server that refuses many of its questions meanwhile has too many, as dnsmasq with more than 150; for a while
those that are late count as well.
"""

import asyncio
from collections import deque
from math import inf

_PROMPT = 100
_LATE = 400
_SOON = 0.5  # seconds
_PAUSE = 0.05  # seconds between two looks
_SPARED_FOR = 30.0  # seconds
_TOO_MANY = 0.3  # of the latest answers are refusals
_WEIGHT = 0.1  # of one answer among them


class Places:
    """Who has a place may ask."""

    def __init__(self) -> None:
        self._prompt: dict[object, float] = {}  # since when, by the loop's clock; the oldest first
        self._late: set[object] = set()
        self._waiting: deque[asyncio.Future[object]] = deque()
        self._timer: asyncio.TimerHandle | None = None  # while somebody waits
        self._spared_until = -inf  # by the loop's clock
        self._refused = 0.0  # of the latest answers

    @property
    def are_many(self) -> bool:
        """Tell whether a name server may have too many questions: those that were ended, it has still."""
        return self._are_full or asyncio.get_running_loop().time() < self._spared_until

    @property
    def _are_full(self) -> bool:
        return len(self._prompt) + len(self._late) >= _PROMPT

    def has_to_end(self, place: object) -> bool:
        """Tell whether the question of a place has been late for long enough: others wait, and too many are late.

        While name servers are spared, one is too many.
        """
        if not self._waiting:
            return False
        now = asyncio.get_running_loop().time()
        if now < self._spared_until:
            return now - self._prompt.get(place, -inf) >= _SOON
        return place in self._late and len(self._late) >= _LATE

    def note(self, *, is_refusal: bool) -> None:
        """Count an answer; many refusals have those that are late count for a while."""
        self._refused += _WEIGHT * (is_refusal - self._refused)
        if is_refusal and self._refused >= _TOO_MANY:
            self._spared_until = asyncio.get_running_loop().time() + _SPARED_FOR

    async def take(self, deadline: float) -> object:
        """Return a place, behind those who came before. Raises TimeoutError at the deadline, by the loop's clock."""
        loop = asyncio.get_running_loop()
        if not self._waiting and self._has_room(loop.time()):
            return self._given(loop.time())
        turn: asyncio.Future[object] = loop.create_future()
        self._waiting.append(turn)
        self._look_later(loop)
        try:
            async with asyncio.timeout_at(deadline):
                return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it came when nobody wanted it any more
                self.give_back(turn.result())
            raise

    def give_back(self, place: object) -> None:
        """End a question."""
        if self._prompt.pop(place, None) is None:
            self._late.discard(place)
        if self._waiting:
            self._serve()

    def _given(self, now: float) -> object:
        place = object()
        self._prompt[place] = now
        return place

    def _has_room(self, now: float) -> bool:
        if now < self._spared_until:
            return not self._are_full
        while len(self._prompt) >= _PROMPT and len(self._late) < _LATE:
            place, since = next(iter(self._prompt.items()))
            if now - since < _SOON:
                break
            del self._prompt[place]
            self._late.add(place)
        return len(self._prompt) < _PROMPT

    def _serve(self) -> None:
        """Give places to those who have waited longest."""
        loop = asyncio.get_running_loop()
        while self._waiting and (self._waiting[0].done() or self._has_room(loop.time())):
            turn = self._waiting.popleft()
            if not turn.done():  # else its deadline has come
                turn.set_result(self._given(loop.time()))
        self._look_later(loop)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """While somebody waits, look again when the oldest question is late."""
        if self._waiting and self._timer is None:
            oldest = next(iter(self._prompt.values()), -inf)
            at = max(oldest + _SOON, loop.time() + _PAUSE)
            self._timer = loop.call_at(at, self._on_timer)
        elif not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()
