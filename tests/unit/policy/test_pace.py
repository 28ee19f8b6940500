"""The pace of a site: a limit that nobody told us, a bad name, a block; and the end of each."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.pace import (
    FREE,
    PROBE_FOR,
    Saw,
    Seen,
    SiteMode,
    SiteState,
    Turn,
    at,
    begun,
    ends_at,
    may_begin,
    observe,
    rate_of,
)
from tests.support.hidden_limit import HiddenLimit, Run

NOW = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

ACCEPTED = Seen(saw=Saw.ACCEPTED)
SLOW = Seen(saw=Saw.SLOW, reply="421 4.7.28 too much", went=100.0)
MISTRUST = Seen(saw=Saw.MISTRUST, reply="421 4.7.0 bad reputation", went=100.0)
BLOCKED = Seen(saw=Saw.BLOCKED, reply="550 5.7.1 blocked", went=100.0, message=1)
AGAIN = replace(BLOCKED, message=2)
NOTHING = Seen(saw=Saw.NOTHING)

PACED = observe(FREE, SLOW, NOW)
RESTING = observe(FREE, MISTRUST, NOW)
NOTED = observe(FREE, BLOCKED, NOW)
BLOCK = observe(NOTED, AGAIN, NOW)
PROBING = at(RESTING, RESTING.until)


# --- the table of modes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "seen", "mode"),
    [
        pytest.param(FREE, ACCEPTED, SiteMode.FREE, id="free, accepted"),
        pytest.param(FREE, SLOW, SiteMode.PACED, id="free, slow"),
        pytest.param(FREE, MISTRUST, SiteMode.RESTING, id="free, mistrust"),
        pytest.param(FREE, BLOCKED, SiteMode.FREE, id="free, blocked: noted"),
        pytest.param(NOTED, BLOCKED, SiteMode.FREE, id="free, the same message again"),
        pytest.param(NOTED, AGAIN, SiteMode.BLOCKED, id="free, a second message"),
        pytest.param(
            FREE, replace(BLOCKED, has_other_way=True), SiteMode.BLOCKED, id="free, other way"
        ),
        pytest.param(PACED, ACCEPTED, SiteMode.PACED, id="paced, accepted"),
        pytest.param(PACED, SLOW, SiteMode.PACED, id="paced, slow"),
        pytest.param(PACED, MISTRUST, SiteMode.RESTING, id="paced, mistrust"),
        pytest.param(PACED, BLOCKED, SiteMode.PACED, id="paced, blocked: noted"),
        pytest.param(RESTING, ACCEPTED, SiteMode.RESTING, id="resting, accepted: it was under way"),
        pytest.param(RESTING, SLOW, SiteMode.RESTING, id="resting, slow"),
        pytest.param(RESTING, MISTRUST, SiteMode.RESTING, id="resting, mistrust"),
        pytest.param(RESTING, BLOCKED, SiteMode.BLOCKED, id="resting, blocked"),
        pytest.param(BLOCK, ACCEPTED, SiteMode.BLOCKED, id="blocked, accepted: it was under way"),
        pytest.param(BLOCK, MISTRUST, SiteMode.BLOCKED, id="blocked, mistrust"),
        pytest.param(BLOCK, BLOCKED, SiteMode.BLOCKED, id="blocked, blocked"),
        pytest.param(PROBING, ACCEPTED, SiteMode.PACED, id="probing, accepted"),
        pytest.param(PROBING, SLOW, SiteMode.PACED, id="probing, slow"),
        pytest.param(PROBING, MISTRUST, SiteMode.RESTING, id="probing, mistrust"),
        pytest.param(PROBING, BLOCKED, SiteMode.BLOCKED, id="probing, blocked"),
        pytest.param(PROBING, NOTHING, SiteMode.PROBING, id="probing, nothing"),
    ],
)
def test_what_follows_what(before: SiteState, seen: Seen, mode: SiteMode) -> None:
    now = max(NOW, before.since) + 1
    assert observe(before, seen, now).mode is mode


def test_what_says_nothing_of_the_site_changes_nothing() -> None:
    """Nothing is written for it."""
    for state in (FREE, PACED, RESTING, BLOCK, NOTED):
        assert observe(state, NOTHING, NOW) is state
    for state in (FREE, PACED, RESTING, BLOCK):
        assert observe(state, ACCEPTED, NOW) is state


def test_an_acceptance_ends_the_doubt_of_one_refusal() -> None:
    assert observe(observe(NOTED, ACCEPTED, NOW), AGAIN, NOW).mode is SiteMode.FREE


def test_a_second_refusal_after_an_hour_is_a_first_one() -> None:
    assert observe(NOTED, AGAIN, NOW + HOUR).mode is SiteMode.FREE
    paced = observe(PACED, BLOCKED, NOW)
    assert observe(paced, AGAIN, NOW + HOUR - 1).mode is SiteMode.BLOCKED
    assert observe(paced, AGAIN, NOW + HOUR).mode is SiteMode.PACED


def test_what_all_workers_gave_is_the_ceiling() -> None:
    went = Seen(saw=Saw.WENT, went=50.0)
    assert observe(PACED, went, NOW + 5) == replace(PACED, ceiling=150.0)
    assert observe(PACED, replace(went, went=0.0), NOW + 5) is PACED
    assert observe(PACED, went, PACED.until) is PACED, "too late"
    again = observe(PACED, SLOW, PACED.until + 1)
    for state in (FREE, RESTING, BLOCK, again):
        assert observe(state, went, max(NOW, state.since)) == state


# --- time ------------------------------------------------------------------------------------


def test_the_pace_begins_below_what_went_and_grows() -> None:
    assert PACED.until == NOW + 30
    assert may_begin(PACED, NOW).until == NOW + 30
    ended = PACED.until
    assert may_begin(PACED, ended) == Turn(rate=80.0)
    assert rate_of(PACED, ended + HOUR) == pytest.approx(100)
    assert rate_of(PACED, ended + 3 * HOUR) == pytest.approx(100 * 1.25**2)
    assert may_begin(PACED, ended + 12 * HOUR - 1).rate > 0
    assert may_begin(PACED, ended + 12 * HOUR) == Turn()


def test_slow_again_soon_is_a_longer_rest_and_a_lower_pace() -> None:
    state, rests = PACED, [30.0]
    for _ in range(8):
        now, pace = state.until + 1, rate_of(state, state.until + 1)
        state = observe(state, replace(SLOW, went=1000.0), now)
        rests.append(state.until - now)
        assert state.ceiling == pytest.approx(max(0.2, pace * 0.7))
    assert rests == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_slow_much_later_is_slow_for_the_first_time() -> None:
    now = PACED.until + 700
    again = observe(PACED, replace(SLOW, went=90.0), now)
    assert (again.level, again.until - now) == (0, 30)
    assert again.ceiling == pytest.approx(rate_of(PACED, now))
    few = observe(PACED, replace(SLOW, went=1.0), now)
    assert few.ceiling == pytest.approx(rate_of(PACED, now) / 2)


def test_several_replies_at_once_are_one() -> None:
    assert observe(PACED, SLOW, NOW + 1) == PACED
    asked = observe(PACED, replace(SLOW, asked_for=600.0), NOW + 1)
    assert asked == replace(PACED, until=NOW + 601)
    assert observe(RESTING, MISTRUST, NOW + 1) == RESTING


def test_a_rest_that_is_asked_for_is_kept_within_bounds() -> None:
    for seen, least in ((SLOW, 30), (MISTRUST, 900)):
        assert observe(FREE, replace(seen, asked_for=1.0), NOW).until == NOW + least
        assert observe(FREE, replace(seen, asked_for=7200.0), NOW).until == NOW + 7200
        assert observe(FREE, replace(seen, asked_for=1e9), NOW).until == NOW + 4 * HOUR


def test_mistrust_again_is_a_longer_rest() -> None:
    state, rests = RESTING, [RESTING.until - NOW]
    for _ in range(6):
        now = state.until + 1
        state = observe(state, MISTRUST, now)
        rests.append(state.until - now)
    assert rests == [900, 1800, 3600, 7200, 14_400, 14_400, 14_400]


def test_a_block_again_is_a_longer_block() -> None:
    state, blocks = BLOCK, [BLOCK.until - NOW]
    for _ in range(3):
        now = state.until + 1
        state = observe(state, BLOCKED, now)
        blocks.append(state.until - now)
    assert blocks == [6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR]


def test_mistrust_soon_after_mail_was_taken_goes_on_from_there() -> None:
    taken = observe(PROBING, ACCEPTED, PROBING.since + 1)
    soon = observe(taken, MISTRUST, taken.until + 60)
    assert soon.until - soon.since == 1800
    later = observe(taken, MISTRUST, taken.until + 2 * HOUR)
    assert later.until - later.since == 900


def test_a_site_that_takes_mail_again_is_given_a_quarter() -> None:
    assert PROBING.ceiling == 100
    taken = observe(PROBING, ACCEPTED, PROBING.since + 1)
    assert may_begin(taken, PROBING.since + 1).rate == pytest.approx(0.8 * 25)
    slow = observe(PROBING, SLOW, PROBING.since + 1)
    assert slow.ceiling == 25


def test_one_message_asks() -> None:
    now = PROBING.since
    assert begun(FREE, now) is None
    assert begun(RESTING, NOW) is None
    assert may_begin(RESTING, NOW) == Turn(until=RESTING.until)
    assert may_begin(RESTING, now) == Turn(asks=True)
    asking = begun(RESTING, now)
    assert asking is not None
    assert may_begin(asking, now) == Turn(until=now + PROBE_FOR, asks=True)
    assert begun(asking, now + PROBE_FOR - 1) is None
    assert begun(asking, now + PROBE_FOR) is not None, "who asked has died"
    ended = observe(asking, NOTHING, now + 5)
    assert may_begin(ended, now + 5) == Turn(asks=True)


def test_a_site_nobody_has_mail_for_is_free_in_the_end() -> None:
    assert at(RESTING, RESTING.until + DAY - 1).mode is SiteMode.PROBING
    assert at(RESTING, RESTING.until + DAY) == FREE
    asking = begun(RESTING, RESTING.until + DAY - 1)
    assert asking is not None
    assert at(asking, asking.probe_until - 1).mode is SiteMode.PROBING
    assert at(asking, asking.probe_until) == FREE


# --- whatever comes --------------------------------------------------------------------------

SEEN = st.builds(
    Seen,
    saw=st.sampled_from(Saw),
    asked_for=st.floats(0, 1e12),
    went=st.floats(0, 1e9),
    message=st.integers(0, 3),
    has_other_way=st.booleans(),
)
STEPS = st.lists(st.tuples(st.floats(0, 2 * DAY), st.one_of(st.none(), SEEN)), max_size=30)


def _after(steps: list[tuple[float, Seen | None]]) -> tuple[SiteState, float]:
    """None: one message asks."""
    state, now = FREE, NOW
    for wait, seen in steps:
        now += wait
        state = (begun(state, now) or state) if seen is None else observe(state, seen, now)
    return state, now


@given(STEPS)
def test_no_mode_is_without_an_end(steps: list[tuple[float, Seen | None]]) -> None:
    state, now = _after(steps)
    assert at(state, now + 2 * DAY + PROBE_FOR) == FREE
    ends = ends_at(at(state, now))
    assert ends <= now + 2 * DAY + PROBE_FOR
    assert at(state, max(now, ends)) == FREE


@given(STEPS)
def test_mail_always_has_a_time_to_go(steps: list[tuple[float, Seen | None]]) -> None:
    state, now = _after(steps)
    turn = may_begin(state, now)
    assert turn.until <= now + DAY
    later = may_begin(state, max(now, turn.until))
    assert not later.until
    if at(state, max(now, turn.until)).mode is SiteMode.PACED:
        assert later.rate >= 0.2


@given(STEPS)
def test_levels_fall_with_time(steps: list[tuple[float, Seen | None]]) -> None:
    state, now = _after(steps)
    later = max(now, state.until) + HOUR + 1
    assert observe(state, SLOW, later).level == 0
    state = at(state, later)
    if state.mode in (SiteMode.FREE, SiteMode.PACED):
        assert observe(state, MISTRUST, later).until - later == 900


# --- a limit that nobody told us -------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "used", "refused"), [(1, 0.65, 10), (5, 0.9, 4), (30, 0.93, 1), (300, 0.93, 0.5)]
)
def test_a_hidden_limit_is_used_and_hardly_ever_met(
    limit: float, used: float, refused: float
) -> None:
    """65 % of it in a day, and 10 refusals in 1,000, is what `benchmarks/pacing` asks for."""
    seconds = DAY if limit < 300 else DAY / 6
    run = Run(HiddenLimit(limit)).send(seconds)
    assert run.taken >= used * limit * seconds / MINUTE
    assert run.refused_of_1000 <= refused


def test_a_limit_that_falls_is_kept() -> None:
    run = Run(HiddenLimit(60), changes=(DAY / 2, 6)).send()
    assert run.taken >= 0.9 * 720 * 66
    assert run.refused_of_1000 <= 2


def test_a_limit_that_rises_is_found() -> None:
    run = Run(HiddenLimit(6), changes=(DAY / 2, 60)).send()
    assert run.taken >= 0.4 * 720 * 66
    assert run.refused_of_1000 <= 2


def test_a_site_with_little_mail_is_not_held_up() -> None:
    run = Run(HiddenLimit(30), comes=3).send()
    assert run.refused == 0
    assert run.taken > 4000
    slower = Run(HiddenLimit(2), comes=3).send()
    assert slower.taken >= 0.8 * 2880
    assert slower.refused_of_1000 <= 10
