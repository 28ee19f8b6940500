"""Destinations: what waits for each, which are left alone and why, how each did in the last hour."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relayd.answers.overview import EVENTS, slowest_of
from relayd.answers.tally import bounced, bounced_share
from relayd.mail.tally import Dimension
from relayd.ports.tally import TallyQuery, TallyRow
from relayd.ports.view import PausedDestination, Query, QueueView
from relayd.ports.waiting import By, Waiting

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_PAUSED = 10_000
_MOST = 200
_COUNTED = 10_000  # recipients of each status and category that wait: 30 ms for a long queue
_COUNTED_OF_ONE = 5_000


@dataclass(slots=True, kw_only=True)
class Destination:
    """What the page tells of one."""

    name: str
    waiting: Waiting | None = None
    paused: PausedDestination | None = None
    hour: TallyRow | None = None
    seconds: float | None = None  # that one transaction takes on average

    @property
    def order(self) -> tuple[int, int]:
        """Those with most waiting first, then those with most mail."""
        waiting = self.waiting.recipients if self.waiting else 0
        hour = self.hour.counts if self.hour else {}
        return -waiting, -sum(hour.get(name, 0) for name in ("sent", "relayed", "deferred"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    destinations: Sequence[Destination] = field(default_factory=tuple)
    left_out: int = 0
    since: datetime | None = None  # of the mail that was counted; None: all


def find(now: datetime, view: QueueView) -> Found:
    """Return those with most waiting first."""
    found: dict[str, Destination] = {}

    def of(name: str) -> Destination:
        return found.setdefault(name, Destination(name=name))

    counted = view.waiting(Query(), By.DESTINATION, most=_COUNTED)
    for each in counted.groups:
        of(each.value).waiting = each
    for paused in view.paused_destinations(now, limit=_MOST):
        of(paused.destination).paused = paused
    hour = view.tally(TallyQuery(by=Dimension.DESTINATION, since=now - _HOUR, limit=_MOST))
    for row in hour.rows:
        if row.value and not row.is_rest:
            of(row.value).hour = row
    for slow in slowest_of(view.latest(EVENTS), now):
        of(slow.destination).seconds = slow.seconds
    ordered = sorted(found.values(), key=lambda each: each.order)
    return Found(
        destinations=ordered[:_MOST], left_out=max(len(ordered) - _MOST, 0), since=counted.since
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """What the page of one destination tells."""

    waiting: Waiting | None
    paused: PausedDestination | None
    since: datetime | None  # of the mail that was counted as waiting; None: all
    day: TallyRow | None  # None: nothing that is counted on its own

    @property
    def accepted(self) -> int:
        return 0 if self.day is None else sum(self.day.counts[name] for name in ("sent", "relayed"))

    @property
    def bounced(self) -> int:
        return 0 if self.day is None else bounced(self.day)

    @property
    def failures(self) -> float | None:
        """The part that bounced, of what was accepted or bounced; None: there is none."""
        return None if self.day is None else bounced_share(self.day)


def find_one(key: str, now: datetime, view: QueueView) -> One:
    """Return what waits for a route key, whether it is left alone, and how it did in the last day."""
    query = Query(destination=(key,), unfinished=True)
    counted = view.waiting(query, By.DESTINATION, most=_COUNTED_OF_ONE)
    paused = view.paused_destinations(now, limit=_PAUSED)
    day = view.tally(TallyQuery(by=Dimension.DESTINATION, since=now - _DAY))
    return One(
        waiting=next((each for each in counted.groups if each.value == key), None),
        paused=next((each for each in paused if each.destination == key), None),
        since=counted.since,
        day=next((each for each in day.rows if each.value == key and not each.is_rest), None),
    )
