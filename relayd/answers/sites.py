"""How the sites that mail goes to directly are treated, in words and as fields."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from relayd.mail.words import format_instant
from relayd.policy.pace import SiteMode, at, rate_of
from relayd.ports.sites import Fallback, KnownSite

FIELDS = ("site", "local_ip", "mode", "since", "until", "messages_per_minute", "reply")
"""The names of `fields`, in their order."""


def not_free(sites: Iterable[KnownSite], now: datetime) -> list[KnownSite]:
    """Return the sites that something is known of still."""
    at_now = now.timestamp()
    return [each for each in sites if at(each.state, at_now).mode is not SiteMode.FREE]


def fields(known: KnownSite, now: datetime) -> Mapping[str, object]:
    """Return a site as JSON fields, as it is by now; instants as text."""
    state = at(known.state, now.timestamp())
    rate = rate_of(state, now.timestamp()) if state.mode is SiteMode.PACED else None
    return {
        "site": known.key.site,
        "local_ip": known.key.source or None,
        "mode": state.mode.value,
        "since": format_instant(instant_of(state.since)),
        "until": format_instant(instant_of(state.until)) if until_of(known, now) else None,
        "messages_per_minute": None if rate is None else round(rate, 2),
        "reply": state.reply or None,
    }


def until_of(known: KnownSite, now: datetime) -> datetime | None:
    """Return until when nothing is sent there; None: something may be."""
    until = at(known.state, now.timestamp()).until
    return instant_of(until) if until > now.timestamp() else None


def fallback_fields(fallback: Fallback) -> Mapping[str, object]:
    """Return a domain whose mail goes another way as JSON fields."""
    return {
        "domain": fallback.domain,
        "site": fallback.site,
        "until": format_instant(instant_of(fallback.until)),
        "reply": fallback.reply or None,
    }


def instant_of(seconds: float) -> datetime:
    """Return an instant of the store, which is in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
