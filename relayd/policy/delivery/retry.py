"""Decide when to try again.

Owns the arithmetic of waiting: no clock, no random source. Age is judged only after an attempt, and
the store counts only time in which relayd could try: neither a clock that is set nor a week in which
relayd was down makes mail old (S-10).

Source: RFC 5321 §4.5.4.1. It asks for retries over days and advises 30 minutes or more between
them; we begin shorter, because greylisting hosts accept a retry after minutes. That a soft bounce
gets one retry only departs from it on purpose (S-09); more entries in `soft_bounce` restore it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_REPORT_LIFETIME = timedelta(days=1)
SPREAD = 0.2  # a wait is stretched by up to a fifth, so that what failed together parts


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    soft_bounce: tuple[timedelta, ...]  # waits after the 1st, 2nd, ... soft bounce; then it bounces
    unknown_outcome: tuple[timedelta, ...]  # waits while no answer to the dot came; then it bounces
    unreachable: tuple[timedelta, ...]  # waits while no server answered; the last repeats
    give_up_after: timedelta  # age at which a fresh failed attempt is the last


def after_soft_bounce(soft_failures: int, rules: RetrySettings) -> timedelta | None:
    """Return the wait after the `soft_failures`-th soft bounce; None when there is no further try."""
    waits = rules.soft_bounce
    return waits[soft_failures - 1] if soft_failures <= len(waits) else None


def after_unknown_outcome(
    unknown_outcomes: int, rules: RetrySettings, *, jitter: float
) -> timedelta | None:
    """Return the wait after so many attempts that may have delivered the message; None: no further.

    Each may have left a copy with the recipient, so there are few (S-06). `jitter` is from 0 up to 1.
    """
    waits = rules.unknown_outcome
    if unknown_outcomes > len(waits):
        return None
    return waits[unknown_outcomes - 1] * (1 + SPREAD * jitter)


def after_no_verdict(
    failures: int, age: timedelta, rules: RetrySettings, *, jitter: float, is_report: bool = False
) -> timedelta | None:
    """Return the wait after the `failures`-th attempt without a verdict; None when time is up.

    `jitter` is a number from 0 up to 1.
    """
    if age >= lifetime(rules, is_report=is_report):
        return None
    wait = rules.unreachable[min(failures, len(rules.unreachable)) - 1]
    return wait * (1 + SPREAD * jitter)


def while_spared(attempt: int, rules: RetrySettings, *, jitter: float) -> timedelta:
    """Return the wait after the `attempt`-th attempt, where the mail would bounce but for `soft_bounce`."""
    return rules.unreachable[min(attempt, len(rules.unreachable)) - 1] * (1 + SPREAD * jitter)


def while_copies_are_spared(copies: int, rules: RetrySettings, *, jitter: float) -> timedelta:
    """Return the wait where only `soft_bounce` keeps mail that was sent `copies` times without an answer.

    Each attempt may leave one more copy. So each wait beyond the bound of `unknown_outcome` is twice as long as the last.
    """
    beyond = max(0, copies - len(rules.unknown_outcome) - 1)
    return rules.unreachable[-1] * (1 << min(beyond, _DOUBLED)) * (1 + SPREAD * jitter)


_DOUBLED = 10  # times: half a year from 4 hours


def after_extra(waits: Sequence[timedelta], rules: RetrySettings) -> timedelta:
    """Return the wait after an attempt that an operator asked for, where `waits` has no further (S-58)."""
    return waits[-1] if waits else rules.unreachable[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRetry:
    """From where on a recipient has used its last retry: the next such failure ends it, unless it is extra."""

    soft_failures: int
    unknown_outcomes: int
    age: timedelta
    report_age: timedelta  # of a report

    def is_used(
        self, *, soft_failures: int, unknown_outcomes: int, age: timedelta, is_report: bool
    ) -> bool:
        return (
            soft_failures >= self.soft_failures
            or unknown_outcomes >= self.unknown_outcomes
            or age >= (self.report_age if is_report else self.age)
        )


def last_retry(rules: RetrySettings) -> LastRetry:
    """Return it. What has not failed yet has used no retry, also where there is none."""
    return LastRetry(
        soft_failures=max(1, len(rules.soft_bounce)),
        unknown_outcomes=max(1, len(rules.unknown_outcome)),
        age=lifetime(rules, is_report=False),
        report_age=lifetime(rules, is_report=True),
    )


SECOND_LOOK = timedelta(hours=1)
"""How long to wait before the DNS is asked again about a domain that seems to have no mail host."""

_JUST_AN_HOUR = timedelta(minutes=1)  # between what an attempt finds and its record


def is_second_look(first: datetime | None, now: datetime) -> bool:
    """Tell whether what was found `first`, and by no attempt otherwise since, is proven by now."""
    return first is not None and now - first >= SECOND_LOOK - _JUST_AN_HOUR


def lifetime(rules: RetrySettings, *, is_report: bool) -> timedelta:
    """Return the age from which a failed attempt is the last; a report is soon of no interest (S-09)."""
    return min(rules.give_up_after, _REPORT_LIFETIME) if is_report else rules.give_up_after


def pause_after(failures: int, *, jitter: float) -> timedelta:
    """Return how long to leave a destination alone that failed `failures` times in a row."""
    seconds = min(5 * 2 ** min(failures - 1, 10), 300)
    return timedelta(seconds=seconds * (1 + SPREAD * jitter))


_TOO_FAST = timedelta(seconds=15)


def after_too_fast(failures: int, wait: timedelta) -> timedelta:
    """Return the wait where a smarthost was given too much at once: it takes the same message a little later.

    How fast the others go from then on is the account's affair; it rests, so nothing is tried in vain.
    """
    return min(wait, _TOO_FAST * (1 << min(failures - 1, 10)))


_LEAST_ASKED = timedelta(minutes=1)
_MOST_ASKED = timedelta(hours=4)
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_ASKED = re.compile(
    r"\b(?:in|after|for|wait|within)\s{1,3}(\d{1,5})\s{0,3}(s|m|h)(?:ec|in|our|r)?\w{0,5}\b",
    re.IGNORECASE,
)


def asked_for(text: str) -> timedelta | None:
    """Return the delay that a reply asks for ("try again in 300 seconds"); None if it does not."""
    found = _ASKED.search(text)
    return None if found is None else int(found[1]) * _UNITS[found[2].lower()]


def heed(wait: timedelta, asked: timedelta | None) -> timedelta:
    """Return the wait when a server has asked for another one, within bounds.

    Greylisting hosts say when they will take the mail: sooner is in vain, later only late.
    """
    if asked is None:
        return wait
    return max(min(wait, _LEAST_ASKED), min(asked, max(wait, _MOST_ASKED)))


LOGIN_PROBE = timedelta(hours=1)
"""How long to wait before a refused login is tried again (S-53)."""
