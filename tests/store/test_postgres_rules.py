"""Two workers on one PostgreSQL: a pause rule ends, or a worker dies, while another transaction is under way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.mail.ids import WorkerIdentity
from relayd.mail.pause import Named, PauseRule, Scope, Side
from relayd.store.postgres import claims, leases, pausing, workers
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import to_ms
from tests.support import postgres
from tests.support.builders import SMARTHOST, a_message
from tests.support.clock import START
from tests.support.two_workers import Two, somebody_waits, two_workers
from tests.support.workers import registered

pytestmark = postgres.needs_postgres

NOW = Moment(to_ms(START), 0)
DELIVERY = frozenset({Side.DELIVERY})
WANTED = claims.Wanted(limit=9, each=None, but=(), only=None, lease_for=60_000)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with two_workers(tmp_path) as opened:
        yield opened


def a_rule(reason: str = "") -> PauseRule:
    return PauseRule(
        named=Named(Scope.ALL), sides=DELIVERY, since=START, until=None, by="ann", reason=reason
    )


@pytest.mark.parametrize("locks", [True, False])
async def test_mail_that_is_given_to_a_rule_while_it_ends_is_let_go(
    two: Two,
    locks: bool,  # noqa: FBT001 -- the control
) -> None:
    await two.box.store.pause([a_rule()])
    await two.box.put(a_message("a@x.test", at=START), worker=two.worker)

    async def claim(db: Session) -> None:
        if locks:
            await claims.claim(db, two.worker, WANTED, widths={}, at=NOW)
        else:
            stopping = await pausing.delivery_rules(db)
            assert await pausing.sift(db, SMARTHOST, stopping, at=NOW, limit=9) == (0, 1)

    begun = await two.begin(claim)
    await two.box.store.unpause(None, DELIVERY)
    claimed = asyncio.ensure_future(two.claimed())
    await (somebody_waits() if locks else claimed)
    await two.end(*begun)
    if not locks:
        assert await two.claimed() == 0
        await two.box.store.reap()  # nothing stays with a rule that is gone
        claimed = asyncio.ensure_future(two.claimed())
    assert await claimed == 1


@pytest.mark.parametrize("ends", ["let_go", "unpause"])
async def test_a_rule_that_is_added_while_the_same_one_ends_is_there(two: Two, ends: str) -> None:
    """Adding it would change the one that it has read, and that is gone."""
    await two.box.store.pause([a_rule()])

    async def end(db: Session) -> None:
        await pausing.end(db, None, DELIVERY)
        if ends == "let_go":
            await pausing.let_go(db, at=NOW)

    begun = await two.begin(end)
    paused = asyncio.ensure_future(two.box.store.pause([a_rule("anew")]))
    await somebody_waits()
    await two.end(*begun)
    [told] = await paused
    assert [(rule.number, rule.reason) for rule in two.box.view.pause_rules()] == [
        (told.number, "anew")
    ]


async def test_a_slot_that_was_just_taken_over_from_the_dead_stays_with_the_living(
    two: Two,
) -> None:
    other = await registered(two.box.store, "other")
    [work] = await two.box.put(a_message("a@x.test", at=START), worker=two.worker, leased=True)
    two.box.advance(61)
    late = Moment(NOW.now + 61_000, 0, lease_at=61_000)

    async def take_over(db: Session) -> None:
        await leases.acquire(db, SMARTHOST, other, width=1, at=late, lease_for=60_000)

    begun = await two.begin(take_over)
    again = WorkerIdentity(node="node1", boot="", name="worker")
    removed = two.third.submit(lambda db: workers.remove_dead(db, again, now=late.now))
    await somebody_waits()
    await two.end(*begun)
    await removed
    owners = await two.third.submit(lambda db: db.fetch("SELECT id, worker FROM slot"))
    assert owners == [(work.lease.slot, other)]
