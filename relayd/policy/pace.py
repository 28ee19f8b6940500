"""How fast a site is given mail from one address of ours, as its replies show: its modes, and the way between them.

A site that says nothing is free. One that says "too fast" is paced. One that mistrusts our address rests, one that refuses it for good
is blocked; when that is over, one message at a time asks (probing). Every mode ends by time alone, so nothing waits for ever.

The ceiling is what went through when the site spoke. From a fifth below, the pace comes back to it within an hour, and only then
goes beyond. So a limit is met a few times a day: a refusal costs standing, which takes days to get back. Where it only costs
time, at a smarthost, `relayd.policy.accounts.pace` uses more of the limit, and is refused far more often (ADR 15).

Instants are seconds since 1970, rates are messages a minute. The times and shares are custom, not measurement.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

_FLOOR = 0.2  # messages a minute: no site gets less
_BACK = 0.8  # of the ceiling, at first
_CREEP = 3600.0  # seconds until the pace is the ceiling again
_GROWTH = 1.25  # times, each hour from then on
_RETREAT = 0.7  # of the ceiling, where the site speaks again soon
_LEAST = 0.5  # of the pace: one such reply takes no more away
_QUARTER = 0.25  # of the ceiling, after the first message that a site takes again

_REST, _LONGEST_REST = 30.0, 1800.0  # seconds after "too fast"
_SOON = 600.0  # seconds after a rest: later, it says so for the first time
_MISTRUST, _LONGEST_MISTRUST = 900.0, 4 * 3600.0  # seconds of rest
_BLOCK, _LONGEST_BLOCK = 6 * 3600.0, 24 * 3600.0  # seconds
_CALM = 3600.0  # seconds after such a rest: later, it mistrusts us for the first time
_DEEPEST = 6  # times that a rest is doubled
_MOST_ASKED = 4 * 3600.0  # seconds of rest that a reply may ask for

PACED_FOR = 12 * 3600.0  # seconds without such a reply, after which a site is free
_PROBES_FOR = 24 * 3600.0  # seconds in which nobody had mail for a site that was asked again
_NOTED_FOR = 3600.0  # seconds within which a second message has to be refused
PROBE_FOR = 600.0  # seconds that one message may take to ask


class SiteMode(StrEnum):
    """How a site is treated; the words reach the disk and the log."""

    FREE = "free"
    PACED = "paced"
    RESTING = "resting"
    BLOCKED = "blocked"
    PROBING = "probing"


class Saw(StrEnum):
    """What an attempt shows of a site."""

    ACCEPTED = "accepted"
    SLOW = "slow"  # we are too fast
    MISTRUST = "mistrust"  # our address has a bad name, for now
    BLOCKED = "blocked"  # our address is refused
    WENT = "went"  # so much of another worker's mail, until the site spoke
    NOTHING = "nothing"  # it was about the message, its recipient, or nobody answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One attempt at a site, as far as it concerns the site."""

    saw: Saw
    reply: str = ""
    asked_for: float = 0.0  # seconds until we shall try again, in its words
    went: float = 0.0  # messages a minute that it took lately
    message: int = 0  # which was refused
    has_other_way: bool = False  # this mail may go from another address, or by a smarthost


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """What all workers know of one site and one address of ours."""

    mode: SiteMode = SiteMode.FREE
    since: float = 0.0  # when the mode began
    until: float = 0.0  # nothing is sent before
    ceiling: float = 0.0  # messages a minute; 0: unknown
    level: int = 0  # replies "too fast" that came soon after each other
    mistrust: int = 0  # rests for mistrust, or blocks, that came soon after each other
    noted_at: float = 0.0  # when our address was refused for one message
    noted: int = 0  # that message
    probe_until: float = 0.0  # so long a message may ask
    reply: str = ""  # the last words about us


FREE = SiteState()
_LEFT_ALONE = frozenset({SiteMode.RESTING, SiteMode.BLOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What may be sent to a site now."""

    until: float = 0.0  # nothing before
    rate: float = 0.0  # messages a minute; 0: any number
    asks: bool = False  # one message, over all workers


def may_begin(state: SiteState, now: float) -> Turn:
    """Return what may be sent now."""
    state = at(state, now)
    match state.mode:
        case SiteMode.PACED:
            return Turn(until=_not_yet(state.until, now), rate=rate_of(state, now))
        case SiteMode.RESTING | SiteMode.BLOCKED:
            return Turn(until=state.until)
        case SiteMode.PROBING:
            return Turn(until=_not_yet(state.probe_until, now), asks=True)
        case SiteMode.FREE:
            return Turn()
        case never:
            assert_never(never)


def at(state: SiteState, now: float) -> SiteState:
    """Return the state by now: a rest may be over, and what was learnt may be too old."""
    if state.mode in _LEFT_ALONE and now >= state.until:
        state = replace(state, mode=SiteMode.PROBING, since=state.until, probe_until=0.0)
    if now >= ends_at(state):
        return FREE
    return state


def ends_at(state: SiteState) -> float:
    """Return when nothing is left of it, if nothing happens."""
    match state.mode:
        case SiteMode.PACED:
            return state.until + PACED_FOR
        case SiteMode.RESTING | SiteMode.BLOCKED:
            return state.until + _PROBES_FOR
        case SiteMode.PROBING:
            return max(state.since + _PROBES_FOR, state.probe_until)
        case SiteMode.FREE:
            return state.noted_at + _NOTED_FOR
        case never:
            assert_never(never)


def rate_of(state: SiteState, now: float) -> float:
    """Return the pace of a paced site, in messages a minute."""
    sent_for = max(0.0, now - state.until)
    if sent_for <= _CREEP:
        return max(_FLOOR, state.ceiling * (_BACK + (1 - _BACK) * sent_for / _CREEP))
    hours_beyond = (sent_for - _CREEP) / 3600
    return max(_FLOOR, state.ceiling * float(_GROWTH**hours_beyond))


def begun(state: SiteState, now: float) -> SiteState | None:
    """Return the state while one message asks; None: that is not for now."""
    state = at(state, now)
    if state.mode is not SiteMode.PROBING or now < state.probe_until:
        return None
    return replace(state, probe_until=now + PROBE_FOR)


def observe(state: SiteState, seen: Seen, now: float) -> SiteState:
    """Return what is known after an attempt; the same state where it shows nothing new."""
    state = at(state, now)
    match seen.saw:
        case Saw.ACCEPTED:
            return _accepted(state, now)
        case Saw.SLOW:
            return _slow(state, seen, now)
        case Saw.MISTRUST:
            return _mistrusted(state, seen, now)
        case Saw.BLOCKED:
            return _refused(state, seen, now)
        case Saw.WENT:
            return _more_went(state, seen, now)
        case Saw.NOTHING:
            return replace(state, probe_until=0.0) if state.probe_until else state
        case never:
            assert_never(never)


def _accepted(state: SiteState, now: float) -> SiteState:
    """It takes our mail: what one refusal made us doubt is over, and so is the asking."""
    if state.mode is not SiteMode.PROBING:
        return replace(state, noted_at=0.0, noted=0) if state.noted_at else state
    ceiling = max(_FLOOR, state.ceiling * _QUARTER)
    return replace(
        state, mode=SiteMode.PACED, since=now, until=now, ceiling=ceiling, probe_until=0.0
    )


def _slow(state: SiteState, seen: Seen, now: float) -> SiteState:
    """We are too fast. Several such replies at once are one: they are about what was under way."""
    if state.mode in _LEFT_ALONE:
        return state
    is_paced = state.mode is SiteMode.PACED
    if is_paced and now < state.until:
        return _longer(state, seen, now)
    ceiling, level = max(_FLOOR, seen.went), 0
    if is_paced:
        level = state.level + 1 if now - state.until <= _SOON else 0
        pace = rate_of(state, now)
        ceiling = min(pace, max(ceiling, _LEAST * pace)) * (_RETREAT if level else 1.0)
    elif state.mode is SiteMode.PROBING:
        ceiling = state.ceiling * _QUARTER
    rest = max(_doubled(_REST, level, _LONGEST_REST), _asked(seen))
    return replace(
        state,
        mode=SiteMode.PACED,
        since=state.since if is_paced else now,
        until=now + rest,
        ceiling=max(_FLOOR, ceiling),
        level=level,
        probe_until=0.0,
        reply=seen.reply,
    )


def is_first(state: SiteState, now: float) -> bool:
    """Tell whether a site has just said for the first time that we are too fast: what all workers gave it is the ceiling."""
    return state.mode is SiteMode.PACED and now < state.until and state.level == 0


def _more_went(state: SiteState, seen: Seen, now: float) -> SiteState:
    if not seen.went or not is_first(state, now):
        return state
    return replace(state, ceiling=state.ceiling + seen.went)


def _mistrusted(state: SiteState, seen: Seen, now: float) -> SiteState:
    if state.mode in _LEFT_ALONE:
        return _longer(state, seen, now)
    return _left_alone(SiteMode.RESTING, state, seen, now)


def _refused(state: SiteState, seen: Seen, now: float) -> SiteState:
    """Our address is refused for good: one message alone may be what that is about."""
    if state.mode is SiteMode.BLOCKED:
        return state
    is_proven = state.mode in (SiteMode.PROBING, SiteMode.RESTING) or seen.has_other_way
    is_second = now - state.noted_at < _NOTED_FOR and state.noted != seen.message
    if is_proven or is_second:
        return _left_alone(SiteMode.BLOCKED, state, seen, now)
    return replace(state, noted_at=now, noted=seen.message, reply=seen.reply)


def _left_alone(mode: SiteMode, state: SiteState, seen: Seen, now: float) -> SiteState:
    is_again = state.mode is SiteMode.PROBING or now - state.until <= _CALM
    times = state.mistrust if is_again else 0
    first, longest = (
        (_BLOCK, _LONGEST_BLOCK) if mode is SiteMode.BLOCKED else (_MISTRUST, _LONGEST_MISTRUST)
    )
    rest = max(_doubled(first, times, longest), _asked(seen))
    return SiteState(
        mode=mode,
        since=now,
        until=now + rest,
        ceiling=state.ceiling or max(_FLOOR, seen.went),
        mistrust=times + 1,
        reply=seen.reply,
    )


def _longer(state: SiteState, seen: Seen, now: float) -> SiteState:
    return replace(state, until=max(state.until, now + _asked(seen)))


def _asked(seen: Seen) -> float:
    return min(seen.asked_for, _MOST_ASKED)


def _not_yet(until: float, now: float) -> float:
    return until if now < until else 0.0


def _doubled(seconds: float, times: int, most: float) -> float:
    return min(seconds * 2.0 ** min(times, _DEEPEST), most)
