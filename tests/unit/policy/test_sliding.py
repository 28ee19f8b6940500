"""Times that slide, in steps of a sixtieth."""

import pytest

from relayd.policy.sliding import RING, STEPS, room_of, step_of

HOUR = 3600
NOW = 1_800_000_030.0
THIS = step_of(HOUR, NOW)


@pytest.mark.parametrize(
    ("counted", "left", "steps_on"),
    [
        ([], 3, None),
        ([(THIS, 2)], 1, None),
        ([(THIS - STEPS - 1, 9)], 3, None),  # it is over
        ([(THIS - STEPS, 3)], 0, THIS - STEPS + RING),  # a part of it is in the hour still
        ([(THIS - 5, 1), (THIS, 2)], 0, THIS - 5 + RING),
        ([(THIS - 5, 1), (THIS, 3)], 0, THIS + RING),
    ],
)
def test_what_may_still_come_and_when(
    counted: list[tuple[int, int]], left: int, steps_on: int | None
) -> None:
    until = NOW if steps_on is None else steps_on * HOUR / STEPS
    assert room_of(counted, 3, seconds=HOUR, now=NOW) == (left, until)


def test_nothing_allowed_is_asked_for_a_step_later() -> None:
    assert room_of([], 0, seconds=HOUR, now=NOW) == (0, NOW + HOUR / STEPS)
