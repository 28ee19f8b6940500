"""What one scrape answers: the shared counters, and what nobody counts: the queue, the doctor, the version.

The queue is read in a thread, through a connection of its own (`relayd.metrics.figures`). Everything else
is read anew.
"""

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
from relayd.mail.pause import Scope
from relayd.metrics.families import (
    BUILD,
    DISK_FULL,
    DOCTOR,
    DOCTOR_AGE,
    PAUSED,
    REDIRECT,
    SOFT_BOUNCE,
    STORE_FAILING,
    WORKERS,
    Sample,
)
from relayd.metrics.figures import Figures, OwnFigures, SharedFigures
from relayd.metrics.reading import Reading
from relayd.metrics.shared import SharedCounters
from relayd.policy.pausing import Pausing
from relayd.ports.outward import Clock
from relayd.ports.view import PausedDestination, QueueView

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
        shared_queue: str = "",
    ) -> None:
        """`doctor` is where a saved result of `relayd doctor` would be; `pausing` knows the pause rules.

        `only_ways` are the smarthosts, by their route keys, that all mail goes by; none if some may go otherwise. `shared_queue`
        is the name of a queue that other machines have as well, and one counts for all.
        """
        self._shared = shared
        self._open_view = open_view
        self._doctor = doctor
        self._clock = clock
        self._switches = switches
        self._pausing = pausing or Pausing()
        self._only_ways = only_ways
        self._refused = Reading(self._read_refused, clock)
        self._figures: Figures = (
            SharedFigures(open_view, clock, shared_queue)
            if shared_queue
            else OwnFigures(open_view, clock)
        )

    async def samples(self) -> list[Sample]:
        """Return all lines of an answer. May take 5 seconds."""
        of_store = await self._figures.samples()
        return [
            Sample(family=BUILD, labels=(relayd.__version__,), value=1),
            Sample(family=SOFT_BOUNCE, value=int(self._switches.soft_bounce)),
            Sample(family=REDIRECT, value=int(bool(self._switches.redirect))),
            *self._shared.samples(),
            *of_store,
            *_of_doctor(self._doctor, self._clock.now()),
        ]

    async def reasons(self) -> list[str]:
        """Return why the daemon would not take new mail, or not deliver it; empty if it would do both.

        From what the workers measure each second; pause rules are read again only when they may have changed,
        and what smarthosts say of our logins every few seconds.
        """
        self._shared.probes.asked(self._clock.monotonic())
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
        if self._shared.probes.is_leaving:
            yield "relayd stops: it takes mail for some seconds more"
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
