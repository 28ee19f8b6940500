"""What is read off the store, as lines of an answer: the queue, sites, webhooks.

Where machines share a queue, all of these tell the same number: it is the queue's, not the machine's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from relayd.mail.pause import Side
from relayd.mail.words import LOGIN_REFUSED as REFUSED_WORDS
from relayd.metrics.families import (
    DESTINATIONS,
    DESTINATIONS_PAUSED,
    LOGIN_REFUSED,
    OLDEST,
    PAUSE_RULES,
    PAUSED_RECIPIENTS,
    QUEUE,
    READABLE,
    SITES,
    WEBHOOK_DISABLED,
    WEBHOOK_OLDEST,
    WEBHOOK_WAITING,
    Sample,
)
from relayd.policy.console.webhook import Off
from relayd.policy.pace import SiteMode, at
from relayd.ports.outbox import Endpoint
from relayd.ports.sites import KnownSite
from relayd.ports.view import UNFINISHED, Counts

TOP = 10  # destinations; more would be a new time series for every domain in the world (HW-02)


def of_sites(sites: Sequence[KnownSite], now: datetime) -> Iterator[Sample]:
    modes = Counter(at(each.state, now.timestamp()).mode for each in sites)
    for mode in SiteMode:
        if mode is not SiteMode.FREE:
            yield Sample(family=SITES, labels=(mode.value,), value=modes[mode])


def of_queue(counts: Counts | None, now: datetime) -> Iterator[Sample]:
    yield Sample(family=READABLE, value=int(counts is not None))
    if counts is None:
        return
    for status in UNFINISHED:
        yield Sample(family=QUEUE, labels=(status.value,), value=counts.by_status.get(status, 0))
    oldest = min(counts.oldest.values(), default=now)
    yield Sample(family=OLDEST, value=max((now - oldest).total_seconds(), 0.0))
    for destination, number in counts.most_queued(TOP):
        yield Sample(family=DESTINATIONS, labels=(destination,), value=number)
    paused = sum(until > now for until in counts.paused_until.values())
    yield Sample(family=DESTINATIONS_PAUSED, value=paused)
    refused = sum(
        counts.paused_until[name] > now and why.startswith(REFUSED_WORDS)
        for name, why in counts.paused_for.items()
    )
    yield Sample(family=LOGIN_REFUSED, value=refused)
    in_force = [rule for rule in counts.pause_rules if not rule.is_over(now)]
    for side in Side:
        rules = sum(side in rule.sides for rule in in_force)
        yield Sample(family=PAUSE_RULES, labels=(side.value,), value=rules)
    yield Sample(family=PAUSED_RECIPIENTS, value=counts.paused)


def of_webhooks(endpoints: Sequence[Endpoint] | None, now: datetime) -> Iterator[Sample]:
    if endpoints is None:
        return
    oldest = min((each.oldest for each in endpoints if each.oldest is not None), default=now)
    disabled = sum(each.off not in (Off.NO, Off.BY_HAND) for each in endpoints)
    yield Sample(family=WEBHOOK_WAITING, value=sum(each.waiting for each in endpoints))
    yield Sample(family=WEBHOOK_OLDEST, value=max((now - oldest).total_seconds(), 0.0))
    yield Sample(family=WEBHOOK_DISABLED, value=disabled)
