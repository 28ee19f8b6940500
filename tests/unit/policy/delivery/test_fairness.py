"""Which destination a claim serves next."""

import pytest

from relayd.policy.delivery.fairness import Head, at_most, without_backlog_first

_NEW, _OLD = (20.0, "new.test"), (10.0, "old.test")


@pytest.mark.parametrize(
    ("without", "behind", "taken", "limit", "expected"),
    [
        (_NEW, _OLD, 0, 200, True),
        (_NEW, _OLD, 149, 200, True),
        (_NEW, _OLD, 150, 200, False),
        (_NEW, _OLD, 2, 4, True),
        (_NEW, _OLD, 3, 4, False),
        (_NEW, None, 150, 200, True),
        (None, _OLD, 0, 200, False),
        (None, None, 0, 200, False),
    ],
)
def test_a_quarter_of_a_claim_is_for_backlogs(
    without: Head | None,
    behind: Head | None,
    taken: int,
    limit: int,
    expected: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    assert without_backlog_first(without, behind, taken=taken, limit=limit) is expected


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_small_claim_goes_by_time_alone(limit: int) -> None:
    assert not without_backlog_first(_NEW, _OLD, taken=0, limit=limit)
    assert without_backlog_first(_OLD, _NEW, taken=0, limit=limit)


@pytest.mark.parametrize(
    ("each", "others", "expected"),
    [
        (200, None, 200),
        (200, 0, 200),
        (100, 0, 100),
        (100, 1, 75),
        (50, 1, 50),
        (100, 2, 50),
        (100, 29, 5),
        (100, 499, 5),
        (2, 499, 2),
    ],
)
def test_where_many_wait_each_gets_a_few_at_first(
    each: int, others: int | None, expected: int
) -> None:
    assert at_most(each, limit=200, others=others) == expected
