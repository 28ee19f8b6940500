"""What was stored for a destination that it no longer belongs to: moved to where it goes now.

The settings may have changed since the route key was stored.
"""

from contextlib import suppress
from dataclasses import replace

from relayd.deliverer.results import ResultStore
from relayd.deliverer.settlements import rerouted
from relayd.deliverer.site_news import SiteNews
from relayd.errors import StoreError
from relayd.mail.address import parse_address
from relayd.mail.envelope import QueuedRecipient
from relayd.policy.delivery.route import HOLD, Decision, RouteRules, facts_of, way_of
from relayd.ports.outward import Clock, EventSink
from relayd.ports.queue import Work


class Rerouter:
    """Compares claimed work with the routes of today."""

    def __init__(
        self,
        results: ResultStore,
        *,
        sink: EventSink,
        clock: Clock,
        routes: RouteRules,
        news: SiteNews | None = None,
    ) -> None:
        self._news = news  # None: no mail falls back
        self._results = results
        self._sink = sink
        self._clock = clock
        self._routes = routes

    def belongs(self, work: Work) -> bool:
        """Tell whether all of `work` goes to its destination still."""
        stays = {work.lease.destination} - {HOLD}
        return all(self._way(work, each).key in stays for each in work.recipients)

    async def reroute(self, work: Work) -> Work | None:
        """Return `work` with the recipients that still belong to its destination; None if none does.

        The others are moved to where they go now, or held by a rule.
        """
        if self._news is not None:  # another worker may have moved it here a moment ago
            with suppress(
                StoreError
            ):  # what is known by now may move it to and fro, and loses nothing
                await self._news.refresh(at_once=True)
            if self.belongs(work):
                return work
        ways = {each.number: self._way(work, each) for each in work.recipients}
        stays = {work.lease.destination} - {HOLD}
        misrouted = [each for each in work.recipients if ways[each.number].key not in stays]
        now = self._clock.now()
        settlements = [rerouted(work, each, ways[each.number], at=now) for each in misrouted]
        written = await self._results.settle(work, settlements)
        if written is None:
            return None  # all of it has another owner by now
        addresses = {each.number: each.address for each in misrouted}
        for settlement in written:
            for event in settlement.events:
                self._sink.record(event, work.message, addresses[settlement.recipient])
        left = tuple(each for each in work.recipients if each not in misrouted)
        return replace(work, recipients=left) if left else None

    def _way(self, work: Work, recipient: QueuedRecipient) -> Decision:
        return way_of(parse_address(recipient.address), facts_of(work.message), self._routes)
