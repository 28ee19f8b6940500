"""How many messages a minute one worker sends to each site: the limit of the settings, a part of which it has.

Where there are more workers than messages, each message has a permit of the store, as those of an account at a
smarthost have: so a site gets all that it may get, from any worker that has mail for it.
"""

from weakref import WeakValueDictionary

from relayd.deliverer.nexthop.account import Account
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.delivery.shares import ALONE, Part, is_scarce, share_of
from relayd.policy.delivery.throttle import Throttle
from relayd.ports.outward import Clock
from relayd.ports.permits import Permits

_THROTTLES = 1000  # kept before those are dropped that are of no more use


class Rates:
    """The rates of all sites."""

    def __init__(self, per_minute: int, *, clock: Clock, permits: Permits | None = None) -> None:
        """Limit each site to so many transactions a minute; 0: any number."""
        self._per_minute = per_minute
        self._clock = clock
        self._permits = permits
        self._throttles: dict[str, Throttle] = {}  # they outlive a site without work
        self._booked: WeakValueDictionary[str, Account] = WeakValueDictionary()
        self.divide_by(ALONE)

    @property
    def are_limited(self) -> bool:
        """Tell whether there is a limit."""
        return self._per_minute > 0

    def divide_by(self, part: Part) -> None:
        """Use no more than a part of the limit, from now on."""
        self._rate = max(1, share_of(self._per_minute, part))
        self._are_booked = self._permits is not None and is_scarce(self._per_minute, part)
        for throttle in self._throttles.values():
            throttle.limit(self._rate)

    async def book(self, site: str) -> None:
        """Wait for a permit, where they are booked in the store. Raises NotYet."""
        if not self.are_limited or not self._are_booked or self._permits is None:
            return
        account = self._booked.get(site)
        if account is None:
            limits = AccountLimits(per_minute=self._per_minute)
            account = Account(f"rate:{site}", limits, permits=self._permits, clock=self._clock)
            self._booked[site] = account
        await account.permit(1)

    def token(self, site: str, who: str) -> float:
        """Return the seconds until `who` may begin a transaction; see `Throttle.token`. 0 where they are booked."""
        if not self.are_limited or self._are_booked:
            return 0.0
        now = self._clock.monotonic()
        if site not in self._throttles:
            self._make_room(now)
            self._throttles[site] = Throttle(self._rate)
        return self._throttles[site].token(who, now=now)

    def _make_room(self, now: float) -> None:
        if len(self._throttles) >= _THROTTLES:
            busy = {key: one for key, one in self._throttles.items() if not one.is_idle(now=now)}
            self._throttles = busy
