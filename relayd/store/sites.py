"""What is done to the state of one site in one transaction, whatever the engine."""

from dataclasses import replace

from relayd.policy.pace import FREE, Seen, SiteState, at, ends_at, observe
from relayd.ports.sites import Fallback, Noted

_HEARD_OF = 3600.0  # seconds that a change stays on record: by then each worker has read it
_LONGEST = 500  # characters of a reply


def noted(state: SiteState, seen: Seen, now: float) -> Noted:
    """Return the state of a site before and after something was seen."""
    before = at(state, now)
    seen = replace(seen, reply=seen.reply[:_LONGEST])
    return Noted(before=before, after=observe(before, seen, now))


def row_ends(state: SiteState, now: float) -> float:
    """Return until when a row has to be kept, in seconds since 1970."""
    return max(ends_at(state), now + _HEARD_OF)


def is_known(state: SiteState, now: float) -> bool:
    """Tell whether something is known of a site by now."""
    return at(state, now) != FREE


def is_shorter(fallback: Fallback, until: float | None, now: float) -> bool:
    """Tell whether a fall-back ends before the one on record, which goes on to `until`; one that is over ends that."""
    return until is not None and now < fallback.until < until


def cut(fallback: Fallback) -> Fallback:
    return replace(fallback, reply=fallback.reply[:_LONGEST])
