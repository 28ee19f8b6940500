"""What every store must do: keep content of what bounced, and make new messages of it, each once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.mail.envelope import REPORT, Client, NewMessage
from relayd.mail.ids import WorkerNumber, format_id
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.requeue import RequeueCounts
from relayd.ports.queue import Batch
from relayd.ports.requeue import Requeue
from relayd.ports.view import Query, Status, Target
from relayd.store.memory.queue import MemoryStore
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_bounce, a_facts, a_message, a_recipient, settlements_of
from tests.support.clock import FakeClock
from tests.support.requeueing import a_requeue
from tests.support.stores import OPENERS, SLOTS, Box, open_postgres
from tests.support.workers import registered

DAY = timedelta(days=1)


@pytest.fixture(params=OPENERS)
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    """A store that keeps what bounces."""
    clock, path = FakeClock(), str(tmp_path / "queue.db")
    if request.param == "memory":
        memory = MemoryStore(clock, SLOTS, keeps_bounced=True)
        kept = Box(store=memory, view=memory.view, clock=clock)
    elif request.param == "postgresql":
        kept = open_postgres(tmp_path, keeps_bounced=True)
    else:
        sqlite = SqliteStore.open(path, clock=clock, slots=SLOTS, keeps_bounced=True)
        kept = Box(store=sqlite, view=SqliteView(path), clock=clock)
    yield kept
    await kept.close()


@pytest.fixture
async def worker(box: Box) -> WorkerNumber:
    return await registered(box.store, "worker")


def how(box: Box, *, again: bool = False, spares_suppressed: bool = False) -> Requeue:
    return a_requeue(box.clock, again=again, spares_suppressed=spares_suppressed)


async def bounced(box: Box, worker: WorkerNumber, message: NewMessage, *others: Outcome) -> None:
    """Have a message bounce for its first recipient, and the others end otherwise."""
    await box.put(message, worker=worker)
    outcomes = [a_bounce(), *others]
    for work in await box.claim(worker):
        settlements = settlements_of(work)
        ended = [
            replace(each, outcome=outcomes[min(each.recipient, len(outcomes) - 1)])
            for each in settlements
        ]
        await box.store.settle(work.lease, ended)


async def test_the_new_message_is_the_old_one_for_those_who_bounced(
    box: Box, worker: WorkerNumber
) -> None:
    """Tag, subject, envelope, parameters, client and octets stay; id, age and destination are of today."""
    asked = a_recipient("a@x.test", parameters={"NOTIFY": "FAILURE", "ORCPT": "rfc822;a@x.test"})
    old = a_message(
        asked,
        "b@y.test",
        parameters={"ENVID": "7", "RET": "HDRS"},
        facts=replace(a_facts(message_id_header="<1@app.test>", tag="news"), subject="Your order"),
        auth_user="shop",
    )
    await bounced(box, worker, old, Relayed())
    box.advance(3600)
    requeued = await box.store.requeue(Query(tag=("news",)), how(box))
    assert requeued.counts == RequeueCounts(matched=1, changed=1, suppressed=1)
    [new] = requeued.messages
    assert box.row(old).status is Status.BOUNCED, "its history stays what it is"
    [row] = box.rows(Query(message_id=new.id))
    assert (row.address, row.status, row.destination) == ("a@x.test", Status.QUEUED, "today.x.test")
    assert (row.tag, row.auth_user, row.reverse_path) == ("news", "shop", "app@app.test")
    assert (row.message_id_header, row.received_at) == ("<1@app.test>", box.clock.now())
    assert row.subject == "Your order", "kept with the old one"
    [work] = await box.claim(worker)
    assert (work.message.id, work.message.age) == (new.id, timedelta())
    assert work.message.parameters.words() == old.parameters.words()
    assert work.recipients[0].parameters.words() == asked.parameters.words()
    assert (work.recipients[0].attempt, work.recipients[0].soft_failures) == (1, 0)
    assert await box.store.content(new.id) == old.content


async def test_each_history_names_the_other(box: Box, worker: WorkerNumber) -> None:
    old = a_message("a@x.test")
    await bounced(box, worker, old)
    requeued = await box.store.requeue(Query(message_id=old.id), how(box))
    [new] = requeued.messages
    said = {"by": "ann", "reason": "wrong smarthost"}
    *_, last = box.view.history(old.id)
    assert (last.kind, last.detail) == ("requeued", {**said, "requeued_as": format_id(new.id)})
    received, first = box.view.history(new.id)
    assert (received.kind, first.kind) == ("received", "requeued")
    assert first.detail == {**said, "requeued_from": format_id(old.id)}
    assert {event.message_id for event in requeued.events} == {old.id, new.id}
    assert all(event.subject and event.subject.address == "a@x.test" for event in requeued.events)


async def test_nothing_is_requeued_twice_unless_that_is_said(
    box: Box, worker: WorkerNumber
) -> None:
    old = a_message("a@x.test")
    await bounced(box, worker, old)
    everything = Query()
    assert (await box.store.requeue(everything, how(box), dry_run=True)).counts.changed == 1
    assert (await box.store.requeue(everything, how(box))).counts.changed == 1
    for dry_run in (True, False):
        second = await box.store.requeue(everything, how(box), dry_run=dry_run)
        assert second.counts == RequeueCounts(matched=1, already=1)
        assert (second.messages, second.events) == ((), ())
    again = await box.store.requeue(everything, how(box, again=True))
    assert again.counts == RequeueCounts(matched=1, changed=1, suppressed=1)
    assert len(box.rows()) == 3


async def test_counting_changes_nothing(box: Box, worker: WorkerNumber) -> None:
    await bounced(box, worker, a_message("a@x.test"))
    before = box.rows()
    counted = await box.store.requeue(Query(), how(box), dry_run=True)
    assert (counted.counts, counted.messages) == (
        RequeueCounts(matched=1, changed=1, suppressed=1),
        (),
    )
    assert box.rows() == before
    assert await box.claim(worker) == []


@pytest.mark.parametrize("limit", [1, 2, 99])
async def test_those_who_are_named_are_those_who_are_requeued(
    box: Box, worker: WorkerNumber, limit: int
) -> None:
    for name in ("a", "b", "c"):
        await bounced(box, worker, a_message(f"{name}@x.test", f"{name}@y.test"), Relayed())
    await box.store.requeue(Query(recipient=("b@x.test",)), how(box))
    named: list[Target] = []
    before = None
    for _ in range(9):
        part = Batch(limit=limit, before=before)
        foreseen = await box.store.requeue(Query(), how(box), batch=part, dry_run=True)
        assert len(foreseen.targets) == foreseen.counts.changed
        named += foreseen.targets
        before = foreseen.more
        if before is None:
            break
    assert sorted(each.address for each in named) == ["a@x.test", "c@x.test"]
    done = await box.store.requeue(Query(), how(box))
    old = {(each.message_id, each.recipient) for each in named}
    assert old == {
        (each.message_id, each.recipient) for each in done.events if "requeued_as" in each.detail
    }


async def test_what_is_left_is_counted(box: Box, worker: WorkerNumber) -> None:
    """Content that is deleted, and addresses that the settings refuse."""
    gone, kept = a_message("gone@x.test"), a_message("a@x.test")
    await bounced(box, worker, gone)
    box.advance(60)
    assert (await box.store.let_go(box.clock.now())).messages == 1
    await bounced(box, worker, kept)
    counted = await box.store.requeue(Query(), how(box, spares_suppressed=True))
    assert counted.counts == RequeueCounts(matched=2, gone=1, refused=1)
    assert counted.messages == ()
    said = await box.store.requeue(Query(), how(box))
    assert said.counts == RequeueCounts(matched=2, changed=1, suppressed=1, gone=1)


async def test_only_what_bounced_matches(box: Box, worker: WorkerNumber) -> None:
    waiting, relayed = a_message("a@x.test"), a_message("b@x.test")
    await box.put(waiting, worker=worker)
    (work,) = await box.put(relayed, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work))
    assert (await box.store.requeue(Query(domain=("x.test",)), how(box))).counts == RequeueCounts()


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_batches_requeue_each_once(box: Box, worker: WorkerNumber, limit: int) -> None:
    old = [a_message(f"{number}@x.test") for number in range(5)]
    for message in old:
        await bounced(box, worker, message)
    before, rounds, changed = None, 0, 0
    while rounds == 0 or before is not None:
        done = await box.store.requeue(
            Query(domain=("x.test",)), how(box, again=True), batch=Batch(limit=limit, before=before)
        )
        changed += done.counts.changed
        before, rounds = done.more, rounds + 1
        assert rounds < 10
    assert changed == 5
    assert len(box.rows()) == 10


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_a_message_becomes_one_however_the_batches_fall(
    box: Box, worker: WorkerNumber, limit: int
) -> None:
    old = [
        a_message(*(f"{message}{number}@x.test" for number in range(many)))
        for message, many in enumerate([3, 1, 2])
    ]
    for message in old:
        await bounced(box, worker, message)
    new: list[NewMessage] = []
    before, is_first = None, True
    while is_first or before is not None:
        batch = Batch(limit=limit, before=before)
        done = await box.store.requeue(Query(domain=("x.test",)), how(box), batch=batch)
        assert done.counts.matched == done.counts.changed + done.counts.already
        new += done.messages
        before, is_first = done.more, False
    assert sorted(len(each.recipients) for each in new) == [1, 2, 3]


async def test_content_is_kept_for_what_bounced_alone(box: Box, worker: WorkerNumber) -> None:
    """By a server or by an operator; not of what was accepted or dropped, nor of our own reports."""
    by_server, by_operator = a_message("a@x.test"), a_message("b@x.test")
    accepted, dropped = a_message("c@x.test"), a_message("d@x.test")
    mixed = a_message("e@x.test", "f@x.test")
    await bounced(box, worker, by_server)
    await bounced(box, worker, mixed, Relayed())
    for message in (by_operator, accepted, dropped):
        await box.put(message, worker=worker)
    for message, action in ((by_operator, Action.BOUNCE), (dropped, Action.DROP)):
        await box.store.act(Query(message_id=message.id), action, by="ann", reason="")
    for work in await box.claim(worker):
        await box.store.settle(work.lease, settlements_of(work))
    report = replace(
        a_message("app@app.test", reverse_path=""),
        client=Client(ip="", helo="relay.test", listener=REPORT),
    )
    told = a_message("g@x.test")
    (work,) = await box.put(told, worker=worker, leased=True)
    await box.store.settle(work.lease, settlements_of(work), [report])
    for work in await box.claim(worker):
        await box.store.settle(work.lease, settlements_of(work, a_bounce()))
    kept = {
        message.id: await box.store.content(message.id) is not None
        for message in (by_server, by_operator, mixed, accepted, dropped, told, report)
    }
    assert [*kept.values()] == [True, True, True, False, False, False, False]


async def test_content_goes_after_its_time(box: Box, worker: WorkerNumber) -> None:
    """But not that of mail for which somebody waits yet."""
    old, half = (
        a_message("a@x.test"),
        a_message("a@x.test", a_recipient("b@y.test", destination="y")),
    )
    await bounced(box, worker, old)
    await box.put(half, worker=worker)
    (work,) = await box.claim(worker, only=["smarthost"])
    await box.store.settle(work.lease, settlements_of(work, a_bounce()))
    box.advance(DAY.total_seconds())
    assert (await box.store.let_go(box.clock.now() - DAY)).messages == 0
    box.advance(1)
    assert (await box.store.let_go(box.clock.now() - DAY)).messages == 2
    assert (await box.store.let_go(box.clock.now() - DAY)).messages == 0
    assert await box.store.content(old.id) is None
    assert await box.store.content(half.id) == half.content
    (work,) = await box.claim(worker)
    await box.store.settle(work.lease, settlements_of(work))
    assert await box.store.content(half.id) is None


async def test_history_that_goes_takes_its_content_along(box: Box, worker: WorkerNumber) -> None:
    old = a_message("a@x.test")
    await bounced(box, worker, old)
    box.advance(2 * DAY.total_seconds())
    assert await box.store.purge(box.clock.now() - DAY) == 1
    assert await box.store.content(old.id) is None
    assert (await box.store.let_go(box.clock.now())).messages == 0
