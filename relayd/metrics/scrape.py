"""What one scrape answers: the shared counters, and what nobody counts: the queue, the doctor, the version.

The queue is read in a thread, through a connection of its own (`relayd.metrics.reading`). Everything else
is read anew.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import orjson

import relayd
from relayd.answers import notices
from relayd.answers.pauses import in_words, sides_in_words
from relayd.answers.switches import NONE_ON, Switches
from relayd.errors import StoreError
from relayd.mail.pause import Scope, Side
from relayd.mail.words import LOGIN_REFUSED as REFUSED_WORDS
from relayd.metrics.complaints import Complained, of_complaints, read_complaints
from relayd.metrics.families import (
    BUILD,
    DESTINATIONS,
    DESTINATIONS_PAUSED,
    DISK_FULL,
    DOCTOR,
    DOCTOR_AGE,
    LOGIN_REFUSED,
    OLDEST,
    PAUSE_RULES,
    PAUSED,
    PAUSED_RECIPIENTS,
    QUEUE,
    READABLE,
    REDIRECT,
    SITES,
    SOFT_BOUNCE,
    STORE_FAILING,
    WEBHOOK_DISABLED,
    WEBHOOK_OLDEST,
    WEBHOOK_WAITING,
    WORKERS,
    Sample,
)
from relayd.metrics.reading import Reading
from relayd.metrics.shared import SharedCounters
from relayd.policy.console.webhook import Off
from relayd.policy.pace import SiteMode, at
from relayd.policy.pausing import Pausing
from relayd.ports.outbox import Endpoint
from relayd.ports.outward import Clock
from relayd.ports.sites import KnownSite
from relayd.ports.view import UNFINISHED, Counts, PausedDestination, QueueView

TOP = 10  # destinations; more would be a new time series for every domain in the world (HW-02)
_QUEUE_WITHIN = 5.0  # seconds that an answer waits for the queue
_PROBE_WITHIN = 0.5  # seconds: probes wait for one
_LEFT_ALONE = 100  # destinations: without other ways there are few
_LEVELS = {"ok": 0, "warn": 1, "fail": 2, "unknown": 3}
_GRAVITY = (
    "skipped",
    "ok",
    "unknown",
    "warn",
    "fail",
)  # of two findings of one check the graver one counts
_DOCTOR_LIMIT = 256 * 1024  # octets


class Scrape:
    """Gathers everything, for one process of the daemon."""

    def __init__(
        self,
        shared: SharedCounters,
        *,
        open_view: Callable[[], QueueView],
        doctor: Path,
        clock: Clock,
        switches: Switches = NONE_ON,
        pausing: Pausing | None = None,
        only_ways: frozenset[str] = frozenset(),
    ) -> None:
        """`doctor` is where a saved result of `relayd doctor` would be; `pausing` knows the pause rules.

        `only_ways` are the smarthosts, by their route keys, that all mail goes by; none if some may go otherwise.
        """
        self._shared = shared
        self._open_view = open_view
        self._doctor = doctor
        self._clock = clock
        self._switches = switches
        self._pausing = pausing or Pausing()
        self._only_ways = only_ways
        self._counts = Reading(self._read_counts, clock)
        self._outbox = Reading(self._read_outbox, clock)
        self._refused = Reading(self._read_refused, clock)
        self._sites = Reading(self._read_sites, clock)
        self._complaints = Reading(self._read_complaints, clock)

    async def samples(self) -> list[Sample]:
        """Return all lines of an answer. May take 5 seconds."""
        counts, endpoints, sites, complaints = await asyncio.gather(
            self._counts.latest(within=_QUEUE_WITHIN),
            self._outbox.latest(within=_QUEUE_WITHIN),
            self._sites.latest(within=_QUEUE_WITHIN),
            self._complaints.latest(within=_QUEUE_WITHIN),
        )
        return [
            Sample(family=BUILD, labels=(relayd.__version__,), value=1),
            Sample(family=SOFT_BOUNCE, value=int(self._switches.soft_bounce)),
            Sample(family=REDIRECT, value=int(bool(self._switches.redirect))),
            *self._shared.samples(),
            *_of_queue(counts, self._clock.now()),
            *_of_sites(sites or (), self._clock.now()),
            *of_complaints(complaints or ()),
            *_of_webhooks(endpoints, self._clock.now()),
            *_of_doctor(self._doctor, self._clock.now()),
        ]

    async def reasons(self) -> list[str]:
        """Return why the daemon would not take new mail, or not deliver it; empty if it would do both.

        From what the workers measure each second; pause rules are read again only when they may have changed,
        and what smarthosts say of our logins every few seconds.
        """
        return [*self._troubles(), *self._pauses(), *await self._login()]

    async def _login(self) -> Sequence[str]:
        """Return the words of the refused logins that stop all mail."""
        if not self._only_ways:
            return ()
        refused, now = await self._refused.latest(within=_PROBE_WITHIN) or (), self._clock.now()
        still = {each.destination: each.why for each in refused if each.until > now}
        if len(still) < len(self._only_ways):
            return ()
        return (f"nothing is delivered: {'; '.join(dict.fromkeys(still.values()))}",)

    def _read_refused(self) -> Sequence[PausedDestination] | None:
        """Return the smarthosts with mail that refuse our login."""
        try:
            with closing(self._open_view()) as view:
                paused = view.paused_destinations(
                    self._clock.now(), limit=_LEFT_ALONE + len(self._only_ways)
                )
        except StoreError:
            return None
        return [
            each for each in paused if each.destination in self._only_ways and each.is_login_refused
        ]

    def _troubles(self) -> Iterator[str]:
        if not self._shared.total(WORKERS):
            yield "no worker is ready"
        if self._shared.total(DISK_FULL):
            yield notices.DISK_FULL.text
        if self._shared.total(PAUSED):
            yield "deliveries are paused: results cannot be written"
        elif self._shared.total(STORE_FAILING):
            yield "the store fails: a message could not be stored"

    def _pauses(self) -> Iterator[str]:
        """Yield the rules that stop all mail at the door, or all deliveries."""
        pausing, now = self._pausing, self._clock.now()
        if pausing.stamp[0] != pausing.seen:
            pausing.look_again()
        for rule in dict.fromkeys((*pausing.intake, *pausing.delivery)):
            if rule.named.scope is Scope.ALL and not rule.is_over(now):
                yield f"paused: {sides_in_words(rule)} of {rule.named}, {in_words(rule)}"

    def _read_outbox(self) -> Sequence[Endpoint] | None:
        try:
            with closing(self._open_view()) as view:
                return view.outbox.endpoints()
        except StoreError:
            return None

    def _read_sites(self) -> Sequence[KnownSite] | None:
        try:
            with closing(self._open_view()) as view:
                return view.sites.sites()
        except StoreError:
            return None

    def _read_complaints(self) -> Sequence[Complained] | None:
        try:
            with closing(self._open_view()) as view:
                return read_complaints(view, self._clock.now())
        except StoreError:
            return None

    def _read_counts(self) -> Counts | None:
        try:
            with closing(self._open_view()) as view:
                return view.counts()
        except StoreError:
            return None


def _of_sites(sites: Sequence[KnownSite], now: datetime) -> Iterator[Sample]:
    modes = Counter(at(each.state, now.timestamp()).mode for each in sites)
    for mode in SiteMode:
        if mode is not SiteMode.FREE:
            yield Sample(family=SITES, labels=(mode.value,), value=modes[mode])


def _of_queue(counts: Counts | None, now: datetime) -> Iterator[Sample]:
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


def _of_webhooks(endpoints: Sequence[Endpoint] | None, now: datetime) -> Iterator[Sample]:
    if endpoints is None:
        return
    oldest = min((each.oldest for each in endpoints if each.oldest is not None), default=now)
    disabled = sum(each.off not in (Off.NO, Off.BY_HAND) for each in endpoints)
    yield Sample(family=WEBHOOK_WAITING, value=sum(each.waiting for each in endpoints))
    yield Sample(family=WEBHOOK_OLDEST, value=max((now - oldest).total_seconds(), 0.0))
    yield Sample(family=WEBHOOK_DISABLED, value=disabled)


def _of_doctor(path: Path, now: datetime) -> Iterator[Sample]:
    """What `relayd doctor --save` left beside the queue; nothing if that cannot be read."""
    try:
        with path.open("rb") as file:
            found = orjson.loads(file.read(_DOCTOR_LIMIT))
        age = (now - datetime.fromisoformat(found["ts"])).total_seconds()
        levels: dict[str, str] = {}
        for each in found["findings"]:
            check, level = str(each["check"]), str(each["level"])
            levels[check] = max(levels.get(check, "skipped"), level, key=_GRAVITY.index)
    except (OSError, ValueError, TypeError, KeyError):
        return
    for check, level in levels.items():
        if level in _LEVELS:  # the others were not made
            yield Sample(family=DOCTOR, labels=(check,), value=_LEVELS[level])
    yield Sample(family=DOCTOR_AGE, value=max(age, 0.0))
