"""One answer: the counters, the queue, the doctor; and how it is written."""

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import relayd
from relayd.answers.switches import Switches
from relayd.errors import StoreUnavailable
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.metrics import figures
from relayd.metrics.counters import Counters
from relayd.metrics.exposition import render
from relayd.metrics.families import DESTINATIONS, DOCTOR, Sample
from relayd.metrics.of_store import TOP
from relayd.metrics.scrape import Scrape
from relayd.metrics.shared import SharedCounters
from relayd.policy.console.webhook import Off
from relayd.policy.pace import Saw, Seen
from relayd.policy.pausing import Pausing
from relayd.ports.outbox import TOLD, Endpoint, EndpointId, Subscription
from relayd.ports.sites import SiteKey
from relayd.ports.view import Counts, PausedDestination, QueueView, Status
from relayd.store.memory.sites import MemorySites
from relayd.store.memory.tables import Tables
from relayd.store.memory.view import MemoryView
from tests.support.clock import START, FakeClock


class Told:
    """The outbox that is told."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    def endpoints(self) -> Sequence[Endpoint]:
        return self._endpoints


class View(MemoryView):
    """Says what it is told to, and counts how often it is asked."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(Tables())
        self.clock = clock
        self.answer: Counts | None = Counts(by_status={})
        self.told: list[Endpoint] = []
        self.paused: list[PausedDestination] = []
        self.takes = 0.0
        self.asked = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def paused_destinations(self, at: datetime, *, limit: int) -> Sequence[PausedDestination]:
        return [each for each in self.paused if each.until > at][:limit]

    @property
    def outbox(self) -> Any:
        return Told(self.told)

    def counts(self) -> Counts:
        self.asked += 1
        assert self.go_on.wait(10)
        self.clock.advance(timedelta(seconds=self.takes))
        if self.answer is None:
            raise StoreUnavailable("gone")
        return self.answer


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.shared = SharedCounters()
        self.view = View(self.clock)
        self.doctor = folder / "doctor.json"
        self.scrape = Scrape(
            self.shared, open_view=self.open_view, doctor=self.doctor, clock=self.clock
        )

    def open_view(self) -> QueueView:
        return self.view

    async def values(self, name: str) -> dict[Sequence[str], float]:
        found = await self.scrape.samples()
        return {sample.labels: sample.value for sample in found if sample.family.name == name}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_the_queue_is_read_off_the_store(world: World) -> None:
    world.view.answer = Counts(
        by_status={Status.QUEUED: 3, Status.HELD: 1},
        by_destination={"x.test": 3, "y.test": 1},
        oldest={"x.test": START - timedelta(seconds=90), "y.test": START},
        paused_until={"x.test": START + timedelta(seconds=1), "y.test": START},
        paused_for={"x.test": "login refused: 535", "y.test": "login refused: 535"},
    )
    assert await world.values("relayd_queue_recipients") == {
        ("queued",): 3,
        ("deferred",): 0,
        ("held",): 1,
    }
    assert await world.values("relayd_queue_oldest_seconds") == {(): 90}
    assert await world.values("relayd_destination_queued") == {("x.test",): 3, ("y.test",): 1}
    assert await world.values("relayd_destinations_paused") == {(): 1}
    assert await world.values("relayd_login_refused") == {(): 1}
    assert await world.values("relayd_queue_readable") == {(): 1}
    assert await world.values("relayd_build_info") == {(relayd.__version__,): 1}


async def test_sites_are_counted_by_how_they_are_treated(world: World) -> None:
    slow, mistrust = Seen(saw=Saw.SLOW), Seen(saw=Saw.MISTRUST)
    sites = MemorySites(world.view._tables.sites, world.clock)
    for name, seen in {"a.test": slow, "b.test": mistrust, "c.test": mistrust}.items():
        await sites.note_site(SiteKey(name), seen)
    assert await world.values("relayd_sites") == {
        ("paced",): 1,
        ("resting",): 2,
        ("blocked",): 0,
        ("probing",): 0,
    }


async def test_an_empty_queue_has_no_age(world: World) -> None:
    assert await world.values("relayd_queue_oldest_seconds") == {(): 0}


async def test_only_the_greatest_destinations_are_named(world: World) -> None:
    """Otherwise each domain in the world would be a time series (HW-02)."""
    world.view.answer = Counts(
        by_status={}, by_destination={f"{number:03}.test": number for number in range(500)}
    )
    found = await world.values("relayd_destination_queued")
    assert list(found.values()) == list(range(499, 499 - TOP, -1))


async def test_a_queue_that_cannot_be_read_is_missing(world: World) -> None:
    """The rest is told all the same."""
    world.view.answer = None
    Counters(world.shared.row("1")).received(1)
    assert await world.values("relayd_queue_readable") == {(): 0}
    assert not await world.values("relayd_queue_recipients")
    assert not await world.values("relayd_queue_oldest_seconds")
    assert await world.values("relayd_received_total") == {(): 1}


async def test_many_who_ask_cost_one_look_at_the_queue(world: World) -> None:
    await asyncio.gather(*(world.scrape.samples() for _ in range(20)))
    assert world.view.asked == 1
    world.clock.advance(timedelta(seconds=4.9))
    await world.scrape.samples()
    assert world.view.asked == 1
    world.clock.advance(timedelta(seconds=0.2))
    await world.scrape.samples()
    assert world.view.asked == 2


async def test_a_big_queue_is_looked_at_less_often(world: World) -> None:
    """Looking takes a tenth of the time at most."""
    world.view.takes = 3.0
    await world.scrape.samples()
    world.clock.advance(timedelta(seconds=29))
    await world.scrape.samples()
    assert world.view.asked == 1
    world.clock.advance(timedelta(seconds=2))
    await world.scrape.samples()
    assert world.view.asked == 2


async def test_a_queue_that_takes_too_long_is_told_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known before is told; nobody asks again while somebody reads, gone or not."""
    world.view.answer = Counts(by_status={Status.HELD: 1})
    await world.scrape.samples()
    world.clock.advance(timedelta(seconds=10))
    world.view.answer = Counts(by_status={Status.HELD: 2})
    world.view.go_on.clear()
    monkeypatch.setattr(figures, "_WITHIN", 0.02)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await world.scrape.samples()
    for _ in range(3):
        assert (await world.values("relayd_queue_recipients"))[("held",)] == 1
    assert world.view.asked == 2
    monkeypatch.setattr(figures, "_WITHIN", 10)
    world.view.go_on.set()
    assert (await world.values("relayd_queue_recipients"))[("held",)] == 2
    assert world.view.asked == 2


def saved(*findings: tuple[str, str], ts: str = "2026-03-01T11:59:00.000Z") -> str:
    """The file that `relayd doctor --save` writes."""
    levels = [
        {"ts": ts, "check": check, "subject": "", "level": level, "reason": "", "remedy": ""}
        for check, level in findings
    ]
    return json.dumps({"schema": 1, "ts": ts, "fqdn": "relay.test", "findings": levels})


async def test_what_the_doctor_found_is_told(world: World) -> None:
    world.doctor.write_text(
        saved(
            ("spf", "ok"),
            ("reverse", "warn"),
            ("port25", "fail"),
            ("blocklist", "unknown"),
            ("dkim", "skipped"),
        )
    )
    assert await world.values("relayd_doctor_result") == {
        ("spf",): 0,
        ("reverse",): 1,
        ("port25",): 2,
        ("blocklist",): 3,
    }
    assert await world.values("relayd_doctor_age_seconds") == {(): 60}


async def test_the_graver_of_two_findings_counts(world: World) -> None:
    """A check may be made for each address; a series can be told once only."""
    levels = ("ok", "skipped", "fail", "unknown", "warn")
    world.doctor.write_text(saved(*(("spf", level) for level in levels)))
    assert await world.values("relayd_doctor_result") == {("spf",): 2}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "5",
        "[]",
        "{}",
        '{"ts": 5, "findings": []}',
        saved(("spf", "ok"), ts="2026-03-01T11:59:00"),
        saved(("spf", "ok"), ts="today"),
        saved(("spf", "so so")),
        '{"ts": "2026-03-01T11:59:00Z", "findings": [5]}',
    ],
)
async def test_a_doctor_that_cannot_be_read_is_missing(world: World, text: str | None) -> None:
    if text is not None:
        world.doctor.write_text(text)
    assert not await world.values("relayd_doctor_result")
    assert not await world.values("relayd_doctor_age_seconds")
    assert await world.values("relayd_queue_readable") == {(): 1}


@pytest.mark.parametrize(
    ("gauges", "reasons"),
    [
        ({}, []),
        ({"is_full": True}, ["the disk of the queue is full: no new mail is taken"]),
        ({"is_failing": True}, ["the store fails: a message could not be stored"]),
        (
            {"is_paused": True, "is_failing": True, "is_full": True},
            [
                "the disk of the queue is full: no new mail is taken",
                "deliveries are paused: results cannot be written",
            ],
        ),
    ],
)
async def test_ready_is_a_worker_that_would_take_mail_and_deliver_it(
    world: World, gauges: dict[str, bool], reasons: list[str]
) -> None:
    assert await world.scrape.reasons() == ["no worker is ready"]
    counters = Counters(world.shared.row("1"))
    counters.measured(clients=0, servers=0, **{"is_paused": False, **gauges})
    assert await world.scrape.reasons() == reasons


async def test_a_daemon_that_leaves_is_not_ready(world: World) -> None:
    """Who asks is noted: nobody waits for those who do not."""
    Counters(world.shared.row("1")).measured(clients=0, servers=0, is_paused=False)
    for _ in range(3):
        assert not world.shared.probes.are_regular(world.clock.monotonic())
        world.clock.advance(timedelta(seconds=2))
        assert not await world.scrape.reasons()
    assert world.shared.probes.are_regular(world.clock.monotonic())
    world.shared.probes.leave()
    assert await world.scrape.reasons() == ["relayd stops: it takes mail for some seconds more"]


async def test_a_pause_of_all_mail_is_a_reason_and_other_pauses_are_none(world: World) -> None:
    Counters(world.shared.row("1")).measured(clients=0, servers=0, is_paused=False)
    stamp, looks = [1], 0
    rules = [
        a_rule(Named(Scope.TAG, "news"), *Side),
        a_rule(Named(Scope.ALL), Side.INTAKE, Side.DELIVERY, until=START + timedelta(hours=1)),
        a_rule(Named(Scope.ALL), Side.DELIVERY, until=START),
    ]

    def read() -> list[PauseRule]:
        nonlocal looks
        looks += 1
        return rules

    world.scrape = Scrape(
        world.shared,
        open_view=world.open_view,
        doctor=world.doctor,
        clock=world.clock,
        pausing=Pausing(stamp, read=read),
    )
    [reason] = await world.scrape.reasons()
    assert reason.startswith("paused: intake and delivery of all mail, until 20")
    assert reason.endswith(", by ann: moving house")
    await world.scrape.reasons()
    assert looks == 1
    stamp[0], rules[:] = 2, rules[:1]
    assert not await world.scrape.reasons()
    assert looks == 2


@pytest.mark.parametrize(
    ("only", "is_reason"),
    [
        pytest.param(set(), False, id="other-ways"),
        pytest.param({"smarthost"}, True, id="one-smarthost"),
        pytest.param({"smarthost", "smarthost:b"}, False, id="another-that-may-let-us-in"),
        pytest.param({"smarthost", "smarthost:c"}, True, id="none-lets-us-in"),
    ],
)
async def test_a_login_that_stops_all_mail_is_a_reason(
    world: World, only: set[str], *, is_reason: bool
) -> None:
    """It is read off the store again after a few seconds, so a probe costs little."""
    Counters(world.shared.row("1")).measured(clients=0, servers=0, is_paused=False)
    world.scrape = Scrape(
        world.shared,
        open_view=world.open_view,
        doctor=world.doctor,
        clock=world.clock,
        only_ways=frozenset(only),
    )
    why = "login refused: 535 5.7.8 no"
    later = START + timedelta(hours=1)
    world.view.paused = [
        PausedDestination(destination="host:[a.test]:25", until=later, why=why),
        PausedDestination(destination="smarthost", until=later, why="no server answered"),
        PausedDestination(destination="smarthost:c", until=later, why=why),
    ]
    assert await world.scrape.reasons() == []
    world.view.paused[1] = replace(world.view.paused[1], why=why)
    assert await world.scrape.reasons() == []
    world.clock.advance(timedelta(seconds=5))
    reasons = [f"nothing is delivered: {why}"] if is_reason else []
    assert await world.scrape.reasons() == reasons
    world.clock.advance(timedelta(hours=1))
    assert await world.scrape.reasons() == []


def a_rule(named: Named, *sides: Side, until: datetime | None = None) -> PauseRule:
    return PauseRule(
        named=named,
        sides=frozenset(sides),
        since=START,
        until=until,
        by="ann",
        reason="moving house",
    )


def test_labels_are_escaped() -> None:
    """A destination comes from a settings file or a stranger's address."""
    samples = [
        Sample(family=DESTINATIONS, labels=('a"b\\c\nd',), value=1),
        Sample(family=DESTINATIONS, labels=("b\u00fccher\udc80.test",), value=2.5),
        Sample(family=DOCTOR, labels=("spf",), value=0),
    ]
    assert render(samples).decode().splitlines() == [
        f"# HELP relayd_destination_queued {DESTINATIONS.help}",
        "# TYPE relayd_destination_queued gauge",
        'relayd_destination_queued{destination="a\\"b\\\\c\\nd"} 1',
        'relayd_destination_queued{destination="b\u00fccher\\udc80.test"} 2.5',
        f"# HELP relayd_doctor_result {DOCTOR.help}",
        "# TYPE relayd_doctor_result gauge",
        'relayd_doctor_result{check="spf"} 0',
    ]


@pytest.mark.parametrize("is_on", [True, False])
async def test_what_is_switched_on_has_a_metric(world: World, *, is_on: bool) -> None:
    world.scrape = Scrape(
        world.shared,
        open_view=world.open_view,
        doctor=world.doctor,
        clock=world.clock,
        switches=Switches(soft_bounce=is_on, redirect="qa@x.test" * is_on),
    )
    assert await world.values("relayd_soft_bounce") == {(): is_on}
    assert await world.values("relayd_redirect") == {(): is_on}


async def test_webhooks_that_wait_or_are_disabled_are_told(world: World) -> None:
    off = {1: Off.NO, 2: Off.BY_HAND, 3: Off.GONE, 4: Off.UNREACHABLE}
    wanted = Subscription(url="https://app.test/", kinds=TOLD)
    world.view.told = [
        Endpoint(
            id=EndpointId(number),
            wanted=wanted,
            created_at=START,
            generation=1,
            off=each,
            waiting=number,
            oldest=world.clock.now() - timedelta(seconds=number),
        )
        for number, each in off.items()
    ]
    assert await world.values("relayd_webhook_waiting") == {(): 10}
    assert await world.values("relayd_webhook_oldest_seconds") == {(): 4}
    assert await world.values("relayd_webhook_disabled") == {(): 2}


async def test_without_webhooks_nothing_waits(world: World) -> None:
    assert await world.values("relayd_webhook_waiting") == {(): 0}
    assert await world.values("relayd_webhook_oldest_seconds") == {(): 0}
    results = await world.values("relayd_webhook_deliveries_total")
    assert results == {("done",): 0, ("waits",): 0, ("failed",): 0}
