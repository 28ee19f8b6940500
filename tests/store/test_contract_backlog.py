"""What every store must do: tell how much waits, and for how long, up to a number."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import Outcome, Relayed
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.ports.backlog import Backlog
from relayd.ports.view import Query, Status
from tests.support.builders import a_deferral, a_message, a_recipient, settlements_of
from tests.support.stores import ALL, Box

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


async def put(
    box: Box, worker: WorkerNumber, age: timedelta, *, destination: str = "smarthost"
) -> NewMessage:
    message = a_message(a_recipient(destination=destination), at=box.clock.now() - age)
    await box.put(message, worker=worker)
    return message


def backlog(box: Box, most: int = ALL) -> Backlog:
    return box.view.backlog(box.clock.now(), most=most)


@pytest.mark.parametrize(
    ("age", "place"),
    [
        (timedelta(0), 0),
        (_MINUTE, 0),
        (_MINUTE + _SECOND, 1),
        (10 * _MINUTE, 1),
        (10 * _MINUTE + _SECOND, 2),
        (_HOUR, 2),
        (_HOUR + _SECOND, 3),
        (24 * _HOUR, 3),
        (24 * _HOUR + _SECOND, 4),
        (-_HOUR, 0),  # another machine's clock
    ],
)
async def test_what_waits_has_a_class_of_age(
    box: Box, worker: WorkerNumber, age: timedelta, place: int
) -> None:
    message = await put(box, worker, age)
    found = backlog(box)
    assert list(found.by_age) == [int(each == place) for each in range(5)]
    assert found.by_status == {Status.QUEUED: 1}
    assert found.oldest == (message.received_at, "smarthost")
    assert found.oldest_seconds(box.clock.now()) == max(age, timedelta(0)).total_seconds()


async def some_mail(box: Box, worker: WorkerNumber) -> Sequence[NewMessage]:
    """Old mail of each status, the oldest first: accepted, held, deferred, then three queued."""
    sent, held, deferred, *queued = [
        await put(box, worker, days * _DAY, destination=f"mx:d{days}.test") for days in (7, 6, 5)
    ]
    outcomes: dict[object, Outcome] = {sent.id: Relayed(), deferred.id: a_deferral()}
    for work in await box.claim(worker):
        if work.message.id in outcomes:
            settlements = settlements_of(work, outcomes[work.message.id])
            await box.store.settle(work.lease, settlements)
        await box.store.release(work.lease)
    await box.store.act(Query(message_id=held.id), Action.HOLD, by="ann", reason="")
    queued = [await put(box, worker, days * _DAY) for days in (4, 3, 2)]
    return [sent, held, deferred, *queued]


async def test_finished_mail_does_not_wait_and_held_mail_has_no_age(
    box: Box, worker: WorkerNumber
) -> None:
    _, _, deferred, *_ = await some_mail(box, worker)
    found = backlog(box)
    assert found.by_status == {Status.QUEUED: 3, Status.DEFERRED: 1, Status.HELD: 1}
    assert list(found.by_age) == [0, 0, 0, 0, 4]
    assert found.oldest == (deferred.received_at, "mx:d5.test")


@pytest.mark.parametrize("most", [1, 2, 3, 4])
async def test_a_number_goes_up_to_one_more_than_asked_for(
    box: Box, worker: WorkerNumber, most: int
) -> None:
    await some_mail(box, worker)
    await put(box, worker, _HOUR)
    whole, part = backlog(box), backlog(box, most)
    assert part.most == most
    assert part.by_status == {key: min(each, most + 1) for key, each in whole.by_status.items()}
    assert list(part.by_age) == [min(each, most + 1) for each in whole.by_age]
    assert part.oldest == whole.oldest


async def test_what_a_pause_rule_holds_waits_too(box: Box, worker: WorkerNumber) -> None:
    await some_mail(box, worker)
    rule = PauseRule(
        named=Named(Scope.ALL),
        sides=frozenset({Side.DELIVERY}),
        since=box.clock.now(),
        until=None,
        by="ann",
        reason="",
    )
    await box.store.pause([rule])
    assert not await box.claim(worker), "the rule takes what a claim finds"
    assert (backlog(box).paused, backlog(box, 1).paused) == (3, 2)  # one is not due
    assert sum(backlog(box).by_age) == 4


async def test_nothing_waits_in_an_empty_queue(box: Box) -> None:
    found = backlog(box)
    assert (found.by_status, list(found.by_age), found.oldest) == ({}, [0] * 5, None)
    assert found.oldest_seconds(box.clock.now()) is None
