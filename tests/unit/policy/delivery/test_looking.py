"""How long a worker without work waits until it looks at the store again."""

import math

import pytest

from relayd.policy.delivery.looking import LONGEST, POLL, QUIET_AFTER, rest


@pytest.mark.parametrize(
    ("hears", "quiet_for", "next_due", "seconds"),
    [
        (True, QUIET_AFTER, math.inf, LONGEST),
        (True, QUIET_AFTER, 3.0, 3.0),
        (True, QUIET_AFTER, 0.2, POLL),
        (True, QUIET_AFTER, -3.0, POLL),
        (True, QUIET_AFTER - 0.1, math.inf, POLL),
        (True, QUIET_AFTER, None, POLL),
        (False, QUIET_AFTER, math.inf, POLL),
    ],
)
def test_looks_are_rare_where_hints_come_and_nothing_happens(
    hears: bool,  # noqa: FBT001 -- a table
    quiet_for: float,
    next_due: float | None,
    seconds: float,
) -> None:
    assert rest(hears_hints=hears, quiet_for=quiet_for, next_due=next_due) == seconds
