"""`relayd top`: what the screen says, and what is left of it without a daemon."""

import re
from datetime import timedelta

import pytest

from relayd.answers.overview import Overview, Reading
from relayd.cli.top import screen
from relayd.mail.event import Event
from relayd.mail.words import EventKind
from relayd.ports.view import Counts, Metric, Status
from tests.support.builders import a_deferral, a_message, a_settlement
from tests.support.cli_world import World, enqueue
from tests.support.clock import START

NASTY = "450 [red]busy[/red] \x1b[2J\x1b]0;owned\x07"


def an_overview(*, reading: Reading | None = None, counts: Counts | None = None) -> Overview:
    return Overview(
        at=START,
        trouble="",
        reading=reading,
        counts=counts or Counts(by_status={}),
        slowest=(),
        errors=(),
    )


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
    assert screen.span(seconds) == written


def test_paused_deliveries_are_in_the_headline() -> None:
    metrics = [Metric("relayd_workers", (), 2), Metric("relayd_deliveries_paused", (), 1)]
    headline = screen.headline(an_overview(reading=Reading(at=0, metrics=metrics)))
    assert "workers 2" in headline
    assert "DELIVERIES PAUSED in 1" in headline


def test_the_greatest_destinations_are_shown_with_age_and_pause() -> None:
    counts = Counts(
        by_status={Status.QUEUED: 12},
        by_destination={"a.test": 2, "b.test": 9, "c.test": 1},
        oldest={"a.test": START - timedelta(minutes=2), "b.test": START},
        paused_until={"b.test": START + timedelta(minutes=5), "a.test": START},
    )
    _, queue, destinations, *_ = screen.sections(an_overview(counts=counts))
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
