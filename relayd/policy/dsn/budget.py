"""How many reports may be mailed: a cap for each sender and one for all (S-54).

Owns the arithmetic. Who asks keeps the state, and records and counts what was not mailed. A forged
sender gets no more mail than the cap, however many messages and recipients fail (A-13).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DsnLimits:
    """As many reports may go at once; they are worked off evenly in `window`."""

    per_sender: int
    in_total: int
    window: timedelta


USUAL_LIMITS = DsnLimits(per_sender=100, in_total=1000, window=timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class DsnBudget:
    """Reports mailed and not worked off by `at`. Holds a sender for a window at most."""

    at: datetime
    mailed: float = 0.0
    mailed_to: Mapping[str, float] = field(default_factory=dict)


def may_mail(
    budget: DsnBudget, reverse_path: str, *, now: datetime, limits: DsnLimits
) -> tuple[bool, DsnBudget]:
    """Tell whether one more report may go to `reverse_path`; return the budget from now on.

    A clock that was set back costs the time it lost, nothing more.
    """
    passed = max(0.0, (now - budget.at) / limits.window)
    total = max(0.0, budget.mailed - passed * limits.in_total)
    senders = {
        sender: left
        for sender, mailed in budget.mailed_to.items()
        if (left := mailed - passed * limits.per_sender) > 0
    }
    sender = reverse_path.lower()
    before = senders.get(sender, 0.0)
    fits = total + 1 <= limits.in_total and before + 1 <= limits.per_sender
    if fits:
        total += 1
        senders[sender] = before + 1
    return fits, DsnBudget(at=now, mailed=total, mailed_to=senders)
