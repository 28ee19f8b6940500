"""Two workers that ask for the last share of a limit at once, statement by statement, each with its control."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from relayd.policy.delivery.scarce import Claim
from relayd.store.postgres import shares
from relayd.store.postgres.line import Operation, Session, ask_once
from relayd.store.postgres.moment import Moment
from relayd.store.values import to_ms
from tests.support import postgres
from tests.support.clock import START
from tests.support.stores import LEASE
from tests.support.two_workers import WAITS_FOR_A_LOCK, Two, two_workers
from tests.support.workers import registered

pytestmark = postgres.needs_postgres

NOW = Moment(to_ms(START), 0, to_ms(START))


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with two_workers(tmp_path) as opened:
        yield opened


def asking(worker: int, *, at: Moment = NOW) -> Operation[Mapping[str, Claim]]:
    async def operation(db: Session) -> Mapping[str, Claim]:
        return await shares.ask(db, worker, ["mx.test"], limit=1, at=at)

    return operation


async def both(two: Two) -> set[Claim]:
    """Have one worker ask, and another one ahead of its commit; return what they have."""
    other = await registered(two.box.store, "other")
    held, done = await two.begin(asking(two.worker))
    second = two.third.submit(asking(other))
    await _until_it_waits_or_is_done(second)
    await two.end(held, done)
    await done
    return set((await second).values()) | {Claim(await _claim_of(two, two.worker))}


async def _until_it_waits_or_is_done(second: "asyncio.Future[Mapping[str, Claim]]") -> None:
    while not second.done() and not await ask_once(postgres.database(), _waits):
        pass


async def _waits(db: Session) -> bool:
    return bool(await db.fetch(WAITS_FOR_A_LOCK))


async def _claim_of(two: Two, worker: int) -> str:
    sql = "SELECT claim FROM share WHERE worker = $1"
    return str(await two.line.submit(lambda db: db.value(sql, worker)))


async def test_the_last_share_has_one_of_two(two: Two) -> None:
    """The second one waits until the first has decided."""
    assert await both(two) == {Claim.HAS, Claim.WAITS}


async def test_without_the_lock_both_have_it(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: neither sees what the other has not committed."""
    monkeypatch.setattr(shares, "_LOCK", "SELECT $1::int, $2::text[]")
    assert await both(two) == {Claim.HAS}


@pytest.mark.parametrize(("may_take_over", "claim"), [(True, Claim.HAS), (False, Claim.WAITS)])
async def test_nobody_takes_a_share_just_after_the_store_was_away(
    two: Two, claim: Claim, *, may_take_over: bool
) -> None:
    """Who has it could not ask for it again. The control is the same later."""
    other = await registered(two.box.store, "other")
    await two.line.submit(asking(two.worker))
    later = to_ms(START + LEASE)
    at = Moment(later, 0, later, may_take_over=may_take_over)
    assert await two.line.submit(asking(other, at=at)) == {"mx.test": claim}


async def test_a_server_s_clock_that_is_set_forward_ends_no_share(two: Two) -> None:
    other = await registered(two.box.store, "other")
    await two.line.submit(asking(two.worker))
    later = to_ms(START + LEASE)
    at = Moment(later, 0, later, server_by=later - 1)
    assert await two.line.submit(asking(other, at=at)) == {"mx.test": Claim.WAITS}
