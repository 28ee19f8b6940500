"""Judge what a receiver answered to a webhook: what becomes of the delivery, and of its endpoint.

An endpoint that does not answer, or says that it cannot just now, rests: trying its other deliveries would be
in vain. When the rest is over, one of them is tried first. An endpoint that refuses one delivery may take the
others: that one alone waits, and is given up after an hour. No answer is taken for a success but 2xx.

Owns that arithmetic: no clock, no random source. Instants are milliseconds of a count that nobody can set
and that stops while relayd is down, so that a night in which nothing could be sent makes no endpoint old.

Source: RFC 9110 §15 (status codes); Standard Webhooks 1.0.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

_MS = timedelta(milliseconds=1)
_MINUTE = timedelta(minutes=1) // _MS
_SECOND = timedelta(seconds=1) // _MS

RESTS = (5 * _SECOND, _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 120 * _MINUTE, 360 * _MINUTE)
"""How long an endpoint rests after its 1st, 2nd, ... failure in a row; the last repeats."""
WAITS = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 39 * _MINUTE)
"""How long a delivery waits after it was refused; after the next refusal it is given up."""
SPREAD = 0.2  # a rest is longer by up to a fifth, so that what failed together parts
LONGEST = RESTS[-1]  # that a receiver may ask for
UNREACHABLE_FOR = timedelta(days=5) // _MS
"""An endpoint that fails for so long is disabled."""
AT_ONCE = 8  # deliveries to an endpoint
OVERLAP = timedelta(hours=24) // _MS
"""So long after a rotation what is sent is signed with secrets before, too."""
SECRETS = 4
"""With so many in all: who asks for a new one again, since an answer was lost, has told the receiver of none between."""
NEVER = -1
"""An instant before all others."""


def generations_of(generation: int, rotated_at: int | None, now: int) -> tuple[int, ...]:
    """Return which secrets sign, by the count of rotations: the newest first."""
    if rotated_at is not None and now < rotated_at + OVERLAP:
        return tuple(range(generation, max(0, generation - SECRETS), -1))
    return (generation,)


class Off(StrEnum):
    """Why an endpoint is disabled."""

    NO = ""
    BY_HAND = "by hand"
    GONE = "gone"  # it said so, with 410
    UNREACHABLE = "unreachable"  # for five days


class Result(StrEnum):
    """What became of a delivery in one try."""

    DONE = "done"
    WAITS = "waits"  # it is sent again
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an endpoint is doing."""

    failures: int = 0  # in a row
    failing_since: int | None = None
    rests_from: int = NEVER  # when the last rest began
    rests_until: int = NEVER
    off: Off = Off.NO

    def at_once(self, now: int) -> int:
        """Return how many deliveries may be on their way at that instant."""
        if self.off or now < self.rests_until:
            return 0
        return 1 if self.failures else AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One delivery on its way."""

    begun_at: int
    refusals: int = 0  # before
    is_test: bool = False  # somebody waits for the answer: there is one try


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver said."""

    status: int | None  # None: there was no answer
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one try led to."""

    standing: Standing  # of the endpoint, from now on
    result: Result
    refusals: int  # of the delivery, so far
    due_at: int = NEVER  # when it may be sent again


def judge(answer: Answer, standing: Standing, tried: Try, *, now: int, jitter: float) -> Verdict:
    """Judge one answer. `jitter` is a number from 0 up to 1.

    A try that had begun before the endpoint's present rest tells nothing new about it: eight that fail
    together are one failure, and one of them that succeeds does not end the rest.
    """
    status = answer.status
    is_old = tried.begun_at <= standing.rests_from
    if status is not None and 200 <= status < 300:
        return Verdict(
            standing=standing if is_old else _answered(standing),
            result=Result.DONE,
            refusals=tried.refusals,
        )
    again = Result.FAILED if tried.is_test else Result.WAITS
    if status == 410:
        return Verdict(
            standing=replace(standing, off=standing.off or Off.GONE),
            result=again,
            refusals=tried.refusals,
        )
    if _is_refusal(status):
        return _refused(standing if is_old else _answered(standing), tried, again, now=now)
    asked = min(LONGEST, (answer.retry_after or timedelta()) // _MS)
    after = (
        replace(standing, rests_until=max(standing.rests_until, now + asked))
        if is_old
        else _failed(standing, asked, now=now, jitter=jitter)
    )
    return Verdict(standing=after, result=again, refusals=tried.refusals)


def enabled(standing: Standing) -> Standing:
    """Return the standing of an endpoint that somebody takes into use again: as a new one's."""
    return Standing(rests_from=standing.rests_from)


def _is_refusal(status: int | None) -> bool:
    """Tell whether an answer is about this delivery alone: a redirect, too, which is not followed."""
    return status is not None and 300 <= status < 500 and status not in (408, 429)


def _answered(standing: Standing) -> Standing:
    return replace(standing, failures=0, failing_since=None, rests_until=NEVER)


def _failed(standing: Standing, asked: int, *, now: int, jitter: float) -> Standing:
    since = now if standing.failing_since is None else standing.failing_since
    rest = RESTS[min(standing.failures, len(RESTS) - 1)] * (1 + SPREAD * jitter)
    is_over = now - since >= UNREACHABLE_FOR
    return replace(
        standing,
        failures=standing.failures + 1,
        failing_since=since,
        rests_from=now,
        rests_until=now + max(int(rest), asked),
        off=standing.off or (Off.UNREACHABLE if is_over else Off.NO),
    )


def _refused(standing: Standing, tried: Try, again: Result, *, now: int) -> Verdict:
    if again is Result.FAILED or tried.refusals >= len(WAITS):
        return Verdict(standing=standing, result=Result.FAILED, refusals=tried.refusals + 1)
    return Verdict(
        standing=standing,
        result=Result.WAITS,
        refusals=tried.refusals + 1,
        due_at=now + WAITS[tried.refusals],
    )
