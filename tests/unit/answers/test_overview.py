"""The overview: rates between two readings, who is slow, what went wrong."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from relayd.answers.overview import EVENTS, FLOWS, Reading, errors_of, rates_of, slowest_of
from relayd.mail.ids import MessageId
from relayd.mail.words import EventKind, JsonValue
from relayd.ports.view import LatestEvent, Metric
from tests.support.clock import START


def a_reading(at: float, **flows: float) -> Reading:
    metrics = [Metric("relayd_workers", (), 2)]
    for name, (metric, status) in FLOWS.items():
        labels = (("status", status),) if status else ()
        metrics.append(Metric(metric, labels, flows.get(name, 0)))
    return Reading(at=at, metrics=metrics)


def an_event(
    kind: EventKind,
    *,
    at: datetime = START,
    destination: str = "x.test",
    detail: Mapping[str, JsonValue] | None = None,
) -> LatestEvent:
    return LatestEvent(
        message_id=MessageId(5),
        address="a@x.test",
        destination=destination,
        kind=kind.value,
        at=at,
        detail=detail or {},
    )


def test_rates_are_the_difference_of_two_readings() -> None:
    before, after = a_reading(10, received=5, relayed=1), a_reading(12, received=9, relayed=2)
    rates = rates_of(before, after)
    assert rates.keys() == FLOWS.keys()
    assert {name: rate for name, rate in rates.items() if rate} == {"received": 2, "relayed": 0.5}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, a_reading(2), id="the first"),
        pytest.param(a_reading(1), None, id="no daemon any more"),
        pytest.param(a_reading(1), a_reading(1), id="no time between"),
        pytest.param(a_reading(1, received=9), a_reading(2, received=1), id="restarted"),
    ],
)
def test_what_cannot_be_compared_has_no_rate(before: Reading | None, after: Reading | None) -> None:
    assert rates_of(before, after) == {}


def test_a_flow_is_one_status_of_its_metric() -> None:
    labels = (("bounce_class", "hard"), ("category", "bad_mailbox"), ("status", "bounced"))
    other = (("bounce_class", ""), ("category", "greylist"), ("status", "deferred"))
    metrics = [Metric("relayd_outcomes_total", each, 4) for each in (labels, other)]
    reading = Reading(at=0, metrics=[*metrics, Metric("relayd_late_bounces_total", labels, 1)])
    assert (reading.flow("bounced"), reading.flow("deferred"), reading.flow("sent")) == (4, 4, 0)
    assert reading.flow("late_bounced") == 1


def test_the_slowest_come_first_by_their_average() -> None:
    def attempt(destination: str, connect: float, transaction: float, age: int = 0) -> LatestEvent:
        return an_event(
            EventKind.SENT,
            at=START - timedelta(minutes=age),
            destination=destination,
            detail={"delay_connect": connect, "delay_transaction": transaction},
        )

    events = [
        attempt("quick.test", 0.1, 0.1),
        attempt("slow.test", 1, 2),
        attempt("slow.test", 0, 2),
        attempt("old.test", 60, 60, age=61),
        an_event(EventKind.HELD, destination="held.test"),
    ]
    found = [(one.destination, one.attempts, one.seconds) for one in slowest_of(events, START)]
    assert found == [("slow.test", 2, 2.5), ("quick.test", 1, 0.2)]


def test_errors_are_what_went_wrong() -> None:
    kinds = [EventKind.SENT, EventKind.DEFERRED, EventKind.HELD, EventKind.LATE_BOUNCED]
    found = errors_of([an_event(kind) for kind in kinds])
    assert [event.kind for event in found] == ["deferred", "late_bounced"]
    assert len(errors_of([an_event(EventKind.BOUNCED)] * EVENTS)) == 8
