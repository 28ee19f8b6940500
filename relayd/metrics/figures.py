"""Who reads off the store what a scrape tells of it: each daemon for itself, or one machine for all that share the queue."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Protocol, TypeVar

from relayd.errors import StoreError
from relayd.metrics.complaints import Complained, Complaints, of_complaints
from relayd.metrics.families import FAMILIES, READABLE, Sample
from relayd.metrics.of_store import of_queue, of_sites, of_webhooks
from relayd.metrics.reading import Reading
from relayd.ports.outbox import Endpoint
from relayd.ports.outward import Clock
from relayd.ports.sites import KnownSite
from relayd.ports.view import Counts, Metric, QueueView

T = TypeVar("T")

_WITHIN = 5.0  # seconds that an answer waits for the queue
_BY_NAME = {family.name: family for family in FAMILIES}


class Figures(Protocol):
    """What a scrape tells of the store."""

    async def samples(self) -> Sequence[Sample]:
        """Return the lines, with READABLE among them. May take 5 seconds."""
        ...


class OwnFigures:
    """Reads the store when it is asked. What fails is missing, and the rest is told."""

    def __init__(self, open_view: Callable[[], QueueView], clock: Clock) -> None:
        self._open_view = open_view
        self._clock = clock
        self._complained = Complaints()
        self._counts: Reading[Counts] = Reading(lambda: self._read(_counts), clock)
        self._outbox: Reading[Sequence[Endpoint]] = Reading(lambda: self._read(_endpoints), clock)
        self._sites: Reading[Sequence[KnownSite]] = Reading(lambda: self._read(_sites), clock)
        self._complaints: Reading[Sequence[Complained]] = Reading(self._read_complaints, clock)

    async def samples(self) -> Sequence[Sample]:
        counts, endpoints, sites, complaints = await asyncio.gather(
            self._counts.latest(within=_WITHIN),
            self._outbox.latest(within=_WITHIN),
            self._sites.latest(within=_WITHIN),
            self._complaints.latest(within=_WITHIN),
        )
        now = self._clock.now()
        return [
            *of_queue(counts, now),
            *of_sites(sites or (), now),
            *of_complaints(complaints or ()),
            *of_webhooks(endpoints, now),
        ]

    def _read(self, question: Callable[[QueueView], T]) -> T | None:
        try:
            with closing(self._open_view()) as view:
                return question(view)
        except StoreError:
            return None

    def _read_complaints(self) -> Sequence[Complained] | None:
        return self._read(lambda view: self._complained.latest(view, self._clock.now()))


class SharedFigures:
    """Tells what one machine counted for all, under the name of the queue."""

    def __init__(self, open_view: Callable[[], QueueView], clock: Clock, queue: str) -> None:
        self._open_view = open_view
        self._queue = queue
        self._reading = Reading(self._read, clock)

    async def samples(self) -> Sequence[Sample]:
        metrics = await self._reading.latest(within=_WITHIN)
        if metrics is None:
            return [Sample(family=READABLE, value=0)]
        return [
            *_read_back(metrics, self._queue),
            Sample(family=READABLE, value=1),
        ]

    def _read(self) -> Sequence[Metric] | None:
        try:
            with closing(self._open_view()) as view:
                sampled = None if view.samples is None else view.samples.latest()
        except StoreError:
            return None
        return None if sampled is None else sampled.metrics


def count(
    view: QueueView, now: datetime, complaints: Complaints
) -> tuple[Counts, Sequence[Metric]]:
    """Return what is in the store, for all who read `SharedFigures`. Raises StoreError."""
    counts = view.counts()
    lines = [
        *of_queue(counts, now),
        *of_sites(view.sites.sites(), now),
        *of_complaints(complaints.latest(view, now)),
        *of_webhooks(view.outbox.endpoints(), now),
    ]
    return counts, [
        Metric(
            each.family.name,
            tuple(sorted(zip(each.family.labels, each.labels, strict=True))),
            each.value,
        )
        for each in lines
        if each.family is not READABLE  # by each machine for itself
    ]


def _read_back(metrics: Sequence[Metric], queue: str) -> Iterator[Sample]:
    """Yield them as lines; without those that another version of relayd knows, and this one does not."""
    for metric in metrics:
        family, labels = _BY_NAME.get(metric.name), dict(metric.labels)
        if family is not None and set(labels) == set(family.labels):
            values = tuple(labels[name] for name in family.labels)
            yield Sample(family=family, labels=values, value=metric.value, queue=queue)


def _counts(view: QueueView) -> Counts:
    return view.counts()


def _endpoints(view: QueueView) -> Sequence[Endpoint]:
    return view.outbox.endpoints()


def _sites(view: QueueView) -> Sequence[KnownSite]:
    return view.sites.sites()
