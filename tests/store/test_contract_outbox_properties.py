"""Any run of events, answers and lost leases: each is told, in the order of its recipient, by all stores alike."""

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.mail.operator import Action
from relayd.ports.outbox import (
    TOLD,
    DeliveryQuery,
    DeliveryResult,
    DeliveryState,
    EndpointId,
    Heard,
    Outgoing,
    Replay,
    Subscription,
)
from relayd.ports.people import Author
from relayd.ports.view import Query
from tests.support.builders import a_message
from tests.support.stores import ALL, LEASE, Box, openers_of
from tests.support.workers import registered

OPENERS = openers_of(__name__)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("act"), st.sampled_from([*Action][:3]), st.integers(0, 2)),
        st.tuples(st.just("claim"), st.integers(1, 9), st.just(0)),
        st.tuples(st.just("answer"), st.sampled_from([200, 200, 404, 503]), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 61, 4000]), st.just(0)),
        st.tuples(st.just("replay"), st.sampled_from([0, 1]), st.just(0)),
    ),
    min_size=5,
    max_size=20,
)
ANNA = Author(by="anna (console)", client="192.0.2.7")
WANTED = Subscription(url="https://app.test/", kinds=TOLD)
Seen = list[tuple[str, int, int]]


class Run:
    """One store, with what its receiver was sent."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.sent: list[Outgoing] = []  # on its way
        self.seen: Seen = []  # done: recipient, number, and which claim
        self.replays = 0

    async def step(self, what: str, value: object, number: int) -> None:
        outbox = self.box.store.outbox
        if what == "act":
            assert isinstance(value, Action)
            query = Query(recipient=(f"{number}@x.test",))
            await self.box.store.act(query, value, by="ann", reason="")
        elif what == "claim":
            self.sent += await outbox.claim_deliveries(int(str(value)), lease_for=LEASE)
        elif what == "answer" and self.sent:
            each = self.sent.pop(number % len(self.sent))
            await self.answer(each, int(str(value)))
        elif what == "wait":
            self.box.advance(int(str(value)))
        elif what == "replay":
            self.replays += 1
            await outbox.replay(
                Replay(endpoint=EndpointId(1), only_failed=bool(value)), author=ANNA
            )

    async def answer(self, each: Outgoing, status: int) -> None:
        result = DeliveryResult(
            endpoint=each.endpoint,
            number=each.number,
            claim=each.claim,
            heard=Heard(status=status, took=timedelta(seconds=1)),
        )
        [*settled] = await self.box.store.outbox.settle_deliveries([result], jitter=0.5)
        if settled and status == 200:
            assert each.event is not None
            self.seen.append((str(each.event.recipient), each.number, each.claim))

    async def finish(self) -> None:
        """The receiver takes everything from now on."""
        for _ in range(300):
            for each in self.sent:
                await self.answer(each, 200)
            self.sent = [*await self.box.store.outbox.claim_deliveries(ALL, lease_for=LEASE)]
            self.box.advance(0 if self.sent else 400)
            if not self.sent and not self.box.view.outbox.endpoints()[0].waiting:
                return
        raise AssertionError("something waits for ever")


async def run(
    box: Box, steps: Sequence[tuple[str, object, int]]
) -> tuple[Seen, list[str], list[str]]:
    one = Run(box)
    worker = await registered(box.store, "worker")
    await box.store.outbox.put_endpoint(WANTED, author=ANNA)
    await box.put(a_message(*(f"{number}@x.test" for number in range(3)), count=1), worker=worker)
    middle: list[str] = []
    for step in steps:
        await one.step(*step)
        rows = box.view.outbox.deliveries(DeliveryQuery(endpoint=EndpointId(1), limit=ALL))
        middle.append(" ".join(f"{row.state}{row.tries}" for row in rows))
        ahead = [
            (row.event.recipient)
            for row in rows
            if row.event and row.state in (DeliveryState.WAITING, DeliveryState.SENDING)
        ]
        assert len(ahead) == len(set(ahead)), "two of one recipient at once"
    await one.finish()
    rows = box.view.outbox.deliveries(DeliveryQuery(endpoint=EndpointId(1), limit=ALL))
    assert {row.state for row in rows} <= {DeliveryState.DONE, DeliveryState.FAILED}
    done = {row.number for row in rows if row.state is DeliveryState.DONE}
    assert done <= {number for _, number, _ in one.seen}
    if not one.replays:
        for recipient in "012":
            mine = [number for who, number, _ in one.seen if who == recipient]
            assert mine == sorted(set(mine)), "out of order, or twice"
    happened = [
        entry.kind
        for row in box.rows()
        for entry in box.view.history(row.message_id)
        if entry.recipient == row.recipient and entry.kind in TOLD
    ]
    told = [str(row.event.kind) for row in rows if row.event]
    places = {row.number: place for place, row in enumerate(reversed(rows))}
    seen = [(who, places[number], claim) for who, number, claim in one.seen]
    return seen, middle, sorted(told) if sorted(told) == sorted(happened) else ["missing"]


@settings(max_examples=12, deadline=None)
@given(STEPS)
def test_each_event_is_told_in_order_by_all_stores_alike(
    steps: Sequence[tuple[str, object, int]],
) -> None:
    async def all_stores() -> None:
        outcomes = []
        for opener in OPENERS.values():
            with tempfile.TemporaryDirectory() as folder:
                box = opener(Path(folder))
                outcomes.append(await run(box, steps))
                await box.close()
        assert all(each == outcomes[0] for each in outcomes)
        assert outcomes[0][2] != ["missing"]

    asyncio.run(all_stores())
