"""Who has a share of a limit that is smaller than the number of workers: one connection each, as long as there are some.

First come, first served. Who has had one for a while gives it back when others wait, and waits behind them for the
next. Nobody has more than one: so the limit also holds while some workers have not heard yet that it is scarce, and
go by their parts (`relayd.policy.delivery.shares`). Instants are milliseconds of one clock.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

TURN = 10_000
"""Milliseconds that a share is had for, at least, however many wait."""


class Claim(StrEnum):
    """What a worker has of one limit."""

    WAITS = "waits"
    HAS = "has"
    YIELDS = "yields"  # it has a share, and gives it back after the message in hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """One worker at one limit."""

    worker: int
    claim: Claim
    since: int  # it waits, or has its share


def decide(
    limit: int, before: Claimant | None, others: Collection[Claimant], *, worker: int, now: int
) -> Claimant:
    """Return what `worker` has, which wants a share; `before` is what it had so far, None: nothing.

    `others` are those that are alive.
    """
    if before is not None and before.since > now:  # the clock was set back
        before = replace(before, since=now)
    waiting = [each for each in others if each.claim is Claim.WAITS]
    free = limit - (len(others) - len(waiting))
    if before is None or before.claim is Claim.WAITS:
        since = now if before is None else before.since
        ahead = sum((each.since, each.worker) < (since, worker) for each in waiting)
        if free > ahead:
            return Claimant(worker=worker, claim=Claim.HAS, since=now)
        return Claimant(worker=worker, claim=Claim.WAITS, since=since)
    if before.claim is Claim.HAS and now - before.since >= TURN:
        yielding = sum(each.claim is Claim.YIELDS for each in others)
        if len(waiting) > max(0, free - 1) + yielding:
            return replace(before, claim=Claim.YIELDS)
    return before
