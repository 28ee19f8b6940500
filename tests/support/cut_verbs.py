"""Verbs of the store, each with what has to be true once a connection was cut in it.

A verb is prepared, done once with a cut somewhere, and judged: what it said has to be what is there, and what it did not do
can still be done.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from relayd.errors import CommitUnknown, StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import WorkerNumber
from relayd.mail.operator import Action
from relayd.mail.outcome import (
    Bounced,
    Held,
    NoAttempt,
    NotTried,
    Outcome,
    Relayed,
    Rerouted,
)
from relayd.mail.suppression import ToSuppress
from relayd.mail.words import EventKind
from relayd.policy.verp import VerpToken
from relayd.ports.outbox import (
    TOLD,
    DeliveryQuery,
    DeliveryResult,
    DeliveryState,
    Heard,
    Subscription,
)
from relayd.ports.people import Author
from relayd.ports.queue import LateNotice, QueueStore, Work
from relayd.ports.view import Query, RecipientRow, Status
from relayd.store.postgres.content import PART
from tests.support.builders import (
    a_bounce,
    a_deferral,
    a_message,
    a_recipient,
    a_settlement,
    settlements_of,
)
from tests.support.clock import START
from tests.support.requeueing import a_requeue
from tests.support.stores import LEASE, Box

Prepare = Callable[["World"], Awaitable[Any]]
Do = Callable[["World", Any], Awaitable[Any]]
Judge = Callable[["World", Any, Any], Awaitable[None]]  # the last is a result, or a StoreError

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class World:
    """A store whose connections can be cut, and a view whose cannot."""

    box: Box
    worker: WorkerNumber

    @property
    def store(self) -> QueueStore:
        return self.box.store

    def rows(self, message: NewMessage) -> Sequence[RecipientRow]:
        return self.box.rows(Query(message_id=message.id))

    def count(self, message: NewMessage, kind: EventKind) -> int:
        return sum(each.kind == kind for each in self.box.view.history(message.id))

    def reports_to(self, message: NewMessage) -> int:
        return len(self.box.rows(Query(recipient=(_sender_of(message),))))


@dataclass(frozen=True, slots=True)
class Verb:
    line: str
    prepare: Prepare
    do: Do
    judge: Judge


def mail(*addresses: str, content: bytes = b"Subject: x\r\n\r\nx\r\n", to: str = "") -> NewMessage:
    """A message to a destination and from a sender of its own."""
    number = next(_numbers)
    recipients = [
        a_recipient(each, destination=to or f"d{number}.test")
        for each in addresses or (f"a{number}@x.test",)
    ]
    return a_message(
        *recipients, at=START, content=content, reverse_path=f"sender{number}@app.test"
    )


def _sender_of(message: NewMessage) -> str:
    return str(message.reverse_path)


def is_told(result: object) -> bool:
    """Tell whether the store said that it was done; else it said that nothing was."""
    assert not isinstance(result, CommitUnknown), "all of it can be found out here"
    assert isinstance(result, StoreUnavailable) or not isinstance(result, Exception), result
    return not isinstance(result, StoreUnavailable)


def _enqueue(message: Callable[[], NewMessage], *, leased: bool) -> Verb:
    async def prepare(world: World) -> NewMessage:
        made = message()  # the slot of its destination is known, or is to be taken
        if made.recipients[0].destination == "known.test":
            await world.box.put(mail(to="known.test"), worker=world.worker, leased=True)
        return made

    async def do(world: World, made: NewMessage) -> Sequence[Work]:
        return await world.box.put(made, worker=world.worker, leased=leased)

    async def judge(world: World, made: NewMessage, result: Any) -> None:
        rows = world.rows(made)
        if not is_told(result):
            assert not rows, "refused, and there"
            return
        assert [row.recipient for row in rows] == list(range(len(made.recipients)))
        assert world.count(made, EventKind.RECEIVED) == len(rows)
        stored = await world.store.content(made.id)
        assert stored is not None
        assert bytes(stored[:]) == made.content
        given = {one.number for work in result for one in work.recipients}
        assert {row.recipient for row in rows if row.leased} == given, "leased to nobody"
        await _reaches(world, made, but=given)

    return Verb("enqueue", prepare, do, judge)


async def _reaches(world: World, message: NewMessage, *, but: set[int]) -> None:
    """Have the worker claim all others, as their first attempt."""
    wanted = {message.recipients[0].destination}
    works = await world.box.claim(world.worker, only=wanted)
    found = {
        (one.number, one.attempt)
        for work in works
        if work.message.id == message.id
        for one in work.recipients
    }
    assert found == {(number, 1) for number in range(len(message.recipients))} - {
        (number, 1) for number in but
    }


async def _waiting(world: World) -> NewMessage:
    message = mail()
    await world.box.put(message, worker=world.worker)
    return message


async def _claim(world: World, message: NewMessage) -> Sequence[Work]:
    return await world.box.claim(world.worker, only={message.recipients[0].destination})


async def _judge_claim(world: World, message: NewMessage, result: Any) -> None:
    given = {0} if is_told(result) and result else set()
    [row] = world.rows(message)
    assert row.leased == bool(given), "leased to nobody"
    await _reaches(world, message, but=given)


async def _leased(world: World) -> tuple[NewMessage, Work]:
    message = mail()
    [work] = await world.box.put(message, worker=world.worker, leased=True)
    return message, work


def _settle(outcome: Outcome | NoAttempt, *, reports: bool = False) -> Verb:
    async def prepare(world: World) -> Any:
        message, work = await _leased(world)
        if isinstance(outcome, NotTried | Held | Rerouted):
            kind = EventKind.HELD if isinstance(outcome, Held) else EventKind.DEFERRED
            event = Event(kind=kind, at=START, message_id=message.id, recipient=0, detail={})
            events = () if isinstance(outcome, Rerouted) else (event,)
            one = replace(a_settlement(message.id), outcome=outcome, events=events, attempt=1)
            ends = [one]
        else:
            ends = [replace(each, attempt=1) for each in settlements_of(work, outcome)]
        made = [a_message(_sender_of(message), at=START, reverse_path="")] if reports else []
        return message, work, ends, made

    async def do(world: World, given: Any) -> Any:
        _, work, ends, made = given
        return await world.store.settle(work.lease, ends, made)

    async def judge(world: World, given: Any, result: Any) -> None:
        message, work, ends, made = given
        if not is_told(result):
            assert await do(world, given) == ends, "it can be done again"
        elif isinstance(outcome, NotTried | Held | Rerouted) and not result:
            await world.store.release(work.lease)  # as its worker does sooner or later
        else:
            assert result == ends
        [row] = world.rows(message)
        assert not row.leased
        for event in ends[0].events:
            assert world.count(message, event.kind) == (1 if result else row.status is Status.HELD)
        assert world.reports_to(message) == len(made)
        is_finished = isinstance(outcome, Relayed | Bounced)
        is_kept = isinstance(outcome, Bounced)
        assert (row.status in (Status.RELAYED, Status.BOUNCED)) is is_finished
        assert (await world.store.content(message.id) is None) is (is_finished and not is_kept)
        assert row.attempts == (0 if isinstance(outcome, NotTried | Held | Rerouted) else 1)

    return Verb("settle", prepare, do, judge)


def _settle_two(*outcomes: Outcome) -> Verb:
    """Two recipients of one message, by one result."""

    async def prepare(world: World) -> Any:
        message = mail("a@x.test", "b@x.test")
        [work] = await world.box.put(message, worker=world.worker, leased=True)
        ends = [
            replace(settlements_of(work, outcome)[number], attempt=1)
            for number, outcome in enumerate(outcomes)
        ]
        return message, work, ends

    async def do(world: World, given: Any) -> Any:
        _, work, ends = given
        return await world.store.settle(work.lease, ends)

    async def judge(world: World, given: Any, result: Any) -> None:
        message, _, ends = given
        if not is_told(result):
            result = await do(world, given)
        assert result == ends, "all of it is told"
        kinds = [each.kind for each in world.box.later_history(message)]
        assert sorted(kinds) == sorted(one.events[0].kind for one in ends)
        assert not any(row.leased for row in world.rows(message))
        has_content = await world.store.content(message.id) is not None
        assert has_content is any(row.status is Status.DEFERRED for row in world.rows(message))

    return Verb("settle", prepare, do, judge)


async def _extend(world: World, given: Any) -> Any:
    return await world.store.extend([given[1].lease], worker=world.worker, lease_for=2 * LEASE)


async def _judge_extend(world: World, given: Any, result: Any) -> None:
    if is_told(result):
        assert list(result) == [], "the lease is ours"
        world.box.advance(LEASE.total_seconds() + 1)
        await world.store.reap()
    assert world.rows(given[0])[0].leased


async def _release(world: World, given: Any) -> Any:
    return await world.store.release(given[1].lease)


async def _judge_release(world: World, given: Any, result: Any) -> None:
    message, work = given
    if not is_told(result):
        await world.store.release(work.lease)
    [row] = world.rows(message)
    assert (row.leased, row.attempts) == (False, 0)
    await _reaches(world, message, but=set())


_STATUS = {Action.HOLD: Status.HELD, Action.BOUNCE: Status.BOUNCED, Action.DROP: Status.DROPPED}


def _act(action: Action) -> Verb:
    async def do(world: World, message: NewMessage) -> Any:
        def report(*_: object) -> NewMessage:
            return a_message(_sender_of(message), at=START, reverse_path="")

        query = Query(message_id=message.id)
        return await world.store.act(query, action, by="ann", reason="", report=report)

    async def judge(world: World, message: NewMessage, result: Any) -> None:
        if not is_told(result):
            result = await do(world, message)
        [row] = world.rows(message)
        assert row.status is _STATUS[action]
        kinds = [each.kind for each in world.box.later_history(message)]
        assert len(kinds) == 1, kinds
        is_bounce = action is Action.BOUNCE
        assert world.reports_to(message) == is_bounce
        assert [each.kind for each in result.events] == kinds, "it is told to the status log"
        assert len(result.reports) == is_bounce

    return Verb("lease", _waiting, do, judge)


async def _bounced(world: World) -> NewMessage:
    message, work = await _leased(world)
    await world.store.settle(work.lease, settlements_of(work, a_bounce()))
    return message


async def _requeue(world: World, message: NewMessage) -> Any:
    return await world.store.requeue(Query(message_id=message.id), a_requeue(world.box.clock))


async def _judge_requeue(world: World, message: NewMessage, result: Any) -> None:
    if not is_told(result):
        result = await _requeue(world, message)
    rows = world.box.rows(Query(sender=(_sender_of(message),)))
    assert len(rows) == 2, "once more, and once only"
    assert world.count(message, EventKind.REQUEUED) == 1
    assert len(result.messages) == 1, "it is told"


async def _address(_world: World) -> str:
    return f"b{next(_numbers)}@x.test"


async def _suppress(world: World, address: str) -> Any:
    return await world.store.suppress([ToSuppress(address=address)], by="ann")


async def _judge_suppress(world: World, address: str, result: Any) -> None:
    assert await world.box.is_suppressed(address) == is_told(result)


async def _suppressed(world: World) -> str:
    address = await _address(world)
    await _suppress(world, address)
    return address


async def _unsuppress(world: World, address: str) -> Any:
    return await world.store.unsuppress(address)


async def _judge_unsuppress(world: World, address: str, result: Any) -> None:
    assert await world.box.is_suppressed(address) != is_told(result)


async def _relayed(world: World) -> tuple[NewMessage, NewMessage]:
    message, work = await _leased(world)
    await world.store.settle(work.lease, settlements_of(work))
    return message, a_message(_sender_of(message), at=START, reverse_path="")


async def _note_late(world: World, given: Any) -> Any:
    message, copy = given
    event = Event(
        kind=EventKind.LATE_BOUNCED, at=START, message_id=message.id, recipient=0, detail={}
    )
    path = VerpToken(message_id=message.id, recipient=0)
    return await world.store.note_late(path, LateNotice(event=event, outcome=a_bounce()), copy)


async def _judge_late(world: World, given: Any, result: Any) -> None:
    """Nobody may know; then its server brings it again."""
    message, copy = given
    is_there = len(world.rows(copy)) == 1
    assert (world.count(message, EventKind.LATE_BOUNCED) == 1) is is_there
    assert isinstance(result, CommitUnknown) or is_told(result) is is_there


async def _url(_world: World) -> str:
    return f"https://app{next(_numbers)}.test/hook"


_ANNA = Author(by="anna (console)", client="192.0.2.7")


async def _put_endpoint(world: World, url: str) -> Any:
    return await world.store.outbox.put_endpoint(Subscription(url=url, kinds=TOLD), author=_ANNA)


async def _judge_endpoint(world: World, url: str, result: Any) -> None:
    there = [each for each in world.box.view.outbox.endpoints() if each.wanted.url == url]
    for each in there:
        await world.store.outbox.drop_endpoint(each.id, author=_ANNA)
    assert len(there) <= 1
    assert isinstance(result, CommitUnknown) or is_told(result) == bool(there)


async def _delivery(world: World) -> Any:
    endpoint = await _put_endpoint(world, await _url(world))
    await _relayed(world)
    return endpoint


async def _claim_deliveries(world: World, _endpoint: Any) -> Any:
    return await world.store.outbox.claim_deliveries(10, lease_for=LEASE)


async def _judge_claimed(world: World, endpoint: Any, result: Any) -> None:
    """What nobody heard of is told again once its lease has ended."""
    if not is_told(result) or not result:
        world.box.advance(LEASE.total_seconds() + 1)
        result = await _claim_deliveries(world, endpoint)
    assert len(result) == 1
    await world.store.outbox.drop_endpoint(endpoint, author=_ANNA)


async def _claimed(world: World) -> Any:
    endpoint = await _delivery(world)
    [outgoing] = await _claim_deliveries(world, endpoint)
    return endpoint, outgoing


async def _settle_deliveries(world: World, given: Any) -> Any:
    out = given[1]
    heard = Heard(status=200)
    result = DeliveryResult(endpoint=out.endpoint, number=out.number, claim=out.claim, heard=heard)
    return await world.store.outbox.settle_deliveries([result], jitter=0)


async def _judge_delivered(world: World, given: Any, result: Any) -> None:
    if not is_told(result):
        await _settle_deliveries(world, given)
    [row] = world.box.view.outbox.deliveries(DeliveryQuery(endpoint=given[0]))
    assert row.state is DeliveryState.DONE
    await world.store.outbox.drop_endpoint(given[0], author=_ANNA)


VERBS: Mapping[str, Verb] = {
    "enqueue": _enqueue(mail, leased=False),
    "enqueue, leased": _enqueue(lambda: mail("a@x.test", "b@x.test"), leased=True),
    "enqueue, leased at once": _enqueue(lambda: mail(to="known.test"), leased=True),
    "enqueue, large": _enqueue(lambda: mail(content=b"x" * (2 * PART + 1)), leased=True),
    "claim": Verb("lease", _waiting, _claim, _judge_claim),
    "settle, relayed": _settle(Relayed()),
    "settle, deferred": _settle(a_deferral(START + timedelta(days=1))),
    "settle, bounced": _settle(a_bounce()),
    "settle, bounced with a report": _settle(a_bounce(), reports=True),
    "settle, held": _settle(Held()),
    "settle, not tried": _settle(NotTried(reason="closing")),
    "settle, rerouted": _settle(Rerouted(destination="other.test", chosen_by="")),
    "settle, both relayed": _settle_two(Relayed(), Relayed()),
    "settle, relayed and deferred": _settle_two(Relayed(), a_deferral(START + timedelta(days=1))),
    "extend": Verb("renew", _leased, _extend, _judge_extend),
    "release": Verb("lease", _leased, _release, _judge_release),
    "hold": _act(Action.HOLD),
    "bounce": _act(Action.BOUNCE),
    "drop": _act(Action.DROP),
    "requeue": Verb("upkeep", _bounced, _requeue, _judge_requeue),
    "suppress": Verb("lease", _address, _suppress, _judge_suppress),
    "unsuppress": Verb("lease", _suppressed, _unsuppress, _judge_unsuppress),
    "note_late": Verb("enqueue", _relayed, _note_late, _judge_late),
    "put_endpoint": Verb("lease", _url, _put_endpoint, _judge_endpoint),
    "claim_deliveries": Verb("lease", _delivery, _claim_deliveries, _judge_claimed),
    "settle_deliveries": Verb("lease", _claimed, _settle_deliveries, _judge_delivered),
}
