"""The overview of a relay at one instant: what its counters did, what waits, what fails.

Counters come from the daemon, everything else from the store; without a daemon the store's part
remains. Rates are the difference of two readings of the counters.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from relayd.answers.notices import Notice, notices_of
from relayd.answers.switches import NONE_ON, Switches
from relayd.mail.ids import format_id
from relayd.mail.words import EventKind, format_instant
from relayd.ports.view import UNFINISHED, Counts, LatestEvent, Metric, QueueView

EVENTS = 500  # the last ones, of which slowest and errors are taken
TOP = 10  # destinations
_ERRORS = 8
_RECENT = timedelta(hours=1)
_TROUBLES = frozenset(
    {
        EventKind.ATTEMPTED.value,
        EventKind.DEFERRED.value,
        EventKind.BOUNCED.value,
        EventKind.LATE_BOUNCED.value,
        EventKind.COMPLAINED.value,
    }
)

FLOWS: Mapping[str, tuple[str, str]] = {
    "received": ("relayd_received_total", ""),
    "refused": ("relayd_refused_total", ""),
    "attempts": ("relayd_attempts_total", ""),
    "relayed": ("relayd_outcomes_total", "relayed"),
    "sent": ("relayd_outcomes_total", "sent"),
    "deferred": ("relayd_outcomes_total", "deferred"),
    "bounced": ("relayd_outcomes_total", "bounced"),
    "late_bounced": ("relayd_late_bounces_total", ""),
}
"""What is shown as a rate: the metric, and the status that its series must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters of a running daemon at one instant."""

    at: float  # monotonic
    metrics: Sequence[Metric]

    def total(self, name: str, *, status: str = "", direction: str = "") -> float:
        wanted = {("status", status), ("direction", direction)} - {
            ("status", ""),
            ("direction", ""),
        }
        return sum(
            metric.value
            for metric in self.metrics
            if metric.name == name and wanted <= set(metric.labels)
        )

    def flow(self, name: str) -> float:
        metric, status = FLOWS[name]
        return self.total(metric, status=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """How long a destination takes for one transaction, its connection included."""

    destination: str
    attempts: int
    seconds: float  # on average


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the relay does, and what is in its queue, at one instant."""

    at: datetime
    trouble: str  # why the daemon does not answer; empty: it does
    reading: Reading | None
    rates: Mapping[str, float] = field(default_factory=dict)  # a second; empty: not known yet
    counts: Counts
    slowest: Sequence[Slow]
    errors: Sequence[LatestEvent]
    notices: Sequence[Notice] = ()

    def age(self, destination: str | None = None) -> float | None:
        """Return the seconds since the oldest unfinished mail came, of one destination or of all; None: none."""
        oldest = self.counts.oldest
        since = (
            min(oldest.values(), default=None) if destination is None else oldest.get(destination)
        )
        return None if since is None else max((self.at - since).total_seconds(), 0.0)

    def pause(self, destination: str) -> float | None:
        """Return the seconds for which a destination is still paused; None: it is not."""
        until = self.counts.paused_until.get(destination)
        return None if until is None or until <= self.at else (until - self.at).total_seconds()

    def destinations(self) -> list[tuple[str, int]]:
        """Return those that have most recipients waiting, with how many."""
        return self.counts.most_queued(TOP)


def overview_of(
    view: QueueView,
    *,
    at: datetime,
    reading: Reading | None,
    trouble: str = "",
    before: Reading | None = None,
    switches: Switches = NONE_ON,
    daemon: Sequence[Notice] = (),
    zone: tzinfo | None = UTC,
) -> Overview:
    """Return the overview at the instant `at`.

    `reading` has the daemon's counters; None: it does not answer, and `trouble` says why. `before` is the
    reading that rates are taken from; `daemon` has the daemon's own notices, and `zone` is that of their times. May raise
    StoreUnavailable.
    """
    events = view.latest(EVENTS)
    return Overview(
        at=at,
        trouble=trouble,
        reading=reading,
        rates=rates_of(before, reading),
        counts=counts_of(view),
        slowest=slowest_of(events, at),
        errors=errors_of(events),
        notices=notices_of(view, at=at, switches=switches, daemon=daemon, zone=zone),
    )


def counts_of(view: QueueView) -> Counts:
    """Return how much is in the queue; where machines share it, as one of them counted it some seconds ago.

    May raise StoreUnavailable.
    """
    sampled = None if view.samples is None else view.samples.latest()
    return view.counts() if sampled is None else sampled.counts


def rates_of(before: Reading | None, after: Reading | None) -> dict[str, float]:
    """Return each flow per second; empty when there is nothing to compare.

    A daemon that was restarted in between counts from 0 again, so that nothing can be said.
    """
    if before is None or after is None or after.at <= before.at:
        return {}
    grown = {name: after.flow(name) - before.flow(name) for name in FLOWS}
    if min(grown.values()) < 0:
        return {}
    return {name: growth / (after.at - before.at) for name, growth in grown.items()}


def slowest_of(events: Iterable[LatestEvent], now: datetime) -> list[Slow]:
    """Return the destinations whose attempts of the last hour took longest on average."""
    taken: dict[str, list[float]] = {}
    for event in events:
        seconds = [event.detail.get(name) for name in ("delay_connect", "delay_transaction")]
        numbers = [one for one in seconds if isinstance(one, int | float)]
        if numbers and event.at >= now - _RECENT:
            taken.setdefault(event.destination, []).append(sum(numbers))
    found = (
        Slow(destination=name, attempts=len(each), seconds=sum(each) / len(each))
        for name, each in taken.items()
    )
    return heapq.nlargest(TOP, found, key=lambda slow: slow.seconds)


def errors_of(events: Iterable[LatestEvent]) -> list[LatestEvent]:
    """Return the last events that tell of a failure, newest first."""
    return [event for event in events if event.kind in _TROUBLES][:_ERRORS]


def fields(overview: Overview) -> dict[str, object]:
    """Return it as JSON fields, with the names of the status log where it has them."""
    reading = overview.reading
    live: dict[str, object] = {}
    if reading is not None:
        live = {
            "workers": int(reading.total("relayd_workers")),
            "clients": int(reading.total("relayd_connections", direction="in")),
            "servers": int(reading.total("relayd_connections", direction="out")),
            "paused_workers": int(reading.total("relayd_deliveries_paused")),
            "totals": {name: int(reading.flow(name)) for name in FLOWS},
            "rates": {name: round(rate, 3) for name, rate in overview.rates.items()} or None,
        }
    return {
        "ts": overview.at,
        "running": reading is not None,
        "trouble": overview.trouble or None,
        "notices": [asdict(notice) for notice in overview.notices],
        **live,
        "queue": {status.value: overview.counts.by_status.get(status, 0) for status in UNFINISHED},
        "oldest_seconds": overview.age(),
        "destinations": [
            {
                "destination": name,
                "recipients": number,
                "oldest_seconds": overview.age(name),
                "paused_seconds": overview.pause(name),
            }
            for name, number in overview.destinations()
        ],
        "slowest": [
            {
                "destination": slow.destination,
                "attempts": slow.attempts,
                "seconds": round(slow.seconds, 3),
            }
            for slow in overview.slowest
        ],
        "errors": [_error(event) for event in overview.errors],
    }


def _error(event: LatestEvent) -> dict[str, object]:
    told = {name: event.detail.get(name) for name in ("remote_host", "reply", "reason")}
    return {
        "ts": format_instant(event.at),
        "event": event.kind,
        "queue_id": format_id(event.message_id),
        "rcpt": event.address,
        "destination": event.destination,
        **{name: value for name, value in told.items() if value is not None},
    }
