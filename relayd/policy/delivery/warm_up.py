"""How fast a new address of ours may send to one site, while receivers do not know it yet.

On day n it gives each site 50·1.5^(n-1) messages, evenly over the day, for 20 days. The curve is custom, not
measurement. Days are those of UTC.
"""

from datetime import date

_FIRST_DAY = 50.0  # messages to one site
_GROWTH = 1.5
_DAYS = 20
_SECONDS = 86400.0


def seconds_between(began: date, today: date) -> float | None:
    """Return how many seconds after one message to a site the next may follow; None: at once.

    Infinite before the first day: the address is not used yet.
    """
    days = (today - began).days
    if days < 0:
        return float("inf")
    if days >= _DAYS:
        return None
    return _SECONDS / float(_FIRST_DAY * _GROWTH**days)
