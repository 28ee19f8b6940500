"""Permits: the right to send one message each, from an instant on.

Workers book them ahead, a few at a time, so that a queue shared by many asks the store seldom. They come in one
order, whichever worker has them, so limits hold over all of them together. What is not used by the end of its
time is lost, or given back.
"""

from dataclasses import dataclass, replace

from relayd.policy.accounts import pace as learnt
from relayd.policy.accounts.limits import AccountLimits, left_of, with_used
from relayd.policy.accounts.state import AccountState

AHEAD = 1.0  # seconds that permits are booked for
_EVENLY = "its rate is used up for now"
_AT_ONCE = 20  # permits of an account without an even rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """`count` permits, one each `every` seconds from `first` on; or none before `until`."""

    count: int = 0
    first: float = 0.0
    every: float = 0.0
    until: float = 0.0
    why: str = ""  # there are none, for people
    is_free: bool = False  # nothing limits the account: nobody need ask


def book(
    state: AccountState, limits: AccountLimits, wanted: int, now: float, *, taken: int = 0
) -> tuple[AccountState, Booking]:
    """Return up to `wanted` permits, at least one unless there are none for now, and the state after it.

    `taken` is how many messages the server took that nobody has told of yet.
    """
    pace = state.pace
    if pace is not None:
        if taken and learnt.is_probing(pace):
            state = replace(state, free_at=now)
        pace = None if learnt.is_over(pace, now) else learnt.with_taken(pace, taken)
        state = replace(state, pace=pace)
    if pace is not None and now < pace.rests_until:
        return state, Booking(until=pace.rests_until, why="the server says that this is too fast")
    if pace is None and not limits.are_set:
        return state, Booking(is_free=True)
    count = max(1, min(wanted, _AT_ONCE))
    for name, most in limits.counted:
        left, again = left_of(state.counts, name, most, now)
        if not left:
            return state, Booking(until=again, why=f"its {most:,} messages of the {name} are sent")
        count = min(count, left)
    rate = _least(limits.rate, 0.0 if pace is None else learnt.rate_of(pace))
    first, every = now, 0.0
    if rate:
        every = 1 / rate
        first = max(now, state.free_at)
        if first > now + AHEAD + every:  # the clock was set back
            first = now
        if first > now + AHEAD:  # until then much may change
            return state, Booking(until=first, why=_EVENLY)
        count = min(count, max(1, int((now + AHEAD - first) * rate)))
    return (
        AccountState(
            free_at=first + count * every,
            counts=with_used(state.counts, [name for name, _ in limits.counted], count, now),
            pace=pace,
        ),
        Booking(count=count, first=first, every=every),
    )


def give_back(state: AccountState, limits: AccountLimits, unused: int, now: float) -> AccountState:
    """Return the state after permits were not used: they count for nothing, and their time is over."""
    names = [name for name, _ in limits.counted]
    return replace(state, counts=with_used(state.counts, names, -unused, now))


def _least(*rates: float) -> float:
    return min((rate for rate in rates if rate), default=0.0)
