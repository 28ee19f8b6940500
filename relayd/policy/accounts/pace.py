"""What the replies of a smarthost show of a limit that nobody told us, and how fast it is used from then on.

A server that says "too fast" has nothing left at that moment. So between two such replies it took exactly what
its limit allows, and the number of messages between them, by the time, is the limit. After the first
one the pace grows from a slow start until the second; from then on it keeps a little below what was measured,
and grows the longer nothing is said, at first hardly and then faster, so that a higher limit is found.

At most two such replies a minute are risked. While nothing is taken at all, the rest doubles.

The words and their times are ours; the growth has the shape of CUBIC (RFC 9438 §4.2), the limit is measured as for a
token bucket.
"""

from dataclasses import dataclass, replace

_FIRST = 1.0  # messages a second after the first such reply
_GROWS = 4.0  # seconds in which the pace grows to 2.7 times, until the second such reply
_REST = 2.0  # seconds after such a reply, and
_LONG_REST = 8.0  # at a slow pace, with
_FEW = 20.0  # messages that are not sent meanwhile
_MINUTE = 60.0
_PROBE = 4.0  # seconds between two messages, until one is taken again
_LONGEST_REST = 1800.0
_BELOW = 0.97  # of what was measured
_RETREAT = 0.7  # of a pace that was far off
_IDLE = 1.3  # times as long as its mail takes at that pace: beyond, there was not always mail
_A_WHILE = 50.0  # seconds, after which most servers count anew
_STEADY = 0.8  # of the pace that it began with was taken all the time, so a limit is not below that
_NOTICED = 40.0  # seconds until a server speaks, after the pace has come above its limit
_GROWTH = 0.001  # after 10 s of sending: a tenth of a percent; after 100 s: a tenth
_SOON = 5.0  # seconds: too short to measure a rate by
_SLOWEST = 1 / 3600  # messages a second
_FORGOTTEN = 12 * 3600.0  # seconds without such a reply, after which there is no pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What was learnt of one account."""

    base: float  # messages a second from which it grows
    since: float  # when the server last said that it is too fast
    rests_until: float  # nothing is sent before
    taken: int = 0  # messages that it took since then
    is_measured: bool = False  # `base` comes from a measurement
    refused: int = 1  # such replies in a row, without a message that was taken in between
    before: float | None = None  # when it said so the time before

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.rate_before(0.0)

    def rate_before(self, back: float) -> float:
        """Return the rate that it had so many seconds of sending ago."""
        if not self.is_measured:
            return self.base + self.taken / _GROWS
        busy = max(0.0, self.taken / self.base - back)  # seconds of sending at that pace
        return self.base * (1 + _GROWTH * (busy / 10) ** 2)


def is_probing(pace: Pace) -> bool:
    """Tell whether the server took nothing after a long rest so far: one message at a time asks."""
    return pace.refused > 1 and not pace.taken


def rate_of(pace: Pace) -> float:
    """Return how many messages a second may go."""
    return min(pace.rate, 1 / _PROBE) if is_probing(pace) else pace.rate


def is_over(pace: Pace, now: float) -> bool:
    """Tell whether what was learnt is too old to hold."""
    return now - pace.since > _FORGOTTEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a reply has shown."""

    pace: Pace
    is_first: bool  # nothing was known before


def learn(pace: Pace | None, *, now: float, asked_for: float, taken: int) -> Learnt:
    """Return what `refused` shows after so many messages more were taken."""
    known = None if pace is None or is_over(pace, now) else with_taken(pace, taken)
    learnt = refused(known, now=now, asked_for=asked_for)
    return Learnt(pace=learnt, is_first=known is None)


def with_taken(pace: Pace, taken: int) -> Pace:
    """Return what is known after so many messages more were taken."""
    return replace(pace, taken=pace.taken + taken) if taken else pace


def refused(pace: Pace | None, *, now: float, asked_for: float = 0.0) -> Pace:
    """Return what is learnt of one more such reply, which may ask for a rest of so many seconds.

    Several at once are one: they are about messages that were under way when the first came.
    """
    if pace is None or is_over(pace, now):
        return Pace(base=_FIRST, since=now, rests_until=now + max(_REST, asked_for))
    if now < pace.rests_until:
        return replace(pace, rests_until=max(pace.rests_until, now + asked_for))
    in_a_row = 1 if pace.taken else pace.refused + 1
    base, is_measured = _measured(pace, now)
    if in_a_row > 1:
        rest = min(_MINUTE * 2.0 ** (in_a_row - 2), _LONGEST_REST)
    else:
        rest = max(_REST, min(_FEW / base, _LONG_REST))
        if pace.before is not None:
            rest = max(rest, pace.before + _MINUTE - now)
    return Pace(
        base=max(_SLOWEST, base),
        since=now,
        rests_until=now + max(rest, asked_for),
        is_measured=is_measured,
        refused=in_a_row,
        before=pace.since,
    )


def _measured(pace: Pace, now: float) -> tuple[float, bool]:
    """Return from which pace to go on, and whether that was measured."""
    took, went_on = now - pace.since, now - pace.rests_until
    if not pace.taken:  # it has not got over the last one: that says nothing of a rate
        return pace.base, pace.is_measured
    if took < _SOON:
        return pace.rate * _RETREAT, pace.is_measured
    # After a while the server counts anew; what it saved up for us meanwhile is little of what it took since.
    measured = pace.taken / (went_on if went_on > _A_WHILE else took)
    if not pace.is_measured:
        # A server that saves up nothing was not used to its limit while the pace was low.
        return max(measured, pace.rate / 2) * _BELOW, True
    if went_on > _IDLE * pace.taken / pace.base + _SOON:
        return pace.rate * _RETREAT, True  # so what was taken says little
    if measured > _STEADY * pace.base:
        return pace.rate_before(_NOTICED) * _BELOW, True  # it grew until just above the limit
    return measured * _BELOW, True
