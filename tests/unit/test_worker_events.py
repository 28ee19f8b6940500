"""Each event has its line and is counted: the status log and the counters do not know each other."""

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relayd.logs.status import StatusLog
from relayd.metrics.counters import Counters
from relayd.metrics.families import EVENTS, REFUSED, WEBHOOK_DELIVERIES
from relayd.metrics.shared import SharedCounters
from relayd.policy.console.webhook import Result
from relayd.ports.outbox import EndpointId, Settled
from relayd.store.memory.queue import MemoryStore
from relayd.worker.events import Events
from tests.support.builders import a_message
from tests.support.clock import START, FakeClock
from tests.support.every_event import write_every_event


@pytest.fixture
def shared() -> SharedCounters:
    return SharedCounters()


def events_total(shared: SharedCounters) -> dict[str, float]:
    samples = (sample for sample in shared.samples() if sample.family is EVENTS)
    return {sample.labels[0]: sample.value for sample in samples if sample.value}


def lines_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_as_many_events_are_counted_as_have_lines(
    tmp_path: Path, shared: SharedCounters
) -> None:
    path, clock = tmp_path / "status.log", FakeClock()
    store = MemoryStore(clock, keeps_bounced=True)
    with closing(StatusLog(str(path), node="node1")) as log:
        sink = Events(log, Counters(shared.row("1")))
        await write_every_event(store, store.view, clock, sink)
    assert events_total(shared) == Counter(line["event"] for line in lines_in(path))


def test_a_refusal_beyond_what_is_written_is_counted(
    tmp_path: Path, shared: SharedCounters
) -> None:
    path = tmp_path / "status.log"
    with closing(StatusLog(str(path), node="node1")) as log:
        sink = Events(log, Counters(shared.row("1")))
        sink.refused(START, {"code": 550})
        sink.refused(START, {"code": 450}, is_written=False)
    assert [line["code"] for line in lines_in(path)] == [550]
    assert (shared.total(REFUSED, "4yz"), shared.total(REFUSED, "5yz")) == (1, 1)


def test_what_became_of_webhooks_is_counted_and_has_no_line(
    tmp_path: Path, shared: SharedCounters
) -> None:
    path = tmp_path / "status.log"
    with closing(StatusLog(str(path), node="node1")) as log:
        events = Events(log, Counters(shared.row("1")))
        settled = [
            Settled(endpoint=EndpointId(1), number=number, result=result)
            for number, result in enumerate((Result.DONE, Result.DONE, Result.FAILED))
        ]
        events.told(settled)
    samples = {
        sample.labels[0]: sample.value
        for sample in shared.samples()
        if sample.family is WEBHOOK_DELIVERIES
    }
    assert samples == {"done": 2, "waits": 0, "failed": 1}
    assert not path.exists() or not lines_in(path)


def test_a_mail_about_a_webhook_is_received_as_any_other(
    tmp_path: Path, shared: SharedCounters
) -> None:
    path = tmp_path / "status.log"
    mail = a_message("ops@example.org", reverse_path="")
    with closing(StatusLog(str(path), node="node1")) as log:
        one = Settled(endpoint=EndpointId(1), number=1, result=Result.WAITS, mail=mail)
        Events(log, Counters(shared.row("1"))).told([one])
    [line] = lines_in(path)
    assert (line["event"], line["rcpt"]) == ("received", "ops@example.org")
    assert events_total(shared) == {"received": 1}
