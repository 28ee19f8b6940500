"""What every store must do: applications are told each event that they ask for, in order, at least once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.errors import LeaseLost
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action as Act
from relayd.mail.words import EventKind
from relayd.policy.console.webhook import AT_ONCE, Off, Result
from relayd.ports.outbox import (
    TOLD,
    UNFINISHED,
    Action,
    DeliveryQuery,
    DeliveryResult,
    DeliveryRow,
    DeliveryState,
    Endpoint,
    EndpointId,
    Heard,
    Outgoing,
    Replay,
    Subscription,
    SubscriptionChange,
)
from relayd.ports.people import AuditQuery, Author
from relayd.ports.view import Query
from tests.support.builders import a_deferral, a_message, settlements_of
from tests.support.every_event import write_every_event
from tests.support.stores import ALL, LEASE, Box
from tests.support.workers import registered

HOUR, DAY = 3600.0, 86400.0
ANNA = Author(by="anna (console)", client="192.0.2.7")
RELAYED = Subscription(url="https://app.test/hook", kinds=(EventKind.RELAYED,))
ALL_KINDS = replace(RELAYED, kinds=TOLD)
UNKNOWN = EndpointId(99)


class NoSink:
    """Events are asked of the store."""

    def __getattr__(self, name: str) -> object:
        return lambda *_args, **_kwargs: None


async def an_endpoint(box: Box, wanted: Subscription = RELAYED) -> EndpointId:
    endpoint = await box.store.outbox.put_endpoint(wanted, author=ANNA)
    assert endpoint is not None
    return endpoint


async def relayed(
    box: Box,
    worker: WorkerNumber,
    *addresses: str,
    reverse_path: str = "app@app.test",
    tag: str | None = None,
) -> NewMessage:
    """A message that was accepted by the next hop, for all of its recipients."""
    message = a_message(*addresses, at=box.clock.now(), reverse_path=reverse_path, tag=tag)
    for work in await box.put(message, worker=worker, leased=True):
        await box.store.settle(work.lease, settlements_of(work, at=box.clock.now()))
    return message


async def claimed(box: Box, limit: int = ALL) -> Sequence[Outgoing]:
    return await box.store.outbox.claim_deliveries(limit, lease_for=LEASE)


async def answer(
    box: Box, *sent: Outgoing, status: int | None = 200, retry_after: timedelta | None = None
) -> list[Result]:
    heard = Heard(
        status=status, trouble="" if status else "timeout", octets=7, took=timedelta(seconds=0.25)
    )
    results = [
        DeliveryResult(
            endpoint=each.endpoint,
            number=each.number,
            claim=each.claim,
            heard=heard,
            retry_after=retry_after,
        )
        for each in sent
    ]
    settled = await box.store.outbox.settle_deliveries(results, jitter=0.0)
    return [each.result for each in settled]


def rows(box: Box, endpoint: EndpointId, *states: DeliveryState) -> Sequence[DeliveryRow]:
    return box.view.outbox.deliveries(DeliveryQuery(endpoint=endpoint, states=states, limit=ALL))


def the(box: Box, endpoint: EndpointId) -> Endpoint:
    return next(each for each in box.view.outbox.endpoints() if each.id == endpoint)


def whom(sent: Sequence[Outgoing]) -> list[str]:
    return [each.event.subject.address for each in sent if each.event and each.event.subject]


async def test_without_an_endpoint_nothing_is_written(box: Box, worker: WorkerNumber) -> None:
    await relayed(box, worker, "a@x.test")
    assert list(await claimed(box)) == []
    endpoint = await an_endpoint(box)
    assert rows(box, endpoint) == []


async def test_an_event_is_told_with_all_that_the_status_log_says(
    box: Box, worker: WorkerNumber
) -> None:
    endpoint = await an_endpoint(box)
    message = await relayed(box, worker, "a@x.test", tag="news")
    [sent] = await claimed(box)
    assert (sent.endpoint, sent.url, sent.generations) == (endpoint, RELAYED.url, (1,))
    event = sent.event
    assert event is not None
    assert event.subject is not None
    assert (event.kind, event.at, event.message_id) == (
        EventKind.RELAYED,
        box.clock.now(),
        message.id,
    )
    assert event.detail["code"] == 250
    assert (event.subject.address, event.subject.tag) == ("a@x.test", "news")
    assert (event.subject.reverse_path, event.subject.size) == (
        "app@app.test",
        len(message.content),
    )


async def test_every_way_an_event_comes_about_is_told(box: Box) -> None:
    """One delivery for each event of the history that may be told, whichever verb wrote it."""
    endpoint = await an_endpoint(box, ALL_KINDS)
    await write_every_event(box.store, box.view, box.clock, NoSink())  # type: ignore[arg-type]
    ids = {row.message_id for row in box.rows()}
    happened = [
        (message_id, entry.recipient, entry.kind)
        for message_id in ids
        for entry in box.view.history(message_id)
        if entry.kind in TOLD
    ]
    told = [
        (each.message_id, each.recipient, str(each.kind))
        for row in rows(box, endpoint)
        if (each := row.event)
    ]
    assert sorted(told) == sorted(happened)
    assert {kind for _, _, kind in told} == set(TOLD)


@pytest.mark.parametrize("kind", TOLD)
async def test_an_endpoint_is_told_what_it_asks_for(box: Box, kind: EventKind) -> None:
    endpoint = await an_endpoint(box, replace(RELAYED, kinds=(kind,)))
    await write_every_event(box.store, box.view, box.clock, NoSink())  # type: ignore[arg-type]
    assert {row.event.kind for row in rows(box, endpoint) if row.event} == {kind}


FILTERS = [
    ((), (), 1),
    (("app@app.test",), (), 1),
    (("APP@APP.TEST",), (), 1),
    (("other@app.test", "app@app.test"), (), 1),
    (("@app.test",), (), 1),
    (("@APP.test",), (), 1),
    (("other@app.test",), (), 0),
    (("@pp.test",), (), 0),
    (("@test",), (), 0),
    (("app.test",), (), 0),
    (("%",), (), 0),
    (("@%",), (), 0),
    ((), ("news",), 1),
    ((), ("NEWS", "x"), 1),
    ((), ("new",), 0),
    ((), ("%",), 0),
    (("app@app.test",), ("news",), 1),
    (("app@app.test",), ("x",), 0),
    (("x@app.test",), ("news",), 0),
]


@pytest.mark.parametrize(("senders", "tags", "is_told"), FILTERS)
async def test_an_endpoint_chooses_senders_and_tags(
    box: Box, worker: WorkerNumber, senders: tuple[str, ...], tags: tuple[str, ...], is_told: int
) -> None:
    endpoint = await an_endpoint(box, replace(RELAYED, senders=senders, tags=tags))
    await relayed(box, worker, "a@x.test", tag="news")
    assert len(rows(box, endpoint)) == is_told


async def test_mail_without_a_tag_or_sender_is_of_none(box: Box, worker: WorkerNumber) -> None:
    tagged = await an_endpoint(box, replace(RELAYED, tags=("news",)))
    sent = await an_endpoint(box, replace(RELAYED, senders=("app@app.test",)))
    everything = await an_endpoint(box)
    await relayed(box, worker, "a@x.test", reverse_path="")
    assert [len(rows(box, each)) for each in (tagged, sent, everything)] == [0, 0, 1]


async def test_what_is_not_recorded_is_not_told(box: Box, worker: WorkerNumber) -> None:
    """Event and delivery are one transaction: a settlement that comes too late tells nobody."""
    endpoint = await an_endpoint(box, ALL_KINDS)
    message = a_message("a@x.test")
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.release(work.lease)
    with pytest.raises(LeaseLost):
        await box.store.settle(work.lease, settlements_of(work))
    assert rows(box, endpoint) == []


async def test_events_of_a_recipient_go_one_after_the_other(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box, ALL_KINDS)
    message = a_message("a@x.test", "b@x.test", at=box.clock.now())
    await box.put(message, worker=worker)
    mine = Query(message_id=message.id, recipient=("a@x.test",))
    for action in (Act.HOLD, Act.RELEASE, Act.DROP):
        await box.store.act(mine, action, by="ann", reason="")
    await box.store.act(Query(recipient=("b@x.test",)), Act.HOLD, by="ann", reason="")
    told = []
    for status in (404, 200, 503, 200, 200):
        first, *others = await claimed(box)
        assert first.event is not None
        told.append((first.event.kind, status))
        await answer(box, first, status=status)
        await answer(box, *others)
        box.advance(60)
    assert told == [
        (EventKind.HELD, 404),
        (EventKind.HELD, 200),
        (EventKind.RELEASED, 503),
        (EventKind.RELEASED, 200),
        (EventKind.DROPPED, 200),
    ]
    assert [row.state for row in rows(box, endpoint)] == [DeliveryState.DONE] * 4
    assert rows(box, endpoint, *UNFINISHED) == []


async def test_what_is_given_up_lets_the_next_one_pass(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box, ALL_KINDS)
    message = a_message("a@x.test", at=box.clock.now())
    await box.put(message, worker=worker)
    for action in (Act.HOLD, Act.DROP):
        await box.store.act(Query(), action, by="ann", reason="")
    results = []
    for _ in range(5):
        [sent] = await claimed(box)
        assert sent.event is not None
        assert sent.event.kind is EventKind.HELD
        results += await answer(box, sent, status=400)
        box.advance(HOUR)
    assert results == [Result.WAITS] * 4 + [Result.FAILED]
    [sent] = await claimed(box)
    assert sent.event is not None
    assert sent.event.kind is EventKind.DROPPED
    assert (the(box, endpoint).failed, the(box, endpoint).waiting) == (1, 1)


async def test_a_lease_ends_and_its_result_counts_no_more(box: Box, worker: WorkerNumber) -> None:
    await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    [first] = await claimed(box)
    box.advance(LEASE.total_seconds() - 1)
    assert list(await claimed(box)) == []
    box.advance(1)
    [again] = await claimed(box)
    assert (again.number, again.webhook_id) == (first.number, first.webhook_id)
    assert again.claim != first.claim
    assert await answer(box, first) == []
    assert await answer(box, again) == [Result.DONE]
    assert await answer(box, again) == []  # once is enough


async def test_a_result_that_comes_late_counts_while_nobody_else_has_it(
    box: Box, worker: WorkerNumber
) -> None:
    await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    sent = await claimed(box)
    box.advance(HOUR)
    assert await answer(box, *sent) == [Result.DONE]


@pytest.mark.parametrize("by", [timedelta(days=9), timedelta(days=-9)])
async def test_no_clock_ends_a_lease_or_a_wait(
    box: Box, worker: WorkerNumber, by: timedelta
) -> None:
    await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    sent = await claimed(box)
    box.clock.jump(by)
    await box.store.reap()
    assert list(await claimed(box)) == []
    await answer(box, *sent, status=503)
    box.clock.jump(by)
    await box.store.reap()
    assert list(await claimed(box)) == []
    box.advance(5)
    assert len(await claimed(box)) == 1


async def test_a_lease_outlasts_a_restart_by_no_more_than_its_time(
    box: Box, worker: WorkerNumber
) -> None:
    await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    await claimed(box)
    await box.store.reap()
    await registered(box.store, "next", boot="next")
    assert list(await claimed(box)) == []
    box.advance(LEASE.total_seconds())
    assert len(await claimed(box)) == 1


async def test_eight_at_once_go_to_an_endpoint(box: Box, worker: WorkerNumber) -> None:
    await an_endpoint(box)
    await relayed(box, worker, *(f"{number:02}@x.test" for number in range(20)))
    first = await claimed(box)
    assert whom(first) == [f"{number:02}@x.test" for number in range(AT_ONCE)]
    assert list(await claimed(box)) == []
    await answer(box, *first[:3])
    assert len(await claimed(box)) == 3


async def test_one_is_tried_after_a_rest(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, *(f"{number:02}@x.test" for number in range(20)))
    await answer(box, *await claimed(box), status=503)
    assert the(box, endpoint).failures == 1
    assert list(await claimed(box)) == []
    box.advance(5)
    probe = await claimed(box)
    assert len(probe) == 1
    assert list(await claimed(box)) == []
    await answer(box, *probe)
    assert len(await claimed(box)) == AT_ONCE


async def test_retry_after_is_obeyed(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    await answer(box, *await claimed(box), status=429, retry_after=timedelta(minutes=10))
    assert the(box, endpoint).rests_until == box.clock.now() + timedelta(minutes=10)
    box.advance(599)
    assert list(await claimed(box)) == []
    box.advance(1)
    assert len(await claimed(box)) == 1


async def test_an_endpoint_that_rests_holds_up_no_other(box: Box, worker: WorkerNumber) -> None:
    dead = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    await answer(box, *await claimed(box), status=None)
    living = await an_endpoint(box, replace(RELAYED, url="https://other.test/"))
    await relayed(box, worker, "b@x.test")
    sent = await claimed(box)
    assert [each.endpoint for each in sent] == [living]
    assert the(box, dead).waiting == 2


async def test_endpoints_take_turns(box: Box, worker: WorkerNumber) -> None:
    first, second = await an_endpoint(box), await an_endpoint(box)
    await relayed(box, worker, *(f"{number:02}@x.test" for number in range(20)))
    turns = []
    for _ in range(4):
        box.advance(0.01)
        [sent] = await claimed(box, limit=1)
        turns.append(sent.endpoint)
    assert turns == [first, second, first, second]


@pytest.mark.parametrize(("status", "off"), [(410, Off.GONE), (503, Off.UNREACHABLE)])
async def test_a_disabled_endpoint_is_sent_nothing_and_forgets_nothing(
    box: Box, worker: WorkerNumber, status: int, off: Off
) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    while not the(box, endpoint).off:
        await answer(box, *await claimed(box), status=status)
        box.advance(6 * HOUR)
    await relayed(box, worker, "b@x.test")
    assert list(await claimed(box)) == []
    assert (the(box, endpoint).off, the(box, endpoint).waiting) == (off, 2)
    await box.store.outbox.put_endpoint(RELAYED, endpoint, author=ANNA)
    assert whom(await claimed(box)) == ["a@x.test", "b@x.test"]


async def test_it_is_told_when_a_result_disables(box: Box, worker: WorkerNumber) -> None:
    await an_endpoint(box)
    await relayed(box, worker, "a@x.test", "b@x.test")
    results = [
        DeliveryResult(
            endpoint=each.endpoint, number=each.number, claim=each.claim, heard=Heard(status=410)
        )
        for each in await claimed(box)
    ]
    settled = await box.store.outbox.settle_deliveries(results, jitter=0.0)
    assert [each.disabled for each in settled] == [Off.GONE, Off.NO]


async def test_a_person_disables_and_enables(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box, replace(RELAYED, is_on=False))
    await relayed(box, worker, "a@x.test")
    assert list(await claimed(box)) == []
    assert the(box, endpoint).off is Off.BY_HAND
    assert not the(box, endpoint).wanted.is_on
    await box.store.outbox.put_endpoint(RELAYED, endpoint, author=ANNA)
    assert len(await claimed(box)) == 1


async def test_a_change_of_what_is_wanted_holds_from_then_on(
    box: Box, worker: WorkerNumber
) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    other = Subscription(
        url="https://other.test/", kinds=(EventKind.SENT,), senders=("@app.test",), tags=("x",)
    )
    assert await box.store.outbox.put_endpoint(other, endpoint, author=ANNA) == endpoint
    await relayed(box, worker, "b@x.test")
    assert the(box, endpoint).wanted == other
    [sent] = await claimed(box)
    assert sent.url == "https://other.test/"


async def test_changes_at_the_same_time_are_all_made(box: Box) -> None:
    """Each names what it changes; a reader in between makes none of them lost."""
    endpoint = await an_endpoint(box)
    before = the(box, endpoint).wanted
    changes = (
        SubscriptionChange(url="https://other.test/"),
        SubscriptionChange(tags=("x",), senders=("@app.test",)),
        SubscriptionChange(kinds=(EventKind.SENT,)),
        SubscriptionChange(is_on=False),
    )
    outbox = box.store.outbox
    made = [outbox.change_endpoint(endpoint, each, author=ANNA) for each in changes]
    assert await asyncio.gather(*made) == [True] * 4
    assert the(box, endpoint).wanted == Subscription(
        url="https://other.test/",
        kinds=(EventKind.SENT,),
        senders=("@app.test",),
        tags=("x",),
        is_on=False,
    )
    back = SubscriptionChange(
        url=before.url, kinds=before.kinds, senders=(), tags=(), is_on=before.is_on
    )
    assert await outbox.change_endpoint(endpoint, back, author=ANNA)
    assert the(box, endpoint).wanted == before


async def test_what_is_unknown_is_told_so(box: Box) -> None:
    outbox = box.store.outbox
    assert await outbox.put_endpoint(RELAYED, UNKNOWN, author=ANNA) is None
    assert not await outbox.change_endpoint(UNKNOWN, SubscriptionChange(), author=ANNA)
    assert await outbox.rotate(UNKNOWN, author=ANNA) is None
    assert await outbox.send_test(UNKNOWN, author=ANNA) is None
    assert not await outbox.drop_endpoint(UNKNOWN, author=ANNA)
    assert box.view.outbox.endpoints() == []


async def test_a_dropped_endpoint_is_gone_and_its_number_too(
    box: Box, worker: WorkerNumber
) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, *(f"{number:02}@x.test" for number in range(20)))
    sent = await claimed(box)
    assert await box.store.outbox.drop_endpoint(endpoint, author=ANNA)
    assert not await box.store.outbox.drop_endpoint(endpoint, author=ANNA)
    assert await answer(box, *sent) == []
    assert box.view.outbox.endpoints() == []
    await relayed(box, worker, "b@x.test")
    assert await an_endpoint(box) > endpoint
    assert list(await claimed(box)) == []


async def test_both_secrets_are_used_for_a_day(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, *(f"{number}@x.test" for number in range(3)))
    assert await box.store.outbox.rotate(endpoint, author=ANNA) == 2
    seen = []
    for _ in range(3):
        [sent] = await claimed(box, limit=1)
        seen.append(sent.generations)
        await answer(box, sent)
        box.advance(DAY - 1 if len(seen) == 1 else 1)
    assert seen == [(2, 1), (2, 1), (2,)]
    assert the(box, endpoint).generation == 2


async def test_whoever_asks_for_a_secret_again_loses_none(box: Box, worker: WorkerNumber) -> None:
    """The answer was lost: the receiver has the first one, and nobody the second."""
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    for number in (2, 3):
        assert await box.store.outbox.rotate(endpoint, author=ANNA) == number
    [sent] = await claimed(box, limit=1)
    assert sent.generations == (3, 2, 1)


async def test_a_test_goes_ahead_of_all_else(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, *(f"{number:02}@x.test" for number in range(9)))
    assert await box.store.outbox.send_test(endpoint, author=ANNA) == -1
    first, *_ = await claimed(box)
    assert (first.number, first.event, first.at) == (-1, None, box.clock.now())
    assert first.webhook_id.startswith("evt_test_")


@pytest.mark.parametrize("is_on", [1, 0])
async def test_a_test_goes_to_who_rests_or_is_disabled_and_is_tried_once(
    box: Box, worker: WorkerNumber, is_on: int
) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    await answer(box, *await claimed(box), status=503)
    if not is_on:
        await box.store.outbox.put_endpoint(replace(RELAYED, is_on=False), endpoint, author=ANNA)
    for expected, status in ((Result.FAILED, 503), (Result.DONE, 200)):
        box.advance(1)
        await box.store.outbox.send_test(endpoint, author=ANNA)
        [sent] = await claimed(box)
        assert await answer(box, sent, status=status) == [expected]
    assert len(await claimed(box)) == is_on  # that it answered ends its rest
    assert [(row.number, row.state) for row in rows(box, endpoint)][-2:] == [
        (-1, DeliveryState.FAILED),
        (-2, DeliveryState.DONE),
    ]


async def test_what_failed_is_sent_again(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test", "b@x.test")
    good, bad = await claimed(box)
    await answer(box, good)
    while await answer(box, bad, status=404) == [Result.WAITS]:
        box.advance(HOUR)
        [bad] = await claimed(box)
    replayed = await box.store.outbox.replay(
        Replay(endpoint=endpoint, only_failed=True), author=ANNA
    )
    assert (replayed.changed, replayed.more) == (1, None)
    [again] = await claimed(box)
    assert again.webhook_id == bad.webhook_id
    assert await answer(box, again, status=404) == [Result.WAITS]  # its five tries begin anew


async def test_one_delivery_is_sent_again(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test", "b@x.test")
    first, second = await claimed(box)
    await answer(box, first)
    again = [
        await box.store.outbox.replay(Replay(endpoint=endpoint, number=each.number), author=ANNA)
        for each in (first, second)
    ]
    assert [each.changed for each in again] == [1, 0]  # the other one is on its way
    assert [each.number for each in await claimed(box)] == [first.number]


async def test_a_period_is_sent_again_in_order(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    begin = box.clock.now()
    for number in range(5):
        await relayed(box, worker, f"{number}@x.test")
        await answer(box, *await claimed(box))
        box.advance(HOUR)
    wanted = Replay(
        endpoint=endpoint,
        since=begin + timedelta(hours=1),
        until=begin + timedelta(hours=4),
        limit=2,
    )
    first = await box.store.outbox.replay(wanted, author=ANNA)
    assert first.changed == 2
    assert first.more is not None
    second = await box.store.outbox.replay(replace(wanted, after=first.more), author=ANNA)
    assert (second.changed, second.more) == (1, None)
    assert whom(await claimed(box)) == ["1@x.test", "2@x.test", "3@x.test"]


async def test_what_is_replayed_goes_before_later_events_of_its_recipient(
    box: Box, worker: WorkerNumber
) -> None:
    endpoint = await an_endpoint(box, ALL_KINDS)
    await box.put(a_message("a@x.test", at=box.clock.now()), worker=worker)
    await box.store.act(Query(), Act.HOLD, by="ann", reason="")
    await answer(box, *await claimed(box))
    await box.store.act(Query(), Act.DROP, by="ann", reason="")
    await box.store.outbox.replay(Replay(endpoint=endpoint), author=ANNA)
    kinds = []
    for _ in range(2):
        [sent] = await claimed(box)
        assert sent.event is not None
        kinds.append(sent.event.kind)
        await answer(box, sent)
    assert kinds == [EventKind.HELD, EventKind.DROPPED]


async def test_deliveries_go_with_the_history(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    await box.store.outbox.send_test(endpoint, author=ANNA)
    box.advance(HOUR)
    kept = await relayed(box, worker, "b@x.test")
    assert await box.store.purge(box.clock.now() - timedelta(minutes=1)) == 1
    assert [row.event.message_id for row in rows(box, endpoint) if row.event] == [kept.id]
    assert len(rows(box, endpoint)) == 1
    assert whom(await claimed(box)) == ["b@x.test"]


async def test_people_see_what_waits_and_what_was_heard(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test")
    oldest = box.clock.now()
    box.advance(60)
    await relayed(box, worker, "b@x.test")
    [one, two] = await claimed(box)
    await answer(box, two)
    ok_at = box.clock.now()
    box.advance(1)
    await answer(box, one, status=404)
    await box.store.reap()
    seen = the(box, endpoint)
    assert (seen.waiting, seen.oldest, seen.failed, seen.off) == (1, oldest, 0, Off.NO)
    assert (seen.last_ok_at, seen.last_at) == (ok_at, box.clock.now())
    assert seen.last == Heard(status=404, octets=7, took=timedelta(seconds=0.25))
    newest, first = rows(box, endpoint)
    assert (newest.state, first.state) == (DeliveryState.DONE, DeliveryState.WAITING)
    assert (first.tries, first.last, first.last_at) == (1, seen.last, ok_at)
    assert first.next_at == box.clock.now() + timedelta(minutes=1)
    assert first.webhook_id == one.webhook_id


async def test_deliveries_are_shown_by_state_and_page(box: Box, worker: WorkerNumber) -> None:
    endpoint = await an_endpoint(box)
    await an_endpoint(box)
    await relayed(box, worker, *(f"{number}@x.test" for number in range(5)))
    done = (await claimed(box))[0]
    await answer(box, done)
    first = box.view.outbox.deliveries(DeliveryQuery(endpoint=endpoint, limit=2))
    assert len(first) == 2
    rest = box.view.outbox.deliveries(
        DeliveryQuery(endpoint=endpoint, before=first[-1].number, limit=ALL)
    )
    numbers = [row.number for row in (*first, *rest)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 5
    for limit in (1, 2, ALL):
        query = DeliveryQuery(endpoint=endpoint, after=numbers[3], limit=limit)
        back = [row.number for row in box.view.outbox.deliveries(query)]
        assert back == numbers[:3][-limit:]
    assert [row.number for row in rows(box, endpoint, DeliveryState.DONE)] == [done.number]
    assert len(rows(box, endpoint, DeliveryState.SENDING)) == 4
    assert rows(box, endpoint, DeliveryState.FAILED) == []


async def test_a_deferral_and_its_end_are_two_events(box: Box, worker: WorkerNumber) -> None:
    """Ids differ from event to event, and are the same for all endpoints."""
    one, two = await an_endpoint(box, ALL_KINDS), await an_endpoint(box, ALL_KINDS)
    message = a_message("a@x.test", at=box.clock.now())
    [work] = await box.put(message, worker=worker, leased=True)
    await box.store.settle(
        work.lease, settlements_of(work, a_deferral(box.clock.now()), at=box.clock.now())
    )
    [work] = await box.claim(worker)
    await box.store.settle(work.lease, settlements_of(work, at=box.clock.now()))
    ids = [[row.webhook_id for row in rows(box, each)] for each in (one, two)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def audit(box: Box) -> list[tuple[str, str, str, str]]:
    """The newest first."""
    entries = box.view.people.audit(AuditQuery(), limit=ALL)
    return [(each.by, each.action, each.target, each.detail) for each in entries]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://app.test/T0K3N/x", "https://app.test/…"),
        ("https://app.test:8443/?key=T0K3N", "https://app.test:8443/…"),
        ("https://T0K3N@app.test", "https://app.test/"),
    ],
)
async def test_no_secret_of_a_url_is_in_the_audit(box: Box, url: str, told: str) -> None:
    endpoint = await an_endpoint(box, replace(RELAYED, url=url))
    for after in (f"{url}?other=T0K3N", "https://b.test/T0K3N"):
        await box.store.outbox.put_endpoint(replace(RELAYED, url=after), endpoint, author=ANNA)
    await box.store.outbox.drop_endpoint(endpoint, author=ANNA)
    details = [detail for *_, detail in audit(box)]
    assert "T0K3N" not in "".join(details)
    assert details[-1] == f"url {told}, events relayed, state on"
    assert details[-2].startswith(f"url: {told} → https://app.test")
    assert details[0] == "url https://b.test/…, events relayed, state on"


async def test_what_a_person_does_is_in_the_audit(box: Box, worker: WorkerNumber) -> None:
    outbox = box.store.outbox
    endpoint = await an_endpoint(box, replace(RELAYED, tags=("news",)))
    await outbox.put_endpoint(replace(RELAYED, is_on=False), endpoint, author=ANNA)
    await outbox.put_endpoint(replace(RELAYED, is_on=False), endpoint, author=ANNA)  # as it is
    await outbox.put_endpoint(RELAYED, endpoint, author=ANNA)
    await relayed(box, worker, "a@x.test")
    await answer(box, *await claimed(box))
    await outbox.replay(Replay(endpoint=endpoint), author=ANNA)
    await outbox.replay(Replay(endpoint=endpoint), author=ANNA)  # there is nothing
    await outbox.rotate(endpoint, author=ANNA)
    await outbox.send_test(endpoint, author=ANNA)
    await outbox.drop_endpoint(endpoint, author=ANNA)
    for refused in (outbox.rotate, outbox.send_test, outbox.drop_endpoint):
        assert not await refused(endpoint, author=ANNA)
    url = "url https://app.test/…, events relayed"
    assert audit(box) == [
        (ANNA.by, each.value, str(endpoint), detail)
        for each, detail in (
            (Action.REMOVED, f"{url}, state on"),
            (Action.TESTED, ""),
            (Action.ROTATED, ""),
            (Action.REPLAYED, "1 deliveries"),
            (Action.CHANGED, "state: off → on"),
            (Action.CHANGED, "tags: news → any, state: on → off"),
            (Action.ADDED, f"{url}, tags news, state on"),
        )
    ]


async def test_numbers_of_an_endpoint_are_bounded_where_asked(
    box: Box, worker: WorkerNumber
) -> None:
    endpoint = await an_endpoint(box)
    await relayed(box, worker, "a@x.test", "b@x.test", "c@x.test")
    oldest = the(box, endpoint).oldest
    box.advance(HOUR)
    await relayed(box, worker, "d@x.test")
    for most, counted in ((None, 4), (0, 1), (2, 3), (4, 4), (100, 4)):
        [seen] = box.view.outbox.endpoints(most=most)
        assert (seen.waiting, seen.oldest) == (counted, oldest)
    sent = await claimed(box)
    await answer(box, *sent, status=400)
    while sent:
        box.advance(HOUR)
        sent = await claimed(box)
        await answer(box, *sent, status=400)
    assert the(box, endpoint).failed == 4
    assert [each.failed for each in box.view.outbox.endpoints(most=1)] == [2]
