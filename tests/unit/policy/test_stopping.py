"""Each part of a stop fits into the next one, and all of it into what the unit allows."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.config.model import DEFAULTS
from relayd.policy.stopping import (
    HAND_OVER_WITHIN,
    LEAVES_FOR,
    RECORD_WITHIN,
    is_watched,
    stop_times,
)

UNIT = Path(__file__).parents[3] / "systemd/relayd.service"


@pytest.mark.parametrize("seconds", [1, 3, 8, 60, 600])
def test_each_part_fits_into_the_next(seconds: int) -> None:
    times = stop_times(timedelta(seconds=seconds))
    assert times.sessions == seconds
    assert times.sessions < times.dot < times.dot + RECORD_WITHIN < times.process


def test_with_three_seconds_a_container_ends_in_ten() -> None:
    """That is what Docker gives one, and no client has to be cut off sooner for it."""
    times = stop_times(timedelta(seconds=3))
    assert times.dot + RECORD_WITHIN < 10


def test_the_default_fits_into_the_unit() -> None:
    """Also for workers that leave in a reload when the daemon is stopped."""
    default = DEFAULTS["limits.stop_within"]
    assert isinstance(default, timedelta)
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    assert LEAVES_FOR + stop_times(default).process < int(found[1])
    assert default.total_seconds() < HAND_OVER_WITHIN


@pytest.mark.parametrize(
    ("asked", "now", "watched"),
    [
        ([100.0, 110.0, 120.0], 121.0, True),
        ([0.0, 110.0, 120.0], 121.0, False),  # twice so far
        ([100.0, 110.0, 120.0], 131.0, False),  # and then no more
    ],
)
def test_who_asks_again_and_again_watches(asked: list[float], now: float, *, watched: bool) -> None:
    assert is_watched(asked, now) is watched
