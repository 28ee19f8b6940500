"""Counted outcomes, over every store: what the tally tells is what the history shows."""

from datetime import timedelta

import pytest

from relayd.answers.tally import bounced
from relayd.mail.ids import WorkerNumber
from relayd.mail.outcome import Relayed
from relayd.mail.tally import BOUNCES, Dimension, percentile
from relayd.ports.tally import TallyQuery
from relayd.ports.view import Query
from tests.support import every_event
from tests.support.builders import a_bounce, a_deferral, a_message, a_settlement
from tests.support.clock import START
from tests.support.histories import fill
from tests.support.post import ListSink
from tests.support.stores import Box
from tests.support.tallies import recounted, told, told_in_all

QUESTIONS = [None, *Dimension]
AT_ONCE = 7  # events in a batch here


async def _count(box: Box, times: int = 10_000) -> None:
    for _ in range(times):
        if not await box.store.tally_up(AT_ONCE):
            break


@pytest.mark.parametrize("batches", [0, 3, 10_000], ids=["not counted", "partly", "counted"])
async def test_the_tally_tells_what_the_history_shows(box: Box, batches: int) -> None:
    """Whatever of it is counted already."""
    await fill(box, messages=60)
    await _count(box, batches)
    for by in QUESTIONS:
        answer = box.view.tally(TallyQuery(by=by))
        assert told_in_all(answer) == recounted(box.view, None)
        assert by is None or told(answer) == recounted(box.view, by), by
        assert answer.counted_until is None


@pytest.mark.parametrize("batches", [0, 3, 10_000], ids=["not counted", "partly", "counted"])
async def test_a_time_is_moved_outwards_to_full_steps(box: Box, batches: int) -> None:
    await fill(box, messages=60)
    await _count(box, batches)
    since, until = START + timedelta(minutes=11), START + timedelta(minutes=31)
    covered = START + timedelta(minutes=10), START + timedelta(minutes=40)
    answer = box.view.tally(TallyQuery(by=Dimension.SENDER, since=since, until=until))
    assert (answer.since, answer.until) == covered
    assert told(answer) == recounted(box.view, Dimension.SENDER, *covered)
    assert told_in_all(answer) == recounted(box.view, None, *covered)
    assert answer.begins == START


async def test_by_time_there_is_a_row_for_each_step(box: Box) -> None:
    await fill(box, messages=60)
    await _count(box, 3)
    step = timedelta(minutes=10)
    answer = box.view.tally(TallyQuery(step=step, since=START + timedelta(minutes=15)))
    found = box.view.find(Query(), limit=1000)
    last = max(each.at for row in found for each in box.view.history(row.message_id))
    steps = (last - START) // step
    begins = [START + step * number for number in range(1, steps + 1)]
    assert [row.at for row in answer.rows] == begins
    assert answer.since == begins[0]
    assert sum(row.counts["received"] for row in answer.rows) == answer.total.counts["received"]
    for row, at in zip(answer.rows, begins, strict=True):
        counts, delays = recounted(box.view, None, at, at + step).get("", ({}, {}))
        assert ({name: n for name, n in row.counts.items() if n}, row.delays) == (counts, delays)


async def test_those_with_most_mail_come_first_and_limit_leaves_out_others(
    box: Box, worker: WorkerNumber
) -> None:
    for number, sender in enumerate(("few@x.test", "most@x.test", "most@x.test")):
        await box.put(a_message(reverse_path=sender, count=number), worker=worker)
    answer = box.view.tally(TallyQuery(by=Dimension.SENDER, limit=1))
    assert [row.value for row in answer.rows] == ["most@x.test"]
    assert answer.total.counts["received"] == 3


async def test_a_delay_is_from_reception_to_acceptance(box: Box, worker: WorkerNumber) -> None:
    """Deferrals and waits included."""
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(
        work.lease, [a_settlement(message.id, 0, a_deferral(START), at=box.clock.now())]
    )
    box.advance(600)
    [work] = await box.claim(worker)
    await box.store.settle(work.lease, [a_settlement(message.id, 0, Relayed(), at=box.clock.now())])
    for _ in range(2):
        told_delay = percentile(box.view.tally(TallyQuery()).total.delays, 0.5)
        assert told_delay == pytest.approx(600, rel=0.1)
        await _count(box)


async def test_each_event_counts_that_is_to(box: Box) -> None:
    """Each kind happens once and more; bounces count by class, an operator's as well."""
    await every_event.write_every_event(box.store, box.view, box.clock, ListSink())
    for batches in (0, 10_000):
        await _count(box, batches)
        answer = box.view.tally(TallyQuery())
        assert told_in_all(answer) == recounted(box.view, None)
        assert {name for name, number in answer.total.counts.items() if not number} == {"soft"}


async def test_purged_history_is_forgotten_by_the_day(box: Box, worker: WorkerNumber) -> None:
    for number in range(4):
        message = a_message("a@x.test", at=box.clock.now(), count=number)
        [work] = await box.put(message, worker=worker, leased=True)
        await box.store.settle(
            work.lease, [a_settlement(message.id, 0, a_bounce(), at=box.clock.now())]
        )
        box.advance(24 * 3600)
    await _count(box)
    while await box.store.purge(box.clock.now() - timedelta(days=2)):
        pass
    for _ in range(2):
        answer = box.view.tally(TallyQuery(step=timedelta(days=1)))
        assert [row.counts["hard"] for row in answer.rows] == [1, 1]
        assert answer.begins == START.replace(hour=0) + timedelta(days=2)
        await _count(box)


async def test_events_after_a_purge_of_all_count(box: Box, worker: WorkerNumber) -> None:
    """The store may give their numbers again."""
    for round_ in range(3):
        message = a_message("a@x.test", at=box.clock.now(), count=round_)
        [work] = await box.put(message, worker=worker, leased=True)
        await box.store.settle(
            work.lease, [a_settlement(message.id, 0, a_bounce(), at=box.clock.now())]
        )
        while await box.store.tally_up(1):
            pass
        since = box.clock.now()
        box.advance(3 * 24 * 3600)
        while await box.store.purge(box.clock.now() - timedelta(days=1)):
            pass
        answer = box.view.tally(TallyQuery(since=since))
        assert answer.total.counts.get("hard", 0) == 0
    [work] = await box.put(
        a_message("b@x.test", at=box.clock.now(), count=9), worker=worker, leased=True
    )
    for _ in range(2):
        assert box.view.tally(TallyQuery()).total.counts["received"] == 1
        while await box.store.tally_up(1):
            pass


async def test_an_empty_time_is_empty(box: Box) -> None:
    answer = box.view.tally(TallyQuery(by=Dimension.TAG))
    assert (answer.rows, answer.begins, told_in_all(answer)) == ([], None, {})
    await fill(box, messages=3)
    later = START + timedelta(days=1)
    for by in QUESTIONS:
        answer = box.view.tally(TallyQuery(by=by, since=later, until=later - timedelta(hours=1)))
        assert (list(answer.rows), sum(answer.total.counts.values())) == ([], 0)


@pytest.mark.parametrize("batches", [0, 3, 10_000], ids=["not counted", "partly", "counted"])
async def test_bounces_alone_those_with_most_of_them_first(box: Box, batches: int) -> None:
    """Also of a value with so little mail that others with more would leave it out; the total is of all."""
    await fill(box, messages=60)
    await _count(box, batches)
    for by in Dimension:
        whole = box.view.tally(TallyQuery(by=by))
        bounces = {
            row.value.lower(): [row.counts[name] for name in BOUNCES]
            for row in whole.rows
            if bounced(row)
        }
        answer = box.view.tally(TallyQuery(by=by, only_bounces=True))
        found = {row.value.lower(): [row.counts[name] for name in BOUNCES] for row in answer.rows}
        assert found == bounces
        assert bounces
        most = sorted((sum(each) for each in bounces.values()), reverse=True)
        assert [sum(row.counts.values()) for row in answer.rows] == most
        assert not any(row.delays for row in answer.rows)
        assert answer.total == whole.total
        [first] = box.view.tally(TallyQuery(by=by, only_bounces=True, limit=1)).rows
        assert first == answer.rows[0]
