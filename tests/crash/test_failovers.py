"""PostgreSQL fails over, or is killed, while mail comes and goes (F-40, F-44); `benchmarks/failovers` does it more often."""

import pytest

from tests.support import postgres
from tests.support.failovers import fail_over_often, kill_often

pytestmark = [postgres.needs_postgres, pytest.mark.timeout(180)]


def test_failovers_to_a_synchronous_standby_lose_nothing() -> None:
    found = fail_over_often(2, seed=1)
    assert not found.wrong
    assert found.figures["acknowledged"] >= 300
    assert found.figures["contents compared"]


def test_a_standby_that_is_behind_loses_mail() -> None:
    """The control: it was acknowledged, and the judge sees it."""
    found = fail_over_often(1, seed=1, is_synchronous=False)
    assert found.wrong["acknowledged and lost"]


def test_a_server_that_is_killed_loses_nothing() -> None:
    found = kill_often(2, seed=1)
    assert not found.wrong
    assert found.figures["contents compared"]
