"""`relayd top`: what a look says, and what is left of it without a daemon."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from relayd.cli import look, top_screen
from relayd.cli.look import EVENTS, FLOWS, Look, Reading
from relayd.control.protocol import Metric
from relayd.mail.event import Event
from relayd.mail.ids import MessageId
from relayd.mail.words import EventKind, JsonValue
from relayd.ports.view import Counts, LatestEvent, Status
from tests.support.builders import a_deferral, a_message, a_settlement
from tests.support.cli_world import World, enqueue
from tests.support.clock import START

NASTY = "450 [red]busy[/red] \x1b[2J\x1b]0;owned\x07"


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


def a_look(
    *,
    reading: Reading | None = None,
    trouble: str = "",
    counts: Counts | None = None,
    rates: Mapping[str, float] | None = None,
    events: Sequence[LatestEvent] = (),
) -> Look:
    return Look(
        at=START,
        trouble=trouble,
        reading=reading,
        rates=rates or {},
        counts=counts or Counts(by_status={}),
        slowest=look.slowest_of(events, START),
        errors=look.errors_of(events),
    )


def test_rates_are_the_difference_of_two_readings() -> None:
    before, after = a_reading(10, received=5, relayed=1), a_reading(12, received=9, relayed=2)
    rates = look.rates_of(before, after)
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
    assert look.rates_of(before, after) == {}


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
    found = [(one.destination, one.attempts, one.seconds) for one in look.slowest_of(events, START)]
    assert found == [("slow.test", 2, 2.5), ("quick.test", 1, 0.2)]


def test_errors_are_what_went_wrong() -> None:
    kinds = [EventKind.SENT, EventKind.DEFERRED, EventKind.HELD, EventKind.LATE_BOUNCED]
    found = look.errors_of([an_event(kind) for kind in kinds])
    assert [event.kind for event in found] == ["deferred", "late_bounced"]
    assert len(look.errors_of([an_event(EventKind.BOUNCED)] * EVENTS)) == 8


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, ""),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m 0s"),
        (3725, "1h 2m"),
        (86400 * 3 + 5, "3d 0h"),
    ],
)
def test_a_span_has_its_two_greatest_units(seconds: float | None, written: str) -> None:
    assert top_screen.span(seconds) == written


def test_paused_deliveries_are_in_the_headline() -> None:
    metrics = [Metric("relayd_workers", (), 2), Metric("relayd_deliveries_paused", (), 1)]
    headline = top_screen.headline(a_look(reading=Reading(at=0, metrics=metrics)))
    assert "workers 2" in headline
    assert "DELIVERIES PAUSED in 1" in headline


def test_the_greatest_destinations_are_shown_with_age_and_pause() -> None:
    counts = Counts(
        by_status={Status.QUEUED: 12},
        by_destination={"a.test": 2, "b.test": 9, "c.test": 1},
        oldest={"a.test": START - timedelta(minutes=2), "b.test": START},
        paused_until={"b.test": START + timedelta(minutes=5), "a.test": START},
    )
    _, queue, destinations, *_ = top_screen.sections(a_look(counts=counts))
    assert destinations.rows == [
        ("b.test", "9", "0s", "5m 0s"),
        ("a.test", "2", "2m 0s", ""),
        ("c.test", "1", "", ""),
    ]
    assert list(queue.rows)[-1] == ("oldest", "2m 0s")


# -- the command, without a daemon


async def fill(world: World) -> None:
    store = world.open_store()
    message = a_message("later@example.org")
    worker = await enqueue(store, message)
    [work] = await store.claim(worker, limit=1, lease_for=timedelta(minutes=5))
    event = Event(
        kind=EventKind.DEFERRED,
        at=START,
        message_id=message.id,
        recipient=0,
        detail={"reply": NASTY, "remote_host": "mx.test", "delay_transaction": 1.0},
    )
    await store.settle(work.lease, [a_settlement(message.id, 0, a_deferral(), events=(event,))])
    await store.close()


async def test_without_a_daemon_the_queue_is_shown(world: World) -> None:
    await fill(world)
    ran = world.run("top", "--once")
    assert ran.status == 69
    lines = ran.out.splitlines()
    assert "NO DAEMON ANSWERS, this is the queue alone: no daemon at" in lines[0]
    assert "WAITING\tRECIPIENTS" in lines
    assert "deferred\t1" in lines
    kind, ago, *rest = lines[-1].split("\t")
    assert (kind, rest[0]) == ("deferred", "later@example.org")
    assert re.fullmatch(r"[0-9]+d [0-9]+h", ago)
    assert rest[1].startswith("mx.test 450 [red]busy[/red] ?[2J")
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert "PER SECOND" not in ran.out


async def test_without_a_daemon_as_json(world: World) -> None:
    await fill(world)
    ran = world.run("top", "--json")
    assert ran.status == 69
    [row] = ran.rows
    assert (row["running"], row["queue"]) == (False, {"queued": 0, "deferred": 1, "held": 0})
    assert "no daemon at" in row["trouble"]
    assert "rates" not in row
    [error] = row["errors"]
    assert (error["event"], error["rcpt"], error["reply"]) == (
        "deferred",
        "later@example.org",
        NASTY,
    )
    assert "reason" not in error
    [destination] = row["destinations"]
    assert destination["recipients"] == 1
    assert destination["oldest_seconds"] > 0


def test_without_a_queue_there_is_nothing_to_show(world: World) -> None:
    ran = world.run("top")
    assert ran.status == 69
    assert "no queue yet" in ran.err
