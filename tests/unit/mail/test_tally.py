"""The rules of the tally: classes of delays, percentiles, and which steps cover a time."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.mail.tally import (
    DAY,
    END,
    ERROR,
    HOUR,
    KEPT,
    SPANS,
    TEN_MINUTES,
    Piece,
    delay_class,
    percentile,
    pieces,
)

NOW = 20_000 * DAY + 13 * HOUR + 7 * TEN_MINUTES + 1
INSTANTS = st.integers(NOW - 100 * DAY, NOW)


@given(st.integers(1, 10 * DAY))
def test_the_class_of_a_delay_tells_it_within_the_error(delay: int) -> None:
    told = percentile({delay_class(delay): 1}, 0.5)
    assert told is not None
    assert abs(told * 1000 / delay - 1) <= ERROR + 1e-9


@given(st.lists(st.integers(1, DAY), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_one_of_the_delays_within_the_error(
    delays: list[int], share: float
) -> None:
    classes: dict[int, int] = {}
    for delay in delays:
        classes[delay_class(delay)] = classes.get(delay_class(delay), 0) + 1
    exact = next(
        one for one in sorted(delays) if sum(d <= one for d in delays) >= share * len(delays)
    )
    told = percentile(classes, share)
    assert told is not None
    assert abs(told * 1000 / exact - 1) <= ERROR + 1e-9


def test_less_than_a_millisecond_counts_as_one_and_nothing_has_no_percentile() -> None:
    assert delay_class(0) == delay_class(-5) == delay_class(1) == 0
    assert percentile({}, 0.5) is None
    assert ERROR < 0.1


@given(INSTANTS, INSTANTS | st.just(END))
def test_steps_cover_a_time_once_and_a_step_more_at_most(one: int, other: int) -> None:
    since, until = min(one, other), max(one, other) + 1
    kept = {span: NOW - time - (NOW - time) % span for span, time in KEPT.items()}
    found = pieces(since, until, kept)
    assert found[0].low <= since
    assert found[-1].high >= until
    for piece in found:
        assert (piece.low % piece.span, piece.high % piece.span) == (0, 0)
        assert piece.low < piece.high
        assert kept.get(piece.span, 0) <= piece.low
    assert all(left.high == right.low for left, right in itertools.pairwise(found))
    finest = next(span for span in SPANS if kept.get(span, 0) <= since)
    assert since - found[0].low < finest


@pytest.mark.parametrize(
    ("since", "until", "covered"),
    [
        (5, 5 + TEN_MINUTES, [Piece(TEN_MINUTES, 0, 2 * TEN_MINUTES)]),
        (0, DAY, [Piece(DAY, 0, DAY)]),
        (
            DAY - HOUR - 1,
            2 * DAY + 1,
            [
                Piece(TEN_MINUTES, DAY - HOUR - TEN_MINUTES, DAY - HOUR),
                Piece(HOUR, DAY - HOUR, DAY),
                Piece(DAY, DAY, 2 * DAY),
                Piece(TEN_MINUTES, 2 * DAY, 2 * DAY + TEN_MINUTES),
            ],
        ),
    ],
    ids=["within two steps", "a day", "each span"],
)
def test_coarse_steps_are_taken_where_they_fit(
    since: int, until: int, covered: list[Piece]
) -> None:
    assert pieces(since, until, {}) == covered


def test_few_steps_cover_a_long_time() -> None:
    kept = {span: NOW - time - (NOW - time) % span for span, time in KEPT.items()}
    found = pieces(NOW - 90 * DAY, END, kept)
    assert sum((min(one.high, NOW) - one.low) // one.span for one in found) < 140
