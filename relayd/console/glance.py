"""What the overview and pages of counted numbers tell, asked once in five seconds for all tabs together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from relayd.answers.notices import notices_of
from relayd.answers.overview import EVENTS, Overview, errors_of, slowest_of
from relayd.answers.switches import Switches
from relayd.answers.tally import step_for
from relayd.console.bounces import BY, Bounces
from relayd.console.bounces import SPANS as BOUNCE_SPANS
from relayd.console.bounces import find as find_bounces
from relayd.console.daemon import Daemon
from relayd.console.destinations import Found
from relayd.console.destinations import find as find_destinations
from relayd.console.reading import Reading, Shared
from relayd.mail.tally import Dimension
from relayd.ports.backlog import Backlog
from relayd.ports.outbox import Endpoint
from relayd.ports.tally import TallyAnswer, TallyQuery
from relayd.ports.view import Counts, Query, QueueView
from relayd.ports.waiting import By
from relayd.settings import Settings

MOST = 50_000  # up to which recipients are counted: less than 20 ms
_NEWEST = 10_000  # of each status and category, that are counted by destination: less than 40 ms
_PAUSED = 500  # destinations
_EVERY = 5.0  # seconds
_LAST_HOUR = timedelta(hours=1)
SPANS: Mapping[str, timedelta] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "90d": timedelta(days=90),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastHour:
    """Outcomes of the last hour, and by sender and by tag those with most bounces."""

    by_sender: TallyAnswer
    by_tag: TallyAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the relay does and what waits; of a long queue a part is counted."""

    overview: Overview
    backlog: Backlog
    since: datetime | None  # of the mail that is counted by destination; None: all


class Glance:
    """The parts of the overview."""

    def __init__(
        self, settings: Settings, reading: Reading, daemon: Daemon, now: Callable[[], datetime]
    ) -> None:
        redirect = settings.routes.redirect_to
        self._switches = Switches(
            soft_bounce=settings.soft_bounce, redirect="" if redirect is None else str(redirect)
        )
        self._reading = reading
        self._daemon = daemon
        self._now = now
        self._queue = Shared(partial(reading.ask, self._see), every=_EVERY)
        self._hour = Shared(partial(reading.ask, self._last_hour), every=_EVERY)
        self._webhooks = Shared(partial(reading.ask, _webhooks), every=_EVERY)
        self._outcomes = {
            name: Shared(partial(reading.ask, partial(self._tally, span)), every=_EVERY)
            for name, span in SPANS.items()
        }
        self._destinations = Shared(partial(reading.ask, self._find_destinations), every=_EVERY)
        self._bounces = {
            (by, name): Shared(
                partial(reading.ask, partial(self._find_bounces, by, span)), every=_EVERY
            )
            for by in BY.values()
            for name, span in BOUNCE_SPANS.items()
        }

    async def overview(self) -> Seen:
        """Return what the relay does. Raises StoreError; a daemon that is away is told within."""
        live = await self._daemon.live()
        seen = await self._queue.get()
        overview = replace(
            seen.overview,
            reading=live.reading,
            trouble=live.trouble,
            rates=live.rates,
            notices=[*live.notices, *seen.overview.notices],
        )
        return replace(seen, overview=overview)

    async def last_hour(self) -> LastHour:
        return await self._hour.get()

    async def webhooks(self) -> Sequence[Endpoint]:
        return await self._webhooks.get()

    async def outcomes(self, span: str) -> TallyAnswer:
        """Return outcomes by time; `span` is a key of SPANS."""
        return await self._outcomes[span].get()

    async def destinations(self) -> Found:
        return await self._destinations.get()

    async def bounces(self, by: Dimension, span: str) -> Bounces:
        """Return what bounced; `by` is a value of BY, `span` a key of its SPANS."""
        return await self._bounces[by, span].get()

    def _find_destinations(self, view: QueueView) -> Found:
        return find_destinations(self._now(), view)

    def _find_bounces(self, by: Dimension, span: timedelta, view: QueueView) -> Bounces:
        return find_bounces(by, self._now() - span, view)

    def _see(self, view: QueueView) -> Seen:
        at = self._now()
        backlog = view.backlog(at, most=MOST)
        counted = view.waiting(Query(), By.DESTINATION, most=_NEWEST)
        paused = view.paused_destinations(at, limit=_PAUSED)
        counts = Counts(
            by_status=backlog.by_status,
            paused=backlog.paused,
            by_destination={each.value: each.recipients for each in counted.groups},
            oldest={each.value: each.oldest for each in counted.groups},
            paused_until={each.destination: each.until for each in paused},
        )
        events = view.latest(EVENTS)
        overview = Overview(
            at=at,
            trouble="",
            reading=None,
            counts=counts,
            slowest=slowest_of(events, at),
            errors=errors_of(events),
            notices=notices_of(view, at=at, switches=self._switches),
        )
        return Seen(overview=overview, backlog=backlog, since=counted.since)

    def _last_hour(self, view: QueueView) -> LastHour:
        since = self._now() - _LAST_HOUR
        by_sender, by_tag = (
            view.tally(TallyQuery(by=by, since=since, limit=20, only_bounces=True))
            for by in (Dimension.SENDER, Dimension.TAG)
        )
        return LastHour(by_sender=by_sender, by_tag=by_tag)

    def _tally(self, span: timedelta, view: QueueView) -> TallyAnswer:
        return view.tally(TallyQuery(step=step_for(span), since=self._now() - span))


def _webhooks(view: QueueView) -> Sequence[Endpoint]:
    return view.outbox.endpoints(most=0)  # only how each does
