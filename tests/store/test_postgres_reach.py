"""A server that goes away while a worker runs, and comes back: what is logged of it."""

from datetime import timedelta

from structlog.testing import capture_logs

from relayd.store.postgres.reach import Reach
from tests.support.clock import FakeClock

SECOND = timedelta(seconds=1)
STORE = "postgresql://db.test/relayd"


def test_an_outage_has_a_line_at_its_beginning_and_at_its_end() -> None:
    clock = FakeClock()
    reach = Reach(clock.monotonic, store=STORE)
    reach.found()
    with capture_logs() as logged:
        for _ in range(20):
            reach.missed("no answer")
            clock.advance(SECOND)
        reach.found()
        reach.found()
    assert logged == [
        {
            "event": "store_away",
            "log_level": "error",
            "fault": "local",
            "store": STORE,
            "reason": "no answer",
        },
        {"event": "store_back", "log_level": "info", "store": STORE},
    ]


def test_a_long_outage_has_a_line_a_minute_and_so_has_one_that_comes_and_goes() -> None:
    clock = FakeClock()
    reach = Reach(clock.monotonic, store=STORE)
    reach.found()
    with capture_logs() as logged:
        for _ in range(90):
            reach.missed("too many connections")
            clock.advance(SECOND)
            reach.found()
    assert [each["event"] for each in logged] == ["store_away", "store_back"] * 2


def test_a_start_is_told_by_who_waits_for_it() -> None:
    reach = Reach(FakeClock().monotonic, store=STORE)
    with capture_logs() as logged:
        reach.missed("no answer")
        reach.found()
    assert not logged
