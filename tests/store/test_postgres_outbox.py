"""Two workers and one outbox: nothing waits for ever behind what is finished, and endpoints are shared.

Each schedule has a control: the same without the rule that makes it harmless.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.event import Event
from relayd.mail.operator import Action, Operator
from relayd.mail.words import EventKind
from relayd.policy.console.webhook import AT_ONCE
from relayd.ports.outbox import (
    TOLD,
    DeliveryQuery,
    DeliveryResult,
    DeliveryState,
    EndpointId,
    Heard,
    Outgoing,
    Subscription,
)
from relayd.ports.people import Author
from relayd.ports.queue import Batch, LateNotice
from relayd.ports.view import Query
from relayd.store.postgres import deliveries, endpoints, operators, returned, telling
from relayd.store.postgres.line import Operation, Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import to_ms
from tests.support import postgres
from tests.support.builders import a_message
from tests.support.clock import START
from tests.support.stores import ALL, LEASE
from tests.support.two_workers import Two, somebody_waits, two_workers

pytestmark = postgres.needs_postgres

ANNA = Author(by="anna (console)", client="192.0.2.7")
WANTED = Subscription(url="https://app.test/hook", kinds=TOLD)
NOW = Moment(to_ms(START), 0)
_LATER = 10**15  # by the count
_BEHIND_FOR_EVER = ("done", "behind")


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with two_workers(tmp_path) as opened:
        yield opened


@pytest.fixture
async def endpoint(two: Two) -> EndpointId:
    added = await two.box.store.outbox.put_endpoint(WANTED, author=ANNA)
    assert added is not None
    return added


async def put(two: Two, count: int = 1) -> None:
    addresses = [f"{number}@x.test" for number in range(count)]
    await two.box.put(a_message(*addresses, at=START), worker=two.worker)


def acting(action: Action) -> Operation[object]:
    """An operator's verb on all mail, as another worker does it."""
    operator = Operator(action, "ann", "", START)
    return lambda db: operators.act(db, Query(), operator, batch=Batch(), at=NOW)


async def claimed(two: Two, limit: int = ALL) -> Sequence[Outgoing]:
    return await two.box.store.outbox.claim_deliveries(limit, lease_for=LEASE)


def taken(sent: Outgoing) -> DeliveryResult:
    return DeliveryResult(
        endpoint=sent.endpoint, number=sent.number, claim=sent.claim, heard=Heard(status=200)
    )


def states(two: Two, endpoint: EndpointId) -> tuple[str, ...]:
    rows = two.box.view.outbox.deliveries(DeliveryQuery(endpoint=endpoint, limit=ALL))
    return tuple(str(row.state) for row in reversed(rows))


@pytest.mark.parametrize("locks", [True, False])
async def test_what_is_told_while_the_one_before_is_finished_is_not_left_behind_it(
    two: Two,
    endpoint: EndpointId,
    monkeypatch: pytest.MonkeyPatch,
    locks: bool,  # noqa: FBT001 -- the control
) -> None:
    """The event sees a delivery under way; who finishes that does not see the event."""
    if not locks:
        unlocked = telling._AHEAD.replace("FOR NO KEY UPDATE OF d", "")
        monkeypatch.setattr(telling, "_AHEAD", unlocked)
    await put(two)
    await two.box.store.act(Query(), Action.HOLD, by="ann", reason="")
    [sent] = await claimed(two)
    told = await two.begin(acting(Action.RELEASE))
    settled = asyncio.ensure_future(
        two.box.store.outbox.settle_deliveries([taken(sent)], jitter=0.0)
    )
    await (somebody_waits() if locks else settled)
    await two.end(*told)
    await settled
    assert states(two, endpoint) == (("done", "waiting") if locks else _BEHIND_FOR_EVER)
    assert len(await claimed(two)) == locks


async def test_what_is_told_after_the_one_before_was_finished_waits_for_nothing(
    two: Two, endpoint: EndpointId
) -> None:
    """The other order: the event waits, and then sees that nothing is ahead of it."""
    await put(two)
    await two.box.store.act(Query(), Action.HOLD, by="ann", reason="")
    [sent] = await claimed(two)

    async def settle(db: Session) -> None:
        await deliveries.hold(db, [taken(sent)])
        await deliveries.settle(db, taken(sent), now=0, heard_at=0, jitter=0.0)

    begun = await two.begin(settle)
    told = two.third.submit(acting(Action.RELEASE))
    await somebody_waits()
    await two.end(*begun)
    await told
    assert states(two, endpoint) == ("done", "waiting")


async def test_what_is_being_told_about_holds_up_no_claim(two: Two, endpoint: EndpointId) -> None:
    """A claim passes by what somebody else has locked, and takes it the next time."""
    await put(two, 2)
    await two.box.store.act(Query(), Action.HOLD, by="ann", reason="")
    told = await two.begin(acting(Action.RELEASE))
    assert list(await claimed(two)) == []
    await two.end(*told)
    assert len(await claimed(two)) == 2
    assert states(two, endpoint) == ("sending", "sending", "behind", "behind")


@pytest.mark.parametrize("locks", [True, False])
async def test_two_workers_send_no_more_at_once_than_one(
    two: Two,
    endpoint: EndpointId,
    monkeypatch: pytest.MonkeyPatch,
    locks: bool,  # noqa: FBT001 -- the control
) -> None:
    if not locks:
        unlocked = deliveries._TRY_HOLD.replace("FOR NO KEY UPDATE SKIP LOCKED", "")
        monkeypatch.setattr(deliveries, "_TRY_HOLD", unlocked)
    await put(two, 3 * AT_ONCE)
    await two.box.store.act(Query(), Action.HOLD, by="ann", reason="")
    first = await two.begin(lambda db: deliveries.claim(db, 5, now=0, until=_LATER, sent_at=0))
    second = asyncio.ensure_future(claimed(two))
    if locks:
        assert await second == []  # the other one has the endpoint
    else:
        await somebody_waits()
    await two.end(*first)
    await second
    await claimed(two)
    sending = states(two, endpoint).count(DeliveryState.SENDING)
    assert (sending == AT_ONCE) is locks


async def test_an_event_that_is_not_committed_is_not_told(two: Two, endpoint: EndpointId) -> None:
    await put(two)

    async def cut_short(db: Session) -> None:
        await acting(Action.HOLD)(db)
        raise StoreUnavailable("cut short")

    with pytest.raises(StoreUnavailable):
        await two.third.submit(cut_short)
    assert states(two, endpoint) == ()


async def test_what_is_told_while_its_endpoint_is_dropped_goes_with_a_later_purge(
    two: Two, endpoint: EndpointId
) -> None:
    await put(two)
    told = await two.begin(acting(Action.HOLD))
    await two.box.store.outbox.drop_endpoint(endpoint, author=ANNA)
    await two.end(*told)
    assert states(two, endpoint) == ("waiting",)
    assert list(await claimed(two)) == []
    await two.third.submit(endpoints.sweep)
    assert states(two, endpoint) == ()


async def test_nothing_is_written_while_nothing_is_due(two: Two, endpoint: EndpointId) -> None:
    """Asked every second, for ever: no number of a transaction is used up, so nothing is synced."""
    await put(two)
    await two.box.store.act(Query(), Action.HOLD, by="ann", reason="")
    await claimed(two)

    async def next_number(db: Session) -> int:
        return int(await db.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"))

    before = await two.third.submit(next_number)
    assert list(await claimed(two)) == []
    assert await two.third.submit(next_number) == before
    assert states(two, endpoint) == ("sending",)


@pytest.mark.parametrize("locks", [True, False])
async def test_what_is_told_of_mail_that_comes_back_waits_for_what_happens_to_it(
    two: Two,
    endpoint: EndpointId,
    monkeypatch: pytest.MonkeyPatch,
    locks: bool,  # noqa: FBT001 -- the control
) -> None:
    """A notice about a recipient that is in the queue: both are told about it, one after the other."""
    if not locks:
        monkeypatch.setattr(returned, "_IN_QUEUE", "SELECT $1::bigint, $2::int")
    message = a_message("0@x.test", at=START)
    await two.box.put(message, worker=two.worker)
    event = Event(
        kind=EventKind.DELIVERED_DSN, at=START, message_id=message.id, recipient=0, detail={}
    )
    told = await two.begin(acting(Action.HOLD))
    noted = two.third.submit(
        lambda db: returned.note(db, LateNotice(event=event, outcome=None), now=NOW.now)
    )
    await (somebody_waits() if locks else noted)
    await two.end(*told)
    await noted
    assert states(two, endpoint).count(DeliveryState.WAITING) == (1 if locks else 2)


PLANS = {
    "what to look for": (deliveries._LOOK, (0,)),
    "what is due": (deliveries._DUE.format("waiting", ""), (1, 0, 8)),
    "what was leased": (deliveries._CLAIMED, (1, [1, 2])),
    "what a result locks": (deliveries._LINES, ([1], [1])),
    "what is lined up": (deliveries._LINE, (1, 1, 0)),
    "what is ahead": (telling._AHEAD, (["held"], [1], [0])),
    "who is told": (telling._WANTED, (["held"], [1], [0], [0], [1])),
}


@pytest.mark.parametrize("what", PLANS)
async def test_each_statement_finds_its_rows_by_an_index(two: Two, what: str) -> None:
    sql, values = PLANS[what]
    rows = await two.third.submit(lambda db: db.fetch(f"EXPLAIN {sql}", *values))
    plan = "\n".join(row for (row,) in rows)
    assert "Seq Scan" not in plan.replace("Seq Scan on endpoint", "")  # those are few
    assert "hashed SubPlan" not in plan
