"""Decide how long a worker that has nothing to do waits until it looks at the store again.

A look costs a database on another machine one statement, for each worker. Hints tell of new mail, and the last look knows what is due
next; but a hint may be lost, and a worker that is busy learns with each look what others saw of sites.
"""

POLL = 1.0
"""Seconds between looks at the store; wake-ups are hints only. A second is no delay for mail."""
LONGEST = 5.0
"""Seconds between looks where hints come: so long waits mail whose sender died before it could give one."""
QUIET_AFTER = 10.0
"""Seconds without anything to do, or to hear, from which on looks are rare."""


def rest(*, hears_hints: bool, quiet_for: float, next_due: float | None) -> float:
    """Return the seconds until the next look.

    `hears_hints`: those of all who have the queue come here. `quiet_for` are the seconds in which nothing was done.
    `next_due` are those until something is due that the last look saw, infinity if nothing waits; None: it does not say.
    """
    if not hears_hints or quiet_for < QUIET_AFTER or next_due is None:
        return POLL
    return min(max(next_due, POLL), LONGEST)
