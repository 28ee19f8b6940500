"""How fast one site is given mail: connections at once, and transactions in a minute.

Owns the arithmetic: no clock, no waiting. Instants and waits are seconds of a clock that never goes
back. Source: semantics A-53.
"""

from dataclasses import dataclass

TOKEN_WAIT = 5.0  # seconds that one may wait for a token, keeping what it has
_LATE = 10.0  # seconds that a booked token is kept for one who does not come
_MISSED = 1.0  # seconds after which somebody else may have it
LINE_KEPT = 20
"""As many may wait for a slot of a site however slow it is: the work for one that gets faster."""
_FAR = 300.0  # seconds: nothing is booked beyond


@dataclass(frozen=True, slots=True)
class SlowStart:
    """Connections that may be open at once: `allowed` by now, of `most`."""

    most: int
    allowed: int = 1

    def raised(self) -> "SlowStart":
        """The server has answered a transaction: one more."""
        return self if self.allowed >= self.most else SlowStart(self.most, self.allowed + 1)

    def limited(self, most: int) -> "SlowStart":
        """There may be `most` from now on."""
        return SlowStart(most, min(self.allowed, most))

    def halved(self) -> "SlowStart":
        """The server has turned one away."""
        return self if self.allowed == 1 else SlowStart(self.most, self.allowed // 2)


def line_kept(served: int, seconds: float, *, to_seconds: float) -> int:
    """Return how many may stay in a line in which so many were served in so many seconds.

    Those get a slot within `to_seconds`, if it goes on like that.
    """
    return max(LINE_KEPT, int(served / max(seconds, 1.0) * to_seconds))


class Throttle:
    """Tokens at one site, spread evenly, in the order in which they were asked for.

    Who would wait too long is sent away, and has its token booked: so it need hold nothing
    meanwhile, and nobody who comes later is before it. Who does not come may be served elsewhere: another worker has
    its destination now. So a token that was missed goes to the first who has none booked; one that nobody uses is lost.
    """

    def __init__(self, per_minute: int) -> None:
        self.limit(per_minute)
        self._free_at = float("-inf")
        self._booked: dict[str, float] = {}  # the earliest first

    def limit(self, per_minute: int) -> None:
        """Spread what is asked for from now on over so many a minute; what is given stays given."""
        self._every = 60 / per_minute

    def token(self, who: str, *, now: float) -> float:
        """Return how long to wait until `who` may begin one transaction.

        Up to TOKEN_WAIT the token is given; who has to wait longer asks again when that is over.
        """
        self._forget_late(now)
        at = self._booked.get(who)
        if at is None:
            at = self._missed(now)
        if at is None:
            at = max(self._free_at, now)
            if at - now > _FAR:
                return _FAR
            self._free_at = at + self._every
        if at - now > TOKEN_WAIT:
            self._booked[who] = at
        else:
            self._booked.pop(who, None)
        return max(0.0, at - now)

    def is_idle(self, *, now: float) -> bool:
        """Tell whether a new one would serve as well."""
        return self._free_at <= now

    def _missed(self, now: float) -> float | None:
        """Return the instant of a token whose owner did not come, and take it from that one."""
        who, at = next(iter(self._booked.items()), ("", now))
        return self._booked.pop(who) if at < now - _MISSED else None

    def _forget_late(self, now: float) -> None:
        while self._booked:
            who, at = next(iter(self._booked.items()))
            if at >= now - _LATE:
                return
            del self._booked[who]
